"""The table of layers and NIR nodes, both directions side by side."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .. import snn
from .._parameter import DECAY, POSITIVE, REAL, Fixed, acting
from ..functional.surrogate import AbstractRandomSurrogate, AbstractSurrogate
from ..snn._filter import acting_gain
from ._error import import_nir
from ._terms import NotExpressible, Pair, Terms

nir: Any = import_nir("snnax.nir")

LIMIT = 2**28
"""The most values that a node may give in a time step, or hold for later ones."""


ROUNDING = 1e-6
"""By how much of itself a time of float32 may differ from the one that is meant."""


# Numbers: to NIR in float64, in which a time constant gives back the decay of float32 exactly.


def _full(value: Any, shape: tuple[int, ...], interval=REAL) -> np.ndarray:
    """The values that act, one for each neuron."""
    return np.broadcast_to(np.asarray(acting(value, jnp.zeros(()).dtype, interval), np.float64), shape).copy()


def _gain(gain: Any, decay: Any, shape: tuple[int, ...]) -> np.ndarray:
    alpha = acting(decay, jnp.zeros(()).dtype, DECAY)
    return np.broadcast_to(np.asarray(acting_gain(gain, alpha), np.float64), shape).copy()


def _constant(values: Any) -> Any:
    """A number where all values are one, and otherwise an array that is not trained."""
    values = np.asarray(values)
    array = values.astype(jnp.zeros(()).dtype)
    if not np.all(np.isfinite(array)):
        raise NotExpressible(
            f"its values do not fit into {array.dtype}: {np.ravel(values)[~np.isfinite(array).ravel()][:3]}"
        )
    return float(array.flat[0]) if np.all(array == array.flat[:1]) else Fixed(jnp.asarray(array))


def _weights(values: Any) -> Any:
    return jnp.asarray(values, jnp.zeros(()).dtype)


def _written(values: Any) -> np.ndarray:
    """Weights as they are, but no narrower than float32: bfloat16 is no number in a file."""
    array = np.asarray(values)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _filter_to_node(decay: Any, gain: Any, shape: tuple[int, ...], terms: Terms, which: str) -> tuple[Any, Any]:
    r"""$\tau$, and the input's factor in NIR's equation, of one leaky filter."""
    alpha = _full(decay, shape, DECAY)
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = terms.discretisation.tau(alpha, terms.dt)
    lost = ~(np.isfinite(tau) & (tau > 0))
    if np.any(lost):
        wrong = alpha[lost].flat[0]
        remedy = (
            "Neurons that decay and neurons that do not cannot share a node: make two layers of them"
            if wrong == 1
            else "`discretisation=snnax.nir.ForwardEuler()` has one"
        )
        raise NotExpressible(
            f"`{type(terms.discretisation).__name__}` has no time constant for a decay of {wrong:g} of the {which}. "
            f"{remedy}"
        )
    return tau, _gain(gain, decay, shape) / terms.discretisation.gain(tau, terms.dt)


def _filter_to_layer(tau: np.ndarray, factor: np.ndarray, terms: Terms, which: str) -> tuple[Any, Any]:
    """The decay and the gain of one leaky filter."""
    tau, factor = np.asarray(tau, np.float64), np.asarray(factor, np.float64)
    decay = np.asarray(terms.discretisation.decay(tau, terms.dt))
    decay = np.where((decay < 0) & (decay >= -ROUNDING), 0.0, decay)
    if np.any(decay < 0):
        raise NotExpressible(
            f"`dt={terms.dt:.7g}` is longer than the time constant {np.min(tau):.7g} of the {which}, so its decay "
            "would be negative. Give a `dt` that is not, or `discretisation=snnax.nir.ExponentialEuler()`"
        )
    return _constant(decay), _constant(factor * terms.discretisation.gain(tau, terms.dt))


# Thresholds: NIR's neurons fire above theirs, ours at it.


def threshold_from_nir(v_threshold: Any) -> Any:
    """The threshold of a layer, which fires at it, for that of a NIR node, which fires above.

    It is the lowest floating number above each value; above 0, the lowest that hardware does not round to 0.

    **Arguments:** `v_threshold`: a number or an array, of any shape.

    **Returns:** a number where all are one, and otherwise `snn.Fixed`, of their shape in JAX's floating dtype.
    """
    values, dtype = np.asarray(v_threshold, np.float64), jnp.zeros(()).dtype
    near = values.astype(dtype)
    above = np.where(near > values, near, np.nextafter(near, np.asarray(np.inf, dtype)))
    tiny = jnp.finfo(dtype).tiny
    return _constant(np.where((above > 0) & (above < tiny), tiny, above))


def threshold_to_nir(threshold: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The threshold of a NIR node, which fires above it, for that of a layer, which fires at it.

    It is the highest floating number below each value, in JAX's floating dtype: what `threshold_from_nir` undoes.

    **Arguments:** `threshold`: a number, an array or `snn.Fixed`; `shape`: that of the neurons.

    **Returns:** an array of `shape`, one value for each neuron.
    """
    values = np.asarray(acting(threshold, jnp.zeros(()).dtype))
    below = np.nextafter(values, np.asarray(-np.inf, values.dtype))
    tiny = jnp.finfo(values.dtype).tiny
    below = np.where((below > 0) & (below < tiny), 0, below)
    return np.broadcast_to(below.astype(np.float64), shape).copy()


