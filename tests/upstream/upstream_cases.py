"""What every upstream must stand: the stock command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]


def finetune_keyword_spotting(upstream: str, checkpoint: Path, corpus: Path, folder: Path) -> dict[str, Any]:
    """A few steps of s3prl's own `-d speech_commands` with the encoder finetuned; the weights of the encoder after it."""
    config = ROOT / "tests" / "package" / "configs" / "speech_commands.yaml"
    steps = yaml.safe_load(config.read_text())["runner"]["total_steps"]
    # The .pth line of an installation imports the package; here this program does.
    program = (
        "import s3prl_plugins, runpy; runpy.run_module('s3prl.run_downstream', run_name='__main__', alter_sys=True)"
    )
    arguments = ["-m", "train", "-u", upstream, "-k", str(checkpoint), "-f", "-d", "speech_commands"]
    arguments += ["-c", str(config), "-p", str(folder), "--device", "cpu"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", program, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=corpus, env=variables)
    assert answer.returncode == 0, answer.stderr[-3000:]
    saved: dict[str, Any] = torch.load(folder / f"states-{steps}.ckpt", weights_only=False)["Upstream"]
    return saved
