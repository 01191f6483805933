"""Layers that need all steps of a sequence at once run layer by layer, and are refused, by name, everywhere else."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear

import snnax.snn as snn


class Centred(snn.StatefulLayer):
    """Takes the mean over time and over the batch away, in training."""

    axis_name: str = eqx.field(static=True, default="batch")
    inference: bool = False

    @property
    def whole_sequence(self):
        return not self.inference

    def init_state(self, in_shape, key=None):
        return None

    def __call__(self, state, x, *, key=None):
        state, outs = self.over_time(state, x[None])
        return state, outs[0]

    def over_time(self, state, xs, *, keys=None):
        return state, xs if self.inference else xs - jax.lax.pmean(jnp.mean(xs, axis=0), self.axis_name)


def run(model, xs, **kwargs):
    batched = jax.vmap(lambda states, xs: model(states, xs, **kwargs), in_axes=(None, 0), axis_name="batch")
    return batched(model.init_state((3,)), xs)


def test_a_whole_sequence_goes_through_layer_by_layer(getkey):
    xs = jax.random.normal(getkey(), (4, 6, 3))
    model = snn.Sequential(snn.Parallel(Centred(), Centred(), merge=snn.Concatenate()), linear(6, 2), snn.SimpleLI(0.9))
    _, outs = run(model, xs, collect=[snn.Trains(), None, snn.Sum()])
    centred = np.asarray(xs) - np.mean(xs, axis=(0, 1))
    np.testing.assert_allclose(outs[0], np.concatenate([centred, centred], -1), atol=1e-6)


REFUSED = {
    "steps": ({"plan": snn.StepByStep()}, "`snn.StepByStep`"),
    "chunks": ({"plan": snn.Chunked(2)}, "`snn.Chunked`"),
    "truncation": ({"truncate": 2}, "`truncate=2`"),
    "burn-in": ({"burnin": 2}, "`burnin=2`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_pieces_of_a_sequence_are_refused_by_name(case):
    arguments, named = REFUSED[case]
    model = snn.Sequential(linear(3, 3), snn.Residual(Centred()))
    with pytest.raises(ValueError, match=f"`snn.Sequential`: `Centred` needs all steps.*{named}.*LayerByLayer"):
        run(model, jnp.ones((4, 6, 3)), **arguments)
    run(eqx.nn.inference_mode(model), jnp.ones((4, 6, 3)), **arguments)


def test_single_steps_and_cycles_are_refused_by_name():
    model = snn.Sequential(Centred())
    with pytest.raises(ValueError, match="`Centred` needs all steps.*`step` gives"):
        model.step(model.init_state((3,)), jnp.ones(3))
    recurrent = snn.Sequential(snn.Recurrent(Centred(), 0.5))
    with pytest.raises(
        ValueError, match=r"(?m)`snn.Recurrent`: `Centred` needs all steps.*the loop .*outside of cycles\.$"
    ):
        run(recurrent, jnp.ones((4, 6, 3)))
    graph = snn.Graph(
        {"norm": Centred(), "lif": snn.SimpleLIF(0.9)},
        [("input", "norm"), ("norm", "lif"), snn.Edge("lif", "norm", delay=1)],
        outputs=("lif",),
    )
    with pytest.raises(ValueError, match="`snn.Graph`: `Centred` needs all steps.*the cycle of 'norm', 'lif'"):
        run(graph, jnp.ones((4, 6, 3)))