def _check_step(spike_fn: Any) -> None:
    is_step = isinstance(spike_fn, AbstractSurrogate) and not isinstance(spike_fn, AbstractRandomSurrogate)
    tried = jnp.array([-1.5, -0.5, 0.0, 0.5, 1.5, 7.0])
    if not is_step or not np.array_equal(AbstractSurrogate.__call__(spike_fn, tried), [0, 0, 1, 1, 1, 1]):
        raise NotExpressible(
            f"its `spike_fn`, `{type(spike_fn).__name__}`, gives something else than 1 at the threshold and above and "
            "0 below, which NIR cannot say. Give it a plain surrogate, such as `surrogate.SuperSpike()`"
        )


def _firing_to_node(layer: snn.SpikingLayer, shape: tuple[int, ...], terms: Terms) -> dict[str, np.ndarray]:
    _check_step(layer.spike_fn)
    _check_init(layer.init_fn)
    if layer.refractory:
        raise NotExpressible(f"NIR has no refractory time, and it has `refractory={layer.refractory}`")
    threshold = threshold_to_nir(acting(layer.threshold, jnp.zeros(()).dtype, POSITIVE), shape)
    if terms.reset is not None:
        if not _same_reset(layer.reset, terms.reset):
            raise NotExpressible(
                f"`reset={terms.reset}` is one for all neurons of the file, and it has `reset={layer.reset}`. Give all "
                "neurons of the network the same reset"
            )
        return {"v_threshold": threshold, "v_reset": np.zeros(shape)}
    if not isinstance(layer.reset, snn.ResetToValue):
        raise NotExpressible(
            f"NIR resets to a value, and it has `reset={layer.reset}`. `to_nir(..., reset={layer.reset})` leaves the "
            "reset of such neurons out of the file; whoever reads it must be told the same, as `from_nir(..., "
            f"reset={layer.reset})` does"
        )
    return {"v_threshold": threshold, "v_reset": _full(layer.reset.value, shape)}


def _same_reset(one: snn.AbstractReset, other: snn.AbstractReset) -> bool:
    """Whether they are one in the forward pass, which is all that a file has."""
    if isinstance(one, snn.ResetToValue) and isinstance(other, snn.ResetToValue):
        one_value, other_value = (acting(reset.value, jnp.zeros(()).dtype) for reset in (one, other))
        return bool(np.all(one_value == other_value))
    return type(one) is type(other)


def _firing_to_layer(node: Any, terms: Terms) -> dict[str, Any]:
    if np.any(node.v_threshold <= 0):
        raise NotExpressible(
            f"`v_threshold` must be above 0, got {np.min(node.v_threshold):g}. Shift all potentials of the node by the "
            "same value: `v_threshold`, `v_reset` and `v_leak`"
        )
    reset = snn.ResetToValue(_constant(node.v_reset)) if terms.reset is None else terms.reset
    return {"threshold": threshold_from_nir(node.v_threshold), "reset": reset}


