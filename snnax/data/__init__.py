"""Data: recordings from files, their events and frames, a synthetic gesture set, and small spiking tasks.

- Recordings: `Events`, a pytree of padded arrays; `pad_events`, `stack_events`, `join_events`.
- As frames: `bin_events` (`Counts`, `Clipped`, `Binary`, `Signed`), `voxel_grid`, `time_surface`; `pack_frames`, whose
  bytes `snn.Unpack` takes.
- Augmentation on the device, from events to events: `shift`, `flip_x`, `flip_y`, `flip_polarity`, `reverse_time`,
  `rotate`, `crop`, `crop_time`, `scale_time`, `warp_time`, `jitter_time`, `drop_events`, `drop_by_area`,
  `drop_by_time`, `add_noise`, `mix_events`; `sometimes` applies one at random. Fewer pixels: `downsample`,
  `merge_polarities`.
- Synthetic gestures in the layout of the DVS Gesture recordings: `write_gestures`, `record`, and what they are made of.

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
from ._binning import (
    Binary as Binary,
    Clipped as Clipped,
    Counts as Counts,
    Signed as Signed,
    bin_events as bin_events,
)
from ._cache import Cached as Cached, Mapped as Mapped
from ._dropping import (
    drop_by_area as drop_by_area,
    drop_by_time as drop_by_time,
    drop_events as drop_events,
    sometimes as sometimes,
)
from ._dvs_gesture import DVSGesture as DVSGesture
from ._dvs_pixel import (
    Crossings as Crossings,
    DVSPixel as DVSPixel,
    DVSPixelState as DVSPixelState,
    mismatched as mismatched,
    read_out as read_out,
    with_noise as with_noise,
)
from ._events import Events as Events, pad_events as pad_events, stack_events as stack_events
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
from ._mixing import add_noise as add_noise, join_events as join_events, mix_events as mix_events
from ._motions import GESTURES as GESTURES, Habit as Habit, Motion as Motion, perform as perform
from ._moving import (
    crop as crop,
    downsample as downsample,
    flip_polarity as flip_polarity,
    flip_x as flip_x,
    flip_y as flip_y,
    merge_polarities as merge_polarities,
    rotate as rotate,
    shift as shift,
)
from ._nmnist import NMNIST as NMNIST
from ._packing import pack_frames as pack_frames
from ._patterns import poisson_patterns as poisson_patterns
from ._randman import randman as randman
from ._sequential_mnist import SequentialMNIST as SequentialMNIST
from ._shd import SHD as SHD, SSC as SSC
from ._splits import leave_out as leave_out
from ._spoken_digits import SpokenDigits as SpokenDigits
from ._time_surface import time_surface as time_surface
from ._timing import (
    crop_time as crop_time,
    jitter_time as jitter_time,
    reverse_time as reverse_time,
    scale_time as scale_time,
    warp_time as warp_time,
)
from ._tonic import CIFAR10DVS as CIFAR10DVS, FromTonic as FromTonic
from ._unpack import unpack as unpack
from ._voxel_grid import voxel_grid as voxel_grid
from ._windows import Windows as Windows
from ._write import write_gestures as write_gestures
