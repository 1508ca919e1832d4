"""One run as a self-contained HTML page."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import UserError
from s3prl_plugins.logs import logged_scores, read_metrics, task_metric
from s3prl_plugins.report.curves import learning_curves
from s3prl_plugins.report.table import Results, result_rows

__all__ = ["write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: left; }
td { font-variant-numeric: tabular-nums; } td:nth-child(4) { white-space: nowrap; }
svg { max-width: 100%; height: auto; } .note { color: #666; }
"""
_CLOSED_WORLD = (
    "Mini-SUPERB is synthetic speech: these numbers compare methods on it with each other and must never be set "
    "beside published SUPERB scores."
)


def write_page(folder: Path) -> Path:
    """Write `report.html` into a run's folder from its `results.json` and `metrics.jsonl`.

    Scores of the heads as initialised stand beside the final ones where the run logged them.

    :raises UserError: the run was not evaluated yet.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise UserError(
            f"{path} is missing; evaluate the run first: python -m s3prl.run_downstream -m evaluate -e {folder}"
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    scores = {(task, split): values for task, splits in content["scores"].items() for split, values in splits.items()}
    about = content["about"]
    parts = [f"<h1>{html.escape(folder.resolve().name)}: joint run, step {content['step']}</h1>"]
    if about.get("size") == "mini":
        parts.append(f"<p class=note>{_CLOSED_WORLD}</p>")
    parts += [
        "<h2>Scores</h2>",
        _table(result_rows(scores, logged_scores(folder, 0))),
        "<h2>Learning curves</h2>",
        _curves(read_metrics(folder), scores, content["step"], about["tasks"]),
        "<h2>About this run</h2>",
        _table([["key", "value"], *([key, _text(value)] for key, value in about.items())]),
    ]
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>s3prl-plugins report</title><style>{_STYLE}</style>"
    )
    target = folder / "report.html"
    target.write_text(page + "\n".join(parts) + "</html>\n", encoding="utf-8")
    return target


def _curves(entries: list[dict[str, float]], scores: Results, step: int, tasks: list[str]) -> str:
    """The logged losses, and as their last point those of the final evaluation."""
    final = {task_metric(split, task, "loss"): one["loss"] for (task, split), one in scores.items() if "loss" in one}
    try:
        return learning_curves([*entries, {"step": step, **final}], tasks)
    except UserError as error:
        return f"<p class=note>{html.escape(str(error))}</p>"


def _table(rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
