"""The README's commands run as they stand, made small by overrides."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SMALL = "config.runner.total_steps=2,,config.runner.warmup_steps=1,,config.tasks=['ks','pr'],,config.ssl.steps=2"


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[1] for part in text.split("<!-- run by tests/test_readme.py -->")[1:]]
    return [line for block in blocks for line in block.strip().splitlines() if line]


def smaller(command: str) -> list[str]:
    words = shlex.split(command)
    if words[:3] == ["s3prl-plugins", "corpus", "make"]:
        words += ["--size", "tiny"]
    if "train" in words or words[1] == "finetune" or "build" in words:
        words += ["--device", "cpu", "-o", SMALL]
    start = {"s3prl-plugins": ["-m", "s3prl_plugins.cli"], "python": []}[words[0]]
    return [sys.executable, "-W", "ignore", *start, *words[1:]]


def test_the_readme_has_the_commands() -> None:
    assert len(commands()) >= 16


@pytest.mark.skipif(
    not any(Path(path, "s3prl_plugins.pth").is_file() for path in sys.path),
    reason="the stock command needs an installed package: pip install -e .",
)
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for command in commands():
        done = subprocess.run(smaller(command), cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert (tmp_path / "result" / "all_task" / "results.json").is_file()
    assert (tmp_path / "result" / "seed1" / "report" / "report.html").is_file()
    assert (tmp_path / "submission" / "predict.zip").is_file()
