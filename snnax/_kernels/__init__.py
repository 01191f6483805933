"""What is computed by compiled code where there is any. Every kernel has a twin in plain JAX, which runs elsewhere."""

from ._allocator import keep_buffers as keep_buffers
from ._firing_loop import (
    Kind as Kind,
    Returning as Returning,
    Slope as Slope,
    Spikes as Spikes,
    firing_loop as firing_loop,
    heard as heard,
)
from ._leaky_loop import leaky_loop as leaky_loop, moved_loop as moved_loop
from ._library import missing as missing, using as using, wanted as wanted
from ._report import kernels as kernels
from ._spike_convolution import convolve as convolve, spike_convolution as spike_convolution
from ._spike_product import spike_product as spike_product, unpacked as unpacked
from ._spiking_loop import (
    LOWERED as LOWERED,
    RESTING as RESTING,
    coupled_loop as coupled_loop,
    spiking_loop as spiking_loop,
)
from ._time_loop import time_loop as time_loop
