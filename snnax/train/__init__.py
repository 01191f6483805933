"""Training: one step, the loop around it, checkpoints that survive, several devices.

- A step: `TrainState`, `make_step`, `Step`.
- The loop: `fit`, `make_evaluation`, `EarlyStopping`, `CSVLog`, `JSONLog`, `TensorBoardLog`.
- All on the device: `run_epochs`, `spread`.
- Checkpoints: `Checkpoints`, `OrbaxCheckpoints`; `save`, `load`, `read_config`, `CheckpointError` for single files.
- Several devices: `devices_mesh`, `replicated`, `sharded`.
"""

from ._checkpoint import (
    CheckpointError as CheckpointError,
    load as load,
    read_config as read_config,
    save as save,
)
from ._checkpoints import Checkpoints as Checkpoints
from ._fit import EarlyStopping as EarlyStopping, fit as fit, make_evaluation as make_evaluation
from ._log import CSVLog as CSVLog, JSONLog as JSONLog, TensorBoardLog as TensorBoardLog
from ._on_device import run_epochs as run_epochs, spread as spread
from ._orbax import OrbaxCheckpoints as OrbaxCheckpoints
from ._sharding import devices_mesh as devices_mesh, replicated as replicated, sharded as sharded
from ._step import Step as Step, TrainState as TrainState, make_step as make_step
