"""Blocks that were freed are kept: using as many again asks the kernel for nothing."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from ndg.allocation import keep_blocks
assert not sys.argv[1:] or keep_blocks()
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(64 << 20)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_command_collects_garbage_rarely_and_still_collects_it():
    code = """
import gc, weakref
from ndg.cli import main
assert main(["configs"]) == 0
class Node: pass
node = Node()
node.itself, seen = node, weakref.ref(node)
del node
kept = [[] for _ in range(15_000)]
assert gc.isenabled() and seen() is not None
kept += [[] for _ in range(15_000)]
assert seen() is None
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="blocks are kept with glibc only")
def test_freed_blocks_are_used_again():
    assert faults("keep") < 100 < faults()
