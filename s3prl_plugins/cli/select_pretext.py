"""`s3prl-plugins select-pretext`: which pretext labels suit a downstream task, and their weights, without training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s3prl_plugins.cli.numbers import not_negative, whole
from s3prl_plugins.errors import ConfigError, nearest

if TYPE_CHECKING:
    from s3prl_plugins.heads.task import TaskConfig
    from s3prl_plugins.pretext.hsic import Centring
    from s3prl_plugins.pretrain.targets import Target

__all__ = ["add_arguments", "run"]

_EXAMPLES = """examples:
  s3prl-plugins select-pretext --task er --labels f0 voicing rms -p result/pretext/er
  s3prl-plugins select-pretext --task sid --method sparsemax -p result/pretext/sid
  s3prl-plugins select-pretext --task asr -c asr_paper --corpus-root /data/superb --alignments /data/alignments \\
      -p result/pretext/asr
  s3prl-plugins select-pretext --task er --released -p result/pretext/as_released

A label is good where speech and label are nearly independent within a class: the class-conditional HSIC, lower is better
(arXiv 2104.07388). Classes are the task's labels, for ASR and PR words. Writes workers.yaml (weights of sum 1), selection.json
and selection.html."""
PAPER_LABELS = ("f0", "voicing", "log_hnr", "rasta", "rms", "zcr", "alpha_ratio")
"""Those of arXiv 2104.07388."""
_GUESSED = "word borders are guessed from the lengths of the words; --alignments takes better ones"
_SMALL = "{} % of the utility is what shuffled labels give, for classes are small; --centring unbiased leaves that out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("--task", required=True, help="er, ic, ks, sid, asv, asr or pr")
    parser.add_argument(
        "--labels",
        nargs="+",
        default=PAPER_LABELS,
        metavar="LABEL",
        help="targets, or all (default: the papers' seven)",
    )
    parser.add_argument("-p", "--expdir", type=Path, required=True, help="folder of the results")
    parser.add_argument("-c", "--config", help="the task's YAML file, or the name of one in configs/superb (TASK_mini)")
    parser.add_argument("--corpus-root", type=Path, default=Path("data/mini-superb"), metavar="DIR")
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE of the task, several joined by ',,'")
    parser.add_argument("--alignments", type=Path, metavar="DIR", help="*.alignment.txt of LibriSpeech, for ASR and PR")
    parser.add_argument("--method", choices=("softmax", "sparsemax"), default="softmax", help="(default: softmax)")
    parser.add_argument(
        "--centring",
        choices=("textbook", "released", "unbiased"),
        default="textbook",
        help="of HSIC (default: textbook)",
    )
    parser.add_argument(
        "--released", action="store_true", help="as the papers' code: released centring, random start, plain descent"
    )
    parser.add_argument("--steps", type=whole(1), default=1000, help="of the descent to the weights (default: 1000)")
    parser.add_argument(
        "--spread", type=not_negative, help="penalty on the length of the weights (default: 0.5; with --released 0)"
    )
    parser.add_argument("--per-class", type=whole(1), default=300, metavar="N", help="samples at most (default: 300)")
    parser.add_argument(
        "--classes", type=whole(1), default=100, metavar="N", help="the N largest classes (default: 100)"
    )
    parser.add_argument(
        "--fewest", type=whole(1), default=8, metavar="N", help="drop classes below N samples (default: 8)"
    )
    parser.add_argument(
        "--jobs", type=whole(1), default=1, metavar="N", help="threads that compute labels (default: 1)"
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="of the samples drawn and a random start (default: 0)")


def run(args: argparse.Namespace) -> int:
    import s3prl_plugins
    from s3prl_plugins.pretext.segments import WORD_TASKS, Caps, choose, speech_of
    from s3prl_plugins.pretext.selection import Selection
    from s3prl_plugins.pretext.utility import measure
    from s3prl_plugins.pretext.weights import WeightConfig, fit_weights

    centring: Centring = "released" if args.released else args.centring
    spread = args.spread if args.spread is not None else 0.0 if args.released else 0.5
    descent = WeightConfig(args.method, "released" if args.released else "equal", args.steps, spread=spread)
    caps = Caps(args.per_class, args.classes, args.fewest)
    targets = _targets(args.labels)
    config = _task(args.task, args.config, args.override)
    speech = speech_of(config, args.corpus_root, args.alignments)
    chosen = choose(speech.segments, caps, args.seed)
    kept = 10 if config.task in WORD_TASKS else 30
    found = measure(speech, chosen, targets, kept, centring, progress=True, jobs=args.jobs)
    weights = fit_weights(found.pairs, descent, args.seed, progress=True)
    about = {
        "task": config.task, "config": args.config or f"{config.task}_mini", "override": args.override,
        "centring": centring, "method": args.method, "start": descent.start, "steps": args.steps, "spread": spread,
        "per_class": args.per_class, "frames": kept, "seed": args.seed, "version": s3prl_plugins.__version__,
    }  # fmt: skip
    sizes = {name: len(segments) for name, segments in chosen.items()}
    cautions = [_GUESSED] * speech.guessed
    share = float(found.chance.mean() / found.means.mean())
    if centring == "textbook" and share > 0.5:
        cautions.append(_SMALL.format(round(100 * share)))
    selection = Selection.of(found, weights, sizes, about, tuple(cautions))
    print(selection.text())
    for caution in cautions:
        print(f"note: {caution}")
    print(f"{len(sizes)} classes, {sum(sizes.values())} samples; weights: {selection.write(args.expdir)[0]}")
    return 0


def _targets(names: Sequence[str]) -> dict[str, Target]:
    """The chosen targets of the table; `all` stands for every one."""
    from s3prl_plugins.pretrain.targets import TARGETS

    chosen = list(TARGETS) if list(names) == ["all"] else list(names)
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"--labels names a label twice: {' '.join(chosen)}; name each once")
    for name in chosen:
        if name not in TARGETS:
            raise ConfigError(f"unknown label {name!r}; {nearest(name, TARGETS)}")
    return {name: TARGETS[name] for name in chosen}


def _task(name: str, config: str | None, changes: str) -> TaskConfig:
    from s3prl_plugins.config import load_yaml, override
    from s3prl_plugins.heads.task import task_config
    from s3prl_plugins.multitask.config import shipped_configs
    from s3prl_plugins.superb.cards import card

    card(name)
    chosen = config or f"{name}_mini"
    if Path(chosen).is_file():
        mapping = load_yaml(chosen)
    else:
        shipped = {path.stem: path for path in (shipped_configs() / "superb").glob("*.yaml")}
        if chosen.removesuffix(".yaml") not in shipped:
            raise ConfigError(f"no config file {chosen!r} here, and none of that name; {nearest(chosen, shipped)}")
        mapping = load_yaml(shipped[chosen.removesuffix(".yaml")])
    if mapping.get("task") != name:
        raise ConfigError(f"--task is {name!r} but {chosen!r} is of task {mapping.get('task')!r}; pass its own config")
    return task_config(override(changes, mapping))
