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
        least: shortest length over the longest, where they are uniform; 1: lognormal.
        most_input: longest prompt, tokens.
        most_total: longest prompt and output together, tokens.
        rate_per_s: arrivals a second; None: all there at the start.
        burstiness: gamma shape of the gaps, as in vLLM's benchmark: 1 is a Poisson process, below it
            arrivals come in bursts (gaps have a coefficient of variation of 1 / √burstiness), and
            infinite where they are constant.
        seed: the same seed gives the same requests.

    """

    n: int
    input_tokens: float
    output_tokens: float
    input_cv: float = 0.0
    output_cv: float = 0.0
    least: float = 1.0
    most_input: float = np.inf
    most_total: float = np.inf
    rate_per_s: float | None = None
    burstiness: float = 1.0
    seed: int = 0


def draw(d: Drawn) -> Requests:
    """Draw requests, once: at any rate they can be replayed faster.

    Lengths are quantiles of their distribution in random order, so that few requests have its mean.

    Args:
        d: means of lengths in tokens with their spread, arrivals a second, how many, and the seed.

    """
    rng = np.random.default_rng(d.seed)
    given = _lengths(rng, d.input_tokens, d.input_cv, d)
    made = _lengths(rng, d.output_tokens, d.output_cv, d)
    if np.isfinite(d.most_input):
        given = _to_mean(np.minimum(given, d.most_input), d.input_tokens)
        made = _to_mean(np.minimum(made, d.most_total - given), d.output_tokens)
    input_tokens, output_tokens = _whole(given), _whole(made)
    if d.rate_per_s is None:
        return Requests(np.zeros(d.n), input_tokens, output_tokens)
    if np.isinf(d.burstiness):
        return Requests(np.arange(d.n) / d.rate_per_s, input_tokens, output_tokens)
    gaps = rng.gamma(d.burstiness, 1 / (d.rate_per_s * d.burstiness), d.n)
    return Requests(np.cumsum(gaps), input_tokens, output_tokens)


def _lengths(rng: np.random.Generator, mean: float, cv: float, d: Drawn) -> Floats:
    """Draw lengths of a mean."""
    if d.least < 1:
        longest = 2 * mean / (1 + d.least)
        return rng.permutation(longest * (d.least + (1 - d.least) * _quantiles(d.n)))
    if cv == 0:
        return np.full(d.n, mean)
    sd = np.sqrt(np.log1p(cv**2))
    drawn = np.exp(sd * normal_quantile(_quantiles(d.n)))
    return rng.permutation(_to_mean(drawn, mean))


def _quantiles(n: int) -> Floats:
    return (np.arange(n) + 0.5) / n


def normal_quantile(p: Floats) -> Floats:
    """Return Φ⁻¹(p).  [Wichura's AS 241, of the standard library]

    Args:
        p: probabilities, each between 0 and 1: dimensionless.

    """
    from statistics import NormalDist

    inverse = NormalDist().inv_cdf
    return np.array([inverse(x) for x in p.tolist()])


def _to_mean(lengths: Floats, mean: float) -> Floats:
    return np.asarray(lengths * (mean / lengths.mean()))


def _whole(lengths: Floats) -> Ints:
    """Return whole lengths, one token at least."""
    return np.maximum(np.rint(lengths), 1).astype(np.int64)


def part_way(requests: Requests, n: int, seed: int = 0) -> Requests:
    """Return the requests with the first `n` part-way through their output.

    Those that a service meets in flight: their rest is spread evenly over their output.

    Args:
        requests: arrivals in s, lengths in tokens, a request each.
        n: a count, those in flight at the start.
        seed: of the order.

    """
    n = min(n, len(requests))
    done = np.random.default_rng(seed).permutation(_quantiles(n))
    left = requests.output_tokens.copy()
    left[:n] = np.ceil(left[:n] * done)
    return replace(requests, output_tokens=left)


def fixed(n: int, input_tokens: int, output_tokens: int) -> Requests:
    """Return `n` requests of one length, all there at the start.

    Args:
        n: a count, or counts.
        input_tokens: tokens of a prompt.
        output_tokens: tokens of an answer.

    """
    return draw(Drawn(n, input_tokens, output_tokens))
