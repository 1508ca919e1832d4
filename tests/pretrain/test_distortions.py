"""Each distortion against what it must do to signals whose parts can be told apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from s3prl_plugins.pretrain.distortions import DISTORTIONS, Distortion
from s3prl_plugins.pretrain.distortions.band_drop import BandDrop
from s3prl_plugins.pretrain.distortions.chop import Chop, speech_regions
from s3prl_plugins.pretrain.distortions.clipping import Clipping
from s3prl_plugins.pretrain.distortions.downsampling import Downsampling
from s3prl_plugins.pretrain.distortions.noise import Noise
from s3prl_plugins.pretrain.distortions.overlap import Overlap
from s3prl_plugins.pretrain.distortions.reverberation import Reverberation
from s3prl_plugins.pretrain.distortions.rooms import Room

SECOND = 16000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def white(rows: int = 1, samples: int = SECOND, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(rows, samples, generator=seeded(seed))


def bursts(count: int, length: int, pause: int) -> Tensor:
    """Noise with pauses before, between and after."""
    wave = torch.zeros(pause + count * (length + pause))
    for place in range(count):
        start = pause + place * (length + pause)
        wave[start : start + length] = white(1, length, place)[0]
    return wave


def decibels(wave: Tensor, other: Tensor) -> float:
    return float(10 * torch.log10(wave.double().square().sum() / other.double().square().sum()))


def parts(wave: Tensor, *sources: Tensor) -> list[Tensor]:
    """`wave` as the sum of multiples of the sources, which must explain all of it."""
    basis = torch.stack(sources, 1).double()
    gains = torch.linalg.lstsq(basis, wave.double().unsqueeze(1), driver="gelsd").solution.squeeze(1)
    assert float((basis @ gains - wave).abs().max()) < 1e-4 * float(wave.abs().max())
    return [gain * source for gain, source in zip(gains, sources)]


def write(path: Path, wave: Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.numpy(), SECOND, subtype="FLOAT")
    return path.parent


def gains(distortion: Distortion, seed: int = 0) -> np.ndarray:
    """Its frequency response in dB, one number for each Hz, from what it makes of one impulse."""
    wave = torch.zeros(1, SECOND)
    wave[0, SECOND // 2] = 1
    changed = distortion(wave, seeded(seed))
    return 20 * np.log10(np.abs(np.fft.rfft(changed[0].double().numpy())) + 1e-12)


@pytest.mark.parametrize("name", ["reverberation", "overlap", "noise", "band_drop", "downsampling"])
def test_energy_is_kept(name: str) -> None:
    waves = white(6, seed=1) * torch.logspace(-3, 0, 6).unsqueeze(1)
    changed = DISTORTIONS[name](probability=1.0)(waves, seeded())
    for row, wave in zip(changed, waves):
        assert not torch.allclose(row, wave, rtol=0.01)
        assert decibels(row, wave) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 7.5, 20.0])
def test_noise_of_a_file_has_its_level(snr: float, tmp_path: Path) -> None:
    noise = white(1, SECOND, 5)[0] * torch.linspace(0.1, 1, SECOND)
    wave = white(1, SECOND, 6)
    distortion = Noise(probability=1.0, snr=(snr,), folders=(write(tmp_path / "n.wav", noise),))
    speech, added = parts(distortion(wave, seeded())[0], wave[0], noise)
    assert decibels(speech, added) == pytest.approx(snr, abs=0.01)


def test_a_short_noise_ends_and_a_long_one_begins_anywhere(tmp_path: Path) -> None:
    wave, noise = white(1, SECOND, 6), white(1, 4000, 7)[0]
    short = Noise(probability=1.0, snr=(5.0,), folders=(write(tmp_path / "short" / "n.wav", noise),))
    padded = torch.nn.functional.pad(noise, (0, SECOND - 4000))
    speech, added = parts(short(wave, seeded())[0], wave[0], padded)
    assert decibels(speech, added) == pytest.approx(5, abs=0.01)

    ramp = torch.linspace(0.1, 0.9, 3 * SECOND)
    long = Noise(probability=1.0, folders=(write(tmp_path / "long" / "n.wav", ramp),))
    firsts = [float(long.noise(SECOND, [], seeded(seed))[0]) for seed in range(50)]
    assert min(firsts) < 0.2
    assert max(firsts) > 0.55


def test_all_levels_are_drawn_equally_often(tmp_path: Path) -> None:
    noise, wave = white(1, 2000, 5)[0], white(1, 2000, 6)
    distortion = Noise(probability=1.0, folders=(write(tmp_path / "n.wav", noise),))
    changed = distortion(wave.expand(600, -1), seeded())
    found = Counter(round(decibels(*parts(row, wave[0], noise))) for row in changed)
    assert set(found) == {0, 5, 10}
    assert all(150 < count < 250 for count in found.values())


@pytest.mark.parametrize("tilt", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_as_its_tilt(tilt: float) -> None:
    noise = Noise(babble=0.0, tilt=(tilt, tilt)).noise(4 * SECOND, [], seeded())
    power = np.abs(np.fft.rfft(noise.numpy())) ** 2
    hertz = np.fft.rfftfreq(4 * SECOND, 1 / SECOND)
    octaves = [(100.0 * 2**k, power[(hertz >= 100 * 2**k) & (hertz < 200 * 2**k)].mean()) for k in range(6)]
    slope = np.polyfit(*np.log([list(column) for column in zip(*octaves)]), 1)[0]
    assert slope == pytest.approx(-tilt, abs=0.1)


def test_babble_is_made_of_other_rows_at_its_level() -> None:
    time = torch.arange(SECOND) / SECOND
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * time) for hertz in (1000, 2000, 3000)])
    changed = Noise(probability=1.0, snr=(5.0,), babble=1.0)(tones, seeded())
    for index, (row, wave) in enumerate(zip(changed, tones)):
        spectrum = torch.fft.rfft(row.double()).abs().square()
        own = float(spectrum[1000 * (index + 1)])
        others = sum(float(spectrum[1000 * (k + 1)]) for k in range(3) if k != index)
        assert 10 * np.log10(own / others) == pytest.approx(5, abs=0.01)
        assert own + others == pytest.approx(float(spectrum.sum()), rel=1e-4)
        assert decibels(row, wave) == pytest.approx(0, abs=1e-3)


def test_share_of_babble() -> None:
    others = [torch.ones(64), -torch.ones(64)]
    noises = [Noise(babble=0.3, voices=3).noise(64, others, seeded(seed)) for seed in range(400)]
    assert 90 < sum(bool((noise == noise[0]).all()) for noise in noises) < 150


def test_noise_without_other_rows_is_coloured() -> None:
    wave = white(1)
    assert decibels(Noise(probability=1.0, babble=1.0)(wave, seeded())[0] - wave[0], wave[0]) > -20


@pytest.mark.parametrize("room", [None, Room()])
def test_the_other_speaker_has_its_level_and_place(room: Room | None) -> None:
    rows, samples = 120, 4000
    waves = white(rows, samples, 3)
    changed = Overlap(probability=1.0, room=room)(waves, seeded(), speech=torch.ones(rows, samples))
    levels: Counter[float] = Counter()
    places = []
    for row, wave in zip(changed, waves):
        # The scale of the wave shows where nothing was added yet.
        speech = wave * float(row[0] / wave[0])
        added = row - speech
        places.append(int((added.abs() > 1e-3 * added.abs().max()).nonzero()[0]))
        steady = bool(torch.allclose(added[places[-1] :], added[-1], rtol=1e-2))
        assert steady == (room is None)
        levels[round(decibels(speech, added), 1)] += 1
    assert set(levels) == {5.0, 7.5, 10.0}
    assert all(20 < count < 60 for count in levels.values())
    assert max(places) <= 3000
    assert np.mean(places) == pytest.approx(1500, abs=250)


def test_a_lone_row_has_no_other_speaker_but_one_of_a_file(tmp_path: Path) -> None:
    wave = white(1)
    assert torch.equal(Overlap(probability=1.0)(wave, seeded()), wave)
    folder = write(tmp_path / "other.wav", white(1, SECOND, 9)[0])
    assert not torch.allclose(Overlap(probability=1.0, folders=(folder,))(wave, seeded()), wave, rtol=0.05)


def test_reverberation_delays_nothing() -> None:
    waves = white(8, seed=2)
    changed = Reverberation(probability=1.0, room=Room(direct=(-3.0, 0.0)))(waves, seeded())
    spectra = torch.fft.rfft(changed, 2 * SECOND) * torch.fft.rfft(waves, 2 * SECOND).conj()
    assert (torch.fft.irfft(spectra).abs().argmax(1) == 0).all()


def test_a_rooms_file_is_convolved_and_its_delay_taken_out(tmp_path: Path) -> None:
    response = torch.zeros(3000)
    response[500], response[700], response[2500] = -0.5, 0.3, 0.1
    folder = write(tmp_path / "room.wav", response)
    wave = white(1, 4000)
    cases = {1.5: {0: -0.5, 200: 0.3, 2000: 0.1}, 0.1: {0: -0.5, 200: 0.3}}
    for longest, echoes in cases.items():
        changed = Reverberation(probability=1.0, room=Room(folders=(folder,), longest=longest))(wave, seeded())[0]
        want = sum(gain * torch.nn.functional.pad(wave[0], (delay, 0))[:4000] for delay, gain in echoes.items())
        want = want * wave.norm() / want.norm()
        torch.testing.assert_close(changed, want, atol=1e-5, rtol=1e-4)


def test_synthetic_rooms_are_as_long_and_as_loud_as_drawn() -> None:
    response = Room(t60=(0.5, 0.5), direct=(4.0, 4.0)).response(seeded()).double()
    assert decibels(response[:1], response[1:]) == pytest.approx(4, abs=1e-3)
    # Schroeder's backward integral falls by 60 dB in t60.
    decay = 10 * torch.log10(response[1:].square().flip(0).cumsum(0).flip(0))
    assert float(decay[800] - decay[4800]) == pytest.approx(60 * 0.25 / 0.5, abs=1.5)
    rooms = [Room().response(seeded(seed)) for seed in range(100)]
    assert all(int(room.abs().argmax()) == 0 and not room[1:32].any() for room in rooms)
    lengths = [len(room) / SECOND for room in rooms]
    assert (min(lengths), max(lengths)) == (pytest.approx(0.2, abs=0.05), pytest.approx(1.0, abs=0.05))


def test_clipping_cuts_both_sides_at_a_share_of_the_peaks() -> None:
    wave = white(1, 1000)[0] + 0.05
    changed = Clipping(probability=1.0)(wave.expand(600, -1), seeded())
    shares = (changed.max(1).values / wave.max()).tolist()
    found = Counter(round(share, 4) for share in shares)
    assert set(found) == {0.1, 0.3, 0.5}
    assert all(150 < count < 250 for count in found.values())
    for row, share in zip(changed[:20], shares):
        low, high = share * wave.min(), share * wave.max()
        assert torch.allclose(row.min(), low)
        inside = (wave > low) & (wave < high)
        assert torch.equal(row[inside], wave[inside])
        assert torch.allclose(row[~inside], torch.where(wave > 0, high, low)[~inside])


def test_gaps_lie_in_the_middle_of_different_stretches_of_speech() -> None:
    wave = bursts(6, 3200, 1600) + 1e-4 * white(1, 6 * 4800 + 1600, 99)[0]
    stretches = [(1600 + 4800 * place, 4800 + 4800 * place) for place in range(6)]
    assert speech_regions(wave) == stretches
    changed = Chop(probability=1.0, lengths=((0.05, 0.0),))(wave.expand(500, -1), seeded())
    gaps = changed == 0
    numbers, chosen = Counter[int](), Counter[int]()
    for row in gaps:
        here = [place for place, (start, stop) in enumerate(stretches) if row[start:stop].any()]
        for place in here:
            middle = 3200 + 4800 * place
            assert row[middle - 400 : middle + 400].all()
        assert int(row.sum()) == 800 * len(here)
        numbers[len(here)] += 1
        chosen.update(here)
    assert torch.equal(changed[~gaps], wave.expand(500, -1)[~gaps])
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert all(70 < count < 135 for count in numbers.values())
    # Three gaps a row on average, over six stretches.
    assert all(200 < count < 300 for count in chosen.values())


def test_gap_lengths_are_drawn_and_end_with_their_stretch() -> None:
    wave = bursts(1, 4 * SECOND, 800)
    changed = Chop(probability=1.0, lengths=((0.1, 0.02),))(wave.expand(400, -1), seeded())
    seconds = (changed[:, 800:-800] == 0).sum(1) / SECOND
    assert float(seconds.mean()) == pytest.approx(0.1, abs=0.004)
    assert float(seconds.std()) == pytest.approx(0.02, abs=0.003)
    short = bursts(1, 480, 800) + 1e-4 * white(1, 2080, 99)[0]
    changed = Chop(probability=1.0, lengths=((0.1, 0.0),))(short.unsqueeze(0), seeded())
    assert (changed[0] == 0).nonzero().flatten().tolist() == list(range(800, 1280))
    negative = Chop(probability=1.0, lengths=((1e-9, 1.0),))(wave.expand(40, -1), seeded())
    untouched = (negative == wave).all(1).sum()
    assert 10 <= int(untouched) <= 30


def test_speech_is_what_is_loud_and_short_pauses_do_not_end_it() -> None:
    wave = bursts(2, 1600, 640)
    assert speech_regions(wave) == [(640, 640 + 1600 + 640 + 1600)]
    assert speech_regions(bursts(2, 1600, 800)) == [(800, 2400), (3200, 4800)]
    quiet = torch.cat([white(1, 3200)[0], 0.05 * white(1, 3200)[0], white(1, 3200)[0]])
    assert speech_regions(quiet) == [(0, 3200), (6400, 9600)]
    assert speech_regions(torch.zeros(SECOND)) == speech_regions(torch.ones(159)) == []


def test_band_drop_empties_its_band_and_no_other() -> None:
    gain = gains(BandDrop(probability=1.0, within=(1000.0, 1400.0), width=(400.0, 400.0)))
    outside = np.r_[gain[:950], gain[1450:]]
    assert gain[1040:1361].max() < np.median(outside) - 30
    assert np.ptp(outside) < 1


def test_dropped_bands_are_of_all_places_and_widths() -> None:
    edges = []
    for seed in range(150):
        gain = gains(BandDrop(probability=1.0), seed)
        band = np.flatnonzero(gain < np.median(gain) - 6)
        assert len(band) == band[-1] - band[0] + 1
        edges.append((band[0], len(band)))
    lows, widths = np.array(edges).T
    assert (lows.min(), (lows + widths).max()) == (pytest.approx(20, abs=100), pytest.approx(4000, abs=100))
    assert (widths.min(), widths.max()) == (pytest.approx(200, abs=15), pytest.approx(500, abs=15))


@pytest.mark.parametrize("rate", [4000, 8000])
def test_downsampling_empties_what_the_rate_cannot_hold(rate: int) -> None:
    gain = gains(Downsampling(probability=1.0, rate=rate))
    kept = gain[: rate // 2 - 250]
    assert gain[rate // 2 :].max() < np.median(kept) - 40
    assert np.ptp(kept) < 1


@pytest.mark.parametrize("name", ["band_drop", "downsampling"])
def test_filters_delay_nothing(name: str) -> None:
    wave = torch.zeros(1, SECOND)
    wave[0, 7000] = 1
    changed = DISTORTIONS[name](probability=1.0)(wave, seeded())[0]
    assert int(changed.abs().argmax()) == 7000
    torch.testing.assert_close(changed[6600:7000], changed[7001:7401].flip(0), atol=1e-5, rtol=0)
