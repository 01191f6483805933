"""The graphs of the NIR paper give the spikes that other simulators published for them.

Source: J. Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9; see tests/data/README.md.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnax import snn

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402

DATA = Path(__file__).parent / "data"
TRACES = np.load(DATA / "nir" / "traces.npz")
BRAILLE = {
    "bias_zero": DATA / "nir" / "braille_noDelay_bias_zero.nir",
    "noBias_subtract": DATA / "nir" / "braille_noDelay_noBias_subtract.nir",
}


def trace(simulator):
    if simulator in ("norse", "snntorch"):
        return np.loadtxt(DATA / f"lif_{simulator}.csv", delimiter=",").T
    return TRACES[f"lif_{simulator}"].T


def run(net, xs, node, collect=None):
    xs = jnp.asarray(xs, jnp.float32)
    return eqx.filter_jit(net)(net.init_state(xs.shape[1:]), xs, collect=collect)[1][node]


# The terms under which each simulator reads NIR, and its unit of the potential.
SIMULATORS = {
    "norse": ({}, 1.0),
    "snntorch": ({}, 1e-4 / 2.5e-3),  # it divides the threshold by dt / tau
    "rockpool": ({"discretisation": snnax.nir.ImpulseInvariant(), "reset": snn.SubtractReset()}, 1.0),
    "exact": ({"discretisation": snnax.nir.ExponentialEuler(), "reset": snn.SubtractReset()}, 1.0),
}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_single_neuron_spikes_when_it_did_in(simulator):
    terms, unit = SIMULATORS[simulator]
    xs, v, spikes = trace(simulator)
    net = snnax.nir.from_nir(DATA / "nir" / "lif_norse.nir", dt=1e-4, **terms)
    np.testing.assert_array_equal(run(net, xs[:, None], "1")[:, 0], spikes)
    assert spikes.sum() == 4
    potential = run(net, xs[:, None], "1", collect={"1": snn.Traces()}).v[:, 0]
    # The exact solution is not exact where a spike comes within a step.
    np.testing.assert_allclose(potential, unit * v, atol=1e-3 if simulator == "exact" else 1e-6)


def braille(name, **terms):
    return snnax.nir.from_nir(BRAILLE[name], dt=1e-4, **terms), TRACES["braille_input"].astype(np.float32)


@pytest.mark.parametrize("name, reset", [("bias_zero", None), ("noBias_subtract", snn.DelayedSubtractReset())])
@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.StepByStep()])
def test_the_recurrent_braille_networks_give_the_spikes_that_snntorch_published(name, reset, plan):
    net, xs = braille(name, reset=reset)
    spikes = net(net.init_state((12,)), jnp.asarray(xs), plan=plan)[1]["lif1.lif"]
    expected = TRACES[f"snntorch_{name}"]
    assert expected.size in (9728, 10240) and expected.sum() > 100
    np.testing.assert_array_equal(np.asarray(spikes), np.squeeze(expected))


def by_hand(graph, xs, *, zero_reset, bias_at_first):
    """The first layer of a Braille network, in NumPy and single precision."""
    nodes, f = graph.nodes, np.float32
    first, lif, back = nodes["fc1"], nodes["lif1.lif"], nodes["lif1.w_rec"]
    alpha, beta = (f(1 - 1e-4 / tau[0]) for tau in (lif.tau_mem, lif.tau_syn))
    g_v, g_i = f(lif.r[0] * 1e-4 / lif.tau_mem[0]), f(lif.w_in[0] * 1e-4 / lif.tau_syn[0])
    i = v = z = np.zeros(len(lif.tau_mem), f)
    spikes = []
    for t, x in enumerate(xs):
        feedback = back.weight @ z + (getattr(back, "bias", 0) if t or bias_at_first else 0)
        i = beta * i + g_i * (first.weight @ x + getattr(first, "bias", 0) + feedback).astype(f)
        v = alpha * v + g_v * i
        z = (v > 1).astype(f)
        v = np.where(z, f(0), v) if zero_reset else v - z
        spikes.append(z)
    return np.stack(spikes)


# Norse's published traces were run with a reset to zero, whatever their name says, and Spyx's with a subtraction; the
# feedback of Norse starts after the first step.
@pytest.mark.parametrize("name", BRAILLE)
@pytest.mark.parametrize("zero_reset", [True, False])
@pytest.mark.parametrize("bias_at_first", [True, False])
def test_the_conventions_of_the_other_simulators_are_options(name, zero_reset, bias_at_first):
    net, xs = braille(name, reset=None if zero_reset else snn.SubtractReset(), delay_after_synapse=not bias_at_first)
    expected = by_hand(nir.read(BRAILLE[name]), xs, zero_reset=zero_reset, bias_at_first=bias_at_first)
    np.testing.assert_array_equal(run(net, xs, "lif1.lif"), expected)
    assert expected.sum() > 100


def test_the_bias_of_the_feedback_acts_in_the_first_step_or_not():
    spikes = [run(*braille("bias_zero", delay_after_synapse=after), "lif1.lif") for after in (False, True)]
    assert 0 < np.sum(spikes[0] != spikes[1]) < 100


@pytest.mark.parametrize("name", BRAILLE)
def test_the_braille_networks_go_out_and_come_back_and_spike_the_same(name, tmp_path):
    terms = {"dt": 1e-4, "reset": snn.SubtractReset()}
    net, xs = braille(name, reset=terms["reset"])
    snnax.nir.write(tmp_path / "x.nir", net, (12,), **terms)
    back = snnax.nir.from_nir(tmp_path / "x.nir", **terms)
    assert set(back.nodes) == set(net.nodes) and set(back.topology.edges) == set(net.topology.edges)
    for node in ("lif1.lif", "lif2"):
        np.testing.assert_array_equal(run(back, xs, node), run(net, xs, node))


def test_a_subgraph_for_the_recurrence_computes_what_the_flat_cycle_does():
    flat = nir.read(BRAILLE["bias_zero"])
    lif, back = flat.nodes["lif1.lif"], flat.nodes["lif1.w_rec"]
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([38])), "lif": lif, "w_rec": back, "output": nir.Output(np.array([38]))},
        [("input", "lif"), ("w_rec", "lif"), ("lif", "output"), ("lif", "w_rec")],
    )
    nodes = {name: node for name, node in flat.nodes.items() if not name.startswith("lif1")} | {"lif1": inner}
    edges = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "output")]
    net = snnax.nir.from_nir(nir.NIRGraph(nodes, edges, type_check=False), dt=1e-4)
    xs = TRACES["braille_input"].astype(np.float32)
    spikes = run(net, xs, "lif1")["lif"]
    np.testing.assert_array_equal(spikes, np.squeeze(TRACES["snntorch_bias_zero"]))


def test_double_precision_is_used_where_jax_uses_it():
    with jax.enable_x64(True):
        net = snnax.nir.from_nir(BRAILLE["bias_zero"], dt=1e-4)
        assert net.nodes["fc1"].weight.dtype == jnp.float64
        assert net.nodes["lif2"].threshold == np.nextafter(1.0, 2.0)
