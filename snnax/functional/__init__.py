"""Functions without state: arrays in, arrays out, of one example.

- `surrogate`: the derivatives that stand in for that of the spike.
- Losses: `cross_entropy`, `class_mse`, `first_spike_cross_entropy`, `first_spike_mse`; for padded sequences
  `length_mask`, `masked_mean`. Several neurons for a class: `population_sum`, `population_mean`.
- Distances between spike trains: `van_rossum`, `victor_purpura`.
- Penalties on activity: `l1_rate`, `l2_rate`, `lower_rate`, `upper_rate`, `silence_penalty`, `sparsity_penalty`.
- Metrics: `accuracy`, `votes`, `firing_rate`, `sparsity`, `isi_cv`, `synchrony`.
"""

from . import surrogate as surrogate
from ._distances import van_rossum as van_rossum, victor_purpura as victor_purpura
from ._losses import (
    class_mse as class_mse,
    cross_entropy as cross_entropy,
    first_spike_cross_entropy as first_spike_cross_entropy,
    first_spike_mse as first_spike_mse,
    length_mask as length_mask,
    masked_mean as masked_mean,
)
from ._metrics import (
    accuracy as accuracy,
    firing_rate as firing_rate,
    isi_cv as isi_cv,
    sparsity as sparsity,
    synchrony as synchrony,
    votes as votes,
)
from ._population import population_mean as population_mean, population_sum as population_sum
from ._regularisers import (
    l1_rate as l1_rate,
    l2_rate as l2_rate,
    lower_rate as lower_rate,
    silence_penalty as silence_penalty,
    sparsity_penalty as sparsity_penalty,
    upper_rate as upper_rate,
)
