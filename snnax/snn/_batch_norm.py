"""Batch normalisation: moments of the batch in training, statistics that live in the model in inference."""

import abc
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from .._parameter import POSITIVE, Fixed, acting, as_parameter, check_shapes, parameter
from ._collectors import float32_at_least
from ._filter import Parameter
from ._layer import StatefulLayer, name_of
from ._spiking import in_activation_dtype


class StepState(eqx.Module):
    """The state of a layer whose parameters differ from step to step: the number of the next one, from 0."""

    step: Array


class AbstractBatchNorm(StatefulLayer):
    r"""What the batch normalisations share.

    $$\hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}$$

    for every channel (axis 0 of an example), with $\sigma^2$ the mean of the squared distances from $\mu$. In training,
    $\mu$ and $\sigma^2$ are moments of the batch, which is the axis of `jax.vmap` that `axis_name` names:

        model = snn.Sequential(eqx.nn.Conv2d(2, 8, 3, key=key), snn.BatchNorm(8), snn.LIF([0.95, 0.9]))
        batched = jax.vmap(model, in_axes=(None, 0), axis_name="batch")

    In inference they are `mean` and `variance` of the model, which no run changes. Estimate them once after training,
    or before each evaluation:

        model = snn.estimate_norms(model, batches)
        model = eqx.nn.inference_mode(model)
    """

    weight: Array | None
    bias: Array | None
    mean: Fixed
    variance: Fixed
    averages_over_time: ClassVar[bool] = False
    """Whether the moments are those of all steps of a sequence together, not of each."""

    size: int = eqx.field(static=True)
    axis_name: str | None = eqx.field(static=True)
    eps: float = eqx.field(static=True)
    inference: bool
    estimated: bool

    def __init__(
        self,
        size: int,
        axis_name: str | None = "batch",
        *,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        inference: bool = False,
    ):
        r"""**Arguments:**

        - `size`: the number of channels, axis 0 of an example.
        - `axis_name`: the name of the batch, as in `jax.vmap(..., axis_name="batch")`. `None`: the moments are those of
            one example, which must have more than one value in each mean. Default `"batch"`.
        - `eps`: $\epsilon > 0$. Default 1e-5.
        - `use_weight`, `use_bias`: whether there are a trained factor, 1 at first, and a trained summand, 0 at first,
            for each channel. Default `True`.
        - `inference`: whether the statistics of the model are used. `eqx.nn.inference_mode(model)` sets it. Default
            `False`.
        """
        owner = name_of(self)
        check_count(owner, "size", "of channels", size)
        if axis_name is not None and not isinstance(axis_name, str):
            raise TypeError(f"`{owner}`: `axis_name` must be the name of the batch axis or None, got {axis_name!r}.")
        if not isinstance(eps, (int, float)) or not 0 < eps < math.inf:
            raise ValueError(f"`{owner}`: `eps` must be a number in (0, inf), got {eps!r}.")
        self.weight = jnp.ones(size) if use_weight else None
        self.bias = jnp.zeros(size) if use_bias else None
        self.mean = Fixed(jnp.zeros(size))
        self.variance = Fixed(jnp.ones(size))
        self.size = size
        self.axis_name = axis_name
        self.eps = float(eps)
        self.inference = inference
        self.estimated = False

    @abc.abstractmethod
    def rescale(self, x: Array, step: Array | None) -> Array:
        """The output from the normalised `x`, `(time, *in_shape)`, whose first step has the number `step`."""

    @property
    def whole_sequence(self) -> bool:
        return self.averages_over_time and not self.inference

    @property
    def for_single_steps(self) -> str:
        return "It takes single steps after `eqx.nn.inference_mode(model)`."

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> StepState | None:
        """None, but for the number of the step where parameters differ from step to step."""
        if not in_shape or in_shape[0] != self.size:
            raise ValueError(
                f"`{name_of(self)}`: `size={self.size}` must be the number of channels, axis 0 of an example, but the "
                f"layer is given inputs of shape {tuple(in_shape)}."
            )
        check_shapes(name_of(self), self, tuple(in_shape))
        return None

    def __call__(
        self, state: StepState | None, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[StepState | None, Array]:
        """**Arguments:** `x`: `(size, *space)`. `key` is ignored. **Returns:** the state, and `x` normalised."""
        x = jnp.asarray(x)
        if not self.whole_sequence:
            self._check_count(x[None].shape)
        state, outs = self._normalise(state, x[None])
        return state, outs[0]

    def over_time(
        self, state: StepState | None, xs: Array, *, keys: Array | None = None
    ) -> tuple[StepState | None, Array]:
        """All steps at once. **Arguments** and **returns** as for every layer."""
        self._check_count(xs.shape)
        return self._normalise(state, xs)

    def statistics(self, step: Array | None, steps: int) -> tuple[Array, Array]:
        """The mean and the variance for inference, `(time or 1, size)`."""
        if not self.estimated:
            raise ValueError(
                f"`{name_of(self)}` is in inference mode but has no statistics yet. Estimate them first: "
                "`model = snn.estimate_norms(model, batches)`."
            )
        return self.mean.value[None], self.variance.value[None]

    def _normalise(self, state: StepState | None, xs: Array) -> tuple[StepState | None, Array]:
        if jnp.issubdtype(xs.dtype, jnp.complexfloating):
            raise TypeError(f"`{name_of(self)}` takes real inputs, got {xs.dtype}.")
        x = xs.astype(float32_at_least(xs.dtype))
        state, step = self._count(state, xs.shape[0])
        if self.inference:
            mean, variance = (aligned(a, x) for a in self.statistics(step, xs.shape[0]))
        else:
            mean, variance = self._moments(x)
        out = self.rescale((x - mean) / jnp.sqrt(variance + self.eps), step)
        return state, in_activation_dtype(out, xs)

    def _count(self, state: StepState | None, steps: int) -> tuple[StepState | None, Array | None]:
        """The state after `steps` steps, and the number of the first of them."""
        return state, None

    def _moments(self, x: Array) -> tuple[Array, Array]:
        axes = tuple(i for i in range(x.ndim) if i != 1 and (i > 1 or self.averages_over_time))

        def average(x):
            mean = jnp.mean(x, axes, keepdims=True)
            return mean if self.axis_name is None else jax.lax.pmean(mean, self.axis_name)

        mean = average(x)
        return mean, average(jnp.square(x - mean))

    def _check_count(self, shape: tuple[int, ...]) -> None:
        """Refuses moments of a single value, in training."""
        if self.inference:
            return
        owner = name_of(self)
        count = math.prod(shape[2:]) * (shape[0] if self.averages_over_time else 1)
        try:
            examples = 1 if self.axis_name is None else jax.lax.axis_size(self.axis_name)
        except NameError:
            raise ValueError(
                f"`{owner}`: in training it averages over a batch axis of the name {self.axis_name!r}, and there is "
                f"none. Use `jax.vmap(model, in_axes=(None, 0), axis_name={self.axis_name!r})`; for inference "
                "`eqx.nn.inference_mode(model)`."
            ) from None
        if count * examples == 1:
            remedy = "Name the batch axis by `axis_name`." if self.axis_name is None else "Give a larger batch."
            raise ValueError(
                f"`{owner}`: there is only one value for each channel to average over, so nothing is left of it. "
                f"{remedy}"
            )


class BatchNorm(AbstractBatchNorm):
    r"""Batch normalisation of each step by its own moments, with one weight, bias and set of statistics for all steps.

    $$y_t = \gamma\,\frac{x_t - \mu_t}{\sqrt{\sigma_t^2 + \epsilon}} + \beta$$

    with $\mu_t, \sigma_t^2$ over batch and space at step $t$; in inference, those of all steps together. It is what a
    batch normalisation of torch does inside of a loop over time, and it runs under every plan and in cycles.

    Source: S. Ioffe and C. Szegedy 2015, arXiv:1502.03167.
    """

    def rescale(self, x: Array, step: Array | None) -> Array:
        return affine(x, self.weight, self.bias)


class ThresholdDependentBatchNorm(AbstractBatchNorm):
    r"""Batch normalisation over time as well, scaled to the threshold of the neurons behind it: tdBN.

    $$y = \gamma\,\alpha\theta\,\frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta$$

    with $\mu, \sigma^2$ over batch, time and space. In training it needs the whole sequence: it is refused, by name,
    under step-wise plans, in cycles, and with `burnin` and `truncate`.

    Source: H. Zheng et al. 2021, arXiv:2011.05280.
    """

    averages_over_time: ClassVar[bool] = True

    threshold: Parameter = parameter(POSITIVE)
    alpha: Parameter = parameter(POSITIVE)

    def __init__(
        self,
        size: int,
        axis_name: str | None = "batch",
        *,
        threshold: Parameter = 1.0,
        alpha: Parameter = 1.0,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        inference: bool = False,
    ):
        r"""**Arguments:**

        - `threshold`: $\theta > 0$, that of the neurons behind it. Default 1.
        - `alpha`: $\alpha > 0$; in the source 1, and $1/\sqrt 2$ in both branches of a residual block. Default 1.
        - `size`, `axis_name`, `eps`, `use_weight`, `use_bias`, `inference`: see `snn.BatchNorm`.
        """
        super().__init__(size, axis_name, eps=eps, use_weight=use_weight, use_bias=use_bias, inference=inference)
        self.threshold = as_parameter("snn.ThresholdDependentBatchNorm", "threshold", threshold, POSITIVE)
        self.alpha = as_parameter("snn.ThresholdDependentBatchNorm", "alpha", alpha, POSITIVE)

    def rescale(self, x: Array, step: Array | None) -> Array:
        scale = acting(self.alpha, x.dtype, POSITIVE) * acting(self.threshold, x.dtype, POSITIVE)
        return affine(scale * x, self.weight, self.bias)


class _StepwiseBatchNorm(AbstractBatchNorm):
    """A batch normalisation with parameters of its own for each of so many steps."""

    steps: int = eqx.field(static=True)

    def __init__(self, size: int, steps: int, axis_name: str | None, **options: Any):
        super().__init__(size, axis_name, **options)
        check_count(name_of(self), "steps", "of time steps", steps)
        self.steps = steps

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> StepState:
        """The number of the first step: 0."""
        super().init_state(in_shape, key)
        return StepState(jnp.zeros((), jnp.int32))

    def _count(self, state: StepState, steps: int) -> tuple[StepState, Array]:
        owner = name_of(self)
        last = state.step + steps
        too_long = (
            f"`{owner}` has parameters for `steps={self.steps}` steps, but the sequence goes on. Give it `steps=` as "
            "many as the longest sequence has, or start from new states: `model.init_state(in_shape)`."
        )
        if steps > self.steps or (not isinstance(last, Tracer) and int(last) > self.steps):
            raise ValueError(too_long)
        step = eqx.error_if(state.step, last > self.steps, too_long)
        return StepState(step + steps), step


class BatchNormThroughTime(_StepwiseBatchNorm):
    r"""Batch normalisation with weights and statistics of its own for each step: BNTT.

    $$y_t = \gamma_t\,\frac{x_t - \mu_t}{\sqrt{\sigma_t^2 + \epsilon}}$$

    with $\mu_t, \sigma_t^2$ over batch and space at step $t$; in inference, those of that step. The state holds the
    number of the step, and sequences longer than `steps` are refused.

    Source: Y. Kim and P. Panda 2021, doi:10.3389/fnins.2021.773954.
    """

    def __init__(
        self,
        size: int,
        steps: int,
        axis_name: str | None = "batch",
        *,
        eps: float = 1e-5,
        use_weight: bool = True,
        inference: bool = False,
    ):
        """**Arguments:**

        - `steps`: the length of the longest sequence.
        - `size`, `axis_name`, `eps`, `use_weight`, `inference`: see `snn.BatchNorm`.
        """
        super().__init__(size, steps, axis_name, eps=eps, use_weight=use_weight, use_bias=False, inference=inference)
        self.weight = jnp.ones((steps, size)) if use_weight else None
        self.mean = Fixed(jnp.zeros((steps, size)))
        self.variance = Fixed(jnp.ones((steps, size)))

    def statistics(self, step: Array, steps: int) -> tuple[Array, Array]:
        means, variances = super().statistics(step, steps)
        return taken(means[0], step, steps), taken(variances[0], step, steps)

    def rescale(self, x: Array, step: Array) -> Array:
        return x if self.weight is None else aligned(taken(self.weight, step, x.shape[0]), x) * x


class TemporalEffectiveBatchNorm(_StepwiseBatchNorm):
    r"""Batch normalisation over time as well, with a trained factor for each step: TEBN.

    $$y_t = p_t\,\Big(\gamma\,\frac{x_t - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta\Big)$$

    with $\mu, \sigma^2$ over batch, time and space. In training it needs the whole sequence: it is refused, by name,
    under step-wise plans, in cycles, and with `burnin` and `truncate`. The state holds the number of the step, and
    sequences longer than `steps` are refused.

    Source: C. Duan, J. Ding, S. Chen, Z. Yu and T. Huang 2022, NeurIPS 35.
    """

    averages_over_time: ClassVar[bool] = True

    step_weight: Array

    def __init__(
        self,
        size: int,
        steps: int,
        axis_name: str | None = "batch",
        *,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        inference: bool = False,
    ):
        """**Arguments:**

        - `steps`: the length of the longest sequence.
        - `size`, `axis_name`, `eps`, `use_weight`, `use_bias`, `inference`: see `snn.BatchNorm`.
        """
        super().__init__(size, steps, axis_name, eps=eps, use_weight=use_weight, use_bias=use_bias, inference=inference)
        self.step_weight = jnp.ones(steps)

    def rescale(self, x: Array, step: Array) -> Array:
        factors = taken(self.step_weight[:, None], step, x.shape[0])
        return aligned(factors, x) * affine(x, self.weight, self.bias)


def affine(x: Array, weight: Array | None, bias: Array | None) -> Array:
    """`weight * x + bias` for `x` of shape `(time, size, *space)`."""
    out = x if weight is None else aligned(weight[None], x) * x
    return out if bias is None else out + aligned(bias[None], x)


def aligned(rows: Array, x: Array) -> Array:
    """`(time or 1, size or 1)` as what broadcasts to `x`, `(time, size, *space)`, in its dtype."""
    return rows.reshape(rows.shape + (1,) * (x.ndim - 2)).astype(x.dtype)


def taken(rows: Array, step: Array, steps: int) -> Array:
    """The rows of `steps` steps from the number `step` on."""
    return jax.lax.dynamic_slice_in_dim(rows, step, steps)


def check_count(owner: str, name: str, what: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{owner}`: `{name}` must be a number {what}, 1 or more, got {value!r}.")
