"""`s3prl-plugins doctor`: the stack found, the repairs in force, and per SUPERB task what is missing and its cure."""

from __future__ import annotations

import argparse
import json
import sysconfig
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from s3prl_plugins.cli.diagnosis import Finding, diagnose
from s3prl_plugins.errors import UserError

__all__ = ["PTH_LINE", "PTH_NAME", "add_arguments", "install_hook", "run"]

PTH_NAME = "s3prl_plugins.pth"
PTH_LINE = "import _s3prl_plugins_hook\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--install-hook",
        action="store_true",
        help=f"write {PTH_NAME} into this Python's site-packages, where pip could not (pip install --target, a checkout)",
    )
    parser.epilog = (
        "exit status 1 if there is an error\n\nexamples:\n  s3prl-plugins doctor\n  s3prl-plugins doctor --json"
    )


def run(args: argparse.Namespace) -> int:
    if args.install_hook:
        print(f"wrote {install_hook(Path(sysconfig.get_path('purelib')))}; delete it when you uninstall s3prl-plugins")
        return 0
    findings = diagnose()
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return int(any(finding.level == "error" for finding in findings))


def install_hook(site_packages: Path) -> Path:
    """Write the .pth file. A package that was installed elsewhere (`pip install --target`) is put on the path by it.

    :raises UserError: this is a bare checkout, or the folder cannot be written.
    """
    home = Path(__file__).resolve().parents[2]
    checkout = (home / "upstream").is_dir()
    if checkout and not _is_installed():
        raise UserError(f"the hook needs an installed package and this is a checkout; pip install -e {home}")
    lines = PTH_LINE if checkout or home == site_packages.resolve() else f"{home}\n{PTH_LINE}"
    path = site_packages / PTH_NAME
    try:
        path.write_text(lines, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{str(path)!r} cannot be written ({error.strerror}); use a virtual environment of your own"
        ) from error
    return path


def _is_installed() -> bool:
    try:
        return bool(metadata.version("s3prl-plugins"))
    except metadata.PackageNotFoundError:
        return False


def _print(findings: list[Finding]) -> None:
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            print(f"{group}:")
        print(f"  {finding.level:<7} {finding.name}: {finding.found}")
        if finding.cure:
            print(f"          cure: {finding.cure}")
