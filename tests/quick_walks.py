"""The check of an HDF5 file in a process of its own, as `snnax._hdf5` runs it, without starting Python each time.

One process has imported h5py, and forks for each file, so that a crash or a loop is still that of one file.
"""

import contextlib
import json
import subprocess
import sys
import types

SERVER = """
import json, os, resource, runpy, signal, sys, tempfile
import h5py, numpy

for line in sys.stdin:
    arguments, seconds = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            signal.alarm(int(seconds) + 1)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.argv = arguments
            try:
                runpy.run_path(arguments[0], run_name="__main__")
                sys.stdout.flush()
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = [open(file.fileno(), "rb", closefd=False) for file in (out, err)]
        for text in texts:
            text.seek(0)
        print(json.dumps([code, *(text.read().decode(errors="replace") for text in texts)]), flush=True)
"""


@contextlib.contextmanager
def quick_walks():
    """What stands for the module `subprocess` in `snnax._hdf5`."""
    server = None

    def run(command, *, env, timeout, **options):
        nonlocal server
        if server is None:
            start = [sys.executable, "-P", "-c", SERVER]
            server = subprocess.Popen(start, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        server.stdin.write(json.dumps([command[2:], timeout]) + "\n")
        server.stdin.flush()
        return subprocess.CompletedProcess(command, *json.loads(server.stdout.readline()))

    try:
        yield types.SimpleNamespace(**{**vars(subprocess), "run": run})
    finally:
        if server is not None:
            server.stdin.close()
            server.wait()
            server.stdout.close()
