"""The requests of a run: when each arrives and how long it is."""

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
        """Return each n-th request from `offset`: one replica's share, dealt in turn."""
        return self.at(slice(offset, None, n))

    def at(self, rows: slice | NDArray[np.bool_] | Ints) -> "Requests":
        """Return the chosen requests."""
        return Requests(self.arrival_s[rows], self.input_tokens[rows], self.output_tokens[rows])

    def faster(self, factor: float) -> "Requests":
        """Return the same requests, arriving `factor` times as often."""
        return replace(self, arrival_s=self.arrival_s / factor)


def fixed(n: int, input_tokens: int, output_tokens: int) -> Requests:
    """Return `n` requests of one length, all there at the start."""
    return Requests(
        np.zeros(n),
        np.full(n, input_tokens, dtype=np.int64),
        np.full(n, output_tokens, dtype=np.int64),
    )
