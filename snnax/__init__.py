"""Spiking neural networks in JAX: Equinox modules with explicit state, run in the order that a plan chooses."""

import importlib.metadata

from . import functional as functional, snn as snn
from ._kernels import keep_buffers as keep_buffers, kernels as kernels

__version__ = importlib.metadata.version("snnax")
