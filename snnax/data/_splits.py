"""Parts of a source in which nobody is in both."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._loader import Source, Subset


def leave_out(source: Source, held_out: Any, *, by: Sequence[Any] | np.ndarray) -> tuple[Subset, Subset]:
    """Two parts of a source: without the groups that are held out, and those alone.

    To leave one speaker out after the other:

        for speaker in np.unique(digits.speakers):
            training, testing = data.leave_out(digits, speaker, by=digits.speakers)

    `data.split` draws the groups by a seed.

    **Arguments:** `source`: the examples; `held_out`: a group, or several; `by`: a group for each example, such as its
    speaker.

    **Returns:** the first and the second part, each in the order of the source and neither empty.
    """
    groups, names = np.asarray(by), np.atleast_1d(np.asarray(held_out))
    if groups.shape != (len(source),):
        raise ValueError(
            f"`data.leave_out`: `by` must name a group for each of {len(source)} examples, got {groups.shape}."
        )
    second = np.isin(groups, names)
    if not np.isin(names, groups).all() or not second.any() or second.all():
        raise ValueError(
            f"`data.leave_out`: `held_out` must be some of the groups, but not all, got {names.tolist()} of "
            f"{np.unique(groups).tolist()}."
        )
    return Subset(source, np.flatnonzero(~second)), Subset(source, np.flatnonzero(second))
