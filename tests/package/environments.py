"""Run commands in another environment."""

import os
import subprocess
import sys


def run_python(python, *arguments, cwd, **environment):
    """Run another Python without what would make it see this checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "S3PRL_PLUGINS_AUTOLOAD")}
    command = [str(python), "-W", "ignore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**kept, **environment})


def pip(*arguments):
    """Run the pip of this environment; `--python` makes it act on another one."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)
