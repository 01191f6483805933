"""The loops of neurons that rest, adapt or are reset in other ways compute what the scan of their steps does."""

import dataclasses

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals
from kernel_helpers import a, close, compiled, everything

import snnax._kernels._loop as loop
import snnax._kernels._spiking_loop as spiking_loop
from snnax import _kernels, snn
from snnax.functional import surrogate


@pytest.fixture(autouse=True)
def for_small_arrays_too(monkeypatch):
    monkeypatch.setattr(loop, "SMALL", 0)


RESETS = {
    "value": snn.ResetToValue(a(-0.1)),
    "subtract": snn.SubtractReset(),
    "delayed": snn.DelayedSubtractReset(),
    "none": snn.NoReset(),
    "value, attached": snn.ResetToValue(a(0.2), stop_gradient=False),
    "subtract, attached": snn.SubtractReset(stop_gradient=False),
    "delayed, attached": snn.DelayedSubtractReset(stop_gradient=False),
}
LAYERS = {
    "SimpleLIF": lambda **firing: snn.SimpleLIF(
        jnp.linspace(0.0, 1.0, 6),
        gain=a(0.8),
        rest=a(0.1),
        threshold=jnp.linspace(0.6, 1.0, 6),
        spike_fn=surrogate.SuperSpike(a(5.0)),
        **firing,
    ),
    "LIF": lambda **firing: snn.LIF([a(0.9), a(0.8)], gain=snn.UnityGain(), threshold=0.3, **firing),
    "SimpleIAF": lambda **firing: snn.SimpleIAF(gain=a(0.5), leak=a(0.05), **firing),
    "IAF, numbers": lambda **firing: snn.IAF(0.7, gain=0.3, spike_fn=surrogate.ArcTan(3.0), **firing),
    "ALIF": lambda **firing: snn.ALIF(
        jnp.linspace(0.5, 1.0, 6),
        ada_decay_constant=a(0.8),
        ada_coupling_var=jnp.linspace(0.5, 2.0, 6),
        gain=a(0.9),
        rest=a(0.1),
        threshold=a(0.7),
        spike_fn=surrogate.SuperSpike(a(5.0)),
        init_fn=a(0.3),
        **firing,
    ),
    "ALIF, numbers": lambda **firing: snn.ALIF(0.9, ada_coupling_var=0.6, spike_fn=surrogate.Triangular(), **firing),
    "AdaptiveLIF": lambda **firing: snn.AdaptiveLIF(
        jnp.linspace(0.5, 1.0, 6),
        ada_decay_constant=a(0.7),
        ada_step_val=a(0.4),
        ada_coupling_var=a(-0.3),
        gain=snn.UnityGain(),
        rest=a(0.05),
        threshold=a(0.3),
        spike_fn=surrogate.SuperSpike(a(5.0)),
        **firing,
    ),
    "AdaptiveLIF, numbers": lambda **firing: snn.AdaptiveLIF(0.9, gain=0.6, ada_step_val=0.5, **firing),
}


def is_plain(layer):
    adapts, reset = isinstance(layer, snn.ALIF | snn.AdaptiveLIF), layer.reset
    return not (adapts or layer.refractory or isinstance(reset, snn.DelayedSubtractReset) or not reset.stop_gradient)


@compiled
@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", LAYERS)
def test_the_loop_of_every_neuron_equals_its_scan(name, reset, refractory):
    layer = LAYERS[name](reset=RESETS[reset], refractory=refractory)
    if is_plain(layer):
        pytest.skip("that of test_kernels.py")
    x, state = jr.normal(jr.key(0), (3, 20, 6)) + 0.5, layer.init_state((6,))
    with_kernels, without = everything(layer, state, x, True), everything(layer, state, x, False)
    spikes = without[0][1]
    assert 0 < jnp.sum(spikes) < spikes.size
    np.testing.assert_array_equal(with_kernels[0][1], spikes)
    close(with_kernels, without, 5e-4)
    assert "snnax_spiking_loop" in traced(layer, x[0])


def traced(layer, xs):
    return str(jax.make_jaxpr(layer.over_time)(layer.init_state(xs.shape[1:]), xs))


SURROGATES = [
    surrogate.SuperSpike(a(4.0)),
    surrogate.Sigmoid(3.0),
    surrogate.Triangular(),
    surrogate.ArcTan(a(2.0)),
]


