"""Max pooling by traces against a loop over windows, and what it is for: the rate of the neuron that fires most."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose, per_channel, spikes_like

import snnax.snn as snn


def by_hand(xs, kernel, stride, padding, decay):
    """`(time, channels, *space)`, in any number of dimensions, one window at a time."""
    xs = np.asarray(xs, np.float64)
    trace = np.zeros(xs.shape[1:])
    decay = np.broadcast_to(np.asarray(decay, np.float64), trace.shape)
    geometry = zip(xs.shape[2:], kernel, stride, padding, strict=True)
    sizes = [(n + low + high - k) // s + 1 for n, k, s, (low, high) in geometry]
    outs = []
    for x in xs:
        trace = decay * trace + x
        out = np.zeros((xs.shape[1], *sizes))
        for channel in range(xs.shape[1]):
            for window in np.ndindex(*sizes):
                best, passing = -np.inf, 0.0
                for place in np.ndindex(*kernel):
                    where = tuple(w * s + i - p[0] for w, s, i, p in zip(window, stride, place, padding, strict=True))
                    inside = all(0 <= i < m for i, m in zip(where, x.shape[1:], strict=True))
                    if inside and trace[(channel, *where)] > best:
                        best, passing = trace[(channel, *where)], x[(channel, *where)]
                out[(channel, *window)] = passing
        outs.append(out)
    return np.stack(outs)


CASES = {
    "1d": (snn.TraceMaxPool1d, (2, 7), {"kernel_size": 3, "stride": 2}, 0.8),
    "1d, padded": (snn.TraceMaxPool1d, (1, 6), {"kernel_size": 4, "stride": 3, "padding": 2}, 1.0),
    "2d": (snn.TraceMaxPool2d, (2, 6, 4), {"kernel_size": 2, "stride": 2}, 0.9),
    "2d, overlapping, of one side": (
        snn.TraceMaxPool2d,
        (1, 5, 6),
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": ((0, 1), (1, 0))},
        0.7,
    ),
    "2d, a decay of zero": (snn.TraceMaxPool2d, (2, 4, 4), {"kernel_size": 2, "stride": 2}, 0.0),
    "2d, a decay of one half": (snn.TraceMaxPool2d, (2, 4, 4), {"kernel_size": 2, "stride": 2}, 0.5),
}


@pytest.mark.parametrize("case", CASES)
def test_each_window_passes_the_input_of_the_largest_trace(case, getkey):
    kind, shape, window, decay = CASES[case]
    xs = spikes_like(getkey(), (15, *shape), 0.4)
    layer = kind(**window, decay_constant=decay)
    model = snn.Sequential(layer)
    expected = by_hand(xs, layer.pool.kernel_size, layer.pool.stride, layer.pool.padding, decay)
    for plan in PLANS:
        _, (out,) = model(model.init_state(shape), xs, plan=plan)
        np.testing.assert_array_equal(out, expected)
    assert 0 < np.mean(expected) < 1
    # What any input of the window gives in a step would be more, but for decays up to one half.
    any_of_them = by_hand(xs, layer.pool.kernel_size, layer.pool.stride, layer.pool.padding, 0.0)
    assert np.any(expected < any_of_them) == (decay > 0.5)


def test_padding_passes_nothing_even_where_spikes_are_negative(getkey):
    xs = jr.randint(getkey(), (15, 2, 5), -1, 1).astype(jnp.float32)
    model = snn.Sequential(snn.TraceMaxPool1d(2, 2, 1, decay_constant=0.9))
    _, (out,) = model(model.init_state((2, 5)), xs)
    np.testing.assert_array_equal(out, by_hand(xs, (2,), (2,), ((1, 1),), 0.9))
    np.testing.assert_array_equal(out[:, :, 0], xs[:, :, 0])


def test_decays_may_differ_between_channels(getkey):
    xs = spikes_like(getkey(), (15, 2, 4, 4), 0.4)
    decays = per_channel(1.0, 0.3)
    model = snn.Sequential(snn.TraceMaxPool2d(2, 2, decay_constant=snn.Fixed(decays)))
    _, (out,) = model(model.init_state((2, 4, 4)), xs)
    np.testing.assert_array_equal(out, by_hand(xs, (2, 2), (2, 2), ((0, 0),) * 2, decays))
    with pytest.raises(ValueError, match="`decay_constant` has the shape"):
        model.init_state((3, 4, 4))


def test_the_train_becomes_that_of_the_neuron_that_fires_most(getkey):
    rates = jnp.array([0.1, 0.3, 0.6, 0.2]).reshape(1, 4)
    xs = jr.bernoulli(getkey(), rates, (400, 1, 4)).astype(jnp.float32)
    model = snn.Sequential(snn.TraceMaxPool1d(4, 4, decay_constant=1.0))
    _, (out,) = model(model.init_state((1, 4)), xs)
    np.testing.assert_array_equal(out[100:, 0, 0], xs[100:, 0, 2])
    # Max pooling of the steps fires whenever anybody does.
    assert np.mean(jnp.max(xs, axis=-1)) > 0.75 > np.mean(out)


def test_the_gradient_goes_to_what_passes(getkey):
    xs = spikes_like(getkey(), (15, 1, 4, 4), 0.4)
    model = snn.Sequential(snn.TraceMaxPool2d(2, 2, decay_constant=0.9))
    states = model.init_state((1, 4, 4))

    def total(xs):
        return jnp.sum(model(states, xs)[1][0])

    gradient = np.asarray(jax.grad(total)(xs))
    blocks = gradient.reshape(15, 2, 2, 2, 2).sum((2, 4))
    np.testing.assert_array_equal(blocks, np.ones((15, 2, 2)))
    assert np.sum(gradient * np.asarray(xs)) == total(xs)


def test_the_dtype_of_the_input_is_kept_and_the_trace_is_float32():
    model = snn.Sequential(snn.TraceMaxPool1d(2, 2, decay_constant=0.999))
    states, (out,) = model(model.init_state((1, 4)), jnp.ones((300, 1, 4), jnp.bfloat16))
    assert out.dtype == jnp.bfloat16 and states.layers[0].trace.dtype == jnp.float32
    expected = (1 - 0.999**300) / (1 - 0.999)
    allclose(states.layers[0].trace, jnp.full((1, 4), expected), rtol=1e-4)


def test_wrong_decays_and_inputs_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"`snn.TraceMaxPool1d`: `decay_constant` must be in \[0, 1\], got 1.5"):
        snn.TraceMaxPool1d(2, decay_constant=1.5)
    with pytest.raises(TypeError, match="`snn.TraceMaxPool2d`: `decay_constant` must be a number or a `snn.Fixed`"):
        snn.TraceMaxPool2d(2, decay_constant=jnp.array(0.5))
    with pytest.raises(ValueError, match=r"`snn.TraceMaxPool2d` takes \(channels, size, size\), got .*\(2, 4\)"):
        snn.Sequential(snn.TraceMaxPool2d(2, decay_constant=0.5)).init_state((2, 4))


def test_it_stands_where_other_pooling_stands(getkey):
    """The same shapes as the pooling of Equinox, whatever the window."""
    for window in ({"kernel_size": 3, "stride": 2}, {"kernel_size": 2}, {"kernel_size": 3, "stride": 3, "padding": 1}):
        other = snn.Sequential(eqx.nn.MaxPool2d(**window))
        mine = snn.Sequential(snn.TraceMaxPool2d(**window, decay_constant=0.9))
        x = spikes_like(getkey(), (1, 2, 7, 8))
        shapes = [model(model.init_state((2, 7, 8)), x)[1][0].shape for model in (mine, other)]
        assert shapes[0] == shapes[1]
