"""Feedback, recurrence, shortcuts and skips against their steps written out, in values, gradients and truncation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS

import snnax.snn as snn
from snnax.functional import surrogate

SPIKE = surrogate.SuperSpike(10.0)
STEPS = 7


def neurons():
    return snn.SimpleLIF(0.9, spike_fn=SPIKE)


def fire(v, x):
    """A step of `neurons()`: the potential after the reset, and the spikes."""
    v = 0.9 * v + x
    spikes = SPIKE(v - 1)
    return v * (1 - jax.lax.stop_gradient(spikes)), spikes


class TwoLayersWithFeedback:
    in_shape, out = (3,), "lif2"

    @staticmethod
    def make(key):
        k1, k2, k3 = jr.split(key, 3)
        return snn.Graph(
            {
                **{"fc1": eqx.nn.Linear(3, 4, key=k1), "lif1": neurons()},
                **{"fc2": eqx.nn.Linear(4, 5, key=k2), "lif2": neurons(), "back": eqx.nn.Linear(5, 4, key=k3)},
            },
            [
                *[("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2")],
                *[snn.Edge("lif2", "back", delay=2), ("back", "lif1")],
            ],
            outputs=("lif2",),
        )

    @staticmethod
    def by_hand(model, carry, x):
        fc1, fc2, back = (model.nodes[name] for name in ("fc1", "fc2", "back"))
        v1, v2, last, before = carry or (jnp.zeros(4), *[jnp.zeros(5)] * 3)
        v1, first = fire(v1, fc1(x) + back(before))
        v2, second = fire(v2, fc2(first))
        return (v1, v2, second, last), second


class RecurrentConvolution:
    in_shape, out = (2, 4, 4), 0

    @staticmethod
    def make(key):
        return snn.Sequential(snn.Recurrent(neurons(), eqx.nn.Conv2d(2, 2, 3, padding=1, key=key)))

    @staticmethod
    def by_hand(model, carry, x):
        v, spikes = carry or (jnp.zeros(x.shape),) * 2
        v, spikes = fire(v, x + model[0].synapse(spikes))
        return (v, spikes), spikes


class ResidualBlock:
    in_shape, out = (2, 4, 4), 1

    @staticmethod
    def make(key):
        k1, k2 = jr.split(key)
        block = snn.Sequential(neurons(), eqx.nn.Conv2d(2, 2, 3, padding=1, key=k1), neurons())
        return snn.Sequential(eqx.nn.Conv2d(2, 2, 1, key=k2), snn.Residual(block))

    @staticmethod
    def by_hand(model, carry, x):
        _, conv, _ = model[1].children[0]
        v1, v2 = carry or (jnp.zeros(x.shape),) * 2
        x = model[0](x)
        v1, first = fire(v1, x)
        v2, second = fire(v2, conv(first))
        return (v1, v2), second + x


class UShape:
    in_shape, out = (2, 4, 4), "out"

    @staticmethod
    def make(key):
        k1, k2, k3 = jr.split(key, 3)
        return snn.Graph(
            {
                **{"down": eqx.nn.Conv2d(2, 3, 3, stride=2, padding=1, key=k1), "lif1": neurons()},
                **{"deep": eqx.nn.Conv2d(3, 3, 3, padding=1, key=k2), "lif2": neurons()},
                **{"up": eqx.nn.ConvTranspose2d(6, 2, 2, stride=2, key=k3), "out": snn.SimpleLI(0.9)},
            },
            [
                *[("input", "down"), ("down", "lif1"), ("lif1", "deep"), ("deep", "lif2")],
                *[("lif2", "up"), ("lif1", "up"), ("up", "out"), ("input", "out")],
            ],
            outputs=("out",),
            merge={"up": snn.Concatenate()},
        )

    @staticmethod
    def by_hand(model, carry, x):
        v1, v2, out = carry or (jnp.zeros((3, 2, 2)), jnp.zeros((3, 2, 2)), jnp.zeros(x.shape))
        v1, first = fire(v1, model.nodes["down"](x))
        v2, second = fire(v2, model.nodes["deep"](first))
        out = 0.9 * out + model.nodes["up"](jnp.concatenate([second, first])) + x
        return (v1, v2, out), out


@pytest.mark.parametrize(
    "network, truncate",
    [
        (TwoLayersWithFeedback, None),
        (TwoLayersWithFeedback, 3),
        (RecurrentConvolution, None),
        (ResidualBlock, None),
        (UShape, None),
    ],
)
def test_every_plan_equals_the_steps_written_out(network, truncate, getkey):
    with jax.enable_x64(True):
        model = network.make(getkey())
        xs = 3 * jr.normal(getkey(), (STEPS, *network.in_shape))

        def by_hand(model):
            carry, outs = None, []
            for t, x in enumerate(xs):
                if truncate and t % truncate == 0:
                    carry = jax.lax.stop_gradient(carry)
                carry, out = network.by_hand(model, carry, x)
                outs.append(out)
            return loss(jnp.stack(outs))

        def planned(model, plan):
            _, outs = model(model.init_state(network.in_shape), xs, plan=plan, truncate=truncate)
            return loss(outs[network.out])

        def loss(outs):
            return jnp.sum(jnp.sin(jnp.cumsum(outs, axis=0))), outs

        @eqx.filter_jit
        def everything(model):
            return [
                eqx.filter_grad(function, has_aux=True)(model)
                for function in (by_hand, *(lambda model, plan=plan: planned(model, plan) for plan in PLANS))
            ]

        (gradient, outs), *results = everything(model)
        assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
        for plan, (planned_gradient, planned_outs) in zip(PLANS, results, strict=True):
            np.testing.assert_allclose(planned_outs, outs, rtol=1e-9, atol=1e-9, err_msg=f"{plan}")
            for a, b in zip(jax.tree.leaves(planned_gradient), jax.tree.leaves(gradient), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8, err_msg=f"{plan}")
