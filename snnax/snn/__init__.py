"""Layers with a state, the containers that run them over time, and the plans that say in which order.

- Neurons: `SimpleLIF`, `LIF`, `DoubleExpLIF`, `SimpleIAF`, `IAF`, `AdaptiveLIF`, `ALIF`, `QIF`, `EIF`, `AdEx`,
  `Izhikevich`, `SRM`, `TwoCompartment`; without spikes `SimpleLI`, `LI`.
- Synapses: `ShortTermPlasticity`. Sources: `PoissonSource`, `SpikeSource`.
- Parallel in time: `Associative`, `PSN`, `SlidingPSN`; state-space layers: `LRU`, `S5`, `AssociativeMemory`.
- Attention: `spiking_self_attention`, `spiking_transformer_block`, `Attend`.
- Resonators: `ResonateAndFire`, `BalancedResonateAndFire`. Changes: `SigmaDelta`.
- Gated cells: `SpikingLSTM`, `SpikingGRU`, `SpikingConvLSTM2d`. Competition: `WinnerTakeAll`.
- Phasors: `PhasorLinear`, `Phasor`, `SpikingPhasor`.
- What happens at a spike: `ResetToValue`, `SubtractReset`, `NoReset`, `DelayedSubtractReset`.
- Parameters: `decay`, `UnityGain`, `Fixed`, `Logistic`, `parameter`, `trainable`, `project`, `in_precision`.
- Containers: `Sequential`, `Graph` (with `Edge`, `Add`, `Concatenate`), and the `States` that they thread.
- Layers of layers: `Recurrent`, `Residual`, `Parallel`. Delays: `Delay`.
- Layers without state: `Flatten`, `Scale`, `Threshold`, `Each`, `SpikingMaxPool1d`, `SpikingMaxPool2d`, `SumPool1d`,
  `SumPool2d`, `Unpack`, `GradedSpikes`, `WeightStandardised`, and all of `equinox.nn` that need no `eqx.nn.State`,
  `LayerNorm`, `GroupNorm` and `WeightNorm` among them.
- Max pooling over time: `TraceMaxPool1d`, `TraceMaxPool2d`. Dropout with one mask for a sequence: `SequenceDropout`.
- Batch normalisation: `BatchNorm`, `BatchNormThroughTime`, `ThresholdDependentBatchNorm`, `TemporalEffectiveBatchNorm`;
  `estimate_norms` sets their statistics.
- Initialisation: `initialise`, `fluctuation_init`; on data, `lsuv`, `calibrate`.
- What is in a network, and what is wrong with it: `summary`, `diagnose`.
- Plans: `LayerByLayer`, `StepByStep`, `Chunked`.
- What to keep: `Trains`, `Traces`, `Sum`, `Mean`, `Max`, `Last`, `At`, `FirstSpike`, `Window`.
- Layers of one's own: `StatefulLayer`, `SpikingLayer`, `check_layer`.
"""

