"""The shipped HuBERT: by every way s3prl has of loading it, in float32, and it has learned something."""

import sys
from pathlib import Path

import pytest
import torch

from s3prl_plugins.upstream.hubert.checkpoint import load_model, random_checkpoint, write_checkpoint
from s3prl_plugins.upstream.hubert.hubconf import TINY, hubert_tiny

ROOT = Path(__file__).resolve().parents[2]
WAVES = [torch.randn(16000, generator=torch.Generator().manual_seed(0)) * 0.1, torch.zeros(9000)]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_the_file_is_small_and_half() -> None:
    content = torch.load(TINY, weights_only=True)
    assert TINY.stat().st_size <= 12e6
    assert {tensor.dtype for tensor in content["model_weight"].values()} == {torch.float16}
    assert 3.5e6 < sum(tensor.numel() for tensor in content["model_weight"].values()) < 4.1e6


@pytest.mark.parametrize(
    "evil",
    ["__import__('os').getpid()", "[(16, 10, 5)] * 99999", "[x for x in ()]", "[(16, 10, 5)][0]", "[", 3, "9**9"],
)
def test_convolutions_are_not_code(evil: object) -> None:
    content = torch.load(TINY, weights_only=True)
    load_model(content)
    with pytest.raises(ValueError, match="conv_feature_layers must be a plain list of tuples, found"):
        load_model({**content, "model_cfg": {**content["model_cfg"], "conv_feature_layers": evil}})


def test_every_way_of_loading_gives_the_same_states() -> None:
    import s3prl.hub as hub
    from s3prl.nn import S3PRLUpstream

    expected = hub.hubert_local(ckpt=str(TINY)).eval()(WAVES)["hidden_states"]
    assert [tuple(state.shape) for state in expected] == [(2, 49, 256)] * 5
    assert all(state.dtype == torch.float32 for state in expected)
    for upstream in (hub.hubert_tiny(), torch.hub.load(str(ROOT), "hubert_tiny", source="local")):
        for state, wanted in zip(upstream.eval()(WAVES)["hidden_states"], expected):
            torch.testing.assert_close(state, wanted)
    lengths = torch.tensor([len(wave) for wave in WAVES])
    padded = torch.nn.utils.rnn.pad_sequence(WAVES, batch_first=True)
    states, _ = S3PRLUpstream("hubert_tiny").eval()(padded, lengths)
    for state, wanted in zip(states, expected):
        torch.testing.assert_close(state[:, : wanted.shape[1]], wanted)


def test_float16_on_disk_changes_the_states_by_little(tmp_path: Path) -> None:
    """The shipped file has no float32 twin, so that of other weights of the same size is compared."""
    import s3prl.hub as hub

    content = random_checkpoint("tiny", 3)
    write_checkpoint(tmp_path / "full.pt", content)
    write_checkpoint(tmp_path / "half.pt", content, half=True)
    full, half = (
        hub.hubert_local(ckpt=str(tmp_path / name)).eval()(WAVES[:1])["hidden_states"]
        for name in ("full.pt", "half.pt")
    )
    for one, other in zip(full, half):
        assert float(((one - other).norm() / one.norm()).detach()) < 2e-3
    assert (tmp_path / "half.pt").stat().st_size < 0.52 * (tmp_path / "full.pt").stat().st_size


def test_its_states_tell_phones_apart_better_than_mfcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import phone_purity
    from s3prl_plugins.pretrain.clusters import mfcc
    from s3prl_plugins.upstream.hubert.pretraining import state_features

    waves, phones = phone_purity.speech(40, seed=1)
    learned = phone_purity.measure(waves, phones, state_features(TINY, 2), 50, 0)
    cepstra = phone_purity.measure(waves, phones, mfcc, 50, 0)
    assert learned[0] > cepstra[0] and learned[1] > cepstra[1]


def test_the_builder_ignores_what_s3prl_passes_to_every_name() -> None:
    assert hubert_tiny(ckpt=None, model_config=None, refresh=False) is not None
    assert "s3prl.upstream.hubert.expert" in sys.modules
