"""Span masks: spans of one length, equally many frames a row, about the share asked for."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.pretrain.masking import span_mask


def _mask(rows: int, frames: int, share: float, length: int, seed: int = 0) -> torch.Tensor:
    return span_mask(rows, frames, share, length, torch.Generator().manual_seed(seed))


@given(st.integers(1, 5), st.integers(2, 300), st.floats(0.05, 0.95), st.integers(1, 12), st.integers(0, 99))
def test_rows_have_equally_many_masked_frames(rows: int, frames: int, share: float, length: int, seed: int) -> None:
    mask = _mask(rows, frames, share, length, seed)
    counts = mask.sum(1)
    assert mask.shape == (rows, frames)
    assert counts.min() == counts.max() >= 1


def test_a_single_row_is_made_of_whole_spans() -> None:
    for seed in range(20):
        mask = _mask(1, 200, 0.5, 10, seed)[0].int()
        edges = torch.diff(mask, prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
        starts, stops = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
        assert bool((stops - starts >= 10).all())


def test_the_masked_share_is_fairseqs() -> None:
    """Compared with s3prl's copy of fairseq's sampler, which draws from numpy's global state."""
    import numpy as np
    from s3prl.upstream.wav2vec2.wav2vec2_model import compute_mask_indices

    state = np.random.get_state()
    try:
        np.random.seed(0)
        stock = np.mean([compute_mask_indices((8, 200), None, 0.8, 10, min_masks=2).mean() for _ in range(200)])
    finally:
        np.random.set_state(state)
    ours = torch.stack([_mask(8, 200, 0.8, 10, seed).float().mean() for seed in range(200)]).mean()
    assert abs(float(ours) - float(stock)) < 0.01


def test_the_generator_decides_alone() -> None:
    torch.manual_seed(1)
    first = _mask(4, 100, 0.8, 10, 3)
    torch.manual_seed(2)
    assert torch.equal(first, _mask(4, 100, 0.8, 10, 3))
    assert not torch.equal(first, _mask(4, 100, 0.8, 10, 4))
