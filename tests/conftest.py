"""What every test runs under. `snnax` is not imported here: what is imported before jaxtyping's hook is not checked."""

import os
import shutil
import tempfile
import zlib

import pytest

# Read by jax when it is imported, here and in the programs that tests start. Each can be given from outside.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# What is compiled runs once, on little data, so compiling fast pays: without optimisation, in one piece, and with XLA's
# older emitter of loops, which takes a third of the time of the one by MLIR.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # The size of XLA's thread pools, which otherwise is all cores in every worker. Two at least: with a single thread
    # a callback to Python can wait for itself.
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("NPROC", str(max(2, (os.cpu_count() or 2) // workers)))
# The first process makes the compilation cache. The workers of pytest-xdist are its children and find it here.
made_cache = "JAX_COMPILATION_CACHE_DIR" not in os.environ
if made_cache:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="snnax-test-")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import jax.random as jr  # noqa: E402
import jaxtyping  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")

# The first example of a property compiles, which no deadline allows for. The same examples in every run.
hypothesis.settings.register_profile("snnax", deadline=None, derandomize=True)
hypothesis.settings.load_profile("snnax")


def pytest_unconfigure():
    if made_cache:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


class GetKey:
    """A new key at each call. A failing test prints its seed."""

    def __init__(self, seed):
        self.seed = seed
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return jr.fold_in(jr.key(self.seed), self.calls)

    def __repr__(self):
        return f"GetKey(seed={self.seed}, calls={self.calls})"


@pytest.fixture(scope="module", autouse=True)
def forgetful():
    """Lets go of what a file has compiled: thousands of programs need more memory maps than a process may have."""
    yield
    jax.clear_caches()


@pytest.fixture
def unchecked():
    """Without jaxtyping's checks, as users run the library: for the messages of the library's own checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def getkey(request):
    return GetKey(zlib.crc32(request.node.nodeid.encode()))
