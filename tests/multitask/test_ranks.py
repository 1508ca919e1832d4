"""Two processes against one: the gradients of the joined batch, weights that stay alike, and evaluation shared."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from fakes_multitask import Run, ToneReader, config, joint_model, streams
from torch import Tensor

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.step import JointStep
from s3prl_plugins.multitask.streams import TaskStream, evaluation_batches
from s3prl_plugins.multitask.trainer import Trainer

TASKS = ("ks", "sid", "er")
BALANCERS = ("fixed", "uncertainty", "pcgrad", "gradnorm")


def shared_streams(ranks: Ranks, size: int, count: int = 20) -> dict[str, TaskStream]:
    """Streams whose joined batches have `size * world` utterances."""
    readers = {name: ToneReader(name) for name in TASKS}
    return {
        name: TaskStream(reader, reader.examples(count), BatchConfig(size), 0, ranks=ranks)
        for name, reader in readers.items()
    }


def gradients(
    ranks: Ranks, size: int, balancer: str, accumulate: int, look: bool = False, count: int = 20
) -> dict[str, Any]:
    model = joint_model(TASKS).train()
    weigher = build_balancer({"name": balancer}, TASKS, 7)
    found = JointStep(model, shared_streams(ranks, size, count), weigher, accumulate, 7, ranks)(1, look=look)
    named = {name: p.grad for name, p in model.named_parameters()}
    return {"losses": found.losses, "shown": found.shown, "gradients": named}


def cases(ranks: Ranks, size: int) -> list[dict[str, Any]]:
    """Of all balancers; in the last ones an epoch ends with a batch of one utterance, of which a process has none."""
    found = [gradients(ranks, size, balancer, accumulate) for balancer in BALANCERS for accumulate in (1, 2)]
    ends = [gradients(ranks, size, balancer, 2, count=5) for balancer in ("fixed", "pcgrad")]
    return [*found, gradients(ranks, size, "fixed", 1, look=True), *ends]


def trained(ranks: Ranks, size: int) -> list[Tensor]:
    run = Run(config(total_steps=4, log_step=2), joint_model(TASKS), TASKS)
    Trainer(
        run.model, shared_streams(ranks, size), run.optimizers, build_balancer({"name": "pcgrad"}, TASKS, 7),
        config(total_steps=4, log_step=2).runner, 7, run.log, run.save, run.evaluated.append, ranks,
    ).run(1)  # fmt: skip
    return [p.detach().clone() for p in run.model.parameters()]


def work(rank: int, port: int, folder: str) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    ranks = Ranks(rank, 2)
    found = {
        "cases": cases(ranks, 2),
        "trained": trained(ranks, 2),
        "gathered": ranks.gather(f"from {rank}"),
        "sum": ranks.sum(1.0 + rank, float("nan") if rank else 0.0),
    }
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(work, (port, str(folder)), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def test_two_processes_have_the_gradients_of_the_joined_batch(both: list[dict[str, Any]]) -> None:
    expected = cases(ALONE, 4)
    for found in both:
        for ours, theirs in zip(found["cases"], expected, strict=True):
            assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-6)
            assert ours["shown"] == pytest.approx(theirs["shown"], rel=1e-4, abs=1e-5)
            assert ours["gradients"].keys() == theirs["gradients"].keys()
            for name, gradient in theirs["gradients"].items():
                torch.testing.assert_close(ours["gradients"][name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_the_processes_end_with_the_same_weights(both: list[dict[str, Any]]) -> None:
    for one, other, alone in zip(both[0]["trained"], both[1]["trained"], trained(ALONE, 4), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, alone, rtol=1e-4, atol=1e-5)


def test_sums_and_gathered_items_are_those_of_all(both: list[dict[str, Any]]) -> None:
    for found in both:
        assert found["gathered"] == ["from 0", "from 1"]
        assert found["sum"][0] == 3.0 and found["sum"][1] != found["sum"][1]
    assert ALONE.gather("x") == ["x"] and ALONE.sum(2.0) == [2.0]


@pytest.mark.parametrize("size", [1, 3])
def test_shares_are_disjoint_and_hear_what_one_process_hears(size: int) -> None:
    joined = shared_streams(ALONE, 2 * size)["ks"]
    shares = [shared_streams(Ranks(rank, 2), size)["ks"] for rank in (0, 1)]
    for _ in range(15):
        whole, parts = joined.next(), [source.next() for source in shares]
        for rank, part in enumerate(parts):
            assert part.examples == whole.examples[rank::2] and (part.epoch, part.index) == (whole.epoch, whole.index)
            for ours, theirs in zip(part.waves, whole.waves[rank::2], strict=True):
                assert ours is not None and theirs is not None and torch.equal(ours, theirs)


def test_evaluation_hands_every_batch_to_one_process() -> None:
    reader = ToneReader()

    def batches(ranks: Ranks) -> list[tuple[int, list[str]]]:
        count, found = evaluation_batches(reader, reader.examples(11), BatchConfig(2), ranks=ranks)
        listed = [(batch.index, [example.name for example in batch.examples]) for batch in found]
        assert count == len(listed)
        return listed

    assert sorted(batches(Ranks(0, 2)) + batches(Ranks(1, 2))) == batches(ALONE)


@pytest.mark.parametrize(("saved", "now"), [(ALONE, Ranks(0, 2)), (Ranks(1, 2), ALONE)])
def test_a_run_goes_on_with_as_many_processes_only(saved: Ranks, now: Ranks) -> None:
    state = shared_streams(saved, 2)["ks"].state_dict()
    message = f"trained by {saved.world} processes and continues with {now.world}; start torchrun"
    with pytest.raises(CheckpointError, match=message):
        shared_streams(now, 2)["ks"].load_state_dict(state)
    restored: Callable[[dict[str, int]], None] = shared_streams(saved, 2)["ks"].load_state_dict
    restored(state)


def test_a_single_process_keeps_its_draws() -> None:
    assert ALONE.names == () and Ranks(0, 2).names != Ranks(1, 2).names
    assert streams()["ks"].state_dict() == {"epoch": 0, "batch": 0, "examples": 20}