def _check_init(init_fn: Any) -> None:
    if init_fn is not None:
        raise NotExpressible("NIR has no initial potentials, and it has an `init_fn`. Leave it out")


# Neurons.


def _if_to_node(layer: snn.SimpleIAF, shape, terms):
    leak = _full(layer.leak, shape)
    if np.any(leak != 0):
        raise NotExpressible("NIR has no linear leak, and it has a `leak`. Give it `leak=0.0`")
    return nir.IF(r=_full(layer.gain, shape) / terms.if_dt, **_firing_to_node(layer, shape, terms))


def _if_to_layer(node, terms):
    return snn.SimpleIAF(gain=_constant(np.asarray(node.r, np.float64) * terms.if_dt), **_firing_to_layer(node, terms))


def _lif_to_node(layer: snn.SimpleLIF, shape, terms):
    tau, r = _filter_to_node(layer.decay_constants, layer.gain, shape, terms, "membrane")
    return nir.LIF(tau=tau, r=r, v_leak=_full(layer.rest, shape), **_firing_to_node(layer, shape, terms))


def _lif_without_leak_to_node(layer: snn.SimpleLIF, shape, terms):
    _check_integrates(layer, shape)
    r = _gain(layer.gain, layer.decay_constants, shape) / terms.if_dt
    return nir.IF(r=r, **_firing_to_node(layer, shape, terms))


def _lif_to_layer(node, terms):
    decay, gain = _filter_to_layer(node.tau, node.r, terms, "membrane")
    return snn.SimpleLIF(decay, gain=gain, rest=_constant(node.v_leak), **_firing_to_layer(node, terms))


