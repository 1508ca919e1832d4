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
for _ in range(3):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(expected: bool, **environment: str) -> int:
    """Page faults of taking 64 MB ten times."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(expected=expected)], env=environment, capture_output=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_taken_again_but_not_against_the_users_variables() -> None:
    kept, usual = faults(True), faults(False, MALLOC_ARENA_MAX="2")
    assert 5 * kept < usual
