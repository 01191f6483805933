"""Spiking LSTM and GRU are those of Equinox with a spike at the hidden potential, and remember for all sizes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose, between

import snnax.snn as snn

SIZES = [(3, 5), (5, 3), (4, 4)]


def inputs(steps, *shape):
    return 2.0 * jr.normal(jr.key(0), (steps, *shape))


def run(layer, xs):
    """Steps outside of any container: the outputs and the states."""
    state, outs, states = layer.init_state(xs.shape[1:]), [], []
    for x in xs:
        state, out = layer(state, x)
        outs.append(out)
        states.append(state)
    return jnp.stack(outs), jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def lstm_of(cell, **firing):
    """The spiking form of an `eqx.nn.LSTMCell`."""
    layer = snn.SpikingLSTM(cell.input_size, cell.hidden_size, key=jr.key(0), **firing)
    return eqx.tree_at(
        lambda m: (m.input.weight, m.input.bias, m.hidden.weight), layer, (cell.weight_ih, cell.bias, cell.weight_hh)
    )


def gru_of(cell, **firing):
    """The spiking form of an `eqx.nn.GRUCell`."""
    layer = snn.SpikingGRU(cell.input_size, cell.hidden_size, key=jr.key(0), **firing)
    return eqx.tree_at(
        lambda m: (m.input.weight, m.input.bias, m.hidden.weight, m.hidden.bias),
        layer,
        (cell.weight_ih, cell.bias, cell.weight_hh, jnp.concatenate([jnp.zeros(2 * cell.hidden_size), cell.bias_n])),
    )


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_an_lstm_equals_the_cell_of_equinox_with_a_spike_at_its_output(n, m):
    cell, xs = eqx.nn.LSTMCell(n, m, key=jr.key(1)), inputs(14, n)
    outs, states = run(lstm_of(cell), xs)
    h = c = jnp.zeros(m)
    for t, x in enumerate(xs):
        h, c = cell(x, (h, c))
        np.testing.assert_allclose(states.h[t], h, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(states.c[t], c, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(outs[t], h >= 0.1)
    assert 0 < outs.sum() < outs.size


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_a_gru_equals_the_cell_of_equinox_with_a_spike_at_its_output(n, m):
    cell, xs = eqx.nn.GRUCell(n, m, key=jr.key(1)), inputs(14, n)
    outs, states = run(gru_of(cell), xs)
    h = jnp.zeros(m)
    for t, x in enumerate(xs):
        h = cell(x, h)
        np.testing.assert_allclose(states.h[t], h, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(outs[t], h >= 0.1)
    assert 0 < outs.sum() < outs.size


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(driven, heard, h, c):
    i, f, g, o = np.split(driven + heard(h), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_by_hand(driven, heard, h, c):
    (r, z, n), (hr, hz, hn) = np.split(driven, 3), np.split(heard(h), 3)
    z = sigmoid(z + hz)
    return (1 - z) * np.tanh(n + sigmoid(r + hr) * hn) + z * h, c


RESETS = {
    "to a value": (snn.ResetToValue(-0.12), lambda h, s, theta: np.where(s, -0.12, h)),
    "by subtraction": (snn.SubtractReset(), lambda h, s, theta: h - theta * s),
    "not at all": (snn.NoReset(), lambda h, s, theta: h),
}


def by_hand(cell, drive, heard, after, theta, refractory, xs, shape):
    """The table of a cell in NumPy's float64: spikes, hidden potentials and memories."""
    h, c, resting, rows = np.zeros(shape), np.zeros(shape), np.zeros(shape, int), []
    for x in xs:
        integrated, c = cell(drive(x), heard, h, c)
        assert np.all(np.abs(integrated - theta) > 1e-5), "a table on the threshold says nothing"
        spike = (integrated >= theta) & (resting == 0)
        h = np.where(resting > 0, h, after(integrated, spike, theta))
        resting = np.where(spike, refractory, np.maximum(resting - 1, 0))
        rows.append((spike, h, c))
    return [np.stack(column) for column in zip(*rows, strict=True)]