def _synapse_to_node(layer: snn.LIF | snn.LI, shape, terms) -> dict[str, np.ndarray]:
    tau_mem, r = _filter_to_node(layer.decay_constants[0], layer.gain[0], shape, terms, "membrane")
    tau_syn, w_in = _filter_to_node(layer.decay_constants[1], layer.gain[1], shape, terms, "synapse")
    return {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": r, "w_in": w_in, "v_leak": _full(layer.rest, shape)}


def _synapse_to_layer(node, terms) -> tuple[list[Any], dict[str, Any]]:
    membrane, g_v = _filter_to_layer(node.tau_mem, node.r, terms, "membrane")
    synapse, g_i = _filter_to_layer(node.tau_syn, node.w_in, terms, "synapse")
    return [membrane, synapse], {"gain": [g_v, g_i], "rest": _constant(node.v_leak)}


def _cuba_lif_to_node(layer: snn.LIF, shape, terms):
    return nir.CubaLIF(**_synapse_to_node(layer, shape, terms), **_firing_to_node(layer, shape, terms))


def _cuba_lif_to_layer(node, terms):
    decays, filters = _synapse_to_layer(node, terms)
    return snn.LIF(decays, **filters, **_firing_to_layer(node, terms))


def _cuba_li_to_node(layer: snn.LI, shape, terms):
    _check_init(layer.init_fn)
    return nir.CubaLI(**_synapse_to_node(layer, shape, terms))


def _cuba_li_to_layer(node, terms):
    decays, filters = _synapse_to_layer(node, terms)
    return snn.LI(decays, **filters)


def _li_to_node(layer: snn.SimpleLI, shape, terms):
    _check_init(layer.init_fn)
    tau, r = _filter_to_node(layer.decay_constants, layer.gain, shape, terms, "membrane")
    return nir.LI(tau=tau, r=r, v_leak=_full(layer.rest, shape))


def _li_to_layer(node, terms):
    decay, gain = _filter_to_layer(node.tau, node.r, terms, "membrane")
    return snn.SimpleLI(decay, gain=gain, rest=_constant(node.v_leak))


def _i_to_node(layer: snn.SimpleLI, shape, terms):
    _check_init(layer.init_fn)
    _check_integrates(layer, shape)
    return nir.I(r=_gain(layer.gain, layer.decay_constants, shape) / terms.if_dt)


def _i_to_layer(node, terms):
    return snn.SimpleLI(1.0, gain=_constant(np.asarray(node.r, np.float64) * terms.if_dt))


def _check_integrates(layer, shape) -> None:
    if np.any(_full(layer.decay_constants, shape, DECAY) != 1) or np.any(_full(layer.rest, shape) != 0):
        raise NotExpressible("it decays, or rests at another potential than 0, and NIR's `I` and `IF` do not")


# Synapses.


def _linear_to_node(layer: eqx.nn.Linear, shape, terms):
    if not isinstance(layer.in_features, int) or not isinstance(layer.out_features, int):
        raise NotExpressible('its features are "scalar". Give it sizes, `eqx.nn.Linear(1, 1, ...)`')
    if layer.bias is None:
        return nir.Linear(weight=_written(layer.weight))
    return nir.Affine(weight=_written(layer.weight), bias=_written(layer.bias))


def _linear_to_layer(node, terms):
    if np.ndim(node.weight) != 2:
        raise NotExpressible(f"its weight must be a matrix, (out, in), got the shape {np.shape(node.weight)}")
    bias = getattr(node, "bias", None)
    n_out, n_in = node.weight.shape
    return _with_weights(
        lambda: eqx.nn.Linear(n_in, n_out, use_bias=bias is not None, key=jr.key(0)), node.weight, bias
    )


def _with_weights(make: Callable[[], Any], weight: Any, bias: Any) -> Any:
    """A layer of Equinox with these weights; those that it would draw are never made."""
    layer = eqx.tree_at(lambda one: one.weight, eqx.filter_eval_shape(make), _weights(weight))
    return layer if bias is None else eqx.tree_at(lambda one: one.bias, layer, _weights(bias))


def _norm_to_node(layer: snn.BatchNorm | snn.ThresholdDependentBatchNorm, shape, terms):
    """In inference, a factor and a summand for each channel."""
    if not (layer.inference and layer.estimated):
        raise NotExpressible(
            "NIR has no batch. Estimate its statistics, `snn.estimate_norms(model, batches)`, and export "
            "`eqx.nn.inference_mode(model)`"
        )
    n = layer.size
    factor = (1.0 if layer.weight is None else np.asarray(layer.weight, np.float64)) / np.sqrt(
        np.asarray(layer.variance.value, np.float64) + layer.eps
    )
    if isinstance(layer, snn.ThresholdDependentBatchNorm):
        factor = factor * _full(layer.threshold, (), POSITIVE) * _full(layer.alpha, (), POSITIVE)
    bias = (0.0 if layer.bias is None else np.asarray(layer.bias)) - factor * np.asarray(layer.mean.value, np.float64)
    factor, bias = factor.astype(np.float32), bias.astype(np.float32)
    if len(shape) == 1:
        return nir.Affine(weight=np.diag(factor), bias=bias)
    if len(shape) == 2:
        return nir.Conv1d(int(shape[1]), factor.reshape(n, 1, 1), 1, 0, 1, n, bias)
    if len(shape) == 3:
        return nir.Conv2d(tuple(shape[1:]), factor.reshape(n, 1, 1, 1), (1, 1), (0, 0), (1, 1), n, bias)
    raise NotExpressible(f"NIR has no convolution for inputs of the shape {shape}")


def _scale_to_node(layer: snn.Scale, shape, terms):
    return nir.Scale(scale=_full(layer.weight, shape))


def _scale_to_layer(node, terms):
    return snn.Scale(_constant(node.scale))


def _identity_to_node(layer: eqx.nn.Identity | eqx.nn.Dropout, shape, terms):
    if isinstance(layer, eqx.nn.Dropout) and not (layer.inference or layer.p == 0):
        raise NotExpressible("NIR has no dropout. Export `eqx.nn.inference_mode(model)`")
    return nir.Scale(scale=np.ones(shape))


def _threshold_layer_to_node(layer: snn.Threshold, shape, terms):
    _check_step(layer.spike_fn)
    return nir.Threshold(threshold=threshold_to_nir(layer.threshold, shape))


def _threshold_node_to_layer(node, terms):
    return snn.Threshold(threshold_from_nir(node.threshold))


def _flatten_to_node(layer: snn.Flatten, shape, terms):
    """Axes are counted from the last one, so that readers whose arrays have a batch take the same ones."""
    start, end = (axis - len(shape) if axis >= 0 else axis for axis in (layer.start, layer.end))
    return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=start, end_dim=end)


