"""Subsequence DTW: by hand, by dtw-python, and what it must not depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.qbe import dtw as ours
from s3prl_plugins.qbe.dtw import SearchConfig, search, subsequence_cost


def sequences(lengths: list[int], dim: int = 7, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(length, dim, generator=draw) for length in lengths]


def cost(rows: list[list[float]]) -> float:
    return float(subsequence_cost(torch.tensor(rows, dtype=torch.float64)[:, None]))


def test_paths_begin_and_end_anywhere_and_stay_or_go_one_or_two_on() -> None:
    assert cost([[9, 9, 1, 9], [9, 9, 9, 2]]) == 1.5
    assert cost([[0, 9, 9], [9, 9, 0]]) == 0  # two on
    assert cost([[0, 9, 9, 9], [9, 9, 9, 0]]) == 4.5  # three are too many
    assert cost([[9, 0], [9, 0], [9, 0]]) == 0  # it stays; longer than the document
    assert cost([[9, 0, 9], [0, 9, 9]]) == 4.5  # never back


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 1), (3, 2), (30, 40), (25, 9), (8, 200)])
def test_costs_are_those_of_dtw_python(rows: int, columns: int) -> None:
    oracle: Any = pytest.importorskip("dtw")
    distances = torch.rand(rows, columns, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    expected = oracle.dtw(distances.numpy(), step_pattern="asymmetric", open_begin=True, open_end=True)
    assert cost(distances.tolist()) == pytest.approx(expected.normalizedDistance, abs=1e-13)


def test_a_query_cut_out_of_a_document_is_found_there() -> None:
    documents = sequences([50, 60, 70, 80])
    scores = search([documents[2][20:45], documents[0][3:40:2]], documents, SearchConfig())
    assert scores.argmax(1).tolist() == [2, 0]
    assert torch.allclose(scores.mean(1), torch.zeros(2).double(), atol=1e-12)
    assert torch.allclose(scores.std(1, correction=0), torch.ones(2).double())


@pytest.mark.parametrize("distance", ["cosine_exp", "cosine", "euclidean", "cityblock"])
@pytest.mark.parametrize("minmax", [True, False])
def test_neither_blocks_nor_threads_nor_order_change_scores(
    distance: str, minmax: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build(SearchConfig, {"distance": distance, "minmax": minmax})
    queries, documents = sequences([6, 20, 33], seed=1), sequences([1, 9, 30, 31, 4, 60, 2], seed=2)
    together = search(queries, documents, config)
    monkeypatch.setattr(ours, "_BLOCK", 1)
    assert len(ours._blocks(documents)) == len(documents)
    assert torch.allclose(search(queries, documents, config, jobs=3), together, rtol=0, atol=1e-10)
    turned = search(queries, documents[::-1], config).flip(1)
    assert torch.allclose(turned, together, rtol=0, atol=1e-4)  # the mean over all frames is single precision


def test_normalized_features_are_blind_to_scale_and_offset_of_a_dimension() -> None:
    queries, documents = sequences([9, 12], seed=3), sequences([20, 30, 40], seed=4)
    change = lambda one: one * torch.arange(1, 8) + 5  # noqa: E731
    expected = search(queries, documents, SearchConfig())
    changed = [[change(one) for one in some] for some in (queries, documents)]
    assert torch.allclose(search(*changed, SearchConfig()), expected, atol=1e-4)
    assert not torch.allclose(search(*changed, SearchConfig(normalize=False)), expected, atol=1e-2)


def test_short_queries_and_equal_documents_score_zero() -> None:
    queries, documents = sequences([4, 5], seed=5), sequences([20, 30], seed=6)
    assert search(queries, documents, SearchConfig())[0].tolist() == [0, 0]
    assert search(queries, documents, SearchConfig())[1].abs().tolist() == pytest.approx([1, 1])
    same = search(queries, [documents[0]] * 3, SearchConfig())
    assert np.abs(same.numpy()).max() < 1e-3


def test_single_precision_is_close() -> None:
    queries, documents = sequences([9, 40], dim=64, seed=7), sequences([20, 90, 60, 33], dim=64, seed=8)
    double = search(queries, documents, SearchConfig())
    single = search(queries, documents, SearchConfig(precision="single"))
    assert single.dtype == torch.float64 and 0 < (single - double).abs().max() < 2e-5


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="config.distance is 'cosin'; did you mean 'cosine'"):
        build(SearchConfig, {"distance": "cosin"})
    with pytest.raises(ConfigError, match="shortest must be at least 1 frame, found 0"):
        SearchConfig(shortest=0)
