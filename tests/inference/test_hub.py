"""The folder form of a model, and the Hub: a local folder stands in for the remote."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import s3prl_plugins
from s3prl_plugins.cli import main
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.inference.exporting import export_folder
from s3prl_plugins.inference.hub import is_repository
from s3prl_plugins.inference.loading import read
from s3prl_plugins.inference.model import Model
from s3prl_plugins.upstream.mtl_hubert.hubconf import SUPERB_TINY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_folder("superb_tiny", tmp_path_factory.mktemp("hub") / "model")[0]


class Remote:
    """What of HfApi is used, on folders."""

    def __init__(self, root: Path) -> None:
        self.root, self.made = root, {}

    def create_repo(self, api: Any, repo_id: str, *, private: bool | None, exist_ok: bool) -> str:
        assert exist_ok
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        self.made[repo_id] = private
        return f"https://hub.invalid/{repo_id}"

    def upload_folder(
        self, api: Any, *, repo_id: str, folder_path: Path, revision: str | None, allow_patterns: list[str],
        commit_message: str,
    ) -> None:  # fmt: skip
        for name in allow_patterns:
            shutil.copy(folder_path / name, self.root / repo_id / name)

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        if revision not in (None, "main") or not (self.root / repo_id).is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("the Hub cannot be\nreached")
        cache = self.root / "cache" / repo_id
        cache.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            shutil.copy(self.root / repo_id / name, cache / name)
        return str(cache)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    found = Remote(tmp_path / "remote")

    def stand_in(place: Any, name: str, instead: Callable[..., Any]) -> None:
        known = inspect.signature(getattr(place, name))

        def call(*given: Any, **named: Any) -> Any:
            known.bind(*given, **named)  # the installed version takes these arguments
            return instead(*given, **named)

        monkeypatch.setattr(place, name, call)

    stand_in(huggingface_hub.HfApi, "create_repo", found.create_repo)
    stand_in(huggingface_hub.HfApi, "upload_folder", found.upload_folder)
    stand_in(huggingface_hub, "snapshot_download", found.snapshot_download)
    return found


def test_the_folder_holds_what_the_file_holds_bit_for_bit(folder: Path, superb_tiny: Model) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    file, found = read(SUPERB_TINY), read(folder)
    assert file.hubert is not None and found.hubert is not None
    for left, right in (
        (file.heads, found.heads),
        (file.featurizers, found.featurizers),
        (file.hubert["model_weight"], found.hubert["model_weight"]),
    ):
        assert left.keys() == right.keys()
        assert all(left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left)
    assert (file.config, file.labels, file.calibration, file.about) == (
        found.config, found.labels, found.calibration, found.about,
    )  # fmt: skip
    wave = np.random.default_rng(0).normal(0, 0.1, 20000).astype(np.float32)
    assert s3prl_plugins.load(folder, "cpu")((wave, 16000)) == superb_tiny((wave, 16000))


def test_the_card_of_the_folder_has_the_hubs_metadata(folder: Path) -> None:
    _, metadata, card = (folder / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(metadata)
    assert about["library_name"] == "s3prl-plugins" and about["language"] == ["en"]
    assert {"superb", "asr", "automatic-speech-recognition", "audio-classification"} <= set(about["tags"])
    assert card == SUPERB_TINY.with_suffix(".md").read_text()


def test_a_model_goes_to_the_hub_and_comes_back(
    folder: Path, remote: Remote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(folder), "--push-to", "org/tiny", "--private"]) == 0
    assert "https://hub.invalid/org/tiny; use it with s3prl-plugins predict org/tiny" in capsys.readouterr().out
    assert remote.made == {"org/tiny": True}
    (remote.root / "org" / "tiny" / "code.py").write_text("raise SystemExit")
    found = read("org/tiny", revision="main")
    assert found.heads.keys() == read(folder).heads.keys()
    for name in ("config.json", "README.md", "model.safetensors"):
        assert (remote.root / "org" / "tiny" / name).read_bytes() == (folder / name).read_bytes()
    # From the folder that came from the Hub to another repository.
    assert main(["export", str(remote.root / "cache" / "org" / "tiny"), "--to-folder", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "README.md").read_bytes() == (folder / "README.md").read_bytes()


def test_without_network_or_repository_it_is_one_line(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no\nroute")

    with pytest.raises(CheckpointError, match="no model 'org/gone': nothing of that name is here") as caught:
        read("org/gone")
    assert "\n" not in str(caught.value) and "cannot be reached" in str(caught.value)
    assert main(["predict", "org/tiny", "x.wav", "--revision", "v9"]) == 2
    assert "no model 'org/tiny' at revision 'v9'" in capsys.readouterr().err
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", offline)
    assert main(["export", str(SUPERB_TINY), "--push-to", "org/tiny"]) == 2
    error = capsys.readouterr().err.strip()
    assert "Hub does not take 'org/tiny' (ConnectionError: no route)" in error and "\n" not in error


def test_what_goes_together_and_what_does_not(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        ([str(folder), "--to-folder", str(tmp_path / "a"), "--private"], "--private goes with --push-to"),
        ([str(folder), "--to-folder", str(tmp_path)], "exists; choose another name"),
        ([str(folder), "--to-folder", str(tmp_path / "a"), "--half"], "are chosen when a run is exported"),
        ([str(folder), "--push-to", "name"], "a repository is named org/name, found 'name'"),
        ([str(tmp_path / "gone"), "--to-folder", str(tmp_path / "a")], "holds no states"),
    ]
    for words, message in cases:
        assert main(["export", *words]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error
    with pytest.raises(ConfigError, match="a revision is of a repository"):
        read(folder, revision="main")
    names = ("org/name", "a/b-c.d_e", "org/model.pt", "x/states-4.ckpt", "/org/name", "../name", "a/b/c", "name", "./a")
    assert [name for name in names if is_repository(name)] == ["org/name", "a/b-c.d_e"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"config.json": b"[" * 100_000}, "cannot be read"),
        ({"config.json": b"{}"}, "found another model's"),
        ({"config.json": b'{"model_type": "s3prl_plugins", "answers": {"format": 1}}'}, "lacks a part or has one too many"),
        ({"model.safetensors": b"not tensors"}, "cannot be read"),
        ({"model.safetensors": None}, "holds 'classifier.weight', which is no part"),
        ({"config.json": None}, "conv_feature_layers must be a plain list"),
    ],
)  # fmt: skip
def test_folders_that_are_no_models_are_named(
    folder: Path, tmp_path: Path, damage: dict[str, bytes | None], message: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    config = json.loads((broken / "config.json").read_text())
    for checksum in ("checksum", "model.safetensors sha256"):
        del config[checksum]
    (broken / "config.json").write_text(json.dumps(config))
    for name, content in damage.items():
        if content is not None:
            (broken / name).write_bytes(content)
        elif name == "config.json":
            config["model_cfg"]["conv_feature_layers"] = "__import__('os').abort()"
            (broken / name).write_text(json.dumps(config))
        else:
            weights = load_file(broken / name)
            save_file({**weights, "classifier.weight": torch.zeros(1)}, broken / name)
    with pytest.raises(CheckpointError, match=message) as caught:
        s3prl_plugins.load(broken, "cpu")
    assert "\n" not in str(caught.value)
