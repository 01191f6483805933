"""The C++ of the kernels keeps to its arrays and to the language, as far as sanitizers see."""

import shutil
import subprocess
from pathlib import Path

import jax.ffi
import pytest

import snnax

HERE = Path(__file__).parent
SOURCES = Path(snnax.__file__).parent / "_kernels" / "src"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_the_loops_are_right_at_the_edges_of_blocks_and_sanitizers_find_nothing(tmp_path):
    program = tmp_path / "kernels"
    built = subprocess.run(
        ["g++", "-std=c++17", "-DSNNAX_ONE_TARGET", "-fsanitize=address,undefined"]
        + ["-fno-sanitize-recover=all", "-isystem", jax.ffi.include_dir(), "-I", str(SOURCES)]
        + [str(HERE / "kernels.cc"), "-o", str(program)],
        capture_output=True,
        text=True,
    )
    if "cannot find -lasan" in built.stderr or "cannot find -lubsan" in built.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "all equal\n"), ran.stderr