def equals_the_table(layer, table, xs):
    outs, states = run(layer, xs)
    spikes, h, c = table
    np.testing.assert_array_equal(outs, spikes)
    np.testing.assert_allclose(states.h, h, rtol=1e-6, atol=1e-6)
    if hasattr(states, "c"):
        np.testing.assert_allclose(states.c, c, rtol=1e-6, atol=2e-6)
    assert 0 < outs.sum() < outs.size


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["SpikingLSTM", "SpikingGRU"])
def test_a_cell_equals_its_equations_in_numpy(kind, reset, refractory):
    make, cell = {
        "SpikingLSTM": (snn.SpikingLSTM, lstm_by_hand),
        "SpikingGRU": (snn.SpikingGRU, gru_by_hand),
    }[kind]
    reset, after = RESETS[reset]
    layer = make(3, 5, threshold=0.13, reset=reset, refractory=refractory, key=jr.key(2))
    w, u = (np.asarray(linear.weight, np.float64) for linear in (layer.input, layer.hidden))
    b = np.asarray(layer.input.bias, np.float64)
    d = 0.0 if layer.hidden.bias is None else np.asarray(layer.hidden.bias, np.float64)
    xs = inputs(14, 3)
    drive = np.asarray(xs, np.float64)
    table = by_hand(cell, lambda x: w @ x + b, lambda h: u @ h + d, after, 0.13, refractory, drive, (5,))
    equals_the_table(layer, table, xs)


def convolve(x, kernel, stride, padding):
    """A convolution (a correlation, as in deep learning) by loops over every output."""
    x = np.pad(x, [(0, 0), *padding])
    height, width = kernel.shape[2:]
    rows, columns = (x.shape[1] - height) // stride + 1, (x.shape[2] - width) // stride + 1
    out = np.zeros((kernel.shape[0], rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + height, j * stride : j * stride + width]
            out[:, i, j] = np.sum(kernel * window, axis=(1, 2, 3))
    return out


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "pads", "after_padding", "shape"),
    [
        (3, 1, "SAME", [(1, 1), (1, 1)], [(1, 1), (1, 1)], (3, 5, 4)),
        (3, 2, 1, [(1, 1), (1, 1)], [(1, 1), (1, 1)], (3, 3, 2)),
        (2, 1, 0, [(0, 0), (0, 0)], [(0, 1), (0, 1)], (3, 4, 3)),
    ],
)
def test_a_convolutional_lstm_equals_loops_over_its_windows(kernel, stride, padding, pads, after_padding, shape):
    layer = snn.SpikingConvLSTM2d(2, 3, kernel, stride, padding, reset=snn.SubtractReset(), key=jr.key(3))
    w, u = (np.asarray(conv.weight, np.float64) for conv in (layer.input, layer.hidden))
    b = np.asarray(layer.input.bias, np.float64)
    xs = inputs(12, 2, 5, 4)
    table = by_hand(
        lstm_by_hand,
        lambda x: convolve(x, w, stride, pads) + b,
        lambda h: convolve(h, u, 1, after_padding),
        RESETS["by subtraction"][1],
        0.1,
        0,
        np.asarray(xs, np.float64),
        shape,
    )
    equals_the_table(layer, table, xs)


def test_a_convolutional_lstm_on_one_pixel_is_an_lstm():
    conv = snn.SpikingConvLSTM2d(3, 5, 1, key=jr.key(4))
    lstm = eqx.tree_at(
        lambda m: (m.input.weight, m.input.bias, m.hidden.weight),
        snn.SpikingLSTM(3, 5, key=jr.key(5)),
        (conv.input.weight[:, :, 0, 0], conv.input.bias[:, 0, 0], conv.hidden.weight[:, :, 0, 0]),
    )
    xs = inputs(8, 3)
    outs, states = run(conv, xs[:, :, None, None])
    allclose((outs[:, :, 0, 0], states.h[:, :, 0, 0]), (run(lstm, xs)[0], run(lstm, xs)[1].h))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_a_cell_remembers_its_first_input_whatever_its_sizes(n, m):
    """snnTorch's SLSTM starts every step from zeros, unless its sizes are equal."""
    for layer in (snn.SpikingLSTM(n, m, False, key=jr.key(6)), snn.SpikingGRU(n, m, False, key=jr.key(6))):
        xs = jnp.zeros((6, n)).at[0].set(3.0)
        _, states = run(layer, xs)
        assert np.all(np.abs(states.h[-1]) > 1e-4)

        def last(xs, layer=layer):
            return jnp.sum(jnp.abs(layer.over_time(layer.init_state((n,)), xs)[0].h))

        of_steps = jnp.abs(jax.grad(last)(inputs(6, n))).sum(axis=1)
        assert np.all(of_steps > 1e-6)


