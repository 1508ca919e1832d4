"""Our runner behind s3prl's own command: `python -m s3prl.run_downstream -d multitask`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.config import merge
from s3prl_plugins.errors import ConfigError, Interrupted, UserError
from s3prl_plugins.files import full_disk_named
from s3prl_plugins.heads.contract import Scores
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.ranks import joined_ranks
from s3prl_plugins.report.table import results_table
from s3prl_plugins.terminal import write_any_letter

__all__ = ["MultitaskRunner", "stock_args"]

_RECORDS = ("args_*.yaml", "config_*.yaml")
"""Files stock s3prl writes into the experiment folder before it builds a runner."""


def stock_args(**given: Any) -> argparse.Namespace:
    """The arguments of `s3prl.run_downstream` with its defaults; keeps our runs readable by the stock command."""
    defaults: dict[str, Any] = {
        "mode": "train", "evaluate_split": "test", "override": None, "backend": "nccl", "local_rank": None,
        "past_exp": None, "init_ckpt": None, "config": None, "downstream": "multitask", "downstream_variant": None,
        "hub": "torch", "upstream": None, "upstream_ckpt": None, "upstream_model_config": None,
        "upstream_refresh": False, "upstream_trainable": False, "upstream_feature_selection": "hidden_states",
        "upstream_layer_selection": None, "upstream_feature_normalize": False, "upstream_model_name": "model.pt",
        "upstream_revision": None, "expname": None, "expdir": None, "auto_resume": False, "push_to_hf_hub": False,
        "hf_hub_org": None, "seed": 1337, "device": "cuda", "cache_dir": None, "verbose": False, "disable_cudnn": False,
    }  # fmt: skip
    return argparse.Namespace(**{**defaults, **given})


class MultitaskRunner:
    """Takes the place of `s3prl.downstream.runner.Runner` for `-d multitask`; same constructor and three modes.

    Under `torchrun` the processes train and evaluate one model together (stock s3prl trains one in each). The first one
    writes and speaks. `train`, `evaluate` or `inference` is called once.
    """

    def __init__(self, args: argparse.Namespace, config: Mapping[str, Any]) -> None:
        self.args = args
        keep_freed_memory()
        write_any_letter()
        with _one_line_errors(args), contextlib.ExitStack() as stack:
            if args.downstream_variant is not None:
                config = merge(config, {"superb": {"er": {"corpus": {"fold": args.downstream_variant}}}})
            ranks = stack.enter_context(joined_ranks(args.device))
            if not ranks.leads:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            self.experiment = Experiment(args, config, ranks=ranks)
            if ranks.leads:
                _adopt_records(Path(args.expdir), self.experiment.folder)
            self._group = stack.pop_all()

    def train(self) -> None:
        """`-m train`."""
        with _one_line_errors(self.args), self._group:
            self.experiment.train()

    def evaluate(self) -> dict[tuple[str, str], Scores]:
        """`-m evaluate -t SPLITS`: scores, prediction files, results.json, and the table on the terminal."""
        with _one_line_errors(self.args), self._group:
            results = self.experiment.evaluate(self.args.evaluate_split)
            print(results_table(results))
        return results

    def inference(self) -> None:
        """`-m inference -t FILE`: every task's answer for one recording, as `s3prl-plugins predict --as-evaluated` prints it.

        Nothing is written.
        """
        from s3prl_plugins.inference.calibration import saved_calibration
        from s3prl_plugins.inference.formats import text
        from s3prl_plugins.inference.model import Model

        with _one_line_errors(self.args), self._group:
            path = Path(self.args.evaluate_split)
            if not path.is_file():
                raise ConfigError(f"-t {str(path)!r} is not a file; -m inference takes an audio file there")
            run = self.experiment
            model = Model(run.model, run.config.task_configs, saved_calibration(run.folder, run.step))
            print(text(model(path, as_evaluated=True)), end="")


@contextlib.contextmanager
def _one_line_errors(args: argparse.Namespace) -> Iterator[None]:
    """Turn a `UserError` into one line and exit status 2, and leave no folder that holds stock s3prl's records only."""
    try:
        with full_disk_named():
            yield
    except Interrupted as error:
        print(f"[multitask] {error}", file=sys.stderr)
        raise SystemExit(error.status) from error
    except UserError as error:
        folder = Path(args.expdir)
        if folder.is_dir() and set(folder.iterdir()) == set(_records(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        print(f"[multitask] {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _records(folder: Path) -> list[Path]:
    return [path for pattern in _RECORDS for path in folder.glob(pattern)]


def _adopt_records(written_to: Path, folder: Path) -> None:
    """Stock s3prl writes its records to the folder a run had before it was moved; take them along."""
    if not written_to.is_dir() or written_to.resolve() == folder.resolve():
        return
    if set(written_to.iterdir()) == set(_records(written_to)):
        for path in _records(written_to):
            shutil.move(path, folder / path.name)
        written_to.rmdir()
