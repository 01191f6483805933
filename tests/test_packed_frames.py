"""Frames in bits give what frames in floats give, in an eighth of a byte, and are unpacked where they are used."""

import equinox as eqx
import hypothesis
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose, linear
from recordings import random_recording

import snnax.snn as snn
from snnax import data

FRAME = (2, 6, 13)
PACKED = (2, 6, 2)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=17),
        elements=hypothesis.strategies.integers(0, 1),
    )
)
def test_frames_are_packed_as_numpy_packs_them_and_come_back(frames):
    n = frames.shape[-1]
    packed = data.pack_frames(frames)
    assert isinstance(packed, np.ndarray) and packed.shape == (*frames.shape[:-1], -(-n // 8))
    np.testing.assert_array_equal(np.unpackbits(packed, axis=-1, count=n), frames)
    np.testing.assert_array_equal(data.pack_frames(jnp.asarray(frames)), packed)
    np.testing.assert_array_equal(snn.Unpack(n)(jnp.asarray(packed)), frames)


@pytest.mark.parametrize("dtype", ["?", "u1", "<i8", "<f2", "<f4"])
def test_frames_of_any_dtype_are_packed(dtype):
    frames = np.random.default_rng(0).integers(0, 2, (3, 11))
    np.testing.assert_array_equal(data.pack_frames(frames.astype(dtype)), np.packbits(frames, axis=-1))


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.float32, jnp.bfloat16, jnp.float16])
def test_every_byte_is_unpacked_exactly_in_every_dtype(dtype):
    every = np.arange(256, dtype=np.uint8)[:, None]
    bits = snn.Unpack(8)(jnp.asarray(every).astype(dtype))
    assert bits.dtype == dtype
    np.testing.assert_array_equal(bits.astype(int), np.unpackbits(every, axis=-1))


def network(first, in_dtype=jnp.float32):
    conv = eqx.nn.Conv2d(2, 3, 3, key=jr.key(0))
    model = snn.Sequential(
        *first,
        conv,
        snn.LIF([0.9, 0.8], threshold=0.4),
        snn.Flatten(),
        linear(3 * 4 * 11, 5, 1),
        snn.SimpleLIF(0.9, threshold=0.4),
    )
    return jax.tree.map(lambda leaf: leaf.astype(in_dtype) if eqx.is_inexact_array(leaf) else leaf, model)


def frames_of(seed, steps=12):
    return np.random.default_rng(seed).integers(0, 2, (steps, *FRAME)).astype(np.float32)


def results(model, shape, xs, plan, n, **settings):
    """Outputs of the last `n` layers, states and the gradients of weights."""

    def loss(model):
        states, outs = model(model.init_state(shape), xs, plan=plan, **settings)
        return sum(jnp.sum(out * jnp.cos(jnp.arange(out.size).reshape(out.shape))) for out in outs[-n:]), (
            outs[-n:],
            states.layers[-n:],
        )

    return eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))(model)


@pytest.mark.parametrize(
    "plan", [*PLANS, snn.Chunked()], ids=lambda plan: f"{type(plan).__name__}{getattr(plan, 'steps', '')}"
)
@pytest.mark.parametrize("settings", [{}, {"burnin": 3, "truncate": 4}], ids=["plain", "burnin and truncate"])
def test_a_network_on_packed_frames_is_that_on_frames_in_values_states_and_gradients(plan, settings):
    frames = frames_of(0)
    packed = data.pack_frames(frames)
    gradients, (outs, states) = results(network([]), FRAME, frames, plan, 5, **settings)
    same, (other_outs, other_states) = results(network([snn.Unpack(13)]), PACKED, packed, plan, 5, **settings)
    allclose((other_outs, other_states), (outs, states), rtol=0, atol=0)
    allclose(jax.tree.leaves(same), jax.tree.leaves(gradients), rtol=0, atol=0)
    assert packed.dtype == np.uint8 and packed.shape == (12, *PACKED) and 0.05 < outs[-1].mean() < 0.95


def test_one_step_a_batch_and_a_nested_chain_unpack_too():
    model, plain = network([snn.Unpack(13)]), network([])
    batch = np.stack([frames_of(1), frames_of(2)])
    over_batch = jax.jit(
        lambda model, shape, xs: jax.vmap(model, in_axes=(None, 0))(model.init_state(shape), xs)[1][-1],
        static_argnums=1,
    )
    allclose(over_batch(model, PACKED, data.pack_frames(batch)), over_batch(plain, FRAME, batch), rtol=0, atol=1e-6)
    nested = snn.Sequential(snn.Sequential(snn.Unpack(13)), *plain)
    step = nested.step(nested.init_state(PACKED), data.pack_frames(batch[0, 0]))[1]
    allclose(step[-1], plain.step(plain.init_state(FRAME), batch[0, 0])[1][-1])
    graph = snn.Graph(
        {"bits": snn.Unpack(13), "conv": plain[0], "lif": plain[1]},
        [("input", "bits"), ("bits", "conv"), ("conv", "lif")],
        outputs=("lif",),
    )
    _, outs = graph(graph.init_state(PACKED), data.pack_frames(batch[0]), plan=snn.Chunked(3))
    allclose(outs["lif"], plain(plain.init_state(FRAME), batch[0])[1][1])


