"""A small task that needs no corpus: tones of different pitch, named by a linear head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import RunConfig, run_config, task_configs
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.optim import Optimizers
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.multitask.trainer import Trainer
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.seeding import seeded
from s3prl_plugins.superb.cards import card


class ToneReader:
    """Utterances are tones; training adds a random phase drawn from the given generator."""

    def __init__(self, task: str = "ks") -> None:
        self.card = card(task)

    def examples(self, count: int) -> list[Example]:
        seconds = [0.1 + 0.03 * (i % 7) for i in range(count)]
        return [Example(f"tone{i:03d}", Path(f"{i}.wav"), s, "low" if i % 3 else "high") for i, s in enumerate(seconds)]

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        phase = torch.rand(1, generator=generator) if generator is not None else torch.zeros(1)
        pitch = 200.0 if example.label == "low" else 900.0
        time = torch.arange(round(example.seconds * 16000)) / 16000
        return torch.sin(2 * torch.pi * (pitch * time + phase))


class Frames(nn.Module):
    """An upstream without padding effects: 160-sample frames through two linear layers, plus their input."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(160, dim), nn.Linear(dim, dim)
        self.layerdrop = 0.5

    def get_downsample_rates(self, key: str) -> int:
        return 160

    def forward(self, waves: list[Tensor]) -> dict[str, list[Tensor]]:
        frames = [wave[: wave.numel() // 160 * 160].view(-1, 160) for wave in waves]
        if min(len(frame) for frame in frames) == 0:
            raise RuntimeError("no frames")
        states = [self.first(nn.utils.rnn.pad_sequence(frames, batch_first=True)).square()]
        states.append(self.second(torch.tanh(states[0])))
        return {"hidden_states": states, "top": [states[-1]]}


def stream(count: int = 20, size: int = 3, seed: int = 0, workers: int = 0, balanced: bool = False) -> TaskStream:
    reader = ToneReader()
    return TaskStream(reader, reader.examples(count), BatchConfig(size), seed, balanced, workers)


def joint_model(tasks: tuple[str, ...] = ("ks", "sid"), seed: int = 0, **options: Any) -> JointModel:
    """Two classification heads on `Frames`, with layer weights of their own."""
    configs = {name: task_configs({**MAPPING, "tasks": list(tasks)})[name] for name in tasks}
    labels = {name: {"tone": ["low", "high"]} for name in tasks}
    with seeded(seed, "frames"):
        trunk = Trunk(Frames(), "none")
    return JointModel(trunk, configs, labels, seed, **options)


def streams(tasks: tuple[str, ...] = ("ks", "sid"), size: int = 3, seed: int = 0) -> dict[str, TaskStream]:
    readers = {name: ToneReader(name) for name in tasks}
    return {name: TaskStream(reader, reader.examples(20), BatchConfig(size), seed) for name, reader in readers.items()}


MAPPING: dict[str, Any] = {
    "corpus_root": "data",
    "size": "mini",
    "tasks": ["ks", "sid"],
    "superb": {},
    "optimizer": {"upstream": {"lr": 1e-3}, "heads": {"lr": 1e-2}},
    "runner": {"total_steps": 30},
}

SPECAUG = {"time_mask_width_range": [0, 4], "freq_mask_width_range": [0, 4], "time_warp_window": 2}


class Entries:
    def __init__(self) -> None:
        self.steps: dict[int, Mapping[str, float]] = {}
        self.all: list[tuple[int, Mapping[str, float]]] = []

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.steps[step] = values
        self.all.append((step, values))

    def close(self) -> None:
        pass


class Run:
    """A run in memory that can be saved and restored as the experiment does it."""

    def __init__(
        self, config: RunConfig, model: JointModel | None = None, tasks: tuple[str, ...] = ("ks", "sid")
    ) -> None:
        self.model = model or joint_model(tasks, specaug=SPECAUG)
        self.streams, self.log = streams(tasks), Entries()
        self.evaluated: list[int] = []
        runner = config.runner
        self.optimizers = Optimizers(self.model.parts(), config.optimizer, runner.warmup_steps, runner.total_steps)
        self.states: dict[int, dict[str, Any]] = {}
        self.balancer = build_balancer(config.balancer, tasks, 7)
        self.trainer = Trainer(
            self.model, self.streams, self.optimizers, self.balancer, runner, 7, self.log,
            self.save, self.evaluated.append,
        )  # fmt: skip

    def save(self, step: int) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "balancer": self.balancer.state_dict(),
            "streams": {name: stream.state_dict() for name, stream in self.streams.items()},
        }
        self.states[step] = {name: _copy(part) for name, part in state.items()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.balancer.load_state_dict(state["balancer"])
        for name, source in self.streams.items():
            source.load_state_dict(state["streams"][name])


def _copy(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copy(value) for value in state]
    return state.clone() if isinstance(state, torch.Tensor) else state


def config(balancer: dict[str, Any] | None = None, **runner: Any) -> RunConfig:
    mapping = {**MAPPING, "runner": {**MAPPING["runner"], **runner}}
    return run_config({**mapping, "balancer": balancer} if balancer else mapping)
