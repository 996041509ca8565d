"""The requests of a run: when each arrives and how long it is; drawn, or as a trace recorded them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in order of arrival; in a closed loop, in the order they are sent."""

    arrival_s: Floats
    input_tokens: Ints
    output_tokens: Ints

    def __len__(self) -> int:
        return len(self.arrival_s)

    def every(self, n: int, offset: int) -> "Requests":
        """Return each n-th request from `offset`: one replica's share, dealt in turn.

        Args:
            n: a count, or counts.
            offset: place of the first.

        """
        return self.at(slice(offset, None, n))

    def at(self, rows: slice | NDArray[np.bool_] | Ints) -> "Requests":
        """Return the chosen requests.

        Args:
            rows: which requests, or rows of a step.

        """
        return Requests(self.arrival_s[rows], self.input_tokens[rows], self.output_tokens[rows])

    def faster(self, factor: float) -> "Requests":
        """Return the same requests, arriving `factor` times as often.

        Args:
            factor: how many times faster they come.

        """
        return replace(self, arrival_s=self.arrival_s / factor)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What requests are drawn from.

    Args:
        n: how many.
        input_tokens: prompt tokens of a request, mean.
        output_tokens: generated tokens of a request, mean.
        input_cv: standard deviation over mean of lognormal prompt lengths; 0: all alike.
        output_cv: and of outputs; chat traffic has a cv near 1.
        rate_per_s: arrivals a second; None: all there at the start.
        burstiness: gamma shape of the gaps, as in vLLM's benchmark: 1 is a Poisson process, below it
            arrivals come in bursts (gaps have a coefficient of variation of 1 / √burstiness).
        seed: the same seed gives the same requests.

    """

    n: int
    input_tokens: float
    output_tokens: float
    input_cv: float = 0.0
    output_cv: float = 0.0
    rate_per_s: float | None = None
    burstiness: float = 1.0
    seed: int = 0


def draw(d: Drawn) -> Requests:
    """Draw requests, once: at any rate they can be replayed faster.

    Args:
        d: means of lengths in tokens with their spread, arrivals a second, how many, and the seed.

    """
    rng = np.random.default_rng(d.seed)
    input_tokens = _lognormal(rng, d.input_tokens, d.input_cv, d.n)
    output_tokens = _lognormal(rng, d.output_tokens, d.output_cv, d.n)
    if d.rate_per_s is None:
        return Requests(np.zeros(d.n), input_tokens, output_tokens)
    gaps = rng.gamma(d.burstiness, 1 / (d.rate_per_s * d.burstiness), d.n)
    return Requests(np.cumsum(gaps), input_tokens, output_tokens)


def _lognormal(rng: np.random.Generator, mean: float, cv: float, n: int) -> Ints:
    """Draw whole lengths, one token at least."""
    if cv == 0:
        return np.full(n, round(mean), dtype=np.int64)
    variance = np.log1p(cv**2)
    drawn = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), n)
    return np.maximum(np.rint(drawn), 1).astype(np.int64)


def fixed(n: int, input_tokens: int, output_tokens: int) -> Requests:
    """Return `n` requests of one length, all there at the start.

    Args:
        n: a count, or counts.
        input_tokens: tokens of a prompt.
        output_tokens: tokens of an answer.

    """
    return draw(Drawn(n, input_tokens, output_tokens))
