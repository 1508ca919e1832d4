"""Batching: every utterance once, within count and seconds; the same seed gives the same batches."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.multitask.sampling import balanced_order, batches_in_order, training_batches

lengths = st.lists(st.floats(min_value=0.1, max_value=30.0), min_size=1, max_size=120)


@given(lengths, st.integers(1, 9), st.one_of(st.none(), st.floats(0.5, 60.0)))
def test_batches_keep_order_and_budgets(seconds: list[float], size: int, budget: float | None) -> None:
    order = list(range(len(seconds)))[::-1]
    batches = batches_in_order(seconds, order, size, budget)
    assert [index for batch in batches for index in batch] == order
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert budget is None or len(batch) == 1 or sum(seconds[i] for i in batch) <= budget


@given(lengths, st.integers(1, 9), st.one_of(st.none(), st.floats(0.5, 60.0)), st.integers(0, 99))
def test_an_epoch_holds_every_utterance_once(seconds: list[float], size: int, budget: float | None, seed: int) -> None:
    def draw() -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(seconds), generator=generator).tolist()
        return training_batches(seconds, order, size, budget, generator)

    batches = draw()
    assert sorted(index for batch in batches for index in batch) == list(range(len(seconds)))
    assert batches == draw()


def test_batches_are_of_similar_length_but_in_random_order() -> None:
    generator = torch.Generator().manual_seed(0)
    seconds = torch.rand(640, generator=generator).tolist()
    order = torch.randperm(640, generator=generator).tolist()
    batches = training_batches(seconds, order, 8, None, generator)
    spread = [max(seconds[i] for i in batch) - min(seconds[i] for i in batch) for batch in batches]
    assert sum(spread) / len(spread) < 0.1
    means = [sum(seconds[i] for i in batch) / len(batch) for batch in batches]
    assert means != sorted(means)


@given(lengths, st.integers(1, 9), st.integers(1, 40), st.integers(0, 99))
def test_whatever_the_bucket_an_epoch_holds_every_utterance_once(
    seconds: list[float], size: int, pool: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(seconds), generator=generator).tolist()
    batches = training_batches(seconds, order, size, None, generator, pool)
    assert sorted(index for batch in batches for index in batch) == list(range(len(seconds)))
    assert len(batches) == -(-len(seconds) // size)
    if pool == 1:  # the batches of the order itself
        drawn = [frozenset(order[start : start + size]) for start in range(0, len(order), size)]
        assert sorted(map(sorted, batches)) == sorted(map(sorted, drawn))


def test_a_larger_bucket_pads_less() -> None:
    seconds = torch.rand(640, generator=torch.Generator().manual_seed(0)).add(0.5).tolist()

    def padding(pool: int) -> float:
        generator = torch.Generator().manual_seed(1)
        order = torch.randperm(640, generator=generator).tolist()
        batches = training_batches(seconds, order, 8, None, generator, pool)
        return 1 - sum(seconds) / sum(max(seconds[i] for i in batch) * len(batch) for batch in batches)

    wastes = [padding(pool) for pool in (1, 4, 32)]
    assert wastes[0] > 0.2 > 0.12 > wastes[1] > wastes[2] and wastes[2] < 0.02


def test_balanced_order_draws_classes_equally() -> None:
    classes = ["rare"] * 10 + ["common"] * 990
    drawn = balanced_order(classes, torch.Generator().manual_seed(1))
    assert len(drawn) == 1000
    assert 0.4 < sum(classes[i] == "rare" for i in drawn) / 1000 < 0.6
