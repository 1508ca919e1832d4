"""Tables and the page: what stands in them is what the run wrote."""

import json
from pathlib import Path

import pytest

from s3prl_plugins.errors import UserError
from s3prl_plugins.logs import RunLogger, logged_scores, read_metrics
from s3prl_plugins.report.page import write_page
from s3prl_plugins.report.table import results_table


def test_the_table_follows_the_papers_order_and_shows_what_changed() -> None:
    results = {("ks", "dev"): {"acc": 50.0, "loss": 1.5}, ("asr", "dev-clean"): {"wer": 90.0, "cer": 40.0, "loss": 3.0}}
    lines = results_table(results, {("ks", "dev"): {"acc": 8.0, "loss": 2.5}}).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["asr", "ks"]
    assert "wer ↓ 90.00%  cer ↓ 40.00%" in lines[2] and "->" not in lines[2]
    assert "acc ↑ 8.00 -> 50.00%" in lines[3] and "2.500 -> 1.500" in lines[3]


def test_the_log_reads_back_and_drops_what_a_resumed_run_does_again(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    for step in (0, 1, 2, 3):
        logger.log(step, {"train/ks/loss": float(step), "dev/ks/acc": 10.0 * step, "train/lr/heads": 0.1})
    logger.close()
    assert logged_scores(tmp_path, 2)["ks", "dev"] == {"acc": 20.0}
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "half')
    assert [entry["step"] for entry in read_metrics(tmp_path)] == [0, 1, 2, 3]
    RunLogger(tmp_path, 2).close()
    assert [entry["step"] for entry in read_metrics(tmp_path)] == [0, 1, 2]


def test_the_page_holds_scores_curves_and_escaped_text(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.log(0, {"dev/ks/acc": 8.0, "dev/ks/loss": 2.5})
    for step in (1, 2, 3):
        logger.log(step, {"train/ks/loss": 3.0 - step})
    logger.close()
    with pytest.raises(UserError, match="results.json is missing; evaluate the run first"):
        write_page(tmp_path)
    about = {"tasks": ["ks"], "size": "mini", "upstream": "<script>"}
    results = {"step": 3, "about": about, "scores": {"ks": {"dev": {"acc": 77.5, "loss": 0.5}}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    page = write_page(tmp_path).read_text()
    assert "8.00 -&gt; 77.50%" in page and "<svg" in page and "&lt;script&gt;" in page and "<script" not in page
    assert "never be set" in " ".join(page.split())
