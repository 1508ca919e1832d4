import json
from importlib import metadata

import pytest

from s3prl_plugins.cli import diagnosis, doctor, main
from s3prl_plugins.errors import UserError
from s3prl_plugins.superb.cards import CARDS

s3prl = pytest.importorskip("s3prl")


def test_json_reports_every_group_and_every_task(capsys):
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {finding["group"] for finding in findings} == {"stack", "hook", "repairs", "extras", "tasks"}
    assert [f["name"].split()[0] for f in findings if f["group"] == "tasks"] == list(CARDS)
    assert all(finding["cure"] for finding in findings if finding["level"] != "ok")
    assert [f["level"] for f in findings if f["name"] == "s3prl"] == ["ok"]


def test_text_names_what_the_wheel_of_s3prl_lacks(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "pr with s3prl's -d ctc: s3prl's wheel lacks downstream/ctc/corpus/libriphone.py" in text
    assert "torchaudio.sox_effects: in force: removed in torchaudio 2.9" in text


def test_both_distributions_of_s3prl_are_an_error(monkeypatch, capsys):
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "error   s3prl: s3prl 1.0 and espnet-s3prl 1.0 are both installed, in one folder" in text
    assert "cure: pip uninstall -y s3prl espnet-s3prl, then pip install s3prl" in text


def test_a_package_that_does_not_import_is_an_error_with_its_cure(monkeypatch):
    real = diagnosis.importlib.import_module

    def broken(name, *rest):
        if name == "torchaudio":
            raise OSError("libcudart.so.13:\n cannot open")
        return real(name, *rest)

    monkeypatch.setattr(diagnosis.importlib, "import_module", broken)
    (finding,) = [finding for finding in diagnosis._stack() if finding.name == "torchaudio"]
    assert (finding.level, finding.found) == ("error", "does not import (OSError: libcudart.so.13: cannot open)")
    assert "both from one index" in finding.cure


def test_a_missing_module_is_a_warning_that_names_the_extra(monkeypatch):
    real = diagnosis.importlib.util.find_spec
    monkeypatch.setattr(diagnosis.importlib.util, "find_spec", lambda name: None if name == "dtw" else real(name))
    (finding,) = [finding for finding in diagnosis._tasks() if finding.name.startswith("qbe")]
    assert (finding.level, finding.found, finding.cure) == (
        "warning",
        "needs dtw",
        "pip install 's3prl-plugins[legacy]'",
    )


def test_the_hook_can_be_written_and_a_checkout_is_told_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_is_installed", lambda: True)
    path = doctor.install_hook(tmp_path)
    assert path == tmp_path / "s3prl_plugins.pth"
    assert path.read_text().splitlines()[-1] == "import _s3prl_plugins_hook"
    with pytest.raises(UserError, match=r"cannot be written .* use a virtual environment"):
        doctor.install_hook(tmp_path / "nowhere")
    monkeypatch.setattr(doctor, "_is_installed", lambda: False)
    with pytest.raises(UserError, match=r"this is a checkout; pip install -e"):
        doctor.install_hook(tmp_path)


def test_the_hook_and_the_switch_are_reported(monkeypatch):
    monkeypatch.setitem(diagnosis.sys.modules, "_s3prl_plugins_hook", doctor)
    monkeypatch.setenv("S3PRL_PLUGINS_AUTOLOAD", "0")
    assert [finding.found for finding in diagnosis._hook()] == ["off by S3PRL_PLUGINS_AUTOLOAD=0"]
    monkeypatch.delenv("S3PRL_PLUGINS_AUTOLOAD")
    assert [finding.level for finding in diagnosis._hook()] == ["ok"]
    monkeypatch.delitem(diagnosis.sys.modules, "_s3prl_plugins_hook")
    assert [finding.cure for finding in diagnosis._hook()] == ["s3prl-plugins doctor --install-hook"]


def test_list_shows_names_tasks_and_configurations(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "multitask" in text
    assert all(f"  {name}" in text for name in CARDS)
    assert "multitask/all_task_mini.yaml" in text


def test_lists_that_s3prl_kept_of_an_earlier_corpus_are_reported(monkeypatch, tmp_path):
    cache = tmp_path / "downstream" / "voxceleb1" / ".cache"
    cache.mkdir(parents=True)
    monkeypatch.setattr(diagnosis, "_folder", lambda _: tmp_path)
    levels = {finding.name.split()[0]: finding.level for finding in diagnosis._tasks()}
    assert levels["sid"] == "ok"
    (cache / "train.pkl").touch()
    (finding,) = [finding for finding in diagnosis._tasks() if finding.name.startswith("sid")]
    assert (finding.level, finding.cure) == ("warning", f"rm -r {cache}, whenever the corpus changes")
