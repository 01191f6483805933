"""One value told by many neurons, each of which is tuned to a part of the range."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from .._parameter import Interval
from ._encoding import as_count, as_signal, encoder, widened


def _as_range(owner: str, low: int | float, high: int | float) -> Interval:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`{owner}`: the range must be `low` < `high`, got {low} and {high}.")
    return Interval(low, high, "Give `low=` and `high=` that hold all values.")


@encoder
def gaussian_receptive_fields(
    x: Shaped[ArrayLike, "..."],
    neurons: int,
    *,
    low: int | float = 0.0,
    high: int | float = 1.0,
    beta: int | float = 1.5,
) -> Float[Array, "... neurons"]:
    r"""How much each of $m$ neurons with overlapping Gaussian tuning curves is driven by a value.

    $$r_i = \exp\Big(-\frac{(x - c_i)^2}{2 \sigma^2}\Big), \qquad
      c_i = a + \frac{2 i - 3}{2} \cdot \frac{b - a}{m - 2}, \quad i = 1, \ldots, m, \qquad
      \sigma = \frac{1}{\beta} \cdot \frac{b - a}{m - 2}$$

    The drives are in [0, 1] and have no time axis; a code makes spikes of them. That of the source is
    `latency_code(gaussian_receptive_fields(x, neurons), steps, threshold=0.1)`.

    Source: S. Bohte, J. Kok and H. La Poutré 2002, doi:10.1016/S0925-2312(01)00658-0.

    **Arguments:**

    - `x`: in [`low`, `high`], of any shape. Other values are refused; where they are traced and cannot be seen, they
        drive the neurons at the edge, the less the further they are.
    - `neurons`: $m$, 3 or more for each value. The first and the last have their centres outside of the range.
    - `low`, `high`: $a < b$, the range of the values.
    - `beta`: $\beta$, positive: the larger, the narrower. The source uses 1 to 2.

    **Returns:** `(*x.shape, neurons)`, in the dtype of `x`.
    """
    owner = "functional.gaussian_receptive_fields"
    x = as_signal(owner, x, _as_range(owner, low, high))
    neurons = as_count(owner, "neurons", neurons, 3)
    if not beta > 0:
        raise ValueError(f"`{owner}`: `beta` must be positive, got {beta}.")
    wide = widened(x)
    spacing = (high - low) / (neurons - 2)
    centres = low + (jnp.arange(neurons, dtype=wide.dtype) - 0.5) * spacing
    return jnp.exp(-0.5 * ((wide[..., None] - centres) * (beta / spacing)) ** 2).astype(x.dtype)


@encoder
def angle_code(
    x: Shaped[ArrayLike, "..."], neurons: int, *, low: int | float = -math.pi, high: int | float = math.pi
) -> Float[Array, "... neurons"]:
    r"""One active neuron of $m$: that in whose part of the range the value is.

    $$r_i = [i = \lfloor m\,(x - a) / (b - a) \rfloor], \qquad i = 0, \ldots, m - 1$$

    and the last neuron for $x = b$. There is no time axis: `direct_code(angle_code(x, neurons), steps)`.

    **Arguments:**

    - `x`: in [`low`, `high`], of any shape. Other values are refused; where they are traced and cannot be seen, no
        neuron is active.
    - `neurons`: $m$, for each value.
    - `low`, `high`: $a < b$, the range; by default that of an angle in radians.

    **Returns:** 0 and 1, `(*x.shape, neurons)`, in the dtype of `x`.
    """
    x = as_signal("functional.angle_code", x, _as_range("functional.angle_code", low, high))
    neurons = as_count("functional.angle_code", "neurons", neurons)
    wide = widened(x)
    part = jnp.minimum(jnp.floor(neurons * (wide - low) / (high - low)), neurons - 1)
    return jax.nn.one_hot(jnp.where(wide <= high, part, -1).astype(jnp.int32), neurons, dtype=x.dtype)
