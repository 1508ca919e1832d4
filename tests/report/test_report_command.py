"""`s3prl-plugins report` from the command line."""

import csv
from pathlib import Path

import pytest
from report_fakes import TABLE, write_results, write_sweep

from s3prl_plugins.cli import main

Capture = pytest.CaptureFixture[str]


def test_the_graph_of_a_table(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "edges.csv"
    assert main(["report", "--table", str(TABLE), "--edges", str(out)]) == 0
    rows = list(csv.reader(out.open()))
    assert rows[0] == ["from", "to", "effect", "relative_change_percent"] and len(rows) == 73
    assert ["pr", "asr", "helps", "9.164"] in rows and ["asv", "sd", "hurts", "-26.775"] in rows
    text = capsys.readouterr().out
    assert "ASR is helped by PR (+9.2 %), a little by SD (+0.96 %), hurt by every other task" in text
    assert text.count("negligible") == 2 and f"written: {out}" in text


def test_sweeps_write_all_files_beside_the_first(tmp_path: Path, capsys: Capture) -> None:
    folders = [str(write_sweep(tmp_path / f"seed{seed}", seed)) for seed in (1, 2, 3)]
    assert main(["report", *folders]) == 0
    report = tmp_path / "seed1" / "report"
    assert sorted(path.name for path in report.iterdir()) == [
        "edges.csv", "graph.svg", "report.html", "table.csv", "table.md", "table.tex",
    ]  # fmt: skip
    text = capsys.readouterr().out
    assert "(b-1) all tasks jointly" in text and "±" in text and "SID is helped" in text
    # The report itself is no run of the sweep, and its table is one that --table reads.
    assert main(["report", *folders, "-o", str(tmp_path / "again"), "--formats", "csv", "edges"]) == 0
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["edges.csv", "table.csv"]
    again = tmp_path / "again.csv"
    assert main(["report", "--table", str(report / "table.csv"), "--edges", str(again)]) == 0
    assert again.read_text() == (report / "edges.csv").read_text() == (tmp_path / "again/edges.csv").read_text()


def test_a_run_has_its_own_page(tmp_path: Path, capsys: Capture) -> None:
    write_results(tmp_path / "run", {"ks_acc": 77.5, "qbe_mtwv": 0.0123}, 1)
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "acc ↑ 77.50%" in (text := capsys.readouterr().out) and "mtwv ↑ 0.0123" in text
    assert "77.50%" in (tmp_path / "run" / "report.html").read_text()
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "report takes either folders or --table CSV"),
        (["{seed}", "--table", "{table}"], "report takes either folders or --table CSV"),
        (["{seed}", "--edges", "x.csv"], "--edges goes with --table"),
        (["{seed}", "{seed}"], "a folder is named twice"),
        (["{seed}", "{seed}/all_task"], "all_task is no sweep, the other folders are; report it apart"),
        (["{root}/none"], "none is no folder; pass that of a sweep"),
        (["{root}"], "results.json is missing; evaluate the run first"),
        (["--table", "{root}/none.csv"], "none.csv cannot be read"),
        (["--table", "{partial}"], "partial.csv: the row leave_one_out, all but sid is missing; the graph needs"),
        (["--table", "{zero}"], "zero.csv: asr_wer of all_task is 0, so that a relative change has no value"),
        (["--table", "{hole}"], "hole.csv: the row leave_one_out, all but pr has no asr_wer"),
        (["--table", "{table}", "--edges", "{root}"], "cannot be written"),
        (["{seed}", "--superb-s-reference", "{root}/none.yaml"], "none.yaml' cannot be read"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path: Path, capsys: Capture, words: list[str], message: str) -> None:
    text = TABLE.read_text()
    made = {
        "partial": "".join(line for line in text.splitlines(keepends=True) if "all but sid" not in line),
        "zero": text.replace("6.22", "0.00"),
        "hole": text.replace("6.79", ""),
    }
    places = {"root": str(tmp_path), "seed": str(tmp_path / "seed1"), "table": str(TABLE)}
    for name, content in made.items():
        places[name] = str(tmp_path / f"{name}.csv")
        Path(places[name]).write_text(content)
    write_results(tmp_path / "seed1" / "all_task", {"asr_wer": 5.0}, 1)
    assert main(["report", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("s3prl-plugins report: ") and message in error and error.count("\n") == 1