def _flatten_to_layer(node, terms):
    return snn.Flatten(int(node.start_dim), int(node.end_dim))


def _delay_to_node(layer: snn.Delay, shape, terms):
    steps = _full(layer.delay, shape)
    if np.any(steps != np.round(steps)):
        raise NotExpressible(
            "its delays are no whole numbers of steps, and between steps it interpolates, which a delay of NIR does "
            "not. Round them: `snn.Delay(np.round(layer.delay).astype(int))`"
        )
    return nir.Delay(delay=steps * terms.dt)


def _delay_to_layer(node, terms):
    steps = np.asarray(node.delay, np.float64) / terms.dt
    whole = np.round(steps)
    between = np.abs(steps - whole) > np.clip(ROUNDING * steps, 1e-3, 0.1)
    if np.any(between):
        wrong = np.asarray(node.delay, np.float64)[between].flat[0]
        raise NotExpressible(
            f"a delay of {wrong:.7g} s is {wrong / terms.dt:.10g} steps of `dt={terms.dt:.7g}`, which is no whole "
            "number. Give a `dt` that divides it"
        )
    if np.max(whole) * whole.size > LIMIT:
        raise NotExpressible(
            f"its delays hold {np.max(whole):g} steps of {whole.size} values, more than {LIMIT} in all"
        )
    whole = whole.astype(int)
    return snn.Delay(int(whole.flat[0]) if np.all(whole == whole.flat[:1]) else whole)


