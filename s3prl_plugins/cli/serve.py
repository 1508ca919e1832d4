"""`s3prl-plugins serve`: a local page that shows a model's answers for what is dropped on it or recorded."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import positive, whole
from s3prl_plugins.errors import CheckpointError

__all__ = ["add_arguments", "run"]

_EXAMPLES = """examples:
  s3prl-plugins serve superb_tiny
  s3prl-plugins serve result/all_task --port 8000 --max-seconds 300
  s3prl-plugins serve model.pt --host 0.0.0.0 --no-browser

MODEL is what `predict` takes. Needs the extra: pip install 's3prl-plugins[serve]'. The page is for this machine alone
unless --host says otherwise; it asks nothing of any other host, and recordings are deleted once they are answered."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="name, folder of a run, or file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    parser.add_argument("--port", type=whole(0, 65535), default=7860, help="0 takes a free one (default: 7860)")
    parser.add_argument(
        "--max-seconds", type=positive, default=120.0, metavar="S", help="longest recording (default: 120)"
    )
    parser.add_argument("--max-megabytes", type=positive, default=20.0, metavar="MB", help="largest file (default: 20)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N (default: cuda where a GPU is visible)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.serving.limits import Limits
    from s3prl_plugins.serving.server import check_gradio, listen, serve

    limits = Limits(args.max_seconds, args.max_megabytes)
    check_gradio()
    with listen(args.host, args.port) as listening:
        from s3prl_plugins.inference import load

        model = load(args.model, args.device)
        if not model.tasks:
            raise CheckpointError(f"{args.model} has no heads; serve a joint run or a file of `export --with-heads`")
        title = Path(args.model).stem
        serve(title, model, limits, listening, not args.no_browser)
    return 0
