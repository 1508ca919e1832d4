"""The table as data: it reads back what it writes, and what it cannot read is named in one line."""

from decimal import Decimal
from pathlib import Path

import pytest
from report_fakes import TABLE, paper_rows

from s3prl_plugins.errors import UserError
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.scores import COLUMNS, GRAPH_COLUMN, Row, ScoreTable, exact


def test_the_papers_table_reads_back_letter_by_letter() -> None:
    table = read_table(TABLE)
    assert table.to_csv() == TABLE.read_text()
    found = {
        (row.scenario, row.left_out): {
            name: float(values[0]) for name, values in cells.items() if values[0] is not None
        }
        for row, cells in table.cells.items()
    }
    assert found == paper_rows()


def test_columns_are_the_papers_and_slot_filling_counts_by_its_cer() -> None:
    head = TABLE.read_text().splitlines()[0].split(",")
    assert [*head[2:], "qbe_mtwv"] == list(COLUMNS)
    assert GRAPH_COLUMN["sf"] == "sf_cer" and len(GRAPH_COLUMN) == 9


def test_digits_survive_and_means_are_exact(tmp_path: Path) -> None:
    cells = {
        Row("ssl"): {"asr_wer": (Decimal("0.1"), Decimal("0.2"), None), "pr_per": (Decimal("38.333333"), None, None)}
    }
    table = ScoreTable(("1", "2", "3"), cells)
    assert table.mean(Row("ssl"), "asr_wer") == Decimal("0.15")
    assert table.mean(Row("ssl"), "sid_acc") is None
    path = tmp_path / "t.csv"
    path.write_text(table.to_csv())
    again = read_table(path)
    assert again.values(Row("ssl"), "pr_per") == [Decimal("38.333333")]
    assert again.to_csv() == table.to_csv()


def test_noise_of_a_root_finder_makes_no_difference() -> None:
    assert exact(44.00000000017741) == exact(44.0) != exact(44.00001)


def test_what_others_may_add_is_taken_as_it_is_meant(tmp_path: Path) -> None:
    lines = TABLE.read_text().splitlines()
    lines = [f"{line},{'remark' if number == 0 else 'x'}" for number, line in enumerate(lines)]
    path = tmp_path / "t.csv"
    path.write_text(
        "\ufeff" + "\r\n".join([lines[0], "", *lines[1:]]).replace(",6.42,", ", 6.42 ,").replace(",,", ",-,")
    )
    assert read_table(path).to_csv() == TABLE.read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("asr_wer,", "wer,", r"column 'asr_wer' is missing; the head must name scenario,mtl_tasks,asr_wer"),
        ("pr_per,", "asr_wer,", r"column 'asr_wer' is there twice"),
        ("6.22", "6.2x", r"line 3: asr_wer must be a number of at least 0, found '6\.2x'"),
        ("6.22", "nan", r"line 3: asr_wer must be a number of at least 0, found 'nan'"),
        ("6.22", "inf", r"line 3: asr_wer must be a number of at least 0, found 'inf'"),
        ("6.22", "-6.22", r"line 3: asr_wer must be a number of at least 0, found '-6\.22'"),
        ("6.22,", "", r"line 3 has 11 cells where the head has 12"),
        ("ssl,none", "sll,none", r"line 2: unknown scenario 'sll'; did you mean 'ssl'\?"),
        ("ssl,none", "all_task,all", r"line 3: the row all_task is there twice; keep one"),
        ("all but pr", "all but asr", r"line 5: the row leave_one_out, all but asr is there twice"),
        (
            "all but pr",
            "without pr",
            r"line 5: mtl_tasks of leave_one_out must read 'all but TASK', found 'without pr'",
        ),
        ("all but pr", "all but prr", r"found 'all but prr'; did you mean 'pr'\?"),
        (
            "all but asr,,",
            "all but asr,6.1,",
            r"line 4: a model without asr has no asr_wer, found 6\.1; empty the cell",
        ),
    ],
)
def test_bad_input_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TABLE.read_text()
    assert old in text
    path = tmp_path / "bad.csv"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value) and "bad.csv" in str(caught.value)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read .*No such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.csv cannot be read"):
        read_table(tmp_path / "binary.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match=r"column 'scenario' is missing"):
        read_table(tmp_path / "empty.csv")
