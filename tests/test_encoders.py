"""Values into spikes: what all encoders share, and then the truth of each."""

import math
from collections.abc import Callable
from typing import NamedTuple

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose
from hypothesis import given

import snnax.functional as functional

STEPS = 20
WINDOW = jnp.hanning(12)[1:-1] / jnp.hanning(12).sum()


class Case(NamedTuple):
    """How to encode with a key and values; whether the values are a sequence, in [0, 1]; what is added to the shape."""

    encode: Callable
    sequence: bool = False
    unit: bool = True
    random: bool = False
    neurons: int = 0


ENCODERS = {
    "rate_code": Case(lambda key, x: functional.rate_code(key, x, STEPS), random=True),
    "rate_code, a sequence": Case(functional.rate_code, sequence=True, random=True),
    "poisson_code": Case(lambda key, x: functional.poisson_code(key, x, STEPS), unit=False, random=True),
    "poisson_code, a sequence": Case(functional.poisson_code, sequence=True, unit=False, random=True),
    "direct_code": Case(lambda key, x: functional.direct_code(x, STEPS), unit=False),
    "latency_code": Case(lambda key, x: functional.latency_code(x, STEPS)),
    "log_latency_code": Case(lambda key, x: functional.log_latency_code(x, STEPS, 5.0)),
    "phase_code": Case(lambda key, x: functional.phase_code(x, STEPS)),
    "burst_code": Case(lambda key, x: functional.burst_code(x, STEPS)),
    "delta_code": Case(lambda key, x: functional.delta_code(x), sequence=True, unit=False),
    "send_on_delta": Case(lambda key, x: functional.send_on_delta(x), sequence=True, unit=False),
    "step_forward": Case(lambda key, x: functional.step_forward(x), sequence=True, unit=False),
    "bsa": Case(lambda key, x: functional.bsa(x, WINDOW), sequence=True),
    "gaussian_receptive_fields": Case(lambda key, x: functional.gaussian_receptive_fields(x, 5), neurons=5),
    "angle_code": Case(lambda key, x: functional.angle_code(x, 5, low=0.0, high=1.0), neurons=5),
}
EACH = pytest.mark.parametrize("name", ENCODERS)


def values(case, getkey, shape=(2, 3), dtype=jnp.float32):
    return jr.uniform(getkey(), ((STEPS,) if case.sequence else ()) + shape, dtype, minval=0.2)


def concrete(x):
    """A NumPy copy in float64, in which every bfloat16 and float32 is exact."""
    return np.asarray(x, np.float64)


# What all share.


@EACH
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 3)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_time_is_the_first_axis_and_the_dtype_is_kept(name, shape, dtype, getkey):
    case = ENCODERS[name]
    out = case.encode(getkey(), values(case, getkey, shape, dtype))
    expected = (*shape, case.neurons) if case.neurons else (STEPS, *shape)
    assert out.shape == expected and out.dtype == dtype
    if name not in ("direct_code", "gaussian_receptive_fields"):
        assert np.array_equal(concrete(out), np.round(concrete(out))) and concrete(out).any()


@EACH
def test_jit_equals_no_jit(name, getkey):
    case = ENCODERS[name]
    key, x = getkey(), values(ENCODERS[name], getkey)
    expected = case.encode(key, x)
    allclose(jax.jit(case.encode)(key, x), expected, rtol=1e-6, atol=1e-7)
    # Constants are seen under jit, and checked.
    allclose(jax.jit(lambda: case.encode(key, x))(), expected, rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="got values from nan to nan"):
        jax.jit(lambda: case.encode(key, np.full_like(x, np.nan)))()


@EACH
def test_vmap_equals_a_loop(name, getkey):
    case = ENCODERS[name]
    keys, xs = jr.split(getkey(), 3), jnp.stack([values(case, getkey) for _ in range(3)])
    each = jnp.stack([case.encode(key, x) for key, x in zip(keys, xs, strict=True)])
    allclose(jax.vmap(case.encode)(keys, xs), each, rtol=1e-6, atol=1e-7)
    if case.random:
        assert (each[0] != case.encode(keys[1], xs[0])).any()


@EACH
def test_integers_are_refused_with_what_to_do(name, getkey, unchecked):
    x = jnp.ones((STEPS, 3), jnp.uint8)
    with pytest.raises(TypeError, match=r"`functional\.\w+`: `x` must be a floating array, got dtype uint8\. \w+"):
        ENCODERS[name].encode(getkey(), x)


