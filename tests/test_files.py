"""Files that are there whole or not at all."""

import json
from pathlib import Path

import pytest
import torch

from s3prl_plugins.files import parse_checked, save_whole, whole_file, write_checked, write_whole


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


def test_no_flipped_bit_of_checked_json_goes_unseen(tmp_path: Path) -> None:
    path, content = tmp_path / "a.json", {"b": [1, 2.5, None], "a": {"é": "x", "3": float("inf")}}
    write_checked(path, content)
    whole = path.read_bytes()
    assert parse_checked(whole.decode()) == content and list(json.loads(whole)) == ["b", "a", "checksum"]
    seen = 0
    for place in range(len(whole)):
        for bit in range(8):
            flipped = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            try:
                found = parse_checked(flipped.decode())
            except ValueError:
                seen += 1
            else:  # white space, or the name `checksum`, which leaves all else as it was
                assert {name: found[name] for name in content} == content
    assert seen > 0.8 * 8 * len(whole)
    for torn in range(1, len(whole) - 1):
        with pytest.raises(ValueError, match=""):
            parse_checked(whole[:torn].decode())


def test_what_a_checksum_does_not_ask_for(tmp_path: Path) -> None:
    """Older files have none; layout and order may change; what was read with its checksum is written with a new one."""
    path = tmp_path / "a.json"
    assert parse_checked('{"a": 1}') == {"a": 1} and parse_checked("[1]") == [1]
    write_checked(path, {"b": 1, 2: (3,)}, indent=1)
    content = json.loads(path.read_text())
    assert parse_checked(json.dumps(dict(reversed(content.items())))) == {"b": 1, "2": [3]}
    write_checked(path, {**content, "b": 2}, sort_keys=True)
    assert parse_checked(path.read_text()) == {"b": 2, "2": [3]}
    with pytest.raises(ValueError, match="it does not match its checksum"):
        parse_checked(path.read_text().replace(": 2", ": 3"))
