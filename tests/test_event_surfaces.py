"""Voxel grids and time surfaces equal loops over the events."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recordings import SENSOR, made, random_recording, rows, structured

from snnax import data

SHAPE = SENSOR[2], SENSOR[1], SENSOR[0]


@functools.partial(jax.jit, static_argnames="steps")
def voxels(events, steps):
    return data.voxel_grid(events, steps)


@functools.partial(jax.jit, static_argnames=("steps", "dt"))
def surface(events, steps, dt=None, start=None):
    return data.time_surface(events, steps, dt, tau=30.0, start=start)


def voxels_by_loop(array, steps, sensor_size=SENSOR):
    width, height, _ = sensor_size
    grid = np.zeros((steps, 1, height, width))
    first, last = array["t"][[0, -1]] if len(array) else (0, 0)
    for x, y, t, p in array:
        at = (steps - 1) * (t - first) / max(last - first, 1)
        for k in range(steps):
            grid[k, 0, y, x] += (1 if p else -1) * max(0.0, 1 - abs(k - at))
    return grid


@hypothesis.given(rows())
def test_a_voxel_grid_divides_events_between_two_frames(rows):
    array = structured(rows)
    for steps in (1, 4):
        grid = voxels(made(rows), steps)
        np.testing.assert_allclose(grid, voxels_by_loop(array, steps), atol=1e-5)
        assert grid.dtype == jnp.float32
        np.testing.assert_allclose(grid.sum(), (2 * array["p"].astype(int) - 1).sum(), atol=1e-5)


def test_a_voxel_grid_by_hand():
    """At 0, 25, 50 and 100 of 100 in five frames: one in a frame, three quarters between two, one, one."""
    grid = voxels(made([(0, 0, 0, 1), (1, 0, 20, 0), (0, 1, 50, 1), (2, 2, 100, 1)]), 5)
    np.testing.assert_allclose(grid[:, 0, 0, 0], [1, 0, 0, 0, 0])
    np.testing.assert_allclose(grid[:, 0, 0, 1], [-0.2, -0.8, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(grid[:, 0, 1, 0], [0, 0, 1, 0, 0])
    np.testing.assert_allclose(grid[:, 0, 2, 2], [0, 0, 0, 0, 1])


def test_a_voxel_grid_of_one_polarity_counts():
    assert voxels(made([(0, 0, t, 0) for t in (0, 3, 9)], (2, 1, 1)), 3).sum() == 3


def test_the_last_event_is_whole_at_any_length():
    for last in (2**31 - 2, 16_777_217, 99_999_999):
        grid = voxels(made([(0, 0, 0, 0), (1, 1, last, 1)]), 100)
        assert grid[-1, 0, 1, 1] == 1.0 and grid[0, 0, 0, 0] == -1.0 and jnp.abs(grid).sum() == 2.0


def test_a_voxel_grid_of_signed_polarities_is_that_of_tonic():
    tonic = pytest.importorskip("tonic")
    events = random_recording(2)
    array = events.to_structured()
    theirs = tonic.transforms.ToVoxelGrid(events.sensor_size, n_time_bins=5)(array.copy())
    # Theirs go from 0 to the number of frames, past the last: an event of theirs is ours in a grid of one more.
    np.testing.assert_allclose(data.voxel_grid(events, 6)[:5], theirs, atol=1e-4)


def surface_by_loop(array, ends, start=0, tau=30.0, shape=SHAPE):
    surfaces = np.zeros((len(ends), *shape))
    for k, end in enumerate(ends):
        last = np.full(shape, -np.inf)
        for x, y, t, p in array:
            if t < start + end:
                last[p, y, x] = t
        surfaces[k] = np.exp(-(start + end - last) / tau)
    return surfaces


@hypothesis.given(rows())
def test_a_time_surface_decays_from_the_last_event(rows):
    array = structured(rows)
    for steps, dt, start in ((1, 1, 0), (4, 20, 0), (4, 20, 45)):
        surfaces = surface(made(rows), steps, dt, start)
        expected = surface_by_loop(array, [(k + 1) * dt for k in range(steps)], start)
        np.testing.assert_allclose(surfaces, expected, atol=1e-6)
        assert surfaces.dtype == jnp.float32
    first, last = array["t"][[0, -1]] if len(array) else (0, 0)
    parts = [-(-((k + 1) * (last - first + 1)) // 3) for k in range(3)]
    np.testing.assert_allclose(surface(made(rows), 3), surface_by_loop(array, parts, first), atol=1e-6)


def test_an_event_long_before_and_one_late_in_a_long_recording():
    events = made([(0, 0, 0, 1), (1, 1, 2_000_000_000, 1)])
    late = data.time_surface(events, 2, 100_000_000, tau=1e9, start=1_900_000_000)
    np.testing.assert_allclose(late[:, 1, 0, 0], np.exp([-2.0, -2.1]), rtol=1e-6)
    np.testing.assert_allclose(late[:, 1, 1, 1], [0.0, np.exp(-0.1)], rtol=1e-6)
    exact = data.time_surface(events, 1, 1000, tau=1000.0, start=1_999_999_500)
    np.testing.assert_allclose(exact[0, 1, 1, 1], np.exp(-0.5), rtol=1e-6)


def test_a_time_surface_is_that_of_tonic():
    tonic = pytest.importorskip("tonic")
    events = random_recording(3)
    array = events.to_structured()
    theirs = tonic.transforms.ToTimesurface(events.sensor_size, dt=1000, tau=3000.0)(array)
    ours = data.time_surface(events, len(theirs), 1000, tau=3000.0, start=int(array["t"][0]))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_batch_equals_its_recordings():
    several = [random_recording(seed, n) for seed, n in enumerate((200, 0, 77))]
    for function in (lambda e: data.voxel_grid(e, 5), lambda e: data.time_surface(e, 5, tau=1000.0)):
        batch = jax.jit(jax.vmap(function))(data.stack_events(several))
        for i, events in enumerate(several):
            np.testing.assert_allclose(batch[i], function(events), atol=1e-5)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), True])
def test_a_time_constant_that_is_not_positive_is_refused(tau, unchecked):
    with pytest.raises(ValueError, match=r"`data.time_surface`: `tau` must be a number in \(0, inf\), got"):
        data.time_surface(made([]), 2, tau=tau)
    with pytest.raises(ValueError, match="`data.voxel_grid`: `steps` must be a whole number of 1 or more"):
        data.voxel_grid(made([]), 0)