@compiled
@hypothesis.given(
    neuron=st.sampled_from([snn.SimpleLIF, snn.ALIF, snn.AdaptiveLIF]),
    reset=st.sampled_from(list(RESETS)),
    refractory=st.integers(0, 3),
    spike_fn=st.sampled_from(SURROGATES),
    shape=st.sampled_from([(1,), (2, 3), (33,), (1030,)]),
    steps=st.integers(1, 9),
    decay=st.sampled_from([0.0, 0.7, 1.0]),
    threshold=st.sampled_from([0.2, 1.0]),
    seed=st.integers(0, 99),
)
@hypothesis.settings(max_examples=20, deadline=None)
def test_neurons_of_any_shape_equal_their_scan(
    neuron, reset, refractory, spike_fn, shape, steps, decay, threshold, seed
):
    k1, k2, k3 = jr.split(jr.key(seed), 3)
    firing = dict(reset=RESETS[reset], refractory=refractory, spike_fn=spike_fn, threshold=a(threshold))
    layer = neuron(a(decay), init_fn=jr.normal, **firing)
    x, state = jr.normal(k1, (2, steps, *shape)), layer.init_state(shape, k2)
    if refractory:
        resting = jr.randint(k3, shape, 0, refractory + 1)
        state = eqx.tree_at(lambda state: state.countdown, state, resting)
    close(everything(layer, state, x, True), everything(layer, state, x, False), 1e-3)


@compiled
@hypothesis.given(
    kind=st.sampled_from(list(_kernels.Kind)),
    refractory=st.sampled_from([0, 3]),
    adapts=st.booleans(),
    shape=st.tuples(st.integers(0, 3), st.integers(1, 9), st.sampled_from([1, 5, 64, 1025])),
    shared=st.tuples(*[st.booleans()] * 4),
    seed=st.integers(0, 99),
)
@hypothesis.settings(max_examples=20, deadline=None)
def test_the_compiled_loops_equal_their_twins_and_each_others_transpose(kind, refractory, adapts, shape, shared, seed):
    examples, steps, n = shape
    keys = jr.split(jr.key(seed), 20)
    rows = [jr.uniform(key, (1, n)) for key in keys[:10]]
    v, given = jr.normal(keys[10], (examples, n)), jr.uniform(keys[11], (examples, n))
    options = {"reset": int(kind), "refractory": refractory, "adapts": adapts}
    countdown = jr.randint(keys[12], (1, n), 0, refractory + 1)
    args = jr.normal(keys[13], shape), v, given if adapts else 0 * given, countdown, *rows[:5]
    args += tuple(rows[5:]) if adapts else (jnp.zeros((1, n)),) * 5
    got = jax.jit(lambda *args: spiking_loop._spiking.bind(*args, **options))(*args)
    expected = spiking_loop.plain_spiking(*args, **options)
    close([one.astype(jnp.float32) for one in got], [one.astype(jnp.float32) for one in expected])

    factors = [jr.normal(key, (1, 1, n) if one else shape) for key, one in zip(keys[14:18], shared, strict=True)]
    u, w, others = args[0], jr.normal(keys[18], shape), jr.normal(keys[19], (examples, n))
    outs = []
    for backwards, u_and_first in ((False, (u, given)), (True, (w, others))):
        loop = jax.jit(lambda *args, b=backwards: spiking_loop._coupled.bind(*args, backwards=b))
        outs.append(loop(*u_and_first, *factors))
        close(outs[-1], spiking_loop.plain_coupled(*u_and_first, *factors, backwards=backwards), 1e-4)
    (z, last), (back, first) = outs
    forth = float(jnp.sum(z * w) + jnp.sum(last * others))
    size = float(jnp.sum(jnp.abs(z * w)) + jnp.sum(jnp.abs(last * others)))
    assert forth == pytest.approx(float(jnp.sum(back * u) + jnp.sum(first * given)), abs=1e-4 * size)


def network():
    return snn.Sequential(
        eqx.nn.Linear(40, 64, key=jr.key(0)),
        snn.ALIF(a(0.9), gain=0.5, threshold=0.5, reset=snn.SubtractReset(), refractory=1),
        eqx.nn.Linear(64, 64, key=jr.key(1)),
        snn.AdaptiveLIF(0.9, gain=0.5, threshold=0.5, ada_step_val=a(0.3)),
        eqx.nn.Linear(64, 64, key=jr.key(2)),
        snn.LIF([0.8, 0.7], threshold=0.5, reset=snn.DelayedSubtractReset()),
    )


