"""One run as a self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl_plugins.errors import UserError
from s3prl_plugins.files import parse_checked
from s3prl_plugins.logs import logged_scores, read_metrics, task_metric
from s3prl_plugins.report.conflicts import conflict_section
from s3prl_plugins.report.curves import learning_curves
from s3prl_plugins.report.heatmaps import weight_map
from s3prl_plugins.report.layers import layer_weights
from s3prl_plugins.report.markup import document, escape, note, section, table, text_of, warning
from s3prl_plugins.report.papertable import CLOSED_WORLD
from s3prl_plugins.report.table import Results, result_rows
from s3prl_plugins.report.writing import write_text
from s3prl_plugins.results import checked_results

__all__ = ["read_results", "write_page"]


def read_results(folder: Path) -> dict[str, Any]:
    """A run's `results.json`.

    :raises UserError: the run was not evaluated yet, or the file is damaged.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise UserError(
            f"{path} is missing; evaluate the run first: python -m s3prl.run_downstream -m evaluate -e {folder}"
        )
    try:
        content = checked_results(parse_checked(path.read_text(encoding="utf-8")))
        return {"step": int(content["step"]), "about": dict(content["about"]), "scores": dict(content["scores"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!r}); remove it and evaluate the run again") from error


def write_page(folder: Path, target: Path | None = None) -> Path:
    """Write `report.html` (into the run's folder, or as `target`) from its `results.json` and `metrics.jsonl`.

    Scores of the heads as initialised stand beside the final ones where the run logged them.

    :raises UserError: the run was not evaluated yet, or the page cannot be written.
    """
    content = read_results(folder)
    step, about = content["step"], content["about"]
    scores = {(task, split): values for task, splits in content["scores"].items() for split, values in splits.items()}
    title = f"{folder.resolve().name}: run of {step} steps"
    trained = [task for task in about.get("tasks", content["scores"]) if task != "qbe"]
    weights, entries = layer_weights(folder, step), read_metrics(folder)
    parts = [
        f"<h1>{escape(title)}</h1>",
        warning(CLOSED_WORLD) if about.get("size") == "mini" else "",
        section("Scores", table(result_rows(scores, logged_scores(folder, 0)), "scores")),
        section("Learning curves", _curves(entries, scores, step, trained)),
        conflict_section(entries, trained),
        _layers({task: weights[task] for task in trained if task in weights}),
        section(
            "About this run",
            table([["key", "value"], *([key, text_of(value)] for key, value in about.items())], "about"),
        ),
    ]
    return write_text(target or folder / "report.html", document(title, parts))


def _curves(entries: list[dict[str, float]], scores: Results, step: int, tasks: list[str]) -> str:
    """The logged losses, and as their last point those of the final evaluation."""
    final = {task_metric(split, task, "loss"): one["loss"] for (task, split), one in scores.items() if "loss" in one}
    return learning_curves([*entries, {"step": step, **final}], tasks)


def _layers(weights: dict[str, list[float]]) -> str:
    if not weights:
        return ""
    text = "How much of each hidden state a task's features take, in percent. State 0 enters the first layer."
    return section(
        "Layer weights",
        note(text),
        f"<div class=maps><div>{weight_map(weights, max(map(max, weights.values())))}</div></div>",
    )
