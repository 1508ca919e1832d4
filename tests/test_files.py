"""Files that are there whole or not at all."""

from pathlib import Path

import pytest
import torch

from s3prl_plugins.files import save_whole, whole_file, write_whole


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_whole(path, "old é\n")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == "old é\n".encode()
    assert path.read_bytes() == b"new"
    with pytest.raises(RuntimeError, match="disk"), whole_file(path) as file:
        file.write(b"half")
        raise RuntimeError("disk")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_tensors_come_back_and_what_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    save_whole(tmp_path / "a.pt", {"a": torch.arange(3)})
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True)["a"], torch.arange(3))
    with pytest.raises((AttributeError, TypeError), match="lambda"):
        save_whole(tmp_path / "b.pt", lambda: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pt"]
