"""Inputs that do not fit are refused by the name of the layer, with what to do about it."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import pytest
from helpers import linear, spikes_like

import snnax.snn as snn

KEY = jr.key(0)
LAYERS = {
    "Linear": eqx.nn.Linear(8, 8, key=KEY),
    "MLP": eqx.nn.MLP(8, 8, 4, 1, key=KEY),
    "LayerNorm": eqx.nn.LayerNorm(8),
    "RMSNorm": eqx.nn.RMSNorm(8),
}
CASES = {
    "tokens": ((5, 8), r"it takes \(8,\)\. For each of 5 tokens .*`snn.Each\(eqx.nn.{name}\(\.\.\.\)\)`"),
    "an image": ((2, 4), r"it takes \(8,\)\. Put `snn.Flatten\(\)` in front"),
    "another width": ((5,), r"it takes \(8,\)\. Make it for what it is given, or change what comes before"),
}


@pytest.mark.parametrize("verb", [lambda m, shape: m.init_state(shape), snn.summary], ids=["init_state", "summary"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_width_is_refused_by_the_name_of_the_layer_with_the_remedy(name, case, verb, unchecked):
    in_shape, message = CASES[case]
    start = rf"^`snn.Sequential`: in layer 1, `{name}`, given an input of shape .* at one time step; "
    with pytest.raises(ValueError, match=start + message.replace("{name}", name)):
        verb(snn.Sequential(eqx.nn.Identity(), LAYERS[name], snn.SimpleLIF(0.9)), in_shape)


@pytest.mark.parametrize("name", LAYERS)
def test_the_remedies_work(name):
    each = snn.Sequential(snn.Each(LAYERS[name]), snn.SimpleLIF(0.9))
    assert snn.summary(each, (5, 8)).layers[-1].out_shape == (5, 8)
    flat = snn.Sequential(snn.Flatten(), LAYERS[name], snn.SimpleLIF(0.9))
    assert snn.summary(flat, (2, 4)).layers[-1].out_shape == (8,)


def test_what_is_inside_of_each_is_refused_likewise(unchecked):
    with pytest.raises(ValueError, match=r"`snn.Each`: in the layer, `Linear`, .*shape \(7,\).*it takes \(8,\)"):
        snn.Sequential(snn.Each(LAYERS["Linear"])).init_state((5, 7))


def test_images_for_each_of_which_a_convolution_is_meant():
    layer = eqx.nn.Conv2d(2, 3, 3, key=KEY)
    message = r"it takes \(2, height, width\)\. For each of 4 tokens .*`snn.Each\(eqx.nn.Conv2d"
    with pytest.raises(ValueError, match=message):
        snn.Sequential(layer).init_state((4, 2, 8, 8))
    snn.Sequential(snn.Each(layer)).init_state((4, 2, 8, 8))


def norm_model():
    return snn.Sequential(linear(4, 3), snn.BatchNorm(3), snn.SimpleLIF(0.9))


XS = spikes_like(KEY, (3, 6, 4), 0.5)


def test_a_batch_in_place_of_a_list_of_batches_is_refused(unchecked):
    for one, what in ((XS, "array"), ({"x": XS}, "mapping")):
        with pytest.raises(
            TypeError, match=rf"`snn.estimate_norms`: `batches` must be a list.*one {what}.*give `\[batch\]`"
        ):
            snn.estimate_norms(norm_model(), one)
    snn.estimate_norms(norm_model(), [XS])


USES = {
    "snn.diagnose": snn.diagnose,
    "snn.calibrate": lambda model, batch: snn.calibrate(model, batch, 0.2),
    "snn.lsuv": snn.lsuv,
    "snn.estimate_norms": lambda model, batch: snn.estimate_norms(norm_model(), [batch]),
}


@pytest.mark.parametrize("name", USES)
def test_an_example_in_place_of_a_batch_is_refused(name, unchecked):
    model = snn.Sequential(linear(4, 3), snn.SimpleLIF(0.9))
    message = rf"`{name}`: the batch has no batch axis: of the shape \(6, 4\) it is one example.*`batch\[None\]`"
    with pytest.raises(ValueError, match=message):
        USES[name](model, XS[0])
    with pytest.raises(ValueError, match=r"^`snn.Sequential`: in layer 0, `Linear`, .*shape \(5,\)"):
        USES[name](model, jnp.ones((3, 6, 5)))


def test_an_example_for_a_graph_of_several_inputs_is_refused(unchecked):
    graph = snn.Graph(
        {"a": linear(4, 3), "b": linear(2, 3), "lif": snn.SimpleLIF(0.9)},
        [("x", "a"), ("y", "b"), ("a", "lif"), ("b", "lif")],
        inputs=("x", "y"),
        outputs=("lif",),
    )
    with pytest.raises(ValueError, match=r"no batch axis: of the shape \{'x': \(6, 4\), 'y': \(6, 2\)\} it is one"):
        snn.diagnose(graph, {"x": XS[0], "y": XS[0, :, :2]})
