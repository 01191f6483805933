"""`pip install` works with and without a compiler, and says which it was."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="no setuptools here")
@pytest.mark.parametrize("compiler", [False, True])
def test_a_build_without_a_compiler_leaves_the_kernels_out_and_says_so(tmp_path, compiler):
    if compiler and shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    shutil.copytree(
        ROOT / "snnax" / "_kernels", tmp_path / "snnax" / "_kernels", ignore=shutil.ignore_patterns("*.dso")
    )
    shutil.copy(ROOT / "setup.py", tmp_path)
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    missing = {} if compiler else {"CC": "no-such-compiler", "CXX": "no-such-compiler"}
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **missing}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "snnax" / "_kernels" / "cpu.dso").exists() == compiler
    assert ("the kernels are left out, for they do not compile here" in done.stderr) != compiler
