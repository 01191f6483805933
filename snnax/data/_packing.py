"""Binary frames, eight in a byte."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Shaped, UInt8


def pack_frames(frames: Shaped[Array | np.ndarray, "*shape n"]) -> UInt8[Array | np.ndarray, "*shape bytes"]:
    """Frames of 0 and 1, with eight entries along the last axis in a byte, an eighth of uint8 and a 32nd of float32.

        packed = data.pack_frames(frames)                               # (time, 2, 128, 128) to (time, 2, 128, 16)
        model = snn.Sequential(snn.Unpack(128), eqx.nn.Conv2d(...), ...)
        outs = model(states, packed, plan=snn.Chunked())                # unpacked chunk by chunk

    The bits are in NumPy's order: `np.unpackbits(packed, axis=-1, count=n)` gives the frames back.

    **Arguments:** `frames`: of any shape and real dtype. Other values than 0 and 1 are refused; of traced frames, which
    have no values yet, all that is not 0 counts as 1.

    **Returns:** the bytes, `(..., ceil(n / 8))`: in NumPy for NumPy's arrays, on the device for others.
    """
    owner = "data.pack_frames"
    if frames.ndim == 0:
        raise ValueError(f"`{owner}`: `frames` must have an axis along which to pack, got the shape ().")
    module = np if isinstance(frames, np.ndarray) else jnp
    ones = frames.astype(bool)
    if not isinstance(frames, Tracer) and not bool((ones.astype(frames.dtype) == frames).all()):
        raise ValueError(
            f"`{owner}`: `frames` must be of 0 and 1, got values from {frames.min()} to {frames.max()}. Make them by "
            "`data.bin_events(..., mode=data.Binary())`, or by `frames > 0` if that is meant."
        )
    return module.packbits(ones, axis=-1)
