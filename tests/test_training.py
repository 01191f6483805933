"""A step is what one would write by hand, and the loop around it does the same whatever interrupts it."""

import csv
import functools
import json
import math
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import tiny_run
from tiny_run import OPTIMISER, Interrupt, Interrupted, loss_fn

import snnax.snn as snn
from snnax import data, train


def close(a, b, rtol=1e-5, atol=1e-6):
    return eqx.tree_equal(
        eqx.filter(a, eqx.is_inexact_array), eqx.filter(b, eqx.is_inexact_array), rtol=rtol, atol=atol
    )


def inference_loss(model, batch, key):
    return loss_fn(eqx.nn.inference_mode(model), batch, key)


@pytest.fixture(scope="module")
def step():
    return train.make_step(loss_fn, OPTIMISER)


# The step.


def test_a_step_is_what_one_would_write_by_hand(step):
    model, key = tiny_run.network(jr.key(0), spiking=False), jr.key(1)
    state = train.TrainState.start(model, OPTIMISER, key)
    opt_state = OPTIMISER.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def by_hand(model, opt_state, batch, key):
        (loss, metrics), gradient = eqx.filter_value_and_grad(loss_fn, has_aux=True)(model, batch, key)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = OPTIMISER.update(gradient, opt_state)
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        return eqx.apply_updates(model, updates), opt_state, {"loss": loss, "gradient_norm": norm, **metrics}

    for number, batch in enumerate(tiny_run.loader().epoch(0)):
        model, opt_state, wanted = by_hand(model, opt_state, batch, jr.fold_in(key, number))
        state, metrics = step(state, batch)
        assert close(metrics, wanted) and set(metrics) == {"loss", "gradient_norm", "accuracy"}
    assert close(state.model, model) and close(state.opt_state, opt_state)
    assert int(state.step) == 6 and int(state.skipped) == 0


def test_every_step_draws_from_the_key_of_the_run_and_its_number():
    def drawn(model, batch, key):
        return jnp.sum(model.weight), {"drawn": jr.uniform(key)}

    step = train.make_step(drawn, optax.sgd(0.1))
    state = train.TrainState.start(eqx.nn.Linear(1, 1, key=jr.key(0)), optax.sgd(0.1), jr.key(7))
    for number in range(3):
        state, metrics = step(state, jnp.zeros(1))
        assert metrics["drawn"] == jr.uniform(jr.fold_in(jr.key(7), number))


def test_parameters_are_projected_and_what_is_fixed_stays():
    model = snn.Sequential(snn.LIF([jnp.array(0.99), snn.Fixed(jnp.array(0.9))], threshold=jnp.array(0.5)))

    def far_up(model, batch, key):
        leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
        return -sum(map(jnp.sum, leaves))

    optimiser = optax.sgd(10.0)
    state, _ = train.make_step(far_up, optimiser)(train.TrainState.start(model, optimiser, jr.key(0)), jnp.zeros(1))
    lif = state.model.layers[0]
    assert [float(leaf) for leaf in jax.tree.leaves(lif.decay_constants)] == [1.0, np.float32(0.9)]
    assert lif.threshold == 10.5


def test_the_state_is_given_away_and_the_model_of_the_caller_is_not(step):
    model, key = tiny_run.network(jr.key(0)), jr.key(1)
    state = train.TrainState.start(model, OPTIMISER, key)
    new, _ = step(state, next(tiny_run.loader().epoch(0)))
    assert state.model.layers[0].weight.is_deleted() and not new.model.layers[0].weight.is_deleted()
    assert np.isfinite(model.layers[0].weight).all() and jr.key_data(key).shape == (2,)


def test_an_optimiser_may_keep_the_parameters_and_one_array_may_stand_for_two_leaves():
    keeps = optax.GradientTransformation(lambda params: params, lambda updates, state, params: (updates, params))
    shared = jnp.ones(3)
    state = train.TrainState.start({"a": shared, "b": shared}, keeps, jr.key(0))
    step = train.make_step(lambda model, batch, key: jnp.sum(model["a"] * batch) + jnp.sum(model["b"]), keeps)
    for _ in range(2):
        state, _ = step(state, jnp.full(3, 2.0))
    assert np.array_equal(state.model["a"], np.full(3, 5.0)) and np.array_equal(state.model["b"], np.full(3, 3.0))
    assert np.array_equal(state.opt_state["a"], np.full(3, 3.0)) and np.array_equal(shared, np.ones(3))


def test_the_optimiser_is_told_the_loss():
    optimiser = optax.chain(optax.sgd(1.0), optax.contrib.reduce_on_plateau(factor=0.5, patience=1))
    state = train.TrainState.start({"a": jnp.zeros(2)}, optimiser, jr.key(0))
    step = train.make_step(lambda model, batch, key: jnp.sum(model["a"]) * 0 + 1.0, optimiser)
    scales = []
    for _ in range(6):
        state, _ = step(state, jnp.zeros(1))
        scales.append(float(state.opt_state[1].scale))
    assert scales[0] == 1.0 and scales[-1] < 1.0


