"""The time loop of layers that hear each other, with the gradients of their weights taken out of it.

The backward pass of a plain `lax.scan` adds to the gradient of every weight in every step: for a product, a small outer
product and a pass over the whole matrix each time. Here the backward loop keeps the errors at the outputs of the layers
without state, and each weight's gradient is one large product of all errors and all inputs, after the loop.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._kernels import using, wanted
from ._layer import StatefulLayer, unroll
from ._node import Composite, Nest, one_step, over_steps


def scan(step: Callable, children: PyTree, carry: PyTree, xs: PyTree) -> tuple[PyTree, PyTree]:
    """`lax.scan(lambda carry, x: step(children, carry, x), carry, xs)`, and the same derivatives of any order.

    **Arguments:**

    - `step`: runs each of the `children` once, by `_node.advance`, and closes over no array.
    - `children`: a pytree of layers.
    """
    weighted = {id(layer) for layer in _weighted(jax.tree.leaves(children, is_leaf=_is_module))}
    leaves, treedef = jax.tree.flatten(children, is_leaf=lambda node: id(node) in weighted)
    layers = [leaf for leaf in leaves if id(leaf) in weighted]
    rest = [None if id(leaf) in weighted else leaf for leaf in leaves]
    if not layers:
        return jax.lax.scan(lambda carry, x: step(children, carry, x), carry, xs, unroll=unroll())
    places = tuple(i for i, leaf in enumerate(leaves) if id(leaf) in weighted)

    def put(layers: Sequence[Any], rest: Sequence[Any]) -> PyTree:
        filled = dict(enumerate(rest)) | dict(zip(places, layers, strict=True))
        return jax.tree.unflatten(treedef, filled.values())

    return _scan(layers, (rest, carry, xs), step=step, put=put, kernels=wanted())


@eqx.filter_custom_jvp
def _scan(layers, others, *, step, put, kernels):
    rest, carry, xs = others
    children = put(layers, rest)
    return jax.lax.scan(lambda carry, x: step(children, carry, x), carry, xs, unroll=unroll())


def _scan_jvp(primals, tangents, *, step, put, kernels):
    layers, others = primals
    layer_tangents, other_tangents = tangents
    moving_layers, still_layers = eqx.partition(layers, _moving(layer_tangents))
    moving, still = eqx.partition(others, _moving(other_tangents))

    def loop(moving, errors):
        rest, carry, xs = eqx.combine(moving, still)

        def probed_step(carry, x_and_errors):
            x, errors = x_and_errors
            probes = [_Probe(layer, error) for layer, error in zip(layers, errors, strict=True)]
            carry, y = step(put(probes, rest), carry, x)
            return carry, (y, [probe.given for probe in probes])

        carry, (ys, given) = jax.lax.scan(probed_step, carry, (xs, errors), unroll=unroll())
        results, aux = eqx.partition((carry, ys), eqx.is_inexact_array)
        return results, (aux, given)

    steps = jax.tree.leaves(others[2])[0].shape[0]
    errors = [jnp.zeros((steps, *out.shape), out.dtype) for out in _outputs_of_a_step(layers, others, step, put)]
    results, linear, (aux, given) = jax.linearize(loop, moving, errors, has_aux=True)

    def outputs(moving_layers):
        each = zip(eqx.combine(moving_layers, still_layers), given, strict=True)
        return [over_steps(layer, x, key) for layer, (x, key) in each]

    with using(kernels):
        _, error_tangents = jax.jvp(outputs, (moving_layers,), (layer_tangents,))
    return eqx.combine(results, aux), linear(other_tangents, error_tangents)


_scan.def_jvp(_scan_jvp)


class _Probe:
    """Stands for a layer without state inside the loop: notes what goes in and out, and adds `error` to the output.

    The error is 0. It is there for its derivative.
    """

    def __init__(self, layer: Any, error: Array | None = None):
        self.layer, self.error = layer, error
        self.given: Any = None
        self.out: Any = None

    def __call__(self, x: Any, *, key: PRNGKeyArray | None = None) -> Array:
        self.given, self.out = (x, key), one_step(self.layer, x, key)
        return self.out if self.error is None else _with_error(self.out, self.error)


@jax.custom_jvp
def _with_error(out, error):
    """`out + error` for an error of 0, which costs nothing."""
    return out


@_with_error.defjvp
def _with_error_jvp(primals, tangents):
    return primals[0], tangents[0] + tangents[1]


def _outputs_of_a_step(layers: Sequence[Any], others: PyTree, step: Callable, put: Callable) -> list:
    """What the outputs of `layers` look like in one step."""

    def outputs(layers, others):
        rest, carry, xs = others
        probes = [_Probe(layer) for layer in layers]
        step(put(probes, rest), carry, jax.tree.map(lambda a: a[0], xs))
        return [probe.out for probe in probes]

    return eqx.filter_eval_shape(outputs, layers, others)


def _moving(tangents: PyTree) -> PyTree:
    return jax.tree.map(lambda tangent: tangent is not None, tangents, is_leaf=lambda tangent: tangent is None)


def _is_module(node: Any) -> bool:
    return isinstance(node, eqx.Module)


def _weighted(children: Sequence[Any]) -> Iterator[Any]:
    """The layers without state that have weights, also those inside of containers."""
    for child in children:
        if isinstance(child, (Composite, Nest)):
            yield from _weighted(child.children)
        elif not isinstance(child, StatefulLayer) and any(map(eqx.is_inexact_array, jax.tree.leaves(child))):
            yield child
