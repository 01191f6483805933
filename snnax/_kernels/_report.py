"""What of snnax runs in compiled code here."""

import jax

from ._library import missing

_KERNELS = {
    "products of spikes": "matrices that are mostly zeros times weights, and the gradient of the weights",
    "convolutions": "images in two dimensions, by the entries that are not zero where these are few, and all gradients",
    "neuron loops": "LIF, SimpleLIF, IAF, SimpleIAF, LI and SimpleLI over time, and backwards",
}


def kernels() -> None:
    """Prints which kernels are active here, and why the others are not.

    Kernels are compiled when snnax is installed and a C++ compiler is at hand, and act on a CPU, in float32, under
    `snn.LayerByLayer()` and `snn.Chunked()`, on arrays that are large enough. Without them everything runs in plain
    JAX, with the same results to rounding. The environment variable `SNNAX_KERNELS=0` turns them off for a process, and
    `snn.LayerByLayer(kernels=False)` for a call.
    """
    backend = jax.default_backend()
    why = missing() if backend == "cpu" else f"JAX runs on the platform {backend!r}, and these are for CPUs"
    for name, what in _KERNELS.items():
        print(f"{name:<24}{'active' if why is None else 'off'}   {what}")
    if why is not None:
        print(f"Off because {why}.")
