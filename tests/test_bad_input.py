"""What is wrong is refused with a message that names what was called, what came and what to do. Here the messages."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, linear

import snnax.snn as snn
from snnax.functional import surrogate

# Users run the library without jaxtyping's checks, and these are the messages that they see.
pytestmark = pytest.mark.usefixtures("unchecked")
EACH_PLAN = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)


def network():
    return snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8]))


@pytest.fixture
def model():
    return network()


@pytest.fixture
def states(model):
    return model.init_state((3,))


XS = np.ones((5, 3), np.float32)


# Shapes.


def test_a_layer_that_does_not_fit_is_named_with_its_number_and_what_it_takes():
    for in_shape in ((4,), (3, 3), ()):
        with pytest.raises(ValueError) as caught:
            network().init_state(in_shape)
        message = str(caught.value)
        for part in ("`snn.Sequential`: in layer 0, `Linear`", f"input of shape {in_shape}", "it takes (3,)"):
            assert part in message
    images = snn.Sequential(eqx.nn.Identity(), eqx.nn.Conv2d(2, 3, 3, key=jr.key(0)))
    for in_shape in ((1, 8, 8), (8, 8), (2, 8, 8, 1)):
        with pytest.raises(
            Exception, match=r"(?s)`snn.Sequential`: in layer 1, `Conv2d`.*it takes \(2, height, width\)"
        ):
            images.init_state(in_shape)


def test_a_layer_inside_a_nested_chain_is_named_with_its_path():
    model = snn.Sequential(linear(3, 4), snn.Sequential(snn.SimpleLIF(0.9), linear(5, 2)))
    with pytest.raises(Exception, match=r"(?s)layer 1.*layer 1, `Linear`|layer 1, `Linear`.*layer 1, `Sequential`"):
        model.init_state((3,))


def test_an_image_for_a_dense_layer_is_refused():
    model = snn.Sequential(eqx.nn.Conv2d(2, 3, 3, key=jr.key(0)), snn.LIF([0.9, 0.8]), linear(27, 4))
    with pytest.raises(Exception, match=r"(?s)layer 2, `Linear`.*shape \(3, 3, 3\).*it takes \(27,\)"):
        model.init_state((2, 5, 5))


@EACH_PLAN
def test_a_sequence_of_the_wrong_shape_is_refused_with_the_right_one(model, states, plan):
    for shape in ((5, 4), (5, 3, 1), (3, 5), ()):
        with pytest.raises(
            ValueError,
            match=r"(?s)inputs of shape \(3,\) at one time step.*\(time, 3\), got "
            + str(shape).replace("(", r"\(").replace(")", r"\)"),
        ):
            model(states, jnp.ones(shape), plan=plan)


def test_a_missing_time_axis_is_told_apart_from_a_batch(model, states):
    with pytest.raises(ValueError, match=r"got \(3,\)\. The time axis is missing: .*`model.step\(states, x\)`"):
        model(states, jnp.ones(3))
    with pytest.raises(ValueError, match=r"got \(2, 5, 3\)\. For a batch: `jax.vmap\(model, in_axes=\(None, 0\)\)`"):
        model(states, jnp.ones((2, 5, 3)))


@EACH_PLAN
def test_an_empty_sequence_is_refused(model, states, plan):
    with pytest.raises(ValueError, match=r"`snn.Sequential`: the sequence is empty: .*\(time, 3\), got \(0, 3\)"):
        model(states, jnp.ones((0, 3)), plan=plan)


def test_a_step_says_what_one_step_takes(model, states):
    with pytest.raises(ValueError, match=r"(?s)`snn.Sequential`.*\(3,\).*got \(4,\)") as caught:
        model.step(states, jnp.ones(4))
    assert "(1, 4)" not in str(caught.value)
    with pytest.raises(ValueError, match=r"(?s)\(3,\).*got \(5, 3\).*`model\(states, xs\)`"):
        model.step(states, XS)


@pytest.mark.parametrize("in_shape", [3, 3.0, (2.5,), ("3",), "3", None, (-1,), np.float32(3)], ids=repr)
def test_a_shape_that_is_none_is_refused(model, in_shape):
    with pytest.raises(
        TypeError, match=r"`snn.Sequential.init_state` takes the shape of one input.*such as \(2, 32, 32\)"
    ):
        model.init_state(in_shape)


def test_a_key_in_place_of_the_shape_is_refused_with_the_order_of_the_arguments(model):
    with pytest.raises(TypeError, match=r"A key comes second: `init_state\(in_shape, key\)`"):
        model.init_state(jr.key(0))
    with pytest.raises(TypeError, match=r"A key comes second: `init_state\(in_shape, key\)`"):
        model.init_state(jr.PRNGKey(0))


@pytest.mark.parametrize(
    "layer",
    [snn.SimpleLIF(0.9), snn.LIF([0.9, 0.8]), snn.SimpleIAF(), snn.AdaptiveLIF(0.9), snn.LI([0.9, 0.8])],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_asked_for_the_state_of_a_number_says_that_a_shape_is_a_tuple(layer):
    with pytest.raises(TypeError, match=rf"`snn.{type(layer).__name__}.*shape.*8"):
        layer.init_state(8)


# What comes in.


@EACH_PLAN
def test_inputs_that_are_no_numbers_are_refused(model, states, plan):
    for xs, got in (
        (np.array([["a", "b", "c"]]), "dtype <U1"),
        (np.array([[None, 1, 2]]), "dtype object"),
        (np.zeros((5, 3), "datetime64[s]"), r"dtype datetime64\[s\]"),
        (jr.split(jr.key(0), (5, 3)), "dtype key<fry>"),
        ([[1.0, 2.0, 3.0]], "class 'list'"),
        ("spikes", "class 'str'"),
        (None, "NoneType"),
        (1.0, "class 'float'"),
    ):
        with pytest.raises(
            TypeError, match=rf"`snn.Sequential`: the input must be an array of numbers.*\(time, 3\), got.*{got}"
        ):
            model(states, xs, plan=plan)


def test_a_step_on_what_is_no_number_is_refused(model, states):
    for x, got in (
        (np.array(["a", "b", "c"]), "dtype <U1"),
        ("abc", "class 'str'"),
        (None, "NoneType"),
        ([1.0, 2.0, 3.0], "class 'list'"),
    ):
        with pytest.raises(TypeError, match=rf"`snn.Sequential`: the input.* must be an array of numbers.*got.*{got}"):
            model.step(states, x)


def test_complex_inputs_are_refused_by_neurons(states):
    """Their imaginary part would be lost."""
    model = snn.Sequential(snn.SimpleLIF(0.9))
    with pytest.raises(TypeError, match="(?s)SimpleLIF.*complex64"):
        model(model.init_state((3,)), jnp.ones((5, 3), jnp.complex64))


# States.


def test_the_states_of_another_network_are_refused(model, states):
    others = {
        "fewer layers": snn.Sequential(linear(3, 4)),
        "another neuron": snn.Sequential(linear(3, 4), snn.SimpleLIF(0.9)),
        "another order": snn.Sequential(snn.LIF([0.9, 0.8]), linear(3, 4)),
        "a refractory period": snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8], refractory=1)),
    }
    for other in others.values():
        with pytest.raises(
            ValueError, match=r"(?s)`snn.Sequential`: these are the states of another network.*`init_state\(\(3,\)\)`"
        ):
            model(other.init_state((3,)), XS)
    wider = snn.Sequential(linear(3, 5), snn.LIF([0.9, 0.8]))
    with pytest.raises(
        ValueError,
        match=r"(?s)`states\.layers\[1\]\.v` must have the shape \(4,\).*got \(5,\).*`init_state\(\(3,\)\)`",
    ):
        model(wider.init_state((3,)), XS)


def test_the_states_of_another_network_are_refused_by_a_step_too(model):
    for other in (snn.Sequential(linear(3, 4)), snn.Sequential(linear(3, 5), snn.LIF([0.9, 0.8]))):
        with pytest.raises(ValueError, match=r"(?s)`snn.Sequential`.*init_state\(\(3,\)\)"):
            model.step(other.init_state((3,)), XS[0])


def test_states_of_the_wrong_dtype_or_of_a_batch_are_refused(model, states):
    wrong = eqx.tree_at(lambda s: s.layers[1].v, states, jnp.zeros(4, jnp.bfloat16))
    with pytest.raises(ValueError, match=r"(?s)layers\[1\]\.v` must have.*float32, got \(4,\) and bfloat16"):
        model(wrong, XS)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), states)
    with pytest.raises(ValueError, match=r"(?s)got \(2, 4\).*For a batch: `jax.vmap\(model, in_axes=\(0, 0\)\)`"):
        model(batch, XS)


def test_what_is_no_states_is_refused(model, states):
    for wrong in (None, states.layers, [None, None], jnp.zeros(4), (3,)):
        for run in (lambda wrong: model(wrong, XS), lambda wrong: model.step(wrong, XS[0])):
            with pytest.raises(
                TypeError, match=r"`snn.Sequential`: `states` must be what `model.init_state\(in_shape, key\)` gives"
            ):
                run(wrong)


def test_swapped_arguments_are_refused(model, states):
    with pytest.raises(TypeError, match="`states` must be what `model.init_state"):
        model(XS, states)


# Keys.


@EACH_PLAN
def test_a_missing_key_names_the_layer_that_needs_one(plan):
    model = snn.Sequential(linear(3, 4), eqx.nn.Dropout(0.5))
    states = model.init_state((3,))
    with pytest.raises(Exception, match=r"(?s)layer 1, `Dropout`.*without a key.*`model\(states, xs, key\)`"):
        model(states, XS, plan=plan)
    with pytest.raises(Exception, match=r"(?s)layer 1, `Dropout`.*without a key"):
        model.step(states, XS[0])


def test_what_is_no_key_is_refused():
    model = snn.Sequential(eqx.nn.Dropout(0.5))
    states = model.init_state((3,))
    for key in (0, 1.5, "key", np.arange(3), jnp.zeros(2)):
        for run in (
            lambda key: model(states, XS, key),
            lambda key: model.step(states, XS[0], key),
            lambda key: model.init_state((3,), key),
        ):
            with pytest.raises(TypeError, match=r"`snn.Sequential`: `key` must be.*`jax\.random\.key\(0\)`"):
                run(key)


def test_the_keys_of_a_batch_are_refused_without_vmap():
    model = snn.Sequential(eqx.nn.Dropout(0.5))
    for keys in (jr.split(jr.key(0), 2), jr.split(jr.PRNGKey(0), 3)):
        with pytest.raises((TypeError, ValueError), match=r"`snn.Sequential`: `key` must be one key.*jax\.vmap\(model"):
            model(model.init_state((3,)), XS, keys)


def test_a_key_of_the_old_kind_is_taken():
    model = snn.Sequential(eqx.nn.Dropout(0.5))
    states = model.init_state((3,), jr.PRNGKey(0))
    _, (out,) = model(states, XS, jr.PRNGKey(1))
    assert set(np.unique(out)) == {0.0, 2.0}


def test_a_random_initial_potential_without_key_names_the_layer():
    model = snn.Sequential(linear(3, 4), snn.SimpleLIF(0.9, init_fn=jr.normal))
    with pytest.raises(ValueError, match=r"(?s)`snn.SimpleLIF`: its `init_fn`.*needs a key.*layer 1"):
        model.init_state((3,))


# Options of the call.


@pytest.mark.parametrize(
    "plan", ["layerwise", snn.StepByStep, 3, lambda: None], ids=["a string", "a class", "a number", "a function"]
)
def test_an_unknown_plan_is_refused(model, states, plan):
    with pytest.raises(TypeError, match=r"`snn.Sequential`: `plan` must be a plan such as `snn.LayerByLayer\(\)`.*got"):
        model(states, XS, plan=plan)


@pytest.mark.parametrize("burnin", [-1, 6, 1.5, True, "1", None], ids=repr)
def test_a_burn_in_out_of_range_is_refused(model, states, burnin):
    with pytest.raises(ValueError, match=r"`snn.Sequential`: `burnin` must be a number of steps from 0 to .*, 5, got"):
        model(states, XS, burnin=burnin)


@EACH_PLAN
def test_what_cannot_be_collected_is_refused(model, states, plan):
    for collect, error, message in (
        ({2: snn.Sum()}, ValueError, r"`collect` names \[2\], but the layers are \[0, 1\]"),
        ({-3: snn.Sum()}, ValueError, r"`collect` names \[-3\], but the layers are \[0, 1\]"),
        ({"lif": snn.Sum()}, ValueError, r"`collect` names \['lif'\], but the layers are \[0, 1\]"),
        ([snn.Sum()], ValueError, r"`collect` must be a collector such as `snn.Sum\(\)`.*each of the 2 layers"),
        ([snn.Sum()] * 3, ValueError, r"`collect` must be a collector.*each of the 2 layers"),
        ("sum", ValueError, r"`collect` must be a collector.*got 'sum'"),
        (snn.Sum, ValueError, r"`collect` must be a collector.*got <class"),
        ([snn.Sum(), "max"], TypeError, r"`collect` for layer 1 must be made of collectors.*got 'max'"),
        ({0: snn.Sum}, TypeError, r"`collect` for layer 0 must be made of collectors.*got <class"),
        ({1: {"a": (snn.Sum(), jnp.sum)}}, TypeError, r"`collect` for layer 1 must be made of collectors"),
    ):
        with pytest.raises(error, match=rf"`snn.Sequential`: {message}"):
            model(states, XS, plan=plan, collect=collect)


def test_an_option_that_does_not_exist_is_refused(model, states):
    with pytest.raises(TypeError, match="burn_in"):
        model(states, XS, burn_in=2)


# Layers.


class Callable:
    def __call__(self, x):
        return x


class Silent(eqx.Module):
    """A module that cannot be called."""


def test_what_cannot_be_a_layer_is_refused_with_what_to_put_in_its_place():
    fine = linear(3, 4)
    for wrong, message in (
        (jax.nn.relu, r"layer 1 must be .*Wrap the function: `eqx\.nn\.Lambda\(function\)`"),
        (lambda x: x, r"layer 1 must be .*Wrap the function: `eqx\.nn\.Lambda\(function\)`"),
        (Callable(), r"layer 1 must be .*`eqx\.nn\.Lambda"),
        (snn.LIF, r"layer 1 is the class `LIF`\. Make one: `LIF\(\.\.\.\)`"),
        (eqx.nn.Linear, r"layer 1 is the class `Linear`"),
        (3, "layer 1 must be a `snn.StatefulLayer`, a container or a callable `eqx.Module`, got 3"),
        (None, "layer 1 must be a `snn.StatefulLayer`.*got None"),
        ("lif", "layer 1 must be a `snn.StatefulLayer`.*got 'lif'"),
        (jnp.ones(3), "layer 1 must be a `snn.StatefulLayer`"),
        ([snn.Flatten()], "layer 1 must be a `snn.StatefulLayer`"),
        (Silent(), "layer 1, `Silent`, has no `__call__`"),
        (snn.SubtractReset(), "layer 1, `SubtractReset`, has no `__call__`"),
    ):
        with pytest.raises(TypeError, match=f"(?s)`snn.Sequential`: {message}"):
            snn.Sequential(fine, wrong)


def test_layers_in_a_list_and_no_layers_are_refused():
    for arguments in (([linear(3, 4), snn.Flatten()],), ((linear(3, 4),),), ()):
        with pytest.raises(
            TypeError, match=r"`snn.Sequential` takes its layers one by one, `snn.Sequential\(first, second\)`"
        ):
            snn.Sequential(*arguments)


def test_a_neuron_hidden_in_a_module_without_state_is_refused():
    for hiding in (
        eqx.nn.Sequential([linear(3, 4), snn.LIF([0.9, 0.8])]),
        eqx.nn.Lambda(snn.LIF([0.9, 0.8])),
        eqx.nn.Sequential([eqx.nn.Sequential([snn.Sequential(snn.LIF([0.9, 0.8]))])]),
    ):
        name = type(hiding).__name__
        with pytest.raises(
            TypeError,
            match=rf"layer 0, `{name}`, holds `(LIF|Sequential)`, whose state it would lose.*`snn.Sequential`",
        ):
            snn.Sequential(hiding)


def test_a_normalisation_with_running_statistics_is_refused_by_name():
    norm = eqx.nn.BatchNorm(3, "batch", mode="ema")
    for wrong, name in ((norm, "BatchNorm"), (eqx.nn.Sequential([norm]), "Sequential")):
        with pytest.raises(TypeError, match=rf"(?s)layer 0, `{name}`, keeps its state in an `eqx.nn.State`.*LayerNorm"):
            snn.Sequential(wrong)


def test_a_layer_that_gives_no_single_array_is_refused():
    model = snn.Sequential(eqx.nn.Lambda(lambda x: (x, x)))
    with pytest.raises(TypeError, match="(?s)`Lambda` must give one array at each time step.*layer 0"):
        model.init_state((3,))


def test_an_error_inside_a_layer_names_the_layer_and_its_input():
    def broken(x):
        raise RuntimeError("mine")

    model = snn.Sequential(linear(3, 4), eqx.nn.Lambda(broken))
    with pytest.raises(
        RuntimeError, match=r"(?s)mine.*`snn.Sequential`: in layer 1, `Lambda`.*shape \(4,\) and dtype float32"
    ):
        model.init_state((3,))


# Arguments of neurons. Ranges and dtypes of parameters: test_parameters.py.


NEURONS = {
    "SimpleLIF": lambda **options: snn.SimpleLIF(0.9, **options),
    "LIF": lambda **options: snn.LIF([0.9, 0.8], **options),
    "SimpleIAF": lambda **options: snn.SimpleIAF(**options),
    "IAF": lambda **options: snn.IAF(0.9, **options),
    "AdaptiveLIF": lambda **options: snn.AdaptiveLIF(0.9, **options),
}


@pytest.mark.parametrize("name", NEURONS)
def test_options_of_a_neuron_that_make_no_sense_are_refused(name):
    for options, error, message in (
        ({"reset": "subtract"}, TypeError, r"`reset` must be a reset such as `snn.SubtractReset\(\)`, got 'subtract'"),
        ({"reset": snn.SubtractReset}, TypeError, r"`reset` must be a reset such as .*got <class"),
        ({"reset": 0.0}, TypeError, r"`reset` must be a reset such as .*got 0\.0"),
        ({"refractory": -1}, ValueError, "`refractory` must be a number of time steps, 0 or more, got -1"),
        ({"refractory": 1.5}, ValueError, r"`refractory` must be a number of time steps, 0 or more, got 1\.5"),
        ({"refractory": True}, ValueError, "`refractory` must be a number of time steps, 0 or more, got True"),
        ({"spike_fn": surrogate.Sigmoid}, TypeError, r"`spike_fn` must be a surrogate such as .*, got <class"),
        ({"spike_fn": 10.0}, TypeError, r"`spike_fn` must be a surrogate such as .*, got 10\.0"),
        ({"shape": 8}, ValueError, r"`shape`.*got.*8"),
        ({"init_fn": 0.5}, TypeError, r"`init_fn` must be .*\(key, shape, dtype\).*got 0\.5"),
        ({"thresold": 0.5}, TypeError, "thresold"),
    ):
        with pytest.raises(error, match=message if "thresold" in options else rf"`snn\.{name}`.*{message}"):
            NEURONS[name](**options)


def test_options_of_an_integrator_and_of_pooling_that_make_no_sense_are_refused():
    with pytest.raises(TypeError, match=r"`snn\.SimpleLI`.*`init_fn` must be .*got 0\.5"):
        snn.SimpleLI(0.9, init_fn=0.5)
    for pool in (snn.SpikingMaxPool1d, snn.SpikingMaxPool2d):
        with pytest.raises(TypeError, match=rf"`snn\.{pool.__name__}`: `spike_fn` must be a surrogate.*got 'step'"):
            pool(2, spike_fn="step")
        with pytest.raises(ValueError, match=rf"`snn\.{pool.__name__}`: `threshold` must be in \(0, inf\), got -1"):
            pool(2, threshold=-1.0)


# Spellings of the original SNNAX and of its documents.


def test_flatten_in_small_letters_names_the_layer():
    with pytest.raises(AttributeError, match=r"`snnax.snn` has no `flatten`.*`snn.Flatten\(\)`"):
        snn.flatten()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        snn.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("name", "today"),
    [
        ("LIFSoftReset", r"snn\.LIF\(decay_constants, reset=snn\.SubtractReset\(\)\)"),
        ("CompoundLayer", r"snn\.Sequential"),
        ("GraphStructure", r"snn\.Graph"),
        ("StatefulModel", r"snn\.Graph"),
        ("SequentialLocalFeedback", r"snn\.Recurrent"),
        ("ResNetBlock", r"snn\.Residual"),
    ],
)
def test_layers_of_the_original_are_answered_with_ours(name, today):
    with pytest.raises(AttributeError, match=f"`snnax.snn` has no `{name}`; it is `{today}`"):
        getattr(snn, name)


def test_init_states_names_init_state(model):
    with pytest.raises(
        AttributeError, match=r"`snn.Sequential` has no `init_states`; it is `init_state\(in_shape, key\)`"
    ):
        model.init_states(jr.key(0))
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'nothing'"):
        model.nothing  # noqa: B018
    assert not hasattr(model, "init_states")


@pytest.mark.parametrize("name", ["SimpleLIF", "LIF", "IAF", "AdaptiveLIF", "SimpleLI", "LI"])
def test_a_shape_before_the_decays_is_refused_with_the_order_of_the_arguments(name):
    neuron = getattr(snn, name)
    decays = [0.9, 0.8] if name in ("LIF", "LI") else 0.9
    right = f"`snn.{name}({'[0.95, 0.9]' if name in ('LIF', 'LI') else '0.95'}, shape=(8, 8), key=key)`"
    for shape in ((8, 8), (8,), [8, 8, 8]):
        with pytest.raises(ValueError, match=rf"`snn\.{name}`: `decay_constants` must hold") as caught:
            neuron(shape, decays, key=jr.key(0))
        assert f"The decays come first: {right}" in str(caught.value)
    for shape in ((8,), (8, 8), [2, 1], (8, 8, 8)):
        with pytest.raises(ValueError, match=rf"`snn\.{name}`: `decay_constants` must hold .*The decays come first"):
            neuron(shape, key=jr.key(0))
    assert neuron([1, 0] if name in ("LIF", "LI") else [1]).decay_constants in ((1.0, 0.0), 1.0)


def test_the_names_of_other_libraries_are_answered_with_ours():
    with pytest.raises(TypeError, match="`snn.SimpleLIF` takes no 'spike_grad'.*'spike_grad' is `spike_fn` here"):
        snn.SimpleLIF(0.9, spike_grad=None)
    with pytest.raises(TypeError, match=r"'reset_val' is `reset=snn\.ResetToValue\(reset_val\)` here"):
        snn.LIF([0.9, 0.8], reset_val=0.0)
    with pytest.raises(TypeError, match="'stop_reset_grad' is `stop_gradient`, of the reset, here"):
        snn.LIF([0.9, 0.8], stop_reset_grad=False)
    with pytest.raises(TypeError, match="`snn.LIF` takes no 'colour'. Every spiking layer takes `threshold`"):
        snn.LIF([0.9, 0.8], colour="red")


def test_firing_without_the_countdown_that_the_refractory_period_needs_is_refused():
    neuron = snn.SimpleLIF(0.9, refractory=2)
    with pytest.raises(ValueError, match="with `refractory=2`, `fire` needs the countdown"):
        neuron.fire(jnp.ones(3), jnp.zeros(3), None)


def test_a_range_that_is_empty_is_refused():
    with pytest.raises(ValueError, match="must be .lowest, highest., got"):
        snn.parameter((1.0, 0.0))