from .._parameter import (
    Fixed as Fixed,
    Logistic as Logistic,
    parameter as parameter,
    project as project,
    trainable as trainable,
)
from ._adaptive_lif import AdaptiveLIF as AdaptiveLIF
from ._alif import ALIF as ALIF
from ._associative import Associative as Associative
from ._associative_memory import AssociativeMemory as AssociativeMemory
from ._attention import (
    Attend as Attend,
    spiking_self_attention as spiking_self_attention,
    spiking_transformer_block as spiking_transformer_block,
)
from ._batch_norm import (
    BatchNorm as BatchNorm,
    BatchNormThroughTime as BatchNormThroughTime,
    TemporalEffectiveBatchNorm as TemporalEffectiveBatchNorm,
    ThresholdDependentBatchNorm as ThresholdDependentBatchNorm,
)
from ._calibration import calibrate as calibrate, lsuv as lsuv
from ._check import check_layer as check_layer
from ._collect import AbstractCollector as AbstractCollector
from ._collectors import (
    At as At,
    FirstSpike as FirstSpike,
    Last as Last,
    Max as Max,
    Mean as Mean,
    Sum as Sum,
    Traces as Traces,
    Trains as Trains,
    Window as Window,
)
from ._container import Container as Container, States as States
from ._delay import Delay as Delay
from ._diagnosis import Diagnosis as Diagnosis, diagnose as diagnose
from ._double_exp import DoubleExpLIF as DoubleExpLIF
from ._dropout import SequenceDropout as SequenceDropout
from ._each import Each as Each
from ._eif import EIF as EIF, AdEx as AdEx
from ._estimate_norms import estimate_norms as estimate_norms
from ._filter import UnityGain as UnityGain, decay as decay
from ._gated import SpikingConvLSTM2d as SpikingConvLSTM2d, SpikingGRU as SpikingGRU, SpikingLSTM as SpikingLSTM
from ._graded import GradedSpikes as GradedSpikes
from ._graph import Graph as Graph
from ._iaf import IAF as IAF, SimpleIAF as SimpleIAF
from ._initialisation import fluctuation_init as fluctuation_init, initialise as initialise
from ._izhikevich import Izhikevich as Izhikevich
from ._layer import StatefulLayer as StatefulLayer
from ._li import LI as LI, SimpleLI as SimpleLI
from ._lif import LIF as LIF, SimpleLIF as SimpleLIF
from ._merge import AbstractMerge as AbstractMerge, Add as Add, Concatenate as Concatenate
from ._parallel import Parallel as Parallel, Residual as Residual
from ._phasor import Phasor as Phasor, PhasorLinear as PhasorLinear, SpikingPhasor as SpikingPhasor
from ._plan import (
    AbstractPlan as AbstractPlan,
    Chunked as Chunked,
    LayerByLayer as LayerByLayer,
    StepByStep as StepByStep,
)
from ._pooling import (
    Flatten as Flatten,
    SpikingMaxPool1d as SpikingMaxPool1d,
    SpikingMaxPool2d as SpikingMaxPool2d,
    SumPool1d as SumPool1d,
    SumPool2d as SumPool2d,
)
from ._precision import in_precision as in_precision
from ._psn import PSN as PSN, SlidingPSN as SlidingPSN
from ._qif import QIF as QIF
from ._recurrent import Recurrent as Recurrent
from ._reset import (
    AbstractReset as AbstractReset,
    DelayedSubtractReset as DelayedSubtractReset,
    NoReset as NoReset,
    ResetToValue as ResetToValue,
    SubtractReset as SubtractReset,
)
from ._resonate_and_fire import (
    BalancedResonateAndFire as BalancedResonateAndFire,
    ResonateAndFire as ResonateAndFire,
)
from ._scale import Scale as Scale
from ._sequential import Sequential as Sequential
from ._short_term_plasticity import ShortTermPlasticity as ShortTermPlasticity
from ._sigma_delta import SigmaDelta as SigmaDelta
from ._source import PoissonSource as PoissonSource, SpikeSource as SpikeSource
from ._spiking import SpikingLayer as SpikingLayer
from ._srm import SRM as SRM
from ._state_space import LRU as LRU, S5 as S5
from ._summary import Summary as Summary, summary as summary
from ._threshold import Threshold as Threshold
from ._topology import Edge as Edge
from ._trace_pooling import TraceMaxPool1d as TraceMaxPool1d, TraceMaxPool2d as TraceMaxPool2d
from ._two_compartment import TwoCompartment as TwoCompartment
from ._unpack import Unpack as Unpack
from ._weight_standardisation import WeightStandardised as WeightStandardised
from ._winner_take_all import WinnerTakeAll as WinnerTakeAll

_ORIGINAL = {
    "flatten": "a layer: `snn.Flatten()`",
    "LIFSoftReset": "`snn.LIF(decay_constants, reset=snn.SubtractReset())`",
    "CompoundLayer": "`snn.Sequential`, which may stand inside of another one",
    "GraphStructure": "`snn.Graph`",
    "StatefulModel": "`snn.Graph`",
    "SequentialLocalFeedback": "`snn.Recurrent`",
    "ResNetBlock": "`snn.Residual`",
}
"""Names of the original SNNAX, and what they are here."""


def __getattr__(name: str):
    if name in _ORIGINAL:
        raise AttributeError(f"`snnax.snn` has no `{name}`; it is {_ORIGINAL[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
