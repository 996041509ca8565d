"""Step times looked up: the cost model tabulated once, so that the simulation can ask a million times.

A step's operators look at its rows, its logits, its prompts' attention or its decoding attention,
each alone. So the time of any step is a sum of four tables of `step_s`, each filled where it varies:

    rows      every whole number: kernels are jagged in it
    logits    every whole number
    prompts   attention of a chunk, by its tokens and the keys each sees, in a logarithmic grid
    decoding  attention by sequences (every whole number) and context (a logarithmic grid)

Held to `step_s` by the tests, within 0.1 %.
"""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.columns import Step, System
from planner.cost.step import step_s

_PER_OCTAVE = 8
Floats = NDArray[np.float64]


def _grid(upto: float) -> Floats:
    """Return points from 1 to beyond `upto`, eight to a doubling."""
    return 2.0 ** (np.arange(math.ceil(math.log2(max(upto, 2.0))) * _PER_OCTAVE + 2) / _PER_OCTAVE)


class StepTimes:
    """Times of the steps one system can take, with contexts up to `max_context` tokens."""

    def __init__(self, system: System, max_context: float) -> None:
        self.system = system
        self._contexts = _grid(max_context)
        self._context_list = self._contexts.tolist()
        self._decode_rows: dict[int, list[float]] = {}

    def _seconds(self, **step: object) -> Floats:
        return np.asarray(step_s(self.system, Step(**step)), dtype=np.float64)

    @cached_property
    def _rows(self) -> list[float]:
        """Seconds of a step of so many rows and one sequence's logits, without attention's growth."""
        limits = self.system.limits
        n = int(max(limits.max_batched_tokens, 1) + limits.max_num_seqs) + 1
        rows = np.maximum(np.arange(n + 1.0), 1.0)
        return self._seconds(prefill_tokens=rows, prefill_seqs=1.0, prefill_context=1.0).tolist()  # type: ignore[no-any-return]

    @cached_property
    def _logits(self) -> list[float]:
        """Seconds that further sequences' logits add."""
        n = np.maximum(np.arange(2.0 * self.system.limits.max_num_seqs + 2), 1.0)
        t = self._seconds(prefill_tokens=1.0, prefill_seqs=n, prefill_context=1.0)
        return (t - t[1]).tolist()  # type: ignore[no-any-return]

    @cached_property
    def _prompts(self) -> list[list[float]]:
        """Seconds that attention to earlier keys adds to a chunk: a list by keys for each size."""
        tokens = _grid(max(len(self._rows), 2))[:, None]
        keys = self._contexts[None, :]
        grown = self._seconds(prefill_tokens=tokens, prefill_seqs=1.0, prefill_context=keys)
        bare = self._seconds(prefill_tokens=tokens, prefill_seqs=1.0, prefill_context=1.0)
        return (grown - bare).tolist()  # type: ignore[no-any-return]

    def bare(self, rows: int, logits: int) -> float:
        """Seconds of `rows` rows and `logits` logits, attention left out; beyond the table, exact."""
        try:
            return self._rows[rows] + self._logits[logits]
        except IndexError:
            step = {"prefill_tokens": float(rows), "prefill_seqs": float(max(logits, 1))}
            return float(self._seconds(**step, prefill_context=1.0))

    def prompt_attention(self, tokens: int, keys: float) -> float:
        """Seconds that `tokens` prompt tokens take to look at `keys` keys each."""
        table = self._prompts
        x = min(math.log2(tokens) * _PER_OCTAVE if tokens > 1 else 0.0, len(table) - 1.001)
        y = min(math.log2(keys) * _PER_OCTAVE if keys > 1 else 0.0, len(table[0]) - 1.001)
        i, j = int(x), int(y)
        x, y = x - i, y - j
        low, high = table[i], table[i + 1]
        near = low[j] + (low[j + 1] - low[j]) * y
        return near + (high[j] + (high[j + 1] - high[j]) * y - near) * x

    def decode(self, seqs: int, context: float) -> float:
        """Seconds of a step in which `seqs` sequences of mean `context` decode."""
        row = self._decode_rows.get(seqs)
        if row is None:
            t = self._seconds(decode_seqs=float(seqs), decode_context=self._contexts)
            row = self._decode_rows[seqs] = t.tolist()
        grid = self._context_list
        i = int(math.log2(context) * _PER_OCTAVE) if context > 1 else 0
        i = min(i, len(row) - 2)
        return row[i] + (row[i + 1] - row[i]) * (context - grid[i]) / (grid[i + 1] - grid[i])

    def mixed(self, tokens: int, keys: float, prompts: int, seqs: int, context: float) -> float:
        """Seconds of a step with `tokens` prompt tokens beside `seqs` decoding sequences.

        `keys` is the mean number a prompt token sees, `prompts` those that yield a token.
        """
        seconds = self.bare(tokens + seqs, prompts + seqs) + self.prompt_attention(tokens, keys)
        if seqs:
            seconds += self.decode(seqs, context) - self.bare(seqs, seqs)
        return seconds

    def run(self, seqs: int, context: float, steps: int) -> float:
        """Seconds of `steps` decode steps in a row, each a token further; Simpson's rule."""
        first = self.decode(seqs, context)
        if steps == 1:
            return first
        middle = self.decode(seqs, context + (steps - 1) / 2)
        last = self.decode(seqs, context + steps - 1)
        if steps == 2:
            return first + last
        # The sum over whole steps is the integral over half a step more at either end.
        ends = (first + last) / 2
        return steps * (ends + 2 * middle) / 3 + (ends - middle) * 2 / 3

    def steps_until(self, seqs: int, context: float, steps: int, seconds: float) -> int:
        """Return the fewest of `steps` decode steps that last at least `seconds`; else all."""
        if self.run(seqs, context, steps) < seconds:
            return steps
        low, high = 0, steps  # run(low) < seconds <= run(high)
        while high - low > 1:
            # Nearly linear in the steps: a secant guess brackets the answer in two or three rounds.
            below = self.run(seqs, context, low) if low else 0.0
            above = self.run(seqs, context, high)
            guess = low + int((high - low) * (seconds - below) / max(above - below, 1e-300))
            guess = min(max(guess, low + 1), high - 1)
            if self.run(seqs, context, guess) < seconds:
                low = guess
                if low + 1 < high and self.run(seqs, context, low + 1) >= seconds:
                    high = low + 1
            else:
                high = guess
        return high
