"""Functions without state: arrays in, arrays out, of one example.

- `surrogate`: the derivatives that stand in for that of the spike.
- Losses: `cross_entropy`, `class_mse`, `first_spike_cross_entropy`, `first_spike_mse`; for padded sequences
  `length_mask`, `masked_mean`. Several neurons for a class: `population_sum`, `population_mean`.
- Distances between spike trains: `van_rossum`, `victor_purpura`.
- Penalties on activity: `l1_rate`, `l2_rate`, `lower_rate`, `upper_rate`, `silence_penalty`, `sparsity_penalty`.
- Metrics: `accuracy`, `votes`, `firing_rate`, `sparsity`, `isi_cv`, `synchrony`.

Encoders turn values into spikes, `(time, ...)`, of one example; a batch is `jax.vmap`, with a key for each example
where one is taken. `steps` is static under `jax.jit`. Values out of range are refused where they can be seen; what a
traced one does is said by each encoder. Spikes have the dtype of the values.

- Rates: `rate_code`, `poisson_code`, `direct_code` (a constant current).
- Times: `latency_code`, `log_latency_code`, `phase_code` and `phase_weights`, `burst_code`.
- Phases, those of phasors: `phase_to_spikes`; back by `spikes_to_phase`.
- Changes: `delta_code`, `send_on_delta`, `step_forward`; back by `step_forward_decode`.
- Filtered: `bsa`; back by `bsa_decode`.
- Many neurons for one value: `gaussian_receptive_fields`, `angle_code`.
- Sound: `mel_filterbank`, `mel_spectrogram`.
- Targets of a read-out: `rate_targets`, `latency_targets`. One-hot and back: `jax.nn.one_hot`, `jnp.argmax`.
"""

from . import surrogate as surrogate
from ._audio import mel_filterbank as mel_filterbank, mel_spectrogram as mel_spectrogram
from ._ben_spiker import bsa as bsa, bsa_decode as bsa_decode
from ._change_coding import (
    delta_code as delta_code,
    send_on_delta as send_on_delta,
    step_forward as step_forward,
    step_forward_decode as step_forward_decode,
)
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
from ._phase import phase_to_spikes as phase_to_spikes, spikes_to_phase as spikes_to_phase
from ._population import population_mean as population_mean, population_sum as population_sum
from ._rate_coding import direct_code as direct_code, poisson_code as poisson_code, rate_code as rate_code
from ._receptive_fields import angle_code as angle_code, gaussian_receptive_fields as gaussian_receptive_fields
from ._regularisers import (
    l1_rate as l1_rate,
    l2_rate as l2_rate,
    lower_rate as lower_rate,
    silence_penalty as silence_penalty,
    sparsity_penalty as sparsity_penalty,
    upper_rate as upper_rate,
)
from ._targets import latency_targets as latency_targets, rate_targets as rate_targets
from ._temporal_coding import (
    burst_code as burst_code,
    latency_code as latency_code,
    log_latency_code as log_latency_code,
    phase_code as phase_code,
    phase_weights as phase_weights,
)
