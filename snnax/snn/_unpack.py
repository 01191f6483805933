"""Bits of bytes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ..functional._encoding import as_count


class Unpack(eqx.Module):
    """Bytes become frames of 0 and 1 inside of the network, one time step or one chunk of them at a time.

        model = snn.Sequential(snn.Unpack(128), eqx.nn.Conv2d(2, 16, 5, key=key), snn.LIF([0.95, 0.9]))
        states = model.init_state((2, 128, 16))                         # frames of (2, 128, 128) in bytes
        states, outs = model(states, packed, plan=snn.Chunked())        # packed: data.pack_frames(frames), uint8

    A container computes whole numbers in the dtype of its weights; every floating dtype, bfloat16 too, holds every
    byte, so the bits come out in that dtype and are exact. Under `snn.Chunked` no more than a chunk is ever unpacked,
    forwards or backwards; under `snn.StepByStep` no more than a step, where no gradient is taken. A kernel reads the
    bits as they are where an `eqx.nn.Linear` follows, with at most `snn.Flatten()` between.
    """

    size: int = eqx.field(static=True)

    def __init__(self, size: int):
        """**Arguments:** `size`: the length of the last axis of the frames, 1 or more."""
        self.size = as_count("snn.Unpack", "size", size)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: bytes, `(..., ceil(size / 8))`, in any real dtype. `key` is ignored.

        **Returns:** their bits, `(..., size)`, in the dtype of `x`.
        """
        n = -(-self.size // 8)
        if x.shape[-1:] != (n,):
            raise ValueError(
                f"`snn.Unpack({self.size})` takes bytes of shape (..., {n}), as `data.pack_frames` makes them, got "
                f"{x.shape}."
            )
        # By way of int32, for machines differ in what byte a negative float becomes.
        whole = x.astype(jnp.int32).astype(jnp.uint8)
        return jnp.unpackbits(whole, axis=-1, count=self.size).astype(x.dtype)
