"""Tasks whose answer depends on what was shown some time ago."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..functional._encoding import UNIT, as_count, as_number


def delayed_recall(
    key: PRNGKeyArray,
    examples: int,
    *,
    classes: int = 4,
    units: int = 10,
    cue: int = 10,
    delay: int = 50,
    recall: int = 10,
    rate: int | float = 0.5,
    background: int | float = 0.02,
) -> tuple[Float[Array, "examples time channels"], Int[Array, " examples"]]:
    """A cue, a delay, and a request to name the cue.

    There are `classes` + 1 groups of `units` channels. In the first `cue` steps the group of the class fires at `rate`,
    in the last `recall` steps the last group, which is the request; the answer is read out then. All other channels,
    and all channels in the `delay` steps between, fire at `background`. The total count has the same distribution in
    every class.

    Source: the store-recall task of G. Bellec et al. 2018, arXiv:1803.09574, with one item.

    **Arguments:**

    - `key`: of the examples.
    - `examples`: their number. Example `i` is of class `i` modulo `classes`, so that slices are balanced.
    - `classes`, `units`: the number of cues, and of channels for each.
    - `cue`, `delay`, `recall`: the lengths of the three parts in time steps; `delay` may be 0.
    - `rate`, `background`: spikes per step of an active channel and of the others, numbers in [0, 1].

    **Returns:** the spikes, `(examples, cue + delay + recall, (classes + 1) * units)`, of 0 and 1 in the default
    floating dtype, and the labels, `(examples,)`.
    """
    owner = "data.delayed_recall"
    examples, classes = as_count(owner, "examples", examples), as_count(owner, "classes", classes)
    units = as_count(owner, "units", units)
    lengths = as_count(owner, "cue", cue), as_count(owner, "delay", delay, 0), as_count(owner, "recall", recall)
    # Which group is active in each part: of class c, the group c, none, the last.
    parts = np.zeros((classes, 3, classes + 1), bool)
    parts[np.arange(classes), 0, np.arange(classes)] = True
    parts[:, 2, classes] = True
    label = jnp.arange(examples, dtype=jnp.int32) % classes
    return _fire(owner, key, parts, lengths, units, rate, background)(label), label


def temporal_xor(
    key: PRNGKeyArray,
    examples: int,
    *,
    units: int = 10,
    pulse: int = 5,
    delay: int = 20,
    rate: int | float = 0.5,
    background: int | float = 0.0,
) -> tuple[Float[Array, "examples time channels"], Int[Array, " examples"]]:
    """Two pulses with a delay between them: were they of different kinds?

    A pulse of kind 0 is `pulse` steps in which the first of two groups of `units` channels fires at `rate`; of kind 1,
    the second. All other channels fire at `background`. Two pulses are followed by `delay` steps each; the label is the
    exclusive or of their kinds, to be read out at the end. The total count has the same distribution for both labels,
    and so has each channel's in every step.

    **Arguments:**

    - `key`: of the examples.
    - `examples`: their number. The pairs of kinds are 00, 01, 10, 11 in turn, so that slices are balanced.
    - `units`: the number of channels for each kind.
    - `pulse`, `delay`: their lengths in time steps; `delay` may be 0.
    - `rate`, `background`: spikes per step of an active channel and of the others, numbers in [0, 1].

    **Returns:** the spikes, `(examples, 2 * (pulse + delay), 2 * units)`, of 0 and 1 in the default floating dtype, and
    the labels, `(examples,)`, 0 or 1.
    """
    owner = "data.temporal_xor"
    examples, units = as_count(owner, "examples", examples), as_count(owner, "units", units)
    pulse, delay = as_count(owner, "pulse", pulse), as_count(owner, "delay", delay, 0)
    parts = np.zeros((4, 4, 2), bool)
    for pair in range(4):
        parts[pair, 0, pair // 2] = parts[pair, 2, pair % 2] = True
    pair = jnp.arange(examples, dtype=jnp.int32) % 4
    fire = _fire(owner, key, parts, (pulse, delay, pulse, delay), units, rate, background)
    return fire(pair), (pair // 2) ^ (pair % 2)


def _fire(owner: str, key: PRNGKeyArray, parts: np.ndarray, lengths: tuple[int, ...], units: int, rate, background):
    """Spikes of conditions by number, of whose parts in time `parts`, (conditions, parts, groups), has the activity."""
    rate = as_number(owner, "rate", rate, UNIT)
    background = as_number(owner, "background", background, UNIT)
    active = jnp.asarray(np.repeat(np.repeat(parts, lengths, axis=1), units, axis=2))

    def fire(condition: Int[Array, " examples"]) -> Float[Array, "examples time channels"]:
        rates = jnp.where(active, rate, background)[condition]
        return jr.bernoulli(key, rates).astype(jnp.zeros(()).dtype)

    return fire