def test_a_bfloat16_network_unpacks_to_bfloat16():
    frames = frames_of(3)
    low, plain = network([snn.Unpack(13)], jnp.bfloat16), network([], jnp.bfloat16)
    _, outs = low(low.init_state(PACKED), data.pack_frames(frames))
    _, expected = plain(plain.init_state(FRAME), frames.astype(jnp.bfloat16))
    assert outs[0].dtype == outs[-1].dtype == jnp.bfloat16
    allclose(outs[1:], expected, rtol=0, atol=0)
    mixed = snn.in_precision(network([snn.Unpack(13)]), jnp.bfloat16)
    allclose(mixed(mixed.init_state(PACKED), data.pack_frames(frames))[1][:2], outs[:2], rtol=0, atol=0)


def arrays_of(jaxpr):
    """The shapes and dtypes of all arrays in a program, and in all programs in it."""
    found = set()
    for equation in jaxpr.eqns:
        found |= {(var.aval.shape, var.aval.dtype) for var in equation.outvars}
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda node: hasattr(node, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            found |= arrays_of(inner) if hasattr(inner, "eqns") else set()
    return found


def test_no_more_than_a_chunk_is_ever_unpacked():
    model = network([snn.Unpack(13)])
    packed = jnp.asarray(data.pack_frames(frames_of(4)))

    def program(plan, derive):
        def loss(model):
            return model(model.init_state(PACKED), packed, plan=plan, collect={-1: snn.Sum()})[1][-1].sum()

        return arrays_of(jax.make_jaxpr(derive(loss))(model).jaxpr)

    bits, as_floats = (12, *FRAME), ((12, *PACKED), jnp.float32)
    assert any(shape == bits for shape, _ in program(snn.LayerByLayer(), eqx.filter_grad))
    for plan, steps, derive in ((snn.Chunked(3), (3,), eqx.filter_grad), (snn.StepByStep(), (), lambda loss: loss)):
        arrays = program(plan, derive)
        assert any(shape == (*steps, *FRAME) for shape, _ in arrays)
        assert not any(shape == bits for shape, _ in arrays) and as_floats not in arrays


def test_packed_frames_in_chunks_take_less_memory():
    conv, lif = eqx.nn.Conv2d(2, 2, 5, 4, key=jr.key(0)), snn.SimpleLIF(0.9)

    def peak(model, shape, dtype):
        def loss(model, xs):
            return model(model.init_state(shape), xs, plan=snn.Chunked(), collect={-1: snn.Sum()})[1][-1].sum()

        xs = jax.ShapeDtypeStruct((256, *shape), dtype)
        analysis = jax.jit(jax.grad(loss)).lower(model, xs).compile().memory_analysis()
        return analysis.argument_size_in_bytes + analysis.temp_size_in_bytes

    floats = peak(snn.Sequential(conv, lif), (2, 32, 32), jnp.float32)
    packed = peak(snn.Sequential(snn.Unpack(32), conv, lif), (2, 32, 4), jnp.uint8)
    assert floats > 256 * 2 * 32 * 32 * 4 and packed < 0.4 * floats


def test_events_are_binned_and_packed_on_the_device():
    events = random_recording(0)

    @jax.jit
    def packed(events):
        return data.pack_frames(data.bin_events(events, 8, mode=data.Binary())[0])

    expected = data.bin_events(events, 8, mode=data.Binary())[0]
    np.testing.assert_array_equal(packed(events), np.packbits(expected, axis=-1))


def test_frames_that_are_not_binary_are_refused(unchecked):
    for frames, got in ((np.array([0, 2]), "0 to 2"), (jnp.array([0.5]), "0.5 to 0.5"), (np.array([-1, 1]), "-1 to 1")):
        with pytest.raises(ValueError, match=f"`data.pack_frames`: `frames` must be of 0 and 1, got values from {got}"):
            data.pack_frames(frames)
    with pytest.raises(ValueError, match=r"must be of 0 and 1, got values from nan"):
        data.pack_frames(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"must have an axis along which to pack, got the shape \(\)"):
        data.pack_frames(np.zeros(()))


def test_frames_that_are_not_packed_are_refused_by_name(unchecked):
    with pytest.raises(
        ValueError, match=r"(?s)`snn.Unpack\(13\)` takes bytes of shape \(..., 2\), .* got \(2, 6, 13\)"
    ) as caught:
        network([snn.Unpack(13)]).init_state(FRAME)
    assert "in layer 0, `Unpack`" in str(caught.value.__notes__)
    for size in (0, 1.5, True):
        with pytest.raises(ValueError, match="`snn.Unpack`: `size` must be a whole number of 1 or more"):
            snn.Unpack(size)
