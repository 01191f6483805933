"""Weights drawn anew: by any rule of `jax.nn.initializers`, or so that neurons are driven by fluctuations."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.tree_util import GetAttrKey
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import POSITIVE, acting
from ._feeds import feeds_of
from ._layer import name_of
from ._membrane import kernel_of
from ._record import Path, find, replaced, written
from ._recurrent import Recurrent

LINEAR = (eqx.nn.Linear, eqx.nn.Conv, eqx.nn.ConvTranspose)


def initialise(model: PyTree, initialiser: Callable, key: PRNGKeyArray, *, bias: Callable | None = None) -> Any:
    """Draws all weights of linear layers and convolutions anew, wherever they are in `model`.

        model = snn.initialise(model, jax.nn.initializers.orthogonal(), key, bias=jax.nn.initializers.zeros)
        model = snn.initialise(model, jax.nn.initializers.he_normal(), key)

    Equinox keeps weights as (out, in, *kernel). The initialiser sees them as it expects them by default, (*kernel, in,
    out), so that its fan-in is what one output sums over. Parameters of neurons and of normalisations stay as they are;
    the length in an `eqx.nn.WeightNorm` becomes that of the new weights.

    Source for orthogonal weights: A. Saxe et al. 2014, arXiv:1312.6120; for `he_normal`: K. He et al. 2015,
    arXiv:1502.01852.

    **Arguments:**

    - `model`: any pytree with layers in it.
    - `initialiser`: `(key, shape, dtype) -> array`, as those of `jax.nn.initializers`.
    - `key`: every layer draws with another one.
    - `bias`: an initialiser for the biases. Default: they stay as they are.

    **Returns:** the model with new weights.
    """
    for name, rule in (("initialiser", initialiser), ("bias", bias)):
        if not callable(rule) and not (name == "bias" and rule is None):
            raise TypeError(
                f"`snn.initialise`: `{name}` must be an initialiser `(key, shape, dtype)`, such as "
                f"`jax.nn.initializers.he_normal()`, got {rule!r}."
            )
    numbers = iter(range(len(jax.tree.leaves(model))))

    def draw(node):
        if isinstance(node, eqx.nn.WeightNorm):
            return eqx.nn.WeightNorm(draw(node.layer), node.weight_name, node.axis)
        if not isinstance(node, LINEAR):
            return node
        of_weight, of_bias = jr.split(jr.fold_in(key, next(numbers)))
        node = eqx.tree_at(lambda layer: layer.weight, node, _drawn(initialiser, of_weight, node.weight))
        if bias is None or node.bias is None:
            return node
        return eqx.tree_at(lambda layer: layer.bias, node, bias(of_bias, node.bias.shape, node.bias.dtype))

    return jax.tree.map(draw, model, is_leaf=lambda node: isinstance(node, (*LINEAR, eqx.nn.WeightNorm)))


def _drawn(initialiser: Callable, key: PRNGKeyArray, weight: Array) -> Array:
    out, inputs, *kernel = weight.shape
    return jnp.moveaxis(initialiser(key, (*kernel, inputs, out), weight.dtype), (-1, -2), (0, 1))


def fluctuation_init(
    model: Any,
    rate: float,
    key: PRNGKeyArray,
    *,
    input_rate: float | None = None,
    mean: float = 0.0,
    xi: float = 1.0,
    feedforward: float = 0.9,
) -> Any:
    r"""Draws the weights in front of all neurons so that fluctuations of their input make them fire.

    For inputs that spike independently, at a rate $\nu$ per step, neurons that never fired would have potentials of
    mean $\mu$ and standard deviation $\sigma = (\theta - \mu) / \xi$:

    $$\mu_w = \frac{\mu - v_0}{\bar\epsilon \sum_j \nu_j}, \qquad \sigma_w^2 + \mu_w^2 =
    \frac{\sigma^2}{\hat\epsilon \sum_j \nu_j (1 - \nu_j)}$$

    with sums over the inputs of a neuron, and $\bar\epsilon$, $\hat\epsilon$ the sums over time of its response to an
    impulse and of that squared. Weights are normal, biases 0. The source has a Poisson process, of variance $\nu$; a
    spike or none in a step has $\nu (1 - \nu)$.

    The synapse of a `snn.Recurrent`, where it is a linear layer or a convolution, gets weights of mean 0 and the rest
    of $\sigma^2$. What lies between weights and neurons is not accounted for: a sum over a window makes fluctuations
    larger. `snn.calibrate` accounts for all of it.

    Source: J. Rossbroich, J. Gygax and F. Zenke 2022, doi:10.1088/2634-4386/ac97bb.

    **Arguments:**

    - `model`: a network. Neurons without weights in front stay as they are.
    - `rate`: $\nu$, the rate at which neurons are meant to fire, in spikes per step, in (0, 1).
    - `key`: every layer draws with another one.
    - `input_rate`: the rate of the inputs of the network. Default: `rate`.
    - `mean`: $\mu$, below the threshold. Default 0.
    - `xi`: $\xi > 0$, how many standard deviations the threshold lies above the mean; the source finds 1 to 3 good.
        Default 1.
    - `feedforward`: the share of $\sigma^2$ that comes from in front, in (0, 1], where the neurons are recurrent.
        Default 0.9.

    **Returns:** the model with new weights.
    """
    owner = "snn.fluctuation_init"
    input_rate = rate if input_rate is None else input_rate
    for name, value in (("rate", rate), ("input_rate", input_rate)):
        if not isinstance(value, (int, float)) or not 0 < value < 1:
            raise ValueError(f"`{owner}`: `{name}` must be in (0, 1) spikes per step, got {value!r}.")
    if not xi > 0 or not 0 < feedforward <= 1:
        raise ValueError(f"`{owner}`: `xi` must be above 0 and `feedforward` in (0, 1], got {xi} and {feedforward}.")
    feeds = [feed for feed in feeds_of(model) if feed.weights]
    if not feeds:
        raise ValueError(f"`{owner}`: this network has no spiking layer with weights in front of it.")
    new: dict[Path, tuple[float, float]] = {}
    for feed in feeds:
        name, neurons = written(feed.neurons), find(model, feed.neurons)
        for one in feed.weights:
            if not isinstance(find(model, one.path), LINEAR):
                raise TypeError(
                    f"`{owner}`: in front of the neurons '{name}' is `{name_of(find(model, one.path))}`, "
                    f"'{written(one.path)}', but it takes linear layers and convolutions. `snn.calibrate` takes any."
                )
        try:
            rest, integral, square = kernel_of(name, neurons)
        except ValueError as error:
            raise ValueError(f"`{owner}`: {error}") from None
        threshold = float(jnp.mean(acting(neurons.threshold, jnp.zeros(()).dtype, POSITIVE)))
        if not mean < threshold:
            raise ValueError(f"`{owner}`: `mean` must be below the threshold of '{name}', {threshold:g}, got {mean}.")
        variance = ((threshold - mean) / xi) ** 2
        synapse = _synapse(model, feed.neurons)
        share = 1.0 if synapse is None else feedforward
        rates = [(rate if one.behind_neurons else input_rate, _inputs(find(model, one.path))) for one in feed.weights]
        of_mean = (mean - rest) / (integral * sum(nu * n for nu, n in rates))
        of_square = share * variance / (square * sum(nu * (1 - nu) * n for nu, n in rates))
        if of_square <= of_mean**2:
            raise ValueError(
                f"`{owner}`: for `mean={mean}` the weights in front of '{name}' need a mean of {of_mean:.3g}, whose "
                f"own fluctuations are larger than `xi={xi}` allows. Give a smaller `xi`, or a `mean` nearer to "
                f"{rest:g}."
            )
        deviation = math.sqrt(of_square - of_mean**2)
        new |= {one.path: (of_mean, deviation) for one in feed.weights}
        if synapse is not None:
            of_square = (1 - share) * variance / (square * rate * (1 - rate) * _inputs(find(model, synapse)))
            new[synapse] = 0.0, math.sqrt(of_square)
    drawn = zip(new.items(), jr.split(key, len(new)), strict=True)
    return replaced(model, {path: _normal(find(model, path), mean, std, one) for (path, (mean, std)), one in drawn})


def _synapse(model: Any, neurons: Path) -> Path | None:
    """Where the synapse of recurrent neurons is, if it is a linear layer or a convolution."""
    if not neurons or not isinstance(find(model, neurons[:-1]), Recurrent):
        return None
    path = (*neurons[:-1], GetAttrKey("synapse"))
    return path if neurons[-1] == GetAttrKey("neuron") and isinstance(find(model, path), LINEAR) else None


def _inputs(layer: Any) -> float:
    """How many inputs come together in one output."""
    n = float(math.prod(layer.weight.shape[1:]))
    return n / math.prod(layer.stride) if isinstance(layer, eqx.nn.ConvTranspose) else n


def _normal(layer: Any, mean: float, deviation: float, key: PRNGKeyArray) -> Any:
    weight = mean + deviation * jr.normal(key, layer.weight.shape, layer.weight.dtype)
    layer = eqx.tree_at(lambda layer: layer.weight, layer, weight)
    return layer if layer.bias is None else eqx.tree_at(lambda layer: layer.bias, layer, jnp.zeros_like(layer.bias))
