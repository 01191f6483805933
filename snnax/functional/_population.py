"""Population coding: several output neurons for each class."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from ._arguments import as_scores, floating, wide


def population_sum(scores: ArrayLike, n_classes: int) -> Array:
    """The sum over the neurons of each class; the first `neurons / n_classes` neurons are those of class 0.

        counts = functional.population_sum(jnp.array([1, 2, 3, 4, 5, 6]), 3)        # [3, 7, 11]

    **Arguments:** `scores`: `(..., neurons)`, such as counts. `n_classes`: the number of classes, which divides that of
    the neurons.

    **Returns:** `(..., n_classes)`, in the dtype of `scores`; booleans and short integers are counted in 32 bits.
    """
    return _groups("functional.population_sum", scores, n_classes).sum(-1)


def population_mean(scores: ArrayLike, n_classes: int) -> Array:
    """The mean over the neurons of each class; the first `neurons / n_classes` neurons are those of class 0.

    **Arguments:** `scores`: `(..., neurons)`, such as rates. `n_classes`: the number of classes, which divides that of
    the neurons.

    **Returns:** `(..., n_classes)`, in the dtype of `scores` where that is floating.
    """
    groups = _groups("functional.population_mean", scores, n_classes)
    return wide(groups)[0].mean(-1).astype(floating(groups))


def _groups(owner: str, scores: ArrayLike, n_classes: int) -> Array:
    scores = as_scores(owner, "scores", scores)
    if not isinstance(n_classes, (int, np.integer)) or isinstance(n_classes, bool) or n_classes < 1:
        raise ValueError(f"`{owner}`: `n_classes` must be the number of classes, 1 or more, got {n_classes!r}.")
    neurons = scores.shape[-1]
    if neurons % n_classes:
        below = neurons - neurons % n_classes
        fitting = f"{below} or {below + n_classes}" if below else n_classes
        raise ValueError(
            f"`{owner}`: {neurons} neurons cannot be shared equally by {n_classes} classes. Give the last layer "
            f"{fitting}."
        )
    return scores.reshape(*scores.shape[:-1], int(n_classes), neurons // int(n_classes))
