"""The table in the terminal, in Markdown and in LaTeX."""

import re
from pathlib import Path

from report_fakes import TABLE, write_sweep

from s3prl_plugins.report.formats import latex, latex_text, markdown, terminal
from s3prl_plugins.report.papertable import paper_table
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.sweep import read_sweep, score_table

PAPER = paper_table(read_table(TABLE), "mini")


def three_seeds(root: Path) -> str:
    sweeps = [read_sweep(write_sweep(root / f"seed{seed}", seed)) for seed in (1, 2, 3)]
    return latex(paper_table(score_table(sweeps), "mini"))


def test_the_terminal_shows_rows_columns_arrows_and_signs() -> None:
    lines = terminal(PAPER).splitlines()
    assert re.split(r"\s{2,}", lines[0])[:4] == ["scenario", "ASR WER ↓", "PR PER ↓", "SF F1 ↑"]
    assert " ".join(lines[2].split()[-10:]) == "6.42- 5.41- 88.53+ 25.20+ 5.88- 64.24- 98.34- 96.30- 5.11+ 81.42-"
    assert lines[3].startswith("(b-1) all tasks jointly") and "+" not in lines[3]
    assert lines[4].startswith("(b-2) all but ASR   ") and lines[4].split()[4] == "-"
    assert len([line for line in lines if line.startswith("(")]) == 12
    assert "+ better than all tasks jointly; - worse" in lines[-1] and "published SUPERB scores" in lines[-1]


def test_markdown_is_one_table_with_marks() -> None:
    lines = markdown(PAPER).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 14 and {line.count("|") for line in table} == {12}
    assert "| <ins>6.42</ins> | <ins>5.41</ins> | **88.53** | **25.20** |" in table[2]
    assert "**" not in table[3] and "<ins>" not in table[3]
    assert lines[-1].startswith("Test scores of the scenarios of arXiv 2110.09930")


def test_latex_has_equal_rows_balanced_braces_and_no_stray_command(tmp_path: Path) -> None:
    for text in (latex(PAPER), three_seeds(tmp_path)):
        bare = re.sub(r"\\[{}&%$#_]", "", text)
        assert bare.count("{") == bare.count("}") and text.isascii()
        assert not re.search(r"(?<!\\)[%#_^~]", text.replace("% \\usepackage", "", 1))
        assert text.count("$") % 2 == 0
        body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert len(body) == 12 and {line.count("&") for line in body} == {10}
        assert all(line.endswith(r" \\") for line in body)
        spans = sum(int(count) for count in re.findall(r"\\multicolumn\{(\d)\}", text))
        assert spans == 10 and r"\begin{tabular}{lrrrrrrrrrr}" in text
        environments = re.findall(r"\\(begin|end)\{([a-z*]+)\}", text)
        assert environments == [("begin", "table*"), ("begin", "tabular"), ("end", "tabular"), ("end", "table*")]
    assert r"\underline{6.42} & \underline{5.41} & \textbf{88.53}" in latex(PAPER)
    assert r"$\pm$" in three_seeds(tmp_path)


def test_latex_takes_any_text_literally() -> None:
    assert latex_text(r"50 % of a_b & {c} \x ~ # $ ^ < ↑") == (
        r"50 \% of a\_b \& \{c\} \textbackslash{}x \textasciitilde{} \# \$ \textasciicircum{} $<$ $\uparrow$"
    )
