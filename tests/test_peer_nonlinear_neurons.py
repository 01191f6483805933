"""Quadratic, exponential and adaptive neurons and double-exponential synapses, as SpikingJelly, Spyx and snnTorch.

By design not the same: a step here starts from the threshold at most, and that of a quadratic neuron does not overshoot
from far below the rest; Spyx subtracts a threshold that does not decay with the potential, so its neurons agree without
decay; the current of snnTorch's `Alpha` starts a step after its input, its peak depends on the decays.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_peer_neurons import SIZE, STEPS, XS, check, ours, over_time, torch

import snnax.snn as snn

__all__ = ["torch"]

pytestmark = pytest.mark.peers
# SpikingJelly's neurons start at their reset value.
LOW = {"gain": snn.UnityGain(), "reset": snn.ResetToValue(-0.1), "init_fn": np.array(-0.1)}

SPIKINGJELLY = {
    "QIFNode": (
        lambda: ours(snn.QIF(0.75, critical=0.3, curvature=1.0, threshold=0.4, **LOW)),
        lambda n: n.QIFNode(tau=4.0, v_c=0.3, a0=1.0, v_threshold=0.4),
    ),
    "EIFNode": (
        lambda: ours(snn.EIF(0.75, onset=0.3, sharpness=0.2, threshold=0.6, **LOW)),
        lambda n: n.EIFNode(tau=4.0, delta_T=0.2, theta_rh=0.3, v_threshold=0.6),
    ),
}


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_neurons_agree_with_spikingjelly(name, torch):  # noqa: F811
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    here, make = SPIKINGJELLY[name]
    module = make(neuron)
    check(here(), over_time(torch, lambda x: (module(x),)))


def test_the_adaptive_threshold_agrees_with_spyx():
    with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"):
        warnings.simplefilter("ignore")
        spyx = pytest.importorskip("spyx.nn")
        from flax import nnx

        module = spyx.ALIF((SIZE,), beta=1.0, gamma=0.8, threshold=0.7, rngs=nnx.Rngs(0))
        state, outs = module.initial_state(1), []
        for x in XS[:, None]:
            out, state = module(jnp.asarray(x), state)
            outs.append(np.asarray(out)[0])
    here = ours(snn.ALIF(1.0, ada_decay_constant=0.8, ada_coupling_var=1.0, threshold=0.7, reset=snn.SubtractReset()))
    check(here[: STEPS - 1], np.stack(outs)[1:])


def test_the_double_exponential_agrees_with_snntorch(torch):  # noqa: F811
    """Up to the factor, which is the same at all times."""
    snntorch = pytest.importorskip("snntorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = snntorch.Alpha(alpha=0.9, beta=0.7, threshold=1e6, reset_mechanism="none")
    states = [torch.zeros(1, SIZE)] * 3
    theirs = []
    with torch.no_grad():
        for x in torch.from_numpy(XS)[:, None]:
            _, *states = module(x, *states)
            theirs.append(states[-1][0].numpy())
    layer = snn.DoubleExpLIF([0.0, 0.9, 0.7], threshold=1e6)
    state, here = layer.init_state((SIZE,)), []
    for x in XS:
        state, _ = layer(state, jnp.asarray(x))
        here.append(np.asarray(state.v))
    here, theirs = np.stack(here)[:-1], np.stack(theirs)[1:]
    factor = theirs[5, 0] / here[5, 0]
    np.testing.assert_allclose(factor * here, theirs, rtol=1e-4, atol=1e-5)