@EACH
@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_values_out_of_range_are_refused_and_not_clipped(name, bad, getkey, unchecked):
    case = ENCODERS[name]
    x = values(case, getkey).at[0, 0].set(bad)
    if case.unit or math.isnan(bad):
        got = {-0.1: "-0.1.* to", 1.5: ".* to 1.5", math.nan: "nan to nan"}[bad]
        with pytest.raises(ValueError, match=rf"`functional\.\w+`: `x` must be in [\[(].*, got values from {got}"):
            case.encode(getkey(), x)
    elif bad < 0 and case.random:
        with pytest.raises(ValueError, match=r"must be in \[0, inf\).* expected number of spikes per step"):
            case.encode(getkey(), x)
    else:
        case.encode(getkey(), x)


@EACH
def test_a_sequence_needs_a_time_axis(name, getkey, unchecked):
    if ENCODERS[name].sequence:
        with pytest.raises(
            ValueError, match=r"`x` must have the shape \(time, ...\), with one step at least, got \(\)"
        ):
            ENCODERS[name].encode(getkey(), 0.5)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, None, "ten"])
def test_a_number_of_steps_that_is_none_is_refused(steps, getkey, unchecked):
    for encode in (functional.direct_code, functional.latency_code, functional.phase_code, functional.burst_code):
        with pytest.raises(ValueError, match=rf"`steps` must be a whole number of 1 or more, got {steps}"):
            encode(0.5, steps)


def test_traced_steps_are_refused_with_the_remedy(unchecked):
    with pytest.raises(ValueError, match="must be made static: `static_argnames`"):
        jax.jit(functional.latency_code)(0.5, 10)


def test_traced_values_out_of_range_do_what_is_documented(getkey):
    x, key = jnp.array([-0.5, 1.5, jnp.nan]), getkey()
    assert np.array_equal(jax.jit(lambda x: functional.rate_code(key, x, 9))(x).sum(0), [0, 9, 0])
    poisson = jax.jit(lambda x: functional.poisson_code(key, x, 9))(x).sum(0)
    assert poisson[0] == 0 and poisson[1] > 0 and poisson[2] == 0
    for code in (functional.latency_code, lambda x, steps: functional.log_latency_code(x, steps, 30.0)):
        assert np.array_equal(first(jax.jit(code, static_argnums=1)(x.at[1].set(50.0), 9)), [9, 0, 9])
    assert not jax.jit(lambda x: functional.angle_code(x, 4, low=0.0, high=1.0))(x).any()
    assert (jax.jit(lambda x: functional.gaussian_receptive_fields(x, 4))(jnp.array([-5.0, 6.0])) < 1e-6).all()


