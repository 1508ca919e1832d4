"""Noise and rooms: the levels asked for, the same draw for the same generator."""

import numpy as np
import pytest

from s3prl_plugins.corpora.scenes import CLEAN, Scene, coloured_noise, place, random_scene
from s3prl_plugins.corpora.seeding import generator

TONE = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000 + 0.3)


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_noise_has_the_level_asked_for(snr):
    placed = place(TONE, Scene(snr=snr, swing=0.5), generator(0))
    noise = placed - TONE
    assert 10 * np.log10(np.mean(TONE**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.1)


def test_silence_around_speech_does_not_count_for_the_level():
    padded = np.pad(TONE, (16000, 16000))
    noise = place(padded, Scene(snr=10), generator(0)) - padded
    assert 10 * np.log10(np.mean(TONE**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.5)


def test_a_steeper_tilt_moves_the_noise_down():
    def centre(tilt):
        power = np.abs(np.fft.rfft(coloured_noise(generator(1), 32000, tilt))) ** 2
        return float((np.fft.rfftfreq(32000, 1 / 16000) * power).sum() / power.sum())

    assert centre(0.0) == pytest.approx(4000, rel=0.05)
    assert centre(0.0) > 2 * centre(1.0) > 4 * centre(2.0)


def test_a_room_rings_after_the_sound_and_decays_by_its_time():
    click = np.zeros(16000)
    click[100] = 0.5
    ring = place(click, Scene(snr=120, rt60=0.4, wet=0.5), generator(0))[100:]
    assert ring[0] == pytest.approx(0.5, abs=1e-3)
    assert np.sum(ring[1:] ** 2) == pytest.approx(0.5 * 0.25, rel=0.05)

    def level(start):
        return 10 * np.log10(np.mean(ring[int(start * 16000) : int((start + 0.05) * 16000)] ** 2))

    # 60 dB in 0.4 s are 30 dB in 0.2 s.
    assert level(0.05) - level(0.25) == pytest.approx(30, abs=3)


def test_the_channel_shapes_the_spectrum():
    flat = place(TONE, CLEAN, generator(0))
    louder = place(TONE, Scene(snr=CLEAN.snr, channel=(6.0,) * 8), generator(0))
    assert np.allclose(louder, flat * 10 ** (6 / 20), atol=1e-6)


def test_scenes_are_drawn_as_asked():
    scenes = [random_scene(generator(7, n), noisy=0.5, snr=(5, 20), reverberant=0.3, channel=2.0) for n in range(400)]
    assert sum(scene.snr <= 20 for scene in scenes) == pytest.approx(200, abs=50)
    assert sum(scene.rt60 > 0 for scene in scenes) == pytest.approx(120, abs=45)
    assert all(5 <= scene.snr <= 20 or scene.snr == 40 for scene in scenes)
    assert random_scene(generator(7, 3)) == random_scene(generator(7, 3)) != random_scene(generator(7, 4))
