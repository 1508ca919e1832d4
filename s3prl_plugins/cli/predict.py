"""`s3prl-plugins predict`: every task's answer for any recording."""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s3prl_plugins.cli.numbers import positive, whole
from s3prl_plugins.errors import AudioError, ConfigError
from s3prl_plugins.files import write_whole

if TYPE_CHECKING:
    from s3prl_plugins.inference.answers import Answers
    from s3prl_plugins.inference.audio import Audio
    from s3prl_plugins.inference.model import Model

__all__ = ["add_arguments", "run"]

_EXAMPLES = """examples:
  s3prl-plugins predict superb_tiny recording.wav
  s3prl-plugins predict superb_tiny recordings/ 'more/*.flac' --format jsonl -o answers.jsonl
  s3prl-plugins predict result/all_task meeting.wav --tasks sd --format rttm
  s3prl-plugins predict model.pt recordings/ --tasks asr pr --format textgrid -o grids/
  s3prl-plugins predict result/stock_ic/dev-best.ckpt recording.wav --labels fluent_speech_commands/data/train_data.csv

MODEL is a name (superb_tiny), the folder of a run or one of its states-*.ckpt, what `export --with-heads` or `--to-folder` wrote,
a repository org/name of the Hugging Face Hub that `export --push-to` wrote, or a checkpoint of stock s3prl's run_downstream
(states-*.ckpt, dev-best.ckpt) for one of the nine tasks. Labels that such a checkpoint lacks are given with --labels: JSON,
slots.txt of SNIPS, train_data.csv of Fluent Speech Commands, or one name a line.
Recordings may have any rate and number of channels. Answers go to stdout or to -o, progress and errors to stderr. A recording
that cannot be answered for is one line there (in json also an entry "error"); the others go on, and the exit status is 1."""
_AUDIO = {
    ".wav", ".flac", ".mp3", ".ogg", ".opus", ".oga", ".aif", ".aiff", ".au", ".snd", ".sph", ".nist", ".caf", ".w64", ".rf64",
}  # fmt: skip
"""What is looked for in folders; a file that is named may be called anything."""
_NEEDS = {"rttm": ("sd",), "textgrid": ("asr", "pr", "sd")}
"""Format -> the tasks it can show."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="name, folder of a run, or file")
    parser.add_argument("files", metavar="FILE", nargs="+", help="audio files, folders, glob patterns")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="what to answer (default: all the model can)")
    parser.add_argument("--format", choices=("text", "json", "jsonl", "rttm", "textgrid"), default="text")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write there; a folder, one grid a recording, with textgrid"
    )
    parser.add_argument("--top", type=whole(1), default=5, metavar="N", help="classes to name at most (default: 5)")
    parser.add_argument(
        "--window", type=positive, metavar="SECONDS", help="encode longer recordings in windows (default: 60)"
    )
    parser.add_argument(
        "--as-evaluated",
        action="store_true",
        help="each task hears what evaluation gives it (KS, ASV: softer; ASV: without silences), at more passes",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="names of the classes of a stock s3prl checkpoint, which holds none"
    )
    parser.add_argument("-k", "--upstream-ckpt", metavar="FILE", help="the encoder's checkpoint, where it was moved")
    parser.add_argument(
        "--revision", metavar="NAME", help="branch, tag or commit of a repository of the Hugging Face Hub"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N (default: cuda where a GPU is visible)")


def run(args: argparse.Namespace) -> int:
    files = _recordings(args.files)
    _check_output(args, files)
    from s3prl_plugins.inference import load

    model = load(args.model, args.device, labels=args.labels, upstream_ckpt=args.upstream_ckpt, revision=args.revision)
    if args.window is not None:
        model.window = args.window
    tasks = _tasks(args, model.tasks)
    failures: list[str] = []
    parts = _parts(args, model, files, tasks, failures)
    if args.output is None:
        for _, part in parts:
            sys.stdout.write(part)
            sys.stdout.flush()
    elif args.format == "textgrid":
        for path, part in parts:
            write_whole(args.output / f"{Path(path).stem}.TextGrid", part)
    else:
        write_whole(args.output, "".join(part for _, part in parts))
    if failures:
        print(f"s3prl-plugins predict: {len(failures)} of {len(files)} recordings failed", file=sys.stderr)
    return 1 if failures else 0


def _recordings(named: Sequence[str]) -> list[str]:
    """Files in the order they are named, each once; a file that is missing stays, to fail by itself."""
    found: list[str] = []
    for name in named:
        path = Path(name)
        if path.is_dir():
            inside = sorted(
                str(entry) for entry in path.rglob("*") if entry.suffix.lower() in _AUDIO and entry.is_file()
            )
        elif not path.exists() and glob.has_magic(name):
            inside = sorted(entry for entry in glob.glob(name, recursive=True) if Path(entry).is_file())  # noqa: PTH207
        else:
            inside = [name]
        if not inside:
            raise ConfigError(f"{name} holds no audio files; name files, folders or patterns that do")
        found += inside
    return list(dict.fromkeys(found))


def _check_output(args: argparse.Namespace, files: Sequence[str]) -> None:
    if args.format == "textgrid":
        stems = [Path(file).stem for file in files]
        if args.output is None and len(files) > 1:
            raise ConfigError(
                f"--format textgrid writes one file a recording, found {len(files)}; give a folder with -o"
            )
        if args.output is not None and len(set(stems)) < len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise ConfigError(f"two recordings would write {twice}.TextGrid; rename one or run them apart")
        if args.output is not None and args.output.is_file():
            raise ConfigError(f"-o must be a folder with --format textgrid, found the file {args.output}")
    elif args.output is not None and args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name or remove it")


def _tasks(args: argparse.Namespace, known: Sequence[str]) -> list[str] | None:
    asked: list[str] | None = args.tasks
    shown = _NEEDS.get(args.format)
    if shown is None:
        return asked
    tasks = [task for task in shown if task in (asked or known)]
    if not tasks:
        raise ConfigError(
            f"--format {args.format} shows {', '.join(shown)}, found {', '.join(asked or known)}; choose one of those"
        )
    return tasks


def _parts(
    args: argparse.Namespace, model: Model, files: Sequence[str], tasks: list[str] | None, failures: list[str]
) -> Iterator[tuple[str, str]]:
    """(recording, what to write for it), in order; json is one document, so its brackets and commas are parts too."""
    from tqdm import tqdm

    from s3prl_plugins.inference.formats import rttm, text, textgrid

    write = {"text": text, "rttm": rttm, "textgrid": textgrid}
    opening = "[\n"
    for file, answers in _answers(args, model, files, tasks):
        if isinstance(answers, AudioError):
            failures.append(file)
            tqdm.write(f"s3prl-plugins predict: {answers}", file=sys.stderr)
            entry: dict[str, object] = {"name": file, "error": str(answers)}
        elif args.format in write:
            yield file, write[args.format](answers)
        else:
            entry = answers.as_dict()
        if args.format == "jsonl":
            yield file, json.dumps(entry) + "\n"
        elif args.format == "json":
            yield file, opening + json.dumps(entry, indent=1)
            opening = ",\n"
    if args.format == "json":
        yield "", "\n]\n"


def _answers(
    args: argparse.Namespace, model: Model, files: Sequence[str], tasks: list[str] | None
) -> Iterator[tuple[str, Answers | AudioError]]:
    """Every file's answers, as many files at a time as the model takes together."""
    from tqdm import tqdm

    from s3prl_plugins.inference.model import BATCH

    with tqdm(total=len(files), unit="file", desc="predict", disable=len(files) < 2, leave=False) as bar:
        for first in range(0, len(files), BATCH):
            chosen: list[Audio] = list(files[first : first + BATCH])
            for file, answers in zip(files[first:], model(chosen, tasks, as_evaluated=args.as_evaluated, top=args.top)):
                yield file, answers
                bar.update()
