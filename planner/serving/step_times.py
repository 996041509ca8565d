"""Step times looked up: the cost model tabulated once, so that the simulation can ask a million times.

A step's operators look at its rows, its logits, its prompts' attention or its decoding attention,
each alone. So what devices do in any step is a sum of four tables, each filled where it varies:

    rows      every whole number: kernels are jagged in it
    logits    every whole number
    prompts   attention and cache writes of a chunk, by its tokens and the keys each sees, in a
              logarithmic grid
    decoding  attention, by sequences (every whole number) and context (a logarithmic grid)

Held to `step_s` by the tests, within 0.1 %.
"""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.columns import Step, System
from planner.cost.step import OPERATORS, gaps_s, host_s, launching_s, seconds_of
from planner.serving.speculative import draft_system, engine_step_s

_ROWS, _LOGITS, _PROMPTS, _DECODING = (
    tuple(o for o in OPERATORS if o.looks_at == part)
    for part in ("rows", "logits", "prompts", "decoding")
)
_PER_OCTAVE = 16
Floats = NDArray[np.float64]


def _grid(upto: float) -> Floats:
    """Return points from 1 to beyond `upto`, sixteen to a doubling."""
    return 2.0 ** (np.arange(math.ceil(math.log2(max(upto, 2.0))) * _PER_OCTAVE + 2) / _PER_OCTAVE)


