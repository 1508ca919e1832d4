"""LIM, GIM and SPC: guessing costs log 2, what can be told apart is told apart, SPC's stretches are where they should be."""

import math

import pytest
import torch
from torch import Tensor

from s3prl_plugins.pretrain.workers import Views, Worker, build_worker
from s3prl_plugins.pretrain.workers.order import OrderConfig, draw_places

DIM = 6
CASES = [
    ("lim", {"hidden": 32}),
    ("gim", {"hidden": 32}),
    ("gim", {"hidden": 32, "augment": True}),
    ("spc", {"hidden": 32}),
]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unrelated(random: torch.Generator, rows: int = 32, frames: int = 42) -> Views:
    chunk, context, other = torch.randn(3, rows, frames, DIM, generator=random)
    return Views(torch.zeros(rows, 160 * frames), chunk, context, other)


def speakers(random: torch.Generator, rows: int = 32, frames: int = 42) -> Views:
    """Each row has its voice, +1 or -1 in the first number, and the other utterance is of the other voice."""
    views = unrelated(random, rows, frames)
    voice = torch.randint(2, (rows,), generator=random) * 2.0 - 1
    for view, sign in ((views.chunk, 1), (views.context, 1), (views.other, -1)):
        view[:, :, 0] = sign * voice.unsqueeze(1)
    return views


def ageing(random: torch.Generator, rows: int = 32, frames: int = 42) -> Views:
    """The first number grows with time from a level that each row has of its own."""
    views = unrelated(random, rows, frames)
    start: Tensor = torch.randn(rows, 1, generator=random)
    views.chunk[:, :, 0] = start + torch.linspace(-2, 2, frames)
    return views


def train(worker: Worker, make: object, steps: int = 80) -> None:
    random = generator(1)
    optimizer = torch.optim.Adam(worker.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = worker(make(random), random)  # type: ignore[operator]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_what_cannot_be_told_apart_costs_log_2(name: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    worker = build_worker(name, DIM, options)
    untrained = torch.stack([worker(unrelated(generator(n)), generator(n)).detach() for n in range(20)])
    assert abs(float(untrained.mean()) - math.log(2)) < 0.1
    train(worker, unrelated)
    fresh = torch.stack([worker(unrelated(generator(100 + n)), generator(n)).detach() for n in range(20)])
    assert math.log(2) - 0.02 < float(fresh.mean()) < math.log(2) + 0.2


@pytest.mark.parametrize(("name", "options"), CASES)
def test_what_can_be_told_apart_is(name: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    worker, make = build_worker(name, DIM, options), ageing if name == "spc" else speakers
    train(worker, make)
    fresh = torch.stack([worker(make(generator(100 + n)), generator(n)).detach() for n in range(5)])
    assert float(fresh.mean()) < 0.1


def test_gim_with_augment_adds_the_other_order_of_its_pairs() -> None:
    torch.manual_seed(0)
    one, both = build_worker("gim", DIM), build_worker("gim", DIM, {"augment": True})
    both.load_state_dict(one.state_dict())
    views, random = unrelated(generator(0)), generator(0)
    swapped = Views(views.clean, views.context, views.chunk, views.other)
    wanted = (one(views, random) + one(swapped, random)) / 2
    torch.testing.assert_close(both(views, random), wanted)


def test_lim_goes_frame_by_frame_and_gim_by_means() -> None:
    views, random = unrelated(generator(0)), generator(0)
    order = torch.randperm(42, generator=random)
    shuffled = Views(views.clean, views.chunk, views.context[:, order], views.other)
    lim, gim = build_worker("lim", DIM), build_worker("gim", DIM)
    torch.testing.assert_close(gim(shuffled, random), gim(views, random))
    assert not torch.allclose(lim(shuffled, random), lim(views, random))
    every = Views(views.clean, views.chunk[:, order], views.context[:, order], views.other[:, order])
    torch.testing.assert_close(lim(every, random), lim(views, random))


@pytest.mark.parametrize("frames", [42, 44, 60, 100])
def test_spc_draws_every_admissible_place_and_no_other(frames: int) -> None:
    random, config = generator(0), OrderConfig()
    drawn = {draw_places(frames, config, random) for _ in range(20000)}
    for frame, later, earlier in drawn:
        assert later >= frame + 16
        assert later + 5 <= frames
        assert earlier + 4 < frame - 16
        assert earlier >= 0
    assert {frame for frame, _, _ in drawn} == set(range(21, frames - 20))
    assert max(later for _, later, _ in drawn) == frames - 5
    assert min(earlier for _, _, earlier in drawn) == 0
    assert min(later - frame for frame, later, _ in drawn) == 16
    assert min(frame - earlier for frame, _, earlier in drawn) == 21


def test_spc_hears_only_the_frame_and_its_stretches() -> None:
    worker, views = build_worker("spc", DIM), unrelated(generator(0), 3, 60)
    views.chunk.requires_grad_()
    torch.autograd.backward(worker(views, generator(5)))
    frame, later, earlier = draw_places(60, OrderConfig(), generator(5))
    assert views.chunk.grad is not None
    heard = set(views.chunk.grad.abs().sum((0, 2)).nonzero().flatten().tolist())
    assert heard == {frame, *range(later, later + 5), *range(earlier, earlier + 5)}


def test_spc_needs_room() -> None:
    worker = build_worker("spc", DIM)
    assert worker.least == 42
    with pytest.raises(ValueError, match="spc needs 42 frames, found 41; take a longer chunk"):
        worker(unrelated(generator(0), 2, 41), generator(0))
    assert build_worker("spc", DIM, {"stretch": 2, "gap": 3}).least == 10
