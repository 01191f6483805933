"""Faults that are planted in a network are found, named, and nothing else is."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import linear, spikes_like

import snnax.snn as snn
from snnax.functional import surrogate

N = 24


def layers(keys=jr.split(jr.key(8), 3)):
    return [
        eqx.nn.Linear(N, N, key=keys[0]),
        snn.SimpleLIF(0.9),
        eqx.nn.Linear(N, N, key=keys[1]),
        snn.SimpleLIF(0.9),
        eqx.nn.Linear(N, 3, key=keys[2]),
        snn.SimpleLI(0.9),
    ]


def batch(rate=0.3):
    return spikes_like(jr.key(1), (6, 20, N), rate)


def healthy():
    return snn.calibrate(snn.Sequential(*layers()), batch(), 0.2)


def loss(outs):
    return jnp.mean(jnp.square(outs[-1]))


def with_weights(model, number, function):
    return eqx.tree_at(lambda m: m.layers[number].weight, model, replace_fn=function)


def problems(report):
    return {(finding.layer, finding.problem) for finding in report.findings}


def test_nothing_is_found_in_a_healthy_network():
    report = snn.diagnose(healthy(), batch(), loss)
    assert report.findings == () and report.first_not_finite is None
    assert "Nothing is wrong" in str(report)


def test_lines_agree_with_the_outputs_and_the_gradients_of_the_network():
    model, xs = healthy(), batch()
    report = snn.diagnose(model, xs, loss)
    states = model.init_state((N,))

    def run(model):
        outs = jax.vmap(lambda x: model(states, x)[1])(xs)
        return loss(outs), outs

    (value, outs), gradient = eqx.filter_value_and_grad(run, has_aux=True)(model)
    assert report.loss == pytest.approx(float(value), rel=1e-5)
    assert [line.name for line in report.layers] == list("012345")
    assert [line.kind for line in report.layers] == ["Linear", "snn.SimpleLIF"] * 2 + ["Linear", "snn.SimpleLI"]
    for i, line in enumerate(report.layers):
        if i in (1, 3):
            train = np.asarray(outs[i])
            assert line.rate == pytest.approx(train.mean(), rel=1e-5)
            assert line.dead == np.mean(train.sum((0, 1)) == 0)
            assert line.saturated == np.mean(train.mean((0, 1)) >= 0.95)
            assert line.gradient is None
        else:
            assert (line.rate, line.dead, line.saturated) == (None, None, None)
        if i in (0, 2, 4):
            leaves = jax.tree.leaves(gradient[i])
            assert line.gradient == pytest.approx(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in leaves)), rel=1e-4)
    without = snn.diagnose(model, xs)
    assert without.loss is None
    assert without.layers == tuple(dataclasses.replace(line, gradient=None) for line in report.layers)


def test_a_dead_layer_is_named_and_so_are_those_that_learn_nothing_for_it():
    model = with_weights(healthy(), 2, lambda w: 0.001 * w)
    model = eqx.tree_at(lambda m: m.layers[2].bias, model, jnp.full((N,), -9.0))
    model = eqx.tree_at(lambda m: m.layers[4].bias, model, jnp.ones(3))
    report = snn.diagnose(model, batch(), loss)
    assert ("3", "dead") in problems(report)
    assert report.layers[3].dead == 1.0 and report.layers[3].rate == 0.0
    assert ("1", "dead") not in problems(report)
    message = next(finding.message for finding in report.findings if finding.problem == "dead")
    assert message.startswith("'3' (snn.SimpleLIF): 100% of the neurons never fire") and "snn.calibrate" in message
    assert message in str(report)
    # What is said to help does.
    helped = snn.calibrate(eqx.tree_at(lambda m: m.layers[2].bias, model, jnp.zeros(N)), batch(), 0.2)
    assert problems(snn.diagnose(helped, batch(), loss)) == set()


def test_half_of_the_neurons_may_be_dead_and_more_may_not():
    for dead, found in ((N // 2, False), (N // 2 + 1, True)):
        model = snn.Sequential(
            eqx.nn.Lambda(lambda x, dead=dead: jnp.where(jnp.arange(N) < dead, -1.0, 0.3)), snn.SimpleLIF(0.9)
        )
        report = snn.diagnose(model, batch())
        assert report.layers[1].dead == dead / N
        assert (("1", "dead") in problems(report)) == found


@pytest.mark.parametrize("refractory", [0, 2])
def test_a_saturated_layer_is_named_whatever_the_rate_that_it_can_reach(refractory):
    model = healthy()
    model = eqx.tree_at(lambda m: m.layers[2].bias, model, jnp.full((N,), 50.0))
    model = eqx.tree_at(lambda m: m.layers[3], model, snn.SimpleLIF(0.9, refractory=refractory))
    report = snn.diagnose(model, batch())
    assert problems(report) == {("3", "saturated")}
    assert report.layers[3].saturated == 1.0
    assert report.layers[3].rate == pytest.approx(7 / 20 if refractory else 1.0)
    assert "fire all the time" in report.findings[0].message


def test_weights_that_are_not_a_number_are_named_and_not_what_they_lead_to():
    model = with_weights(healthy(), 2, lambda w: w.at[3, 4].set(jnp.nan))
    report = snn.diagnose(model, batch(), loss)
    assert report.first_not_finite == "2"
    (finding,) = [finding for finding in report.findings if finding.problem == "not finite"]
    assert finding.message.startswith("'2' (Linear) has parameters that are not finite")


def test_the_first_layer_with_an_output_that_is_not_a_number_is_named_with_its_step():
    xs = batch().at[4, 7].set(-1.0)
    root = eqx.nn.Lambda(lambda x: jnp.sqrt(x))
    model = snn.Sequential(linear(N, N), snn.Residual(snn.Sequential(eqx.nn.Identity())), snn.SimpleLIF(0.9))
    model = snn.Sequential(snn.Residual(snn.Sequential(snn.Delay(2), root)), *model.layers)
    report = snn.diagnose(model, xs)
    assert report.first_not_finite == "0.0.1"
    assert "in example 4 first at step 9" in report.findings[0].message


def test_a_state_that_grows_without_limit_is_found_though_spikes_are_finite():
    model = snn.Sequential(eqx.nn.Lambda(lambda x: 1e38 * x), snn.SimpleLIF(1.0, reset=snn.NoReset()))
    report = snn.diagnose(model, jnp.ones((3, 20, 4)))
    assert report.first_not_finite == "1"
    assert report.findings[0].message.startswith("'1' (snn.SimpleLIF) has a state that is not finite, in example 0")


def test_a_gradient_that_is_not_a_number_is_named_from_the_loss_on():
    def broken(outs):
        return jnp.sum(jnp.sqrt(outs[-1] * 0.0))

    report = snn.diagnose(healthy(), batch(), broken)
    assert report.first_not_finite == "4" and np.isfinite(report.loss)
    assert report.findings[0].message.startswith("The gradient of '4' (Linear) is not finite, though all values are")


def test_gradients_that_vanish_are_named():
    narrow = surrogate.SuperSpike(1e12)
    model = healthy()
    model = eqx.tree_at(lambda m: m.layers[3], model, snn.SimpleLIF(0.9, spike_fn=narrow))
    report = snn.diagnose(model, batch(), loss)
    assert problems(report) == {("0", "vanishing gradient"), ("2", "vanishing gradient")}
    assert "a smaller `slope`" in report.findings[0].message

    def of_nothing(outs):
        return 0.0 * jnp.sum(outs[-1])

    found = problems(snn.diagnose(healthy(), batch(), of_nothing))
    assert found == {(layer, "vanishing gradient") for layer in "024"}


def test_gradients_that_explode_are_named():
    report = snn.diagnose(healthy(), batch(), lambda outs: 1e6 * loss(outs))
    assert {problem for _, problem in problems(report)} == {"exploding gradient"}
    assert "clip_by_global_norm" in report.findings[0].message


def test_a_silent_batch_is_found():
    report = snn.diagnose(healthy(), jnp.zeros((2, 20, N)))
    assert report.findings[0].problem == "silent input" and "all zeros" in report.findings[0].message


def test_nested_layers_recurrences_and_random_numbers_are_seen_through(getkey):
    model = snn.Sequential(
        snn.Graph(
            {
                "fc": linear(N, N),
                "norm": snn.BatchNorm(N),
                "lif": snn.SimpleLIF(0.9, threshold=50.0),
                "back": linear(N, N, 1),
            },
            [("input", "fc"), ("fc", "norm"), ("norm", "lif"), snn.Edge("lif", "back", delay=1), ("back", "lif")],
            outputs=("lif",),
        ),
        eqx.nn.Dropout(0.2),
        snn.Residual(snn.Recurrent(snn.SimpleLIF(0.9), linear(N, N, 2))),
    )
    report = snn.diagnose(model, batch(), lambda outs: jnp.mean(outs[-1]), getkey())
    assert ("0.lif", "dead") in problems(report)
    names = [line.name for line in report.layers]
    assert names == ["0.fc", "0.norm", "0.back", "0.lif", "1", "2.0.neuron", "2.0.synapse", "2.1"]
    assert {line.name for line in report.layers if line.gradient is not None} == {
        "0.fc",
        "0.norm",
        "0.back",
        "2.0.synapse",
    }
    with pytest.raises(RuntimeError, match="(?i)dropout"):
        snn.diagnose(model, batch())


def test_a_loss_may_take_what_is_collected():
    counts = snn.diagnose(healthy(), batch(), lambda outs: jnp.mean(outs[-1]), collect={-1: snn.Sum()})
    trains = snn.diagnose(healthy(), batch(), lambda outs: jnp.mean(jnp.sum(outs[-1], axis=1)))
    assert counts.loss == pytest.approx(trains.loss, rel=1e-5)
    assert counts.layers[0].gradient == pytest.approx(trains.layers[0].gradient, rel=1e-4)


def test_an_embedding_is_passed_by():
    model = snn.Sequential(eqx.nn.Embedding(7, N, key=jr.key(0)), snn.SimpleLIF(0.9))
    report = snn.diagnose(model, jr.randint(jr.key(1), (3, 9), 0, 7), lambda outs: jnp.mean(outs[-1]))
    assert report.layers[0].gradient > 0 and report.layers[1].rate > 0


def test_it_prints_as_a_table():
    lines = str(snn.diagnose(healthy(), batch(), loss)).splitlines()
    assert lines[0].split() == ["layer", "kind", "rate", "dead", "saturated", "gradient"]
    assert lines[3].split()[:2] == ["1", "snn.SimpleLIF"] and lines[3].split()[3].endswith("%")
    assert lines[8].startswith("loss: ") and len(lines) == 10


def test_a_loss_of_many_numbers_and_a_batch_without_time_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"`snn.diagnose`: `loss` must give a number for the batch, got shape \(6,\)"):
        snn.diagnose(healthy(), batch(), lambda outs: jnp.sum(outs[-1], axis=(1, 2)))
    with pytest.raises(ValueError, match=r"`snn.diagnose`: a batch must be an array.*got shape \(24,\)"):
        snn.diagnose(healthy(), jnp.ones(N))
    with pytest.raises(ValueError, match="`snn.diagnose`: a batch must be an array.*got .*str"):
        snn.diagnose(healthy(), "spikes")
