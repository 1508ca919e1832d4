"""Every dataset, every damage to its audio, lists and folders: the same result as undamaged, or one line naming the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from damages import AUDIO, FOLDER, TEXT, Damage, fault, restored
from datasets import DATASETS, Dataset, heard


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to damage, in a folder whose name has spaces and other letters than English ones."""
    root = tmp_path_factory.mktemp("bad") / "my corpora" / "Sprächen 語"
    shutil.copytree(tiny_corpus, root)
    for path in root.glob("LibriMix/*/wav.scp"):
        path.write_text(path.read_text().replace(str(tiny_corpus), str(root)))
    return root


def matrix(dataset: Dataset, root: Path) -> list[tuple[str, Path, Damage]]:
    folder = root / dataset.folder
    audio = sorted(folder.glob(dataset.audio))[0]
    cells = [("audio", audio, name, damage) for name, damage in AUDIO.items()]
    for index in dataset.indexes:
        cells += [(index, folder / index, name, damage) for name, damage in TEXT.items()]
    for part in dataset.folders:
        cells += [(part or "corpus", folder / part, name, damage) for name, damage in FOLDER.items()]
    return [
        (f"{what}, {name}", path, (make, dataset.owed.get(f"{what}, {name}", dataset.owed.get(name, owed))))
        for what, path, name, (make, owed) in cells
    ]


@pytest.mark.parametrize("name", DATASETS)
def test_damages(name: str, corpus: Path) -> None:
    dataset = DATASETS[name]
    expected = heard(dataset, corpus)
    assert expected == heard(dataset, corpus)
    faults = []
    for case, path, (make, owed) in matrix(dataset, corpus):
        names = [
            path.name,
            path.name.split(".")[0],
            path.parent.name,
            "twice",
            *([".ecf.xml", ".tlist.xml"] if "groundtruth" in str(path) else []),
        ]
        with restored(path):
            make(path)
            said = fault(owed, names, lambda: heard(dataset, corpus), expected)
        if said:
            faults.append(f"{case}: {said}")
    assert not faults, f"{len(faults)} of {len(matrix(dataset, corpus))}\n" + "\n".join(faults)
    assert heard(dataset, corpus) == expected


def test_there_are_thirty_kinds_for_every_dataset() -> None:
    for name, dataset in DATASETS.items():
        kinds = len(AUDIO) + len(TEXT) * bool(dataset.indexes) + len(FOLDER) * bool(dataset.folders)
        assert kinds >= 30, name
