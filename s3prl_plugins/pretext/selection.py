"""What a selection found, as data, table, YAML fragment and page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.pretext.bars import Bar, bar_chart
from s3prl_plugins.pretext.utility import Utilities
from s3prl_plugins.report.markup import bullets, document, note, section, table, warning
from s3prl_plugins.report.table import format_table
from s3prl_plugins.report.writing import write_text

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """Labels, the best first."""

    about: dict[str, Any]
    """Task, configuration, seed and version: all that the numbers depend on."""
    labels: tuple[str, ...]
    utility: tuple[float, ...]
    """Mean HSIC over classes."""
    error: tuple[float, ...]
    """Its standard error over classes; 0 for a single class."""
    chance: tuple[float, ...]
    """Utility if the label were shuffled within each class."""
    weights: tuple[float, ...]
    """Not negative, of sum 1."""
    classes: dict[str, int]
    """Class -> samples."""
    cautions: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        found: Utilities,
        weights: Tensor,
        classes: dict[str, int],
        about: dict[str, Any],
        cautions: tuple[str, ...],
    ) -> Selection:
        """Sort what was measured; `weights` (labels,) in the order of `found.labels`."""
        order = found.means.argsort(stable=True).tolist()
        count = len(found.classes)
        spread = found.scores.std(dim=1, correction=1) if count > 1 else found.means * 0
        columns = (found.means, spread / math.sqrt(count), found.chance.mean(dim=1), weights)
        utility, error, chance, weight = (tuple(float(column[i]) for i in order) for column in columns)
        labels = tuple(found.labels[i] for i in order)
        return cls(about, labels, utility, error, chance, weight, classes, cautions)

    def rows(self) -> list[list[str]]:
        """A head and one row a label."""
        head = ["label", "utility (lower is better)", "+-", "if shuffled", "weight"]
        numbers = zip(self.utility, self.error, self.chance, self.weights)
        return [
            head,
            *(
                [name, *(f"{round(value, 9) + 0.0:.4g}" for value in row[:3]), f"{row[3]:.4f}"]
                for name, row in zip(self.labels, numbers)
            ),
        ]

    def text(self) -> str:
        return format_table(self.rows())

    def fragment(self) -> str:
        """YAML: `workers:` with a weight for each label; labels of weight 0 are left out."""
        lines = [f"# Pretext labels for {self.about['task']}, weighted by s3prl-plugins select-pretext.", "workers:"]
        lines += [f"  {name}: {weight:.6f}" for name, weight in zip(self.labels, self.weights) if weight >= 5e-7]
        return "\n".join(lines) + "\n"

    def data(self) -> dict[str, Any]:
        columns = {"utility": self.utility, "error": self.error, "chance": self.chance, "weight": self.weights}
        found = {name: {key: column[i] for key, column in columns.items()} for i, name in enumerate(self.labels)}
        return {"about": self.about, "cautions": self.cautions, "labels": found, "classes": self.classes}

    def page(self) -> str:
        """One HTML page."""
        utility = [
            Bar(name, value, f"{value:.4g}", error, chance)
            for name, value, error, chance in zip(self.labels, self.utility, self.error, self.chance)
        ]
        weights = [Bar(name, value, f"{value:.3f}") for name, value in zip(self.labels, self.weights)]
        facts = [f"{key}: {value}" for key, value in self.about.items() if value != ""]
        facts.append(f"{len(self.classes)} classes, {sum(self.classes.values())} samples")
        title = f"Pretext labels for {str(self.about['task']).upper()}"
        explained = (
            "Utility is the dependence (HSIC) between speech and label within a class of the task: lower is better. "
            "The line is its standard error over classes, the tick what it would be if the label were shuffled. "
            "It compares labels on this corpus with each other."
        )
        return document(
            title,
            [
                f"<h1>{title}</h1>",
                *map(warning, self.cautions),
                section("Utility", bar_chart(utility, "Utility of each label"), note(explained)),
                section("Weights", bar_chart(weights, "Weight of each label")),
                section("Numbers", table(self.rows())),
                section("How it was measured", bullets(facts)),
            ],
        )

    def write(self, folder: Path) -> list[Path]:
        """`workers.yaml`, `selection.json` and `selection.html` in a folder."""
        return [
            write_text(folder / "workers.yaml", self.fragment()),
            write_text(folder / "selection.json", json.dumps(self.data(), indent=1) + "\n"),
            write_text(folder / "selection.html", self.page()),
        ]