def test_a_convolutional_lstm_remembers_its_first_input():
    layer = snn.SpikingConvLSTM2d(1, 2, 3, 2, use_bias=False, key=jr.key(6))
    _, states = run(layer, jnp.zeros((6, 1, 6, 5)).at[0].set(3.0))
    assert states.h.shape == (6, 2, 3, 3) and np.all(np.abs(states.h[-1]) > 1e-5)


def test_untrained_cells_fire_at_moderate_rates():
    layers = {
        (64,): [snn.SpikingLSTM(64, 128, key=jr.key(7)), snn.SpikingGRU(64, 128, key=jr.key(7))],
        (2, 8, 8): [snn.SpikingConvLSTM2d(2, 8, 3, key=jr.key(7))],
    }
    for shape, kinds in layers.items():
        for layer in kinds:
            for rate in (0.05, 0.5):
                xs = jr.bernoulli(jr.key(8), rate, (50, *shape)).astype(jnp.float32)
                _, outs = eqx.filter_jit(lambda layer, xs: layer.over_time(layer.init_state(xs.shape[1:]), xs))(
                    layer, xs
                )
                assert 0.01 < outs.mean() < 0.5


def dots(jaxpr):
    """The products of a jaxpr: how many outside of its loop over time, and how many inside."""
    outside = sum(equation.primitive.name == "dot_general" for equation in jaxpr.eqns)
    inside = 0
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for inner in jax.tree.leaves(value, is_leaf=lambda node: hasattr(node, "eqns") or hasattr(node, "jaxpr")):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    more_outside, more_inside = dots(inner)
                    if equation.primitive.name == "scan":
                        inside += more_outside + more_inside
                    else:
                        outside, inside = outside + more_outside, inside + more_inside
    return outside, inside


@pytest.mark.parametrize("kind", [snn.SpikingLSTM, snn.SpikingGRU])
def test_the_loop_holds_the_product_with_the_hidden_potential_and_no_other(kind):
    layer, xs = kind(3, 5, key=jr.key(9)), inputs(20, 3)
    arrays, static = eqx.partition(layer, eqx.is_array)

    def loss(arrays):
        layer = eqx.combine(arrays, static)
        return jnp.sum(layer.over_time(layer.init_state((3,)), xs)[1])

    assert dots(jax.make_jaxpr(loss)(arrays).jaxpr) == (1, 1)
    # Backward, a second loop turns errors into those of the step before; a plain scan would have a third product there.
    assert dots(jax.make_jaxpr(jax.grad(loss))(arrays).jaxpr)[1] == 2


def test_a_cell_in_a_cycle_of_a_graph_keeps_the_contract():
    graph = snn.Graph(
        {"cell": snn.SpikingLSTM(3, 4, key=jr.key(10)), "back": eqx.nn.Linear(4, 3, key=jr.key(11))},
        [("input", "cell"), ("cell", "back"), snn.Edge("back", "cell", delay=1)],
        outputs=("cell",),
    )
    snn.check_layer(graph, (3,), steps=5)


def test_states_are_float32_when_weights_and_activations_are_bfloat16():
    for layer in (snn.SpikingLSTM(3, 5, key=jr.key(0)), snn.SpikingGRU(3, 5, key=jr.key(0), refractory=1)):
        narrow = jax.tree.map(lambda a: a.astype(jnp.bfloat16) if eqx.is_inexact_array(a) else a, layer)
        state, out = jax.eval_shape(narrow, narrow.init_state((3,)), jax.ShapeDtypeStruct((3,), jnp.bfloat16))
        assert out.dtype == jnp.bfloat16 and state.h.dtype == jnp.float32


