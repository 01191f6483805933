"""`Residual`, `Parallel`, `Recurrent` and `Delay` against what they are made of, by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn


def run(layer, xs):
    model = snn.Sequential(layer)
    return model(model.init_state(xs.shape[1:]), xs)[1][0]


def train_of(layer, xs):
    """The outputs of a layer, called step by step."""
    state, outs = layer.init_state(xs.shape[1:]), []
    for x in xs:
        state, out = layer(state, x)
        outs.append(out)
    return jnp.stack(outs)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (2, 4, 4)])
def test_bug_19_recurrence_equals_the_unrolled_computation_on_any_rank(getkey, shape):
    linear = eqx.nn.Linear(4, 4, key=getkey())
    conv = eqx.nn.Conv2d(2, 2, 3, padding=1, key=getkey())
    synapse = linear if len(shape) == 1 else conv
    neuron = snn.LIF([0.9, 0.8])
    xs = jr.normal(getkey(), (6, *shape))
    state, out, outs = neuron.init_state(shape), jnp.zeros(shape), []
    for x in xs:
        state, out = neuron(state, x + synapse(out))
        outs.append(out)
    assert 0 < np.mean(outs) < 1
    close(run(snn.Recurrent(neuron, synapse), xs), jnp.stack(outs))


def test_bug_20_recurrent_weights_change_the_output(getkey):
    xs = 1 + jr.normal(getkey(), (8, 5))
    silent = run(snn.Recurrent(snn.SimpleLIF(0.9), 0.0), xs)
    close(silent, run(snn.SimpleLIF(0.9), xs))
    inhibited = run(snn.Recurrent(snn.SimpleLIF(0.9), jnp.full((5,), -2.0)), xs)
    assert inhibited.sum() < silent.sum()


def test_the_bias_of_a_recurrent_synapse_acts_in_the_first_step():
    synapse = eqx.tree_at(
        lambda s: (s.weight, s.bias), eqx.nn.Linear(1, 1, key=jr.key(0)), (jnp.zeros((1, 1)), jnp.ones(1))
    )
    assert run(snn.Recurrent(snn.SimpleLIF(0.9), synapse), jnp.zeros((1, 1)))[0, 0] == 1


def test_a_residual_adds_its_input_and_a_parallel_its_branches(getkey):
    xs = jr.normal(getkey(), (6, 3))
    neuron, linear = snn.SimpleLIF(0.7), eqx.nn.Linear(3, 3, key=getkey())
    spikes, straight = train_of(neuron, xs), jax.vmap(linear)(xs)
    close(run(snn.Residual(neuron), xs), spikes + xs)
    close(run(snn.Residual(neuron, shortcut=linear), xs), spikes + straight)
    close(run(snn.Parallel(neuron, linear), xs), spikes + straight)
    both = run(snn.Parallel(neuron, linear, merge=snn.Concatenate()), xs)
    close(both, jnp.concatenate([spikes, straight], axis=1))


@pytest.mark.parametrize("delay", [0, 1, 3, [0, 2, 5], np.array([1, 1, 0])])
def test_a_delay_gives_what_came_so_many_steps_ago(getkey, delay):
    xs = jr.normal(getkey(), (7, 3))
    delays = np.broadcast_to(delay, 3)
    expected = np.stack([[xs[t - d, c] if t >= d else 0.0 for c, d in enumerate(delays)] for t in range(7)])
    close(run(snn.Delay(delay), xs), expected)
    close(train_of(snn.Delay(delay), xs), expected)


def test_a_trained_delay_interpolates_and_its_gradient_is_the_difference(getkey):
    xs = jr.normal(getkey(), (6, 2))

    def total(delay):
        return jnp.sum(run(snn.Delay(delay, max_delay=4), xs) * jnp.cos(jnp.arange(12.0)).reshape(6, 2))

    delay = jnp.array([1.25, 2.0])
    outs = run(snn.Delay(delay, max_delay=4), xs)
    close(outs[5], [0.75 * xs[4, 0] + 0.25 * xs[3, 0], xs[3, 1]])
    nudge = 1e-2
    numeric = (total(delay.at[0].add(nudge)) - total(delay.at[0].add(-nudge))) / (2 * nudge)
    np.testing.assert_allclose(jax.grad(total)(delay)[0], numeric, rtol=1e-3)


def test_a_trained_delay_is_held_between_zero_and_the_longest():
    layer = snn.Delay(jnp.array([1.0, 2.0]), max_delay=3)
    strayed = eqx.tree_at(lambda m: m.delay, layer, jnp.array([-1.0, 7.0]))
    np.testing.assert_array_equal(snn.project(strayed).delay, [0.0, 3.0])
    xs = jnp.arange(10.0).reshape(5, 2)
    close(run(strayed, xs), run(snn.Delay([0, 3]), xs))


def test_delayed_feature_maps_take_a_delay_for_each_channel(getkey):
    xs = jr.normal(getkey(), (4, 2, 3, 3))
    outs = run(snn.Delay(np.array([0, 2]).reshape(2, 1, 1)), xs)
    close(outs[3], jnp.stack([xs[3, 0], xs[1, 1]]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: snn.Delay(-1), r"`delay` must be in \[0, "),
        (lambda: snn.Delay(jnp.array([5.0]), max_delay=3), "`max_delay=3`"),
        (lambda: snn.Delay("a"), "whole numbers or a floating array"),
        (lambda: snn.Parallel(), "one by one"),
        (lambda: snn.Parallel(snn.Flatten(), merge="sum"), "`snn.Add\\(\\)` or `snn.Concatenate"),
        (lambda: snn.Recurrent(snn.Flatten, 1.0), "the neuron is the class `Flatten`"),
        (lambda: snn.Recurrent(snn.SimpleLIF(0.9), jnp.array([1])), "`synapse` must be a number"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, message, unchecked):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_shapes_that_do_not_fit_are_refused(getkey):
    wide = eqx.nn.Linear(3, 4, key=getkey())
    with pytest.raises(
        ValueError, match=r"map the neurons' output of shape \(3,\) to the shape of the input, \(3,\).*\(4,\)"
    ):
        snn.Recurrent(snn.SimpleLIF(0.9), wide).init_state((3,))
    with pytest.raises(ValueError, match=r"branches have the shapes \[\(4,\), \(3,\)\]"):
        snn.Residual(wide).init_state((3,))
    with pytest.raises(ValueError, match=r"`delay` has the shape \(2,\)"):
        snn.Delay([1, 2]).init_state((3,))
    with pytest.raises(ValueError, match=r"has the shape \(2,\)"):
        snn.Recurrent(snn.SimpleLIF(0.9), jnp.ones(2)).init_state((3,))
