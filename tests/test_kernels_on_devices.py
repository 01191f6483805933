"""Kernels on several devices give what they give on one."""

import os
import subprocess
import sys

import pytest

from snnax import _kernels

PROGRAM = """
import equinox as eqx
import jax, jax.numpy as jnp, jax.random as jr, numpy as np
import snnax._kernels._loop as loop
import snnax._kernels._spike_product as spike_product
from snnax import snn, train

loop.SMALL = spike_product.SMALL = 0
assert jax.device_count() == 4
model = snn.Sequential(
    eqx.nn.Conv2d(1, 8, 3, key=jr.key(0)), snn.SimpleLIF(0.9), snn.Flatten(),
    eqx.nn.Linear(128, 32, key=jr.key(1)), snn.ALIF(0.9),
    snn.Recurrent(snn.LIF([0.9, 0.8]), eqx.nn.Linear(32, 32, key=jr.key(2))), eqx.nn.Linear(32, 32, key=jr.key(3)),
)
states = model.init_state((1, 6, 6))
xs = (jr.uniform(jr.key(4), (8, 10, 1, 6, 6)) < 0.3).astype(jnp.float32)

@eqx.filter_jit
def step(model, xs):
    def loss(model):
        outs = jax.vmap(lambda x: model(states, x)[1])(xs)
        return jnp.mean(outs[-1] ** 2), outs
    return eqx.filter_value_and_grad(loss, has_aux=True)(model)

text = step.lower(model, xs).as_text()
names = "snnax_convolution snnax_firing_loop snnax_spiking_loop snnax_recurrent_loop snnax_product snnax_spike_errors"
assert all(name in text for name in names.split()), [name for name in names.split() if name not in text]
mesh = train.devices_mesh()
spread, copied = train.sharded(xs, mesh), train.replicated(model, mesh)
one, several = step(model, xs), step(copied, spread)
for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(several), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
assert 0 < float(one[0][1][1].mean()) < 1
print("equal")
"""


@pytest.mark.skipif(_kernels.missing() is not None, reason=f"no kernels here: {_kernels.missing()}")
def test_a_batch_spread_over_devices_gives_what_one_device_gives():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "equal", done.stderr[-3000:]