def test_complex_parameters_go_downhill():
    goal = jnp.array([1 + 2j, -3 - 0.5j], jnp.complex64)
    optimiser = optax.sgd(0.1)
    state = train.TrainState.start({"w": jnp.zeros(2, jnp.complex64)}, optimiser, jr.key(0))
    step = train.make_step(lambda model, batch, key: jnp.sum(jnp.abs(model["w"] - goal) ** 2), optimiser)
    for _ in range(50):
        state, metrics = step(state, jnp.zeros(1))
    assert np.allclose(state.model["w"], goal, atol=1e-3) and metrics["loss"] < 1e-3


def test_a_loss_of_float64_stays_float64():
    with jax.enable_x64(True):
        optimiser = optax.sgd(0.1)
        state = train.TrainState.start({"w": jnp.array([0.1], jnp.float64)}, optimiser, jr.key(0))
        state, metrics = train.make_step(lambda m, batch, key: jnp.sum(m["w"] ** 2), optimiser)(state, np.zeros(1))
        assert metrics["loss"].dtype == state.model["w"].dtype == jnp.float64
        assert abs(float(metrics["loss"]) - 0.01) < 1e-15


def test_a_step_is_compiled_once_also_after_a_resume(tmp_path):
    traces = []

    def traced(model, batch, key):
        traces.append(1)
        return loss_fn(model, batch, key)

    step = train.make_step(traced, OPTIMISER)
    for epochs in (2, 4):
        state = train.TrainState.start(tiny_run.network(jr.key(0)), OPTIMISER, jr.key(1))
        train.fit(
            state, step, tiny_run.loader(), epochs=epochs, checkpoints=train.Checkpoints(tmp_path), every=4, resume=True
        )
    assert len(traces) == 1


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_make_the_step_of_the_whole(parts):
    whole = train.make_step(inference_loss, OPTIMISER)
    in_parts = train.make_step(inference_loss, OPTIMISER, parts=parts)
    batch = next(tiny_run.loader(batch_size=8).epoch(0))
    state, metrics = whole(tiny_run.start(spiking=False), batch)
    other, others = in_parts(tiny_run.start(spiking=False), batch)
    assert close(metrics, others) and close(state, other)


def test_every_part_has_its_own_key_and_metrics_of_any_kind_are_averaged():
    def told(model, batch, key):
        return jnp.mean(model["w"] * batch), {"drawn": jr.uniform(key), "first": batch[0] > 1, "whole": 3, "x": 0.5}

    optimiser = optax.sgd(1.0)
    state = train.TrainState.start({"w": jnp.ones(())}, optimiser, jr.key(5))
    state, metrics = train.make_step(told, optimiser, parts=2)(state, jnp.arange(4.0))
    keys = [jr.fold_in(jr.fold_in(jr.key(5), 0), part) for part in range(2)]
    assert np.allclose(metrics["drawn"], np.mean([jr.uniform(key) for key in keys]))
    assert metrics["loss"] == 1.5 and state.model["w"] == -0.5  # the mean of 0, 1, 2, 3
    assert metrics["first"] == 0.0 and metrics["whole"] == 3 and metrics["x"] == 0.5
    assert {value.dtype for value in metrics.values()} == {jnp.dtype(jnp.float32)}


# Precision.


def test_bfloat16_computes_in_half_and_trains_in_float32():
    seen = {}

    def watched(model, batch, key):
        seen["weight"] = model.layers[0].weight.dtype
        seen["decay"] = model.layers[1].decay_constants[0].dtype
        _, outs = model(model.init_state((tiny_run.CHANNELS,)), batch["x"][0], key)
        seen["outs"] = {out.dtype for out in outs}
        return loss_fn(model, batch, key)

    half, full = (train.make_step(watched, OPTIMISER, dtype=dtype) for dtype in (jnp.bfloat16, None))
    state, other = tiny_run.start(), tiny_run.start()
    losses = []
    for epoch in range(8):
        for batch in tiny_run.loader().epoch(epoch):
            state, metrics = half(state, batch)
            if not losses:
                assert seen == {"weight": jnp.bfloat16, "decay": jnp.float32, "outs": {jnp.dtype(jnp.bfloat16)}}
                other, others = full(other, batch)
                # The same step, rounded.
                assert np.isclose(metrics["loss"], others["loss"], rtol=0.05) and metrics["loss"] != others["loss"]
            losses.append(float(metrics["loss"]))
    arrays = jax.tree.leaves(eqx.filter((state.model, state.opt_state), eqx.is_inexact_array))
    assert {leaf.dtype for leaf in [*arrays, metrics["loss"]]} == {jnp.dtype(jnp.float32)}
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


# Steps that are not finite.


def exploding(model, batch, key):
    """Not finite where the batch says so."""
    loss, metrics = loss_fn(model, {name: batch[name] for name in ("x", "label")}, key)
    return loss + jnp.sum(jnp.where(batch["bad"], jnp.nan, 0.0)), metrics


