"""What of snnax runs in compiled code here."""

import jax

from ._library import PALLAS, VARIABLE, generated_wanted, missing

_KERNELS = {
    "products of spikes": "matrices that are mostly zeros, bytes too, times weights, and the gradient of the weights",
    "convolutions": "images in two dimensions, by the entries that are not zero where these are few, and all gradients",
    "neuron loops": "LIF, IAF, their simple forms, ALIF, AdaptiveLIF, LI and SimpleLI over time, and backwards",
    "recurrent loops": "Recurrent of a LIF or SimpleLIF and a linear layer over time, and backwards",
}


def kernels() -> None:
    """Prints which kernels are active here, and why the others are not.

    Kernels are compiled when snnax is installed and a C++ compiler is at hand, and act on a CPU, in float32, under
    `snn.LayerByLayer()` and `snn.Chunked()`, on arrays that are large enough. Without them everything runs in plain
    JAX, with the same results to rounding. The environment variable `SNNAX_KERNELS=0` turns them off for a process, and
    `snn.LayerByLayer(kernels=False)` for a call.

    The generated loops are made by Pallas from a layer's own step, for a GPU. They have been checked where they are
    interpreted, on a CPU, and never been measured on a GPU, so they act only where the environment says
    `SNNAX_KERNELS=pallas`, which leaves the compiled kernels out; on a CPU they are interpreted then, for tests.
    """
    backend = jax.default_backend()
    why = missing() if backend == "cpu" else f"JAX runs on the platform {backend!r}, and these are for CPUs"
    for name, what in _KERNELS.items():
        print(f"{name:<24}{'active' if why is None else 'off'}   {what}")
    print(
        f"{'generated loops':<24}{'active' if generated_wanted() else 'off'}   any layer that treats each neuron alone"
    )
    if why is not None:
        print(f"Off because {why}.")
    if not generated_wanted():
        print(
            "Generated loops are for GPUs: written, checked in interpret mode, not measured on a GPU. "
            f"{VARIABLE}={PALLAS} turns them on."
        )
    elif backend != "gpu":
        how = "interpreted, which is slow and for tests" if backend == "cpu" else "run in plain JAX"
        print(f"On the platform {backend!r} generated loops are {how}.")
