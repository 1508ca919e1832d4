"""The page of the experiment: well-formed, self-contained, and true to the table."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_fakes import TABLE, paper_rows, write_results, write_sweep

from s3prl_plugins.report.curves import Line, panels
from s3prl_plugins.report.files import FILES, write_report
from s3prl_plugins.report.graph import relation_graph
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.superb_s import Reference, read_reference
from s3prl_plugins.report.sweep import read_sweep, score_table

VOID = {"meta", "circle", "polygon", "polyline", "path", "br", "link", "img"}


class Page(HTMLParser):
    """Checks nesting, and gathers what a page loads, its text, its classes and its tooltips."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        assert not any(name.startswith("on") for name in given)
        self.loads += [given[name] for name in ("src", "href", "data", "action", "xlink:href") if name in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("sweeps")
    sweeps = [read_sweep(write_sweep(root / f"seed{seed}", seed, 0.003, insides=True)) for seed in (1, 2, 3)]
    _, paths = write_report(root / "out", FILES, score_table(sweeps), sweeps, read_reference(None))
    assert [path.name for path in paths] == [
        "table.csv",
        "table.md",
        "table.tex",
        "edges.csv",
        "graph.svg",
        "report.html",
    ]
    return paths[-1].read_text()


def table_page(folder: Path, formats: tuple[str, ...] = ("html",)) -> str:
    return write_report(folder, formats, read_table(TABLE), (), read_reference(None))[1][-1].read_text()


def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    parsed = Page(page)
    assert parsed.loads == []
    assert not re.search(r"url\(|@import|https?://|<script|<link|<iframe", page)
    assert "prefers-color-scheme: dark" in page and "@media print" in page and "name=viewport" in page


def test_the_page_has_every_part(page: str) -> None:
    parsed = Page(page)
    assert parsed.texts["h2"] == [
        "In short", "Scores", "Which task helps which", "Layer weights", "Learning curves", "superb_s",
        "What the numbers were made from",
    ]  # fmt: skip
    drawings = [attributes for tag, attributes in parsed.tags if tag == "svg"]
    assert len([one for one in drawings if one["class"] == "graph"]) == 2
    assert len([one for one in drawings if one["class"] == "curve"]) == 9
    assert page.count("never be set beside") == 2
    assert "paired t-test over seeds" in page and "p = " in page
    # Four scenarios of nine tasks and five hidden states.
    assert page.count('class=weight style="') == 4 * 9 * 5


def test_all_72_edges_are_drawn_in_their_graph_and_on_the_grid(tmp_path: Path) -> None:
    page = table_page(tmp_path)
    parsed, edges = Page(page), relation_graph(read_table(TABLE)).edges
    drawings = re.findall(r"<svg class=graph.*?</svg>", page, re.DOTALL)
    for effect, drawing in zip(("helps", "hurts"), drawings):
        its = [edge for edge in edges if edge.effect == effect]
        titles = re.findall(r"<title>([A-Z]+) (\w+) ([A-Z]+): \w+ ([-+.\d]+) %", drawing)
        assert len(titles) == len(its) == drawing.count("<path") == drawing.count("<polygon")
        assert sorted(titles) == sorted(
            (edge.source.upper(), effect, edge.target.upper(), f"{float(edge.change):+.3f}") for edge in its
        )
        widths = [float(width) for width in re.findall(r'stroke-width="([.\d]+)"', drawing)]
        assert widths == sorted(widths, reverse=True) and max(widths) > 5 * min(widths)
    cells = [
        attributes for tag, attributes in parsed.tags if tag == "td" and attributes.get("class") in ("helps", "hurts")
    ]
    assert len(cells) == 72 and cells[0]["title"].startswith("ASR helps PR: PER +0.554 %")


def test_a_table_alone_has_the_papers_marks_and_superb_s(tmp_path: Path) -> None:
    page = table_page(tmp_path)
    rows = paper_rows()
    base = rows.pop(("all_task", ""))
    differing = [(value, base[name]) for row in rows.values() for name, value in row.items() if value != base[name]]
    assert page.count('<td class="better">') + page.count('<td class="worse">') == len(differing)
    assert '<td class="worse"><span>6.42</span></td>' in page and '<td class="better"><span>88.53</span></td>' in page
    assert "Over 9 tasks: ASR, PR, SF" in page and "unverified" in page and "23.18" in page
    assert "never be set beside" not in page


def test_superb_s_is_not_computed_across_corpora(tmp_path: Path) -> None:
    sweeps = [read_sweep(write_sweep(tmp_path / "seed1", 1))]
    scores = score_table(sweeps)
    page = write_report(tmp_path / "a", ("html",), scores, sweeps, read_reference(None))[1][0].read_text()
    assert "Not computed: the scores are those of mini-SUPERB, the reference values those of SUPERB." in page
    mine = Reference("fbank here", "mini", {"asr_wer": 50.0}, {"asr_wer": 0.0})
    page = write_report(tmp_path / "b", ("html",), scores, sweeps, mine)[1][0].read_text()
    assert "Over 1 tasks: ASR" in page and "fbank here" in page and "Not computed" not in page


def test_foreign_text_is_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "a <b> & c"
    write_results(folder / "all_task", {"asr_wer": 5.0}, 1, upstream="<script>alert(1)</script>")
    sweeps = [read_sweep(folder)]
    page = write_report(tmp_path, ("html",), score_table(sweeps), sweeps, read_reference(None))[1][0].read_text()
    assert Page(page).loads == [] and "<script" not in page and "&lt;script&gt;" in page
    assert "a &lt;b&gt; &amp; c" in page
    # One run: no graph, no curves, no weights, and what is missing is told.
    assert "<svg" not in page and "ssl" in page and "Not there yet" in page


def test_curves_of_any_shape_are_drawn() -> None:
    lines = {
        "ks": [Line("ssl", [(step, 2.0) for step in range(1000)]), Line("dev", [(0, 1.0)], dots=True)],
        "pr": [],
        "sd": [Line("ssl", [(1, float("nan")), (2, 0.0), (3, float("inf"))])],
    }
    text = panels(lines, {"ssl": "a & b"})
    Page(text)
    drawn = re.findall(r'<polyline class="line ssl" points="([^"]+)"', text)
    assert len(drawn) == 1 and len(drawn[0].split()) == 143
    assert text.count("not logged") == 1 and "a &amp; b" in text and "nan" not in text and "inf" not in text


def test_the_graph_is_a_picture_of_its_own(tmp_path: Path) -> None:
    [picture] = write_report(tmp_path, ["svg"], read_table(TABLE), (), read_reference(None))[1]
    root = ElementTree.parse(picture).getroot()
    names = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{names}svg" and "var(" not in picture.read_text()
    arrows = [group for group in root.iter(f"{names}g") if "edge" in group.get("class", "")]
    graph = relation_graph(read_table(TABLE))
    assert len(arrows) == sum(edge.effect != "none" for edge in graph.edges) > 60
    assert {group.get("class", "").split()[-1] for group in arrows} == {"helps", "hurts"}


def test_without_edges_there_is_no_picture(tmp_path: Path) -> None:
    alone = tmp_path / "alone.csv"
    alone.write_text("".join(TABLE.read_text().splitlines(keepends=True)[:3]))
    paths = write_report(tmp_path, FILES, read_table(alone), (), read_reference(None))[1]
    assert "graph.svg" not in [path.name for path in paths]
