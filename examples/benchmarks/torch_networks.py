"""The networks of the tasks in snnTorch, SpikingJelly and Norse: each by the fastest way that its library documents."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from tasks import DECAY, Task
from torch import nn


@dataclasses.dataclass
class Network:
    """`spikes(xs)`: those of every hidden layer; `train(xs, labels)`: one training step, and the loss.

    `place` puts what is trained on where the library wants it, before any time is taken.
    """

    spikes: Callable
    train: Callable
    place: Callable


def device_mib() -> float | None:
    """The most memory that was used on a GPU."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None


def build(library: str, variant: str, task: Task, weights: dict[str, np.ndarray], dtype: str) -> Network:
    """In bfloat16 by torch's automatic mixed precision; the weights that are trained stay in float32."""
    makers = {"snntorch": build_snntorch, "spikingjelly": build_spikingjelly, "norse": build_norse}
    module, run = makers[library](task, weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # what JAX does by default
    module.to(device)
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)

    def place(array):
        return torch.as_tensor(array).to(device)

    def mixed():
        return torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def spikes(xs):
        with torch.no_grad(), mixed():
            return [train.float().cpu().numpy() for train in run(place(xs))[1]]

    def train(xs, labels):
        optimiser.zero_grad()
        with mixed():
            logits, _ = run(xs)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Network(spikes, train, place)


def synapses(task: Task, weights) -> dict[str, nn.Module]:
    made = {}
    for name, weight in weights.items():
        if weight.ndim == 4:
            made[name] = nn.Conv2d(*weight.shape[1::-1], weight.shape[2:], task.strides[name], bias=False)
        else:
            made[name] = nn.Linear(*weight.shape[::-1], bias=False)
        made[name].weight.data = torch.as_tensor(weight)
    return made


def build_snntorch(task: Task, weights):
    import snntorch
    from snntorch import surrogate

    parts = nn.ModuleDict(synapses(task, weights))
    options = {"spike_grad": surrogate.fast_sigmoid(10), "reset_mechanism": "zero", "reset_delay": False}
    neurons = nn.ModuleList([snntorch.Leaky(DECAY, **options) for _ in task.hidden])
    if task.name == "rnn":
        neurons[0] = snntorch.RLeaky(DECAY, linear_features=256, **options)
        neurons[0].recurrent.weight.data = torch.as_tensor(weights["back"])
        neurons[0].recurrent.bias = None
        del parts["back"]
    read_out = snntorch.Leaky(DECAY, reset_mechanism="none")
    module = nn.ModuleList([parts, neurons, read_out])

    def run(xs):
        v = [neuron.init_rleaky() if task.name == "rnn" else neuron.init_leaky() for neuron in neurons]
        v_out, logits, trains, spike = read_out.init_leaky(), 0, [[] for _ in task.hidden], None
        for x in xs:
            for i, name in enumerate(task.hidden):
                current = parts[name](x)
                if task.name == "feedback" and i == 0 and spike is not None:
                    current = current + parts["back"](spike)
                if task.name == "rnn":
                    spike, potential = neurons[i](current, *v[i])
                    v[i] = spike, potential
                else:
                    spike, v[i] = neurons[i](current, v[i])
                trains[i].append(spike)
                x = spike
            if "out" in weights:
                _, v_out = read_out(parts["out"](x.flatten(1)), v_out)
                x = v_out
            logits = logits + x.float()
        return logits, [torch.stack(train) for train in trains]

    return module, run


def build_spikingjelly(task: Task, weights):
    from spikingjelly.activation_based import functional, neuron, surrogate

    def lif(mode):
        return neuron.LIFNode(
            tau=1 / (1 - DECAY),
            decay_input=False,
            detach_reset=True,
            v_reset=None,
            surrogate_function=surrogate.ATan(),
            step_mode=mode,
        )

    parts = nn.ModuleDict(synapses(task, weights))
    recurrent = "back" in weights
    neurons = nn.ModuleList([lif("s" if recurrent else "m") for _ in task.hidden])
    if not recurrent and torch.cuda.is_available():
        functional.set_backend(neurons, "cupy", neuron.LIFNode)

    def whole(part, xs):
        return functional.seq_to_ann_forward(xs, part)

    def run(xs):
        functional.reset_net(neurons)
        if recurrent:
            currents, trains, spike = whole(parts["in"], xs), [[] for _ in task.hidden], 0
            for current in currents:
                x = current if isinstance(spike, int) else current + parts["back"](spike)
                spike = neurons[0](x)
                trains[0].append(spike)
                if task.name == "feedback":
                    spike = neurons[1](parts["hidden"](spike))
                    trains[1].append(spike)
            trains = [torch.stack(train) for train in trains]
        else:
            trains, x = [], xs
            for name, one in zip(task.hidden, neurons, strict=True):
                x = one(whole(parts[name], x))
                trains.append(x)
        if "out" not in weights:
            return trains[-1].float().sum(0), trains
        v, logits = 0, 0
        for current in whole(parts["out"], trains[-1].flatten(2)):
            v = DECAY * v + current.float()
            logits = logits + v
        return logits, trains

    return nn.ModuleList([parts, neurons]), run


def build_norse(task: Task, weights):
    import norse.torch as norse

    parts = nn.ModuleDict(synapses(task, weights))
    if task.name == "feedback":
        neurons = nn.ModuleList([norse.LIFCell() for _ in task.hidden])
    elif task.name == "rnn":
        neurons = nn.ModuleList([norse.LIFRecurrent(256, 256, autapses=True)])
        neurons[0].input_weights.data = torch.eye(256)
        neurons[0].recurrent_weights.data = torch.as_tensor(weights["back"])
        neurons[0].input_weights.requires_grad_(False)
        del parts["back"]
    else:
        neurons = nn.ModuleList([norse.LIF() for _ in task.hidden])
    read_out = norse.LI()
    lifted = {name: norse.Lift(part) for name, part in parts.items()}

    def run(xs):
        if task.name == "feedback":
            states, trains, spike = [None, None], ([], []), None
            for current in lifted["in"](xs):
                x = current if spike is None else current + parts["back"](spike)
                first, states[0] = neurons[0](x, states[0])
                spike, states[1] = neurons[1](parts["hidden"](first), states[1])
                trains[0].append(first)
                trains[1].append(spike)
            trains = [torch.stack(train) for train in trains]
        else:
            trains, x = [], xs
            for name, neuron in zip(task.hidden, neurons, strict=True):
                x = neuron(lifted[name](x))[0]
                trains.append(x)
        outs = read_out(lifted["out"](trains[-1].flatten(2)))[0] if "out" in weights else trains[-1]
        return outs.float().sum(0), trains

    return nn.ModuleList([parts, neurons, read_out]), run
