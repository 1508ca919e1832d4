"""What setup.cfg cannot say: the list of packages, and the .pth file that loads the import hook."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PTH = "s3prl_plugins.pth"
LINE = "import _s3prl_plugins_hook\n"


class BuildWithPth(build_py):
    """Puts the .pth file at the top of site-packages, from a wheel and from an editable install alike."""

    def run(self) -> None:
        super().run()
        root = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        Path(root).mkdir(parents=True, exist_ok=True)
        Path(root, PTH).write_text(LINE, encoding="ascii")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, str(Path(self.build_lib, PTH))]


def packages() -> list[str]:
    found = ["s3prl_plugins", "s3prl_plugins.configs"]
    found += [f"s3prl_plugins.{name}" for name in find_packages("s3prl_plugins")]
    for top in ("upstream", "downstream"):
        found += [f"s3prl_plugins.{top}", *(f"s3prl_plugins.{top}.{name}" for name in find_packages(top))]
    return found


setup(packages=packages(), cmdclass={"build_py": BuildWithPth})
