"""The configuration of a joint run: `configs/multitask/*.yaml`, laid over one `configs/superb/<task>_<size>.yaml` a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import s3prl_plugins
from s3prl_plugins.config import above_0, build, load_yaml, merge
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.features.budget import parse_size
from s3prl_plugins.features.utterances import Crops
from s3prl_plugins.heads.task import TaskConfig, task_config
from s3prl_plugins.multitask.scenario_config import SingleTaskConfig, SslConfig
from s3prl_plugins.multitask.ssl_config import SSL, MaskedPredictionConfig
from s3prl_plugins.multitask.trunk import Padding, Precision
from s3prl_plugins.superb.cards import FINETUNED_TASKS, task_names

__all__ = [
    "OptimizerConfig",
    "RunConfig",
    "RunnerConfig",
    "find_config",
    "resolve",
    "run_config",
    "shipped_configs",
    "task_configs",
]


@dataclass(frozen=True)
class EncoderConfig:
    """How the shared encoder is run."""

    padding: Padding = "batch"
    """`batch` as stock s3prl, `none` every utterance as if alone; kept in the checkpoint and used in evaluation."""
    conv_grad_mult: float | None = None
    """Gradient multiplier of the convolutional front-end: 0 frozen, 0.1 as HuBERT Base was trained; null leaves it
    as the upstream has it (s3prl's HuBERT: 0)."""
    precision: Precision = "float32"
    """`bfloat16` lets an encoder that is finetuned compute under autocast: faster on a GPU, with half the activations.
    Weights, heads, losses and evaluation stay float32."""
    crops: Crops = "fresh"
    """`fresh`: training hears another random crop at every visit (SID, ASV, silence of KS). `fixed`: every utterance keeps
    one, drawn from seed, task and name, so that a frozen encoder's states of it can be stored."""
    store: str | None = None
    """Folder of the hidden states of a frozen encoder with padding `none`, so that each utterance is computed once; null is
    `features` in the run's folder (of all runs of `s3prl-plugins finetune -p DIR`: DIR/features), `none` stores nothing."""
    store_kind: Literal["float32", "float16", "int8", "int4"] = "int4"
    """What stored frames are rounded to, and with them what heads learn from. Of KS, IC, SID, ER without SpecAugment means
    over time are stored instead, in float32: all that their heads see."""
    store_budget: str = "20GB"
    """Disk that the folder may take (`800MB`, `50GB`); what saves most time is stored, the rest computed each time."""

    def __post_init__(self) -> None:
        try:
            parse_size(self.store_budget)
        except ConfigError as error:
            raise ConfigError(f"store_budget: {error}") from None


@dataclass(frozen=True)
class OptimizerConfig:
    """One optimizer; its learning rate follows `runner.schedule`."""

    lr: float
    """Highest learning rate."""
    name: str = "AdamW"
    """Name of a `torch.optim` class."""
    options: dict[str, Any] = field(default_factory=dict)
    """Its other arguments (weight_decay, betas ...)."""


@dataclass(frozen=True)
class OptimizersConfig:
    """Encoder, layer weights and heads each have their own."""

    upstream: OptimizerConfig
    heads: OptimizerConfig
    featurizer: OptimizerConfig | None = None
    """Of the layer weights; null takes the encoder's settings, as the paper does."""
    head_lr: dict[str, float] = field(default_factory=dict)
    """Task -> highest learning rate of its head, where it is not `heads.lr`."""


@dataclass(frozen=True)
class ClipConfig:
    """Largest gradient norms; null does not clip."""

    upstream: float | None = 1.0
    """Encoder and layer weights together."""
    heads: float | None = 1.0
    """Each head by itself, so that one head's large gradient shrinks nothing else."""
    total: float | None = None
    """Everything together, as stock s3prl clips; takes the place of the other two where it is set."""

    def __post_init__(self) -> None:
        above_0(self, "upstream", "heads", "total")


@dataclass(frozen=True)
class RunnerConfig:
    """Steps and intervals, by s3prl's names."""

    total_steps: int
    """Optimizer steps; one step sees every task once (times gradient_accumulate_steps)."""
    warmup_steps: int = 0
    """Steps of rising learning rate."""
    schedule: Literal["linear", "constant"] = "linear"
    """After warm-up: linearly to 0, or constant as in SUPERB's recipes."""
    gradient_accumulate_steps: int = 1
    """Batches of every task per step."""
    gradient_clipping: ClipConfig = field(default_factory=ClipConfig)
    log_step: int = 100
    """Steps between log entries."""
    conflict_step: int | None = None
    """Steps between measurements of norms, cosines and conflicts of the tasks' gradients (balancers that need gradients
    measure always); null in each step that is logged, 0 never. Such a step keeps 2 bytes for each encoder weight and task."""
    affinity_step: int = 0
    """Steps between measurements of how much a step for one task lowers the losses of the others (`affinity.py`), 0 never.
    Each costs about as much as (tasks + 4) / 3 training steps."""
    eval_step: int = 0
    """Steps between evaluations while training; 0 evaluates at the end only."""
    eval_splits: tuple[str, ...] = ("dev",)
    """Splits evaluated then (a role such as `dev`, or a task's own name)."""
    eval_at_start: bool = False
    """Evaluate before the first step too: the heads as initialised."""
    save_step: int = 1000
    """Steps between checkpoints; one is always written at the end."""
    max_keep: int = 2
    """Checkpoints kept."""
    num_workers: int = 0
    """Processes per task that read audio ahead; 0 reads in the main process."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "gradient_accumulate_steps", "log_step", "save_step", "max_keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.warmup_steps <= self.total_steps:
            raise ConfigError(
                f"warmup_steps must lie in 0..total_steps ({self.total_steps}), found {self.warmup_steps}; change one of them"
            )


@dataclass(frozen=True)
class RunConfig:
    """Everything about a joint run but the upstream, the seed, the device and the folder, which are arguments."""

    corpus_root: Path
    """Folder that the tasks' relative corpus paths start from."""
    size: Literal["paper", "mini"]
    """Which `configs/superb/<task>_<size>.yaml` each task starts from."""
    tasks: tuple[str, ...]
    """Tasks trained jointly."""
    superb: dict[str, Any]
    """Per task, what differs from that file; complete after `resolve`."""
    optimizer: OptimizersConfig
    runner: RunnerConfig
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    featurizer: Literal["per_task", "shared"] = "per_task"
    """Layer weights for each task, as SUPERB; `shared` reproduces the code released with arXiv 2110.09930."""
    balancer: dict[str, Any] = field(default_factory=lambda: {"name": "fixed"})
    """How tasks are weighed: `name` of a balancer (`balancers.BALANCERS`), its options, and for each of them `weights:
    {task: weight}` that the losses are multiplied with first, 1 where none is given."""
    specaug: dict[str, Any] | None = None
    """Arguments of s3prl.nn.specaug.SpecAug, applied to every task's features while training; null leaves it out."""
    masked_prediction: MaskedPredictionConfig | None = None
    """HuBERT's own loss on unlabelled speech as a further task `ssl`, so that the encoder keeps what it could do; null: none."""
    exclude_other_tests: bool = True
    """Drop from each task's training what another chosen task evaluates on."""
    heads: Literal["auto", "ssl", "scratch"] = "auto"
    """What heads and layer weights of the joint scenarios start from: `ssl` those trained alone, `scratch` random
    weights, `auto` those trained alone where they are there. Of `s3prl-plugins finetune` only."""
    ssl: SslConfig = field(default_factory=SslConfig)
    """Scenario (a): every head alone on the untouched encoder. Of `s3prl-plugins finetune` only."""
    transfer: SingleTaskConfig = field(default_factory=SingleTaskConfig)
    """Scenario (c): a head alone on the encoder that was finetuned without its task. Of `s3prl-plugins finetune` only."""

    def __post_init__(self) -> None:
        task_names(self.tasks)
        for name in self.optimizer.head_lr:
            if name not in FINETUNED_TASKS:
                raise ConfigError(f"unknown task config.optimizer.head_lr.{name}; {nearest(name, FINETUNED_TASKS)}")

    @property
    def streams(self) -> tuple[str, ...]:
        """What a step learns from: the tasks, and masked prediction if it is asked for."""
        return self.tasks if self.masked_prediction is None else (*self.tasks, SSL)

    @property
    def task_configs(self) -> dict[str, TaskConfig]:
        """The chosen tasks' own configurations."""
        return {name: task_config(self.superb[name], f"config.superb.{name}") for name in self.tasks}


def shipped_configs() -> Path:
    """The folder `configs/` that comes with this package; a checkout keeps it beside the package."""
    return next(place for root in s3prl_plugins.__path__ if (place := Path(root) / "configs").is_dir())


def find_config(name: str | Path) -> Path:
    """A configuration by path, or by the name of one that comes with this package (`all_task_mini`)."""
    if Path(name).is_file():
        return Path(name)
    folder = shipped_configs() / "multitask"
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if Path(name).stem in shipped and len(Path(name).parts) == 1:
        return shipped[Path(name).stem]
    raise ConfigError(
        f"no config file {str(name)!r} here, and none of that name in the package; {nearest(str(name), shipped)}"
    )


def resolve(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `superb.<task>` over the package's file for every chosen task, so that the mapping stands alone.

    Resolving twice changes nothing. Entries of tasks that are not chosen are checked for their name and left out.
    """
    size, given = mapping.get("size"), mapping.get("superb") or {}
    if size not in ("paper", "mini"):
        raise ConfigError(f"config.size is {size!r}; {nearest(str(size), ('paper', 'mini'))}")
    if not isinstance(given, Mapping):
        raise ConfigError(f"config.superb must map tasks to their settings, found {given!r}")
    for name in given:
        if name not in FINETUNED_TASKS:
            raise ConfigError(f"unknown task config.superb.{name}; {nearest(str(name), FINETUNED_TASKS)}")
    tasks = mapping.get("tasks", FINETUNED_TASKS)
    if not isinstance(tasks, list | tuple) or not all(isinstance(name, str) for name in tasks):
        raise ConfigError(f"config.tasks must be a list such as ['asr', 'pr'], found {tasks!r}")
    if SSL in tasks:
        if not mapping.get("masked_prediction"):
            raise ConfigError(
                f"config.tasks names {SSL!r}, masked prediction on unlabelled speech: say where that is, e.g. with "
                "config.masked_prediction.folders=['data/speech']"
            )
        tasks = [name for name in tasks if name != SSL]
    folder = shipped_configs() / "superb"
    complete = {}
    for name in task_names(tasks):
        change = given.get(name) or {}
        if not isinstance(change, Mapping):
            raise ConfigError(f"config.superb.{name} must be a mapping, found {change!r}")
        complete[name] = merge(load_yaml(folder / f"{name}_{size}.yaml"), change)
    return {**mapping, "tasks": list(tasks), "superb": complete}


def run_config(mapping: Mapping[str, Any]) -> RunConfig:
    """Resolve and check a configuration, each task's part included."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"config must be a mapping of keys to values, found {mapping!r}")
    encoder = mapping.get("encoder")
    if isinstance(encoder, Mapping) and "memory_gb" in encoder:
        raise ConfigError(
            "unknown key config.encoder.memory_gb; states are kept on disk now, set config.encoder.store_budget"
        )
    config = build(RunConfig, resolve(mapping))
    assert config.task_configs
    return config


def task_configs(mapping: Mapping[str, Any]) -> dict[str, TaskConfig]:
    """The chosen tasks' own configurations, from `size`, `tasks` and `superb` alone."""
    resolved = resolve(mapping)
    return {name: task_config(resolved["superb"][name], f"config.superb.{name}") for name in resolved["tasks"]}
