"""Means of checkpoints."""

from typing import Any

import pytest
import torch

from s3prl_plugins.choosing.soup import average
from s3prl_plugins.errors import CheckpointError


def state(seed: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    weights = {name: torch.randn(tuple(value.shape), generator=draw) for name, value in network.state_dict().items()}
    weights["1.num_batches_tracked"] = torch.tensor(seed)
    half = {"weights": torch.randn(5, generator=draw).half()}
    return {"heads": weights, "featurizers": half, "labels": {"ks": ["yes", "no"]}, "hubert": None}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_soup_of_equal_checkpoints_is_the_checkpoint_bit_by_bit(count: int) -> None:
    mean, one = average(state(5) for _ in range(count)), state(5)
    assert mean["labels"] == one["labels"] and mean["hubert"] is None and mean.keys() == one.keys()
    for part in ("heads", "featurizers"):
        assert mean[part].keys() == one[part].keys()
        for name, value in one[part].items():
            assert torch.equal(mean[part][name], value) and mean[part][name].dtype == value.dtype


def test_the_soup_of_two_is_their_mean_and_counters_are_the_last_ones() -> None:
    first, second = state(1), state(2)
    untouched = first["heads"]["0.weight"].clone()
    mean = average([first, second])
    for part in ("heads", "featurizers"):
        for name, value in mean[part].items():
            if value.is_floating_point():
                wanted = (first[part][name].double() + second[part][name].double()) / 2
                assert torch.equal(value, wanted.to(value.dtype)), name
    assert mean["heads"]["1.num_batches_tracked"] == 2
    assert torch.equal(first["heads"]["0.weight"], untouched)


def test_the_mean_does_not_depend_on_the_order_beyond_rounding() -> None:
    states = [state(seed) for seed in range(4)]
    one, other = average(states), average(states[::-1])
    assert torch.allclose(one["heads"]["0.weight"], other["heads"]["0.weight"], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"ks": ["no", "yes"]}},
        {"heads": {}},
        {"extra": torch.zeros(1)},
        {"featurizers": {"weights": torch.zeros(6)}},
    ],
)
def test_states_of_different_runs_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"these differ in \w+.*use those of one run"):
        average([state(1), {**state(2), **change}])
