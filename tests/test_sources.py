"""Sources fire by themselves: at their rates, or as they are told."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn


def test_a_poisson_source_fires_at_its_rates():
    rates = jnp.array([0.0, 0.02, 0.3, 0.9, 1.0])
    model = snn.Sequential(snn.PoissonSource(snn.Fixed(rates)))
    steps = 20_000
    _, (outs,) = eqx.filter_jit(model)(model.init_state((2,)), jnp.zeros((steps, 2)), jr.key(0))
    assert outs.shape == (steps, 5) and set(np.unique(outs)) == {0.0, 1.0}
    found = outs.mean(axis=0)
    deviation = np.sqrt(rates * (1 - rates) / steps)
    assert np.all(np.abs(found - rates) <= 4 * deviation)
    third = np.asarray(outs[:, 2])
    assert np.corrcoef(third[1:], third[:-1])[0, 1] == pytest.approx(0, abs=0.03)
    assert np.corrcoef(third, outs[:, 3])[0, 1] == pytest.approx(0, abs=0.03)


def test_another_key_makes_other_spikes_and_the_input_makes_none():
    model = snn.Sequential(snn.PoissonSource(0.5, (30,)))
    states = model.init_state((2,))
    run = eqx.filter_jit(lambda xs, key: model(states, xs, key)[1][0])
    zeros = jnp.zeros((4, 2))
    np.testing.assert_array_equal(run(zeros, jr.key(0)), run(zeros + 3, jr.key(0)))
    assert np.any(run(zeros, jr.key(0)) != run(zeros, jr.key(1)))
    assert np.any(run(zeros, jr.key(0))[0] != run(zeros, jr.key(0))[1])
    assert run(zeros.astype(jnp.bfloat16), jr.key(0)).dtype == jnp.bfloat16


def test_the_gradient_in_a_trained_rate_is_that_of_the_mean():
    weights = jnp.array([1.0, -2.0, 0.5])

    def loss(rate):
        source = snn.PoissonSource(rate, (3,))
        return jnp.sum(weights * source(jnp.zeros(()), key=jr.key(0)))

    np.testing.assert_allclose(jax.grad(loss)(jnp.array([0.2, 0.5, 0.9])), weights)
    assert float(jax.grad(loss)(jnp.array(0.3))) == pytest.approx(-0.5)
    fixed = jax.grad(lambda rate: loss(snn.Fixed(rate)))(jnp.array(0.3))
    assert fixed == 0


@pytest.mark.parametrize("plan", [snn.StepByStep(), snn.LayerByLayer(), snn.Chunked(3)])
def test_sources_drive_the_neurons_of_a_graph_without_input(plan):
    train = (jnp.arange(8) % 3 == 0).reshape(8, 1) & jnp.ones((1, 4), bool)
    net = snn.Graph(
        {
            "noise": snn.PoissonSource(0.5, (4,)),
            "played": snn.SpikeSource(train),
            "lif": snn.SimpleLIF(0.0, threshold=1.5),
        },
        [("input", "noise"), ("input", "played"), ("noise", "lif"), ("played", "lif")],
        outputs=("lif",),
    )
    _, outs = eqx.filter_jit(net)(net.init_state((1,)), jnp.zeros((10, 1)), jr.key(3), plan=plan)
    np.testing.assert_array_equal(outs["played"][:8], train)
    np.testing.assert_array_equal(outs["played"][8:], 0)
    np.testing.assert_array_equal(outs["lif"], outs["noise"] * outs["played"])
    assert 0 < outs["lif"].sum() < outs["noise"].sum()


def test_a_train_goes_on_where_a_stream_is_cut_and_is_silent_after_its_end():
    train = jr.uniform(jr.key(0), (5, 2, 3))
    model = snn.Sequential(snn.SpikeSource(snn.Fixed(train)))
    states = model.init_state((7,))
    states, (head,) = model(states, jnp.zeros((3, 7)))
    states, (tail,) = model(states, jnp.zeros((4, 7)))
    np.testing.assert_array_equal(jnp.concatenate([head, tail]), jnp.concatenate([train, jnp.zeros((2, 2, 3))]))


def test_a_floating_train_is_trained_and_others_are_not():
    for train, dtype in ((np.ones((4, 2), np.uint8), jnp.uint8), (np.ones((4, 2), bool), jnp.bool_)):
        source = snn.SpikeSource(train)
        assert source.train.dtype == dtype and not any(jax.tree.leaves(snn.trainable(source)))
        _, out = source(source.init_state((1,)), jnp.zeros(1, jnp.bfloat16))
        assert out.dtype == jnp.bfloat16 and np.all(out == 1)

    def loss(train):
        source = snn.SpikeSource(train)
        _, outs = source.over_time(source.init_state(()), jnp.zeros(3))
        return jnp.sum(outs * jnp.array([[1.0], [2.0], [3.0]]))

    np.testing.assert_array_equal(jax.grad(loss)(jnp.ones((4, 1))), [[1.0], [2.0], [3.0], [0.0]])


def test_what_makes_no_source_is_refused(unchecked):
    for make, error, message in (
        (lambda: snn.PoissonSource(1.5, (3,)), ValueError, r"`rate` must be in \[0, 1\], got 1\.5.*`rate \* dt`"),
        (lambda: snn.PoissonSource(jnp.full((3,), 0.5), (4,)), ValueError, r"shape \(3,\) does not fit .* \(4,\)"),
        (lambda: snn.PoissonSource(jnp.full((3, 4), 0.5), (4,)), ValueError, r"\(3, 4\) does not fit .* \(4,\)"),
        (lambda: snn.PoissonSource(0.5, 4), ValueError, "`shape` must be a tuple of sizes"),
        (lambda: snn.PoissonSource(0.5, (4,))(jnp.zeros(1)), ValueError, "draws its spikes and needs a key"),
    ):
        with pytest.raises(error, match=rf"(?s)`snn\.PoissonSource`.*{message}"):
            make()
    for wrong in ([1, 0, 1], jnp.ones(()), jnp.ones((0, 3)), 1.0):
        with pytest.raises(
            TypeError, match=r"`snn\.SpikeSource`: `train` must be an array of spikes, \(time, \*shape\)"
        ):
            snn.SpikeSource(wrong)
