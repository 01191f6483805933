"""Layers that NIR has no node for, as graphs of layers that it has nodes for."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .. import snn
from .._parameter import DECAY, acting


def _is_one(decay: Any) -> bool:
    return bool(np.all(np.asarray(acting(decay, jnp.zeros(()).dtype, DECAY)) == 1))


def _firing(layer: snn.SpikingLayer) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in ("threshold", "reset", "refractory", "spike_fn", "init_fn")}


def _sequential(layer: snn.Sequential) -> snn.Graph:
    names = [f"{type(child).__name__.lower()}_{i}" for i, child in enumerate(layer.layers)]
    edges = list(zip(["input", *names], names, strict=False))
    return snn.Graph(dict(zip(names, layer.layers, strict=True)), edges, outputs=names[-1:])


def _recurrent(layer: snn.Recurrent) -> snn.Graph:
    edges = [("input", "lif"), snn.Edge("lif", "w_rec", delay=1), ("w_rec", "lif")]
    return snn.Graph({"lif": layer.neuron, "w_rec": layer.synapse}, edges, outputs=("lif",))


def _parallel(layer: snn.Parallel) -> snn.Graph:
    """The first branch that passes on its input is an edge, for few simulators read a `Scale`; no two edges join the
    same nodes, so others are nodes."""
    branches = {f"branch_{i}": branch for i, branch in enumerate(layer.branches)}
    shortcuts = [name for name, branch in branches.items() if isinstance(branch, eqx.nn.Identity)][:1]
    branches = {name: branch for name, branch in branches.items() if name not in shortcuts}
    edges = [("input", name) for name in branches] + [(name, "output") for name in branches]
    edges += [("input", "output")] * len(shortcuts)
    nodes = {**branches, "output": eqx.nn.Identity()}
    return snn.Graph(nodes, edges, outputs=("output",), merge={"output": layer.merge})


def _residual(layer: snn.Residual) -> snn.Graph:
    return _parallel(layer.parallel)


def _lif(layer: snn.LIF) -> snn.LIF | snn.Graph:
    """Where a decay is 1, no time constant has it: NIR's `I` and `IF` stand for that filter."""
    (membrane, synapse), (g_v, g_i) = layer.decay_constants, layer.gain
    if not _is_one(membrane) and not _is_one(synapse):
        return layer
    neuron = snn.SimpleLIF(membrane, gain=g_v, rest=layer.rest, **_firing(layer))
    return _sequential(snn.Sequential(snn.SimpleLI(synapse, gain=g_i), neuron))


def _li(layer: snn.LI) -> snn.LI | snn.Graph:
    (membrane, synapse), (g_v, g_i) = layer.decay_constants, layer.gain
    if not _is_one(membrane) and not _is_one(synapse):
        return layer
    neuron = snn.SimpleLI(membrane, gain=g_v, rest=layer.rest, init_fn=layer.init_fn)
    return _sequential(snn.Sequential(snn.SimpleLI(synapse, gain=g_i), neuron))


def _iaf(layer: snn.IAF) -> snn.Graph:
    g_v, g_i = layer.gain
    neuron = snn.SimpleIAF(gain=g_v, leak=layer.leak, **_firing(layer))
    return _sequential(snn.Sequential(snn.SimpleLI(layer.decay_constants, gain=g_i), neuron))


def _double_exp(layer: snn.DoubleExpLIF) -> snn.Graph:
    membrane, fall, rise = layer.decay_constants
    first, second = layer.synaptic_gains(jnp.zeros(()).dtype)
    neuron = snn.SimpleLIF(membrane, gain=layer.gain[0], rest=layer.rest, **_firing(layer))
    return _sequential(snn.Sequential(snn.SimpleLI(rise, gain=first), snn.SimpleLI(fall, gain=second), neuron))


_REWRITINGS = {
    snn.Sequential: _sequential,
    snn.Recurrent: _recurrent,
    snn.Parallel: _parallel,
    snn.Residual: _residual,
    snn.LIF: _lif,
    snn.LI: _li,
    snn.IAF: _iaf,
    snn.DoubleExpLIF: _double_exp,
}


def rewritten(layer: Any) -> Any:
    """A graph that computes the same, or the layer as it is."""
    rewrite = _REWRITINGS.get(type(layer))
    return layer if rewrite is None else rewrite(layer)
