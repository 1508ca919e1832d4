"""superb_s: 0 at the lower reference, 1000 at the upper one, linear between, each task counted once."""

import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from report_fakes import TABLE, paper_rows

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.scores import ALL_TASK, COLUMNS, Row, ScoreTable
from s3prl_plugins.report.superb_s import Reference, read_reference, superb_s, superb_s_tasks

SSL = Row("ssl")


def with_scores(*scores: dict[str, float]) -> ScoreTable:
    cells = {name: tuple(Decimal(str(one[name])) for one in scores) for name in scores[0]}
    return ScoreTable(tuple(map(str, range(len(scores)))), {SSL: cells})


def test_the_references_are_0_and_1000_and_the_middle_is_500() -> None:
    reference = read_reference(None)
    middle = {name: (reference.fbank[name] + reference.best[name]) / 2 for name in COLUMNS}
    table = with_scores(reference.fbank, reference.best, middle)
    tasks = superb_s_tasks(table, [SSL], reference)
    assert len(tasks) == 10 and tasks[-1] == "qbe"
    assert superb_s(table, SSL, tasks, reference) == pytest.approx([0, 1000, 500])


def test_a_task_of_two_metrics_counts_once() -> None:
    reference = read_reference(None)
    table = with_scores({**reference.fbank, "sf_f1": reference.best["sf_f1"]})
    assert superb_s(table, SSL, superb_s_tasks(table, [SSL], reference), reference) == pytest.approx([1000 / 10 / 2])


def test_the_papers_rows_by_hand() -> None:
    reference, row = read_reference(None), paper_rows()["ssl", ""]
    mapped = {
        name: (row[name] - reference.fbank[name]) / (reference.best[name] - reference.fbank[name]) for name in row
    }
    single = sum(value for name, value in mapped.items() if not name.startswith("sf_"))
    expected = 1000 * (single + (mapped["sf_f1"] + mapped["sf_cer"]) / 2) / 9
    table = read_table(TABLE)
    tasks = superb_s_tasks(table, [SSL, ALL_TASK], reference)
    assert len(tasks) == 9 and superb_s(table, SSL, tasks, reference) == pytest.approx([expected])


def test_only_tasks_that_every_row_and_seed_has_are_counted() -> None:
    reference = read_reference(None)
    table = with_scores(reference.fbank, reference.best)
    cells = dict(table.cells[SSL])
    cells["ks_acc"] = (Decimal(1), None)
    table = dataclasses.replace(table, cells={SSL: cells, ALL_TASK: {**cells, "er_acc": (None, None)}})
    tasks = superb_s_tasks(table, [SSL, ALL_TASK], reference)
    assert set(tasks) == {"asr", "pr", "sf", "sd", "ic", "asv", "sid", "qbe"}


def test_the_shipped_reference_says_that_it_is_unverified() -> None:
    reference = read_reference(None)
    assert "unverified" in reference.source and reference.size == "paper"
    assert reference.fbank["pr_per"] == 82.01 and reference.best["qbe_mtwv"] == 0.0886


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fbank": {"asr_wr": 1.0}}, r"mine\.yaml: unknown column 'asr_wr'; did you mean 'asr_wer'\?"),
        ({"fbank": {"asr_wer": 1.0}}, r"asr_wer needs a value under fbank and one under best; add the other"),
        (
            {"fbank": {"asr_wer": 1.0}, "best": {"asr_wer": 1.0}},
            r"asr_wer: fbank and best must differ, found 1\.0 for both",
        ),
        ({"size": "big"}, r"mine\.yaml\.size is 'big'.*Known: mini, paper"),
    ],
)
def test_a_reference_that_cannot_be_used_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"source": "here", "size": "mini", **change}))
    with pytest.raises(ConfigError, match=message):
        read_reference(path)
    path.write_text(yaml.safe_dump({"source": "here", "size": "mini", "fbank": {"ks_acc": 10}, "best": {"ks_acc": 90}}))
    assert read_reference(path) == Reference("here", "mini", {"ks_acc": 10.0}, {"ks_acc": 90.0})
