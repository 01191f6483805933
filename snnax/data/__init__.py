"""Data: recordings from files, a synthetic event-camera gesture set in the layout of the DVS Gesture recordings, and
small spiking tasks.

A source is anything with a length and examples by number, mappings from names to arrays. `DVSGesture`, `NMNIST`, `SHD`,
`SSC`, `CIFAR10DVS` and `FromTonic` give `"events"`, structured arrays with `x`, `y`, `t` in microseconds and `p`;
`SpokenDigits` gives sound, `SequentialMNIST` pixels. `Windows` cuts recordings, `Mapped` changes examples, `Cached`
keeps them on disk, `leave_out` divides them by speaker. `unpack` unpacks what was fetched by hand.

Files are checked before they are read: what is wrong with one is a `MalformedFileError` or an `UnsafeFileError`.

The tasks `randman`, `poisson_patterns`, `delayed_recall` and `temporal_xor` are made from a key, need no files, and
give all examples at once: the spikes, `(examples, time, channels)`, and the labels, `(examples,)`. Under `jax.jit` only
the key is traced.
"""

from .._files import MalformedFileError as MalformedFileError, UnsafeFileError as UnsafeFileError
from ._cache import Cached as Cached, Mapped as Mapped
from ._dvs_gesture import DVSGesture as DVSGesture
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
from ._grain import GrainLoader as GrainLoader
from ._loader import (
    Arrays as Arrays,
    Loader as Loader,
    Source as Source,
    Subset as Subset,
    ahead as ahead,
    split as split,
)
from ._memory import delayed_recall as delayed_recall, temporal_xor as temporal_xor
from ._motions import GESTURES as GESTURES, Habit as Habit, Motion as Motion, perform as perform
from ._nmnist import NMNIST as NMNIST
from ._patterns import poisson_patterns as poisson_patterns
from ._randman import randman as randman
from ._sequential_mnist import SequentialMNIST as SequentialMNIST
from ._shd import SHD as SHD, SSC as SSC
from ._splits import leave_out as leave_out
from ._spoken_digits import SpokenDigits as SpokenDigits
from ._tonic import CIFAR10DVS as CIFAR10DVS, FromTonic as FromTonic
from ._unpack import unpack as unpack
from ._windows import Windows as Windows
from ._write import write_gestures as write_gestures