class StepTimes:
    """Times of the steps one system can take, with contexts up to `max_context` tokens."""

    def __init__(self, system: System, max_context: float) -> None:
        self.system = system
        self._contexts = _grid(max_context)
        self._grid_list = _grid(2.0**40).tolist()
        self._decode_rows: dict[int, tuple[list[float], list[float]]] = {}
        self._attention_rows: dict[int, list[float]] = {}
        self._draft: StepTimes | None = None
        if system.speculation is not None:
            self._draft = StepTimes(draft_system(system), max_context)
        limits = system.limits
        self._captured = float(limits.captured_prompt_rows)
        one_more = Step(prefill_tokens=self._captured + 1.0, prefill_seqs=1.0, prefill_context=1.0)
        alone, beside = one_more, replace(one_more, decode_seqs=1.0, decode_context=1.0)
        decoding = Step(decode_seqs=1.0, decode_context=1.0)
        self._launching = float(launching_s(system, decoding))
        self._launching_prompts = [float(launching_s(system, w)) for w in (alone, beside)]
        none, one = (float(host_s(system, Step(decode_seqs=n))) for n in (0.0, 1.0))
        self._async = float(system.limits.async_scheduling)
        self._host, self._host_each, self._gaps = none, one - none, float(gaps_s(system))

    def _bare(self, rows: object, logits: object) -> Floats:
        """Device seconds of rows and logits, without attention."""
        step = Step(prefill_tokens=rows, prefill_seqs=logits, prefill_context=1.0)
        return np.asarray(seconds_of(_ROWS + _LOGITS, self.system, step), dtype=np.float64)

    def _whole(self, device_s: float, logits: int, launching_s: float) -> float:
        """Return the step's time, given what its devices do and the host needs to launch it."""
        host_s = self._host + self._host_each * logits
        hidden_s = self._async * host_s
        return max(max(device_s, launching_s) + self._gaps, hidden_s) + host_s - hidden_s

    @cached_property
    def _rows(self) -> list[float]:
        """Device seconds of so many rows, one of them a logit."""
        limits = self.system.limits
        n = int(max(limits.max_batched_tokens, 1) + limits.max_num_seqs) + 1
        rows = np.maximum(np.arange(n + 1.0), 1.0)
        return self._bare(rows, 1.0).tolist()  # type: ignore[no-any-return]

    @cached_property
    def _logits(self) -> list[float]:
        """Device seconds that logits add to those of one."""
        n = np.arange(2.0 * self.system.limits.max_num_seqs + 2)
        step = Step(prefill_tokens=1.0, prefill_seqs=n, prefill_context=1.0)
        t = np.asarray(seconds_of(_LOGITS, self.system, step), dtype=np.float64) + 0.0 * n
        return (t - t[1]).tolist()  # type: ignore[no-any-return]

    @cached_property
    def _prompts(self) -> list[list[float]]:
        """Device seconds of a chunk's attention and cache writes: a list by keys for each size."""
        tokens = _grid(max(len(self._rows), 2))[:, None]
        step = Step(prefill_tokens=tokens, prefill_seqs=1.0, prefill_context=self._contexts[None])
        table = np.asarray(seconds_of(_PROMPTS, self.system, step))
        return np.broadcast_to(table, (len(tokens), len(self._contexts))).tolist()  # type: ignore[no-any-return]

    def bare(self, rows: int, logits: int) -> float:
        """Device seconds of rows and logits, attention left out; beyond the table, computed.

        Args:
            rows: which requests, or rows of a step.
            logits: positions that need logits.

        """
        try:
            return self._rows[rows] + self._logits[logits]
        except IndexError:
            return float(self._bare(float(rows), float(logits)))

    def prompt_attention(self, tokens: int, keys: float) -> float:
        """Device seconds that `tokens` prompt tokens take to look at `keys` keys each.

        Args:
            tokens: tokens.
            keys: keys a token sees.

        """
        table = self._prompts
        i, x = self._place(tokens, len(table))
        j, y = self._place(keys, len(table[0]))
        low, high = table[i], table[i + 1]
        near = low[j] + (low[j + 1] - low[j]) * y
        return near + (high[j] + (high[j + 1] - high[j]) * y - near) * x

    def _place(self, value: float, size: int) -> tuple[int, float]:
        """Return the grid cell `value` lies in and how far along it, 0 to 1."""
        grid = self._grid_list
        i = min(int(math.log2(value) * _PER_OCTAVE), size - 2) if value > 1 else 0
        return i, (value - grid[i]) / (grid[i + 1] - grid[i])

    def _attention(self, seqs: int) -> list[float]:
        """Return device seconds of the attention of `seqs` decoding sequences at each context."""
        known = self._attention_rows.get(seqs)
        if known is None:
            step = Step(decode_seqs=float(seqs), decode_context=self._contexts)
            alone = seconds_of(_DECODING, self.system, step) + 0.0 * self._contexts
            known = self._attention_rows[seqs] = np.asarray(alone).tolist()
        return known

    def _row(self, seqs: int) -> tuple[list[float], list[float]]:
        """Return seconds of a decode step of `seqs` sequences at each context, and their integral."""
        known = self._decode_rows.get(seqs)
        if known is None:
            step = Step(decode_seqs=float(seqs), decode_context=self._contexts)
            if self._draft is None:
                bare = self.bare(seqs, seqs)
                t = np.array(
                    [self._whole(bare + a, seqs, self._launching) for a in self._attention(seqs)]
                )
            else:
                t = np.asarray(engine_step_s(self.system, step), dtype=np.float64)
            areas = np.diff(self._contexts) * (t[1:] + t[:-1]) / 2
            sums = np.concatenate([[0.0], np.cumsum(areas)])
            known = self._decode_rows[seqs] = t.tolist(), sums.tolist()
        return known

    def decode(self, seqs: int, context: float) -> float:
        """Seconds of a step in which `seqs` sequences of mean `context` decode one token each.

        Args:
            seqs: sequences.
            context: keys a query sees, tokens.

        """
        row, _ = self._row(seqs)
        i, x = self._place(context, len(row))
        return row[i] + (row[i + 1] - row[i]) * x

    def run(self, seqs: int, context: float, steps: int) -> float:
        """Seconds of `steps` decode steps in a row, each a token further.

        The sum over whole steps is the integral over half a step more at either end.

        Args:
            seqs: sequences.
            context: keys a query sees, tokens.
            steps: steps, a count.

        """
        if steps == 1:
            return self.decode(seqs, context)
        row, sums = self._row(seqs)
        total = 0.0
        for sign, end in ((-1.0, context - 0.5), (1.0, context + steps - 0.5)):
            i, x = self._place(end, len(row))
            width = self._grid_list[i + 1] - self._grid_list[i]
            total += sign * (sums[i] + width * x * (row[i] + (row[i + 1] - row[i]) * x / 2))
        return total

    def mixed(self, tokens: int, keys: float, prompts: int, seqs: int, context: float) -> float:
        """Seconds of a step with `tokens` prompt tokens beside `seqs` decoding sequences.

        `keys` is the mean number a prompt token sees, `prompts` those that yield a token. Several are
        taken as one as long: where windows end within them, the step is off by up to 0.4 %.

        Args:
            tokens: tokens.
            keys: keys a token sees.
            prompts: prompts in a step, a count.
            seqs: sequences.
            context: keys a query sees, tokens.

        """
        device = self.bare(tokens + seqs, prompts + seqs) + self.prompt_attention(tokens, keys)
        launching = self._launching
        if tokens + seqs > self._captured:
            launching = self._launching_prompts[seqs > 0]
        if self._draft is not None:  # prompts pass the draft model too, and drafts go on meanwhile
            whole = self._whole(device, prompts + seqs, launching)
            whole += self._draft.bare(tokens, prompts) + self._draft.prompt_attention(tokens, keys)
            if seqs:
                whole += self.decode(seqs, context)
                whole -= self._whole(self.bare(seqs, seqs), seqs, self._launching)
            return whole
        if seqs:
            row = self._attention(seqs)
            i, x = self._place(context, len(row))
            device += row[i] + (row[i + 1] - row[i]) * x
        return self._whole(device, prompts + seqs, launching)

    def steps_until(self, seqs: int, context: float, steps: int, seconds: float) -> int:
        """Return the fewest of `steps` decode steps that last at least `seconds`; else all.

        Args:
            seqs: sequences.
            context: keys a query sees, tokens.
            steps: steps, a count.
            seconds: its time, s.

        """
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
