"""State-space layers and the associative memory equal dense simulations, in every form and however they are cut."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import snnax.snn as snn
from snnax.snn._state_space import _expm1_over, _hippo


def complex_of(parts):
    return np.asarray(parts[0], float) + 1j * np.asarray(parts[1], float)


def dense(layer, decay, gain, xs):
    """The diagonal recurrence as a dense one, in complex128."""
    a, b, c = np.diag(decay), np.diag(gain) @ complex_of(layer.in_weight), complex_of(layer.out_weight)
    d = np.diag(np.asarray(layer.skip, float))
    h, outs = np.zeros(len(decay), complex), []
    for x in np.asarray(xs, float):
        h = a @ h + b @ x
        outs.append((c @ h).real + d @ x)
    return h, np.stack(outs)


def lru_terms(layer):
    decay = np.exp(-np.exp(np.asarray(layer.log_log_decay, float)) + 1j * np.exp(np.asarray(layer.log_phase, float)))
    return decay, np.exp(np.asarray(layer.log_gain, float))


def s5_terms(layer):
    pole = -np.exp(np.asarray(layer.log_decay, float)) + 1j * np.asarray(layer.frequency, float)
    step = np.exp(np.asarray(layer.log_step, float))
    return np.exp(step * pole), (np.exp(step * pole) - 1) / pole


LAYERS = {
    "LRU": (lambda key: snn.LRU(3, 5, r_min=0.5, r_max=0.99, key=key), lru_terms),
    "S5": (lambda key: snn.S5(3, 5, key=key), s5_terms),
}


@pytest.mark.parametrize("name", LAYERS)
def test_steps_loop_and_scan_equal_a_dense_simulation(name, getkey):
    make, terms = LAYERS[name]
    layer, xs = make(getkey()), jr.normal(getkey(), (60, 3))
    h, expected = dense(layer, *terms(layer), xs)
    for one in (layer, snn.Associative(layer)):
        model = snn.Sequential(one)
        for plan in (snn.LayerByLayer(), snn.StepByStep()):
            states, (outs,) = model(model.init_state((3,)), xs, plan=plan)
            np.testing.assert_allclose(outs, expected, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(states.layers[0].h, h, rtol=1e-4, atol=1e-5)
        middle, (head,) = model(model.init_state((3,)), xs[:17])
        _, (tail,) = model(middle, xs[17:])
        np.testing.assert_allclose(jnp.concatenate([head, tail]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_all_weights_are_those_of_the_loop_over_500_steps(name, getkey):
    layer, xs = LAYERS[name][0](getkey()), jr.normal(getkey(), (500, 3))

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(both):
        layer, xs = both
        return jnp.sum(layer.over_time(layer.init_state((3,)), xs)[1] ** 2)

    (looped, xs_looped), (outer, xs_scanned) = gradient((layer, xs)), gradient((snn.Associative(layer), xs))
    for a, b in zip(jax.tree.leaves((outer.layer, xs_scanned)), jax.tree.leaves((looped, xs_looped)), strict=True):
        assert np.any(b)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.max(np.abs(b)))


def test_the_decays_of_an_lru_start_in_the_ring_with_the_gain_of_white_input(getkey):
    layer = snn.LRU(2, 4000, r_min=0.6, r_max=0.9, max_phase=0.3, key=getkey())
    decay, gain = layer.factors()
    modulus, phase = np.abs(decay), np.angle(decay)
    assert modulus.min() >= 0.6 - 1e-6 and modulus.max() <= 0.9 + 1e-6
    assert phase.min() >= 0 and phase.max() <= 0.3 + 1e-6
    np.testing.assert_allclose(gain, np.sqrt(1 - modulus**2), rtol=1e-4)
    # Uniform on the ring: so is the square of the modulus.
    np.testing.assert_allclose(np.mean(modulus**2), (0.6**2 + 0.9**2) / 2, rtol=0.02)
    np.testing.assert_allclose(np.mean(phase), 0.15, rtol=0.05)
    np.testing.assert_allclose(np.std(layer.in_weight), 0.5, rtol=0.05)
    np.testing.assert_allclose(np.std(layer.out_weight), 4000**-0.5, rtol=0.05)


def test_all_decays_are_stable_and_all_weights_finite_at_first(getkey):
    for layer in (snn.LRU(2, 5000, key=getkey()), snn.S5(2, 64, key=getkey())):
        decay, gain = layer.factors()
        assert np.max(np.abs(decay)) < 1
        assert np.all(np.isfinite(gain)) and np.all(np.abs(gain) > 0)


def test_the_poles_of_s5_are_those_of_the_normal_part_of_hippo_legs(getkey):
    """The HiPPO matrix plus a term of rank one is normal, and has these eigenvalues and vectors."""
    n = np.arange(8)
    hippo = -np.sqrt(np.outer(2 * n + 1, 2 * n + 1)) * (n[:, None] > n) - np.diag(n + 1)
    normal = hippo + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5))
    poles, modes = _hippo(4)
    np.testing.assert_allclose(normal @ modes, modes * poles, atol=1e-12)
    np.testing.assert_allclose(np.real(poles), -0.5, atol=1e-12)
    assert np.all(np.imag(poles) > 0)
    values = np.linalg.eigvals(normal)
    np.testing.assert_allclose(np.sort(np.imag(poles)), np.sort(np.imag(values)[np.imag(values) > 0]))
    layer = snn.S5(3, 4, min_step=0.01, max_step=0.2, key=getkey())
    np.testing.assert_allclose(layer.frequency, np.imag(poles), rtol=1e-6)
    np.testing.assert_allclose(-jnp.exp(layer.log_decay), -0.5, rtol=1e-6)
    step = np.exp(layer.log_step)
    assert step.min() >= 0.01 and step.max() <= 0.2


def test_half_of_the_states_of_s5_stand_for_all(getkey):
    """Real weights on the whole normal matrix give what the half with doubled read-out gives."""
    layer = snn.S5(2, 4, key=getkey())
    _, modes = _hippo(4)
    into, out_of = complex_of(layer.in_weight), complex_of(layer.out_weight)
    # B = V* B_real, and C = 2 C_real V: put back together from both halves they are real.
    whole = np.concatenate([modes, modes.conj()], axis=1)
    b = whole @ np.concatenate([into, into.conj()])
    c = np.concatenate([out_of, out_of.conj()], axis=1) @ whole.conj().T / 2
    np.testing.assert_allclose(b.imag, 0, atol=1e-6)
    np.testing.assert_allclose(c.imag, 0, atol=1e-6)
    np.testing.assert_allclose(modes.conj().T @ b.real, into, atol=1e-6)
    np.testing.assert_allclose(2 * c.real @ modes, out_of, atol=1e-6)
    wide = snn.S5(50, 100, key=getkey())
    np.testing.assert_allclose(np.mean(np.abs(complex_of(wide.in_weight)) ** 2), 1 / 50, rtol=0.05)
    np.testing.assert_allclose(np.mean(np.abs(complex_of(wide.out_weight)) ** 2), 2**2 / 200, rtol=0.05)


def test_the_zero_order_hold_is_right_where_it_is_nought_over_nought():
    z = np.array([0, 1e-7j, 1e-4 - 1e-4j, -0.009, -0.011j, -0.5 + 2j, -8 + 90j])
    expected = [1 if one == 0 else np.expm1(one) / one for one in z]
    np.testing.assert_allclose(_expm1_over(jnp.asarray(z, jnp.complex64)), expected, rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda z: _expm1_over(z).real, holomorphic=False))(jnp.asarray(z, jnp.complex64))
    np.testing.assert_allclose(slope[0], 0.5, rtol=1e-6)
    assert np.all(np.isfinite(slope))


def test_a_step_of_length_nought_keeps_finite_gradients(getkey):
    layer = eqx.tree_at(
        lambda m: (m.log_decay, m.frequency), snn.S5(2, 3, key=getkey()), (jnp.full(3, -200.0), jnp.zeros(3))
    )
    gradient = jax.grad(lambda m: jnp.sum(m.over_time(m.init_state((2,)), jnp.ones((5, 2)))[1]))(layer)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def memory_by_hand(layer, xs, threshold):
    def linear(part, x):
        return np.asarray(part.weight, float) @ x + np.asarray(part.bias, float)

    memory, outs = np.zeros((layer.to_value.out_features, layer.to_key.out_features)), []
    for x in np.asarray(xs, float):
        alpha = 1 / (1 + np.exp(-linear(layer.to_decay, x)))
        memory = memory * alpha[None, :] + np.outer(linear(layer.to_value, x), linear(layer.to_key, x))
        outs.append((memory >= threshold) @ linear(layer.to_query, x))
    return memory, np.stack(outs)


def test_an_associative_memory_equals_the_equations_and_keeps_over_500_steps(getkey):
    """Kept where nothing is written and the decays are next to 1, for which a division by their product fails."""
    layer = snn.AssociativeMemory(3, 4, 2, threshold=0.3, key=getkey())
    xs = jr.normal(getkey(), (40, 3))
    memory, expected = memory_by_hand(layer, xs, 0.3)
    for one in (layer, snn.Associative(layer)):
        model = snn.Sequential(one)
        states, (outs,) = model(model.init_state((3,)), xs)
        np.testing.assert_allclose(states.layers[0].memory, memory, atol=1e-5)
        np.testing.assert_allclose(outs, expected, atol=1e-5)
        assert len(np.unique(np.abs(outs) > 0)) == 2

    keeps = eqx.tree_at(
        lambda m: [m.to_decay.weight, m.to_decay.bias, m.to_value.bias],
        layer,
        [jnp.zeros((2, 3)), jnp.array([12.0, -12.0]), jnp.zeros(4)],
    )
    xs = jnp.zeros((500, 3)).at[0].set(1.0)
    written, _ = keeps(keeps.init_state((3,)), xs[0])
    last, _ = snn.Associative(keeps).over_time(keeps.init_state((3,)), xs)
    np.testing.assert_allclose(last.memory[:, 0], written.memory[:, 0] * jax.nn.sigmoid(12.0) ** 499, rtol=1e-4)
    np.testing.assert_allclose(last.memory[:, 1], 0, atol=1e-6)


def test_a_spiking_read_out_learns_to_recall_the_first_step(getkey):
    """The state-space layer must keep a bit over 40 steps for the neurons behind it."""
    linear = eqx.nn.Linear(4, 2, key=getkey())
    model = snn.Sequential(
        snn.Associative(snn.LRU(4, 16, r_min=0.9, r_max=0.999, max_phase=0.3, key=getkey())),
        snn.SimpleLIF(0.9),
        linear,
        snn.SimpleLI(0.9),
    )
    bits = jnp.arange(32) % 2
    xs = 0.1 * jr.normal(getkey(), (32, 40, 4)).at[:, 0].add(jnp.where(bits[:, None] == 1, 20.0, -20.0))
    optimiser = optax.adam(1e-2)

    @eqx.filter_jit
    def update(model, opt_state):
        def loss(model):
            _, outs = jax.vmap(model, in_axes=(None, 0))(model.init_state((4,)), xs)
            logits = outs[-1][:, 20:].mean(1)
            accuracy = jnp.mean(jnp.argmax(logits, -1) == bits)
            return optax.softmax_cross_entropy_with_integer_labels(logits, bits).mean(), (accuracy, outs[1].mean())

        (_, aux), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        updates, opt_state = optimiser.update(gradient, opt_state)
        return eqx.apply_updates(model, updates), opt_state, aux

    opt_state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    # optax adds Python numbers to whole numbers, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(60):
            model, opt_state, (accuracy, rate) = update(model, opt_state)
    assert accuracy == 1.0 and 0.01 < rate < 0.9


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda key: snn.LRU(0, 4, key=key), "`snn.LRU`: `features` must be a whole number, 1 or more, got 0"),
        (lambda key: snn.S5(2, 1.5, key=key), "`snn.S5`: `state_size` must be a whole number, 1 or more, got 1.5"),
        (lambda key: snn.LRU(2, 4, r_min=0.9, r_max=0.5, key=key), "0 <= r_min < r_max <= 1, got 0.9, 0.5"),
        (lambda key: snn.LRU(2, 4, max_phase=7.0, key=key), r"`max_phase` must be in \(0, 2π\], got 7.0"),
        (lambda key: snn.S5(2, 4, min_step=0.0, key=key), "0 < min_step <= max_step, got 0.0, 0.1"),
        (lambda key: snn.LRU(2, 4, key=key).init_state((3,)), r"`snn.LRU` was made for 2 features .* got \(3,\)"),
        (lambda key: snn.S5(2, 4, key=key).init_state((2, 2)), r"`snn.S5` was made for 2 features .* got \(2, 2\)"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, message, getkey, unchecked):
    with pytest.raises(ValueError, match=message):
        make(getkey())


def test_complex_inputs_are_refused(getkey):
    layer = snn.LRU(2, 4, key=getkey())
    with pytest.raises(TypeError, match="take real inputs, got complex64"):
        layer(layer.init_state((2,)), jnp.ones(2, jnp.complex64))


def test_states_are_complex64_and_outputs_of_the_dtype_of_the_inputs(getkey):
    for layer in (snn.LRU(2, 4, key=getkey()), snn.S5(2, 4, key=getkey())):
        state, out = layer(layer.init_state((2,)), jnp.ones(2, jnp.bfloat16))
        assert state.h.dtype == jnp.complex64 and out.dtype == jnp.bfloat16
        assert not any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(layer))
