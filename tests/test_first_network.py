"""The network of the README: untrained it fires, neither silent nor saturated; and its decays are trained when given as
arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import snnax.snn as snn

RATES = (0.02, 0.1, 0.5)
STEPS = 20


def network(seed, decays=(0.95, 0.9, 0.95)):
    k1, k2, k3 = jr.split(jr.key(seed), 3)
    alpha, beta, readout = decays
    model = snn.Sequential(
        eqx.nn.Conv2d(2, 32, kernel_size=7, stride=2, key=k1),
        snn.LIF([alpha, beta]),
        snn.Flatten(),
        eqx.nn.Linear(32 * 13 * 13, 11, key=k2),
        snn.SimpleLI(readout),
    )
    return model, model.init_state((2, 32, 32), key=k3)


def noise(key, rate, steps=STEPS):
    return jr.bernoulli(key, rate, (steps, 2, 32, 32)).astype(jnp.uint8)


def firing_rates(seed):
    model, states = network(seed)

    @eqx.filter_jit
    def rate(model, xs):
        return jnp.mean(model(states, xs, collect={1: snn.Trains()})[1][1])

    return [float(rate(model, noise(jr.key(seed + 100), rate_in))) for rate_in in RATES]


def test_the_network_of_the_readme_fires_at_one_to_thirty_percent_untrained():
    rates = firing_rates(0)
    assert all(0.01 <= rate <= 0.3 for rate in rates), rates
    assert rates == sorted(rates)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_no_seed_is_an_untrained_network_silent_or_saturated(seed):
    rates = firing_rates(seed)
    assert all(0.01 <= rate <= 0.5 for rate in rates), rates


def test_decays_that_are_arrays_are_trained():
    model, states = network(0, (jnp.array(0.95), jnp.array(0.9), jnp.array(0.95)))
    xs = jnp.stack([noise(jr.key(i), rate, 8) for i, rate in enumerate((0.02, 0.2))])
    labels = jnp.array([0, 1])
    only_decays = jax.tree.map(lambda _: False, model)
    where = lambda m: (*m[1].decay_constants, m[4].decay_constants)  # noqa: E731
    params, static = eqx.partition(model, eqx.tree_at(where, only_decays, (True,) * 3))
    optimiser = optax.sgd(1e-3)

    def loss(params):
        _, outs = jax.vmap(eqx.combine(params, static), in_axes=(None, 0))(states, xs)
        return optax.softmax_cross_entropy_with_integer_labels(outs[-1].mean(1), labels).mean()

    @jax.jit
    def step(params, optimiser_state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, optimiser_state = optimiser.update(gradient, optimiser_state, params)
        return snn.project(optax.apply_updates(params, updates)), optimiser_state, value

    optimiser_state, trained, values = optimiser.init(params), params, []
    for _ in range(5):
        trained, optimiser_state, value = step(trained, optimiser_state)
        values.append(float(value))
    before, after = np.array(jax.tree.leaves(params)), np.array(jax.tree.leaves(trained))
    assert len(before) == 3 and np.all(before != after) and np.all((after > 0) & (after < 1)), after
    assert values[-1] < values[0], values