# Rates.


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_spikes_have_their_rate_within_the_binomial_bounds(dtype, getkey):
    rates = jnp.array([0.0, 0.001, 0.02, 0.3, 0.5, 0.9, 1.0], dtype)
    n = 40_000
    spikes = concrete(functional.rate_code(getkey(), rates, n))
    p = concrete(rates)
    assert set(np.unique(spikes)) == {0.0, 1.0}
    assert (np.abs(spikes.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()


def test_spikes_of_a_sequence_follow_its_rate(getkey):
    rates = jnp.repeat(jnp.array([[0.1], [0.8], [0.0], [1.0]]), 4000, axis=1)
    spikes = functional.rate_code(getkey(), rates)
    p = concrete(rates[:, 0])
    assert (np.abs(concrete(spikes).mean(1) - p) <= 5 * np.sqrt(p * (1 - p) / 4000)).all()


def test_spikes_of_different_steps_and_neurons_are_independent(getkey):
    spikes = concrete(functional.rate_code(getkey(), jnp.full((2,), 0.5), 10_000))
    for a, b in ((spikes[:-1, 0], spikes[1:, 0]), (spikes[:, 0], spikes[:, 1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.05


def test_counts_are_distributed_as_poisson(getkey):
    rates, n = jnp.array([0.0, 0.05, 0.7, 3.0]), 20_000
    counts = concrete(functional.poisson_code(getkey(), rates, n))
    for rate, count in zip(concrete(rates), counts.T, strict=True):
        for number in range(6):
            p = math.exp(-rate) * rate**number / math.factorial(number)
            assert abs((count == number).mean() - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-12
    ramp = jnp.repeat(jnp.array([[0.5], [4.0]]), n, axis=1)
    means = concrete(functional.poisson_code(getkey(), ramp)).mean(1)
    assert (np.abs(means - [0.5, 4.0]) <= 5 * np.sqrt(np.array([0.5, 4.0]) / n)).all()


def test_a_constant_current_is_constant():
    x = jnp.array([[-2.0, 0.3], [7.0, 0.0]])
    assert np.array_equal(functional.direct_code(x, 3), np.stack([x] * 3))


# Times.

UNIT = st.floats(0, 1, width=32)


def first(spikes):
    """The step of the only spike, and the number of steps where there is none."""
    spikes = np.asarray(spikes)
    assert (spikes.sum(0) <= 1).all()
    return np.where(spikes.any(0), spikes.argmax(0), len(spikes))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("steps, threshold", [(1, 0.01), (10, 0.0), (500, 0.2)])
def test_latency_is_the_closed_form(steps, threshold, dtype):
    x = jnp.linspace(0, 1, 41).astype(dtype)
    at = first(functional.latency_code(x, steps, threshold=threshold))
    exact = (steps - 1) * (1 - concrete(x)) / (1 - threshold)
    fires = concrete(x) >= threshold
    assert (at[~fires] == steps).all()
    assert (np.abs(at - exact)[fires] <= 0.5 + 1e-3).all()


def test_log_latency_is_when_the_charged_membrane_reaches_its_threshold():
    steps, tau, threshold = 200, 40.0, 0.2
    x = jnp.linspace(0, 1, 41)
    at = first(functional.log_latency_code(x, steps, tau, threshold=threshold))

    # The neuron's own threshold, found by bisection of: how much later than 1 does `threshold` fire?
    def time(x, level):
        return tau * np.log(x / (x - level))

    low, high = 0.0, threshold
    for _ in range(200):
        level = (low + high) / 2
        late = time(threshold, level) - time(1.0, level) > steps - 1
        low, high = (low, level) if late else (level, high)
    exact = concrete(x)
    fires = exact >= threshold - 1e-9
    assert (at[~fires] == steps).all()
    assert (np.abs(at[fires] - (time(exact[fires], level) - time(1.0, level))) <= 0.5 + 1e-2).all()
    # And by simulation: the exact step of v' = (x - v) / tau, in which the first to fire is x = 1.
    v, seen = np.zeros(41), np.full(41, steps)
    fine = 100
    offset = time(1.0, level)
    for step in range(int((steps + offset) * fine)):
        v += (exact - v) * (1 - math.exp(-1 / (fine * tau)))
        seen = np.where((v >= level) & (seen == steps), step / fine - offset, seen)
    inner = fires & (exact > threshold + 1e-6)
    assert (np.abs(at - seen)[inner] <= 0.5 + 2 / fine + 1e-2).all()


@given(UNIT, UNIT, st.integers(1, 300), st.floats(0.01, 0.9))
def test_latency_is_monotone_and_spans_all_steps(a, b, steps, threshold):
    x = jnp.array([a, b, 1.0, threshold + 1e-6, threshold - 1e-3])
    for at in (
        first(functional.latency_code(x, steps, threshold=threshold)),
        first(functional.log_latency_code(x, steps, 0.3 * steps, threshold=threshold)),
    ):
        assert at[0] <= at[1] if a >= b else at[0] >= at[1]
        assert at[2] == 0 and at[3] == steps - 1 and at[4] == steps


@pytest.mark.parametrize("tau", [0.5, 1e6])
def test_log_latency_is_finite_for_any_time_constant(tau):
    at = first(functional.log_latency_code(jnp.array([0.0999, 0.1, 0.5, 1.0]), 200, tau))
    assert at[0] == 200 and at[1] == 199 and 0 <= at[2] < 199 and at[3] == 0


def test_thresholds_of_latencies_out_of_range_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"`functional.latency_code`: `threshold` must be in \[0, 1\), got 1.0"):
        functional.latency_code(0.5, 10, threshold=1.0)
    with pytest.raises(ValueError, match=r"`functional.log_latency_code`: `threshold` must be in \(0, 1\), got 0.0"):
        functional.log_latency_code(0.5, 10, 3.0, threshold=0.0)
    with pytest.raises(ValueError, match="`tau` must be a positive number of time steps, got -1.0"):
        functional.log_latency_code(0.5, 10, -1.0)


@pytest.mark.parametrize("period", [1, 4, 8, 24])
def test_phases_decode_to_the_quantised_value(period, getkey):
    x = jnp.concatenate([jnp.array([0.0, 1.0]), jr.uniform(getkey(), (50,))])
    spikes = functional.phase_code(x, 2 * period, period=period)
    weights = functional.phase_weights(2 * period, period=period)
    number = np.round(concrete(x) * (2**period - 1))
    for half in (slice(period), slice(period, None)):
        decoded = (concrete(spikes[half]) * concrete(weights[half, None])).sum(0)
        np.testing.assert_allclose(decoded * 2**period, number, rtol=0, atol=1 if period == 24 else 0)


def test_phases_of_bytes_are_their_binary_digits():
    image = jnp.arange(256)
    spikes = functional.phase_code(image.astype(jnp.float32) / 255, 11)
    digits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).T
    assert np.array_equal(spikes, np.concatenate([digits, digits[:3]]))


def test_a_period_out_of_range_is_refused(unchecked):
    with pytest.raises(ValueError, match="`functional.phase_code`: `period` must be 24 or less.* got 25"):
        functional.phase_code(0.5, 10, period=25)
    with pytest.raises(ValueError, match="`functional.phase_weights`: `period` must be a whole number of 1 or more"):
        functional.phase_weights(10, period=0)


def test_bursts_decode_to_the_quantised_value_and_tighten():
    x = jnp.linspace(0, 1, 101)
    spikes = np.asarray(functional.burst_code(x, 17, max_spikes=5, min_interval=2, max_interval=8))
    for value, train in zip(np.asarray(x), spikes.T, strict=True):
        at = np.flatnonzero(train)
        # In float32, as 5 * 0.2 is a little more than 1 in exact arithmetic.
        number = np.ceil(np.float32(5) * value)
        interval = np.ceil(np.float32(8) - np.float32(6) * value)
        assert np.array_equal(at, np.arange(number) * interval)
    assert spikes[0, 1:].all() and not spikes[:, 0].any()
    assert np.array_equal(np.flatnonzero(spikes[:, -1]), [0, 2, 4, 6, 8])


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 9))
def test_the_longest_burst_fits_exactly(most, low, more):
    x = jnp.linspace(0, 1, 401)
    options = dict(max_spikes=most, min_interval=low, max_interval=low + more)
    needed = 1 + int(np.flatnonzero(functional.burst_code(x, 200, **options).any(1)).max())
    assert functional.burst_code(x, needed, **options).shape == (needed, 401)
    with pytest.raises(ValueError, match=f"takes {needed} steps, but `steps` is {needed - 1}|`steps` must be a whole"):
        functional.burst_code(x, needed - 1, **options)


def test_intervals_in_the_wrong_order_are_refused(unchecked):
    with pytest.raises(ValueError, match="`max_interval` must be a whole number of 4 or more, got 3"):
        functional.burst_code(0.5, 30, min_interval=4, max_interval=3)


# Changes.


def walk(key, steps, size, shape=()):
    return jnp.cumsum(size * jr.uniform(key, (steps, *shape), minval=-1, maxval=1), axis=0)


def test_delta_is_the_change_of_one_step():
    x = np.array([5.0, 5.25, 5.0, 5.1, 5.2, 5.2, 3.0, 3.0, 3.25, 3.5, 3.3, 3.6, 3.35, 3.35], np.float32)
    expected = [0] + [1 if b - a >= 0.25 else -1 if a - b >= 0.25 else 0 for a, b in zip(x[:-1], x[1:], strict=True)]
    assert np.array_equal(functional.delta_code(x, 0.25), expected)
    assert sum(map(abs, expected)) == 7


def test_send_on_delta_equals_a_loop_and_stays_within_the_threshold(getkey):
    x = walk(getkey(), 200, 0.5, (3,))
    threshold = jnp.array([0.1, 0.25, 1.0])
    spikes = functional.send_on_delta(x, threshold)
    reference, theta = concrete(x[0]).copy(), concrete(threshold)
    for t in range(200):
        number = np.trunc((concrete(x[t]) - reference) / theta)
        assert np.array_equal(spikes[t], number)
        reference += theta * number
    assert abs(spikes).max() > 1
    assert not np.signbit(np.asarray(spikes)[np.asarray(spikes) == 0]).any()  # no -0
    decoded = functional.step_forward_decode(spikes, threshold, x[0])
    assert (abs(decoded - x) <= threshold * (1 + 1e-4)).all()


def test_step_forward_equals_a_loop_and_follows_slow_signals_within_the_threshold(getkey):
    fast, slow = walk(getkey(), 200, 0.5), walk(getkey(), 200, 0.099)
    spikes = functional.step_forward(fast, 0.1)
    reference = float(fast[0])
    for t in range(200):
        number = float(np.clip(np.trunc((float(fast[t]) - reference) / 0.1), -1, 1))
        assert spikes[t] == number
        reference += 0.1 * number
    assert set(np.unique(spikes)) == {-1.0, 0.0, 1.0}
    decoded = functional.step_forward_decode(functional.step_forward(slow, 0.1), 0.1, slow[0])
    assert (abs(decoded - slow) <= 0.1 * (1 + 1e-4)).all()


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40), st.floats(0.125, 50))
def test_the_reference_is_never_a_threshold_away(signal, threshold):
    x = jnp.array(signal)
    decoded = functional.step_forward_decode(functional.send_on_delta(x, threshold), threshold, x[0])
    assert (abs(decoded - x) <= threshold * (1 + 1e-4) + 1e-4).all()