def test_wrong_arguments_are_refused_with_the_remedy():
    key = jr.key(0)
    never = r"`threshold` must be in \[0, 0.99\], got 1.0. The hidden potential .* lies between -1 and 1"
    for make in (
        lambda **firing: snn.SpikingLSTM(3, 5, key=key, **firing),
        lambda **firing: snn.SpikingGRU(3, 5, key=key, **firing),
        lambda **firing: snn.SpikingConvLSTM2d(3, 5, 3, key=key, **firing),
    ):
        name = type(make()).__name__
        with pytest.raises(ValueError, match=f"`snn.{name}`: {never}"):
            make(threshold=1.0)
        with pytest.raises(ValueError, match=f"`snn.{name}`: `threshold` must be in .0, inf., got 0.0"):
            make(threshold=0.0)
        with pytest.raises(TypeError, match=f"`snn.{name}` takes no 'spike_grad'. 'spike_grad' is `spike_fn` here"):
            make(spike_grad=None)
    for layer, shape, takes in (
        (snn.SpikingLSTM(3, 5, key=key), (4,), r"\(3,\), got \(4,\)"),
        (snn.SpikingGRU(3, 5, key=key), (3, 3), r"\(3,\), got \(3, 3\)"),
        (snn.SpikingConvLSTM2d(2, 5, 3, key=key), (3, 8, 8), r"\(2, height, width\), got \(3, 8, 8\)"),
    ):
        with pytest.raises(ValueError, match=f"it takes inputs of shape {takes}"):
            layer.init_state(shape)
    layer = snn.SpikingLSTM(3, 5, threshold=jnp.array([0.1, 0.2]), key=key)
    with pytest.raises(ValueError, match=r"`threshold` has the shape \(2,\), but .* shape \(5,\)"):
        layer.init_state((3,))
    layer = snn.SpikingLSTM(3, 5, key=key)
    with jax.numpy_dtype_promotion("standard"), pytest.raises(TypeError, match="real inputs, got complex64"):
        layer(layer.init_state((3,)), jnp.ones(3, jnp.complex64))


def test_initialisers_draw_one_threshold_for_each_output():
    assert snn.SpikingLSTM(3, 5, threshold=between(0.1, 0.2), key=jr.key(0)).threshold.shape == (5,)
    conv = snn.SpikingConvLSTM2d(3, 5, 3, threshold=between(0.1, 0.2), shape=(5, 1, 1), key=jr.key(0))
    assert conv.threshold.shape == (5, 1, 1)
    assert conv.init_state((3, 4, 4)).h.shape == (5, 4, 4)


@pytest.mark.peers
def test_an_lstm_equals_that_of_snntorch_where_that_remembers():
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    theirs = snntorch.SLSTM(4, 4, threshold=0.1)
    layer = snn.SpikingLSTM(4, 4, key=jr.key(0))
    weights = dict(theirs.lstm_cell.named_parameters())
    w, u, b, d = (
        jnp.asarray(weights[f"{kind}_{of}"].detach().numpy()) for kind in ("weight", "bias") for of in "ih hh".split()
    )
    layer = eqx.tree_at(lambda m: (m.input.weight, m.hidden.weight, m.input.bias), layer, (w, u, b + d))
    xs = inputs(12, 4)
    outs, states = run(layer, xs)
    syn, mem = theirs.init_slstm() if hasattr(theirs, "init_slstm") else theirs.reset_mem()
    for t, x in enumerate(np.asarray(xs)):
        spike, syn, mem = theirs(torch.tensor(x)[None], syn, mem)
        np.testing.assert_array_equal(outs[t], spike[0].detach().numpy())
        np.testing.assert_allclose(states.h[t], mem[0].detach().numpy(), rtol=1e-5, atol=1e-6)
    assert 0 < outs.sum() < outs.size


@pytest.mark.peers
def test_a_convolutional_lstm_equals_that_of_snntorch():
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    theirs = snntorch.SConv2dLSTM(2, 2, 3, threshold=0.1)
    weight, bias = (jnp.asarray(p.detach().numpy()) for p in (theirs.conv.weight, theirs.conv.bias))
    # Its gates come in the order i, f, o, g, and its kernel stacks the input and the hidden potential.
    order = [0, 1, 3, 2]
    weight, bias = (jnp.concatenate([jnp.split(p, 4)[i] for i in order]) for p in (weight, bias))
    layer = eqx.tree_at(
        lambda m: (m.input.weight, m.hidden.weight, m.input.bias),
        snn.SpikingConvLSTM2d(2, 2, 3, key=jr.key(0)),
        (weight[:, :2], weight[:, 2:], bias[:, None, None]),
    )
    xs = inputs(12, 2, 4, 5)
    outs, states = run(layer, xs)
    syn, mem = theirs.init_sconv2dlstm() if hasattr(theirs, "init_sconv2dlstm") else theirs.reset_mem()
    for t, x in enumerate(np.asarray(xs)):
        spike, syn, mem = theirs(torch.tensor(x)[None], syn, mem)
        np.testing.assert_array_equal(outs[t], spike[0].detach().numpy())
        np.testing.assert_allclose(states.h[t], mem[0].detach().numpy(), rtol=1e-5, atol=1e-6)