def _pairs_of_padding(padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    """What is padded on both sides of each axis. "same" of an even window puts the odd one behind, as torch does."""
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(n // 2, n - n // 2) for n in total]
    return [(int(p), int(p)) for p in padding]


def _conv_to_node(layer: eqx.nn.Conv, shape, terms):
    if layer.padding_mode != "ZEROS":
        raise NotExpressible(f"NIR pads with zeros, and it has `padding_mode={layer.padding_mode!r}`")
    kernel, ones = layer.kernel_size, (1,) * layer.num_spatial_dims
    pads = [(int(a), int(b)) for a, b in _padding(layer.padding, shape, kernel, layer.stride, layer.dilation)]
    if all(a == b for a, b in pads):
        padding: Any = tuple(a for a, _ in pads)
    elif tuple(layer.stride) == ones and pads == _pairs_of_padding("same", kernel, layer.dilation):
        padding = "same"
    else:
        raise NotExpressible(f"NIR pads both sides of an axis alike, and it pads {pads}. Give it a symmetric `padding`")
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else np.ravel(_written(layer.bias))
    one = layer.num_spatial_dims == 1
    return (nir.Conv1d if one else nir.Conv2d)(
        input_shape=int(shape[1]) if one else tuple(shape[1:]),
        weight=_written(layer.weight),
        stride=layer.stride[0] if one else tuple(layer.stride),
        padding=padding[0] if one and not isinstance(padding, str) else padding,
        dilation=layer.dilation[0] if one else tuple(layer.dilation),
        groups=layer.groups,
        bias=bias,
    )


def _padding(padding: Any, shape, kernel, stride, dilation) -> Sequence[tuple[int, int]]:
    if not isinstance(padding, str):
        return padding
    window = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "VALID":
        return [(0, 0)] * len(kernel)
    total = [max((math.ceil(n / s) - 1) * s + w - n, 0) for n, s, w in zip(shape[1:], stride, window, strict=True)]
    low = [n // 2 for n in total] if padding == "SAME" else [n - n // 2 for n in total]
    return [(a, n - a) for a, n in zip(low, total, strict=True)]


def _conv_to_layer(node, terms):
    kernel = node.weight.shape[2:]
    stride, dilation = (tuple(int(n) for n in np.broadcast_to(v, len(kernel))) for v in (node.stride, node.dilation))
    if node.padding == "same" and any(n != 1 for n in stride):
        raise NotExpressible(
            f'`padding="same"` with a stride of {stride} has no meaning in NIR, whose convolutions are those of torch. '
            "Give the padding in numbers"
        )
    given = node.padding if isinstance(node.padding, str) else tuple(np.broadcast_to(node.padding, len(kernel)))
    pads = tuple(_pairs_of_padding(given, kernel, dilation))
    groups, (n_out, n_in) = int(node.groups), node.weight.shape[:2]
    kind = eqx.nn.Conv1d if len(kernel) == 1 else eqx.nn.Conv2d
    return _with_weights(
        lambda: kind(n_in * groups, n_out, kernel, stride, pads, dilation, groups, key=jr.key(0)),
        node.weight,
        np.reshape(node.bias, (-1, *(1,) * len(kernel))),
    )


def _pool_to_node(kind: Callable) -> Callable:
    def to_node(layer, shape, terms):
        pool = getattr(layer, "pool", layer)
        pads = _padding(pool.padding, shape, pool.kernel_size, pool.stride, (1, 1))
        if pool.use_ceil or any(a != b for a, b in pads):
            raise NotExpressible(
                "NIR pads both sides of an axis alike and has no `use_ceil`. Give it a symmetric `padding`"
            )
        return kind(
            kernel_size=np.array(pool.kernel_size), stride=np.array(pool.stride), padding=np.array([a for a, _ in pads])
        )

    return to_node


def _pool_to_layer(kind: Callable) -> Callable:
    def to_layer(node, terms):
        kernel, stride, padding = (
            tuple(int(n) for n in np.broadcast_to(v, 2)) for v in (node.kernel_size, node.stride, node.padding)
        )
        return kind(kernel, stride, tuple((n, n) for n in padding))

    return to_layer


PAIRS = (
    Pair(eqx.nn.Linear, nir.Affine, _linear_to_node, _linear_to_layer),
    Pair(eqx.nn.Linear, nir.Linear, _linear_to_node, _linear_to_layer),
    Pair(eqx.nn.Conv1d, nir.Conv1d, _conv_to_node, _conv_to_layer),
    Pair(eqx.nn.Conv2d, nir.Conv2d, _conv_to_node, _conv_to_layer),
    Pair(snn.Scale, nir.Scale, _scale_to_node, _scale_to_layer),
    Pair(snn.SumPool2d, nir.SumPool2d, _pool_to_node(nir.SumPool2d), _pool_to_layer(snn.SumPool2d)),
    Pair(eqx.nn.AvgPool2d, nir.AvgPool2d, _pool_to_node(nir.AvgPool2d), _pool_to_layer(eqx.nn.AvgPool2d)),
    Pair(snn.Flatten, nir.Flatten, _flatten_to_node, _flatten_to_layer),
    Pair(snn.Delay, nir.Delay, _delay_to_node, _delay_to_layer),
    Pair(snn.Threshold, nir.Threshold, _threshold_layer_to_node, _threshold_node_to_layer),
    Pair(snn.SimpleLIF, nir.LIF, _lif_to_node, _lif_to_layer),
    Pair(snn.LIF, nir.CubaLIF, _cuba_lif_to_node, _cuba_lif_to_layer),
    Pair(snn.SimpleLI, nir.LI, _li_to_node, _li_to_layer),
    Pair(snn.LI, nir.CubaLI, _cuba_li_to_node, _cuba_li_to_layer),
    Pair(snn.SimpleIAF, nir.IF, _if_to_node, _if_to_layer),
    Pair(snn.SimpleLIF, nir.IF, _lif_without_leak_to_node, _if_to_layer),
    Pair(snn.SimpleLI, nir.I, _i_to_node, _i_to_layer),
    Pair(snn.BatchNorm, nir.Conv2d, _norm_to_node, _conv_to_layer),
    Pair(snn.ThresholdDependentBatchNorm, nir.Conv2d, _norm_to_node, _conv_to_layer),
    Pair(eqx.nn.Identity, nir.Scale, _identity_to_node, _scale_to_layer),
    Pair(eqx.nn.Dropout, nir.Scale, _identity_to_node, _scale_to_layer),
)
"""Of several pairs with one class of layer, or of node, the first that holds is taken."""
