"""The shipped PASE: small, loaded by every way s3prl has, and it has learned something."""

import functools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad
from upstream_cases import ROOT

from s3prl_plugins.upstream.pase.checkpoint import load_encoder
from s3prl_plugins.upstream.pase.encoder import ENCODERS, PaseEncoder
from s3prl_plugins.upstream.pase.hubconf import TINY, pase_multitask_tiny

WAVES = [torch.randn(16000, generator=torch.Generator().manual_seed(0)) * 0.1, torch.zeros(9000)]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_the_file_is_small_and_tells_how_it_was_made() -> None:
    content = torch.load(TINY, weights_only=True)
    assert TINY.stat().st_size <= 8e6
    assert {tensor.dtype for tensor in content["weights"].values() if tensor.ndim > 1} == {torch.float16}
    assert set(content["metadata"]["workers"]) == {"waveform", "lps", "mfcc", "prosody", "lim", "gim", "spc"}
    assert content["metadata"]["config"]["train"]["steps"] == 1000


def test_every_way_of_loading_gives_the_same_states() -> None:
    import s3prl.hub as hub
    from s3prl.nn import S3PRLUpstream

    with torch.no_grad():
        expected = pase_multitask_tiny(ckpt=None, model_config=None, refresh=False).eval()(WAVES)["hidden_states"]
        assert [tuple(state.shape) for state in expected] == [(2, 100, 256)] * 9
        for upstream in (hub.pase_multitask_tiny(), torch.hub.load(str(ROOT), "pase_multitask_tiny", source="local")):
            assert all(map(torch.equal, upstream.eval()(WAVES)["hidden_states"], expected))
        states, lengths = S3PRLUpstream("pase_multitask_tiny").eval()(
            torch.nn.utils.rnn.pad_sequence(WAVES, batch_first=True), torch.tensor([len(wave) for wave in WAVES])
        )
    assert [int(length) for length in lengths[0]] == [100, 57]
    for state, wanted in zip(states, expected):
        torch.testing.assert_close(state[0, :100], wanted[0])


def test_its_states_tell_phones_apart_better_than_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import phone_purity

    waves, phones = phone_purity.speech(40, seed=1)
    learned, random = (
        phone_purity.measure(waves, phones, functools.partial(every_second, encoder.eval()), 50, 0)
        for encoder in (load_encoder(TINY), settled(PaseEncoder(ENCODERS["tiny"], 0), waves))
    )
    assert learned[0] > 1.05 * random[0] and learned[1] > 1.05 * random[1], (learned, random)


def every_second(encoder: PaseEncoder, wave: Tensor) -> Tensor:
    """The embedding at HuBERT's frames."""
    with torch.no_grad():
        states: Tensor = encoder(wave.unsqueeze(0))[0, ::2]
    return states


def settled(encoder: PaseEncoder, waves: list[Tensor]) -> PaseEncoder:
    """With batch normalisation's statistics of these waves."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = None
    longest = max(map(len, waves[:8]))
    with torch.no_grad():
        encoder.train()(torch.stack([pad(wave, (0, longest - len(wave))) for wave in waves[:8]]))
    return encoder
