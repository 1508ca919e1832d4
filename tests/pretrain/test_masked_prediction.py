"""Our losses are s3prl's (fairseq's) own on the same masks and targets."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.masked_prediction import MaskedPrediction, predict_clusters
from s3prl_plugins.pretrain.masking import span_mask
from s3prl_plugins.pretrain.objective import Batch
from s3prl_plugins.pretrain.speech import Crop
from s3prl_plugins.upstream.hubert.checkpoint import load_model, random_checkpoint

CLUSTERS, COUNT = 7, 49


@pytest.fixture
def batch() -> Batch:
    waves = torch.randn(3, 16000, generator=torch.Generator().manual_seed(0)) * 0.1
    return Batch(waves, [Crop(n, 0, COUNT) for n in range(3)])


@pytest.fixture
def targets() -> Targets:
    labels = np.random.default_rng(0).integers(0, CLUSTERS, 3 * COUNT).astype(np.int16)
    return Targets(labels, np.arange(4) * COUNT, CLUSTERS)


@pytest.mark.parametrize("size", ["tiny"])
def test_losses_equal_s3prls_own(size: str, batch: Batch, targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(random_checkpoint(size, 0, CLUSTERS)).eval()
    objective = MaskedPrediction(model, targets, 0.5, 5)
    ours = objective(batch, torch.Generator().manual_seed(3))
    mask = span_mask(3, COUNT, 0.5, 5, torch.Generator().manual_seed(3))

    def same_mask(x: torch.Tensor, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        x[mask] = model.mask_emb
        return x, mask

    monkeypatch.setattr(model, "apply_mask", same_mask)
    padding = torch.zeros(3, 16000, dtype=torch.bool)
    net = model(batch.waves, [targets.crops(batch.crops)], padding, mask=True)
    for name, masked in (("masked", True), ("unmasked", False)):
        logits, target = model.get_logits(net, masked)[0], model.get_targets(net, masked)[0]
        torch.testing.assert_close(ours.terms[name], F.cross_entropy(logits, target), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.terms["penalty"], net["features_pen"])


def test_masked_frames_hear_nothing(batch: Batch, targets: Targets) -> None:
    """With everything masked the logits do not depend on the audio."""
    model = load_model(random_checkpoint("tiny", 0, CLUSTERS)).eval()
    everything = torch.ones(3, COUNT, dtype=torch.bool)
    first, *_ = predict_clusters(model, batch.waves, everything, 0.1)
    second, *_ = predict_clusters(model, -batch.waves.flip(0), everything, 0.1)
    torch.testing.assert_close(first, second)
    nothing = torch.zeros(3, COUNT, dtype=torch.bool)
    heard, *_ = predict_clusters(model, batch.waves, nothing, 0.1)
    assert not torch.allclose(heard, first)


def test_everything_masked_gives_no_unmasked_loss(batch: Batch, targets: Targets) -> None:
    model = load_model(random_checkpoint("tiny", 0, CLUSTERS)).eval()
    losses = MaskedPrediction(model, targets, 1.0, COUNT)(batch, torch.Generator().manual_seed(0))
    assert float(losses.terms["unmasked"].detach()) == 0.0


def test_the_encoder_is_what_s3prl_loads(tmp_path: Path, batch: Batch) -> None:
    """Without masks, final states equal those of s3prl's upstream on the written file."""
    import s3prl.hub as hub

    from s3prl_plugins.upstream.hubert.checkpoint import write_checkpoint

    content = random_checkpoint("tiny", 1, CLUSTERS)
    write_checkpoint(tmp_path / "hubert.pt", content)
    upstream = hub.hubert_local(ckpt=str(tmp_path / "hubert.pt")).eval()
    with torch.no_grad():
        states = upstream([batch.waves[0]])["hidden_states"][-1]
        logits, *_ = predict_clusters(upstream.model, batch.waves[:1], torch.zeros(1, COUNT, dtype=torch.bool), 0.1)
        expected = F.normalize(upstream.model.final_proj(states), dim=-1)
    codewords = F.normalize(upstream.model.label_embs_concat, dim=-1)
    torch.testing.assert_close(logits, expected @ codewords.T / 0.1, rtol=1e-4, atol=1e-4)
