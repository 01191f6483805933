"""The eleven gestures as motions of two hands."""

import dataclasses

import numpy as np

GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
"""The gestures of Amir et al. (2017), in the order of their labels in `tonic.datasets.DVSGesture`. Right and left are
the subject's; clockwise is as the camera sees it."""


@dataclasses.dataclass(frozen=True)
class Habit:
    """How a person moves: `tempo` and `size` are factors about 1, `high` and `wide` shift where the hands are (units
    of the arm's reach), `midline` is the distance from shoulder to breastbone (same units)."""

    tempo: float
    size: float
    high: float
    wide: float
    midline: float


@dataclasses.dataclass(frozen=True)
class Motion:
    """Joint trajectories: the arguments `right`, `left` and `shrug` of `snnax.data._figure.capsules`."""

    right: np.ndarray
    left: np.ndarray
    shrug: np.ndarray


def to_and_fro(phase: np.ndarray, sharpness: float) -> np.ndarray:
    """A wave of amplitude 1: a sine for a `sharpness` near 0, straight lines with sharp turns near 1."""
    return np.arcsin(sharpness * np.sin(phase)) / np.arcsin(sharpness)


class _Performer:
    """Draws the trajectories of one recording. Every method draws what it needs from `rng`, in a fixed order."""

    def __init__(self, rng: np.random.Generator, time: np.ndarray, habit: Habit):
        self.rng, self.time, self.habit = rng, time, habit

    def uniform(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)

    def phase(self, frequency: float, uneven: float = 0.3) -> np.ndarray:
        """A phase in radians that advances at about `frequency` hertz from a random start; its speed varies in each
        period, by up to the part `uneven` more and less."""
        rate = 2 * np.pi * frequency * self.habit.tempo * self.uniform(0.9, 1.1)
        depth, start, offset = self.uniform(0.0, uneven), *self.rng.uniform(0, 2 * np.pi, 2)
        return offset + rate * self.time + depth * np.sin(rate * self.time + start)

    def hang(self) -> np.ndarray:
        """An arm that hangs beside the body, not quite still."""
        swing = 0.015 * np.sin(2 * np.pi * self.uniform(0.3, 0.8) * self.time + self.uniform(0.0, 2 * np.pi))
        out = self.uniform(0.05, 0.2)
        return self._path(out + swing, -0.9 + 0 * swing, self.uniform(0.05, 0.2))

    def oval(self):
        """A place, a size and a shape for a hand that moves round beside the shoulder."""
        habit = self.habit
        centre = 0.22 + habit.wide + self.uniform(-0.1, 0.1), 0.05 + habit.high + self.uniform(-0.12, 0.12)
        radius = 0.4 * habit.size * self.uniform(0.85, 1.15)
        aspect, tilt, forward = self.uniform(0.75, 1.0), self.uniform(-0.6, 0.6), self.uniform(0.25, 0.5)

        def at(u, v):
            u, v = radius * u, radius * aspect * v
            out = centre[0] + u * np.cos(tilt) - v * np.sin(tilt)
            return self._path(out, centre[1] + u * np.sin(tilt) + v * np.cos(tilt), forward)

        return at

    def circle(self, turn) -> np.ndarray:
        """Round and round: `turn` is 1 from outwards to upwards, which is clockwise in the image for the right arm."""
        angle = turn * self.phase(1.9, uneven=0.6)
        return self.oval()(np.cos(angle), np.sin(angle))

    def wave(self) -> np.ndarray:
        """To and fro on an arc of an oval, about its upper end."""
        half = self.uniform(2.3, 3.0)
        phase = self.phase(1.9 * np.pi / (2 * half))
        angle = np.pi / 2 + self.uniform(-1.0, 1.0) + half * to_and_fro(phase, 0.985)
        return self.oval()(np.cos(angle), np.sin(angle))

    def eight(self) -> np.ndarray:
        """A figure of eight, lying or standing."""
        phase = self.phase(1.4)
        along, across = 1.2 * np.sin(phase), 0.9 * np.sin(2 * phase)
        return self.oval()(*((along, across) if self.rng.random() < 0.5 else (across, along)))

    def _path(self, out, up, forward) -> np.ndarray:
        out, up, forward = np.broadcast_arrays(out, up, forward)
        return np.stack([out, up, forward], -1) + np.zeros((self.time.size, 1))

    def chest(self) -> tuple[float, float, float]:
        """The place in front of the chest where two hands work: outwards from the shoulder, upwards, forwards."""
        habit = self.habit
        return -habit.midline, -0.3 + 0.7 * habit.high + self.uniform(-0.1, 0.1), self.uniform(0.4, 0.6)

    def clap(self):
        middle, up, forward = self.chest()
        apart = self.habit.size * self.uniform(0.3, 0.5) * (0.5 - 0.5 * to_and_fro(self.phase(2.2), 0.9))
        slant, lean = self.uniform(-0.7, 0.7), self.uniform(-0.05, 0.05)
        gap = self.uniform(0.03, 0.06)
        right = self._path(middle + lean + gap + apart, up + slant * apart, forward)
        left = self._path(middle - lean + gap + apart, up + self.uniform(-0.7, 0.7) * apart, forward)
        return right, left

    def orbit(self):
        """A place, a size and a shape for two hands that move before the chest, mirrored."""
        middle, up, forward = self.chest()
        radius, aspect = 0.36 * self.habit.size * self.uniform(0.85, 1.15), self.uniform(0.7, 1.0)
        middle = middle + self.uniform(0.08, 0.2)

        def at(angle):
            u, v = radius * np.cos(angle), radius * np.sin(angle)
            return self._path(middle + aspect * u, up + v, forward + 0.5 * v)

        return at

    def roll(self):
        """The forearms turn round each other, forwards or backwards."""
        angle, at = self.phase(2.0) * self.rng.choice([-1, 1]), self.orbit()
        return at(angle), at(-angle)  # as they are mirrored: at opposite ends of the oval

    def drums(self):
        """Strokes along arcs, the hands in turn or, less often, together."""
        half = self.uniform(2.2, 3.0)
        phase, at = self.phase(2.0 * np.pi / (2 * half)), self.orbit()
        middle, lag = 0.8 + self.uniform(-1.0, 1.0), self.rng.choice([np.pi, np.pi, 0.0]) + self.uniform(-0.3, 0.3)
        return tuple(at(middle + half * to_and_fro(phase + late, 0.97)) for late in (0.0, lag))

    def guitar(self):
        middle, up, forward = self.chest()
        strum = 0.2 * self.habit.size * self.uniform(0.8, 1.2) * to_and_fro(self.phase(2.4), 0.8)
        right = self._path(middle + 0.1 + self.uniform(0.2, 0.5) * strum, up - 0.2 + strum, forward)
        slide = self.uniform(0.05, 0.15) * np.sin(self.phase(0.8))
        left = self._path(self.uniform(-0.1, 0.4) + slide, up + self.uniform(0.0, 0.3) + 0.3 * slide, forward)
        return right, left

    def other(self):
        """Figures of eight, both arms at once, shrugs."""
        shrug = np.zeros_like(self.time)
        kind = self.rng.choice(5, p=(0.1, 0.1, 0.28, 0.28, 0.24))
        if kind == 0:
            hands = self.eight(), self.hang()
        elif kind == 1:
            hands = self.hang(), self.eight()
        elif kind == 2:
            hands = self.circle(self.rng.choice([-1, 1])), self.circle(self.rng.choice([-1, 1]))
        elif kind == 3:
            hands = self.wave(), self.wave()
        else:
            shrug = 5 * self.habit.size * np.sin(self.phase(1.4))
            palms = 0.12 * np.sin(self.phase(1.4))
            hands = tuple(self._path(0.35 + palms, -0.45 + self.uniform(0.3, 1.0) * palms, 0.4) for _ in range(2))
        return hands, shrug


def perform(gesture: int, rng: np.random.Generator, time: np.ndarray, habit: Habit) -> Motion:
    """The joint trajectories of `GESTURES[gesture]` at the times `time` (seconds), drawn from `rng`, in a `habit`."""
    performer = _Performer(rng, time, habit)
    shrug = np.zeros_like(time)
    if gesture == 0:
        right, left = performer.clap()
    elif gesture in (1, 3, 4):
        right = performer.wave() if gesture == 1 else performer.circle(1 if gesture == 3 else -1)
        left = performer.hang()
    elif gesture in (2, 5, 6):
        left = performer.wave() if gesture == 2 else performer.circle(-1 if gesture == 5 else 1)
        right = performer.hang()
    elif gesture == 7:
        right, left = performer.roll()
    elif gesture == 8:
        right, left = performer.drums()
    elif gesture == 9:
        right, left = performer.guitar()
    elif gesture == 10:
        (right, left), shrug = performer.other()
    else:
        raise ValueError(f"`snnax.data.perform`: `gesture` must be in 0..10, got {gesture}.")
    return Motion(right, left, shrug)
