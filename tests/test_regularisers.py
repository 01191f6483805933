"""Penalties on activity: what NumPy computes, nothing where activity is right, and gradients that lead there."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from helpers import allclose

import snnax.snn as snn
from snnax import functional

# Each with its definition in NumPy for one layer.
PENALTIES = {
    "l1_rate": (functional.l1_rate, lambda n: np.abs(n).mean()),
    "l2_rate": (functional.l2_rate, lambda n: (n**2).mean()),
    "upper_rate": (
        lambda rates: functional.upper_rate(rates, 0.6),
        lambda n: sum(max(0, one - 0.6) ** 2 for one in n.ravel()) / n.size,
    ),
    "lower_rate": (
        lambda rates: functional.lower_rate(rates, 0.6),
        lambda n: sum(max(0, 0.6 - one) ** 2 for one in n.ravel()) / n.size,
    ),
    "sparsity_penalty": (
        lambda rates: functional.sparsity_penalty(rates, 0.1),
        lambda n: max(0, n.mean() - 0.1) ** 2 / 2,
    ),
    "silence_penalty": (
        lambda rates: functional.silence_penalty(rates, 0.6),
        lambda n: (np.maximum(0, 0.6 - n.mean(0)) ** 2).mean(),
    ),
}
EACH = pytest.mark.parametrize("name", PENALTIES)


def some_rates():
    return {"hidden": jr.uniform(jr.key(0), (5, 7)), "maps": (None, jr.uniform(jr.key(1), (5, 2, 4, 4)))}


@EACH
def test_a_penalty_is_the_mean_over_neurons_summed_over_layers(name):
    penalty, of_layer = PENALTIES[name]
    rates = some_rates()
    layers = [np.asarray(n, np.float64) for n in jax.tree.leaves(rates)]
    expected = sum(of_layer(n) for n in layers)
    assert expected > 0
    allclose(penalty(rates), expected)
    allclose(jax.jit(penalty)(rates), expected)
    allclose(penalty(jax.tree.leaves(rates)[0]), of_layer(layers[0]))
    # As strong for layers of twice the width.
    allclose(penalty(jax.tree.map(lambda n: jnp.concatenate([n, n], 1), rates)), expected)


@EACH
def test_penalties_under_vmap_are_of_each_example(name):
    penalty, _ = PENALTIES[name]
    batch = jax.tree.map(lambda n: jnp.stack([n, 1 - n]), some_rates())
    one_by_one = jnp.stack([penalty(jax.tree.map(lambda n, i=i: n[i], batch)) for i in range(2)])
    allclose(jax.vmap(penalty)(batch), one_by_one)


@EACH
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_floating_dtypes_are_kept_and_counts_accepted(name, dtype):
    penalty, _ = PENALTIES[name]
    rates = some_rates()
    low = jax.tree.map(lambda n: n.astype(dtype), rates)
    assert penalty(low).dtype == dtype
    allclose(penalty(low), penalty(rates), rtol=2e-2)
    counts = jax.tree.map(lambda n: (5 * n).astype(jnp.int32), rates)
    assert penalty(counts).dtype == jnp.float32
    allclose(penalty(counts), penalty(jax.tree.map(lambda n: n.astype(jnp.float32), counts)))
    mixed = {"counts": counts["hidden"], "rates": low["hidden"]}
    assert penalty(mixed).dtype == dtype
    assert penalty(np.ones((2, 3), bool)).dtype == jnp.float32


def test_right_activity_costs_nothing_and_has_no_gradient():
    rates = jnp.full((4, 6), 0.3)
    for penalty in (
        lambda n: functional.upper_rate(n, 0.3),
        lambda n: functional.lower_rate(n, 0.3),
        lambda n: functional.silence_penalty(n, 0.3),
        lambda n: functional.sparsity_penalty(n, 0.31),
        lambda n: functional.l1_rate(0 * n),
        lambda n: functional.l2_rate(0 * n),
    ):
        assert penalty(rates) == 0
        np.testing.assert_array_equal(jax.grad(penalty)(rates), np.zeros((4, 6)))


@pytest.mark.parametrize(
    "name, sign",
    [
        ("l1_rate", 1),
        ("l2_rate", 1),
        ("upper_rate", 1),
        ("sparsity_penalty", 1),
        ("lower_rate", -1),
        ("silence_penalty", -1),
    ],
)
def test_gradients_lead_to_the_allowed_activity(name, sign):
    penalty, _ = PENALTIES[name]
    rates = jnp.full((4, 6), 0.9 if sign > 0 else 0.05)
    np.testing.assert_array_equal(np.sign(jax.grad(penalty)(rates)), np.full((4, 6), sign))


def test_silence_is_on_average_over_the_batch_and_sparsity_over_the_layer():
    alternating = jnp.eye(4)
    assert functional.silence_penalty(alternating, 0.25) == 0 < functional.lower_rate(alternating, 0.25)
    assert functional.sparsity_penalty(alternating, 0.25) == 0 < functional.upper_rate(alternating, 0.25)
    never = alternating.at[:, 2].set(0)
    allclose(functional.silence_penalty(never, 0.25), 0.25**2 / 4)


def test_the_norm_of_sparsity_may_be_chosen():
    counts = jnp.full((3,), 7.0)
    allclose(functional.sparsity_penalty(counts, 4.0), 3 - 0.5)
    allclose(functional.sparsity_penalty(counts, 4.0, norm=jnp.square), 9)
    allclose(functional.sparsity_penalty(counts, 4.0, norm=optax.log_cosh), np.log(np.cosh(3)))


def test_a_silent_network_is_made_to_fire_by_the_counts_that_a_collector_gives():
    model = snn.Sequential(snn.SimpleLIF(0.9))

    def penalty(drive):
        _, outs = model(model.init_state((3,)), jnp.broadcast_to(drive, (20, 3)), collect=snn.Sum())
        return functional.lower_rate(outs, 2.0)

    assert penalty(jnp.full(3, 0.05)) == 4
    assert bool((jax.grad(penalty)(jnp.full(3, 0.05)) < 0).all())


MESSAGES = [
    (
        ValueError,
        r"`functional.upper_rate`: `limit` must be in \[0, inf\), got -0.5",
        lambda: functional.upper_rate(jnp.ones(3), -0.5),
    ),
    (
        ValueError,
        r"`functional.l1_rate`: `rates` must hold one array at least and none that is empty, got the shapes \[\].",
        lambda: functional.l1_rate((None,)),
    ),
    (
        ValueError,
        r"`functional.l2_rate`: `rates` must hold one array at least .* got the shapes \[\(2,\), \(0, 3\)\].",
        lambda: functional.l2_rate([jnp.ones(2), jnp.ones((0, 3))]),
    ),
    (
        ValueError,
        r"`functional.silence_penalty`: `rates` must have the shape \(batch, ...\) in every layer, got \(\).",
        lambda: functional.silence_penalty(jnp.ones(()), 1.0),
    ),
    (
        TypeError,
        "`functional.lower_rate`: `rates` must be an array of real numbers or booleans, got .*str",
        lambda: functional.lower_rate(["hidden"], 1.0),
    ),
]


@pytest.mark.parametrize("error, message, call", MESSAGES, ids=[message[:50] for _, message, _ in MESSAGES])
def test_messages(unchecked, error, message, call):
    with pytest.raises(error, match=message):
        call()