def test_a_slow_ramp_is_seen_by_send_on_delta_and_not_by_delta():
    x = jnp.linspace(0, 1, 101)
    assert functional.send_on_delta(x, 0.1).sum() >= 9 and not functional.delta_code(x, 0.1).any()


def test_no_rounding_error_gathers_over_a_long_signal():
    x = jnp.arange(20_001, dtype=jnp.float32) % 2
    decoded = functional.step_forward_decode(functional.send_on_delta(x, 0.1), 0.1, x[0])
    assert (abs(decoded - x) <= 0.1 + 1e-5).all()


@pytest.mark.parametrize("encode", [functional.delta_code, functional.send_on_delta, functional.step_forward])
def test_thresholds_of_changes_are_checked(encode, unchecked):
    x = jnp.zeros((10, 3))
    with pytest.raises(ValueError, match=rf"`functional.{encode.__name__}`: `threshold` must be in \(0, inf\), got 0"):
        encode(x, 0.0)
    for shape in ((2,), (10, 3), (3, 1)):
        with pytest.raises(ValueError, match=r"`threshold` has the shape .* one time step of the sequence has \(3,\)"):
            encode(x, jnp.ones(shape))


def test_a_whole_signal_as_its_start_is_refused(unchecked):
    x = jnp.zeros((10,))
    with pytest.raises(ValueError, match=r"`functional.step_forward_decode`: `start` has the shape \(10,\), but one"):
        functional.step_forward_decode(x, 0.1, x)


