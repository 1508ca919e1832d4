"""The paper's table as text for the terminal, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable

from s3prl_plugins.report.papertable import Cell, PaperTable
from s3prl_plugins.report.table import format_table

__all__ = ["latex", "latex_text", "markdown", "terminal"]


def terminal(table: PaperTable) -> str:
    """Aligned columns. A terminal cannot underline everywhere: `+` follows what is better than all tasks jointly, `-` what
    is worse."""
    sign = {"better": "+", "worse": "-", "": " "}
    lines = _grid(table, lambda cell: f"{_with_spread(cell, '±')}{sign[cell.mark]}" if cell.text else "")
    caption = " ".join(table.caption).replace("Bold: better", "+ better").replace("underlined: worse", "- worse")
    return f"{format_table(lines)}\n\n{caption}"


def markdown(table: PaperTable) -> str:
    """A GitHub table; `<ins>` is the underline that GitHub lets through."""
    marks = {"better": "**{}**", "worse": "<ins>{}</ins>", "": "{}"}
    head, *rows = _grid(table, lambda cell: marks[cell.mark].format(_with_spread(cell, " ± ")) if cell.text else "")
    lines = [head, ["---", *["---:"] * len(table.metrics)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{' '.join(table.caption)}\n"


def latex(table: PaperTable) -> str:
    """A `table*` with `booktabs` rules."""
    marks = {"better": r"\textbf{{{}}}", "worse": r"\underline{{{}}}", "": "{}"}

    def cell(one: Cell) -> str:
        spread = rf" {{\scriptsize$\pm${one.spread}}}" if one.spread else ""
        return marks[one.mark].format(one.text) + spread if one.text else ""

    titles = [rf"\multicolumn{{{span}}}{{c}}{{{latex_text(task)}}}" for task, span in table.tasks]
    body = [" & ".join([latex_text(label), *map(cell, cells)]) for label, cells in table.rows]
    lines = [
        "% \\usepackage{booktabs}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{latex_text(' '.join(table.caption))}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.metrics)}}}",
        r"\toprule",
        " & ".join(["", *titles]) + r" \\",
        " & ".join(["Scenario", *map(latex_text, table.metrics)]) + r" \\",
        r"\midrule",
        *(rf"{line} \\" for line in body),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """Text with everything that LaTeX takes as a command escaped."""
    special = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
        "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", **{one: f"\\{one}" for one in "&%$#_{}"},
    }  # fmt: skip
    return "".join(special.get(letter, letter) for letter in text)


def _grid(table: PaperTable, show: Callable[[Cell], str]) -> list[list[str]]:
    titles = [task for task, span in table.tasks for _ in range(span)]
    head = ["scenario", *(f"{task} {metric}" for task, metric in zip(titles, table.metrics))]
    return [head, *([label, *map(show, cells)] for label, cells in table.rows)]


def _with_spread(cell: Cell, sign: str) -> str:
    return f"{cell.text}{sign}{cell.spread}" if cell.spread else cell.text
