"""The fields of NIR's nodes: which a node needs, which it may have, and what their values may be."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._files import shown

ELEMENTS = 2**28  # of a shape that is only named
LARGEST = 2**16  # stride, padding, dilation or window: none asks for more memory than a stranger may
AXES = 32

Fields = dict[str, Any]


class Wrong(Exception):
    """What is wrong with a node, whose name the caller adds."""


class Kind(NamedTuple):
    required: tuple[str, ...]
    optional: tuple[str, ...]
    clean: Callable[[Fields], Fields]


def numbers(given: Fields, name: str) -> np.ndarray:
    """An array of finite numbers."""
    value = given[name]
    array = np.asarray(None if isinstance(value, (Mapping, str, bytes)) else value)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise Wrong(f"`{name}` must be an array of numbers, got {shown_value(value)}")
    if not array.size:
        raise Wrong(f"`{name}` is empty: its shape is {array.shape}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32))
    refuse(name, array, ~finite, "finite, also in float32")
    return array


def refuse(name: str, array: np.ndarray, wrong, wanted: str) -> None:
    wrong = np.asarray(wrong)
    if wrong.any():
        at = np.unravel_index(int(np.argmax(wrong)), array.shape)
        place = f" at {[int(i) for i in at]}, which is one of {wrong.sum()}" if at else ""
        raise Wrong(f"`{name}` must be {wanted}, got {array[at]}{place}")


def neurons(given: Fields) -> Fields:
    arrays = {name: numbers(given, name) for name in given}
    for name, array in arrays.items():
        if name.startswith("tau"):
            refuse(name, array, array <= 0, "a positive time constant, in seconds")
        if name == "delay":
            refuse(name, array, array < 0, "a delay of 0 or more, in seconds")
    shapes = {array.shape for array in arrays.values()} - {()}
    if len(shapes) > 1:
        of_each = ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items())
        raise Wrong(f"its parameters must have one shape, or none where one number is for all, got {of_each}")
    shape = shapes.pop() if shapes else ()
    arrays = {name: np.array(np.broadcast_to(array, shape)) for name, array in arrays.items()}
    if "v_threshold" in arrays:
        threshold = arrays["v_threshold"]
        below = threshold < arrays.get("v_reset", np.zeros_like(threshold))
        refuse("v_threshold", threshold, below, "at or above `v_reset`, which is 0 by default; else all steps spike")
    return arrays


def linear(given: Fields) -> Fields:
    weight = numbers(given, "weight")
    if weight.ndim < 2:
        raise Wrong(f"`weight` must have the axes (..., out, in), got the shape {weight.shape}")
    return {"weight": weight, **({"bias": bias(given, weight.shape[:-1])} if "bias" in given else {})}


def bias(given: Fields, shape: tuple[int, ...]) -> np.ndarray:
    array = numbers(given, "bias")
    if array.shape not in ((), shape[-1:], shape):
        raise Wrong(f"`bias` must have the shape {shape} to fit `weight`, got {array.shape}")
    return np.array(np.broadcast_to(array, shape))


def whole(given: Fields, name: str, axes: int, least: int) -> tuple[int, ...]:
    """As many whole numbers as there are axes; one stands for all."""
    array = np.asarray(given[name])
    if array.dtype.kind not in "iu" or array.shape not in ((), (axes,)):
        wanted = "a whole number" if axes == 1 else f"a whole number or {axes} of them"
        raise Wrong(f"`{name}` must be {wanted}, got {shown_value(given[name])}")
    refuse(name, array, (array < least) | (array > LARGEST), f"from {least} to {LARGEST}")
    return tuple(int(i) for i in np.broadcast_to(array, (axes,)))


def extents(name: str, value) -> tuple[int, ...]:
    """A shape, of an array that does not ask for too much memory."""
    array = np.asarray(value)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise Wrong(f"`{name}` must be a shape, a list of whole numbers, got {shown_value(value)}")
    shape = tuple(int(i) for i in array[: AXES + 1])
    if len(shape) > AXES or any(i < 1 for i in shape) or math.prod(shape) > ELEMENTS:
        raise Wrong(f"`{name}` must be a shape of {ELEMENTS} elements at most and 1 at least, got {shown_value(value)}")
    return shape


def convolution(axes: int) -> Callable[[Fields], Fields]:
    def plain(values):
        return values if axes > 1 else values[0]

    def clean(given):
        weight = numbers(given, "weight")
        if weight.ndim != axes + 2:
            raise Wrong(f"`weight` must have {axes + 2} axes (out, in / groups, ...), got the shape {weight.shape}")
        stride, dilation = (whole(given, name, axes, 1) for name in ("stride", "dilation"))
        (groups,) = whole(given, "groups", 1, 1)
        if len(weight) % groups:
            raise Wrong(f"`groups` must divide the {len(weight)} channels that come out, got {groups}")
        padding = given["padding"]
        if not isinstance(padding, str):
            padding = plain(whole(given, "padding", axes, 0))
        elif padding not in ("same", "valid"):
            raise Wrong(f"`padding` must be 'same', 'valid' or whole numbers, got {shown_value(padding)}")
        elif padding == "same" and max(stride) > 1:
            raise Wrong(f"`padding` 'same' has no agreed meaning with a stride, got {stride}. Give it in numbers")
        shape = given.get("input_shape")
        if shape is not None:
            shape = extents("input_shape", np.atleast_1d(np.asarray(shape)))
            if len(shape) != axes:
                raise Wrong(f"`input_shape` must have {axes} numbers, for the spatial axes, got {shape}")
            around = {"same": math.inf, "valid": 0}[padding] if isinstance(padding, str) else 2 * np.array(padding)
            covered = np.array(dilation) * (np.array(weight.shape[2:]) - 1) + 1
            if np.any(np.array(shape) + around < covered):
                raise Wrong(f"the kernel covers {covered.tolist()}, more than `input_shape` {shape} and the padding")
        return {
            "input_shape": None if shape is None else plain(shape),
            "weight": weight,
            "stride": plain(stride),
            "padding": padding,
            "dilation": plain(dilation),
            "groups": groups,
            "bias": bias(given, weight.shape[:1]),
        }

    return clean


def pooling(given: Fields) -> Fields:
    return {name: whole(given, name, 2, 0 if name == "padding" else 1) for name in given}


def flatten(given: Fields) -> Fields:
    axes = {"start_dim": 1, "end_dim": -1}
    for name in axes:
        array = np.asarray(given.get(name, axes[name]))
        if array.dtype.kind not in "iu" or array.size != 1 or abs(int(array.item())) > AXES:
            raise Wrong(f"`{name}` must be the number of an axis, got {shown_value(given[name])}")
        axes[name] = int(array.item())
    shape = given.get("input_type")
    shape = shape.get("input") if isinstance(shape, Mapping) else shape
    if shape is not None:
        shape = extents("input_type", shape)
        first, last = (axis + len(shape) if axis < 0 else axis for axis in axes.values())
        if not 0 <= first <= last < len(shape):
            raise Wrong(f"the axes {axes['start_dim']} to {axes['end_dim']} are none of `input_type` {shape}")
        shape = np.array(shape, np.int64)
    return {"input_type": {"input": shape}, **axes}


def end(kind: str) -> Callable[[Fields], Fields]:
    def clean(given):
        shape = given["shape"]
        shape = shape.get(kind) if isinstance(shape, Mapping) else shape
        if shape is None and kind == "output":
            return {"output_type": None}
        return {f"{kind}_type": np.array(extents("shape", shape), np.int64)}

    return clean


CONVOLUTION = ("weight", "stride", "padding", "dilation", "groups", "bias")
WINDOW = ("kernel_size", "stride", "padding")
LEAKY = ("tau", "r", "v_leak")
SYNAPTIC = ("tau_syn", "tau_mem", "r", "v_leak")
KINDS = {
    "Input": Kind(("shape",), (), end("input")),
    "Output": Kind(("shape",), (), end("output")),
    "Affine": Kind(("weight", "bias"), (), linear),
    "Linear": Kind(("weight",), (), linear),
    "Scale": Kind(("scale",), (), neurons),
    "Conv1d": Kind(CONVOLUTION, ("input_shape",), convolution(1)),
    "Conv2d": Kind(CONVOLUTION, ("input_shape",), convolution(2)),
    "SumPool2d": Kind(WINDOW, (), pooling),
    "AvgPool2d": Kind(WINDOW, (), pooling),
    "Flatten": Kind((), ("input_type", "start_dim", "end_dim"), flatten),
    "Delay": Kind(("delay",), (), neurons),
    "Threshold": Kind(("threshold",), (), neurons),
    "I": Kind(("r",), (), neurons),
    "IF": Kind(("r", "v_threshold"), ("v_reset",), neurons),
    "LI": Kind(LEAKY, (), neurons),
    "LIF": Kind((*LEAKY, "v_threshold"), ("v_reset",), neurons),
    "CubaLI": Kind(SYNAPTIC, ("w_in",), neurons),
    "CubaLIF": Kind((*SYNAPTIC, "v_threshold"), ("v_reset", "w_in"), neurons),
    "NIRGraph": Kind(("nodes", "edges"), (), dict),
}


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" if str(name).isidentifier() else shown_value(name) for name in names)


def shown_value(value) -> str:
    """A value in a message: short, on one line, without control characters."""
    if isinstance(value, Mapping):
        value = list(value)[:5]
        return f"a group of {', '.join(map(shown, map(str, value)))}"[:100]
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of {value.dtype} and shape {value.shape}" if value.size > 8 else f"{value.tolist()}"[:100]
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:100]}..."
