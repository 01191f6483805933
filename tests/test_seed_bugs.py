"""Bugs of SNNAX, Spyx and snnTorch that must not come back, by their numbers in the project's list."""

import ast
import dataclasses
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from helpers import LAYERS, NEURONS, Counter, allclose, linear

import snnax
import snnax.snn as snn
from snnax.functional import surrogate

PACKAGE = Path(snnax.__file__).parent
ROOT = Path(__file__).parent.parent


def steps(layer, xs, state=None):
    state = layer.init_state(xs.shape[1:]) if state is None else state
    outs = []
    for x in xs:
        state, out = layer(state, x)
        outs.append(out)
    return jnp.stack(outs), state


def test_bug_01_an_impulse_arrives_in_its_step_whatever_the_depth_and_nothing_before_it():
    """SNNAX: one step of latency for every layer, stateless ones included, and biases of mock outputs in the first."""
    no_bias = eqx.nn.Linear(1, 1, use_bias=False, key=jr.key(0))
    double = eqx.tree_at(lambda m: m.weight, no_bias, jnp.array([[2.0]]))
    layers = [double, snn.SimpleLIF(0.1), eqx.nn.Identity(), snn.LIF([0.1, 0.1]), snn.Flatten(), snn.IAF(0.1), double]
    model = snn.Sequential(*layers[:3], snn.Sequential(*layers[3:]), snn.SimpleLI(0.0))
    xs = jnp.zeros((5, 1)).at[2, 0].set(0.5)
    _, outs = eqx.filter_jit(model)(model.init_state((1,)), xs)
    for out in jax.tree.leaves(outs):
        np.testing.assert_array_equal(np.flatnonzero(out), [2])


def test_bug_02_a_spike_comes_from_the_potential_after_the_input_of_its_step():
    """Spyx: the spike of a step came from the potential before its input."""
    for layer in (snn.SimpleLIF(0.9), snn.LIF([0.9, 0.9]), snn.SimpleIAF(), snn.IAF(0.9), snn.AdaptiveLIF(0.9)):
        outs, _ = steps(layer, jnp.array([[1.5], [0.0], [-5.0]]))
        assert outs[0, 0] == 1 and outs[2, 0] == 0


def test_bug_04_shapes_are_threaded_through_the_network_without_a_key():
    """SNNAX: shapes ran linearly, layers of layers gave their input's shape, and a key was needed."""
    model = snn.Sequential(
        eqx.nn.Conv2d(1, 3, 2, stride=2, key=jr.key(0)),
        snn.Sequential(snn.LIF([0.9, 0.8]), eqx.nn.AvgPool2d(2), snn.Flatten(), linear(3 * 2 * 1, 5)),
        snn.SimpleIAF(),
    )
    states = model.init_state([1, 6, 5])
    shapes = jax.tree.map(jnp.shape, (states.layers[1].layers[0].v, states.layers[2].v))
    assert shapes == ((3, 3, 2), (5,))
    assert eqx.tree_equal(states, model.init_state((1, 6, 5), jr.key(0)))


def test_bug_05_a_chain_in_a_chain_equals_the_flat_chain():
    layers = [linear(2, 3), snn.SimpleLIF(0.9, threshold=0.3), linear(3, 2, 1), snn.SimpleLI(0.8)]
    models = snn.Sequential(*layers), snn.Sequential(layers[0], snn.Sequential(*layers[1:3]), layers[3])
    xs = jnp.linspace(-1.0, 3.0, 10).reshape(5, 2)

    def loss(model):
        states, outs = model(model.init_state((2,)), xs)
        return jnp.sum(outs[-1] ** 2), (states, outs)

    flat, nested = (eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))(model) for model in models)
    for a, b in zip(flat, nested, strict=True):
        floats = [[leaf for leaf in jax.tree.leaves(tree) if leaf.dtype == jnp.float32] for tree in (a, b)]
        allclose(*floats)
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(flat[1]))


