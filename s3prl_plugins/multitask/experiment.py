"""A joint run as a whole: built from s3prl's arguments and a configuration, trained, resumed, evaluated."""

from __future__ import annotations

import argparse
import contextlib
import platform
from collections.abc import Container, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from s3prl_plugins.balancers import Balancer
from s3prl_plugins.config import plain
from s3prl_plugins.errors import CheckpointError, ConfigError, CorpusError
from s3prl_plugins.heads.contract import Scores
from s3prl_plugins.logs import MetricLogger, RunLogger, SilentLogger, logged_scores, task_metric
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import run_config
from s3prl_plugins.multitask.er_folds import er_fold
from s3prl_plugins.multitask.evaluation import CALIBRATED, Evaluator, parse_splits, saved_results, update_results
from s3prl_plugins.multitask.folder import undone_on_error
from s3prl_plugins.multitask.hubert_config import hubert_config
from s3prl_plugins.multitask.init_heads import init_heads
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.optim import Optimizers
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.reading import Reading
from s3prl_plugins.multitask.shelves import Storage, why_nothing_is_stored
from s3prl_plugins.multitask.ssl_config import SSL
from s3prl_plugins.multitask.ssl_stream import check_encoder, ssl_stream
from s3prl_plugins.multitask.start import check_start, load_encoder, load_model
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.multitask.tasks import TaskData, read_tasks, training_examples
from s3prl_plugins.multitask.trainer import Trainer
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.multitask.upstream import build_upstream, choose_device
from s3prl_plugins.seeding import seeded
from s3prl_plugins.stopping import stoppable

__all__ = ["Experiment"]


