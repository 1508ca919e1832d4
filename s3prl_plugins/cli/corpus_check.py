"""`s3prl-plugins corpus check`."""

from __future__ import annotations

import argparse
import json

from s3prl_plugins.cli.numbers import whole
from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins corpus check all_task_mini
  s3prl-plugins corpus check all_task_paper -o "config.corpus_root=/data/superb" --tasks sid asv --jobs 8
  s3prl-plugins corpus check my.yaml --quick --json > report.json
  s3prl-plugins corpus check qbe_mini                  the corpus of query by example, which no joint run has

Finds missing files and indexes, unknown labels, words outside the lexicon, audio that is unreadable, empty, stereo, too
short, holds NaN or has another rate than 16 kHz; then what one task trains on and another is tested on. Changes nothing.
Exit status: 0 no fault (leaks are no faults: config.exclude_other_tests decides), 1 faults, 2 the check could not be made."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file of a joint run or of QbE, or the name of a shipped one"
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="tasks to check; default: those of the config")
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    parser.add_argument("--jobs", type=whole(1), metavar="N", help="processes that decode audio (default: one a core)")
    parser.add_argument("--quick", action="store_true", help="read indexes and audio headers only, decode nothing")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--max", type=whole(0), default=3, metavar="N", help="examples of each kind (default: 3)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.config import load_yaml, override
    from s3prl_plugins.corpora.check import check, check_readers
    from s3prl_plugins.corpora.check_report import as_data, as_text
    from s3prl_plugins.heads.corpora.quesst14 import QbeReader
    from s3prl_plugins.multitask.config import find_config, run_config
    from s3prl_plugins.qbe.config import is_qbe, qbe_config, qbe_mapping

    if is_qbe(args.config):
        if args.tasks:
            raise ConfigError("--tasks chooses among the tasks of a joint run; a configuration of QbE has one alone")
        qbe = qbe_config(override(args.override, qbe_mapping(args.config)))
        root, mini, excluded = qbe.corpus_root, qbe.size == "mini", False
        report = check_readers({"qbe": QbeReader(qbe.corpus, root)}, not args.quick, args.jobs)
    else:
        mapping = load_yaml(find_config(args.config))
        if args.tasks:
            mapping = {**mapping, "tasks": args.tasks}
        config = run_config(override(args.override, mapping))
        root, mini, excluded = config.corpus_root, config.size == "mini", config.exclude_other_tests
        report = check(config.task_configs, root, not args.quick, args.jobs)
    if args.json:
        print(json.dumps(as_data(report, excluded, args.max), indent=1))
    else:
        print(as_text(report, root, mini, excluded, args.max))
    return 1 if report.faults else 0
