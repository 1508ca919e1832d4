"""The wheel, an editable install and a bare checkout all give the same imports; the stock command sees the names."""

import sys
import zipfile
from pathlib import Path

import pytest
from environments import pip, run_python

from s3prl_plugins import plugin

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = str(sorted(path.name for path in (ROOT / "configs").iterdir() if path.name[0] not in "._"))

IMPORTS = """
import sys
print("_s3prl_plugins_hook" in sys.modules, "s3prl_plugins" in sys.modules)
import importlib, importlib.resources as resources, s3prl_plugins.upstream, s3prl_plugins.downstream.multitask
print(sorted(path.name for path in resources.files("s3prl_plugins.configs").iterdir() if path.name[0] not in "._"))
print([name for name in ("upstream", "downstream", "configs") if importlib.util.find_spec(name)])
"""


def lines(answer):
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_wheel_holds_everything_in_one_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"s3prl_plugins", "_s3prl_plugins_hook.py", "s3prl_plugins.pth"}
    assert {"s3prl_plugins/py.typed", "s3prl_plugins/upstream/__init__.py"} <= set(names)
    yaml = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert yaml
    assert {f"s3prl_plugins/{name}" for name in yaml} <= set(names)
    sources = {p.relative_to(ROOT).as_posix() for top in ("upstream", "downstream") for p in (ROOT / top).rglob("*.py")}
    assert {f"s3prl_plugins/{name}" for name in sources} <= set(names)


def test_wheel_installs_hook_and_folders(installed, tmp_path):
    python, packages = installed
    assert (packages / "s3prl_plugins.pth").read_text() == "import _s3prl_plugins_hook\n"
    assert lines(run_python(python, "-c", IMPORTS, cwd=tmp_path)) == ["True False", CONFIGS, "[]"]


def test_editable_install_has_the_hook_too(source, make_environment, tmp_path):
    python, packages = make_environment("editable")
    pip("--python", python, "install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", source)
    assert (packages / "s3prl_plugins.pth").is_file()
    assert lines(run_python(python, "-c", IMPORTS, cwd=tmp_path)) == ["True False", CONFIGS, "[]"]
    pip("--python", python, "uninstall", "--yes", "s3prl-plugins")
    assert not (packages / "s3prl_plugins.pth").exists()


def test_bare_checkout_gives_the_same_imports(source, tmp_path):
    program = f"import sys\nsys.path.append({str(source)!r})\n{IMPORTS}import hubconf\nprint(hubconf.dependencies[0])"
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    answer = lines(run_python(python, "-c", program, cwd=tmp_path))  # this Python has no torch: importing needs none
    assert answer[1] == CONFIGS
    assert answer[-1] == "torch"


def test_the_stock_command_works_and_lists_our_names(installed, tmp_path):
    pytest.importorskip("s3prl")
    python, _ = installed
    text = "\n".join(lines(run_python(python, "-m", "s3prl.run_downstream", "--help", cwd=tmp_path)))
    assert "'fbank'" in text
    assert all(f"'{name}'" in text for name in plugin.UPSTREAMS)
    off = run_python(python, "-m", "s3prl.run_downstream", "--help", cwd=tmp_path, S3PRL_PLUGINS_AUTOLOAD="0")
    assert off.returncode != 0  # without the hook s3prl does not even import
    assert "set_audio_backend" in off.stderr


def test_the_console_script_runs(installed, tmp_path):
    python, packages = installed
    text = "\n".join(lines(run_python(python, python.parent / "s3prl-plugins", "list", cwd=tmp_path)))
    assert f"configurations, below {packages / 's3prl_plugins' / 'configs'}" in text
    assert all(name in text for name in plugin.DOWNSTREAMS)
