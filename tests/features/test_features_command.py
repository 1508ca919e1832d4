"""`s3prl-plugins features` from its command line: what it stores, tells, finds damaged, deletes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml
from s3prl_plugins.features.contents import holdings
from s3prl_plugins.features.filling import Item
from s3prl_plugins.features.identity import FORMAT, Utterance, identity
from s3prl_plugins.features.lines import seal
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.heads.audio import load
from s3prl_plugins.multitask.config import find_config, run_config
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.tasks import read_tasks
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.multitask.upstream import build_upstream

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(corpus: Path, store: Path, *more: str, tasks: tuple[str, ...] = ("ks", "pr")) -> int:
    override = f"config.corpus_root={corpus},,config.encoder.conv_grad_mult=None,,config.encoder.store_kind=float16"
    common = ["-u", "fbank", "--device", "cpu", "-o", override, "--feature-store", str(store)]
    return main(["features", "build", *common, "--tasks", *tasks, *more])


@pytest.fixture(scope="module")
def built(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("built") / "features"
    assert build(tiny_corpus, store) == 0
    return store


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(built, tmp_path / "features"))


def utterances_of(store: Path) -> dict[str, int]:
    return {one.kind: one.utterances for one in holdings(store)}


def test_what_is_stored_is_what_the_encoder_gives(built: Path, tiny_corpus: Path) -> None:
    upstream = build_upstream(stock_args(upstream="fbank")).eval()
    key = identity(upstream, "hidden_states", None)
    frames, pooled = (FeatureStore(built, key, kind) for kind in ("float16", "pooled"))
    config = run_config({**load_yaml(find_config("scenarios_mini")), "corpus_root": str(tiny_corpus)})
    data = read_tasks(config.task_configs, tiny_corpus)
    for example in data["pr"].examples("train")[:3]:
        [wanted] = upstream([load(example.path)])["hidden_states"]
        found = frames.get(Utterance(example.path))
        assert found is not None and torch.equal(found, wanted.half().float())
    spoken = [example for example in data["ks"].examples("dev") if example.label != "_silence_"]
    for example in spoken[:3]:
        reader = data["ks"].reader
        [wanted] = upstream([reader.waveform(example, None)])["hidden_states"]
        found = pooled.get(Utterance(example.path, variant=reader.variant(example)))
        torch.testing.assert_close(found, wanted.mean(dim=1, keepdim=True), rtol=1e-5, atol=1e-5)


def test_a_run_after_it_computes_nothing(
    copy: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trunk, "forward", lambda *_: pytest.fail("the encoder was run"))
    settings = (
        f"config.corpus_root={tiny_corpus},,config.encoder.conv_grad_mult=None,,config.ssl.steps=3,,"
        "config.runner.eval_at_start=False"
    )
    common = ["-u", "fbank", "--device", "cpu", "-o", settings, "--feature-store", str(copy)]
    assert main(["finetune", "ssl", "-p", str(tmp_path / "run"), "--tasks", "ks", "--jobs", "1", *common]) == 0


def test_size_is_told_first_and_hardly_exceeded_and_a_dry_run_stores_nothing(
    built: Path, tiny_corpus: Path, tmp_path: Path, capsys: Said
) -> None:
    assert build(tiny_corpus, tmp_path / "features", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "times real time" in said and "feature store: " in said and "for ks (pooled), pr (float16)" in said
    assert not (tmp_path / "features").exists()
    told = dict(zip(("ks", "pr"), (line.split() for line in said.splitlines()[2:4])))
    for one, task in zip(holdings(built), ("pr", "ks")):
        assert int(told[task][3]) == one.utterances
        size, unit = float(told[task][5]), {"kB": 1e3, "MB": 1e6}[told[task][6]]
        assert one.bytes <= size * unit * 1.01 and size * unit < one.bytes * 1.5


def test_the_same_command_again_stores_nothing_more(copy: Path, tiny_corpus: Path, capsys: Said) -> None:
    before = utterances_of(copy)
    assert build(tiny_corpus, copy) == 0
    said = capsys.readouterr().out
    assert "nothing is missing" in said and "0 utterances more" in said
    assert utterances_of(copy) == before


def test_two_tasks_that_hear_the_same_share_it(built: Path, tiny_corpus: Path, tmp_path: Path, capsys: Said) -> None:
    assert build(tiny_corpus, tmp_path / "features", tasks=("pr", "asr")) == 0
    rows = [line.split()[:4] for line in capsys.readouterr().out.splitlines()[2:4]]
    assert rows[0][2] == "0" and rows[1][3] == "0" and rows[0][3] == rows[1][2]
    assert utterances_of(tmp_path / "features")["float16"] == utterances_of(built)["float16"]


def test_cut_off_it_goes_on_with_the_rest(
    built: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    store, real, calls = tmp_path / "features", Item.wave, [0]

    def wave(item: Item) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 8:
            raise KeyboardInterrupt
        return real(item)

    monkeypatch.setattr(Item, "wave", wave)
    assert build(tiny_corpus, store) == 130
    captured = capsys.readouterr()
    assert "cut off after 5 utterances; the same command goes on with the rest" in captured.out
    assert "interrupted" in captured.err
    assert build(tiny_corpus, store) == 0
    total = sum(utterances_of(built).values())
    assert f"{total - 5} utterances more" in capsys.readouterr().out
    assert utterances_of(store) == utterances_of(built)


def test_the_budget_goes_to_what_saves_most(tiny_corpus: Path, tmp_path: Path, capsys: Said) -> None:
    store = tmp_path / "features"
    assert build(tiny_corpus, store, "--feature-budget", "100kB") == 0
    said = capsys.readouterr().out
    assert "ks (pooled)" in said and "of pr (float16); beyond the budget of 100 kB and computed each time: pr (" in said
    held = utterances_of(store)
    assert held["pooled"] == 53 and held.get("float16", 0) < 16
    assert sum(one.bytes for one in holdings(store)) <= 100_000


def test_a_place_that_cannot_be_written_makes_exit_status_1(tiny_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert build(tiny_corpus, tmp_path / "features", tasks=("pr",)) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tasks", "ks", "qbe"], "task 'qbe' has no head to train; Known: asr, asv"),
        (["--kind", "int9"], "config.encoder.store_kind is 'int9'; did you mean 'int8'?"),
        (["--splits", "training"], "task 'ks' has no split 'training'"),
        (["--feature-budget", "50"], "a size must be a number with kB, MB, GB or TB such as 50GB, or 0, found '50'"),
        (["-c", "all_task_paper"], "config.encoder.padding is 'batch', with which states depend on an utterance's"),
    ],
)
def test_what_cannot_be_done_is_named(
    more: list[str], message: str, tiny_corpus: Path, tmp_path: Path, capsys: Said
) -> None:
    assert build(tiny_corpus, tmp_path / "none", *more) == 2
    error = capsys.readouterr().err
    assert message in error and error.splitlines()[-1].startswith("s3prl-plugins features: ")
    assert not (tmp_path / "none").exists()


def test_info_tells_what_is_there(copy: Path, capsys: Said) -> None:
    assert main(["features", "info", str(copy), "--check"]) == 0
    said = capsys.readouterr().out
    assert "s3prl.upstream.baseline.expert.UpstreamExpert" in said and "every checksum is right" in said
    assert "float16" in said and "pooled" in said and "1 x 240" in said


def test_info_finds_damage_and_drop_takes_it_away(copy: Path, tiny_corpus: Path, capsys: Said) -> None:
    frames, pooled = (one.folder for one in holdings(copy))
    [data] = frames.glob("*.bin")
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)
    (pooled / "1-foreign.idx").write_bytes(seal(json.dumps({"format": FORMAT, "identity": "other", "kind": "pooled"})))
    (pooled / "1-lonely.bin").write_bytes(b"x")
    assert main(["features", "info", str(copy)]) == 0, "without --check nothing is read"
    assert main(["features", "info", str(copy), "--check"]) == 1
    said = capsys.readouterr().out
    assert f"{data}: 1 of 16 entries are damaged" in said and "1-foreign.idx is of another encoder or kind" in said
    assert "1-lonely.idx cannot be read (No such file or directory)" in said and "features drop" in said
    assert main(["features", "drop", str(copy), "--stale"]) == 0
    assert not data.exists() and not list(pooled.glob("1-*"))
    assert utterances_of(copy) == {"pooled": 53}
    assert main(["features", "info", str(copy), "--check"]) == 0
    assert build(tiny_corpus, copy) == 0 and utterances_of(copy)["float16"] == 16


def test_states_of_another_version_are_stale(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setattr("s3prl_plugins.features.identity.version", lambda _name: "9.9")
    assert main(["features", "drop", str(copy), "--stale"]) == 0
    assert not copy.exists()


def test_drop_deletes_what_is_named_and_nothing_else(copy: Path, capsys: Said) -> None:
    (copy / "notes.txt").write_text("mine")
    [one] = {one.identity for one in holdings(copy)}
    assert main(["features", "drop", str(copy), "--identity", one[:4], "--kind", "float16"]) == 0
    assert set(utterances_of(copy)) == {"pooled"}
    assert main(["features", "drop", str(copy), "--identity", "zz"]) == 2
    assert f"is of that encoder and kind; it holds {one} pooled" in capsys.readouterr().err
    assert main(["features", "drop", str(copy), "--all"]) == 0
    assert [path.name for path in copy.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["info"], "must be the folder of a feature store, found none there"),
        (["drop", "--all"], "must be the folder of a feature store, found none there"),
        (["drop"], "what to delete must be said: --identity PREFIX, --kind KIND, --stale or --all"),
    ],
)
def test_a_folder_that_is_no_store_is_left_alone(
    command: list[str], message: str, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "photos").mkdir()
    assert main(["features", command[0], str(tmp_path), *command[1:]]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "photos").is_dir()


@pytest.mark.parametrize("words", [[], ["build"], ["info"], ["drop"]])
def test_help_shows_examples(words: list[str], capsys: Said) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["features", *words, "--help"])
    said = capsys.readouterr().out
    assert "examples:\n  s3prl-plugins features" in said if words else "build|info|drop" in said