def test_bug_06_dropout_differs_between_steps_and_examples_inside_the_loop_or_between_examples_alone():
    """SNNAX, Spyx: one mask for all steps of a sequence, one for all examples of a batch."""
    model = snn.Sequential(eqx.nn.Dropout(0.5))
    states, xs = model.init_state((32,)), jnp.ones((2, 3, 32))
    batched = jax.vmap(lambda x, key: model(states, x, key, plan=snn.StepByStep())[1][0])
    masks = jax.jit(batched)(xs, jr.split(jr.key(0), 2))
    assert len(np.unique(np.reshape(masks, (6, 32)), axis=0)) == 6
    fixed = eqx.nn.inference_mode(model)
    np.testing.assert_array_equal(fixed(states, xs[0])[1][0], xs[0])

    locked = snn.Sequential(snn.SequenceDropout(0.5))
    states = locked.init_state((32,))
    batched = jax.vmap(lambda x, key: locked(states, x, key, plan=snn.StepByStep())[1][0])
    masks = np.asarray(jax.jit(batched)(xs, jr.split(jr.key(0), 2)))
    np.testing.assert_array_equal(masks, np.repeat(masks[:, :1], 3, axis=1))
    assert np.any(masks[0] != masks[1]) and set(np.unique(masks)) == {0.0, 2.0}


def test_bug_07_surrogates_are_symmetric_finite_and_follow_their_slope():
    """SNNAX: SuperSpike without its square, a sigmoid that raised; others: infinite at 100."""
    assert jax.grad(surrogate.SuperSpike(10.0))(0.1) == pytest.approx(1 / 4)
    assert jax.grad(surrogate.Sigmoid(4.0))(0.0) == pytest.approx(1.0)
    x = jnp.array([0.3, 5.0, 100.0])
    for spike in (kind(25.0) for kind in (surrogate.SuperSpike, surrogate.Sigmoid, surrogate.ArcTan)):
        right, left = (jax.vmap(jax.grad(spike))(sign * x) for sign in (1, -1))
        np.testing.assert_array_equal(right, left)
        assert np.all(np.isfinite(right)) and np.all(right >= 0)
        assert right[0] < jax.grad(type(spike)(1.0))(0.3)


def test_bug_08_a_reset_is_the_same_for_every_neuron_and_subtracts_the_threshold():
    """SNNAX: three neurons, three resets; snnTorch: 1 subtracted whatever the threshold."""
    potential, threshold = 1.7, 1.5
    expected = {
        snn.ResetToValue(): 0.0,
        snn.ResetToValue(-0.5): -0.5,
        snn.SubtractReset(): potential - threshold,
        snn.NoReset(): potential,
        snn.DelayedSubtractReset(): potential - threshold,
    }
    for reset, after in expected.items():
        options = {"threshold": threshold, "reset": reset}
        for layer in (
            snn.SimpleLIF(0.9, **options),
            snn.LIF([0.9, 0.9], **options),
            snn.SimpleIAF(**options),
            snn.IAF(0.9, **options),
            snn.AdaptiveLIF(0.9, **options),
        ):
            out, state = steps(layer, jnp.array([[potential]]))
            assert out[0, 0] == 1
            assert float(state.v[0]) == pytest.approx(after, abs=1e-6)


def test_bug_09_a_decay_acts_as_it_is_given_and_has_a_gradient_at_the_edge():
    """SNNAX: a decay of 0.1 acted as 0.5; SNNAX, snnTorch: a clamp without gradient at the edge."""
    xs = jnp.array([[1.0], [0.0], [0.0]])
    for decay in (0.1, jnp.array(0.1)):
        outs, _ = steps(snn.SimpleLI(decay), xs)
        np.testing.assert_allclose(outs[:, 0], [1.0, 0.1, 0.01], rtol=1e-6)
    for edge in (0.0, 1.0):
        gradient = jax.grad(lambda decay: jnp.sum(steps(snn.SimpleLI(decay), xs)[0]))(jnp.array(edge))
        assert gradient == pytest.approx(1.0 + 2 * edge)


