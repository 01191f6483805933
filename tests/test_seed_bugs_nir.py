"""What Spyx and snnTorch get wrong with NIR cannot come back."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402


def test_bug_18_every_layer_goes_out_as_itself_and_keeps_its_values():
    """Spyx: layers dropped with a printed warning; snnTorch: an IF became a leak of 0.9, padding of pools was lost."""
    model = snn.Sequential(
        eqx.nn.AvgPool2d(2, 2, ((1, 1), (1, 1))),
        snn.Flatten(),
        eqx.nn.Linear(9, 4, key=jr.key(0)),
        snn.SimpleIAF(gain=0.4),
        snn.SimpleLI(0.9),
    )
    graph = snnax.nir.to_nir(model, (1, 4, 4), dt=1e-3)
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds == ["Input", "AvgPool2d", "Flatten", "Affine", "IF", "LI", "Output"]
    np.testing.assert_array_equal(graph.nodes["avgpool2d_0"].padding, [1, 1])
    back = snnax.nir.from_nir(graph, dt=1e-3)
    assert isinstance(back.nodes["simpleiaf_3"], snn.SimpleIAF) and isinstance(back.nodes["simpleli_4"], snn.SimpleLI)


@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_bug_18_the_resistance_is_that_of_the_equation_at_any_time_step(dt):
    """At rest under a constant input, the potential is $v_leak + R I$, whatever the time step."""
    decay, gain, rest = 0.9, 0.3, 0.25
    graph = snnax.nir.to_nir(snn.Sequential(snn.SimpleLI(decay, gain=gain, rest=rest)), (1,), dt=1e-3)
    node = graph.nodes["simpleli_0"]
    np.testing.assert_allclose([node.tau[0], node.r[0], node.v_leak[0]], [1e-3 / 0.1, gain / 0.1, rest], rtol=1e-5)
    net = snnax.nir.from_nir(graph, dt=dt)
    _, outs = net(net.init_state((1,)), jnp.full((2000, 1), 0.5))
    assert outs["output"][-1, 0] == pytest.approx(rest + node.r[0] * 0.5, rel=1e-4)


def test_bug_18_a_reset_that_nir_does_not_have_is_flagged_and_a_layer_that_it_does_not_know_named():
    with pytest.raises(snnax.nir.NIRExportError, match="NIR resets to a value"):
        snnax.nir.to_nir(snn.Sequential(snn.SimpleLIF(0.9, reset=snn.SubtractReset())), (1,), dt=1e-3)
    with pytest.raises(snnax.nir.NIRExportError, match="'alif_0', a `ALIF`: NIR has no node for it"):
        snnax.nir.to_nir(snn.Sequential(snn.ALIF(0.9)), (1,), dt=1e-3)
