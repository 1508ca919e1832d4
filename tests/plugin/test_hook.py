"""The import hook, on a small stand-in for s3prl so that each case is one quick process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE = {
    "s3prl/__init__.py": "",
    "s3prl/notes.txt": "resource",
    "s3prl/hub.py": "def taken():\n    return 'theirs'\n",
    "s3prl/run_downstream.py": (
        "from s3prl import hub\nfrom s3prl.downstream.runner import Runner\n"
        "print(__name__, [name for name in dir(hub) if name[0] != '_'], Runner.__mro__[1].__name__)\n"
    ),
    "s3prl/downstream/__init__.py": "",
    "s3prl/downstream/runner.py": (
        "class Runner:\n    def __init__(self, args, config):\n        self.made_by = 'stock'\n"
    ),
    "s3prl/downstream/old/__init__.py": "",
    "s3prl/downstream/old/expert.py": "whose = 'theirs'\n",
    "ours/__init__.py": "",
    "ours/expert.py": "from . import __name__ as package\nwhose = 'ours'\n",
    "ours/parts.py": (
        "def build(*args, **kwargs):\n    return args, kwargs\n"
        "class Runner:\n    def __init__(self, args, config):\n        self.made_by = 'ours'\n"
    ),
}

NAMES = """
from s3prl_plugins import plugin
plugin.UPSTREAMS.update(taken="ours.parts:build", fresh="ours.parts:build")
plugin.DOWNSTREAMS.update(new="s3prl_plugins.superb", old="s3prl_plugins.superb")
plugin.RUNNERS.update(new="ours.parts:Runner")
"""


@pytest.fixture
def run(tmp_path):
    for name, text in FAKE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(program, **environment):
        variables = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "S3PRL_PLUGINS_AUTOLOAD": "1", **environment}
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=variables, cwd=tmp_path
        )

    run.folder = tmp_path
    return run


def lines(answer):
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr
    return answer.stdout.splitlines()


def test_hub_gets_new_names_and_keeps_its_own(run):
    program = f"import s3prl_plugins{NAMES}from s3prl import hub\nprint(hub.taken(), hub.fresh(1, ckpt=2), hub.fresh.__name__)"
    assert lines(run(program)) == ["theirs ((1,), {'ckpt': 2}) fresh"]


def test_it_works_when_s3prl_came_first(run):
    program = (
        "import s3prl.downstream.runner as runner\nstock = runner.Runner\nimport s3prl_plugins\n"
        "print(runner.Runner is stock, issubclass(runner.Runner, stock))"
    )
    # Without the .pth line, which may be there where these tests run.
    assert lines(run(program, S3PRL_PLUGINS_AUTOLOAD="0")) == ["False True"]


def test_the_pth_line_waits_for_s3prl(run):
    program = (
        "import _s3prl_plugins_hook, sys\nprint('s3prl_plugins' in sys.modules)\nimport s3prl\n"
        "print('s3prl_plugins' in sys.modules, 'torch' in sys.modules)"
    )
    assert lines(run(program)) == ["False", "True False"]


def test_runpy_runs_a_module_of_s3prl(run):
    program = "import _s3prl_plugins_hook, runpy\nrunpy.run_module('s3prl.run_downstream', run_name='__main__', alter_sys=True)"
    (line,) = lines(run(program))
    assert line.startswith("__main__")
    assert line.endswith("Runner")  # the class of s3prl.downstream.runner is a subclass of the stock one


def test_autoload_can_be_switched_off(run):
    program = (
        "import _s3prl_plugins_hook, sys, s3prl.downstream.runner as runner\n"
        "print('s3prl_plugins' in sys.modules, runner.Runner.__mro__[1])"
    )
    assert lines(run(program, S3PRL_PLUGINS_AUTOLOAD="0")) == ["False <class 'object'>"]


def test_a_broken_package_leaves_s3prl_alone(run):
    (run.folder / "s3prl_plugins").mkdir()
    (run.folder / "s3prl_plugins" / "__init__.py").write_text("raise OSError('disk')\n")
    answer = run("import _s3prl_plugins_hook, s3prl.hub\nprint(s3prl.hub.taken())")
    assert answer.stdout == "theirs\n"
    assert answer.stderr == "s3prl_plugins could not be loaded (OSError: disk); s3prl is unchanged\n"


def test_a_failing_repair_is_a_warning(run):
    program = (
        "import s3prl_plugins\nfrom s3prl_plugins import plugin\nplugin.RUNNERS = None\n"
        "plugin.upstream_entries = lambda: 1 / 0\nfrom s3prl import hub\nprint(hub.taken())"
    )
    answer = run(program)
    assert answer.stdout == "theirs\n"
    assert "could not mend s3prl.hub (ZeroDivisionError: division by zero); run `s3prl-plugins doctor`" in answer.stderr


def test_looking_for_s3prl_is_not_importing_it(run):
    program = (
        "import s3prl_plugins, importlib.util\nfrom s3prl_plugins.importing import FINDER\n"
        "importlib.util.find_spec('s3prl')\nprint(FINDER.armed)\nimport s3prl\nprint(FINDER.armed)"
    )
    assert lines(run(program)) == ["False", "True"]


def test_loaders_keep_their_kind_code_and_resources(run):
    program = (
        "import s3prl_plugins, s3prl.hub, importlib.resources, importlib.machinery as m\n"
        "loader = s3prl.hub.__loader__\nprint(type(loader) is m.SourceFileLoader, loader.get_code('s3prl.hub').co_name)\n"
        "print(importlib.resources.files('s3prl').joinpath('notes.txt').read_text())"
    )
    assert lines(run(program)) == ["True <module>", "resource"]


def test_downstream_names_are_aliases_and_never_hide_s3prls_own(run):
    program = (
        f"import s3prl_plugins{NAMES}import importlib\n"
        "cards = importlib.import_module('s3prl.downstream.new.cards')\nimport s3prl_plugins.superb.cards as real\n"
        "print(cards is real, real.__spec__.name, importlib.import_module('s3prl.downstream.new').__name__)\n"
        "print(importlib.import_module('s3prl.downstream.old.expert').whose)\n"
        "try:\n    importlib.import_module('s3prl.downstream.unknown')\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    assert lines(run(program)) == [
        "True s3prl_plugins.superb.cards s3prl_plugins.superb",
        "theirs",
        "No module named 's3prl.downstream.unknown'",
    ]


def test_one_name_builds_both_runners(run):
    program = (
        f"import s3prl_plugins{NAMES}from argparse import Namespace\nfrom s3prl.downstream.runner import Runner\n"
        "stock, ours = (Runner(Namespace(downstream=name, device='cpu'), {}) for name in ('old', 'new'))\n"
        "print(stock.made_by, isinstance(stock, Runner), ours.made_by, isinstance(ours, Runner), isinstance(Runner, type))"
    )
    assert lines(run(program)) == ["stock True ours False True"]


def test_cuda_falls_back_to_the_cpu_with_one_warning(run):
    program = (
        "import s3prl_plugins\nfrom argparse import Namespace\nfrom s3prl.downstream.runner import Runner\n"
        "args = Namespace(downstream='old', device='cuda')\nRunner(args, {})\nprint(args.device)"
    )
    answer = run(program, CUDA_VISIBLE_DEVICES="")
    assert answer.stdout == "cpu\n"
    assert answer.stderr.count("--device is 'cuda' and no GPU is visible; running on the CPU") == 1


def test_torch_hub_loads_our_upstreams_from_a_checkout(run):
    program = (
        "from s3prl_plugins import plugin\nplugin.UPSTREAMS.update(fresh='ours.parts:build')\nimport torch\n"
        f"print(torch.hub.load({str(ROOT)!r}, 'fresh', 1, source='local', ckpt='a'))"
    )
    assert lines(run(program)) == ["((1,), {'ckpt': 'a'})"]
