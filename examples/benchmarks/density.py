"""Kernels for spikes against dense computation, by the share of entries that are not zero.

    python examples/benchmarks/density.py

times the product of one layer (12 800 rows of 700 by 512 weights) and the convolution of another (400 images of 32 maps
of 13x13, 7x7 to 64), and the gradients of their weights, by the kernels and by their twins in plain JAX. Each density
has its own turns, in which both run one after the other; where the kernel no longer wins, the library takes the dense
way, at the shares that are printed below.
"""

import argparse
import functools
import json
import os
import pathlib
import platform

import jax
import jax.numpy as jnp
import jax.random as jr
import jaxlib
import numpy as np
from compare import ratio
from plans import in_turn

import snnax
from snnax._kernels import _spike_convolution as convolution, _spike_product as product

DENSITIES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6]
CONVOLUTION = {"stride": (1, 1), "padding": ((0, 0), (0, 0))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9, help="of every density (default: %(default)s)")
    parser.add_argument("--out", default="runs/density", help="folder for the figures (default: %(default)s)")
    arguments = parser.parse_args()
    snnax.kernels()
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, jax {jax.__version__}, jaxlib "
        f"{jaxlib.__version__}; {arguments.turns} turns; load average {os.getloadavg()[0]:.1f}"
    )
    results: dict[str, list] = {}
    for name, (kernel, dense, shape, other) in cases().items():
        print(f"\n{name}\n density   kernel ms    dense ms   kernel / dense (95 %)")
        for density in DENSITIES:
            x = (jr.uniform(jr.key(0), shape) < density).astype(jnp.float32)
            times = in_turn({"kernel": (kernel, (x, other)), "dense": (dense, (x, other))}, arguments.turns)
            middle, low, high = ratio(times["kernel"], times["dense"])
            milliseconds = [1e3 * float(np.median(times[way])) for way in ("kernel", "dense")]
            results.setdefault(name, []).append([density, *milliseconds])
            print(
                f"{density:8.3f} {milliseconds[0]:11.1f} {milliseconds[1]:11.1f} {middle:11.2f} ({low:.2f}-{high:.2f})"
            )
    print(
        f"\nDense above {product.FEW} (products), {product.FEW_FOR_WEIGHTS} (the gradient of their weights) and "
        f"{convolution.FEW} (convolutions)."
    )
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "density.json").write_text(json.dumps(results))
    draw(results, out / "density.png")


def cases() -> dict:
    """By name: the kernel, its twin, the shape of the spikes, and what they meet."""
    always = _without_counting
    k1, k2, k3, k4 = jr.split(jr.key(1), 4)
    weights, errors = jr.normal(k1, (700, 512)), jr.normal(k2, (12_800, 512))
    maps, map_errors = jr.normal(k3, (64, 32, 7, 7)), jr.normal(k4, (400, 64, 7, 7))
    gradient = {**CONVOLUTION, "kernel": (7, 7)}
    images = (400, 32, 13, 13)
    return {
        "product": (always(product, "_product_on_cpu"), jax.jit(product.dense_product), (12_800, 700), weights),
        "product, gradient of the weights": (
            always(product, "_transposed_product_on_cpu"),
            jax.jit(product.dense_transposed_product),
            (12_800, 700),
            errors,
        ),
        "convolution": (
            always(convolution, "_convolution_on_cpu", **CONVOLUTION),
            jax.jit(functools.partial(convolution.dense_convolution, **CONVOLUTION)),
            images,
            maps,
        ),
        "convolution, gradient of the weights": (
            always(convolution, "_weight_gradient_on_cpu", **gradient),
            jax.jit(functools.partial(convolution.dense_weight_gradient, **gradient)),
            images,
            map_errors,
        ),
    }


def _without_counting(module, name: str, **options):
    """The kernel whatever the share of zeros, which is counted all the same."""
    names = [one for one in ("FEW", "FEW_FOR_WEIGHTS") if hasattr(module, one)]
    kept = {one: getattr(module, one) for one in names}
    vars(module).update(dict.fromkeys(names, 1.0))
    shapes = {
        "_product_on_cpu": ((12_800, 700), (700, 512)),
        "_transposed_product_on_cpu": ((12_800, 700), (12_800, 512)),
        "_convolution_on_cpu": ((400, 32, 13, 13), (64, 32, 7, 7)),
        "_weight_gradient_on_cpu": ((400, 32, 13, 13), (400, 64, 7, 7)),
    }
    structs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes[name]]
    compiled = jax.jit(functools.partial(getattr(module, name), **options)).lower(*structs).compile()
    vars(module).update(kept)
    return compiled


def draw(results: dict, path: pathlib.Path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(3 * len(results), 3), layout="constrained")
    for panel, (name, rows) in zip(panels, results.items(), strict=True):
        density, kernel, dense = np.transpose(rows)
        panel.loglog(density, kernel, "o-", color="tab:orange", label="kernel")
        panel.loglog(density, dense, "s--", color="0.5", label="dense")
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("share of spikes")
    panels[0].set_ylabel("ms")
    panels[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
