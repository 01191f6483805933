"""Surrogates made from functions, and values in place of the step."""

from collections.abc import Callable

from jaxtyping import Array

from ._surrogate import AbstractSurrogate, check_single


class Relaxed(AbstractSurrogate):
    r"""The smooth twin of a surrogate: its antiderivative in place of the step.

    $$s = H(x), \qquad h(x) = H'(x)$$

    No gradient is surrogate any more: finite differences see it, and a network can be trained from smooth to spiking.
    For surrogates of area 1 (`Sigmoid`, `Tanh`, `ArcTan`, `Exponential`, `Gaussian`, `Boxcar`) $s$ is in [0, 1]; of
    `EscapeNoise` it is the probability of a spike, without a key. There is no step after which a neuron could rest, so
    `refractory` is refused with it.

    **Arguments:** `surrogate`: any but `Ternary` and `MultiLevel`, which take a `Relaxed` inside of them.
    """

    surrogate: AbstractSurrogate

    def __check_init__(self):
        check_single("Relaxed", self.surrogate)

    def check_neuron(self, owner: str, height: float | None, refractory: int) -> None:
        if refractory:
            raise ValueError(
                f"`{owner}`: `refractory={refractory}` has no meaning with `surrogate.Relaxed`, whose values are not 0 "
                "or 1: the neuron would rest after every step. Leave it out, or take the surrogate inside."
            )

    def value(self, x: Array) -> Array:
        return self.surrogate.antiderivative(x)

    def derivative(self, x: Array) -> Array:
        return self.surrogate.derivative(x)

    def antiderivative(self, x: Array) -> Array:
        return self.surrogate.antiderivative(x)


class Custom(AbstractSurrogate):
    """A surrogate from any derivative, and, if asked, from any value in place of the step.

        surrogate.Custom(lambda x: jnp.exp(-jnp.sqrt(jnp.abs(x))))

    With `primal`, the value is no step at all; the smooth twin of a surrogate is `Relaxed`.
    """

    derivative_fn: Callable
    primal_fn: Callable | None

    def __init__(self, derivative: Callable[[Array], Array], *, primal: Callable[[Array], Array] | None = None):
        """**Arguments:**

        - `derivative`: the derivative $h$, an elementwise function that keeps the dtype.
        - `primal`: replaces the step $[x \\ge 0]$ as the value. Default: the step.
        """
        for name, function in (("derivative", derivative), ("primal", primal)):
            if not callable(function) and not (name == "primal" and function is None):
                raise TypeError(f"`surrogate.Custom`: `{name}` must be a function of one array, got {function!r}.")
        self.derivative_fn = derivative
        self.primal_fn = primal

    def value(self, x: Array) -> Array:
        return super().value(x) if self.primal_fn is None else self.primal_fn(x)

    def derivative(self, x: Array) -> Array:
        return self.derivative_fn(x)

    def antiderivative(self, x: Array) -> Array:
        """Raises `TypeError`: a derivative alone does not say how its integral depends on its parameters."""
        raise TypeError(
            "`surrogate.Custom` was made from a derivative alone, so its parameters cannot be trained and it cannot be "
            "relaxed. Give them as Python numbers (constants), or write a subclass of `surrogate.AbstractSurrogate` "
            "with an `antiderivative`."
        )
