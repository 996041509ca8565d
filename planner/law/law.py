"""The loss law: reference x shape, then the terms a caller has switched on."""

from dataclasses import replace
from typing import Any

from planner.columns import Arch
from planner.cost import params
from planner.equation import equation, exp
from planner.errors import SpecError, UnknownName
from planner.law.columns import LawColumns, NDefinition, Shapes
from planner.law.terms import SWITCHES, TERMS
from planner.law.terms.term import Acts
from planner.units import Scalar


@equation
def loss(law: LawColumns, arch: Arch, n_tokens: Scalar) -> Scalar:
    """Expected loss of a shape after `n_tokens`, nats per token: what a search ranks by.

    Args:
        law: coefficients of a law, and the terms switched on.
        arch: the shape, numbers or columns of shape (n,).
        n_tokens: training tokens, a count.

    """
    return predict_loss(law, shapes(law, arch, n_tokens))


def predict_loss(law: LawColumns, s: Shapes) -> Any:
    """Return the expected loss of each candidate in nats per token.

    Args:
        law: coefficients and switches; scalars, or draws of shape (n_draws, 1).
        s: candidates, columns of shape (n,).

    Returns:
        Shape (n,), or (n_draws, n) where `law` holds draws.

    """
    on = [term for term in TERMS if term.on(law, s)]

    def effects(acts: Acts, of: Shapes) -> list[Any]:
        return [term.effect(law, of) for term in on if term.acts is acts]

    n = s.n * exp(sum(ln)) if (ln := effects(Acts.LN_PARAMS, s)) else s.n
    n_tokens = s.n_tokens * exp(sum(ln)) if (ln := effects(Acts.LN_TOKENS, s)) else s.n_tokens
    (loss,) = effects(Acts.REFERENCE, replace(s, n=n, n_tokens=n_tokens))
    for factor in effects(Acts.FACTOR, s):
        loss = loss * factor
    for nats in effects(Acts.NATS, s):
        loss = loss + nats
    return loss


def switched(law: LawColumns, **switches: float | None) -> LawColumns:
    """Return `law` with terms turned on: `depth=1, training_bits=8`; 0 or None leaves one off.

    Args:
        law: coefficients of a law.
        switches: by the names of `planner.law.terms.SWITCHES`, in their units.

    Raises:
        UnknownName: no term has such a switch.
        SpecError: the number is outside the switch's range.

    """
    asked = {name: float(value) for name, value in switches.items() if value}
    for name, value in asked.items():
        if name not in SWITCHES:
            raise UnknownName.among("switch of the loss law", name, SWITCHES)
        s = SWITCHES[name]
        if not s.low <= value <= s.high:
            raise SpecError(
                f"{name} = {value:g} is outside {s.low:g} to {s.high:g}",
                hint=f"{name}: {s.words}; 0 leaves it out",
            )
    return replace(law, switches=tuple(asked.items()))


@equation
def n_of(law: LawColumns, arch: Arch) -> Scalar:
    """Parameters of `arch` as the law counts them, those a token touches.

    Args:
        law: says which parameters count.
        arch: the shape, numbers or columns of shape (n,).

    """
    if law.n_definition is NDefinition.TOTAL:
        return params.n_active_params(arch)
    return params.n_active_params_non_embedding(arch)


@equation
def x_of(arch: Arch) -> Scalar:
    """d_model / sqrt(N), N the matrices' parameters that a token touches.

    Args:
        arch: the shape, numbers or columns of shape (n,).

    """
    return arch.d_model / params.n_active_params_non_embedding(arch) ** 0.5


def shapes(law: LawColumns, arch: Arch, n_tokens: Scalar) -> Shapes:
    """Return what the law needs to know of `arch`.

    Args:
        law: says which parameters count as N.
        arch: columns, one row a candidate.
        n_tokens: training tokens, a count.

    """
    return Shapes(
        n=n_of(law, arch),
        n_tokens=n_tokens,
        x=x_of(arch),
        r=params.mlp_attn_ratio(arch),
        gqa=params.gqa(arch),
        n_layers=arch.n_layers,
        head_dim=arch.head_dim,
        n_params_non_embedding=params.n_active_params_non_embedding(arch),
        n_experts=arch.n_experts,
        n_active_experts=arch.n_active_experts,
        arch=arch,
    )
