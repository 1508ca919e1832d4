"""The command on the tiny corpus: files, agreement of its three outputs, seeds, errors in one line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.pretext.bars import Bar, bar_chart


def select(corpus: Path, folder: Path, *more: str, task: str = "er") -> int:
    given = ["select-pretext", "--task", task, "--corpus-root", str(corpus), "-p", str(folder)]
    return main([*given, "--fewest", "4", "--steps", "50", *more])


def test_three_files_that_agree(tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ("rms", "zcr", "alpha_ratio", "f0")
    assert select(tiny_corpus, tmp_path, "--labels", *labels) == 0
    said = capsys.readouterr().out
    content = json.loads((tmp_path / "selection.json").read_text())
    assert set(content["labels"]) == set(labels)
    utilities = [entry["utility"] for entry in content["labels"].values()]
    assert utilities == sorted(utilities) and all(value >= 0 for value in utilities)
    workers = yaml.safe_load((tmp_path / "workers.yaml").read_text())["workers"]
    assert sum(workers.values()) == pytest.approx(1, abs=1e-5)
    assert workers == pytest.approx({name: entry["weight"] for name, entry in content["labels"].items()}, abs=1e-6)
    page = (tmp_path / "selection.html").read_text()
    assert all(name in said and name in page for name in labels)
    assert set(content["classes"]) == {"ang", "hap", "neu", "sad"}
    assert "--centring unbiased" in said and "--centring unbiased" in page


def test_the_same_again_and_words(tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--labels", "rms", "zcr", "--method", "sparsemax", "--centring", "unbiased", "--per-class", "4")
    files = []
    for folder, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert select(tiny_corpus, tmp_path / folder, *options, "--seed", seed, task="asr") == 0
        files.append(json.loads((tmp_path / folder / "selection.json").read_text())["labels"])
    assert files[0] == files[1] != files[2]
    assert "word borders are guessed" in capsys.readouterr().out


def test_as_released(tiny_corpus: Path, tmp_path: Path) -> None:
    assert select(tiny_corpus, tmp_path, "--labels", "rms", "zcr", "--released") == 0
    about = json.loads((tmp_path / "selection.json").read_text())["about"]
    assert (about["centring"], about["start"], about["spread"], about["frames"]) == ("released", "released", 0.0, 30)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--labels", "rmss"), "unknown label 'rmss'; did you mean 'rms'?"),
        (("--labels", "rms", "rms"), "--labels names a label twice: rms rms"),
        (("-c", "sid_mini"), "--task is 'er' but 'sid_mini' is of task 'sid'"),
        (("-c", "er_minni"), "no config file 'er_minni' here, and none of that name; did you mean 'er_mini'?"),
        (("--fewest", "900", "--per-class", "900"), "a class needs at least 900 samples"),
        (("--jobs", "0"), "--jobs must be at least 1, found 0"),
        (("--steps", "0"), "steps must be at least 1, found 0"),
        (("--alignments", "none"), "task 'er' has no use for word alignments"),
        (("--corpus-root", "nowhere"), "nowhere"),
    ],
)
def test_errors_are_one_line(
    options: tuple[str, ...], said: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(tiny_corpus, tmp_path / "out", *options) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("s3prl-plugins select-pretext: ")]
    assert len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "out").exists()


def test_unknown_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select(tmp_path, tmp_path, task="emotion") == 2
    assert "unknown task 'emotion'" in capsys.readouterr().err


def test_bars_have_one_scale() -> None:
    bars = [Bar("a<b", 2.0, "2", 0.5, 1.0), Bar("c", -1.0, "-1"), Bar("d", 0.0, "0")]
    svg = bar_chart(bars, "title").replace("class=soft", 'class="soft"').replace("role=img", 'role="img"')
    widths = [float(node.attrib["width"]) for node in ElementTree.fromstring(svg).iter("rect")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.1) and widths[2] == 0
    assert "a&lt;b" in svg
