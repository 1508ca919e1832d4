"""The one pretraining loop: crops in, weighed losses, an optimizer, checkpoints to go on from."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from s3prl_plugins.balancers import Balancer, FixedWeights
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.logs import RunLogger
from s3prl_plugins.pretrain.config import TrainConfig
from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.parameters import by_part, by_rate
from s3prl_plugins.pretrain.speech import Crop, Crops, load_crops
from s3prl_plugins.pretrain.states import NEWEST, load_state, save_state
from s3prl_plugins.schedules import linear_schedule
from s3prl_plugins.seeding import generator, seeded
from s3prl_plugins.stopping import stoppable

__all__ = ["Pretrainer"]


class Pretrainer:
    """Trains an objective in a folder; started again on the same folder it goes on after its last checkpoint.

    Data order, masks and dropout are functions of (seed, step), so on a CPU a run that was cut off and continued
    ends with the parameters of one that was not.

    :param model: an `Objective`; parameters that need no gradient are left alone.
    :param folder: holds `training.pt`, the state before it, `metrics.jsonl` and TensorBoard events.
    :param apart: beginnings of parameters' names; the gradient of each such part is clipped by its own norm.
    :param balancer: weighs the losses, 1 where it names none; by default `config.weights`.
    """

    def __init__(
        self, model: nn.Module, train: Crops, held_out: Crops, config: TrainConfig, folder: Path, seed: int,
        device: torch.device, apart: Sequence[str] = (), balancer: Balancer | None = None,
    ) -> None:  # fmt: skip
        self.model, self.train_crops, self.held_out = model.to(device), train, held_out
        self.config, self.folder, self.seed, self.device = config, folder, seed, device
        self.balancer = balancer or FixedWeights(tuple(config.weights), config.weights)
        self.parts = by_part(model, apart)
        groups = by_rate(model, config)
        self.rates = list(groups)
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters} for parameters in groups.values()],
            lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay,
        )  # fmt: skip

    def run(self) -> None:
        """Train to the last step.

        :raises Interrupted: SIGINT or SIGTERM came; the state after the step is saved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        meter = _Meter()
        done = self._resume(meter)
        config = self.config
        if done >= config.steps:
            return
        batches = self._batches(done * config.accumulate)
        self.model.train()
        with (
            stoppable() as stop,
            contextlib.closing(RunLogger(self.folder, done)) as logger,
            tqdm(total=config.steps, initial=done, desc=self.folder.name, unit="step", dynamic_ncols=True) as bar,
        ):
            for step in range(done + 1, config.steps + 1):
                self._step(step, batches, meter)
                bar.update()
                last = step == config.steps
                if step % config.log_step == 0 or last:
                    entry = meter.flush()
                    logger.log(step, entry)
                    bar.set_postfix({name.removeprefix("train/"): f"{value:.3f}" for name, value in entry.items()})
                if step % config.eval_step == 0 or last:
                    logger.log(step, self.validate())
                if step % config.save_step == 0 or last or stop.asked:
                    self._save(step, meter)
                if stop.asked:
                    raise stop.interrupted(step)

    def validate(self) -> dict[str, float]:
        """Mean losses on the held-out speech: the same crops and masks every time."""
        self.model.eval()
        meter = _Meter()
        with torch.no_grad():
            for number, crops in enumerate(self.held_out.epoch(0)):
                losses = self._forward(crops, generator(self.seed, "validation", number))
                meter.take(losses, len(crops) * crops[0].frames, "dev")
        self.model.train()
        return meter.means()

    def _step(self, step: int, batches: Iterator[Sequence[Crop]], meter: _Meter) -> None:
        config, weights = self.config, self.balancer.weights(step)
        self.optimizer.zero_grad(set_to_none=True)
        means: defaultdict[str, float] = defaultdict(float)
        for micro in range(config.accumulate):
            crops = next(batches)
            with seeded(self.seed, "step", step, micro):
                losses = self._forward(crops, generator(self.seed, "mask", step, micro))
            terms = [weights.get(name, 1.0) * term for name, term in losses.terms.items()]
            torch.autograd.backward(torch.stack(terms).sum() / config.accumulate)
            meter.take(losses, 1, "train")
            for name, term in losses.terms.items():
                means[name] += float(term.detach()) / config.accumulate
            meter.seconds += len(crops) * crops[0].frames * self.train_crops.frames.rate / 16000
        norm = math.hypot(*(float(nn.utils.clip_grad_norm_(part, config.clip)) for part in self.parts))
        meter.add("train/grad_norm", norm, 1)
        factor = linear_schedule(step, round(config.warmup * config.steps), config.steps + 1)
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * factor
        if math.isfinite(norm):
            self.optimizer.step()
        else:
            tqdm.write(f"step {step}: the gradient is not finite; the step is left out")
        self.balancer.observe(step, {name: mean for name, mean in means.items() if math.isfinite(mean)})

    def _forward(self, crops: Sequence[Crop], random: torch.Generator) -> Losses:
        batch = Batch(load_crops(self.train_crops.utterances, crops, self.train_crops.frames), crops).to(self.device)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")
        with autocast:
            losses: Losses = self.model(batch, random)
        return losses

    def _batches(self, skip: int) -> Iterator[Sequence[Crop]]:
        """Training batches from number `skip` on."""
        epoch = 0
        while True:
            batches = self.train_crops.epoch(epoch)
            yield from batches[skip:]
            skip = max(0, skip - len(batches))
            epoch += 1

    def _resume(self, meter: _Meter) -> int:
        path, state = self.folder / NEWEST, load_state(self.folder)
        if state is None:
            return 0
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.balancer.load_state_dict(state.get("balancer", {}))
            meter.load_state_dict(state.get("meter", {}))
        except (RuntimeError, ValueError, KeyError, EOFError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path} does not fit this run ({reason}); remove it or choose another -p") from error
        return int(state["step"])

    def _save(self, step: int, meter: _Meter) -> None:
        state: dict[str, Any] = {
            "step": step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(), "meter": meter.state_dict(),
        }  # fmt: skip
        save_state(self.folder, state)


class _Meter:
    """Weighted means since the last log entry, and audio throughput."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, float] = defaultdict(float)
        self.seconds, self._start = 0.0, time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """All but the clock."""
        return {"sums": dict(self._sums), "counts": dict(self._counts), "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """A state of a run that kept none is empty."""
        self._sums.update(state.get("sums", {}))
        self._counts.update(state.get("counts", {}))
        self.seconds = state.get("seconds", 0.0)

    def add(self, name: str, value: float | Tensor, count: float) -> None:
        self._sums[name] += float(value) * count
        self._counts[name] += count

    def take(self, losses: Losses, count: float, split: str) -> None:
        for name, value in losses.terms.items():
            self.add(f"{split}/{name}", value.detach(), count)
        for name, shown in losses.shown.items():
            self.add(f"{split}/{name}", shown, count)

    def means(self) -> dict[str, float]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def flush(self) -> dict[str, float]:
        entry = self.means()
        entry["train/audio_seconds_per_second"] = self.seconds / (time.perf_counter() - self._start)
        self._reset()
        return entry
