"""Configurations, overrides, indexes, manifests and arrays made to harm: no effect, and one line that names them."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hostile_files import Payload

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.compat.s3prl import override as stock_override
from s3prl_plugins.config import literal, load_yaml, override
from s3prl_plugins.corpora.manifest import FILE as MANIFEST
from s3prl_plugins.corpora.manifest import read as read_manifest
from s3prl_plugins.errors import CheckpointError, ConfigError, UserError
from s3prl_plugins.features.contents import holdings
from s3prl_plugins.features.lines import seal
from s3prl_plugins.heads.corpora.kaldi import SdReader
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask.evaluation import update_results
from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.pseudo_speakers import PseudoSpeakers
from s3prl_plugins.problems import Problems
from s3prl_plugins.report.page import write_page
from s3prl_plugins.upstream.convolutions import check_convolutions
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

NESTED = "[" * 200_000
LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20))
YAML = {
    "a call": ("a: !!python/object/apply:os.system ['touch {canary}']", "not valid YAML"),
    "a new object": ("a: !!python/object/new:os.system ['touch {canary}']", "not valid YAML"),
    "a name": ("a: !!python/name:os.system", "not valid YAML"),
    "a module": ("a: !!python/module:antigravity", "not valid YAML"),
    "a tag of one's own": ("a: !evil 1", "not valid YAML"),
    "references to references": (LAUGHS, "stand for more than 100,000 values"),
    "merges of merges": (MERGED, "stand for more than 100,000 values"),
    "a list within itself": ("a: &a [*a]", "stand for more than 100,000 values"),
    "200,000 lists within each other": (NESTED, "it nests too deeply"),
    "an impossible date": ("a: 2020-99-99", "month must be in 1..12"),
    "an unhashable key": ("? [a]\n: 1", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML"),
}


@pytest.mark.parametrize("case", YAML)
def test_yaml(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, said = YAML[case]
    path, canary = tmp_path / "hostile.yaml", tmp_path / "canary"
    path.write_text(text.replace("{canary}", str(canary)), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"hostile\.yaml") as error:
        load_yaml(path)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert main(["finetune", "all-task", "-c", str(path), "-p", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not canary.exists() and not (tmp_path / "run").exists()


def test_yaml_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "hostile.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"hostile\.yaml' is not valid YAML"):
        load_yaml(tmp_path / "hostile.yaml")


def test_references_that_repeat_little_are_fine(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n")
    assert load_yaml(tmp_path / "good.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}


VALUES = {
    "a call": "__import__('os').system('touch {canary}')",
    "a comprehension": "[open('{canary}', 'w') for _ in (1,)]",
    "an f-string": "f\"{open('{canary}', 'w')}\"",
    "an attribute": "().__class__.__base__.__subclasses__()",
    "100,000 brackets": "(" * 100_000,
    "100,000 signs": "-" * 100_000 + "1",
    "a list as a key": "{[]: 1}",
    "a power": "9**9**9",
    "a number of 10,000 digits": "9" * 10_000,
}


@pytest.mark.parametrize("case", VALUES)
def test_values_of_overrides(case: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    value = VALUES[case].replace("{canary}", str(canary))
    assert literal(value) == value
    assert override(f"config.runner.x={value}", {})["runner"]["x"] == value
    args, config = argparse.Namespace(lr=1), {"runner": {}}
    stock_override(f"args.lr={value},,config.runner.x={value}", args, config)
    assert args.lr == value and config["runner"]["x"] == value
    assert not canary.exists()


def test_overrides_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary = tmp_path / "canary"
    for option, said in {
        f"config.runner.total_steps=__import__('os').system('touch {canary}')": "must be int",
        f"config.tasks=[open({str(canary)!r}, 'w')]": "config.tasks",
        f"args.x=1,,config.{'a.' * 50_000}b=1": "must read config.KEY=VALUE",
    }.items():
        assert main(["finetune", "all-task", "-p", str(tmp_path / "run"), "-o", option]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not canary.exists() and not (tmp_path / "run").exists()


CONVOLUTIONS = {
    "a call": "[(16,10,5)] + __import__('os').system('touch {canary}')",
    "a walrus": "[(x := 16, 10, 5)]",
    "a billion layers": "[(16,10,5)] * 9999 * 9999",
    "sums of sums": "([(16,10,5)] * 900 + [(16,10,5)] * 900)",
    "tuples of tuples": "((16,10,5) * 9999) * 9999",
    "100,000 brackets": "[" * 100_000,
    "no text": 3,
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_in_checkpoints(case: str, tmp_path: Path) -> None:
    import s3prl.hub as hub
    from s3prl.upstream.wav2vec2.wav2vec2_model import Wav2Vec2Config, Wav2Vec2Model

    canary = tmp_path / "canary"
    value = CONVOLUTIONS[case]
    text = value.replace("{canary}", str(canary)) if isinstance(value, str) else value
    with pytest.raises(ValueError, match="must be a plain list of tuples"):
        check_convolutions(text)
    path = tmp_path / "hostile.pt"
    content = random_checkpoint("tiny", 0, changes={"encoder_layers": 1})
    content["model_cfg"]["conv_feature_layers"] = text
    write_checkpoint(path, {**content, "mtl": {"padding": "none"}})
    for name in ("hubert_local", "mtl_hubert_local"):
        with pytest.raises(ValueError, match="must be a plain list of tuples"):
            getattr(hub, name)(ckpt=str(path))
    with pytest.raises(ValueError, match="must be a plain list of tuples"):
        Wav2Vec2Model(Wav2Vec2Config(conv_feature_layers=text))
    assert not canary.exists()


@pytest.mark.parametrize(
    "name", ["hubert.hubert_model", "wav2vec2.wav2vec2_model", "wavlm.WavLM", "data2vec.data2vec_model"]
)
def test_s3prls_models_evaluate_nothing(name: str) -> None:
    module = importlib.import_module(f"s3prl.upstream.{name}")
    assert "eval(" in inspect.getsource(module)
    assert vars(module)["eval"] is check_convolutions


def test_convolutions_are_what_python_makes_of_them() -> None:
    for text in ("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2", "[(16, 10, 5), (20, 4, 4)]", "2 * [(1, 2, 3)]"):
        assert check_convolutions(text) == eval(text)


def test_arrays(tmp_path: Path) -> None:
    path, canary = tmp_path / "hostile.npz", tmp_path / "canary"

    def objects() -> None:
        evil = np.array([Payload(os.system, f"touch {canary}")], dtype=object)
        np.savez(path, labels=evil, offsets=evil, clusters=1)

    def bomb() -> None:
        np.savez_compressed(path, labels=np.zeros(10**6, np.int16), offsets=np.zeros(2, np.int64), clusters=1)

    def huge() -> None:
        header = np.lib.format.magic(1, 0) + b"\x76\x00"
        header += b"{'descr': '<i2', 'fortran_order': False, 'shape': (999999999999,), }".ljust(117) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("labels", "offsets", "clusters"):
                archive.writestr(f"{name}.npy", header)

    def other() -> None:
        np.savez(path, weights=np.zeros(1))

    def none() -> None:
        path.write_bytes(b"PK\x03\x04")

    for write in (objects, bomb, huge, other, none):
        write()
        for load in (Targets.load, PseudoSpeakers.load):
            with pytest.raises(CheckpointError, match=r"hostile\.npz cannot be read .*; remove it") as error:
                load(path)
            assert "\n" not in str(error.value)
    assert not canary.exists()


def test_json_of_absurd_nesting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.json").write_text(NESTED)
    with pytest.raises(UserError, match=r"results\.json cannot be read .*nests too deeply"):
        write_page(tmp_path)
    with pytest.raises(UserError, match=r"results\.json"):
        update_results(tmp_path, 1, {}, {})
    (tmp_path / "metrics.jsonl").write_text(NESTED + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 1 is not JSON"):
        read_metrics(tmp_path)
    (tmp_path / MANIFEST).write_text(NESTED)
    assert read_manifest(tmp_path) is None
    meta = tmp_path / "IEMOCAP/meta_data/Session1"
    meta.mkdir(parents=True)
    (meta / "train_meta_data.json").write_text(NESTED)
    options = f"config.corpus_root={tmp_path},,config.superb.er.corpus.meta_data=IEMOCAP/meta_data"
    assert main(["corpus", "check", "all_task_mini", "--tasks", "er", "--quick", "-o", options]) == 1
    assert "it nests too deeply" in capsys.readouterr().out


INDEX_LINES = {
    "a header of absurd nesting": [NESTED],
    "a header that is no mapping": ["[1]"],
    "an offset beyond the file": ['{"format": 1}', f"{'0' * 32} {10**18} 8 1 1 1 0"],
    "a size of 2^64": ['{"format": 1}', f"{'0' * 32} 0 {2**64} 1 1 1 0"],
    "numbers that are none": ['{"format": 1}', f"{'0' * 32} -1 ../.. 1 1 1 0"],
    "an identity that leads out": ['{"format": 1, "identity": "../../../..", "kind": ".."}'],
}


@pytest.mark.parametrize("case", INDEX_LINES)
def test_feature_stores(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "store" / "0123456789abcdef" / "float32"
    folder.mkdir(parents=True)
    (folder / "1-a.idx").write_bytes(b"".join(seal(line) for line in INDEX_LINES[case]))
    (folder / "1-a.bin").write_bytes(b"12345678")
    [holding] = holdings(tmp_path / "store", check=True)
    assert list(holding.useless) == [folder / "1-a.idx"]
    assert main(["features", "info", str(tmp_path / "store"), "--check"]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


def test_recordings_whose_predictions_would_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    folder.mkdir()
    (folder / "wav.scp").write_text("../../evil a.wav\n/etc/evil a.wav\n.. a.wav\ngood a.wav\npipe touch canary |\n")
    problems = Problems(gather=True)
    reader = object.__new__(SdReader)
    reader.root = tmp_path
    reader._recordings(folder, problems)
    text = "\n".join(map(str, problems.found))
    for name in ("../../evil", "/etc/evil", ".."):
        assert f"recording {name!r} must have a name without '/'" in text
    assert "found the command 'touch canary |'" in text
    assert len(problems.found) == 4
