"""Plans change the order of computation and nothing else; truncation means the same under every plan."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax.snn._plan import near_square_root

PLANS = [snn.StepByStep(), snn.LayerByLayer(), snn.Chunked(3), snn.Chunked()]
STEPS = 7


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.fixture
def model(getkey):
    return snn.Sequential(
        eqx.nn.Linear(3, 4, key=getkey()),
        snn.Recurrent(snn.LIF([jnp.array(0.9), 0.8], threshold=0.5), eqx.nn.Linear(4, 4, key=getkey())),
        snn.Residual(snn.Sequential(eqx.nn.Linear(4, 4, key=getkey()), snn.SimpleLIF(0.8))),
        snn.SimpleLI(0.9),
    )


@eqx.filter_jit
def one_step(model, states, x):
    """Traced once, though a loop by hand calls it for every step."""
    return model.step(states, x)


def loss(model, xs, cut=None, **call):
    """A loss over all steps; `cut` detaches the states by hand before every so many steps."""
    states = model.init_state(xs.shape[1:])
    if cut is None:
        _, outs = model(states, xs, **call)
        return jnp.sum(outs[-1] ** 2)
    total = 0.0
    for t, x in enumerate(xs):
        if t and t % cut == 0:
            states = jax.lax.stop_gradient(states)
        states, outs = one_step(model, states, x)
        total += jnp.sum(outs[-1] ** 2)
    return total


gradient = eqx.filter_jit(eqx.filter_grad(loss))


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_truncation_detaches_the_states_and_nothing_else(model, getkey, plan):
    xs = 1 + jr.normal(getkey(), (STEPS, 3))

    by_hand = {n: gradient(model, xs, cut=n) for n in (1, 3)}
    by_plan = {n: gradient(model, xs, plan=plan, truncate=n) for n in (1, 3, STEPS, STEPS + 5)}
    full = gradient(model, xs, plan=plan)
    close(by_plan[1], by_hand[1])
    close(by_plan[3], by_hand[3])
    close(by_plan[STEPS], full)
    close(by_plan[STEPS + 5], full)
    assert not np.allclose(by_plan[1].layers[1].synapse.weight, full.layers[1].synapse.weight, atol=1e-5)


def test_bug_15_truncation_to_the_whole_sequence_is_full_back_propagation(model, getkey):
    xs = 1 + jr.normal(getkey(), (STEPS, 3))
    close(gradient(model, xs, truncate=STEPS), gradient(model, xs))


def test_truncation_counts_from_the_end_of_the_burn_in(model, getkey):
    xs = 1 + jr.normal(getkey(), (STEPS, 3))
    full = gradient(model, xs, burnin=3, truncate=4)
    close(full, gradient(model, xs, burnin=3))


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_collectors_accumulate_across_chunks_and_segments(model, getkey, plan):
    xs = 1 + jr.normal(getkey(), (STEPS, 3))
    states = model.init_state((3,))
    _, trains = model(states, xs)
    for call in ({}, {"truncate": 2}, {"burnin": 2, "truncate": 2}):
        _, sums = model(states, xs, plan=plan, collect=snn.Sum(), **call)
        close(sums, [train.sum(0) for train in trains])
        _, (first, *_) = model(states, xs, plan=plan, collect={1: snn.FirstSpike(), 0: snn.Max()}, **call)
        close(first, trains[0].max(0))


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 100])
def test_any_length_of_chunk_gives_the_same_gradient(model, getkey, chunk):
    xs = 1 + jr.normal(getkey(), (STEPS, 3))
    close(gradient(model, xs, plan=snn.Chunked(chunk)), gradient(model, xs, plan=snn.StepByStep()))


def test_chunks_need_less_memory_than_whole_trains(getkey):
    model = snn.Sequential(eqx.nn.Linear(8, 64, key=getkey()), snn.LIF([0.9, 0.8]), snn.SimpleLI(0.9))
    states = model.init_state((8,))

    def bytes_needed(plan, collect):
        def total(model, xs):
            _, outs = model(states, xs, plan=plan, collect=collect)
            return sum(jnp.sum(out**2) for out in outs)

        step = jax.jit(lambda model, xs: eqx.filter_grad(total)(model, xs))
        return step.lower(model, jnp.zeros((900, 8))).compile().memory_analysis().temp_size_in_bytes

    assert bytes_needed(snn.Chunked(), snn.Sum()) < bytes_needed(snn.StepByStep(), snn.Trains()) / 5


@pytest.mark.parametrize("which", ["parameters", "inputs"])
def test_chunks_hold_no_copy_of_a_batch_of_inputs(getkey, which):
    layers = eqx.nn.Linear(3, 4, key=getkey()), snn.LIF([0.9, 0.8]), snn.SimpleLI(0.9)
    params, static = eqx.partition(snn.Sequential(*layers), eqx.is_inexact_array)
    xs = jr.normal(getkey(), (4, 900, 3))

    def gradient(plan):
        def one(params, xs):
            model = eqx.combine(params, static)
            return model(model.init_state((3,)), xs, plan=plan, collect={-1: snn.Mean()})[1][-1]

        def of_batch(params, xs):
            return jnp.sum(jax.vmap(one, (None, 0))(params, xs) ** 2)

        return jax.grad(of_batch, 0 if which == "parameters" else 1)

    compiled = jax.jit(gradient(snn.Chunked())).lower(params, xs).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < xs.nbytes
    wanted = jax.jit(gradient(snn.StepByStep()))(params, xs)
    close(compiled(params, xs), wanted)
    if which == "inputs":
        one_by_one = jax.vmap(lambda xs: gradient(snn.Chunked())(params, xs[None])[0])
        close(jax.jit(one_by_one)(xs), wanted)


@pytest.mark.parametrize(
    "steps, n", [(1, 1), (2, 1), (5, 2), (7, 3), (10, 2), (12, 3), (100, 10), (1000, 40), (1009, 32)]
)
def test_chunks_are_alike_where_a_divisor_is_near_the_square_root(steps, n):
    found = near_square_root(steps)
    assert found == n or found * n == steps
    assert steps**0.5 / 2 <= found <= steps**0.5 * 2


def test_forward_over_reverse_works_under_every_plan(model, getkey):
    xs = 1 + jr.normal(getkey(), (4, 3))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    direction = jax.tree.map(jnp.ones_like, params)

    @eqx.filter_jit
    def hessian_vector(plan):
        gradient = jax.grad(lambda params: loss(eqx.combine(params, static), xs, plan=plan))
        return jax.jvp(gradient, (params,), (direction,))[1]

    wanted = hessian_vector(snn.StepByStep())
    for plan in PLANS[1:3]:
        close(hessian_vector(plan), wanted)


@pytest.mark.parametrize("steps", [0, -2, 2.5, True])
def test_a_chunk_that_is_no_number_of_steps_is_refused(steps, unchecked):
    with pytest.raises(ValueError, match="the number of steps in a chunk must be 1 or more"):
        snn.Chunked(steps)


@pytest.mark.parametrize("truncate", [0, -1, True])
def test_a_truncation_that_is_no_number_of_steps_is_refused(model, truncate):
    with pytest.raises(ValueError, match="`truncate` must be a number of steps, 1 or more, or None"):
        model(model.init_state((3,)), jnp.ones((4, 3)), truncate=truncate)
