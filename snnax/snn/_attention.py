"""Self-attention among tokens that spike."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from ._each import Each
from ._graph import Graph
from ._merge import AbstractMerge
from ._sequential import Sequential


class Attend(AbstractMerge):
    r"""Of queries, keys and values, each `(tokens, features)`: $Q K^\top V\, s$ in each of several heads, no softmax.

    There are `heads` heads, and $s$ is `scale`. It takes three edges, in this order. Without a softmax the product may
    begin at either end: it begins at $Q K^\top$ for fewer tokens than features in a head, else at $K^\top V$.
    """

    heads: int = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __call__(self, signals: Sequence[Array]) -> Array:
        query, key, value = (signal.reshape(len(signal), self.heads, -1) for signal in signals)
        if len(key) < key.shape[-1]:
            out = jnp.einsum("hnm,mhv->nhv", jnp.einsum("nhf,mhf->hnm", query, key), value)
        else:
            out = jnp.einsum("nhf,hfv->nhv", query, jnp.einsum("mhf,mhv->hfv", key, value))
        return self.scale * out.reshape(len(out), -1)

    def guess(self, shapes: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
        query, _, value = shapes
        return None if query is None or value is None else (query[0], value[1])

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        if len(shapes) != 3 or any(len(shape) != 2 or shape[1] % self.heads for shape in shapes):
            return False
        query, key, value = shapes
        return query[1] == key[1] and key[0] == value[0]


def _layer_norm(features: int) -> Each:
    return Each(eqx.nn.LayerNorm(features))


def spiking_self_attention(
    features: int,
    heads: int,
    neuron: Any,
    *,
    scale: float = 0.25,
    norm: Callable[[int], Any] = _layer_norm,
    key: PRNGKeyArray,
) -> Graph:
    r"""Attention among tokens by spikes: a graph on inputs of shape `(tokens, features)`.

    $$Q, K, V = \text{neuron}(\text{norm}(x W_{Q, K, V})), \qquad y = \text{neuron}(\text{norm}(\text{neuron}(Q K^\top
    V\, s)\, W))$$

    Spikes make similarities that are never negative, so there is no softmax. In `outs` the nodes are `"query"`,
    `"key"`, `"value"`, `"attention"` (the spikes of all heads, side by side) and `"out"`.

        attention = snn.spiking_self_attention(8, 2, snn.SimpleLIF(0.9), key=key)
        states, outs = attention(attention.init_state((5, 8)), jnp.ones((10, 5, 8)))    # outs["out"][-1]: (10, 5, 8)

    With the batch normalisation of the paper, whose channels are axis 0:

        transpose = eqx.nn.Lambda(jnp.transpose)
        attention = snn.spiking_self_attention(
            8,
            2,
            snn.SimpleLIF(0.9),
            norm=lambda features: snn.Sequential(transpose, snn.BatchNorm(features), transpose),
            key=key,
        )
        states, xs = attention.init_state((5, 8)), jnp.ones((4, 10, 5, 8))              # a batch of 4
        states, outs = jax.vmap(attention, in_axes=(None, 0), axis_name="batch")(states, xs)

    Source: Z. Zhou et al. 2023, arXiv:2209.15425 (Spikformer).

    **Arguments:**

    - `features`: the size of a token, a multiple of `heads`.
    - `heads`: the number of heads.
    - `neuron`: a layer, which is put at all five places.
    - `scale`: $s$. Default 0.25; published as 0.125 for neurons with half the threshold, which is the same.
    - `norm`: a function from a number of features to the layer on `(tokens, features)` that is put behind every linear
        map. Default: `lambda features: snn.Each(eqx.nn.LayerNorm(features))`, by which neurons fire at whatever rate
        the input has; published with batch normalisation, as above. For none: `lambda features: eqx.nn.Identity()`.
    - `key`: draws the weights.
    """
    if (
        not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in (features, heads))
        or features % heads
    ):
        raise ValueError(
            f"`snn.spiking_self_attention`: `features` must be a multiple of `heads`, got {features} and {heads}."
        )
    keys = jr.split(key, 4)
    names = ("query", "key", "value")
    nodes: dict[str, Any] = {
        name: Sequential(*_linear(features, features, norm, k), neuron) for name, k in zip(names, keys, strict=False)
    }
    nodes["attention"] = neuron
    nodes["out"] = Sequential(*_linear(features, features, norm, keys[3]), neuron)
    return Graph(
        nodes,
        [*(("input", name) for name in names), *((name, "attention") for name in names), ("attention", "out")],
        outputs=("out",),
        merge={"attention": Attend(heads, scale)},
    )


def spiking_transformer_block(
    features: int,
    heads: int,
    neuron: Any,
    *,
    hidden_features: int | None = None,
    scale: float = 0.25,
    norm: Callable[[int], Any] = _layer_norm,
    key: PRNGKeyArray,
) -> Graph:
    r"""Self-attention and two linear layers, each with a shortcut: a graph on inputs of shape `(tokens, features)`.

    $$y = x + \text{attention}(x), \qquad z = y + \text{neuron}(\text{norm}(\text{neuron}(\text{norm}(y W_1))\, W_2))$$

    In `outs` the nodes are `"attention"` (see `snn.spiking_self_attention`), `"attended"` ($y$), `"mlp"` and `"out"`
    ($z$), which is no spike train but a sum of such. A small network on images of `(channels, height, width)`:

        net = snn.Sequential(
            eqx.nn.Conv2d(2, 16, 4, stride=4, key=k1),
            eqx.nn.Lambda(lambda x: x.reshape(16, -1).T),       # one token for each place
            snn.SimpleLIF(0.9),
            snn.spiking_transformer_block(16, 4, snn.SimpleLIF(0.9), key=k2),
            eqx.nn.Lambda(lambda x: x.mean(0)),
            eqx.nn.Linear(16, 10, key=k3),
            snn.SimpleLI(0.9),
        )
        states, outs = net(net.init_state((2, 16, 16)), jnp.ones((5, 2, 16, 16)))       # outs[-1]: (5, 10)

    Source: Z. Zhou et al. 2023, arXiv:2209.15425 (Spikformer).

    **Arguments:**

    - `features`, `heads`, `neuron`, `scale`, `norm`, `key`: as for `snn.spiking_self_attention`.
    - `hidden_features`: the size between the two linear layers. Default: four times `features`.
    """
    keys = jr.split(key, 3)
    hidden = 4 * features if hidden_features is None else hidden_features
    return Graph(
        {
            "attention": spiking_self_attention(features, heads, neuron, scale=scale, norm=norm, key=keys[0]),
            "attended": eqx.nn.Identity(),
            "mlp": Sequential(
                *_linear(features, hidden, norm, keys[1]), neuron, *_linear(hidden, features, norm, keys[2]), neuron
            ),
            "out": eqx.nn.Identity(),
        },
        [
            *[("input", "attention"), ("input", "attended"), ("attention", "attended")],
            *[("attended", "mlp"), ("attended", "out"), ("mlp", "out")],
        ],
        outputs=("out",),
    )


def _linear(in_features: int, out_features: int, norm: Callable[[int], Any], key: PRNGKeyArray) -> tuple[Any, Any]:
    return Each(eqx.nn.Linear(in_features, out_features, key=key)), norm(out_features)
