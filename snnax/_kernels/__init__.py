"""What is computed by compiled code where there is any. Every kernel has a twin in plain JAX, which runs elsewhere."""

from ._allocator import keep_buffers as keep_buffers
from ._library import missing as missing, using as using, wanted as wanted
from ._neuron_loop import Kind as Kind, neuron_loop as neuron_loop
from ._report import kernels as kernels
from ._spike_convolution import convolve as convolve, spike_convolution as spike_convolution
from ._spike_product import spike_product as spike_product
from ._time_loop import time_loop as time_loop
