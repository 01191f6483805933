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


def build(library: str, variant: str, task: Task, weights: dict[str, np.ndarray], dtype: str) -> Network:
    """In bfloat16 the products are; the weights that are trained, the loss and the optimiser stay in float32."""
    makers = {"snnax": build_snnax, "spyx": build_spyx, "jaxpike": build_jaxpike}
    weights = {name: jnp.asarray(weight) for name, weight in weights.items()}
    network = makers[library](variant, task, weights, jnp.dtype(dtype))
    return dataclasses.replace(network, place=lambda a: jnp.asarray(a, dtype if a.dtype == np.float32 else None))


def device_mib() -> float | None:
    """The most memory that was used on a GPU."""
    stats = jax.local_devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] / 2**20 if stats else None


def cast(model, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, model)


def cross_entropy(logits, labels):
    """`logits`: those of every step, `(time, batch, classes)`."""
    logits = logits.astype(jnp.float32).sum(0)
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


def build_snnax(variant: str, task: Task, weights, dtype) -> Network:
    import snnax.snn as snn

    def linear(name):
        n_out, n_in = weights[name].shape
        layer = eqx.nn.Linear(n_in, n_out, use_bias=False, key=jax.random.key(0))
        return eqx.tree_at(lambda m: m.weight, layer, weights[name])

    def conv(name):
        n_out, n_in, *kernel = weights[name].shape
        layer = eqx.nn.Conv2d(n_in, n_out, kernel, task.strides[name], use_bias=False, key=jax.random.key(0))
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
    else:
        synapse = conv if task.is_convolutional else linear
        layers = [layer for name in task.hidden for layer in (synapse(name), lif())]
        hidden = range(1, len(layers), 2)
        if task.is_convolutional:
            layers.append(snn.Flatten())
        if "out" in weights:
            layers += [linear("out"), li]
        model, last = snn.Sequential(*layers), len(layers) - 1
    micro = int(variant.removeprefix("micro")) if variant.startswith("micro") else None
    plan = eval(f"snn.{variant}", {"snn": snn}) if variant and not micro else None

    def run(model, xs):
        """`xs` is `(time, batch, ...)`, and so are the outputs."""
        model = cast(model, dtype)
        states = model.init_state(task.in_shape)
        return jax.vmap(lambda xs: model(states, xs, plan=plan)[1], in_axes=1, out_axes=1)(xs)

    def loss(model, xs, labels):
        return cross_entropy(run(model, xs)[last], labels)

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
        outs = eqx.filter_jit(run)(model, jnp.asarray(xs, dtype))
        return [np.asarray(outs[name], np.float32) for name in hidden]

    return Network(spikes, equinox_trainer(model, loss_and_gradient))


# --- Spyx


def build_spyx(variant: str, task: Task, weights, dtype) -> Network:
    import spyx.nn as snn
    from flax import nnx

    rngs = nnx.Rngs(0)

    def linear(name):
        n_out, n_in = weights[name].shape
        layer = nnx.Linear(n_in, n_out, use_bias=False, dtype=dtype, rngs=rngs)
        layer.kernel[...] = weights[name].T
        return layer

    def conv(name):
        n_out, n_in, *kernel = weights[name].shape
        options = {"padding": "VALID", "use_bias": False, "dtype": dtype, "rngs": rngs}
        layer = nnx.Conv(n_in, n_out, kernel, task.strides[name], **options)
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
        else:
            weights = {**weights, **flat_channels_last(task, weights)}
            synapse = conv if task.is_convolutional else linear
            layers = []
            for name in task.hidden:
                maps, *sides = task.out_shape(name)
                layers += [synapse(name), lif(*sides, maps)]
            if task.is_convolutional:
                layers.append(snn.Flatten())
            if "out" in weights:
                layers += [linear("out"), li]
        model = snn.Sequential(*layers)

    def spikes(xs):
        xs = channels_last(task, jnp.asarray(xs, dtype))
        if task.name == "feedback":
            trains = snn.run(model, xs)[0][:2]
        else:
            ends = range(2, 2 * len(task.hidden) + 2, 2)
            trains = [snn.run(snn.Sequential(*layers[:end]), xs)[0] for end in ends]
        return channels_first(task, trains)

    optimiser = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimiser, xs, labels):
        def loss(model):
            outs = snn.run(model, channels_last(task, xs))[0]
            return cross_entropy(outs[-1] if task.name == "feedback" else outs, labels)

        value, gradient = nnx.value_and_grad(loss)(model)
        optimiser.update(model, gradient)
        return value

    def train(xs, labels):
        return float(step(model, optimiser, xs, labels))

    return Network(spikes, train)


def channels_last(task: Task, xs):
    return jnp.moveaxis(xs, 2, -1) if task.is_convolutional else xs


def channels_first(task: Task, trains) -> list[np.ndarray]:
    trains = [np.asarray(train, np.float32) for train in trains]
    return [np.moveaxis(train, -1, 2) for train in trains] if task.is_convolutional else trains


def flat_channels_last(task: Task, weights) -> dict:
    """The weights of the read-out of flattened maps, for maps whose channels are last."""
    if not task.is_convolutional:
        return {}
    maps = weights["out"].reshape(-1, *task.out_shape("hidden"))
    return {"out": maps.transpose(0, 2, 3, 1).reshape(len(maps), -1)}


# --- jaxpike


def build_jaxpike(variant: str, task: Task, weights, dtype) -> Network:
    import jaxpike

    key = jax.random.key(0)

    def linear(name):
        layer = jaxpike.Dense(*weights[name].shape[::-1], use_bias=False, key=key)
        return eqx.tree_at(lambda m: m.weight, layer, weights[name])

    def conv(name):
        n_out, n_in, *kernel = weights[name].shape
        options = {"stride": task.strides[name], "padding": "VALID", "use_bias": False, "key": key}
        layer = jaxpike.Conv2d(n_in, n_out, tuple(kernel), **options)
        return eqx.tree_at(lambda m: m.weight, layer, weights[name].transpose(2, 3, 1, 0))

    tau = -1 / float(np.log(DECAY))
    if "back" in weights:
        raise SystemExit(f"jaxpike has no part in the task {task.name}.")
    weights = {**weights, **flat_channels_last(task, weights)}
    synapse = conv if task.is_convolutional else linear
    layers = [layer for name in task.hidden for layer in (synapse(name), jaxpike.LIF(tau))]
    ends = range(2, len(layers) + 2, 2)
    if task.is_convolutional:
        layers.append(jaxpike.Flatten())
    if "out" in weights:
        layers += [linear("out"), jaxpike.LeakyIntegrator(tau)]
    model = jaxpike.Sequential(*layers)

    def spikes(xs):
        xs, low = channels_last(task, jnp.asarray(xs, dtype)), cast(layers, dtype)
        return channels_first(task, [jaxpike.unroll(jaxpike.Sequential(*low[:end]), xs)[0] for end in ends])

    def loss(model, xs, labels):
        return cross_entropy(jaxpike.unroll(cast(model, dtype), channels_last(task, xs))[0], labels)

    return Network(spikes, equinox_trainer(model, eqx.filter_value_and_grad(loss)))
