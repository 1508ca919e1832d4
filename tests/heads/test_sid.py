"""Speaker identification's reader: numbering, crops, faults."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from classification_cases import config, write_voxceleb

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.audio import load
from s3prl_plugins.heads.task import build_reader, task_config
from s3prl_plugins.problems import Problems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sid")
    write_voxceleb(root)
    return root


def test_speakers_of_both_folders_are_numbered_by_id(root: Path) -> None:
    reader = build_reader(config("sid"), root)
    assert reader.labels(Problems()) == {"speaker": [f"id{10001 + number}" for number in range(8)]}
    for split, names in (("train", ["id10008-aaa-00001", "id10008-aaa-00002"]), ("dev", ["id10008-b-b-00001"])):
        found = [example for example in reader.examples(split, Problems()) if example.label == "id10008"]
        assert [example.name for example in found] == names
        assert all(example.speaker == "VoxCeleb1/id10008" and example.path.is_file() for example in found)


def test_training_hears_random_stretches_and_evaluation_whole_files(root: Path) -> None:
    reader = build_reader(config("sid", corpus={"max_seconds": 0.5}), root)
    example = reader.examples("train", Problems())[0]
    whole = load(example.path)
    assert example.seconds == 0.5 and torch.equal(reader.waveform(example, None), whole)
    crops = [reader.waveform(example, torch.Generator().manual_seed(seed)) for seed in range(20)]
    windows = whole.unfold(0, 40, 1)
    starts = {int((windows == crop[:40]).all(dim=1).nonzero()) for crop in crops}
    assert len(starts) > 15 and max(starts) - min(starts) > 6000
    assert reader.examples("test", Problems())[0].seconds == pytest.approx(1.4)


def test_a_file_shorter_than_the_crop_is_used_whole(root: Path) -> None:
    reader = build_reader(config("sid", corpus={"max_seconds": 9.0}), root)
    example = reader.examples("train", Problems())[0]
    assert len(reader.waveform(example, torch.Generator())) == 19200 and example.seconds == pytest.approx(1.2)


def test_faults_are_named(tmp_path: Path) -> None:
    write_voxceleb(tmp_path)
    index = tmp_path / "VoxCeleb1" / "veri_test_class.txt"
    lines = index.read_text().splitlines()
    index.write_text("\n".join([*lines, "3 id10099/x/00001.wav", "7 id10001/x/00001.wav", "nonsense"]) + "\n")
    (tmp_path / "VoxCeleb1" / "test" / "wav" / "id10007" / "b-b" / "00002.wav").unlink()
    problems = Problems(gather=True)
    build_reader(config("sid"), tmp_path).examples("test", problems)
    text = "\n".join(map(str, problems.found))
    for fault in ("'id10099' of test is not in train", "must begin with 1, 2 or 3, found '7'", "found 'nonsense'"):
        assert fault in text
    assert "00002.wav: audio file is missing" in text
    index.unlink()
    with pytest.raises(CorpusError, match=r"veri_test_class\.txt: file cannot be read .*; restore"):
        build_reader(config("sid"), tmp_path).labels(Problems())
    mapping = {"task": "sid", "corpus": {"max_seconds": 0}, "head": {}}
    with pytest.raises(ConfigError, match="max_seconds must be above 0 seconds, found 0"):
        task_config(mapping)