def test_bug_10_threshold_decay_and_reset_are_trained_when_they_are_arrays_and_only_then():
    """SNNAX: parameters that no filter found; Spyx: thresholds that were trained unasked."""

    def updated(value):
        model = snn.Sequential(
            snn.LIF([value(0.9), value(0.8)], threshold=value(1.0), reset=snn.ResetToValue(value(0.1)), rest=value(0.0))
        )
        params, static = eqx.partition(model, snn.trainable(model))

        def loss(params):
            model = eqx.combine(params, static)
            return jnp.sum(model(model.init_state((3,)), 0.4 * jnp.ones((6, 3)))[1][0])

        optimiser = optax.sgd(0.01)
        updates, _ = optimiser.update(jax.grad(loss)(params), optimiser.init(params), params)
        layer = eqx.combine(optax.apply_updates(params, updates), static)[0]
        return [
            float(jnp.asarray(getattr(p, "value", p)))
            for p in (*layer.decay_constants, layer.threshold, layer.reset.value)
        ]

    before = [0.9, 0.8, 1.0, 0.1]
    for trained, value in ((True, jnp.array), (False, float), (False, lambda v: snn.Fixed(jnp.array(v)))):
        changed = ~np.isclose(updated(value), before, rtol=1e-6)
        assert np.all(changed == trained)


@pytest.mark.parametrize("name", NEURONS)
def test_bug_12_the_output_depends_on_every_part_of_the_state(name):
    """snnTorch: a layer that read its input where it should have read its state."""
    case = LAYERS[name]
    layer = eqx.tree_at(lambda m: m.init_fn, case.make(), None, is_leaf=lambda node: node is None)
    xs = jnp.full((2, *case.in_shape), 0.05)
    state = layer.init_state(case.in_shape)
    reference, _ = steps(layer, xs, state)
    far = 50 * max(float(jnp.max(leaf)) for leaf in jax.tree.leaves(getattr(layer, "threshold", 1.0)))
    for field in (field.name for field in dataclasses.fields(state) if field.name != "countdown"):
        moved = [
            eqx.tree_at(lambda s, field=field: getattr(s, field), state, getattr(state, field) + by)
            for by in (far, -far)
        ]
        assert not all(np.allclose(steps(layer, xs, one)[0], reference) for one in moved), field
        if getattr(state, "countdown", None) is not None:
            for one in moved:
                resting = eqx.tree_at(lambda s: s.countdown, one, replace_fn=lambda a: a + 2)
                np.testing.assert_array_equal(steps(layer, xs, resting)[0], np.zeros(reference.shape))


def test_bug_19_a_state_may_have_any_rank():
    """Spyx: neurons on feature maps whose states were vectors."""
    for layer in (
        snn.SimpleLIF(0.9),
        snn.LIF([0.9, 0.8], refractory=1),
        snn.SimpleIAF(),
        snn.IAF(0.9),
        snn.AdaptiveLIF(0.9),
        snn.SimpleLI(0.9),
        snn.LI([0.9, 0.8]),
    ):
        for shape in ((), (3,), (2, 3, 4), (2, 1, 3, 2)):
            state, out = jax.eval_shape(layer, layer.init_state(shape), jax.ShapeDtypeStruct(shape, jnp.float32))
            assert out.shape == shape
            assert {leaf.shape for leaf in jax.tree.leaves(state)} == {shape}


def modules():
    names = [module.name for module in pkgutil.walk_packages(snnax.__path__, "snnax.")]
    return ["snnax", *names]


def test_bug_21_networks_of_one_process_are_independent_and_a_new_state_is_new_at_every_depth():
    """snnTorch: neurons of all networks shared a list of instances, and a nested one was left out of the reset."""

    def make():
        inner = snn.Sequential(snn.Recurrent(snn.LIF([0.9, 0.8]), jnp.full((3,), 0.5)), snn.SimpleLIF(0.9))
        graph = snn.Graph({"in": inner}, [("input", "in"), snn.Edge("in", "in", delay=2)], outputs=("in",))
        return snn.Sequential(graph, snn.SimpleLI(0.9))

    one, other = make(), make()
    fresh = other.init_state((3,))
    xs = 2 * jnp.ones((6, 3))
    _, before = other(fresh, xs)
    used, _ = one(one.init_state((3,)), xs)
    _, after = other(fresh, xs)
    assert jnp.sum(before[0]["in"][-1]) > 0
    jax.tree.map(np.testing.assert_array_equal, after, before)
    jax.tree.map(np.testing.assert_array_equal, one.init_state((3,)), fresh)
    moved = [bool(jnp.any(a != b)) for a, b in zip(jax.tree.leaves(used), jax.tree.leaves(fresh), strict=True)]
    assert sum(moved) > len(moved) / 2


