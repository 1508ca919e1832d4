"""Intent classification's reader: labels by first appearance, faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from classification_cases import config, write_fluent

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.task import build_reader
from s3prl_plugins.problems import Problems


def test_values_are_numbered_as_they_first_appear_in_training(tmp_path: Path) -> None:
    write_fluent(tmp_path)
    reader = build_reader(config("ic"), tmp_path)
    assert reader.labels(Problems()) == {
        "action": ["deactivate", "change language", "activate"],
        "object": ["none", "lamp"],
        "location": ["kitchen", "none"],
    }
    example = reader.examples("dev", Problems())[1]
    assert (example.name, example.label) == ("valid-1", ("change language", "lamp", "kitchen"))
    assert example.speaker == "FSC/validspk1"


def test_faults_are_named(tmp_path: Path) -> None:
    write_fluent(tmp_path)
    data = tmp_path / "fluent_speech_commands" / "data"
    test = data / "test_data.csv"
    test.write_text(test.read_text().replace("lamp", "moon", 1))
    problems = Problems(gather=True)
    assert len(build_reader(config("ic"), tmp_path).examples("test", problems)) == 4
    assert "test_data.csv: object must be one of the training csv's, found 'moon' for " in str(problems.found[0])
    test.write_text("path,action,object\na.wav,x,y\n")
    with pytest.raises(CorpusError, match=r"test_data\.csv: columns path, .* 'location' is missing; restore"):
        build_reader(config("ic"), tmp_path).examples("test", Problems())
    test.write_text("path,action,object,location\na.wav,x\n")
    with pytest.raises(CorpusError, match="1 rows lack a path or an intent"):
        build_reader(config("ic"), tmp_path).examples("test", Problems())
    (data / "train_data.csv").unlink()
    with pytest.raises(CorpusError, match=r"train_data\.csv: file cannot be read"):
        build_reader(config("ic"), tmp_path).labels(Problems())
