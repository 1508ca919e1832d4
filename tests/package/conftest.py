"""Environments to install into, shared by the tests of the installation and of the stock command."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environments import pip

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("s3prl_plugins", "upstream", "downstream", "configs")
FILES = ("_s3prl_plugins_hook.py", "setup.cfg", "setup.py", "pyproject.toml", "LICENSE", "README.md", "hubconf.py")


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A copy of the sources, so that building leaves nothing in the repository."""
    folder = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory):
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory):
    """A fresh environment that sees the packages of this one, but not their .pth files."""

    def make(name):
        folder = tmp_path_factory.mktemp(name)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = folder / "lib" / version / "site-packages"
        (packages / "outer.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("-packages")))
        return folder / "bin" / "python", packages

    return make


@pytest.fixture(scope="session")
def installed(wheel, make_environment):
    """(python, site-packages) of an environment with our wheel and a copy of s3prl."""
    python, packages = make_environment("installed")
    pytest.importorskip("s3prl")
    # s3prl's experts keep caches inside their own folder, so they get a copy of it.
    theirs = Path(importlib.util.find_spec("s3prl").origin).parent
    shutil.copytree(theirs, packages / "s3prl", ignore=shutil.ignore_patterns(".cache", ".wav_lengths"))
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    return python, packages
