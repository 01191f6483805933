"""Neurons that Norse, SpikingJelly, snnTorch and Spyx compute in the same way give the same trains here.

By design not the same: snnTorch's default reset acts one step later and by the potential of the step before; Spyx's
spikes come one step later, and its LIF subtracts a threshold that does not decay with the potential.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn

pytestmark = pytest.mark.peers

STEPS, SIZE = 60, 5
XS = np.asarray(0.25 + 0.5 * jr.normal(jr.key(0), (STEPS, SIZE)), np.float32)
WEIGHT = np.asarray(0.4 * jr.normal(jr.key(1), (SIZE, SIZE)), np.float32)


def ours(*layers):
    """The outputs of the last layer."""
    model = snn.Sequential(*layers)
    return np.asarray(model(model.init_state((SIZE,)), jnp.asarray(XS))[1][-1])


def recurrent(neuron):
    synapse = eqx.nn.Linear(SIZE, SIZE, use_bias=False, key=jr.key(0))
    return snn.Recurrent(neuron, eqx.tree_at(lambda m: m.weight, synapse, jnp.asarray(WEIGHT)))


@pytest.fixture
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("torch")


def over_time(torch, step, state=()):
    """The first results of a step of torch, with all others given back to it."""
    outs = []
    with torch.no_grad():
        for x in torch.from_numpy(XS)[:, None]:
            out, *state = step(x, *state)
            outs.append(out[0].numpy())
    return np.stack(outs)


def zeros(torch):
    return torch.zeros(1, SIZE)


# What it is here; the module of snnTorch, how many states it has, and which of its results (0: the spikes).
SNNTORCH = {
    "Leaky, reset without delay": (
        lambda: ours(snn.SimpleLIF(0.9, reset=snn.DelayedSubtractReset())),
        lambda s: s.Leaky(beta=0.9, reset_delay=False),
        (1, 0),
    ),
    "Leaky, potential without reset": (
        lambda: ours(snn.SimpleLI(0.9)),
        lambda s: s.Leaky(beta=0.9, reset_mechanism="none"),
        (1, 1),
    ),
    "Leaky, spikes without reset": (
        lambda: ours(snn.SimpleLIF(0.9, reset=snn.NoReset())),
        lambda s: s.Leaky(beta=0.9, reset_mechanism="none"),
        (1, 0),
    ),
    "Synaptic, reset without delay": (
        lambda: ours(snn.LIF([0.9, 0.6], reset=snn.DelayedSubtractReset())),
        lambda s: s.Synaptic(alpha=0.6, beta=0.9, reset_delay=False),
        (2, 0),
    ),
    "Synaptic, potential without reset": (
        lambda: ours(snn.LI([0.9, 0.6])),
        lambda s: s.Synaptic(alpha=0.6, beta=0.9, reset_mechanism="none"),
        (2, 2),
    ),
    "RLeaky, one to one, without reset": (
        lambda: ours(snn.Recurrent(snn.SimpleLIF(0.9, reset=snn.NoReset()), jnp.full((SIZE,), -0.5))),
        lambda s: s.RLeaky(beta=0.9, V=-0.5, all_to_all=False, reset_mechanism="none"),
        (2, 0),
    ),
    "Lapicque, potential of its Euler step": (
        lambda: ours(snn.SimpleLI(1 - 1 / 10.0, gain=1 / 2.0)),
        lambda s: s.Lapicque(R=5.0, C=2.0, time_step=1, reset_mechanism="none"),
        (1, 1),
    ),
}


@pytest.mark.parametrize("name", SNNTORCH)
def test_neurons_agree_with_snntorch(name, torch):
    snntorch = pytest.importorskip("snntorch")
    here, make, (states, which) = SNNTORCH[name]
    module = make(snntorch)
    begin = [zeros(torch) for _ in range(states)]
    if name.startswith("RLeaky"):
        outs, (spikes, potential) = [], begin
        with torch.no_grad():
            for x in torch.from_numpy(XS)[:, None]:
                spikes, potential = module(x, spikes, potential)
                outs.append(spikes[0].numpy())
        theirs = np.stack(outs)
    else:

        def step(x, *state):
            results = module(x, *state)
            return results[which], *results[1:]

        theirs = over_time(torch, step, begin)
    check(here(), theirs)


# With a time step of 1 ms and time constants of 10 ms and 5 ms.
NORSE = {
    "LIF": (lambda: ours(snn.LIF([0.9, 0.8], gain=[0.1, 1.0], threshold=0.1)), "lif", "LIF"),
    "IAF": (lambda: ours(snn.SimpleIAF(threshold=0.7)), "iaf", "IAF"),
    "LI": (lambda: ours(snn.LI([0.9, 0.8], gain=[0.1, 1.0])), "leaky_integrator", "LI"),
}


@pytest.mark.parametrize("name", NORSE)
def test_neurons_agree_with_norse(name, torch):
    pytest.importorskip("norse")
    import importlib

    here, module, kind = NORSE[name]
    functional = importlib.import_module(f"norse.torch.functional.{module}")
    one = torch.tensor
    if kind == "LI":
        p, state = functional.LIParameters(one(200.0), one(100.0), one(0.0)), functional.LIState(*[zeros(torch)] * 2)
        step = functional.li_feed_forward_step
    elif kind == "IAF":
        p, state = functional.IAFParameters(v_th=one(0.7)), functional.IAFFeedForwardState(zeros(torch))
        step = functional.iaf_feed_forward_step
    else:
        p = functional.LIFParameters(one(200.0), one(100.0), one(0.0), one(0.1), one(0.0))
        state, step = functional.LIFFeedForwardState(*[zeros(torch)] * 2), functional.lif_feed_forward_step
    check(here(), over_time(torch, lambda x, state: step(x, state, p, 0.001), [state]))


SPIKINGJELLY = {
    "LIFNode": (
        lambda: ours(snn.SimpleLIF(0.5, gain=snn.UnityGain(), threshold=0.5)),
        lambda n: n.LIFNode(tau=2.0, v_threshold=0.5),
    ),
    "LIFNode, soft reset, input as it is": (
        lambda: ours(snn.SimpleLIF(0.5, reset=snn.SubtractReset())),
        lambda n: n.LIFNode(tau=2.0, decay_input=False, v_reset=None),
    ),
    "LIFNode, reset to a value that it decays to": (
        lambda: ours(snn.SimpleLIF(0.5, gain=0.5, rest=-0.2, threshold=0.5, reset=snn.ResetToValue(-0.2))),
        lambda n: n.LIFNode(tau=2.0, v_threshold=0.5, v_reset=-0.2),
    ),
    "IFNode": (lambda: ours(snn.SimpleIAF()), lambda n: n.IFNode()),
    "ParametricLIFNode": (
        lambda: ours(snn.SimpleLIF(snn.Logistic(0.75), gain=snn.UnityGain(), threshold=0.5)),
        lambda n: n.ParametricLIFNode(init_tau=4.0, v_threshold=0.5),
    ),
}


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_neurons_agree_with_spikingjelly(name, torch):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    here, make = SPIKINGJELLY[name]
    module = make(neuron)
    check(here(), over_time(torch, lambda x: (module(x),)))


SPYX = {
    "IF": (lambda: ours(snn.SimpleIAF(reset=snn.SubtractReset())), lambda nn: nn.IF((SIZE,)), 1),
    "CuBaLIF": (
        lambda: ours(snn.LIF([0.9, 0.6], reset=snn.SubtractReset())),
        lambda nn, rngs: nn.CuBaLIF((SIZE,), alpha=0.6, beta=0.9, rngs=rngs),
        1,
    ),
    "LI": (lambda: ours(snn.SimpleLI(0.9)), lambda nn, rngs: nn.LI((SIZE,), beta=0.9, rngs=rngs), 0),
}


@pytest.mark.parametrize("name", SPYX)
def test_neurons_agree_with_spyx(name):
    with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"):
        warnings.simplefilter("ignore")
        spyx = pytest.importorskip("spyx.nn")
        from flax import nnx

        here, make, later = SPYX[name]
        module = make(spyx) if name == "IF" else make(spyx, nnx.Rngs(0))
        state, outs = module.initial_state(1), []
        for x in XS[:, None]:
            out, state = module(jnp.asarray(x), state)
            outs.append(np.asarray(out)[0])
    expected = here()
    check(expected[: STEPS - later], np.stack(outs)[later:])


def check(here, theirs):
    assert 0.02 < np.mean(np.abs(theirs) > 0), "without any activity there is nothing to compare"
    np.testing.assert_allclose(here, theirs, rtol=1e-5, atol=1e-5)