def with_bad(*bad):
    """Six batches of four in their order, of which some are bad."""
    arrays = tiny_run.examples()
    return data.Loader(data.Arrays(**arrays, bad=np.isin(np.arange(24) // 4, bad)), 4, shuffle=False)


def test_a_step_that_is_not_finite_is_refused():
    step = train.make_step(exploding, OPTIMISER)
    batch = next(with_bad(0).epoch(0))
    with pytest.raises(FloatingPointError, match=r"Step`: the loss \(nan\).*skip_nonfinite=True.*counts them"):
        step(tiny_run.start(), batch)


def test_so_is_one_with_a_finite_loss_and_an_infinite_gradient():
    optimiser = optax.sgd(1.0)
    step = train.make_step(lambda model, batch, key: jnp.sum(jnp.sqrt(model["w"])), optimiser)
    with pytest.raises(FloatingPointError, match=r"the loss \(0.0\) or its gradient \(of norm inf\) is not finite"):
        step(train.TrainState.start({"w": jnp.zeros(1)}, optimiser, jr.key(0)), jnp.zeros(1))


def test_or_it_is_skipped_and_counted_and_changes_nothing_else():
    step = train.make_step(exploding, OPTIMISER, skip_nonfinite=True)
    state = tiny_run.start()
    before = jax.tree.map(lambda leaf: np.array(leaf) if eqx.is_inexact_array(leaf) else None, state)
    state, metrics = step(state, next(with_bad(0).epoch(0)))
    after = jax.tree.map(lambda leaf: np.array(leaf) if eqx.is_inexact_array(leaf) else None, state)
    assert np.isnan(metrics["loss"]) and eqx.tree_equal(before, after)
    assert int(state.step) == 1 and int(state.skipped) == 1
    assert int(optax.tree.get(state.opt_state, "count")) == 0


def test_fit_says_which_batch_was_not_finite_and_keeps_nothing_of_it(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    step = train.make_step(exploding, OPTIMISER)
    with pytest.raises(FloatingPointError, match=r"fit`: the loss \(nan\).* in batch 3 of epoch 0\."):
        train.fit(tiny_run.start(), step, with_bad(3), epochs=1, checkpoints=checkpoints, every=1)
    assert checkpoints.steps() == [1, 2, 3]


def test_the_loop_is_no_more_than_a_few_steps_ahead_of_the_device():
    """What is under way holds its batch in the memory of the device."""

    class Counting(Interrupted):
        def epoch(self, epoch, *, start=0, place=lambda batch: batch):
            for batch in self.loader.epoch(epoch, start=start, place=place):
                taken.append(batch)
                yield batch

    taken = []
    with pytest.raises(FloatingPointError, match="batch 0 of epoch 0"):
        train.fit(tiny_run.start(), train.make_step(exploding, OPTIMISER), Counting(with_bad(0), 0), epochs=1)
    assert len(taken) == 6  # all of this epoch; 8 of a longer one


def test_fit_leaves_skipped_steps_out_of_the_means():
    step = train.make_step(exploding, OPTIMISER, skip_nonfinite=True)
    state, (row,) = train.fit(tiny_run.start(), step, with_bad(1, 4), epochs=1)
    other, losses = tiny_run.start(), []
    for batch in with_bad(1, 4).epoch(0):
        other, metrics = step(other, batch)
        losses.append(float(metrics["loss"]))
    assert row["skipped"] == 2 and row["step"] == 6 and np.isnan(losses).sum() == 2
    assert math.isclose(row["train_loss"], np.nanmean(losses), rel_tol=1e-12) and eqx.tree_equal(
        state.model, other.model
    )


def test_an_epoch_of_skipped_steps_has_no_means():
    step = train.make_step(exploding, OPTIMISER, skip_nonfinite=True)
    _, (row,) = train.fit(tiny_run.start(), step, with_bad(*range(6)), epochs=1)
    assert row["skipped"] == 6 and math.isnan(row["train_loss"]) and math.isnan(row["train_gradient_norm"])


# The loop.


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def same(a, b):
    """Bit for bit."""
    return bool(eqx.tree_equal(a, b))


@pytest.fixture(scope="module")
def evaluate():
    return train.make_evaluation(tiny_run.accuracies, tiny_run.loader(10, 4, shuffle=False, drop_last=False))


@pytest.fixture(scope="module")
def uninterrupted(step, evaluate):
    return train.fit(tiny_run.start(), step, tiny_run.loader(), epochs=3, evaluate=evaluate)


def test_fit_is_the_loop_that_one_would_write(step, evaluate, uninterrupted):
    state, rows = tiny_run.start(), []
    for epoch in range(3):
        losses = []
        for batch in tiny_run.loader().epoch(epoch):
            state, metrics = step(state, batch)
            losses.append(metrics)
        means = {f"train_{name}": np.mean([float(one[name]) for one in losses]) for name in losses[0]}
        rows.append({"epoch": epoch, "step": 6 * (epoch + 1), "skipped": 0, **means, **evaluate(state.model)})
    found, history = uninterrupted
    assert same(found.model, state.model) and same(found.opt_state, state.opt_state)
    assert (int(found.epoch), int(found.batch), int(found.step)) == (3, 0, 18)
    for row, wanted in zip(without_seconds(history), rows, strict=True):
        assert row.keys() == wanted.keys() and all(math.isclose(row[name], wanted[name]) for name in wanted)
    assert all(row["seconds"] > 0 for row in history)


@pytest.mark.parametrize("every", [None, 1, 4])
@pytest.mark.parametrize("moments", [(0,), (1,), (5,), (6,), (7, 8, 9, 16), (17,)])
def test_a_run_that_was_interrupted_ends_as_the_one_that_was_not(
    moments, every, step, evaluate, uninterrupted, tmp_path
):
    settings = dict(epochs=3, evaluate=evaluate, every=every, resume=True)
    logs = [train.CSVLog(tmp_path / "log.csv"), train.JSONLog(tmp_path / "log.jsonl")]
    for at in moments:
        checkpoints = train.Checkpoints(tmp_path / "checkpoints")
        with pytest.raises(Interrupt):
            train.fit(
                tiny_run.start(),
                step,
                Interrupted(tiny_run.loader(), at),
                checkpoints=checkpoints,
                logs=logs,
                **settings,
            )
    checkpoints = train.Checkpoints(tmp_path / "checkpoints")
    kept = checkpoints.steps()
    assert (
        kept[-1:] == [step for step in range(1, moments[-1] + 1) if step % 6 == 0 or (every and step % every == 0)][-1:]
    )
    begun = tiny_run.start(seed=4 if kept else 0)  # with a checkpoint, nothing of it counts
    state, history = train.fit(begun, step, tiny_run.loader(), checkpoints=checkpoints, logs=logs, **settings)
    wanted, rows = uninterrupted
    assert same(state, wanted) and without_seconds(history) == without_seconds(rows)
    with open(tmp_path / "log.csv") as file:
        table = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in table] == history
    with open(tmp_path / "log.jsonl") as file:
        assert [json.loads(line) for line in file] == history


def test_a_run_that_is_finished_is_not_gone_on_with(step, evaluate, uninterrupted, tmp_path):
    def run(epochs):
        checkpoints = train.Checkpoints(tmp_path)
        return train.fit(
            tiny_run.start(),
            step,
            tiny_run.loader(),
            epochs=epochs,
            evaluate=evaluate,
            checkpoints=checkpoints,
            resume=True,
        )

    first, again = run(2), run(2)
    assert same(first[0], again[0]) and first[1] == again[1]
    longer = run(3)
    assert same(longer[0], uninterrupted[0]) and without_seconds(longer[1]) == without_seconds(uninterrupted[1])


def test_a_run_goes_on_from_the_state_that_it_gave_back(step, uninterrupted):
    state, _ = train.fit(tiny_run.start(), step, tiny_run.loader(), epochs=1)
    state, history = train.fit(state, step, tiny_run.loader(), epochs=3)
    assert same(state, uninterrupted[0]) and [row["epoch"] for row in history] == [1, 2]


def test_averages_over_several_batches_survive_too(tmp_path):
    optimiser = optax.MultiSteps(optax.adam(1e-2), every_k_schedule=4)
    optimiser = optax.GradientTransformation(optimiser.init, optimiser.update)
    step = train.make_step(loss_fn, optimiser)
    wanted, _ = train.fit(tiny_run.start(optimiser), step, tiny_run.loader(), epochs=2)
    checkpoints = train.Checkpoints(tmp_path)
    with pytest.raises(Interrupt):
        train.fit(
            tiny_run.start(optimiser),
            step,
            Interrupted(tiny_run.loader(), 9),
            epochs=2,
            checkpoints=checkpoints,
            every=1,
        )
    state, _ = train.fit(
        tiny_run.start(optimiser), step, tiny_run.loader(), epochs=2, checkpoints=checkpoints, resume=True
    )
    assert same(state, wanted)


def test_the_best_and_the_last_checkpoints_of_a_run_stay(step, tmp_path):
    values = iter([0.1, 0.9, 0.3, 0.2])
    checkpoints = train.Checkpoints(tmp_path, keep=1, metric="accuracy")
    state, _ = train.fit(
        tiny_run.start(),
        step,
        tiny_run.loader(),
        epochs=4,
        evaluate=lambda model: {"accuracy": next(values)},
        checkpoints=checkpoints,
        every=5,
    )
    assert checkpoints.steps() == [12, 24] and checkpoints.best() == 12
    assert same(checkpoints.restore(tiny_run.start())[1], state)


def test_no_log_is_late_when_a_run_is_killed(step, tmp_path):
    """A row is in the log before its checkpoint is written: a run that has ended is never without its last row."""
    checkpoints = train.Checkpoints(tmp_path)
    seen = []
    log = lambda history: seen.append((len(history), checkpoints.steps()))  # noqa: E731
    train.fit(tiny_run.start(), step, tiny_run.loader(), epochs=2, checkpoints=checkpoints, logs=[log])
    assert seen == [(1, []), (2, [6])]


@pytest.mark.parametrize(
    "values, patience, lower, ends",
    [
        ([1.0], 1, False, False),
        ([1.0, 2.0], 1, False, False),
        ([2.0, 1.0], 1, False, True),
        ([2.0, 2.0], 1, False, True),
        ([2.0, 1.0], 2, False, False),
        ([2.0, 1.0, 1.9], 2, False, True),
        ([2.0, 1.0, 2.1], 2, False, False),
        ([2.0, 1.0], 1, True, False),
        ([1.0, 2.0], 1, True, True),
        ([1.0, math.nan, math.nan], 2, False, True),
        ([math.nan, 1.0], 1, True, False),
        ([], 1, False, False),
    ],
)
def test_a_run_ends_when_its_metric_has_not_become_better(values, patience, lower, ends):
    stop = train.EarlyStopping("loss", patience, lower_is_better=lower)
    assert stop.ends([{"loss": value} for value in values]) is ends


def test_early_stopping_ends_a_run_and_a_resumed_one(step, tmp_path):
    values = [0.1, 0.5, 0.4, 0.3, 0.9]

    def run(at_hand):
        return train.fit(
            tiny_run.start(),
            step,
            tiny_run.loader(),
            epochs=5,
            evaluate=lambda model: {"accuracy": next(at_hand)},
            stop=train.EarlyStopping("accuracy", 2),
            checkpoints=train.Checkpoints(tmp_path),
            resume=True,
        )

    state, history = run(iter(values))
    assert [row["accuracy"] for row in history] == values[:4] and int(state.epoch) == 4
    assert run(iter([]))[1] == history


class Bar:
    """What `progress` makes, as far as `fit` uses it."""

    made = []

    def __init__(self, total, initial, desc):
        self.total, self.n, self.desc, self.shown, self.closed = total, initial, desc, None, False
        self.made.append(self)

    def update(self, n):
        self.n += n

    def set_postfix(self, *, refresh, loss):
        assert not refresh
        self.shown = loss

    def close(self):
        self.closed = True


def test_progress_is_shown_for_every_epoch_from_where_it_goes_on(step, tmp_path):
    Bar.made.clear()
    checkpoints = train.Checkpoints(tmp_path)
    settings = dict(epochs=2, checkpoints=checkpoints, every=2, resume=True, progress=Bar)
    with pytest.raises(Interrupt):
        train.fit(tiny_run.start(), step, Interrupted(tiny_run.loader(), 9), **settings)
    assert [(bar.n, bar.total, bar.desc) for bar in Bar.made] == [(6, 6, "epoch 1"), (2, 6, "epoch 2")]
    assert all(bar.closed for bar in Bar.made) and float(Bar.made[0].shown) > 0
    train.fit(tiny_run.start(), step, tiny_run.loader(), **settings)
    assert (Bar.made[2].desc, Bar.made[2].n) == ("epoch 2", 6) and len(Bar.made) == 3


def test_tqdm_makes_the_bar(step, capsys):
    tqdm = pytest.importorskip("tqdm")
    train.fit(tiny_run.start(), step, tiny_run.loader(), epochs=1, progress=tqdm.tqdm)
    assert "epoch 1: 100%" in capsys.readouterr().err


def test_a_run_that_fails_leaves_no_thread(step):
    class Fails(Bar):
        def update(self, n):
            raise Interrupt

    with pytest.raises(Interrupt) as error:  # which holds the frame of `fit`
        train.fit(tiny_run.start(), step, tiny_run.loader(), epochs=1, progress=Fails)
    assert (
        error.value is not None
        and Bar.made[-1].closed
        and not [one for one in threading.enumerate() if "snnax" in one.name]
    )


# Logs.


def test_tables_hold_what_the_history_holds(tmp_path):
    history = [{"epoch": 0, "loss": 0.1}, {"epoch": 1, "loss": math.nan, "accuracy": 1.0}]
    for log in (train.CSVLog(tmp_path / "a.csv"), train.JSONLog(tmp_path / "a.jsonl")):
        log(history[:1])
        log(history)
    assert (tmp_path / "a.csv").read_text() == "epoch,loss,accuracy\n0,0.1,\n1,nan,1.0\n"
    assert (
        tmp_path / "a.jsonl"
    ).read_text() == '{"epoch": 0, "loss": 0.1}\n{"epoch": 1, "loss": NaN, "accuracy": 1.0}\n'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl"]


def test_tensorboard_has_every_row_once_after_a_resume(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    rows = [{"epoch": i, "step": 10 * (i + 1), "train_loss": 1.0 / (i + 1), "seconds": 0.5} for i in range(4)]
    first = train.TensorBoardLog(tmp_path)
    for end in (1, 2, 3):
        first(rows[:end])
    first.close()
    resumed = train.TensorBoardLog(tmp_path)  # from a checkpoint before the last row
    for end in (3, 4):
        resumed(rows[:end])
    resumed.close()
    events = accumulators.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"train_loss", "seconds"}
    found = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert found == [(row["step"], np.float32(row["train_loss"])) for row in rows]


def test_tensorboard_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="TensorBoardLog` needs tensorboardX: `pip install tensorboardX`"):
        train.TensorBoardLog(tmp_path)


# Evaluation.


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_an_evaluation_is_the_mean_over_all_examples(batch_size):
    arrays = tiny_run.examples(10)
    model = tiny_run.network(jr.key(0), dropout=0.9)

    def metric_fn(model, batch):
        scores = tiny_run.scores(model, batch, jr.key(0))
        return {"score": scores[:, 0], "is even": batch["label"] % 2 == 0, "label": batch["label"]}

    loader = tiny_run.loader(10, batch_size, drop_last=False)
    found = train.make_evaluation(metric_fn, loader)(model)
    scores = tiny_run.scores(eqx.nn.inference_mode(model), arrays, jr.key(0))[:, 0]
    assert math.isclose(found["score"], np.mean(scores), rel_tol=1e-5)
    assert math.isclose(found["is even"], np.mean(arrays["label"] % 2 == 0))
    assert math.isclose(found["label"], np.mean(arrays["label"]))


def test_what_fills_the_last_batch_up_may_be_anything():
    loader = data.Loader(data.Arrays(x=np.array([1.0, 2.0, 4.0])), 2, shuffle=False, drop_last=False)

    def metric_fn(model, batch):
        return {"x": jnp.where(batch["counted"], batch["x"], jnp.nan)}

    assert math.isclose(train.make_evaluation(metric_fn, loader)(None)["x"], 7 / 3, rel_tol=1e-6)


# All on the device.

EPOCHS = 3


@pytest.fixture(scope="module")
def run():
    return eqx.filter_jit(functools.partial(train.run_epochs, batch_size=5, epochs=EPOCHS))


def test_epochs_on_the_device_are_the_loop_over_their_order(step, run):
    arrays = tiny_run.examples(23)
    found, metrics = run(tiny_run.start(spiking=False), step, arrays)
    state, rows = tiny_run.start(spiking=False), []
    for epoch in range(EPOCHS):
        order = np.asarray(jr.permutation(jr.fold_in(state.key, 2**32 - 1 - epoch), 23))[:20].reshape(4, 5)
        of_epoch = []
        for indices in order:
            state, one = step(state, {name: array[indices] for name, array in arrays.items()})
            of_epoch.append(one)
        rows.append({name: np.mean([float(one[name]) for one in of_epoch]) for name in one})
    assert close(found.model, state.model) and close(found.opt_state, state.opt_state)
    assert (int(found.step), int(found.epoch), int(found.batch), int(found.skipped)) == (12, 3, 0, 0)
    for name, values in metrics.items():
        assert values.shape == (EPOCHS,) and np.allclose(values, [row[name] for row in rows], rtol=1e-5)
    orders = [
        tuple(np.asarray(jr.permutation(jr.fold_in(jr.key(1), 2**32 - 1 - epoch), 23))) for epoch in range(EPOCHS)
    ]
    assert len(set(orders)) == EPOCHS


def test_epochs_on_the_device_go_on_from_a_state(step, run):
    arrays = tiny_run.examples(23)
    whole, metrics = run(tiny_run.start(spiking=False), step, arrays)
    one_epoch = eqx.filter_jit(functools.partial(train.run_epochs, batch_size=5, epochs=1))
    state, of_epochs = tiny_run.start(spiking=False), []
    for _ in range(EPOCHS):
        state, one = one_epoch(state, step, arrays)
        of_epochs.append(one["loss"])
    assert close(state, whole) and np.allclose(np.concatenate(of_epochs), metrics["loss"], rtol=1e-5)


def test_a_population_is_its_members(step, run):
    arrays = tiny_run.examples(23)
    start = lambda key: train.TrainState.start(tiny_run.network(key, spiking=False), OPTIMISER, key)  # noqa: E731
    keys = jr.split(jr.key(3), 3)
    together = eqx.filter_jit(eqx.filter_vmap(run, in_axes=(eqx.if_array(0), None, None)))
    states, metrics = together(eqx.filter_vmap(start)(keys), step, arrays)
    for number, key in enumerate(keys):
        alone, of_one = run(start(key), step, arrays)
        member = jax.tree.map(lambda leaf, number=number: leaf[number] if eqx.is_array(leaf) else leaf, states)
        assert close(member.model, alone.model)
        assert np.allclose(metrics["loss"][number], of_one["loss"], rtol=1e-5)
    assert len(set(np.asarray(metrics["loss"][:, -1]).tolist())) == 3


def test_a_population_may_differ_in_the_learning_rate(run):
    def distance(model, batch, key):
        return jnp.mean((model["w"] - batch["y"]) ** 2)

    def start(rate):
        optimiser = optax.inject_hyperparams(optax.sgd)(learning_rate=rate)
        return train.TrainState.start({"w": jnp.zeros(())}, optimiser, jr.key(1))

    step = train.make_step(distance, optax.inject_hyperparams(optax.sgd)(learning_rate=0.0))
    together = eqx.filter_jit(eqx.filter_vmap(run, in_axes=(eqx.if_array(0), None, None)))
    rates = jnp.array([0.0, 0.01, 0.1])
    states, metrics = together(eqx.filter_vmap(start)(rates), step, {"y": np.ones(20, np.float32)})
    steps = np.arange(4 * EPOCHS + 1)
    left = (1 - 2 * np.asarray(rates)[:, None]) ** steps  # of the distance, after each step
    assert np.allclose(states.model["w"], 1 - left[:, -1], rtol=1e-5)
    assert np.allclose(metrics["loss"], (left[:, :-1] ** 2).reshape(3, EPOCHS, 4).mean(2), rtol=1e-5)


def test_a_population_may_differ_in_a_constant_of_its_neurons(run):
    def start(decay):
        return train.TrainState.start(snn.Sequential(snn.SimpleLI(snn.Fixed(decay))), optax.sgd(0.1), jr.key(1))

    def distance(model, batch, key):
        _, (trace,) = model(model.init_state((1,)), jnp.ones((3, 1)))
        return jnp.mean(batch["y"]) * trace[-1, 0]

    decays = jnp.array([0.0, 0.5, 1.0])
    together = eqx.filter_jit(eqx.filter_vmap(run, in_axes=(eqx.if_array(0), None, None)))
    examples = {"y": np.ones(20, np.float32)}
    states, metrics = together(eqx.filter_vmap(start)(decays), train.make_step(distance, optax.sgd(0.1)), examples)
    assert np.allclose(metrics["loss"], np.array([[1.0], [1.75], [3.0]]) * np.ones(EPOCHS))
    assert np.array_equal(states.model.layers[0].decay_constants.value, decays)


def test_epochs_on_the_device_skip_or_refuse_what_is_not_finite(run):
    arrays = {**tiny_run.examples(20), "bad": np.arange(20) == 7}
    skipping = train.make_step(exploding, OPTIMISER, skip_nonfinite=True)
    state, metrics = run(tiny_run.start(), skipping, arrays)
    assert int(state.skipped) == EPOCHS and int(state.step) == 4 * EPOCHS and np.isfinite(metrics["loss"]).all()
    with pytest.raises(RuntimeError, match="run_epochs`: the loss or its gradient is not finite"):
        run(tiny_run.start(), train.make_step(exploding, OPTIMISER), arrays)


def test_the_spread_of_a_population():
    found = train.spread(jnp.array([[1.0, 2.0], [3.0, 2.0], [8.0, 2.0]]))
    assert {name: value.tolist() for name, value in found.items()} == {
        "mean": [4.0, 2.0],
        "std": [pytest.approx(math.sqrt(13)), 0.0],
        "min": [1.0, 2.0],
        "max": [8.0, 2.0],
    }
    assert train.spread(jnp.array([2.0]))["std"] == 0.0


# Messages.


def metrics_of(metrics):
    return train.make_step(lambda model, batch, key: (jnp.sum(model["w"]), metrics), optax.sgd(1.0))


def tried(step, batch=None):
    state = train.TrainState.start({"w": jnp.ones(2)}, optax.sgd(1.0), jr.key(0))
    return step(state, jnp.zeros(4) if batch is None else batch)


def of_loss(value, **settings):
    return train.make_step(lambda model, batch, key: value, optax.sgd(1.0), **settings)


REFUSED = {
    "no function": (lambda: train.make_step(None, OPTIMISER), r"`loss_fn` must be a function \(model, batch, key\)"),
    "no optimiser": (lambda: train.make_step(loss_fn, optax.adam), r"`optimiser` must be one of optax, such as"),
    "parts": (lambda: train.make_step(loss_fn, OPTIMISER, parts=0), "`parts` must be a whole number, 1 or more, got 0"),
    "dtype": (lambda: train.make_step(loss_fn, OPTIMISER, dtype=jnp.int8), "`dtype` must be a floating dtype"),
    "a loss for each": (lambda: tried(of_loss(jnp.zeros(4))), r"one floating number.*gave an array of shape \(4,\)"),
    "a whole loss": (lambda: tried(of_loss(jnp.array(1))), "one floating number.*dtype int32"),
    "a Python loss": (lambda: tried(of_loss(1.0)), "one floating number.*it gave 1.0"),
    "three results": (lambda: tried(of_loss((jnp.zeros(()), {}, {}))), "and a dict of metrics; it gave"),
    "metrics in a list": (
        lambda: tried(metrics_of([1.0])),
        r"must be a dict of numbers under names other than.*\[1.0\]",
    ),
    "a name that is taken": (lambda: tried(metrics_of({"loss": 1.0})), "under names other than 'loss'"),
    "a metric for each": (
        lambda: tried(metrics_of({"a": jnp.zeros(3)})),
        r"metric 'a' .*must be one real.*shape \(3,\)",
    ),
    "a complex metric": (lambda: tried(metrics_of({"a": jnp.array(1j)})), "metric 'a' .*one real.*complex64"),
    "a batch that does not divide": (
        lambda: tried(of_loss(jnp.zeros(()), parts=3)),
        "a batch of 4 examples does not divide into parts=3. Choose a batch size that does",
    ),
    "a batch without examples": (
        lambda: tried(of_loss(jnp.zeros(()), parts=2), {"a": jnp.zeros(4), "b": jnp.zeros(())}),
        r"examples along axis 0.*got the shapes \[\(4,\), \(\)\]",
    ),
    "epochs": (
        lambda: train.fit(None, None, None, epochs=0),
        "fit`: `epochs` must be a whole number, 1 or more, got 0",
    ),
    "every": (lambda: train.fit(None, None, None, epochs=1, every=0), "`every` must be a whole number, 1 or more"),
    "patience": (lambda: train.EarlyStopping("a", 0), "EarlyStopping`: `patience` must be a whole number, 1 or more"),
    "a metric to stop by": (
        lambda: train.EarlyStopping("acc", 1).ends([{"loss": 1.0}]),
        r"no metric 'acc' in the history, which has \['loss'\]",
    ),
    "epochs on the device": (
        lambda: train.run_epochs(None, None, {"a": np.zeros(4)}, batch_size=2, epochs=0),
        "run_epochs`: `epochs` must be a whole number, 1 or more, got 0",
    ),
    "a batch on the device": (
        lambda: train.run_epochs(None, None, {"a": np.zeros(4)}, batch_size=0, epochs=1),
        "run_epochs`: `batch_size` must be a whole number, 1 or more, got 0",
    ),
    "too few on the device": (
        lambda: train.run_epochs(None, None, {"a": np.zeros(4)}, batch_size=5, epochs=1),
        "run_epochs`: 4 examples do not fill a batch of 5",
    ),
    "lengths on the device": (
        lambda: train.run_epochs(None, None, {"a": np.zeros(4), "b": np.zeros(3)}, batch_size=2, epochs=1),
        r"run_epochs`: all arrays of a batch.*\[\(4,\), \(3,\)\]",
    ),
    "an evaluation of a part": (
        lambda: train.make_evaluation(tiny_run.accuracies, tiny_run.loader(10, 4)),
        "the loader leaves 2 examples out. Give it `drop_last=False`",
    ),
    "an evaluation without examples": (
        lambda: train.make_evaluation(lambda model, batch: {"a": jnp.zeros(())}, tiny_run.loader(8, 4))(None),
        r"one value for each of 4 examples; 'a' has the shape \(\)",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(call, message, unchecked):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_folder_of_another_run_is_refused(step, tmp_path):
    train.Checkpoints(tmp_path).save(1, {"w": 1})
    with pytest.raises(ValueError, match=r"fit`: .*holds checkpoints of another run.*`resume=True`"):
        train.fit(tiny_run.start(), step, tiny_run.loader(), epochs=1, checkpoints=train.Checkpoints(tmp_path))
    with pytest.raises(train.CheckpointError, match="(?s)no checkpoint can be used.*another network"):
        train.fit(
            tiny_run.start(), step, tiny_run.loader(), epochs=1, checkpoints=train.Checkpoints(tmp_path), resume=True
        )


def test_the_middle_of_an_epoch_of_other_batches_is_refused(step, tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    with pytest.raises(Interrupt):
        train.fit(tiny_run.start(), step, Interrupted(tiny_run.loader(), 5), epochs=1, checkpoints=checkpoints, every=4)
    with pytest.raises(
        ValueError, match=r"step_000000004.ckpt is at batch 4 of an epoch of 6, .*epochs of 3.*batch_size"
    ):
        train.fit(tiny_run.start(), step, tiny_run.loader(batch_size=8), epochs=1, checkpoints=checkpoints, resume=True)


def test_a_loader_that_ends_early_is_refused(step):
    class Short(Interrupted):
        def epoch(self, epoch, *, start=0, place=lambda batch: batch):
            yield from list(self.loader.epoch(epoch, start=start, place=place))[:2]

    with pytest.raises(ValueError, match="the loader ends at batch 2 of 6 that it promises"):
        train.fit(tiny_run.start(), step, Short(tiny_run.loader(), 0), epochs=1)


def test_metrics_under_names_of_the_history_are_refused(step):
    with pytest.raises(ValueError, match=r"`evaluate` gives \['seconds', 'train_loss'\], names that the history has"):
        train.fit(
            tiny_run.start(),
            step,
            tiny_run.loader(),
            epochs=1,
            evaluate=lambda model: {"train_loss": 1.0, "seconds": 2.0, "accuracy": 3.0},
        )