class Experiment:
    """One joint run in its folder.

    :param args: s3prl's `run_downstream` arguments. With `past_exp` the run goes on from (or is evaluated at) its
        newest whole checkpoint, and the folder of that checkpoint is the experiment folder even if it was moved.
        Three that s3prl lacks may be among them: for a new run `init_upstream`, the folder of a run whose finetuned
        encoder this one starts from, and `init_heads`, a mapping from tasks to what `init_heads.read_head` takes;
        and `feature_store`, the store's folder where `config.encoder.store` names none. `chosen` goes into `results.json`: how
        `s3prl-plugins choose` came to this checkpoint.
    :param config: a mapping as in `configs/multitask/*.yaml`.
    :param tasks: takes the place of the corpora the configuration names.
    :param ranks: of several processes that train and evaluate together the first alone writes.
    :raises UserError: whatever is wrong with arguments, configuration, corpora or checkpoints; nothing is written then.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        config: Mapping[str, Any],
        tasks: Mapping[str, TaskData] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.args, self.config, self.ranks = args, run_config(config), ranks
        self.checkpoint = self._find_checkpoint()
        self.resumed = self.checkpoint if args.past_exp else None
        self.folder = self.resumed.path.parent if self.resumed else Path(args.expdir)
        self.step = self.checkpoint.step if self.checkpoint else self.config.runner.total_steps
        self.device = choose_device(args.device)
        self.tasks = tasks or read_tasks(self.config.task_configs, self.config.corpus_root)
        self.init_upstream: str | None = getattr(args, "init_upstream", None)
        self.init_heads: dict[str, str] = getattr(args, "init_heads", None) or {}
        self.own_encoder = bool(args.upstream_trainable or self.init_upstream)
        check_start(args, plain(self.config), self.checkpoint)
        self.model = self._build_model()
        given = self.config.encoder.store or getattr(args, "feature_store", None)
        self.store = Path(given) if given else self.folder / "features"
        self._store_is_settled = False
        self.reading = Reading() if self.config.runner.num_workers else None
        self.evaluator = Evaluator(
            self.model, self.tasks, self.config.runner.num_workers, ranks=ranks, reading=self.reading
        )

    def _find_checkpoint(self) -> checkpoints.Checkpoint | None:
        place = self.args.past_exp or self.args.init_ckpt
        if not place:
            return None
        found, passed = checkpoints.newest_whole(Path(place))
        for message in passed:
            tqdm.write(f"[multitask] {message}; going back to step {found.step}")
        return found

    def _build_model(self) -> JointModel:
        args, config = self.args, self.config
        saved = checkpoints.load_tensors(self.checkpoint, "model") if self.checkpoint else None
        known = saved["labels"] if saved is not None else {}
        labels = {name: known[name] if name in known else data.labels() for name, data in self.tasks.items()}
        with seeded(args.seed, "upstream"):
            upstream = build_upstream(args)
        selection, layer = args.upstream_feature_selection, args.upstream_layer_selection
        multiplier = config.encoder.conv_grad_mult if args.upstream_trainable else None
        trunk = Trunk(upstream, config.encoder.padding, selection, layer, multiplier, config.encoder.precision)
        model = JointModel(
            trunk.to(self.device), config.task_configs, labels, args.seed, args.upstream_trainable,
            config.featurizer == "shared", args.upstream_feature_normalize, config.specaug, config.masked_prediction,
        ).to(self.device)  # fmt: skip
        if config.masked_prediction is not None:
            check_encoder(trunk, args.upstream_trainable)
        if saved is not None:
            load_model(model, saved)
            self.own_encoder = self.own_encoder or "upstream" in saved
        if self.resumed is None:
            if self.init_upstream:
                load_encoder(model, Path(self.init_upstream))
            init_heads(model, self.init_heads, config.featurizer == "shared")
        return model

    def train(self) -> None:
        """Train to the end, from the start or from the checkpoint of `past_exp`.

        :raises Interrupted: SIGINT or SIGTERM came; the state is saved. Several processes end at once instead.
        """
        self._check_start()
        streams = self._streams()
        optimizers = Optimizers(
            self.model.parts(), self.config.optimizer, self.config.runner.warmup_steps, self.config.runner.total_steps,
            self.config.runner.schedule,
        )  # fmt: skip
        balancer = build_balancer(self.config.balancer, self.config.streams, self.args.seed)
        done = self.resumed.step if self.resumed else 0
        meter, last = self._restore(optimizers, balancer, streams), self.config.runner.total_steps

        def save(step: int) -> None:
            if not self.ranks.leads:
                return
            training = {
                "optimizers": optimizers.state_dict(),
                "balancer": balancer.state_dict(),
                "streams": {name: stream.state_dict() for name, stream in streams.items()},
                "meter": trainer.meter.state_dict(),
            }
            tensors = {"model": self._model_state(), "training": training}
            config, keep = plain(self.config), self.config.runner.max_keep
            checkpoints.save(self.folder, step, self._saved_args(), config, tensors, keep)

        known = logged_scores(self.folder, done) if done else {}

        def evaluate(step: int) -> None:
            self._log_scores(step, logger, known if step == done else {})

        with contextlib.ExitStack() as stack:
            if self.ranks.leads:
                stack.enter_context(undone_on_error(self.folder, self.store))
            opened = RunLogger(self.folder, done) if self.ranks.leads else SilentLogger()
            logger = stack.enter_context(contextlib.closing(opened))
            for stream in streams.values():
                stack.callback(stream.close)
            stop = stack.enter_context(stoppable(self.ranks.world == 1))
            stack.enter_context(self._losses_named())
            trainer = Trainer(
                self.model, streams, optimizers, balancer, self.config.runner, self.args.seed, logger, save, evaluate,
                self.ranks, stop,
            )  # fmt: skip
            if meter is not None:
                trainer.meter.load_state_dict(meter)
            every = self.config.runner.eval_step
            with stop.at_once():
                if self.config.runner.eval_at_start and not done:
                    evaluate(0)
                if every and done and (done % every == 0 or done == last):
                    evaluate(done)  # what a run that was cut off had not logged
            trainer.run(done + 1)
            self.step = max(done, last)
            if done == last and self.ranks.leads:
                checkpoints.tidy(self.folder, self.config.runner.max_keep)
            if every and done < last:
                with stop.at_once():
                    evaluate(last)

    def _restore(
        self, optimizers: Optimizers, balancer: Balancer, streams: Mapping[str, TaskStream]
    ) -> dict[str, Any] | None:
        """Put them where the checkpoint was taken, if the run goes on from one; returns what was counted for the log."""
        if self.resumed is None:
            return None
        state = checkpoints.load_tensors(self.resumed, "training")
        optimizers.load_state_dict(state["optimizers"])
        balancer.load_state_dict(state["balancer"])
        for name, stream in streams.items():
            stream.load_state_dict(state["streams"][name])
        meter: dict[str, Any] | None = state.get("meter")
        return meter

    def _log_scores(self, step: int, logger: MetricLogger, known: Container[tuple[str, str]]) -> None:
        """Evaluate every (task, split) that is not known."""
        self.evaluator.forget()
        for split in self.config.runner.eval_splits:
            for task, name in self.splits(split):
                if (task, name) not in known:
                    scores = self.evaluator.evaluate(task, name)
                    logger.log(step, {task_metric(name, task, metric): value for metric, value in scores.items()})

    def _losses_named(self) -> contextlib.AbstractContextManager[None]:
        return self.reading.losses_named() if self.reading else contextlib.nullcontext()

    def _check_start(self) -> None:
        """What can be known to go wrong is an error before anything is written."""
        for name, data in self.tasks.items():
            if plain(data.labels()) != plain(self.model.labels[name]):
                raise CheckpointError(
                    f"the labels of {name!r} in the checkpoint are not those of the corpus at {self.config.corpus_root}; "
                    "train on the corpus it was made with, or start without -i"
                )
        if self.resumed is None and checkpoints.find(self.folder):
            raise ConfigError(
                f"{self.folder} already holds a run; continue it with -a, or choose another folder with -p"
            )
        if self.config.runner.eval_step or self.config.runner.eval_at_start:
            for split in self.config.runner.eval_splits:
                self.read(split)

    def read(self, splits: str) -> None:
        """Read indexes and audio headers of splits (as `-t` names them) now: their faults surface before training."""
        for task, split in self.splits(splits):
            self.tasks[task].examples(split)

    def splits(self, text: str) -> list[tuple[str, str]]:
        """The (task, split) pairs that s3prl's `-t` names."""
        return parse_splits(text, self.config.tasks)

    def evaluate(self, splits: str) -> dict[tuple[str, str], Scores]:
        """Score the model and write prediction files and `results.json`, which also gets what SD and ASV choose on dev.

        :param splits: s3prl's `-t`: `test`, or `asr:test-clean,ks:dev`.
        """
        results = {}
        saved_results(self.folder)  # one that cannot be read is an error before the work
        self.evaluator.forget()
        self.read(splits)
        self._open_store()
        with stoppable(self.ranks.world == 1) as stop, stop.at_once(), self._losses_named():
            for task, split in self.splits(splits):
                results[task, split] = self.evaluator.evaluate(task, split, self.folder)
            calibration = self._calibration({task for task, _ in results})
        if self.ranks.leads:
            update_results(self.folder, self.step, results, self._about(), calibration)
        return results

    def _calibration(self, tasks: set[str]) -> dict[str, dict[str, float]]:
        """Settings that belong to the model; one that no score needs may be missing."""
        found = {}
        for task in CALIBRATED:
            if task in tasks:
                try:
                    found[task] = self.evaluator.settings(task)
                except CorpusError as error:
                    tqdm.write(f"[multitask] {task}: no threshold is chosen ({error})")
        return found

    def _streams(self) -> dict[str, TaskStream]:
        config, examples = self.config, training_examples(self.tasks, self.config.exclude_other_tests)
        self._open_store()
        shelves, workers = self.model.shelves, config.runner.num_workers
        streams = {
            name: TaskStream(
                data.reader, examples[name], data.config.train_batch, self.args.seed, data.config.balanced, workers,
                config.encoder.crops, shelves[name].store if name in shelves else None, self.ranks, self.reading,
            )
            for name, data in self.tasks.items()
        }  # fmt: skip
        if config.masked_prediction is not None:
            streams[SSL] = ssl_stream(
                config.masked_prediction, self.model.trunk, self.folder, self.resumed is not None, self.args.seed,
                workers, self.ranks, self.reading,
            )  # fmt: skip
        return streams

    def _open_store(self) -> None:
        """Open the feature store of a frozen encoder, once, for the splits that have been read."""
        if self._store_is_settled or self.args.upstream_trainable:
            return
        self._store_is_settled = True
        encoder = self.config.encoder
        if why := why_nothing_is_stored(encoder, self.ranks.world):
            if encoder.store != "none":
                tqdm.write(f"[multitask] no feature store: {why}; they are computed at every visit")
            return
        storage = Storage(
            self.store, self.model.trunk, self.tasks, self.config, self.args.seed,
            self.args.upstream_feature_normalize, shared=self.store.parent != self.folder,
        )  # fmt: skip
        self.model.shelves = storage.shelves()

    def _model_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "featurizers": self.model.featurizers.state_dict(),
            "heads": self.model.heads.state_dict(),
            "labels": plain(self.model.labels),
        }
        if self.model.ssl is not None:
            state["ssl"] = self.model.ssl.state_dict()
        if self.own_encoder:
            state["upstream"] = self.model.trunk.upstream.state_dict()
            state["hubert"] = hubert_config(self.model.trunk.upstream)
        return state

    def _saved_args(self) -> dict[str, Any]:
        return {
            **vars(self.args),
            "expdir": str(self.folder),
            "past_exp": None,
            "init_ckpt": None,
            "feature_store": None,
        }

    def _about(self) -> dict[str, Any]:
        return {
            "upstream": self.args.upstream,
            "upstream_ckpt": Path(self.args.upstream_ckpt).name if self.args.upstream_ckpt else None,
            "finetuned": bool(self.args.upstream_trainable),
            "init_upstream": "/".join(Path(self.init_upstream).parts[-2:]) if self.init_upstream else None,
            "init_heads": sorted(self.init_heads),
            "seed": self.args.seed,
            "tasks": list(self.config.tasks),
            "er_fold": er_fold(plain(self.config)),
            "masked_prediction": self.config.masked_prediction is not None,
            "exclude_other_tests": self.config.exclude_other_tests,
            "padding": self.config.encoder.padding,
            "store_kind": self.config.encoder.store_kind if self.model.shelves else None,
            "size": self.config.size,
            "versions": {name: version(name) for name in ("torch", "numpy", "s3prl")}
            | {"python": platform.python_version()},
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            **({"chosen": self.args.chosen} if hasattr(self.args, "chosen") else {}),
        }
