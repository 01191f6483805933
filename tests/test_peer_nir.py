"""NIR files that are written here fire the same spikes in snnTorch, Norse and Spyx, and theirs fire theirs here.

What their readers and writers do otherwise is in the table of docs/nir.rst, and tested at the end.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn

pytestmark = pytest.mark.peers
nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402

STEPS, SIZE, HIDDEN, LAST = 60, 6, 5, 3
IMAGE = (2, 6, 7)
SUBTRACT = snn.SubtractReset()
UNITY = snn.UnityGain()


@pytest.fixture
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("torch")


def spikes(shape):
    return np.asarray(jr.bernoulli(jr.key(0), 0.4, (STEPS, *shape)), np.float32)


def scaled(layer):
    return eqx.tree_at(lambda m: m.weight, layer, 3 * layer.weight)


def linear(n, m, key=0, **options):
    return scaled(eqx.nn.Linear(n, m, key=jr.key(key), **options))


def two(first, second):
    return snn.Sequential(linear(SIZE, HIDDEN), first, linear(HIDDEN, LAST, 1), second)


def residual(neuron):
    block = snn.Residual(snn.Sequential(linear(HIDDEN, HIDDEN, 3), neuron()))
    return snn.Sequential(linear(SIZE, HIDDEN), neuron(), block, linear(HIDDEN, LAST, 1), neuron())


def with_an_edge_as_shortcut(neuron):
    nodes = {"w": linear(SIZE, HIDDEN), "a": neuron(), "v": linear(HIDDEN, HIDDEN, 3), "b": neuron()}
    ends = {"u": linear(HIDDEN, LAST, 1), "c": neuron()}
    edges = [("input", "w"), ("w", "a"), ("a", "v"), ("v", "b"), ("b", "u"), ("a", "u"), ("u", "c")]
    return snn.Graph({**nodes, **ends}, edges, outputs=("c",))


def recurrent(neuron, bias=None):
    synapse = eqx.nn.Linear(HIDDEN, HIDDEN, use_bias=bias is not None, key=jr.key(7))
    if bias is not None:
        synapse = eqx.tree_at(lambda m: m.bias, synapse, jnp.full((HIDDEN,), bias))
    return snn.Sequential(linear(SIZE, HIDDEN), snn.Recurrent(neuron, synapse))


def convolutional(neuron, kernel, pool):
    conv = scaled(eqx.nn.Conv2d(2, 3, kernel, key=jr.key(5)))
    size = 3 * 2 * ((8 - conv.kernel_size[1]) // 2)
    return snn.Sequential(conv, neuron(), pool, snn.Flatten(), linear(size, LAST, 2), neuron())


def flat_cycle():
    nodes = {
        "w": linear(SIZE, HIDDEN),
        "r.lif": snn.LIF([0.9, 0.6]),
        "r.w_rec": eqx.nn.Linear(HIDDEN, HIDDEN, key=jr.key(7)),
        "v": linear(HIDDEN, LAST, 9),
        "lif": snn.LIF([0.9, 0.6], threshold=0.3),
    }
    edges = [("w", "r.lif"), snn.Edge("r.lif", "r.w_rec", delay=1), ("r.w_rec", "r.lif"), ("r.lif", "v"), ("v", "lif")]
    return snn.Graph(nodes, [("input", "w"), *edges], outputs=("lif",))


# snnTorch's time step is 1e-4 s, and its own neurons have a gain of 1.
# Norse's is an argument, and its LIF has that of NIR with r = 1.


def plain(decay=0.9, threshold=0.3, **options):
    return snn.SimpleLIF(decay, threshold=threshold, **options)


def unity(decay=0.9, threshold=0.03, **options):
    return snn.SimpleLIF(decay, threshold=threshold, gain=UNITY, **options)


def synaptic(decays=(0.9, 0.6), threshold=0.3, **options):
    return snn.LIF(list(decays), threshold=threshold, **options)


WRITTEN = {
    "snntorch": {
        "LIF": (lambda: two(plain(), plain(0.8)), {}),
        "LIF, unity": (lambda: two(unity(), unity(0.8)), {}),
        "LIF, decays of each neuron": (lambda: two(plain(jnp.linspace(0.5, 0.95, HIDDEN)), plain(0.8)), {}),
        "CubaLIF": (lambda: two(synaptic(), synaptic((0.8, 0.5))), {}),
        "CubaLIF, synapse of unity": (lambda: two(synaptic(gain=[1.0, UNITY]), synaptic(gain=[1.0, UNITY])), {}),
        "recurrent LIF": (lambda: recurrent(plain(threshold=1.0)), {}),
        "recurrent CubaLIF": (lambda: recurrent(synaptic(threshold=1.0)), {}),
        "recurrent CubaLIF with a bias": (
            lambda: recurrent(synaptic(threshold=2.0), 0.4),
            {"delay_after_synapse": True},
        ),
        "shortcut": (lambda: with_an_edge_as_shortcut(plain), {}),
        "Conv2d, AvgPool2d": (lambda: convolutional(plain, 3, eqx.nn.AvgPool2d(2, 2)), {}),
        "Conv2d, SumPool2d": (lambda: convolutional(plain, (3, 2), snn.SumPool2d(2, 2)), {}),
    },
    "norse": {
        "LIF": (lambda: two(unity(), unity(0.8)), {}),
        "LIF, of each neuron": (
            lambda: two(unity(jnp.linspace(0.5, 0.95, HIDDEN), jnp.linspace(0.03, 0.3, HIDDEN)), unity(0.8)),
            {},
        ),
        "LIF that rests elsewhere": (lambda: two(unity(rest=0.02), unity(0.8)), {}),
        "CubaLIF": (lambda: two(synaptic(), synaptic((0.8, 0.5))), {}),
        "CubaLIF, unity": (lambda: two(synaptic(threshold=0.03, gain=UNITY), synaptic(gain=UNITY, threshold=0.03)), {}),
        "CubaLIF, subtracting": (lambda: two(synaptic(reset=SUBTRACT), synaptic(reset=SUBTRACT)), {"reset": SUBTRACT}),
        "IF": (lambda: two(snn.SimpleIAF(), snn.SimpleIAF()), {"if_dt": 1.0}),
        "recurrent LIF": (lambda: recurrent(unity(threshold=0.1)), {}),
        "recurrent CubaLIF": (lambda: recurrent(synaptic(threshold=1.0)), {}),
        "recurrent CubaLIF with a bias": (
            lambda: recurrent(synaptic(threshold=2.0), 0.4),
            {"delay_after_synapse": True},
        ),
        "cycle in a flat graph": (flat_cycle, {"delay_after_synapse": True}),
        "Residual": (lambda: residual(unity), {}),
        "shortcut": (lambda: with_an_edge_as_shortcut(unity), {}),
        "Conv2d, SumPool2d": (lambda: convolutional(unity, (3, 2), snn.SumPool2d(2, 2)), {}),
    },
}


def read_there(peer, path, dt, reset=None):
    """The file as a module of torch."""
    graph = nir.read(path, type_check=False)
    if peer == "snntorch":
        from snntorch.import_nir import import_from_nir

        return import_from_nir(graph)
    import norse.torch
    from norse.torch.functional.reset import reset_subtract, reset_value

    return norse.torch.from_nir(graph, dt=dt, reset_method=reset_value if reset is None else reset_subtract)


def run_there(torch, module, xs):
    outs, state = [], ()
    with torch.no_grad():
        for x in torch.from_numpy(xs)[:, None]:
            out, *state = module(x, *state)
            outs.append(out[0].numpy())
    return np.stack(outs)


def run_here(net, xs):
    return np.asarray(net(net.init_state(xs.shape[1:]), jnp.asarray(xs))[1]["output"])


def both(torch, peer, model, path, terms):
    """The spikes of a file in the other library and here."""
    terms = dict(terms)
    after = terms.pop("delay_after_synapse", False)
    terms.setdefault("dt", 1e-4 if peer == "snntorch" else 1e-3)
    convolves = any(isinstance(layer, eqx.nn.Conv2d) for layer in getattr(model, "layers", ()))
    shape = IMAGE if convolves else (SIZE,)
    snnax.nir.write(path, model, shape, **terms)
    theirs = run_there(torch, read_there(peer, path, terms["dt"], terms.get("reset")), spikes(shape))
    return theirs, run_here(snnax.nir.from_nir(path, delay_after_synapse=after, **terms), spikes(shape))


def check(theirs, here):
    assert 0.01 < np.mean(theirs) < 0.9, "without any activity there is nothing to compare"
    np.testing.assert_array_equal(theirs, here)


@pytest.mark.parametrize("peer, name", [(peer, name) for peer, table in WRITTEN.items() for name in table])
def test_a_file_fires_the_same_spikes_elsewhere(peer, name, torch, tmp_path):
    pytest.importorskip(peer)
    make, terms = WRITTEN[peer][name]
    theirs, here = both(torch, peer, make(), tmp_path / "x.nir", terms)
    check(theirs, here)


# Spyx reads neither r nor w_in, and its spikes come one step later for each layer. Its LIF subtracts a threshold that
# does not decay with the potential.
SPYX = {
    "CubaLIF": lambda: synaptic(threshold=0.5, reset=SUBTRACT),
    "IF": lambda: snn.SimpleIAF(threshold=0.5, reset=SUBTRACT),
    "LIF": lambda: plain(threshold=0.5, reset=SUBTRACT),
}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", SPYX)
def test_a_file_fires_the_same_spikes_in_spyx_some_steps_later(name, layers, tmp_path):
    with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"):
        warnings.simplefilter("ignore")
        spyx = pytest.importorskip("spyx.nir")
        second = [linear(HIDDEN, LAST, 1, use_bias=False), SPYX[name]()] if layers == 2 else []
        model = snn.Sequential(linear(SIZE, HIDDEN), SPYX[name](), *second)
        snnax.nir.write(tmp_path / "x.nir", model, (SIZE,), dt=1e-3, reset=SUBTRACT)
        xs = jnp.asarray(spikes((SIZE,)))
        theirs = spyx.from_nir(nir.read(tmp_path / "x.nir"), xs[:, None], dt=1e-3)[1]
    here = np.asarray(model(model.init_state((SIZE,)), xs)[1][-1])[:-layers]
    if name == "LIF":
        assert np.any(np.asarray(theirs)[layers:, 0] != here)
    else:
        check(np.asarray(theirs)[layers:, 0], here)


# Files of snnTorch: modules with one value for each neuron, for the shapes in its files come from its parameters.


def torch_linear(torch, n, m, seed=0, bias=True):
    torch.manual_seed(seed)
    layer = torch.nn.Linear(n, m, bias=bias)
    layer.weight.data = 3 * layer.weight.data + 0.2
    return layer


def each(torch, value, size):
    return torch.full((size,), value)


def of_snntorch(kind, **options):
    def make(torch, snntorch):
        def neuron(size, **decays):
            decays = {name: each(torch, value, size) for name, value in decays.items()}
            threshold = each(torch, 0.3, size)
            return getattr(snntorch, kind)(
                threshold=threshold, init_hidden=True, reset_delay=False, **decays, **options
            )

        slow, fast = ({"beta": 0.9}, {"beta": 0.8})
        if kind == "Synaptic":
            slow, fast = {"alpha": 0.6, **slow}, {"alpha": 0.5, **fast}
        first, second = torch_linear(torch, SIZE, HIDDEN), torch_linear(torch, HIDDEN, LAST, 1, bias=False)
        return torch.nn.Sequential(first, neuron(HIDDEN, **slow), second, neuron(LAST, **fast))

    return make


def recurrent_of_snntorch(bias, all_to_all=True):
    def make(torch, snntorch):
        first = torch_linear(torch, SIZE, HIDDEN)
        recurrence = {"linear_features": HIDDEN} if all_to_all else {"V": torch.linspace(-1, 1, HIDDEN)}
        options = {"init_hidden": True, "reset_delay": False, "reset_mechanism": "zero", "all_to_all": all_to_all}
        neuron = snntorch.RLeaky(beta=0.9, threshold=0.3, **recurrence, **options)
        if all_to_all:
            neuron.recurrent.bias.data[:] = bias
        return torch.nn.Sequential(first, neuron)

    return make


OF_SNNTORCH = {
    "Leaky, to zero": (of_snntorch("Leaky", reset_mechanism="zero"), {}),
    "Leaky, subtracting": (of_snntorch("Leaky"), {"reset": snn.DelayedSubtractReset()}),
    "Synaptic, to zero": (of_snntorch("Synaptic", reset_mechanism="zero"), {}),
    "Synaptic, subtracting": (of_snntorch("Synaptic"), {"reset": snn.DelayedSubtractReset()}),
    "RLeaky": (recurrent_of_snntorch(0.0), {}),
    "RLeaky with a bias": (recurrent_of_snntorch(0.4), {}),
    "RLeaky, one to one": (recurrent_of_snntorch(0.0, all_to_all=False), {}),
}


@pytest.mark.parametrize("name", OF_SNNTORCH)
def test_a_file_of_snntorch_fires_its_spikes_here(name, torch, tmp_path):
    snntorch = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    make, terms = OF_SNNTORCH[name]
    xs = spikes((SIZE,))
    with torch.no_grad():
        module = make(torch, snntorch)
        theirs = np.stack([module(x)[0].numpy() for x in torch.from_numpy(xs)[:, None]])
        nir.write(tmp_path / "x.nir", export_to_nir(make(torch, snntorch), torch.from_numpy(xs[0])))
    net = snnax.nir.from_nir(tmp_path / "x.nir", dt=1e-4, **terms)
    check(theirs, run_here(net, xs))


# Files of Norse. Its writer multiplies time constants by `dt`, which is right for a `dt` of 1, and leaves w_in out.


def of_norse(kind):
    def make(torch, norse):
        def neuron(size, threshold):
            threshold = each(torch, threshold, size)
            if kind == "IAFCell":
                return norse.IAFCell(norse.IAFParameters(v_th=threshold), dt=1e-3)
            if kind == "LIFCell":
                values = (each(torch, value, size) for value in (200.0, 100.0, 0.0))
                return norse.LIFCell(norse.LIFParameters(*values, threshold, each(torch, 0.0, size)), dt=1e-3)
            inverse, rest = each(torch, 100.0, size), each(torch, 0.01, size)
            parameters = norse.LIFBoxParameters(tau_mem_inv=inverse, v_th=threshold, v_leak=rest)
            return norse.LIFBoxCell(parameters, dt=1e-3)

        first, second = torch_linear(torch, SIZE, HIDDEN), torch_linear(torch, HIDDEN, LAST, 1)
        low = {"IAFCell": 0.3, "LIFCell": 0.2, "LIFBoxCell": 0.03}[kind]
        return norse.SequentialState(first, neuron(HIDDEN, low), second, neuron(LAST, low))

    return make


@pytest.mark.parametrize("kind, terms", [("LIFBoxCell", {}), ("LIFCell", {}), ("IAFCell", {"if_dt": 1.0})])
@pytest.mark.parametrize("their_dt, dt", [(1.0, 1e-3), (1e-3, 1e-6)])
def test_a_file_of_norse_fires_its_spikes_here(kind, terms, their_dt, dt, torch, tmp_path):
    norse = pytest.importorskip("norse.torch")
    xs = spikes((SIZE,))
    module = of_norse(kind)(torch, norse)
    theirs = run_there(torch, module, xs)
    graph = norse.to_nir(module, torch.from_numpy(xs[0]), dt=their_dt)
    for node in graph.nodes.values():
        if isinstance(node, nir.CubaLIF):
            node.w_in = np.asarray(node.tau_syn) / dt
    nir.write(tmp_path / "x.nir", graph)
    check(theirs, run_here(snnax.nir.from_nir(tmp_path / "x.nir", dt=dt, **terms), xs))


# What the page says that their readers do otherwise. When one of these fails, a reader has been mended.

OTHERWISE = {
    "snntorch": {
        "another time step": (lambda: two(plain(), plain(0.8)), {"dt": 1e-3}),
        "gains of each neuron": (lambda: two(plain(gain=jnp.linspace(0.5, 1.5, HIDDEN)), plain(0.8)), {}),
        "a reset to elsewhere": (lambda: two(plain(reset=snn.ResetToValue(-0.2)), plain(0.8)), {}),
        "a cycle in a flat graph": (flat_cycle, {"delay_after_synapse": True}),
        "the bias of a cycle in the first step": (lambda: recurrent(synaptic(threshold=2.0), 0.4), {}),
    },
    "norse": {
        "r of a LIF": (lambda: two(plain(), plain(0.8)), {}),
        "a reset to elsewhere": (lambda: two(unity(reset=snn.ResetToValue(-0.02)), unity(0.8)), {}),
        "v_leak of a CubaLIF": (lambda: two(synaptic(rest=0.02), synaptic()), {}),
        "LI": (lambda: two(unity(), snn.SimpleLI(0.9, gain=UNITY)), {}),
        "the reset of a LIF": (lambda: two(unity(reset=SUBTRACT), unity(0.8, reset=SUBTRACT)), {"reset": SUBTRACT}),
        "the bias of a cycle in the first step": (lambda: recurrent(synaptic(threshold=2.0), 0.4), {}),
    },
}
REFUSED = {
    "another time step, CubaLIF": (lambda: two(synaptic(), synaptic()), {"dt": 1e-3}, "r not supported in CubaLIF"),
    "thresholds": (lambda: two(plain(threshold=jnp.linspace(0.3, 0.5, HIDDEN)), plain()), {}, "must be same"),
    "rest": (lambda: two(plain(rest=0.1), plain()), {}, "v_leak not supported"),
    "LI": (lambda: two(plain(), snn.SimpleLI(0.9)), {}, "Unknown node type"),
    "IF": (lambda: two(snn.SimpleIAF(), snn.SimpleIAF()), {"if_dt": 1.0}, "must be Tensor, not tuple"),
    "Residual": (lambda: residual(plain), {}, "has no attribute 'items'"),
}


@pytest.mark.parametrize("peer, name", [(peer, name) for peer, table in OTHERWISE.items() for name in table])
def test_what_a_reader_does_otherwise_is_so(peer, name, torch, tmp_path):
    pytest.importorskip(peer)
    make, terms = OTHERWISE[peer][name]
    theirs, here = both(torch, peer, make(), tmp_path / "x.nir", terms)
    assert np.any(theirs != here)


@pytest.mark.parametrize("name", REFUSED)
def test_what_snntorch_refuses_is_so(name, torch, tmp_path):
    pytest.importorskip("snntorch")
    make, terms, message = REFUSED[name]
    with pytest.raises((AssertionError, ValueError, TypeError, AttributeError), match=message):
        both(torch, "snntorch", make(), tmp_path / "x.nir", terms)
