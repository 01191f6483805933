"""Kernels for spikes against dense computation, by the share of entries that are not zero.

    python examples/benchmarks/density.py

times the product of one layer (12 800 rows of 700 by 512 weights) and the convolution of another (400 images of 32 maps
of 13x13, 7x7 to 64), and the gradients of their weights: entry by entry, dense in the kernel where it has a dense way
too, and in plain JAX. Each density has its own turns, in which all run one after the other. The library takes the dense
way above a share that was chosen by these figures. What moves the images of the convolution is dense; it is timed once.
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
    for name, (ways, shape, other) in cases().items():
        print(f"\n{name}\n density   " + "".join(f"{way + ' ms':>18s}" for way in ways) + "   the first over (95 %)")
        for density in DENSITIES:
            x = (jr.uniform(jr.key(0), shape) < density).astype(jnp.float32)
            times = in_turn({way: (function, (x, other)) for way, function in ways.items()}, arguments.turns)
            milliseconds = [1e3 * float(np.median(times[way])) for way in ways]
            results.setdefault(name, []).append(dict(zip(ways, milliseconds, strict=True)) | {"density": density})
            first, *others = ways
            ratios = ["{:.2f} ({:.2f}-{:.2f})".format(*ratio(times[first], times[way])) for way in others]
            print(f"{density:8.3f}   " + "".join(f"{ms:18.1f}" for ms in milliseconds) + "   " + ", ".join(ratios))
    ways, errors, maps = image_gradient()
    times = in_turn({way: (function, (errors, maps)) for way, function in ways.items()}, arguments.turns)
    print("\nconvolution, gradient of the images")
    for way, seconds in times.items():
        print(f"{way:>12s} {1e3 * np.median(seconds):8.1f} ms")
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "density.json").write_text(json.dumps(results))
    draw(results, out / "density.png")


def cases() -> dict:
    """By name: the ways to compute it, the shape of the spikes, and what they meet."""
    k1, k2, k3, k4 = jr.split(jr.key(1), 4)
    weights, errors = jr.normal(k1, (700, 512)), jr.normal(k2, (12_800, 512))
    maps, map_errors = jr.normal(k3, (64, 32, 7, 7)), jr.normal(k4, (400, 64, 7, 7))
    rows, images = (12_800, 700), (400, 32, 13, 13)

    def of_product(name, twin, other):
        always = compiled(product, f"_{name}_on_cpu", 1.0, rows, other)
        return {"entries": always, "plain JAX": jax.jit(twin)}, rows, other

    def of_convolution(name, other, **options):
        kernel = functools.partial(compiled, convolution, f"_{name}_on_cpu")
        ways = {way: kernel(few, images, other, **options) for way, few in (("entries", np.inf), ("dense", 0.0))}
        twin = functools.partial(getattr(convolution, f"plain_{name}"), **options)
        return {**ways, "plain JAX": jax.jit(twin)}, images, other

    return {
        "product": of_product("product", product.plain_product, weights),
        "product, gradient of the weights": of_product("transposed_product", product.plain_transposed_product, errors),
        "convolution": of_convolution("convolution", maps, **CONVOLUTION),
        "convolution, gradient of the weights": of_convolution(
            "weight_gradient", map_errors, **CONVOLUTION, kernel=(7, 7)
        ),
    }


def image_gradient() -> tuple[dict, jax.Array, jax.Array]:
    options = {**CONVOLUTION, "image": (13, 13)}
    errors, maps = jr.normal(jr.key(2), (400, 64, 7, 7)), jr.normal(jr.key(3), (64, 32, 7, 7))
    ways = {"dense": convolution._image_gradient_on_cpu, "plain JAX": convolution.plain_image_gradient}
    return {way: jax.jit(functools.partial(f, **options)) for way, f in ways.items()}, errors, maps


def compiled(module, name: str, few: float, shape, other, **options):
    """A kernel that visits entries one by one up to the share `few`, counting included."""
    kept, module.FEW = module.FEW, few
    kernel = jax.jit(functools.partial(getattr(module, name), **options))
    done = kernel.lower(jax.ShapeDtypeStruct(shape, jnp.float32), other).compile()
    module.FEW = kept
    return done


def draw(results: dict, path: pathlib.Path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(3 * len(results), 3), layout="constrained")
    for panel, (name, rows) in zip(panels, results.items(), strict=True):
        density = [row["density"] for row in rows]
        for way, style in (("entries", "C0o-"), ("dense", "C1^-"), ("plain JAX", "C2s--")):
            if way in rows[0]:
                panel.loglog(density, [row[way] for row in rows], style, label=way)
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("share of spikes")
    panels[0].set_ylabel("ms")
    panels[-1].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
