"""Five thousand steps: memory and open files stay what they were."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import statistics
import sys
from pathlib import Path

import torch

from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.logs import RunLogger
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.optim import Optimizers
from s3prl_plugins.multitask.reading import Reading
from s3prl_plugins.multitask.streams import TaskStream, evaluation_batches
from s3prl_plugins.multitask.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1] / "multitask"))
from fakes_multitask import ToneReader, config, joint_model

STEPS, SETTLED = 5000, 1500
"""Steps, and those after which nothing may grow: buffers, queues and caches have filled."""
GROWTH, JUMPS = 200_000, 12_000_000
"""Bytes that are no growth: in most stretches of 500 steps, and in all together. A leak grows in every one; but the allocator
takes pages when it likes, and a collection of garbage in a forked worker copies those it shared."""
RUNNER = {"total_steps": STEPS, "log_step": 10, "save_step": 500, "eval_step": 500}
PAGE = os.sysconf("SC_PAGE_SIZE")


def memory(process: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE


def test_memory_and_open_files_stay_flat(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    chosen, model, reader, reading = config(**RUNNER), joint_model(("ks",)), ToneReader("ks"), Reading()
    examples = reader.examples(20)
    stream = TaskStream(reader, examples, BatchConfig(1), 0, workers=1, reading=reading)
    optimizers = Optimizers(model.parts(), chosen.optimizer, 0, STEPS)
    balancer, logger = build_balancer(chosen.balancer, ("ks",), 0), RunLogger(tmp_path)
    seen: dict[int, tuple[int, int, int]] = {}

    def save(step: int) -> None:
        training = {"optimizers": optimizers.state_dict(), "streams": stream.state_dict()}
        checkpoint.save(tmp_path, step, {"seed": 1}, {}, {"model": model.state_dict(), "training": training}, 2)
        [worker] = [child.pid for child in multiprocessing.active_children()]
        assert worker is not None
        seen[step] = memory(os.getpid()), memory(worker), len(list(Path("/proc/self/fd").iterdir()))

    def evaluate(step: int) -> None:
        _, batches = evaluation_batches(reader, examples, BatchConfig(4), workers=1, reading=reading)
        scores = [float(loss.mean) for batch in batches if (loss := model.answer("ks", batch, True)[1])]
        logger.log(step, {"dev/ks/loss": sum(scores) / len(scores)})

    with contextlib.closing(stream), contextlib.closing(logger):
        Trainer(model, {"ks": stream}, optimizers, balancer, chosen.runner, 0, logger, save, evaluate).run(1)
    torch.set_num_threads(threads)
    settled = [counts for step, counts in seen.items() if step >= SETTLED]
    assert len(settled) == 8
    for what, values in zip(("main process", "worker"), zip(*settled)):
        assert statistics.median(after - before for before, after in itertools.pairwise(values)) < GROWTH, (
            what,
            values,
        )
        assert max(values) - values[0] < JUMPS, (what, values)
    assert len({counts[2] for counts in settled}) == 1, settled
