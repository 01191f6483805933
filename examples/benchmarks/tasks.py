"""The tasks: their inputs, weights and neurons, and what they must do, simulated in NumPy.

Every library gets the same input spikes and the same weights, scaled so that every hidden layer of its own kind of
neuron fires at the same rate. `simulate` says which spikes that must give.
"""

import dataclasses

import numpy as np

DECAY = 0.95
RATE = 0.08  # spikes of a hidden neuron per step
CHECKED_STEPS, CHECKED_EXAMPLES = 50, 8


@dataclasses.dataclass(frozen=True)
class Task:
    """A network and the size of what it is trained on; `layers` are the shapes of its weights.

    Hidden layers are "in" and "hidden", the read-out is "out"; without it the spikes are counted. "back" is feedback.
    """

    name: str
    about: str
    steps: int
    batch: int
    in_shape: tuple[int, ...]
    density: float
    classes: int
    layers: dict[str, tuple[int, ...]]
    strides: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def hidden(self) -> tuple[str, ...]:
        return tuple(name for name in ("in", "hidden") if name in self.layers)

    @property
    def is_convolutional(self) -> bool:
        return len(self.in_shape) == 3

    def out_shape(self, name: str) -> tuple[int, ...]:
        """The shape of the output of a hidden layer at one time step."""
        shape = self.layers[name]
        if len(shape) == 2:
            return shape[:1]
        _, *sides = self.in_shape if name == "in" else self.out_shape("in")
        return shape[0], *((n - kernel) // self.strides[name] + 1 for n, kernel in zip(sides, shape[2:], strict=True))


CPU_TASKS = ("mlp", "rnn", "conv", "feedback")
TASKS = {
    task.name: task
    for task in (
        Task(
            "mlp",
            "700-512-512-20, T = 100, batch 128, 2 % input spikes",
            *(100, 128, (700,), 0.02, 20),
            {"in": (512, 700), "hidden": (512, 512), "out": (20, 512)},
        ),
        Task(
            "rnn",
            "140-256 (recurrent)-20, T = 250, batch 64, 3 % input spikes",
            *(250, 64, (140,), 0.03, 20),
            {"in": (256, 140), "back": (256, 256), "out": (20, 256)},
        ),
        Task(
            "conv",
            "2x32x32, convolution 7x7/2 to 32 maps, 7x7 to 64, linear to 11, T = 25, batch 16, 5 % input spikes",
            *(25, 16, (2, 32, 32), 0.05, 11),
            {"in": (32, 2, 7, 7), "hidden": (64, 32, 7, 7), "out": (11, 64 * 7 * 7)},
            {"in": 2, "hidden": 1},
        ),
        Task(
            "feedback",
            "140-128-128-20, the second hidden layer feeds back to the first, T = 100, batch 64, 3 % input spikes",
            *(100, 64, (140,), 0.03, 20),
            {"in": (128, 140), "hidden": (128, 128), "back": (128, 128), "out": (20, 128)},
        ),
        *(
            Task(
                f"linear-{n}",
                f"one linear layer {n}-{n} and its neurons, T = 500, batch 16, 5 % input spikes, spikes counted",
                *(500, 16, (n,), 0.05, n),
                {"in": (n, n)},
            )
            for n in (512, 2048, 8192, 16384)
        ),
        *(
            Task(
                f"events-{steps}",
                "2x128x128, convolution 7x7/4 to 32 maps, 5x5/2 to 64, linear to 11, "
                f"T = {steps}, batch 16, 1 % input spikes",
                *(steps, 16, (2, 128, 128), 0.01, 11),
                {"in": (32, 2, 7, 7), "hidden": (64, 32, 5, 5), "out": (11, 64 * 14 * 14)},
                {"in": 4, "hidden": 2},
            )
            for steps in (100, 250, 500)
        ),
    )
}


@dataclasses.dataclass
class Neuron:
    """What the neurons of a library do in a step; each library has its own."""

    reset: str  # "subtract" or "zero"
    late: bool = False  # fires for the potential of the step before
    unity: bool = False  # the input is multiplied by 1 - decay
    current: bool = False  # the input goes through a current with decay 0.8, the potential decays by 0.9

    def run(self, currents: np.ndarray, feedback: np.ndarray | None = None, rounded=np.asarray) -> np.ndarray:
        """The spikes for input currents `(time, batch, ...)`; with the matrix `feedback`, they hear themselves."""
        v, i, spike, spikes = 0.0, 0.0, np.zeros_like(currents[0]), []
        for x in currents:
            if self.late:
                spike = (v - 1 > 0) * np.ones_like(x)
            x = x if feedback is None else x + rounded(spike @ feedback.T)
            spike, v, i = self.step(x, v, i)
            spikes.append(spike)
        return np.array(spikes)

    def step(self, x, v, i):
        if self.late:
            spike = (v - 1 > 0) * np.ones_like(x)
            return spike, DECAY * v + x - spike, i
        if self.current:
            i = i + x
            v, i = v + 0.1 * (i - v), 0.8 * i
        else:
            v = DECAY * v + (1 - DECAY if self.unity else 1) * x
        spike = (v >= 1).astype(x.dtype)
        return spike, v * (1 - spike) if self.reset == "zero" else v - spike, i


NEURONS = {
    "snnax": Neuron("zero"),
    "spyx": Neuron("subtract", late=True),
    "jaxpike": Neuron("subtract", unity=True),
    "snntorch": Neuron("zero"),
    "spikingjelly": Neuron("subtract"),
    "norse": Neuron("zero", current=True),
}


def inputs(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Input spikes `(time, batch, *in_shape)` in float32, and labels."""
    rng = np.random.default_rng(0)
    xs = (rng.random((task.steps, task.batch, *task.in_shape)) < task.density).astype(np.float32)
    return xs, rng.integers(0, task.classes, task.batch)


def simulate(task: Task, library: str, dtype: str = "float32") -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Weights under which every hidden layer of `library` fires at `RATE`, and the spikes of these layers.

    The spikes are those of the first steps and examples, which is enough to tell whether the work is the same. In
    bfloat16, weights and what comes out of products are rounded, and neurons compute in float32.
    """
    rng = np.random.default_rng(1)
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in task.layers.items()
    }
    if "out" in weights:
        weights["out"] *= 0.1
    if "back" in weights and "hidden" not in weights:
        weights["back"] *= 0.5
    rounded = bfloat16 if dtype == "bfloat16" else np.asarray
    xs = inputs(task)[0][:CHECKED_STEPS, :CHECKED_EXAMPLES]
    neuron, signal = NEURONS[library], xs
    for name in task.hidden:
        currents = project(signal, weights[name], task.strides.get(name))
        back = weights.get("back") if "hidden" not in weights else None
        gain, signal = _calibrated(lambda gain, currents=currents, back=back: neuron.run(gain * currents, back))
        weights[name] *= gain
    weights = {name: rounded(weight) for name, weight in weights.items()}
    if "back" in weights and "hidden" in weights:
        return weights, _feedback(neuron, weights, xs, rounded)
    spikes, signal = [], xs
    for name in task.hidden:
        currents = rounded(project(signal, weights[name], task.strides.get(name)))
        signal = neuron.run(currents, weights.get("back"), rounded)
        spikes.append(signal)
    return weights, spikes


def bfloat16(x: np.ndarray) -> np.ndarray:
    """Rounded to 8 bits of precision, the nearest even, as float32."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def project(xs: np.ndarray, weight: np.ndarray, stride: int | None) -> np.ndarray:
    """The product with a matrix, or the convolution without padding, of every step."""
    if weight.ndim == 2:
        return xs @ weight.T
    windows = np.lib.stride_tricks.sliding_window_view(xs, weight.shape[2:], axis=(-2, -1))
    windows = windows[..., ::stride, ::stride, :, :]
    return np.einsum("tbcyxhw,ochw->tboyx", windows, weight, optimize=True)


def _calibrated(run) -> tuple[np.float32, np.ndarray]:
    """The gain at which `run(gain)` fires at `RATE`, and the spikes."""
    low, high = 1e-2, 1e4
    for _ in range(20):
        gain = np.float32(np.sqrt(low * high))
        low, high = (gain, high) if run(gain).mean() < RATE else (low, gain)
    return gain, run(gain)


def _feedback(neuron: Neuron, weights: dict[str, np.ndarray], xs: np.ndarray, rounded) -> list[np.ndarray]:
    """Two layers, the second of which feeds back to the first with a delay of one step."""
    currents = rounded(project(xs, weights["in"], None))
    v1 = i1 = v2 = i2 = 0.0
    second, spikes = np.zeros_like(currents[0][:, : weights["hidden"].shape[0]]), ([], [])
    for x in currents:
        first, v1, i1 = neuron.step(x + rounded(second @ weights["back"].T), v1, i1)
        second, v2, i2 = neuron.step(rounded(first @ weights["hidden"].T), v2, i2)
        spikes[0].append(first)
        spikes[1].append(second)
    return [np.array(train) for train in spikes]
