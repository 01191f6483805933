"""Recordings: who performs which gesture in what light, filmed and turned into events."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._dvs_pixel import DVSPixel, mismatched, read_out, with_noise
from ._figure import Body, capsules, render
from ._motions import Habit, perform

VERSION = 1
"""Of the recordings. Any change in what a seed gives must raise it, for complete sets are reused by it."""

SIZE = 128
FRAMES = 128
FRAME_TIME = 10.0  # ms
REFRACTORY = 1.0  # ms
TRAIN_USERS = tuple(range(1, 24))
"""The subjects of the training set, as in DVS Gesture."""

TEST_USERS = tuple(range(24, 30))
"""The subjects of the test set."""


@dataclasses.dataclass(frozen=True)
class Lighting:
    """The light of a recording, by `name`.

    `level` is the intensity of the light, in units of what the pixel sees in the dark (its dark current), which is
    added to it and so weakens the contrast; `slope` is how much the light falls off across the image, in units of the
    natural logarithm; `threshold` and `mismatch` are those of the pixels (natural logarithm), `noise` events per pixel
    and second.
    """

    name: str
    level: float
    slope: float
    threshold: float
    mismatch: float
    noise: float


LIGHTINGS = (
    Lighting("fluorescent", level=20.0, slope=0.2, threshold=0.32, mismatch=0.03, noise=0.1),
    Lighting("led", level=10.0, slope=0.5, threshold=0.32, mismatch=0.03, noise=0.15),
    Lighting("natural", level=40.0, slope=0.8, threshold=0.32, mismatch=0.03, noise=0.07),
)
"""The lights of the recordings."""


def subject(seed: int, user: int) -> tuple[Body, Habit]:
    """The build, the place and the habits of `user` (1..29), in the set of `seed`."""
    rng = np.random.default_rng([seed, user])
    scale = rng.uniform(1.02, 1.3)
    arm_radius = scale * rng.uniform(2.6, 3.6)
    body = Body(
        x=64 + rng.uniform(-6, 6),
        y=57 + rng.uniform(-6, 6),
        half_shoulders=scale * rng.uniform(12.0, 15.0),
        upper_arm=scale * rng.uniform(17.0, 20.0),
        forearm=scale * rng.uniform(14.5, 17.0),
        hand=scale * rng.uniform(4.5, 6.0),
        arm_radius=arm_radius,
        hand_radius=arm_radius + rng.uniform(0.0, 1.0),
        head_radius=scale * rng.uniform(6.5, 8.0),
        torso_length=scale * rng.uniform(42.0, 52.0),
        torso_radius=scale * rng.uniform(10.5, 13.0),
    )
    habit = Habit(
        tempo=rng.uniform(0.85, 1.2),
        size=rng.uniform(0.85, 1.15),
        high=rng.uniform(-0.1, 0.1),
        wide=rng.uniform(-0.08, 0.08),
        midline=body.half_shoulders / body.reach,
    )
    return body, habit


def _smooth(rng: np.random.Generator, cells: int) -> np.ndarray:
    """A random landscape over the image, between -1 and 1: bilinear between `cells` by `cells` random points."""
    points = rng.uniform(-1, 1, (cells + 1, cells + 1))
    at = np.linspace(0, cells, SIZE, endpoint=False)
    low, part = at.astype(int), at % 1
    rows = points[low] * (1 - part)[:, None] + points[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def scene(rng: np.random.Generator, lighting: Lighting) -> tuple[np.ndarray, np.ndarray]:
    """The intensities of the figure's parts and of the background.

    In front of a bright wall or of a dark curtain, equally likely: one recording is the other's negative, so that ON
    and OFF, without the order in time, do not tell which way an arm moves.
    """
    sign = rng.choice([-1.0, 1.0])
    sleeve, hand = rng.uniform(0.7, 1.1), rng.uniform(0.7, 1.3)
    torso = rng.uniform(0.2, 0.4) if rng.random() < 0.5 else sleeve + rng.uniform(0.4, 0.6)
    shades = np.array([torso, rng.uniform(0.4, 1.0)] + [sleeve] * 4 + [hand] * 2)
    direction = rng.uniform(0, 2 * np.pi)
    across = np.linspace(-0.5, 0.5, SIZE)
    fall = lighting.slope * (across[None, :] * np.cos(direction) + across[:, None] * np.sin(direction))
    wall = 0.12 * _smooth(rng, 7) + fall
    middle = 0.45 * sign
    background = 1 + lighting.level * np.exp(middle + wall)
    return (1 + lighting.level * np.exp(middle - sign * shades)).astype(np.float32), background.astype(np.float32)


@eqx.filter_jit
def film(pixel: DVSPixel, parts, shades, background):
    """What `pixel` reports of the figure `parts`, (time + 1, parts, 5): arrays of (time, height, width).

    **Arguments:** `shades`, `background`: as those of `render`.
    """

    def step(state, now):
        return pixel(state, jnp.log(render(now, shades, background)))

    state = pixel.init_state(jnp.log(render(parts[0], shades, background)))
    return jax.lax.scan(step, state, parts[1:])[1]


def record(seed: int, user: int, lighting: int, gesture: int) -> np.ndarray:
    """One recording: the events, ordered by time, in a structured array with the fields x, y, p and t (milliseconds).

    **Arguments:**

    - `seed`: of the whole set. The same numbers give the same recording.
    - `user`: 1..29. Their build and habits depend on `seed` and `user` only.
    - `lighting`: 0..2, an index of `LIGHTINGS`.
    - `gesture`: 0..10, an index of `GESTURES`.
    """
    body, habit = subject(seed, user)
    rng = np.random.default_rng([seed, user, lighting + 1, gesture])
    time = np.arange(FRAMES + 1) * (FRAME_TIME * 1e-3)
    motion = perform(gesture, rng, time, habit)
    swing = 2 * np.pi * rng.uniform(0.2, 0.6, 2)[None] * time[:, None] + rng.uniform(0, 2 * np.pi, 2)
    sway = rng.uniform(0, 1.0, 2) * np.sin(swing) + rng.uniform(-2, 2, 2)
    parts = capsules(body, motion.right, motion.left, sway, motion.shrug)
    light = LIGHTINGS[lighting]
    shades, background = scene(rng, light)
    thresholds = [mismatched(rng, (SIZE, SIZE), light.threshold, light.mismatch) for _ in range(2)]
    pixel = DVSPixel(*thresholds, refractory=REFRACTORY / FRAME_TIME)
    events = read_out(film(pixel, parts, shades, background), FRAME_TIME)
    return with_noise(rng, events, (SIZE, SIZE), FRAMES * FRAME_TIME, light.noise * 1e-3, REFRACTORY)
