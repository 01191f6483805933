"""Arguments in the spelling of other libraries are refused with what they are here."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax import functional as F

KEY, X = jr.key(0), jnp.array([0.2, 0.9])
CASES = {
    "PSN": (lambda: snn.PSN(T=8, key=KEY), r"`snn.PSN` takes no 'T'\. 'T' is `steps`, of `snn.PSN`, here"),
    "MaskedPSN": (
        lambda: snn.PSN(8, k=2, lambda_init=0.0, key=KEY),
        "'k' is `order` here. 'lambda_init' is not needed",
    ),
    "a surrogate": (lambda: snn.PSN(8, key=KEY, surrogate_function=abs), "'surrogate_function' is `spike_fn` here"),
    "SlidingPSN": (
        lambda: snn.SlidingPSN(k=3),
        "`snn.SlidingPSN` takes no 'k'. 'k' is `order` here. It takes `order`,",
    ),
    "a decay": (lambda: snn.SlidingPSN(3, tau=2.0), "'tau' is not needed, as the weights are learned, here"),
    "a rate": (lambda: F.rate_code(KEY, X, num_steps=5), "`functional.rate_code` takes no .* is `steps` here"),
    "a gain": (lambda: F.rate_code(KEY, X, 5, gain=2.0), r"'gain' is `jnp.clip\(gain \* x \+ offset, 0, 1\)` in the"),
    "a latency": (lambda: F.latency_code(X, num_steps=5, normalize=True), "'num_steps' is .*'normalize' is what"),
    "a change": (lambda: F.delta_code(data=X), "`functional.delta_code` takes no 'data'. 'data' is `x`, of one ex"),
    "an angle": (lambda: F.angle_code(X, neuron_count=5), "'neuron_count' is `neurons` here"),
    "unheard of": (
        lambda: F.burst_code(X, 40, colour=1),
        "takes no 'colour'. It takes `x`, `steps`, `max_spikes`, `min",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_foreign_keyword_is_refused_with_what_it_is_here(case, unchecked):
    call, message = CASES[case]
    with pytest.raises(TypeError, match=message):
        call()


def test_what_answers_keeps_its_signature_and_its_documentation():
    assert list(inspect.signature(F.rate_code).parameters) == ["key", "x", "steps"]
    assert list(inspect.signature(snn.PSN).parameters) == ["steps", "order", "threshold", "spike_fn", "key"]
    assert F.rate_code.__doc__.startswith("Bernoulli") and snn.PSN.__init__.__doc__.startswith("**Arguments")


@pytest.mark.parametrize("name", ["rate_code", "poisson_code"])
def test_values_in_the_place_of_the_key_are_refused(name, unchecked):
    encode = getattr(F, name)
    for call in (lambda: encode(X, 50), lambda: encode(X, KEY, 50), lambda: jax.jit(encode, static_argnums=2)(X, X, 5)):
        with pytest.raises(
            TypeError, match=rf"`functional.{name}`: `key` must be .*It comes first: `{name}\(key, x, st"
        ):
            call()
    with pytest.raises(
        ValueError, match=rf"`functional.{name}`: `key` must be one key.*`jax.vmap\(functional.{name}, "
    ):
        encode(jr.split(KEY, 3), X, 5)
    assert encode(jr.key(1), X, 5).shape == (5, 2)


def test_keys_of_the_old_kind_and_of_a_batch_are_taken():
    np.testing.assert_array_equal(F.rate_code(jr.PRNGKey(1), X, 5), F.rate_code(jr.key(1), X, 5))
    keys, xs = jr.split(KEY, 3), jnp.stack([X] * 3)
    assert eqx.filter_jit(jax.vmap(F.rate_code, in_axes=(0, 0, None)))(keys, xs, 5).shape == (3, 5, 2)
