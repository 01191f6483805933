"""The pixel of an event camera."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

EVENT_DTYPE = np.dtype([("x", np.int32), ("y", np.int32), ("p", np.int32), ("t", np.float64)])


class DVSPixelState(eqx.Module):
    """What a `DVSPixel` array remembers between two frames.

    `log_intensity` is that of the last frame, `reference` the level memorised at the last event, and `dead` the part
    of the coming frame interval, in [0, 1), during which the pixel is still held in reset.
    """

    log_intensity: Float[Array, "*pixels"]
    reference: Float[Array, "*pixels"]
    dead: Float[Array, "*pixels"]


class Crossings(NamedTuple):
    """The events of one frame interval: `count` of them per pixel, positive for ON and negative for OFF, at the times
    `first`, `first + interval`, ..., as fractions of the frame interval in (0, 1]."""

    count: Array
    first: Array
    interval: Array


class DVSPixel(eqx.Module):
    r"""An array of event-camera pixels.

    A pixel memorises the logarithm of its intensity, $L_{ref}$, and reports an ON event when

    $$L(t) - L_{ref} \ge \theta_{on}, \quad\text{an OFF event when}\quad L_{ref} - L(t) \ge \theta_{off}.$$

    After an event at $t_e$ it is held in reset for the refractory time $\rho$ and then memorises what it sees,
    $L_{ref} = L(t_e + \rho)$. Between two frames $L$ is a straight line of slope $m$ (per frame interval), on which
    the events are known in closed form: the first when the line reaches the threshold, the next ones every
    $\theta / |m| + \rho$. So several events per pixel and frame interval come out, at times between the frames, and
    no two of them closer than $\rho$.

    Thresholds differ from pixel to pixel, as transistors do; `mismatched` draws them. Noise is added by
    `with_noise`.

    Sources: the pixel, its mismatch and its refractory time: Lichtsteiner, Posch and Delbruck (2008),
    doi:10.1109/JSSC.2007.914337. Interpolation between rendered frames: Rebecq, Gehrig and Scaramuzza (2018), ESIM,
    Conference on Robot Learning; Hu, Liu and Delbruck (2021), v2e, arXiv:2006.07722.
    """

    on: Array
    off: Array
    refractory: Array

    def __init__(self, on, off, refractory=0.0):
        """**Arguments:**

        - `on`, `off`: the thresholds in units of the natural logarithm of intensity, positive; a number or one per
            pixel.
        - `refractory`: the dead time in units of the frame interval, in [0, 1).
        """
        if not (np.all(np.asarray(on) > 0) and np.all(np.asarray(off) > 0)):
            raise ValueError("`snnax.data.DVSPixel`: the thresholds `on` and `off` must be positive everywhere.")
        if not 0 <= refractory < 1:
            raise ValueError(
                f"`snnax.data.DVSPixel`: `refractory` must be in [0, 1), in units of the frame interval, got "
                f"{refractory}. For a longer dead time give fewer frames per second."
            )
        self.on = jnp.asarray(on, jnp.float32)
        self.off = jnp.asarray(off, jnp.float32)
        self.refractory = jnp.asarray(refractory, jnp.float32)

    def init_state(self, log_intensity: Float[Array, "*pixels"]) -> DVSPixelState:
        """The state of pixels that have long been looking at `log_intensity`."""
        return DVSPixelState(log_intensity, log_intensity, jnp.zeros_like(log_intensity))

    def __call__(self, state: DVSPixelState, log_intensity: Float[Array, "*pixels"]) -> tuple[DVSPixelState, Crossings]:
        """One frame interval, from the frame in `state` to `log_intensity`: the new state, and the events."""
        slope = log_intensity - state.log_intensity
        held = state.dead > 0
        reference = jnp.where(held, state.log_intensity + slope * state.dead, state.reference)
        rising = slope > 0
        threshold = jnp.where(rising, self.on, self.off)
        speed = jnp.maximum(jnp.abs(slope), 1e-6)
        distance = jnp.where(rising, reference - state.log_intensity, state.log_intensity - reference) + threshold
        first = distance / speed
        interval = threshold / speed + self.refractory
        count = jnp.where(first <= 1, jnp.floor((1 - first) / interval) + 1, 0.0)
        release = first + (count - 1) * interval + self.refractory
        fired = count > 0
        after = jnp.where(release < 1, state.log_intensity + slope * release, log_intensity)
        reference = jnp.where(fired, after, reference)
        dead = jnp.where(fired, jnp.maximum(release - 1, 0), 0)
        count = jnp.where(rising, count, -count).astype(jnp.int8)
        return DVSPixelState(log_intensity, reference, dead), Crossings(count, first, interval)


def mismatched(rng: np.random.Generator, shape: tuple[int, ...], threshold: float, mismatch: float) -> np.ndarray:
    """Thresholds of `shape` from `rng`, normally distributed about `threshold` with the standard deviation `mismatch`.

    None is below a quarter of `threshold`. Lichtsteiner et al. (2008) measured a mismatch of 0.021 in units of the
    natural logarithm; larger values are usual in the dark.
    """
    drawn = threshold + mismatch * rng.standard_normal(shape)
    return np.maximum(drawn, threshold / 4).astype(np.float32)


def read_out(crossings: Crossings, frame_time: float) -> np.ndarray:
    """The events of `crossings`, whose arrays are (frame intervals, height, width), ordered by time.

    Returns a structured array with the fields `x`, `y`, `p` (1 is ON) and `t`, in units of `frame_time`.
    """
    count = np.asarray(crossings.count)
    at = np.flatnonzero(count.view(bool))
    signed = count.ravel()[at]
    repeats = np.abs(signed)
    within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    start = np.asarray(crossings.first).ravel()[at]
    step = np.asarray(crossings.interval).ravel()[at]
    frame, y, x = np.unravel_index(at, count.shape)
    events = np.empty(within.size, EVENT_DTYPE)
    events["x"] = np.repeat(x, repeats)
    events["y"] = np.repeat(y, repeats)
    events["p"] = np.repeat(signed > 0, repeats)
    time = np.repeat(frame + start.astype(np.float64), repeats) + within * np.repeat(step, repeats)
    events["t"] = time * frame_time
    return events[np.argsort(events["t"], kind="stable")]


def with_noise(
    rng: np.random.Generator, events: np.ndarray, shape: tuple[int, int], duration: float, rate, refractory: float
) -> np.ndarray:
    """`events` and background activity: events that nothing in the scene has caused, ordered by time.

    **Arguments:**

    - `rng`: draws the noise.
    - `rate`: events per pixel and unit of time, a number or an array of `shape`, as Poisson processes; ON and OFF are
        equally likely.
    - `duration`: the noise is in [0, `duration`).
    - `refractory`: noise that comes closer than this to another event of its pixel, before or after, is left out.
    """
    height, width = shape
    mean = np.broadcast_to(np.asarray(rate, np.float64), shape).ravel() * duration
    number = rng.poisson(mean.sum())
    cumulative = np.cumsum(mean)
    noise = np.empty(number, EVENT_DTYPE)
    pixel = np.searchsorted(cumulative, rng.random(number) * cumulative[-1], side="right")
    noise["y"], noise["x"] = np.divmod(np.minimum(pixel, height * width - 1), width)
    noise["p"] = rng.integers(0, 2, number)
    noise["t"] = rng.random(number) * duration
    both = np.concatenate([events, noise])
    is_noise = np.arange(both.size) >= events.size
    order = np.lexsort((both["t"], both["y"] * width + both["x"]))
    both, is_noise = both[order], is_noise[order]
    near = (np.diff(both["t"]) < refractory) & (np.diff(both["x"]) == 0) & (np.diff(both["y"]) == 0)
    none = np.zeros(1, bool)
    drop = is_noise & (np.concatenate([none, near]) | np.concatenate([near, none]))
    both = both[~drop]
    return both[np.argsort(both["t"], kind="stable")]
