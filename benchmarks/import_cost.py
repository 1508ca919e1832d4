"""What the import hook costs at the start of Python, and what `import s3prl_plugins` costs.

    python benchmarks/import_cost.py [--repeat 21]

Each figure is the median over fresh interpreters of the time of one import statement, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

STATEMENTS = {
    "the .pth line": ("import _s3prl_plugins_hook", 2.0),
    "the package": ("import s3prl_plugins", 50.0),
}
"""What -> (statement, the most it should cost in ms)."""

PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
sys.modules.pop("_s3prl_plugins_hook", None)
start = time.perf_counter()
{statement}
print((time.perf_counter() - start) * 1000, "torch" in sys.modules)
"""


def measure(statement: str, repeat: int) -> float:
    """Median of the milliseconds that `statement` takes; an error if it imports torch."""
    program = PROGRAM.format(root=str(Path(__file__).resolve().parents[1]), statement=statement)
    times = []
    for _ in range(repeat + 1):
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        elapsed, torch = answer.stdout.split()
        if torch == "True":
            raise SystemExit(f"{statement!r} imports torch")
        times.append(float(elapsed))
    return statistics.median(times[1:])  # the first one may compile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=21)
    repeat = parser.parse_args().repeat
    for name, (statement, most) in STATEMENTS.items():
        print(f"{name:<14} {measure(statement, repeat):7.2f} ms (at most {most:g})")


if __name__ == "__main__":
    main()
