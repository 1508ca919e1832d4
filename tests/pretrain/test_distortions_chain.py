"""What distortions draw: rows, generators, and how they stand together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.pretrain.distortions import DISTORTIONS, build_distortions

ALONE = ("reverberation", "clipping", "chop", "band_drop", "downsampling")
"""Those that take nothing of other rows."""
PLUS = {
    "reverberation": 0.5, "overlap": 0.1, "noise": 0.4, "clipping": 0.2, "chop": 0.2, "band_drop": 0.35,
    "downsampling": 0.25,
}  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def waves(rows: int = 12, samples: int = 4000, seed: int = 1) -> Tensor:
    return 0.1 * torch.randn(rows, samples, generator=seeded(seed))


def always(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"probability": 1.0} for name in names}


def changed_rows(before: Tensor, after: Tensor) -> list[bool]:
    return (before != after).any(1).tolist()


def test_order_and_defaults_are_pase_plus() -> None:
    chain = build_distortions({name: None if name == "noise" else {} for name in reversed(DISTORTIONS)})
    assert {name: one.probability for name, one in chain.distortions.items()} == PLUS
    assert list(chain.distortions) == list(PLUS)
    batch = waves()
    full = chain(batch, seeded())
    assert torch.equal(full, build_distortions({name: {} for name in PLUS})(batch, seeded()))


def test_the_order_is_that_of_the_table_not_of_the_mapping() -> None:
    batch = waves()
    clipped_last = build_distortions(always("clipping", "reverberation"))(batch, seeded())
    assert ((clipped_last == clipped_last.max(1, keepdim=True).values).sum(1) > 1).all()


@pytest.mark.parametrize("name", DISTORTIONS)
def test_probability(name: str) -> None:
    batch = waves(1500, 320)
    for probability, low, high in [(0.0, 0, 0), (0.3, 380, 520), (1.0, 1440, 1500)]:
        after = build_distortions({name: {"probability": probability}})(batch, seeded())
        assert low <= sum(changed_rows(batch, after)) <= high
        if not probability:
            assert torch.equal(after, batch)


def test_nothing_to_do_changes_nothing() -> None:
    batch = waves()
    assert torch.equal(build_distortions({})(batch, seeded()), batch)


def test_distortions_choose_rows_independently() -> None:
    """Of two that each take half of the rows, both take a quarter."""
    batch = waves(1000, 320)
    clipped = changed_rows(batch, build_distortions({"clipping": {"probability": 0.5}})(batch, seeded()))
    filtered = changed_rows(batch, build_distortions({"band_drop": {"probability": 0.5}})(batch, seeded()))
    assert 210 < sum(one and other for one, other in zip(clipped, filtered)) < 290


@pytest.mark.parametrize("name", ALONE)
def test_a_row_depends_on_no_other_row(name: str) -> None:
    chain = build_distortions({name: {"probability": 0.7}})
    whole = chain(waves(8), seeded())
    other = waves(8)
    other[:3] = 0
    torch.testing.assert_close(chain(other, seeded())[3:], whole[3:], rtol=0, atol=0)
    torch.testing.assert_close(chain(waves(8)[:4], seeded())[:4], whole[:4], rtol=0, atol=0)
    assert not torch.equal(whole[0], whole[1])


@pytest.mark.parametrize("left_out", DISTORTIONS)
def test_leaving_one_out_is_giving_it_no_probability(left_out: str) -> None:
    batch = waves()
    config: dict[str, dict[str, Any]] = {name: {"probability": 0.5} for name in DISTORTIONS}
    without = build_distortions({name: value for name, value in config.items() if name != left_out})
    none = build_distortions({**config, left_out: {"probability": 0.0}})
    assert torch.equal(without(batch, seeded()), none(batch, seeded()))


@pytest.mark.parametrize("first", ALONE)
def test_a_distortion_draws_the_same_in_any_company(first: str) -> None:
    """Two in a chain are one after the other, each as if alone with the same generator."""
    batch = waves()
    for second in ALONE[ALONE.index(first) + 1 :]:
        both = build_distortions({name: {"probability": 0.6} for name in (first, second)})
        steps = [build_distortions({name: {"probability": 0.6}}) for name in (first, second)]
        assert torch.equal(both(batch, seeded()), steps[1](steps[0](batch, seeded()), seeded()))


def test_other_speakers_are_undistorted() -> None:
    batch = torch.ones(2, 4000)
    batch[0] = waves(1)[0]
    config = always("reverberation", "overlap")
    config["overlap"]["room"] = None
    reverberated = build_distortions(always("reverberation"))(batch, seeded())[0]
    both = build_distortions(config)(batch, seeded())[0]
    added = both - reverberated * (both[0] / reverberated[0])
    voice = added[added.abs() > 1e-4]
    assert len(voice) >= 1000
    torch.testing.assert_close(voice, voice[-1].expand_as(voice), rtol=1e-3, atol=0)


def test_generators_decide_alone() -> None:
    batch = waves()
    kept, state = batch.clone(), torch.get_rng_state()
    chain = build_distortions({name: {} for name in DISTORTIONS})
    random = seeded()
    one, two = chain(batch, random), chain(batch, random)
    assert torch.equal(one, chain(batch, seeded()))
    assert not torch.equal(one, two)
    assert torch.equal(batch, kept)
    assert torch.equal(torch.get_rng_state(), state)
    # The generator moves on as far for any chain.
    other = seeded()
    build_distortions({})(batch, other)
    assert torch.equal(chain(batch, other), two)


@pytest.mark.parametrize("names", [[name] for name in DISTORTIONS] + [list(DISTORTIONS)])
@pytest.mark.parametrize("samples", [100, 4001])
def test_odd_rows_stay_finite(names: list[str], samples: int) -> None:
    batch = torch.zeros(6, samples)
    batch[1, 37] = 1
    batch[2] = 0.3
    batch[3] = -1e-20
    batch[4] = 1e6 * torch.sin(torch.arange(samples))
    chain = build_distortions(always(*names))
    for seed in range(5):
        changed = chain(batch, seeded(seed))
        assert changed.shape == batch.shape
        assert changed.isfinite().all()
        assert not changed[0].any()
    silent = torch.zeros(2, samples)
    assert torch.equal(chain(silent, seeded()), silent)


def test_no_gradients() -> None:
    batch = waves().requires_grad_()
    assert not build_distortions(always("noise"))(batch, seeded()).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same() -> None:
    batch = waves()
    chain = build_distortions(always(*DISTORTIONS))
    changed = chain(batch.cuda(), seeded())
    assert changed.is_cuda
    torch.testing.assert_close(changed.cpu(), chain(batch, seeded()), rtol=1e-3, atol=1e-4)


def test_other_shapes_and_types_are_refused() -> None:
    chain = build_distortions({"noise": {}})
    for wrong in (waves()[0], waves().double()):
        with pytest.raises(ValueError, match=r"waves must be float32 \(batch, samples\), found torch.float"):
            chain(wrong, seeded())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"noize": {}}, "unknown distortion 'noize'; did you mean 'noise'"),
        ({"noise": {"levels": [3]}}, "unknown key distortions.noise.levels"),
        ({"noise": 0.4}, "distortions.noise must be a mapping"),
        ({"noise": False}, "distortions.noise must be a mapping"),
        ({"noise": {"probability": 1.5}}, "distortions.noise: probability must be from 0 to 1, found 1.5"),
        ({"noise": {"snr": []}}, "snr must hold at least one level"),
        ({"noise": {"babble": 2}}, "babble must be a share"),
        ({"noise": {"voices": 0}}, "voices must be at least 1"),
        ({"noise": {"tilt": [2, 1]}}, "tilt must be two rising numbers"),
        ({"noise": {"swing": [0, 2]}}, "swing must be two rising numbers from 0 to 1"),
        ({"overlap": {"snr": []}}, "snr must hold at least one level"),
        ({"overlap": {"latest": 1}}, "latest must be a share from 0 to below 1"),
        ({"overlap": {"room": {"t60": [0, 1]}}}, "distortions.overlap.room: t60 must be two rising numbers"),
        ({"reverberation": {"room": {"longest": 0}}}, "longest must be at least 0.01 seconds, found 0"),
        ({"reverberation": {"room": {"direct": [3, 1]}}}, "direct must be two rising numbers"),
        ({"clipping": {"shares": [0]}}, "shares must be numbers above 0, at most 1"),
        ({"chop": {"most": 0}}, "most must be at least 1"),
        ({"chop": {"lengths": [[0, 0.1]]}}, "lengths must be pairs"),
        ({"band_drop": {"width": [50, 100]}}, "width must be two rising numbers from 100 Hz on"),
        ({"band_drop": {"within": [0, 4000]}}, "within must lie between 0 and 8000 Hz"),
        ({"band_drop": {"within": [100, 400]}}, "within must have room for 500 Hz"),
        ({"downsampling": {"rate": 16000}}, "rate must be from 1000 to below 16000 Hz"),
    ],
)
def test_bad_configurations(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_distortions(config)


@pytest.mark.parametrize("name", ["noise", "overlap", "reverberation"])
def test_folders_without_audio_are_found_before_training(name: str, tmp_path: Path) -> None:
    folders = {"folders": [str(tmp_path)]}
    config = {name: {"room": folders} if name == "reverberation" else folders}
    with pytest.raises(CorpusError, match=r"must be a folder with .wav or .flac files, found none"):
        build_distortions(config)
