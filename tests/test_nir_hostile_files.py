"""A NIR file that is cut off, damaged or made to do harm is a `NIRImportError` or a correct graph, and never another's
bytes, a crash or a wait."""

import functools
import os
import pathlib
import random
import struct
import subprocess
import time

import h5py
import numpy as np
import pytest
from quick_walks import quick_walks

from snnax import _hdf5
from snnax._files import UnsafeFileError

nir = pytest.importorskip("nir")
from snnax.nir import NIRImportError, read  # noqa: E402

DATA = pathlib.Path(__file__).parent / "data/nir"
SECONDS = 20
ONES = np.ones(3, np.float32)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A file that HDF5's library loops on is given up after this many seconds."""
    monkeypatch.setattr(_hdf5, "PATIENCE", 4)
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < SECONDS


@pytest.fixture(scope="module")
def walks():
    with quick_walks() as found:
        yield found


@pytest.fixture
def quick(monkeypatch, walks):
    """Hundreds of files are checked in processes that one process forks; those of the other tests as users' are."""
    if hasattr(os, "fork"):
        monkeypatch.setattr(_hdf5, "subprocess", walks)


def small():
    inner = {
        "in": nir.Input(np.array([3])),
        "cuba": nir.CubaLIF(*(ONES,) * 5, w_in=ONES),
        "out": nir.Output(np.array([3])),
    }
    nodes = {
        "input": nir.Input(np.array([2])),
        "fc": nir.Affine(np.ones((3, 2), np.float32), ONES),
        "lif": nir.LIF(0.01 * ONES, ONES, 0 * ONES, ONES),
        "lif.rec": nir.Linear(np.ones((3, 3), np.float32)),
        "sub": nir.NIRGraph(inner, [("in", "cuba"), ("cuba", "out")], type_check=False),
        "output": nir.Output(np.array([3])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "lif.rec"), ("lif.rec", "lif"), ("lif", "sub"), ("sub", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


@pytest.fixture
def path(tmp_path):
    nir.write(tmp_path / "small.nir", small())
    return tmp_path / "small.nir"


def same(one, other):
    """Whether two graphs, or any of what is in them, are equal."""
    if isinstance(one, nir.NIRNode):
        return type(one) is type(other) and same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return np.array_equal(one, other)


FC, LIF, CUBA = "node/nodes/fc", "node/nodes/lif", "node/nodes/sub/nodes/cuba"


def put(name, value=None, **options):
    """A change: an array in place of another."""

    def change(file, folder):
        if name in file:
            del file[name]
        if value is not None or options:
            file.create_dataset(name, data=value, **options)

    return change


def link(name, make):
    def change(file, folder):
        with h5py.File(folder / "other.h5", "w") as other:
            other["r"] = ONES
            other["nodes"] = ONES
        (folder / "secret").write_bytes(b"SECRETPW" * 2)
        if name in file:
            del file[name]
        make(file, folder, name)

    return change


def external(file, folder, name):
    file.create_dataset(name, (3,), np.float32, external=[(str(folder / "secret"), 0, 12)])


def external_text(file, folder, name):
    file.create_dataset(name, (1,), "S16", external=[(str(folder / "secret"), 0, 16)])


def virtual(file, folder, name):
    layout = h5py.VirtualLayout((3,), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "r", (3,))
    file.create_virtual_dataset(name, layout)


def edges(*more, drop=()):
    def change(file, folder):
        kept = [(a.decode(), b.decode()) for a, b in file["node/edges"][()] if (a.decode(), b.decode()) not in drop]
        put("node/edges", np.array([*kept, *more], object), dtype=h5py.string_dtype())(file, folder)

    return change


def renamed(old, new):
    return lambda file, folder: file.move(old, new)


def only(kind, **fields):
    """A change of the node 'fc' into another."""

    def change(file, folder):
        del file[FC]
        group = file.create_group(FC)
        for name, value in {"type": kind, **fields}.items():
            group.create_dataset(name, data=value)

    return change


def deep(file, folder):
    at = "node/nodes"
    for _ in range(40):
        at += "/a/nodes"
    file.create_group(at)


KERNEL = np.ones((4, 1, 3, 3), np.float32)
CONV = {
    "weight": KERNEL,
    "bias": np.ones(4, np.float32),
    "stride": [1, 1],
    "padding": [0, 0],
    "dilation": [1, 1],
    "groups": 1,
    "input_shape": [8, 8],
}
CONV1D = {**CONV, "weight": KERNEL[0], "bias": [1.0], "stride": 1, "padding": 0, "dilation": 1, "input_shape": 8}
WINDOW = {"kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0]}

UNSAFE = {
    "external link to an array": link(f"{LIF}/r", lambda f, d, n: f.__setitem__(n, h5py.ExternalLink("other.h5", "r"))),
    "external link to nodes": link("node", lambda f, d, n: f.__setitem__(n, h5py.ExternalLink("other.h5", "nodes"))),
    "external link to nothing": link(f"{LIF}/r", lambda f, d, n: f.__setitem__(n, h5py.ExternalLink("none.h5", "r"))),
    "external link aside": link("aside", lambda f, d, n: f.__setitem__(n, h5py.ExternalLink("other.h5", "r"))),
    "soft link": link(f"{LIF}/r", lambda f, d, n: f.__setitem__(n, h5py.SoftLink(f"/{LIF}/tau"))),
    "soft link to itself": link(f"{LIF}/r", lambda f, d, n: f.__setitem__(n, h5py.SoftLink(f"/{LIF}/r"))),
    "soft link to nothing": link(f"{LIF}/r", lambda f, d, n: f.__setitem__(n, h5py.SoftLink("/none"))),
    "external values": link(f"{LIF}/r", external),
    "external text": link(f"{LIF}/type", external_text),
    "virtual values": link(f"{LIF}/r", virtual),
    "cycle of groups": lambda f, d: f.__setitem__("node/nodes/sub/nodes/again", f["node"]),
    "cycle to the root": lambda f, d: f.__setitem__("node/nodes/again", f["/"]),
    "group with two names": lambda f, d: f.__setitem__("node/nodes/again", f["node/nodes/sub"]),
    "depth": deep,
    "a type by name": lambda f, d: f.__setitem__("node/nodes/kind", np.dtype("f4")),
    "references": put(f"{LIF}/r", shape=(3,), dtype=h5py.ref_dtype),
    "region references": put(f"{LIF}/r", shape=(3,), dtype=h5py.regionref_dtype),
    "lists": put(f"{LIF}/r", shape=(3,), dtype=h5py.vlen_dtype(np.float32)),
    "compound": put(f"{LIF}/r", shape=(3,), dtype=[("a", "f4")]),
    "opaque": put(f"{LIF}/r", np.zeros(3, "V4")),
    "subarrays": put(f"{LIF}/r", shape=(3,), dtype=np.dtype(("f4", (2,)))),
    "terabytes that are not there": put(f"{FC}/weight", shape=(2**40, 2), dtype="f4", chunks=(2**20, 2)),
    "298 GiB in 11 kB": put(f"{FC}/weight", shape=(200_000, 200_000), dtype="f8", chunks=True, compression="gzip"),
    "unwritten gigabyte": put(f"{FC}/weight", shape=(2**27, 2), dtype="f4", chunks=True),
    "a chunk of gigabytes": put(f"{FC}/weight", shape=(2, 2), dtype="f4", chunks=(2**30, 2), maxshape=(None, 2)),
    "gigabytes of text": put(f"{FC}/type", shape=(), dtype=f"S{2**31 - 1}"),
}
MALFORMED = {
    "no shape": (put(f"{LIF}/r", h5py.Empty("f4")), "has no shape"),
    "no graph": (put("node"), "without the group 'node'"),
    "graph that is an array": (put("node", ONES), "without the group 'node'"),
    "one neuron": (put("node/type", "LIF"), "outermost node must be a graph, .*got 'LIF'"),
    "graph without type": (put("node/type"), "outermost node must be a graph, .*got None"),
    "graph without nodes": (put("node/nodes"), "the outermost graph.*needs `nodes`"),
    "nodes that are an array": (put("node/nodes", ONES), "`nodes` must be a dictionary"),
    "graph without edges": (put("node/edges"), "needs `edges`"),
    "edges that are numbers": (put("node/edges", np.ones((3, 2))), "an edge must be a pair of names, got .1.0, 1.0."),
    "edges of three": (put("node/edges", np.full((1, 3), "lif", object), dtype=h5py.string_dtype()), "pair of names"),
    "edges in a row": (put("node/edges", ["lif", "lif"], dtype=h5py.string_dtype()), "pair of names, got b'lif'"),
    "edges that are a number": (put("node/edges", 1), "`edges` must be a list of pairs"),
    "edges that are text": (put("node/edges", "lif"), "`edges` must be a list of pairs"),
    "edges of bad letters": (put("node/edges", np.array([[b"\xff", b"lif"]])), "outermost graph.*UnicodeDecodeError"),
    "edge from nowhere": (edges(("none", "fc")), "'none' -> 'fc' names 'none', which is no node. The nodes are 'fc'"),
    "edge to nowhere": (edges(("fc", "none")), "names 'none'"),
    "edge twice": (edges(("input", "fc")), "'input' -> 'fc' is there twice"),
    "edge into the input": (edges(("fc", "input")), "into an Input"),
    "edge out of the output": (edges(("output", "fc")), "out of an Output"),
    "edge through a graph": (edges(("fc", "sub/cuba")), "names 'sub/cuba'"),
    "no input": (put("node/nodes/input", None), "'input', which is no node"),
    "no input and no edge": (
        lambda f, d: (put("node/nodes/input")(f, d), edges(drop=[("input", "fc")])(f, d)),
        "it has no Input node. Add one",
    ),
    "no output inside": (only("NIRGraph", edges=np.zeros((0, 2))), "node 'fc'.*needs `nodes`"),
    "node that is an array": (put(FC, ONES), "node 'fc': it must be a group with a `type`, got .1.0, 1.0, 1.0."),
    "node that is text": (put(FC, "Affine"), "node 'fc': it must be a group with a `type`, got 'Affine'"),
    "node without type": (put(f"{FC}/type"), "node 'fc': it has no `type`"),
    "unknown type": (put(f"{FC}/type", "Izhikevich"), "node 'fc': nodes of the type 'Izhikevich' are unknown. Known"),
    "type of Python": (put(f"{FC}/type", "os.system"), "node 'fc': nodes of the type 'os.system' are unknown"),
    "type of nir's modules": (put(f"{FC}/type", "NIRNode"), "nodes of the type 'NIRNode' are unknown"),
    "type that nir cannot read": (put(f"{FC}/type", "Identity"), "nodes of the type 'Identity' are unknown"),
    "type that is a number": (put(f"{FC}/type", 3), "nodes of the type .* are unknown"),
    "types": (put(f"{FC}/type", ["Affine", "Affine"]), "nodes of the type .* are unknown"),
    "type of bad letters": (put(f"{FC}/type", np.array(b"\xffAffine")), "cannot be read.*UnicodeDecodeError"),
    "field unknown": (put(f"{LIF}/v_rest", ONES), "node 'lif': LIF has no field `v_rest`. It takes `tau`, `r`"),
    "field of nir.read": (put("node/type_check", True), "outermost graph.*no field `type_check`"),
    "field missing": (put(f"{LIF}/tau"), "node 'lif': LIF needs `tau`"),
    "field missing inside": (put(f"{CUBA}/tau_syn"), "node 'sub/cuba': CubaLIF needs `tau_syn`"),
    "field that is a group": (
        lambda f, d: (put(f"{LIF}/r")(f, d), f.create_group(f"{LIF}/r")),
        "node 'lif' .LIF.: `r` must be an array of numbers, got a group",
    ),
    "field that is text": (put(f"{LIF}/r", "1"), "`r` must be an array of numbers, got '1'"),
    "field of texts": (put(f"{LIF}/r", ["a", "b", "c"]), "`r` must be an array of numbers"),
    "field of truths": (put(f"{LIF}/r", ONES == 1), "`r` must be an array of numbers"),
    "field of long doubles": (put(f"{LIF}/r", ONES.astype(np.longdouble)), "`r` must be an array of numbers"),
    "metadata of numbers": (put(f"{LIF}/metadata", ONES), "`metadata` must be a dictionary"),
    "name of control characters": (renamed(FC, "node/nodes/\x1b[31m"), r"string that can be printed, got '\\x1b"),
    "weight of one axis": (
        put(f"{FC}/weight", ONES),
        r"node 'fc' .*`weight` must have the axes .*got the shape \(3,\)",
    ),
    "weight of no axis": (put(f"{FC}/weight", 1.0), "`weight` must have the axes"),
    "weight of nothing": (put(f"{FC}/weight", np.zeros((3, 0))), r"`weight` is empty: its shape is \(3, 0\)"),
    "weight nan": (
        put(f"{FC}/weight", [[0, 1], [0, np.nan], [1, 1]]),
        r"`weight` must be finite.* got nan at \[1, 1\]",
    ),
    "weight inf": (put("node/nodes/lif.rec/weight", [[np.inf]]), r"node 'lif.rec' .*`weight` must be finite"),
    "weight of 1e300": (put(f"{FC}/weight", [[0, 1e300]] * 3), r"finite, also in float32, got 1e\+300 at \[0, 1\]"),
    "bias of another shape": (put(f"{FC}/bias", np.ones(4)), r"`bias` must have the shape \(3,\)"),
    "tau of 0": (put(f"{LIF}/tau", [1.0, 0.0, 1.0]), r"node 'lif' .*`tau` must be a positive .*got 0.0 at \[1\]"),
    "tau negative": (
        put(f"{LIF}/tau", [1.0, 1.0, -1.0]),
        r"`tau` must be a positive .*got -1.0 at \[2\], which is one",
    ),
    "tau_syn negative inside": (put(f"{CUBA}/tau_syn", -ONES), "node 'sub/cuba' .*`tau_syn` must be .*one of 3"),
    "tau_mem nan": (put(f"{CUBA}/tau_mem", np.nan * ONES), "`tau_mem` must be finite"),
    "r nan": (put(f"{LIF}/r", np.nan), "`r` must be finite, also in float32, got nan[.]"),
    "threshold inf": (put(f"{LIF}/v_threshold", np.inf * ONES), "`v_threshold` must be finite"),
    "threshold below the reset": (put(f"{LIF}/v_threshold", -3 * ONES), "at or above `v_reset`.*got -3.0"),
    "shapes that differ": (put(f"{LIF}/tau", np.ones(4)), r"one shape.*`tau` \(4,\)"),
    "shapes that would broadcast": (put(f"{CUBA}/w_in", np.ones((3, 1))), r"one shape.*`w_in` \(3, 1\)"),
    "shapes of one": (put(f"{LIF}/r", np.ones(1)), r"one shape.*`r` \(1,\)"),
    "shape of input negative": (
        put("node/nodes/input/shape", [-2]),
        "node 'input' .Input.: `shape` must be a shape of",
    ),
    "shape of input huge": (put("node/nodes/input/shape", [2**40, 2**40]), "`shape` must be a shape of 268435456"),
    "shape of many axes": (put("node/nodes/input/shape", [1] * 10_000), "an array of int64 and shape .10000,."),
    "shape of floats": (put("node/nodes/output/shape", [3.0]), "node 'output' .*list of whole numbers, got .3.0."),
    "shape is text": (put("node/nodes/output/shape", "3"), "list of whole numbers, got '3'"),
    "delay negative": (only("Delay", delay=[-1.0]), "`delay` must be a delay of 0 or more, in seconds, got -1.0"),
    "delay nan": (only("Delay", delay=[np.nan]), "`delay` must be finite"),
    "scale inf": (only("Scale", scale=[np.inf]), "`scale` must be finite"),
    "threshold nan": (only("Threshold", threshold=[np.nan]), "`threshold` must be finite"),
    "kernel of three axes": (only("Conv2d", **CONV | {"weight": KERNEL[0]}), "`weight` must have 4 axes"),
    "kernel of four axes": (only("Conv1d", **CONV1D | {"weight": KERNEL}), "`weight` must have 3 axes"),
    "stride 0": (only("Conv2d", **CONV | {"stride": [1, 0]}), r"`stride` must be from 1 to 65536, got 0 at \[1\]"),
    "stride of three": (only("Conv2d", **CONV | {"stride": [1, 1, 1]}), "`stride` must be a whole number or 2 of them"),
    "stride of floats": (only("Conv2d", **CONV | {"stride": [1.0, 1.0]}), "`stride` must be a whole number or 2"),
    "stride of two in 1-D": (only("Conv1d", **CONV1D | {"stride": [1, 1]}), "`stride` must be a whole number, got"),
    "dilation 0": (only("Conv1d", **CONV1D | {"dilation": 0}), "`dilation` must be from 1 to 65536, got 0[.]"),
    "groups 0": (only("Conv2d", **CONV | {"groups": 0}), "`groups` must be from 1"),
    "groups that do not divide": (only("Conv2d", **CONV | {"groups": 3}), "must divide the 4 channels .*got 3"),
    "padding negative": (only("Conv2d", **CONV | {"padding": [-1, 0]}), "`padding` must be from 0 to 65536, got -1"),
    "padding huge": (only("Conv2d", **CONV | {"padding": [2**40, 0]}), "`padding` must be from 0 to 65536"),
    "padding of another word": (only("Conv2d", **CONV | {"padding": "full"}), "`padding` must be 'same', 'valid' or"),
    "same with a stride": (only("Conv2d", **CONV | {"padding": "same", "stride": 2}), "'same' has no agreed meaning"),
    "input smaller than the kernel": (
        only("Conv2d", **CONV | {"input_shape": [2, 8]}),
        r"kernel covers \[3, 3\], more",
    ),
    "input of three axes": (only("Conv2d", **CONV | {"input_shape": [1, 8, 8]}), "`input_shape` must have 2 numbers"),
    "conv bias": (only("Conv2d", **CONV | {"bias": np.ones(3)}), r"`bias` must have the shape \(4,\)"),
    "window 0": (only("SumPool2d", **WINDOW | {"kernel_size": [0, 2]}), "`kernel_size` must be from 1"),
    "window stride 0": (only("AvgPool2d", **WINDOW | {"stride": 0}), "`stride` must be from 1"),
    "window padding": (only("AvgPool2d", **WINDOW | {"padding": [-1, 0]}), "`padding` must be from 0"),
    "flatten beyond": (only("Flatten", start_dim=3, end_dim=-1, input_type=[1, 8, 8]), "axes 3 to -1 are none of"),
    "flatten backwards": (only("Flatten", start_dim=2, end_dim=1, input_type=[1, 8, 8]), "axes 2 to 1 are none of"),
    "flatten floats": (only("Flatten", start_dim=0.5, end_dim=-1), "`start_dim` must be the number of an axis"),
    "flatten far": (only("Flatten", start_dim=-(2**60), end_dim=-1), "`start_dim` must be the number of an axis"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", [*UNSAFE, *MALFORMED])
def test_a_file_that_does_harm_or_has_no_meaning_is_refused_by_name(path, name):
    change, message = MALFORMED.get(name) or (UNSAFE[name], "is refused")
    with h5py.File(path, "r+") as file:
        change(file, path.parent)
    with pytest.raises(NIRImportError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"`nir.read`: {str(path)!r}") and str(caught.value).isprintable()
    assert "SECRET" not in str(caught.value) and len(str(caught.value)) < 1000


def only_a_shape(file, folder):
    put("node/nodes/output/shape", np.zeros(0))(file, folder)


VALID = {
    "as written": lambda file, folder: None,
    "no edges": put("node/edges", np.zeros((0, 2))),
    "fixed strings": lambda f, d: put("node/edges", np.array(f["node/edges"][()].tolist(), "S"))(f, d),
    "fixed type": put(f"{FC}/type", np.array(b"Affine")),
    "big-endian": put(f"{LIF}/tau", np.array([1, 2, 3], ">f4")),
    "whole numbers": put(f"{FC}/weight", np.arange(6).reshape(3, 2)),
    "uncompressed": put(f"{LIF}/tau", [0.1, 0.2, 0.3]),
    "lzf": put(f"{LIF}/tau", [0.1, 0.2, 0.3], compression="lzf", shuffle=True),
    "one array twice": lambda f, d: (put(f"{LIF}/r")(f, d), f.__setitem__(f"{LIF}/r", f[f"{LIF}/tau"])),
    "metadata": lambda f, d: f.create_group(f"{LIF}/metadata").create_dataset("by", data="hand"),
    "no version": put("version"),
    "more beside the graph": put("notes", "anything"),
    "output without axes": only_a_shape,
    "convolution": only("Conv2d", **CONV),
    "convolution of one axis": only("Conv1d", **CONV1D),
    "convolution in groups": only("Conv2d", **CONV | {"groups": 2, "stride": [2, 1], "padding": [1, 0]}),
    "convolution same": only("Conv2d", **CONV | {"padding": "same", "dilation": [2, 2]}),
    "convolution valid": only("Conv2d", **CONV | {"padding": "valid"}),
    "sum": only("SumPool2d", **WINDOW),
    "mean": only("AvgPool2d", **WINDOW),
    "flatten": only("Flatten", start_dim=0, end_dim=-1, input_type=[1, 8, 8]),
    "flatten two": only("Flatten", start_dim=1, end_dim=-2, input_type=[4, 1, 8, 8]),
    "integrator": only("I", r=ONES),
    "integrate and fire": only("IF", r=ONES, v_threshold=ONES),
    "integrate and fire to a value": only("IF", r=ONES, v_threshold=-ONES, v_reset=-2 * ONES),
    "leaky": only("LI", tau=ONES, r=ONES, v_leak=ONES),
    "synaptic": only("CubaLI", tau_syn=ONES, tau_mem=ONES, r=ONES, v_leak=ONES, w_in=2.0),
    "scale": only("Scale", scale=ONES),
    "threshold": only("Threshold", threshold=-ONES),
    "delay": only("Delay", delay=0 * ONES),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", VALID)
def test_a_file_that_nir_reads_gives_the_same_graph(path, name):
    with h5py.File(path, "r+") as file:
        VALID[name](file, path.parent)
    found = read(path)
    with pytest.MonkeyPatch.context() as patch:  # the flag does not reach the graphs inside
        patch.setattr(nir.NIRGraph, "infer_types", lambda self: None)
        patch.setattr(nir.NIRGraph, "check_types", lambda self: None)
        assert same(found, nir.read(path, type_check=False))


@pytest.mark.parametrize("name", sorted(file.name for file in DATA.glob("*.nir")))
def test_published_files_are_read_as_nir_reads_them(name):
    assert same(read(DATA / name), nir.read(DATA / name, type_check=False))


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged():
    """Cut off and with bits flipped, at places drawn once."""
    draw = random.Random(3)
    for name in ("lif_norse.nir", "braille_noDelay_bias_zero.nir"):
        size = (DATA / name).stat().st_size
        for cut in [0, 1, 8, size - 1, *draw.sample(range(size), 4)]:
            yield pytest.param(name, cut, None, id=f"{name} cut at {cut}")
        for bit in [*draw.sample(range(8 * 2048), 8), *draw.sample(range(8 * size), 16)]:
            yield pytest.param(name, None, bit, id=f"{name} bit {bit}")


@functools.cache
def published(name):
    return read(DATA / name)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("name", "cut", "bit"), [*damaged()])
def test_a_damaged_file_is_an_error_or_a_graph(tmp_path, name, cut, bit):
    content = (DATA / name).read_bytes()
    (tmp_path / "a.nir").write_bytes(content[:cut] if bit is None else flipped(content, bit))
    try:
        found = read(tmp_path / "a.nir")
    except NIRImportError as error:
        assert "a.nir" in str(error)
        return
    assert cut is None  # nothing is there to find every flipped bit in a number, but the rest is as it was
    good = published(name)
    assert set(found.edges) == set(good.edges) and list(found.nodes) == list(good.nodes)
    for node, expected in zip(found.nodes.values(), good.nodes.values(), strict=True):
        assert type(node) is type(expected)
        for field, value in vars(node).items():
            if isinstance(value, np.ndarray):
                assert value.shape == vars(expected)[field].shape and np.isfinite(value).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_the_processes_of_these_tests_find_what_those_of_the_library_find(path, walks, monkeypatch):
    """The same results of a good file, one of each kind of bad ones, a crash, a loop and a mistake."""
    files = [path, path.parent / "link", path.parent / "text"]
    files[1].write_bytes(path.read_bytes())
    with h5py.File(files[1], "r+") as file:
        UNSAFE["soft link"](file, path.parent)
    files[2].write_bytes(b"text")
    results = []
    for run in (subprocess, walks):
        monkeypatch.setattr(_hdf5, "subprocess", run)
        found = [_outcome(lambda file=file: _hdf5.check_hdf5("me", file)) for file in files]
        for program in (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
            "import nothing_of_that_name",
        ):
            (path.parent / "walk.py").write_text(program)
            with monkeypatch.context() as patch:
                patch.setattr(_hdf5, "WALK", path.parent / "walk.py")
                found.append(_outcome(lambda: _hdf5.check_hdf5("me", path)))
        results.append(found)
    assert results[0] == results[1]
    assert [kind for kind, _ in results[0]] == [
        "PosixPath",
        "UnsafeFileError",
        "MalformedFileError",
        "MalformedFileError",
        "MalformedFileError",
        "RuntimeError",
    ]


def _outcome(call):
    """The kind of what comes back or is raised, and the beginning of its message."""
    try:
        found = call()
    except (ValueError, RuntimeError) as error:
        found = error
    return type(found).__name__, str(found).partition("Traceback")[0].partition("ModuleNotFound")[0]


NO_HDF5 = {
    "empty": b"",
    "text": b"node: NIRGraph\n" * 90,
    "pickle": b"\x80\x04c__builtin__\nprint\n.",
    "zip": b"PK\3\4",
}


@pytest.mark.parametrize("name", NO_HDF5)
def test_what_is_no_hdf5_file_is_refused(tmp_path, name):
    (tmp_path / "a.nir").write_bytes(NO_HDF5[name])
    with pytest.raises(NIRImportError, match="`nir.read`: .*a.nir' is refused: "):
        read(tmp_path / "a.nir")


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(NIRImportError, match="is not a file, but a folder"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="`nir.read`: there is no file .*none.nir'"):
        read(tmp_path / "none.nir")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(NIRImportError, match="a device or a pipe"):
            read(tmp_path / "pipe")


def test_more_than_the_limit_is_refused_in_one_array_and_in_all(path):
    with h5py.File(path, "r+") as file:
        put(f"{FC}/weight", np.ones((300, 300)), compression="gzip")(file, path.parent)
    with pytest.raises(NIRImportError, match="'/node/nodes/fc/weight' asks for 720000 bytes, .* the limit is 500000"):
        read(path, limit=500_000)
    with h5py.File(path, "r+") as file:
        for number in range(9):
            file[f"node/more{number}"] = file[f"{FC}/weight"]
    with pytest.raises(
        NIRImportError, match="/weight' gives more than the [0-9]+ bytes|/more[0-9]' gives more than the [0-9]+ bytes"
    ):
        read(path, limit=5_000_000)


def test_a_string_that_is_pointed_to_often_counts_as_often(path):
    """What is a kilobyte for each edge in Python is 16 bytes in the file."""
    with h5py.File(path, "r+") as file:
        names = np.array(["a" * 60_000, *["b"] * 999], object).reshape(-1, 2)
        put("node/edges", names, dtype=h5py.string_dtype())(file, path.parent)
        at = file["node/edges"].id.get_offset()
    content = bytearray(path.read_bytes())
    assert struct.unpack("<I", content[at : at + 4]) == (60_000,)
    content[at : at + 16_000] = content[at : at + 16] * 1000
    path.write_bytes(content)
    with pytest.raises(NIRImportError, match="'/node/edges' gives more than the [0-9]+ bytes that are left"):
        read(path, limit=10_000_000)


def test_texts_count_with_what_they_point_to_and_lists_where_all_is_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        lists = file.create_dataset("lists", (10,), h5py.vlen_dtype(np.float32))
        for number in range(10):
            lists[number] = np.ones(1000, np.float32)
    options = {"vlen": ["/lists"], "limit": 10_000}
    assert _hdf5.check_hdf5("me", tmp_path / "a.h5", **options) == tmp_path / "a.h5"
    with pytest.raises(UnsafeFileError, match="'/lists' gives more than the 10000 bytes"):
        _hdf5.check_hdf5("me", tmp_path / "a.h5", **options, total=10_000)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["texts"] = ["a" * 2000] * 10
    with pytest.raises(UnsafeFileError, match="'/texts' gives more than the 10000 bytes"):
        _hdf5.check_hdf5("me", tmp_path / "a.h5", **options)


def test_there_are_200_cases_and_more():
    assert len([*UNSAFE, *MALFORMED, *VALID, *damaged()]) > 190