# Many neurons for one value.


def test_receptive_fields_are_those_of_the_source():
    # Bohte et al. number the neurons from 1 to m.
    low, high, m, beta = -2.0, 6.0, 7, 1.5
    x = np.linspace(low, high, 13)
    out = functional.gaussian_receptive_fields(x.astype(np.float32), m, low=low, high=high, beta=beta)
    for i in range(1, m + 1):
        centre = low + (2 * i - 3) / 2 * (high - low) / (m - 2)
        width = (high - low) / (m - 2) / beta
        np.testing.assert_allclose(out[:, i - 1], np.exp(-((x - centre) ** 2) / (2 * width**2)), rtol=1e-4, atol=1e-6)


def test_receptive_fields_become_first_spikes():
    fields = functional.gaussian_receptive_fields(jnp.array([0.5, 0.9]), 5)
    spikes = functional.latency_code(fields, 11, threshold=0.1)
    assert spikes.shape == (11, 2, 5)
    assert np.array_equal(spikes.sum(0), fields >= 0.1)
    assert spikes[0, 0, 2] == 1  # the third of five neurons is centred on 0.5


def test_angles_have_one_active_neuron():
    x = jnp.array([-math.pi, -1.6, -1.5, -0.1, 0.0, 1.5, 1.6, 3.1, math.pi])
    assert np.array_equal(functional.angle_code(x, 4), np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3, 3]])


@given(UNIT, st.integers(1, 50))
def test_an_angle_decodes_to_its_part_of_the_range(x, neurons):
    (index,) = np.flatnonzero(functional.angle_code(x, neurons, low=0.0, high=1.0))
    assert index / neurons - 1e-6 <= x <= (index + 1) / neurons + 1e-6


def test_ranges_and_numbers_of_neurons_are_checked(unchecked):
    with pytest.raises(ValueError, match="the range must be `low` < `high`, got 1.0 and 1.0"):
        functional.angle_code(0.5, 4, low=1.0, high=1.0)
    with pytest.raises(ValueError, match=r"`x` must be in \[-3.14159, 3.14159\], .* Give `low=` and `high=`"):
        functional.angle_code(4.0, 4)
    with pytest.raises(ValueError, match="`neurons` must be a whole number of 3 or more, got 2"):
        functional.gaussian_receptive_fields(0.5, 2)
    with pytest.raises(ValueError, match="`beta` must be positive, got 0.0"):
        functional.gaussian_receptive_fields(0.5, 4, beta=0.0)
