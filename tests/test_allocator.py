"""Memory that training takes again every step."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from s3prl_plugins.allocator import keep_freed_memory

assert keep_freed_memory() is {expected}
for _ in range(10):
    torch.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(expected: bool, **environment: str) -> int:
    """Page faults of taking 40 MB twenty times."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(expected=expected)], env=environment, capture_output=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_taken_again_but_not_against_the_users_variables() -> None:
    kept, usual = faults(True), faults(False, MALLOC_ARENA_MAX="2")
    assert 2 * kept < usual
