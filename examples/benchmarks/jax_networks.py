"""The networks of the tasks in snnax, Spyx and jaxpike: each by the fastest way that its library documents."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tasks import DECAY, Task


@dataclasses.dataclass
class Network:
    """`spikes(xs)`: those of every hidden layer; `train(xs, labels)`: one training step, and the loss.

    `place` puts what is trained on where the library wants it, before any time is taken.
    """

    spikes: Callable
    train: Callable
    place: Callable = jnp.asarray


def build(library: str, variant: str, task: Task, weights: dict[str, np.ndarray]) -> Network:
    makers = {"snnax": build_snnax, "spyx": build_spyx, "jaxpike": build_jaxpike}
    return makers[library](variant, task, {name: jnp.asarray(weight) for name, weight in weights.items()})


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def equinox_trainer(model, loss_and_gradient) -> Callable:
    optimiser = optax.adam(1e-3)

    @eqx.filter_jit(donate="all-except-first")
    def step(batch, model, opt_state):
        loss, gradient = loss_and_gradient(model, *batch)
        updates, opt_state = optimiser.update(gradient, opt_state)
        return eqx.apply_updates(model, updates), opt_state, loss

    model = jax.tree.map(lambda leaf: jnp.array(leaf) if eqx.is_array(leaf) else leaf, model)
    kept = [model, optimiser.init(eqx.filter(model, eqx.is_inexact_array))]

    def train(xs, labels):
        *kept[:], loss = step((xs, labels), *kept)
        return float(loss)

    return train


# --- snnax


def build_snnax(variant: str, task: Task, weights) -> Network:
    import snnax.snn as snn

    def linear(name):
        n_out, n_in = weights[name].shape
        layer = eqx.nn.Linear(n_in, n_out, use_bias=False, key=jax.random.key(0))
        return eqx.tree_at(lambda m: m.weight, layer, weights[name])

    def conv(name, stride):
        n_out, n_in, *kernel = weights[name].shape
        layer = eqx.nn.Conv2d(n_in, n_out, kernel, stride, use_bias=False, key=jax.random.key(0))
        return eqx.tree_at(lambda m: m.weight, layer, weights[name])

    def lif():
        return snn.SimpleLIF(DECAY)

    li = snn.SimpleLI(DECAY)
    if task.name == "feedback":
        model = snn.Graph(
            {
                **{"fc1": linear("in"), "lif1": lif(), "fc2": linear("hidden"), "lif2": lif()},
                **{"back": linear("back"), "fc3": linear("out"), "out": li},
            },
            [
                *[("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "fc3"), ("fc3", "out")],
                *[snn.Edge("lif2", "back", delay=1), ("back", "lif1")],
            ],
            outputs=("out",),
        )
        hidden, last = ("lif1", "lif2"), "out"
    elif task.name == "rnn":
        model = snn.Sequential(linear("in"), snn.Recurrent(lif(), linear("back")), linear("out"), li)
        hidden, last = (1,), 3
    elif task.name == "conv":
        model = snn.Sequential(conv("in", 2), lif(), conv("hidden", 1), lif(), snn.Flatten(), linear("out"), li)
        hidden, last = (1, 3), 6
    else:
        model = snn.Sequential(linear("in"), lif(), linear("hidden"), lif(), linear("out"), li)
        hidden, last = (1, 3), 5
    micro = int(variant.removeprefix("micro")) if variant.startswith("micro") else None
    plan = eval(f"snn.{variant}", {"snn": snn}) if variant and not micro else None

    def run(model, xs):
        """`xs` is `(time, batch, ...)`, and so are the outputs."""
        states = model.init_state(task.in_shape)
        return jax.vmap(lambda xs: model(states, xs, plan=plan)[1], in_axes=1, out_axes=1)(xs)

    def loss(model, xs, labels):
        return cross_entropy(run(model, xs)[last].sum(0), labels)

    def loss_and_gradient(model, xs, labels):
        if not micro:
            return eqx.filter_value_and_grad(loss)(model, xs, labels)

        def one(total, batch):
            new = eqx.filter_value_and_grad(loss)(model, *batch)
            return jax.tree.map(jnp.add, total, new), None

        n = task.batch // micro
        batches = jnp.moveaxis(xs.reshape(task.steps, n, micro, *task.in_shape), 1, 0), labels.reshape(n, micro)
        zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, eqx.filter(model, eqx.is_inexact_array))
        return jax.tree.map(lambda leaf: leaf / n, jax.lax.scan(one, zeros, batches)[0])

    def spikes(xs):
        outs = eqx.filter_jit(run)(model, jnp.asarray(xs))
        return [np.asarray(outs[name]) for name in hidden]

    return Network(spikes, equinox_trainer(model, loss_and_gradient))


# --- Spyx


def build_spyx(variant: str, task: Task, weights) -> Network:
    import spyx.nn as snn
    from flax import nnx

    rngs = nnx.Rngs(0)

    def linear(name):
        n_out, n_in = weights[name].shape
        layer = nnx.Linear(n_in, n_out, use_bias=False, rngs=rngs)
        layer.kernel[...] = weights[name].T
        return layer

    def conv(name, stride):
        n_out, n_in, *kernel = weights[name].shape
        layer = nnx.Conv(n_in, n_out, kernel, stride, padding="VALID", use_bias=False, rngs=rngs)
        layer.kernel[...] = weights[name].transpose(2, 3, 1, 0)
        return layer

    def lif(*shape):
        return snn.LIF(shape, beta=DECAY, rngs=rngs)

    class Feedback(nnx.Module):
        """Two layers, the second of which feeds back to the first; Spyx has no container for that."""

        def __init__(self):
            self.fc1, self.fc2, self.back, self.fc3 = linear("in"), linear("hidden"), linear("back"), linear("out")
            self.lif1, self.lif2, self.li = lif(128), lif(128), snn.LI((20,), beta=DECAY, rngs=rngs)

        def __call__(self, x, state):
            v1, v2, v3, last = state
            first, v1 = self.lif1(self.fc1(x) + self.back(last), v1)
            second, v2 = self.lif2(self.fc2(first), v2)
            out, v3 = self.li(self.fc3(second), v3)
            return (first, second, out), (v1, v2, v3, second)

        def initial_state(self, batch):
            zeros = jnp.zeros((batch, 128))
            return zeros, zeros, jnp.zeros((batch, 20)), zeros

    if task.name == "feedback":
        model = Feedback()
    else:
        li = snn.LI((task.classes,), beta=DECAY, rngs=rngs)
        if task.name == "rnn":
            recurrent = snn.RLIF((256,), beta=DECAY, rngs=rngs)
            recurrent.recurrent_w[...] = weights["back"].T
            layers = [linear("in"), recurrent, linear("out"), li]
        elif task.name == "conv":
            flat = weights["out"].reshape(11, 64, 7, 7).transpose(0, 2, 3, 1).reshape(11, -1)
            weights = {**weights, "out": flat}
            layers = [
                conv("in", 2),
                lif(13, 13, 32),
                conv("hidden", 1),
                lif(7, 7, 64),
                snn.Flatten(),
                linear("out"),
                li,
            ]
        else:
            layers = [linear("in"), lif(512), linear("hidden"), lif(512), linear("out"), li]
        model = snn.Sequential(*layers)

    def spikes(xs):
        xs = channels_last(task, jnp.asarray(xs))
        if task.name == "feedback":
            return [np.asarray(train) for train in snn.run(model, xs)[0][:2]]
        ends = (2,) if task.name == "rnn" else (2, 4)
        trains = [np.asarray(snn.run(snn.Sequential(*layers[:end]), xs)[0]) for end in ends]
        return [np.moveaxis(train, -1, 2) if task.name == "conv" else train for train in trains]

    optimiser = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimiser, xs, labels):
        def loss(model):
            outs = snn.run(model, channels_last(task, xs))[0]
            return cross_entropy((outs[-1] if task.name == "feedback" else outs).sum(0), labels)

        value, gradient = nnx.value_and_grad(loss)(model)
        optimiser.update(model, gradient)
        return value

    def train(xs, labels):
        return float(step(model, optimiser, xs, labels))

    return Network(spikes, train)


def channels_last(task: Task, xs):
    return jnp.moveaxis(xs, 2, -1) if len(task.in_shape) == 3 else xs


# --- jaxpike


def build_jaxpike(variant: str, task: Task, weights) -> Network:
    import jaxpike

    key = jax.random.key(0)

    def linear(name):
        layer = jaxpike.Dense(*weights[name].shape[::-1], use_bias=False, key=key)
        return eqx.tree_at(lambda m: m.weight, layer, weights[name])

    def conv(name, stride):
        n_out, n_in, *kernel = weights[name].shape
        layer = jaxpike.Conv2d(n_in, n_out, tuple(kernel), stride=stride, padding="VALID", use_bias=False, key=key)
        return eqx.tree_at(lambda m: m.weight, layer, weights[name].transpose(2, 3, 1, 0))

    tau = -1 / float(np.log(DECAY))
    li = jaxpike.LeakyIntegrator(tau)
    if task.name == "conv":
        flat = weights["out"].reshape(11, 64, 7, 7).transpose(0, 2, 3, 1).reshape(11, -1)
        weights = {**weights, "out": flat}
        layers = [conv("in", 2), jaxpike.LIF(tau), conv("hidden", 1), jaxpike.LIF(tau), jaxpike.Flatten()]
    elif task.name == "mlp":
        layers = [linear("in"), jaxpike.LIF(tau), linear("hidden"), jaxpike.LIF(tau)]
    else:
        raise SystemExit(f"jaxpike has no part in the task {task.name}.")
    model = jaxpike.Sequential(*layers, linear("out"), li)

    def spikes(xs):
        xs = channels_last(task, jnp.asarray(xs))
        trains = [np.asarray(jaxpike.unroll(jaxpike.Sequential(*layers[:end]), xs)[0]) for end in (2, 4)]
        return [np.moveaxis(train, -1, 2) if task.name == "conv" else train for train in trains]

    def loss(model, xs, labels):
        return cross_entropy(jaxpike.unroll(model, channels_last(task, xs))[0].sum(0), labels)

    return Network(spikes, equinox_trainer(model, eqx.filter_value_and_grad(loss)))
