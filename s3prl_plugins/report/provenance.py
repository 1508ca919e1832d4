"""What the numbers of sweeps were made from."""

from __future__ import annotations

from collections.abc import Sequence

from s3prl_plugins import __version__
from s3prl_plugins.files import parse_checked
from s3prl_plugins.report.markup import text_of
from s3prl_plugins.report.sweep import Run, Sweep

__all__ = ["provenance", "seed_notes"]


def provenance(sweeps: Sequence[Sweep]) -> tuple[list[list[str]], list[list[str]]]:
    """What all runs have in common, as key and value; and what differs, a row for all runs of which it is the same.

    Each has a head.
    """
    runs = [(sweep, run, _facts(run)) for sweep in sweeps for run in sweep.runs.values()]
    keys = list(dict.fromkeys(key for _, _, facts in runs for key in facts))
    common = {key for key in keys if len({facts.get(key) for _, _, facts in runs}) == 1}
    same = [["key", "value"], ["s3prl-plugins (this report)", __version__]]
    same += [[key, runs[0][2][key]] for key in keys if key in common]
    # The folder tells the tasks of a run.
    differing = [key for key in keys if key not in common and key != "tasks"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for sweep, run, facts in runs:
        groups.setdefault((sweep.name, *(facts.get(key, "") for key in differing)), []).append(run.name)
    rows = [[name, ", ".join(names), *values] for (name, *values), names in groups.items()]
    return same, [["sweep", "runs", *differing], *rows]


def _facts(run: Run) -> dict[str, str]:
    facts = {key: text_of(value) for key, value in run.about.items()}
    path = run.folder / "lr_search.json"
    if path.is_file():
        try:
            search = parse_checked(path.read_text(encoding="utf-8"))
            facts["learning rate chosen"] = f"{search['chosen']:g} of {len(search['tried'])} on {search['split']}"
        except (OSError, ValueError, KeyError, TypeError):
            facts["learning rate chosen"] = f"{path.name} cannot be read"
    return {"step": str(run.step), **facts}


def seed_notes(sweeps: Sequence[Sweep]) -> list[str]:
    """What about seeds and encoders makes a mean or a comparison doubtful."""
    lines, seeds = [], []
    for sweep in sweeps:
        own = sorted({str(run.about["seed"]) for run in sweep.runs.values() if "seed" in run.about})
        if len(own) > 1:
            lines.append(f"{sweep.name} holds runs of several seeds ({', '.join(own)}); a sweep should have one.")
        seeds += own
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        lines.append(f"Seed {', '.join(twice)} is there in more than one sweep: its runs are no independent samples.")
    encoders = {
        (str(run.about.get("upstream")), str(run.about.get("upstream_ckpt")))
        for sweep in sweeps
        for name, run in sweep.runs.items()
        if name == "all_task"
    }
    if len(encoders) > 1:
        named = ", ".join(sorted(" ".join(pair) for pair in encoders))
        lines.append(f"The sweeps start from different encoders ({named}): the spread is not that of the seed alone.")
    return lines
