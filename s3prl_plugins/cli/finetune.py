"""`s3prl-plugins finetune`: joint training, the same as `python -m s3prl.run_downstream -d multitask`."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.errors import ConfigError

_EXAMPLES = """examples:
  s3prl-plugins finetune all-task -u hubert_local -k tiny.pt -p result/all_task
  s3prl-plugins finetune all-task -u hubert_local -k tiny.pt -p result/two --tasks ks sid -o "config.runner.total_steps=200"
  s3prl-plugins finetune all-task -p result/all_task -a          continue a run that was cut off
  s3prl-plugins finetune all-task -u fbank --frozen -p result/fbank
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    scenarios = parser.add_subparsers(dest="scenario", metavar="SCENARIO", required=True)
    joint = scenarios.add_parser(
        "all-task",
        help="encoder and heads of all chosen tasks together (arXiv 2110.09930, b-1)",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    joint.add_argument("-c", "--config", default="all_task_mini", help="YAML file, or the name of a shipped one")
    joint.add_argument("-u", "--upstream", default="hubert_local", help="name in s3prl's hub (default: hubert_local)")
    joint.add_argument("-k", "--upstream-ckpt", metavar="FILE", help="checkpoint of a *_local upstream")
    joint.add_argument("-g", "--upstream-model-config", metavar="FILE", help="model configuration, where one is needed")
    joint.add_argument("-s", "--upstream-feature-selection", default="hidden_states", metavar="VIEW")
    joint.add_argument("-l", "--upstream-layer-selection", type=int, metavar="N", help="only this layer of the view")
    joint.add_argument("-p", "--expdir", type=Path, required=True, help="folder of the run")
    joint.add_argument(
        "-a", "--auto-resume", action="store_true", help="continue the run in EXPDIR if it has checkpoints"
    )
    joint.add_argument(
        "-i", "--init-ckpt", type=Path, metavar="CKPT", help="start from the weights of another joint run"
    )
    joint.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    joint.add_argument("-t", "--evaluate-split", default="test", help="scored at the end (default: test)")
    joint.add_argument("--tasks", nargs="+", metavar="TASK", help="tasks to train; default: those of the config")
    joint.add_argument("--frozen", action="store_true", help="train the heads only")
    joint.add_argument("--seed", type=int, default=1337)
    joint.add_argument("--device", default="cuda", help="falls back to cpu where no GPU is visible (default: cuda)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.config import load_yaml, override
    from s3prl_plugins.multitask import checkpoint
    from s3prl_plugins.multitask.config import find_config
    from s3prl_plugins.multitask.experiment import Experiment
    from s3prl_plugins.multitask.stock import stock_args
    from s3prl_plugins.report.table import results_table

    given = {
        "expdir": str(args.expdir), "upstream": args.upstream, "upstream_ckpt": args.upstream_ckpt,
        "upstream_model_config": args.upstream_model_config, "upstream_trainable": not args.frozen,
        "upstream_feature_selection": args.upstream_feature_selection,
        "upstream_layer_selection": args.upstream_layer_selection, "seed": args.seed, "device": args.device,
        "init_ckpt": str(args.init_ckpt) if args.init_ckpt else None, "config": str(args.config),
    }  # fmt: skip
    if args.auto_resume and checkpoint.find(args.expdir):
        found, _ = checkpoint.newest_whole(args.expdir)
        given = {**found.args, "past_exp": str(args.expdir), "device": args.device}
        config = found.config
    else:
        config = load_yaml(find_config(args.config))
    if args.tasks:
        if given.get("past_exp"):
            raise ConfigError("--tasks cannot change a run that is continued; start a new one with another -p")
        config = {**config, "tasks": args.tasks}
    experiment = Experiment(stock_args(**given), override(args.override, config))
    experiment.read(args.evaluate_split)
    experiment.train()
    results = experiment.evaluate(args.evaluate_split)
    print(results_table(results))
    print(f"scores and prediction files: {experiment.folder}")
    return 0