def test_bug_22_all_public_names_import():
    for name in modules():
        module = importlib.import_module(name)
        tree = ast.parse(Path(module.__file__).read_text())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    assert hasattr(module, alias.asname or alias.name), f"{name}: {alias.name}"
    assert {"LIF", "Sequential", "check_layer", "decay", "trainable"} <= set(dir(snn))


def test_bug_22_public_names_are_exported_under_their_own_names():
    """`from ._lif import LIF as LIF` is what type checkers count as public."""
    for package in ("", "snn", "functional", "data", "nir", "plot", "train"):
        file = PACKAGE / package / "__init__.py"
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                for alias in node.names:
                    assert alias.asname == alias.name and not alias.name.startswith("_"), f"{file}: {alias.name}"


def test_bug_22_importing_the_package_warns_of_nothing():
    public = [name for name in modules() if not any(part.startswith("_") for part in name.split("."))]
    command = "import " + ", ".join(public)
    done = subprocess.run([sys.executable, "-W", "error", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def sources():
    for file in PACKAGE.rglob("*.py"):
        yield file, ast.parse(file.read_text())


def imports(tree):
    """Every module that a source imports, with the names taken from it and whether it does so when it is imported."""
    at_top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, (), 0, node in at_top
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", tuple(alias.name for alias in node.names), node.level, node in at_top


def test_bug_22_nothing_private_of_jax_or_equinox_is_used():
    for file, tree in sources():
        for module, names, level, _ in imports(tree):
            if not level and module.split(".")[0] in ("jax", "jaxlib", "equinox", "jaxtyping", "optax"):
                parts = [*module.split("."), *names]
                assert not any(part.startswith("_") or part == "internal" for part in parts), f"{file}: {parts}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                chain = ast.unparse(node)
                if re.match(r"(jax|jnp|jr|eqx|equinox|optax)\.", chain):
                    assert not re.search(r"\.(_\w*|internal)(\.|$)", chain), f"{file}: {chain}"


def test_bug_22_every_third_party_import_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements):
        return {re.split(r"[<>=!~\[ ;]", requirement)[0].lower() for requirement in requirements}

    declared = names(project["dependencies"])
    for_examples = declared | names(project["optional-dependencies"]["examples"]) | {"snnax"}
    scripts = list((ROOT / "examples").glob("*.py"))
    assert scripts and "scikit-learn" in for_examples
    for_examples.add("sklearn")
    for file in scripts:
        beside = {script.stem for script in scripts}
        for module, _, _, _ in imports(ast.parse(file.read_text())):
            assert module.split(".")[0] in for_examples | beside | sys.stdlib_module_names, f"{file} imports {module}"
    extras = set().union(*map(names, project["optional-dependencies"].values()))
    used = set()
    for file, tree in sources():
        for module, _, level, at_top in imports(tree):
            name = module.split(".")[0]
            if level or name in sys.stdlib_module_names or name == "snnax":
                continue
            others = {"absl": "absl-py", "orbax": "orbax-checkpoint", "typing_extensions": "typing-extensions"}
            distribution = others.get(name, name.lower())
            assert distribution in declared or (distribution in extras and not at_top), f"{file} imports {name}"
            used.add(name)
    assert {"jax", "equinox", "jaxtyping", "numpy"} <= used


def imported_files(file, tree):
    """The files of the package that a source imports when it is imported."""
    package = file.parent
    for module, names, level, at_top in imports(tree):
        if module.split(".")[0] == "snnax" and not level:
            base, module = PACKAGE, ".".join(module.split(".")[1:])
        elif level:
            base = package
            for _ in range(level - 1):
                base = base.parent
        else:
            continue
        target = base.joinpath(*filter(None, module.split(".")))
        for name in names or ("",):
            for candidate in (target / f"{name}.py", target / name / "__init__.py", target.with_suffix(".py")):
                if candidate.is_file():
                    yield candidate, at_top
                    break
            else:
                yield target / "__init__.py", at_top


def floor(file):
    """Where a source lives in the house: what it imports must live on its own floor or below."""
    part = file.relative_to(PACKAGE).parts[0]
    return {
        "_elsewhere.py": 0,
        "_parameter.py": 0,
        "_moving.py": 0,
        "_files.py": 0,
        "_hdf5.py": 0,
        "_kernels": 0,
        "functional": 1,
        "snn": 2,
        "data": 3,
        "__init__.py": 5,
    }.get(part, 4)


def test_imports_go_down_only():
    seen = set()
    for file, tree in sources():
        for target, _ in imported_files(file, tree):
            assert target.is_file(), f"{file} imports {target}"
            assert floor(target) <= floor(file), f"{file} imports {target}, which lives above it"
            seen.add((floor(file), floor(target)))
    assert (2, 1) in seen and (2, 0) in seen


def test_no_import_goes_in_a_circle():
    graph = {}
    for file, tree in sources():
        if file.name != "__init__.py":
            graph[file] = {target for target, at_top in imported_files(file, tree) if at_top}
    done, path = set(), []

    def visit(file):
        assert file not in path, f"a circle: {[str(one) for one in [*path, file]]}"
        if file not in done and file in graph:
            path.append(file)
            for target in graph[file]:
                visit(target)
            path.pop()
            done.add(file)

    for file in graph:
        visit(file)
    assert len(done) > 10


def test_bug_23_the_last_entry_of_outs_is_the_last_layer_over_time_and_others_cost_nothing_unless_asked_for():
    """SNNAX: one layer's outputs alone, or with all of them copied through the loop."""
    model = snn.Sequential(linear(3, 50), snn.SimpleLIF(0.9), linear(50, 2, 1), snn.SimpleLI(0.9))
    states, xs = model.init_state((3,)), jnp.ones((7, 3))
    _, outs = eqx.filter_jit(model)(states, xs)
    assert len(outs) == len(model) and [out.shape for out in outs] == [(7, 50), (7, 50), (7, 2), (7, 2)]
    allclose(outs[-1][0], outs[-2][0])

    def shapes_of(jaxpr):
        return {var.aval.shape for equation in jaxpr.jaxpr.eqns for var in equation.outvars}

    def only_the_last(xs):
        return model(states, xs, plan=snn.StepByStep(), collect={-1: snn.Sum()})[1][-1]

    assert (7, 50) not in shapes_of(jax.make_jaxpr(only_the_last)(xs))
    assert (7, 50) in shapes_of(jax.make_jaxpr(lambda xs: model(states, xs, plan=snn.StepByStep())[1])(xs))


def test_bug_24_burn_in_has_outputs_and_no_gradient():
    model = snn.Sequential(linear(2, 3), snn.SimpleLIF(0.9), snn.SimpleLI(0.9))
    xs = jnp.linspace(0.5, 2.0, 10).reshape(5, 2)

    def total(xs):
        outs = model(model.init_state((2,)), xs, burnin=3)[1]
        return jnp.sum(outs[-1]), outs

    gradient, outs = jax.jit(jax.grad(total, has_aux=True))(xs)
    assert [len(out) for out in outs] == [5, 5, 5]
    np.testing.assert_array_equal(gradient[:3], np.zeros((3, 2)))
    assert np.all(gradient[3:] != 0)


def test_bug_25_new_data_of_the_same_shape_is_not_traced_again_and_a_train_step_is_traced_once():
    """SNNAX: graphs with lists in them, unhashable under jit. A scalar parameter is weakly typed before its update."""
    model = snn.Sequential(linear(2, 3), snn.LIF([jnp.array(0.9), 0.8]), snn.SimpleLI(jnp.array(0.9)))
    optimiser = optax.sgd(1e-3, momentum=0.9)

    def train_step(model, optimiser_state, xs):
        params, static = eqx.partition(model, snn.trainable(model))

        def loss(params):
            model = eqx.combine(params, static)
            return jnp.mean(model(model.init_state((2,)), xs)[1][-1] ** 2)

        updates, optimiser_state = optimiser.update(jax.grad(loss)(params), optimiser_state, params)
        return snn.project(eqx.combine(optax.apply_updates(params, updates), static)), optimiser_state

    step = Counter(train_step)
    optimiser_state = optimiser.init(eqx.filter(model, snn.trainable(model)))
    for i in range(3):
        model, optimiser_state = step(model, optimiser_state, np.full((4, 2), i, np.float32))
    assert step.traces == 1
    assert hash(model[1].reset) == hash(snn.ResetToValue())
