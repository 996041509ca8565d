"""A training budget in FLOPs in place of a size: N and D, with the serving volume in the balance."""

from typing import Any

from planner.errors import Infeasible, SpecError, WrongType
from planner.inputs.law import law_for
from planner.inputs.training import MAX_TOKENS, MIN_TOKENS
from planner.law import ask
from planner.results import Split
from planner.units import count, show

MIN_PARAMS, MAX_PARAMS = 1e6, 1e13
MIN_FLOPS, MAX_FLOPS = (6 * n * d for n, d in ((MIN_PARAMS, MIN_TOKENS), (MAX_PARAMS, MAX_TOKENS)))


def sized(
    params: Any,
    tokens: Any,
    train_flops: str | float | None,
    serve_tokens: str | float | None,
    law: str | None = None,
) -> tuple[Any, Any, Split | None]:
    """Return size and tokens: as given, or what a budget is best spent on, with the split it is.

    Raises:
        Infeasible: the budget buys no model that can be asked about.
        SpecError: a size and a budget, or what is served without one.
        WrongType: neither.

    """
    if train_flops is None:
        if params is None:
            raise WrongType("neither a size nor a budget", hint='write recommend("3B", "100B")')
        if serve_tokens is not None:
            raise SpecError("--serve-tokens is of a budget", hint="give --train-flops too")
        return params, tokens, None
    size = {"--params": params, "--tokens": tokens}
    if given := [flag for flag, value in size.items() if value is not None]:
        raise SpecError(
            f"--train-flops chooses {' and '.join(given)}", hint="leave one of them out"
        )
    found = split(train_flops, serve_tokens or 0.0, law)
    return found.n_params, found.n_tokens, found


def split(
    train_flops: str | float, serve_tokens: str | float = 0.0, law: str | None = None
) -> Split:
    """Return the size and tokens that a training budget is best spent on.

    Args:
        train_flops: of the whole training, 6 N D: ``"1e22"``.
        serve_tokens: to be served afterwards in all: ``"1T"``; 0 for none.
        law: its name; None: the default.

    Raises:
        Infeasible: the budget buys no model of a size and tokens that can be asked about.
        SpecError: a value is malformed.

    Source: Sardana et al. 2024, arXiv 2401.00448.

    """
    flops = count(train_flops, "--train-flops")
    none = isinstance(serve_tokens, int | float) and serve_tokens == 0
    served = 0.0 if none else count(serve_tokens, "--serve-tokens")
    if not MIN_FLOPS <= flops <= MAX_FLOPS:
        raise Infeasible(
            f"--train-flops {flops:.3g} buys no model: 6 N D lies between {MIN_FLOPS:.2g} and "
            f"{MAX_FLOPS:.2g}",
            hint="give FLOPs, e.g. --train-flops 1e22; not FLOP/s, and not in units of 1e12",
        )
    spec, _ = law_for(law)
    found = ask.split(spec.columns(), flops, served)
    if not (MIN_PARAMS <= found.n <= MAX_PARAMS and MIN_TOKENS <= found.n_tokens <= MAX_TOKENS):
        raise Infeasible(
            f"--train-flops {flops:.3g} with {show(served)} served tokens asks for {show(found.n)} "
            f"parameters on {show(found.n_tokens)} tokens, which is outside what can be asked",
            hint="lower --serve-tokens or raise --train-flops",
        )
    return Split(
        train_flops=flops,
        serve_tokens=served,
        n_params=found.n,
        n_tokens=found.n_tokens,
        loss=found.loss,
        total_flops=found.total_flops,
        low_params=found.low_n,
        high_params=found.high_n,
        unserved_params=found.training_n,
        unserved_loss=found.training_loss,
    )