@compiled
@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.Chunked(7)], ids=str)
def test_a_network_computes_the_same_with_and_without_kernels_under_every_plan(plan):
    model, xs = network(), (jr.uniform(jr.key(3), (4, 30, 40)) < 0.2).astype(jnp.float32)
    states = model.init_state((40,))

    def loss(model, plan):
        outs = jax.vmap(lambda x: model(states, x, plan=plan)[1])(xs)
        return jnp.mean((outs[-1] - 0.1) ** 2), outs

    grad = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))
    got = grad(model, plan)
    for train in got[0][1][1::2]:
        assert 0.02 < np.mean(train) < 0.9
    for other in (dataclasses.replace(plan, kernels=False), snn.StepByStep()):
        expected = grad(model, other)
        for i in (1, 3, 5):
            np.testing.assert_array_equal(got[0][1][i], expected[0][1][i])
        close(got, expected, 1e-4)


@compiled
def test_a_spike_differs_only_where_the_potential_is_within_rounding_of_the_threshold():
    x = jr.normal(jr.key(0), (400, 64))
    plain = snn.ALIF(0.95, gain=0.5, ada_decay_constant=0.9, ada_coupling_var=0.7, reset=snn.SubtractReset())
    with _kernels.using(True):
        _, got = jax.jit(plain.over_time)(plain.init_state((64,)), x)
    v, adaptation = np.zeros(64), np.zeros(64)
    for t in range(400):  # in float64, with the spikes that were given
        v, threshold = 0.95 * v + 0.5 * np.asarray(x[t], np.float64), 1 + 0.7 * adaptation
        away, spike = np.abs(v - threshold) > 1e-5, np.asarray(got[t])
        np.testing.assert_array_equal(spike[away], (v >= threshold)[away])
        v, adaptation = v - spike * threshold, 0.9 * adaptation + 0.1 * spike
    assert 100 < np.sum(got) < 20_000


@compiled
def test_the_backward_pass_keeps_two_numbers_for_each_neuron_and_step_at_most(capsys):
    layer, xs = snn.ALIF(0.9), jnp.zeros((50, 7))
    print_saved_residuals(lambda xs: jnp.sum(layer.over_time(layer.init_state((7,)), xs)[1]), xs)
    kept = [line for line in capsys.readouterr().out.splitlines() if "50,7]" in line]
    assert 1 <= len(kept) <= 2, kept


class Doubled(snn.SimpleLIF):
    def __call__(self, state, x, *, key=None):
        return super().__call__(state, 2 * x, key=key)


class Raised(snn.ALIF):
    def fire(self, v, previous, countdown, *, threshold=None, key=None):
        return super().fire(v - 0.5, previous, countdown, threshold=threshold, key=key)


class Integrator(snn.SimpleLI):
    def __call__(self, state, x, *, key=None):
        return super().__call__(state, 2 * x, key=key)


class Both(snn.SimpleLIF):
    def __call__(self, state, x, *, key=None):
        return super().__call__(state, 2 * x, key=key)

    def over_time(self, state, xs, *, keys=None):
        return super().over_time(state, xs, keys=keys)


CHANGED = [Doubled(0.9), Raised(0.9), Integrator(0.9), Both(0.9)]


@compiled
@pytest.mark.parametrize("layer", CHANGED, ids=lambda layer: type(layer).__name__)
def test_what_changes_a_step_keeps_to_the_scan_of_it(layer):
    assert "snnax_" not in traced(layer, jnp.ones((5, 3)))


@compiled
def test_what_changes_nothing_of_a_step_keeps_the_kernel():
    class Named(snn.ALIF):
        name: str = "mine"

    assert "snnax_spiking_loop" in traced(Named(0.9), jnp.ones((5, 3)))


@compiled
def test_other_dtypes_and_surrogates_keep_to_the_scan():
    for spike_fn in (surrogate.MultiLevel(2), surrogate.Relaxed(surrogate.Sigmoid())):
        assert "snnax_" not in traced(snn.ALIF(0.9, spike_fn=spike_fn), jnp.ones((5, 3)))
    for dtype in (jnp.bfloat16, jnp.float16):
        assert "snnax_" not in traced(snn.AdaptiveLIF(0.9, refractory=1), jnp.ones((5, 3), dtype))
