"""Frames of event recordings: `data.bin_events` against tonic's `ToFrame`.

    pip install tonic
    python examples/benchmarks/binning.py

takes synthetic gestures, one after the other until there are 300 000 events, and the same number of events spread
evenly. Both libraries get the same structured array in memory and are timed in turn, after it was checked that their
frames are equal. tonic's frames stay on the host; ours are on the device when the clock stops. Timed are:

- from the structured array: checks, the transfer, and the binning;
- from `data.Events` on the host, as a loader keeps them: the transfer and the binning;
- the same in the modes Clipped and Binary;
- eight recordings in Clipped, together by `jax.vmap` and one after the other by `jax.lax.map`, for each recording.
"""

import argparse
import platform

import jax
import jaxlib
import numpy as np
import tonic
from compare import ratio
from plans import in_turn

from snnax import data

SENSOR = (128, 128, 2)
EVENTS = 300_000
STEPS = 100
BATCH = 8


def gestures(number: int) -> np.ndarray:
    """Synthetic gestures of several people, one after the other."""
    parts, end, count = [], 0, 0
    for user in range(1, 24):
        for gesture in range(11):
            part = data.Events.from_structured(
                data.record(0, user, 0, gesture), SENSOR, microseconds=1000
            ).to_structured()
            part["t"] += end
            end, count = part["t"][-1] + 1, count + part.size
            parts.append(part)
            if count >= number:
                return np.concatenate(parts)[:number]
    raise ValueError(f"All gestures together have {count} events.")


def evenly(number: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    array = np.empty(number, gestures(1).dtype)
    for name, size in zip("xyp", SENSOR, strict=True):
        array[name] = rng.integers(0, size, number)
    array["t"] = np.sort(rng.integers(0, 10**7, number))
    return array


def compare(array: np.ndarray, turns: int) -> dict[str, list[float]]:
    """Seconds of tonic and of ours by the way of calling."""
    dt = int(array["t"][-1] - array["t"][0]) // STEPS
    start = int(array["t"][0])
    to_frame = tonic.transforms.ToFrame(SENSOR, time_window=dt)
    events = data.Events.from_structured(array, SENSOR)

    def binned(mode):
        return jax.jit(lambda events: data.bin_events(events, STEPS, dt, start=start, mode=mode)[0])

    counts = binned(data.Counts())
    theirs = to_frame(array)
    np.testing.assert_array_equal(counts(events)[: len(theirs)], theirs)
    functions = {
        "tonic": (lambda: (to_frame(array), None)[1], ()),
        "from the structured array": (lambda: counts(data.Events.from_structured(array, SENSOR)), ()),
        "from Events": (counts, (events,)),
        "from Events, Clipped(3)": (binned(data.Clipped(3)), (events,)),
        "from Events, Binary": (binned(data.Binary()), (events,)),
    }
    times = in_turn(functions, turns)
    batch = data.stack_events([events] * BATCH)
    clipped = binned(data.Clipped(3))
    ways = {
        f"{BATCH} Events, Clipped(3), jax.vmap": (jax.jit(jax.vmap(clipped)), (batch,)),
        f"{BATCH} Events, Clipped(3), jax.lax.map": (jax.jit(lambda batch: jax.lax.map(clipped, batch)), (batch,)),
    }
    return times | {way: [one / BATCH for one in seconds] for way, seconds in in_turn(ways, turns).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=31, help="how often each is timed")
    turns = parser.parse_args().turns
    print(
        f"{platform.processor() or platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}, jaxlib "
        f"{jaxlib.__version__}, numpy {np.__version__}, tonic {tonic.__version__}; {STEPS} frames of 2x128x128"
    )
    for name, array in (("gestures", gestures(EVENTS)), ("evenly spread", evenly(EVENTS))):
        print(f"{array.size} events, {name:<22}   median ms   least ms   tonic / ours (95 %)")
        times = compare(array, turns)
        for way, seconds in times.items():
            middle, low, high = ratio(times["tonic"], seconds)
            line = f"  {way:<38} {1e3 * np.median(seconds):>9.2f} {1e3 * min(seconds):>10.2f}"
            print(line + (f"   {middle:.1f} ({low:.1f}-{high:.1f})" if way != "tonic" else ""))


if __name__ == "__main__":
    main()
