"""The choice of a learning rate: which of several tries is best, and the search itself on a tiny task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.files import write_checked
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card
from s3prl_plugins.sweep import job, lr_search, scenarios
from s3prl_plugins.sweep.launcher import InProcess
from s3prl_plugins.sweep.lr_search import TIE, Try, best_rate
from s3prl_plugins.sweep.sweep import Sweep, SweepOptions

SCORES = st.one_of(st.none(), st.just(float("nan")), st.floats(0, 200))
LOSSES = st.one_of(st.none(), st.floats(0, 10))


@given(
    st.lists(st.builds(Try, st.floats(1e-6, 1), SCORES, LOSSES), min_size=1, unique_by=lambda entry: entry.lr),
    st.sampled_from(FINETUNED_TASKS),
    st.randoms(),
)
def test_the_choice_is_near_the_best_score_and_none_as_near_has_a_lower_loss(
    tried: list[Try], name: str, random: Any
) -> None:
    task = card(name)
    sign = -1 if task.best_metric.higher_is_better else 1
    whole = [entry for entry in tried if entry.score is not None and entry.score == entry.score]
    if not whole:
        with pytest.raises(ConfigError, match=f"no learning rate of config.ssl.lr_search.grid .* can train '{name}'"):
            best_rate(tried, task)
        return
    chosen = next(entry for entry in tried if entry.lr == best_rate(tried, task))
    best = min(sign * entry.score for entry in whole)
    close = [entry for entry in whole if sign * entry.score <= best + TIE]
    assert chosen in close
    losses = [entry.loss for entry in close if entry.loss is not None]
    if losses:
        assert chosen.loss == min(losses)
    else:
        assert sign * chosen.score == best
    random.shuffle(tried)
    assert best_rate(tried, task) == chosen.lr


def test_where_no_score_has_moved_the_dev_loss_decides() -> None:
    flat = [Try(1e-4, 100.0, 3.1), Try(1e-3, 99.6, 2.9), Try(1e-2, 100.0, 2.2), Try(1e-1, 100.0, 8.0)]
    assert best_rate(flat, card("asr")) == 1e-2
    assert best_rate([*flat, Try(3e-3, 97.0, 2.5)], card("asr")) == 3e-3


@pytest.fixture(scope="module")
def mapping(tiny_corpus: Path) -> dict[str, Any]:
    changes = {
        "corpus_root": str(tiny_corpus),
        "tasks": ["ks", "er"],
        "ssl": {"steps": 2, "lr_search": {"grid": [1e-5, 1e-2], "steps": 1}},
    }
    return merge(load_yaml(find_config("scenarios_mini")), changes)


def test_a_search_is_made_once_can_be_continued_and_its_choice_is_used(
    mapping: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SweepOptions(tmp_path, {"upstream": "fbank", "device": "cpu", "seed": 3})
    runs = scenarios.ssl(mapping, ["ks"], search=True)
    calls: list[tuple[str, str]] = []
    train = job.train_and_score

    def cut_off(args: Any, config: Any, splits: str) -> None:
        if len(calls) == 1:
            calls.clear()
            raise KeyboardInterrupt
        calls.append((Path(args["expdir"]).name, splits))
        train(args, config, splits)

    monkeypatch.setattr(lr_search, "train_and_score", cut_off)
    with pytest.raises(KeyboardInterrupt):
        Sweep(runs, options).run(InProcess())
    monkeypatch.setattr(
        lr_search, "train_and_score", lambda *a: (calls.append((Path(a[0]["expdir"]).name, a[2])), train(*a))
    )
    assert Sweep(runs, options).run(InProcess())["ssl/ks"].state == "done"
    assert calls == [("0.01", "dev")]

    record = json.loads((tmp_path / "ssl" / "ks" / "lr_search.json").read_text())
    assert {key: record[key] for key in ("metric", "split", "steps")} == {"metric": "acc", "split": "dev", "steps": 1}
    assert [entry["lr"] for entry in record["tried"]] == [1e-5, 1e-2]
    tried = [Try(entry["lr"], entry["score"], entry["loss"]) for entry in record["tried"]]
    assert all(entry.loss is not None for entry in tried) and tried[0] != tried[1]
    assert record["chosen"] == best_rate(tried, card("ks"))
    saved, _ = checkpoint.newest_whole(tmp_path / "ssl" / "ks")
    assert saved.config["optimizer"]["heads"]["lr"] == saved.config["optimizer"]["upstream"]["lr"] == record["chosen"]
    assert saved.step == 2 and not (tmp_path / "ssl" / "ks" / "lr_search").exists()

    again = Sweep(scenarios.ssl(mapping, ["ks"]), options)
    assert again.finished == {"ssl/ks"}
    followed = Sweep(scenarios.transfer(mapping, ["ks"]), options).jobs["transfer/ks"]
    assert followed.config["optimizer"]["heads"]["lr"] == record["chosen"]
    elsewhere = SweepOptions(tmp_path / "seed2", options.args, rates=tmp_path)
    for run in (scenarios.ssl(mapping, ["ks"]), scenarios.transfer(mapping, ["ks"])):
        job_there = Sweep(run, elsewhere).jobs[run[-1].name]
        assert job_there.config["optimizer"]["heads"]["lr"] == record["chosen"]
    with pytest.raises(ConfigError, match="ssl/er holds no finished learning-rate search; run .*--lr-search"):
        Sweep(scenarios.ssl(mapping, ["er"]), elsewhere)
    (tmp_path / "ssl" / "ks" / "lr_search.json").unlink()
    with pytest.raises(ConfigError, match="ssl/ks was trained without --lr-search; choose another folder"):
        Sweep(runs, options)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lr_search.json"
    write_checked(path, {"tried": [], "chosen": 0.001})
    whole = path.read_text()
    assert lr_search.recorded_rate(tmp_path) == 0.001
    for damaged in (whole.replace("0.001", "0.101"), '{"tried": []}', whole[:-5]):
        path.write_text(damaged)
        with pytest.raises(CheckpointError, match="lr_search.json cannot be read; remove it and search again"):
            lr_search.recorded_rate(tmp_path)
