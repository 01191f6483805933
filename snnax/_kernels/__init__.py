"""What is computed by compiled code where there is any. Every kernel has a twin in plain JAX, which runs elsewhere."""

from ._allocator import keep_buffers as keep_buffers
from ._library import missing as missing, using as using, wanted as wanted
from ._neuron_loop import Kind as Kind, moved_loop as moved_loop, neuron_loop as neuron_loop
from ._recurrent_loop import heard as heard, recurrent_loop as recurrent_loop
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
