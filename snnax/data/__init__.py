"""Events: a synthetic event-camera gesture set in the layout of the DVS Gesture recordings."""

from ._dvs_pixel import (
    Crossings as Crossings,
    DVSPixel as DVSPixel,
    DVSPixelState as DVSPixelState,
    mismatched as mismatched,
    read_out as read_out,
    with_noise as with_noise,
)
from ._figure import Body as Body, capsules as capsules, render as render
from ._gestures import (
    LIGHTINGS as LIGHTINGS,
    TEST_USERS as TEST_USERS,
    TRAIN_USERS as TRAIN_USERS,
    Lighting as Lighting,
    film as film,
    record as record,
    subject as subject,
)
from ._loader import (
    Arrays as Arrays,
    Loader as Loader,
    Source as Source,
    Subset as Subset,
    ahead as ahead,
    split as split,
)
from ._motions import GESTURES as GESTURES, Habit as Habit, Motion as Motion, perform as perform
from ._write import write_gestures as write_gestures
