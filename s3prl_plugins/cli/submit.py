"""`s3prl-plugins submit`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins submit --all-task result/all_task -o submission
  s3prl-plugins submit --all-task sweep -o submission              a sweep's folder: ER's five folds too
  s3prl-plugins submit --task ks=result/ks asr=result/asr -o submission --corpus-root /data/superb
  s3prl-plugins submit --all-task sweep --task qbe=result/qbe -o submission

Tasks: asr asr_lm pr sf sd er_fold1 ... er_fold5 ic ks asv sid qbe (s3prl's asr_no_lm, asr_with_lm and sv are known too).
DIR is a run's folder of this package, or an experiment's folder of stock s3prl; the files are those that s3prl's submit.py
takes. Each is checked against the test split: of its corpus, where that is known, else of the truth file beside it. Any
number of tasks can be submitted, emotion recognition with its five folds only. A joint run is refused for a fold that it
trained on.
Exit status: 0 written, 2 faults were found (all are listed) and nothing was written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--all-task", type=Path, metavar="DIR", help="a joint run's folder, or a sweep's")
    parser.add_argument(
        "--task", nargs="+", action="extend", default=[], metavar="NAME=DIR",
        help="one task's experiment; goes before --all-task",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder to make")
    parser.add_argument(
        "--corpus-root", type=Path, metavar="DIR", help="corpora, where the runs' own are not to be used"
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier submission in OUT")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.cli.submit_parts import collect
    from s3prl_plugins.report.table import format_table
    from s3prl_plugins.superb.submission import check_free, write_submission

    check_free(args.out, args.force)
    for option, folder in (("--all-task", args.all_task), ("--corpus-root", args.corpus_root)):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{option} {folder}: there is no such folder; name one that exists")
    parts = collect(args.all_task, args.task, args.corpus_root)
    if faults := parts.problems.found:
        head = f"s3prl-plugins submit: nothing was written; faults found: {len(faults)}"
        print("\n  ".join([head, *map(str, faults)]), file=sys.stderr)
        return 2
    archive = write_submission(args.out, parts.files, args.force)
    print(format_table(parts.rows))
    print("\n".join(parts.remarks()))
    print(f"written: {archive}")
    return 0
