"""The running front equals the front of everything at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from planner.questions.recommend.pareto import Front, front

POINTS = arrays(
    float, st.tuples(st.integers(1, 60), st.just(2)), elements=st.integers(0, 9).map(float)
)


@given(POINTS)
def test_a_row_is_on_the_front_exactly_when_nothing_beats_it(points):
    loss, speed = points.T
    kept = set(front(loss, speed).tolist())
    values = {(loss[i], speed[i]) for i in kept}
    for i in range(len(points)):
        beaten = np.any(
            (loss <= loss[i]) & (speed >= speed[i]) & ((loss < loss[i]) | (speed > speed[i]))
        )
        assert ((loss[i], speed[i]) in values) == (not beaten)


@settings(deadline=None)
@given(POINTS, st.integers(1, 20))
def test_adding_in_pieces_changes_nothing(points, size):
    loss, speed = points.T
    ready = np.arange(len(loss)) % 3.0
    table = {"loss": loss, "output_tokens_per_s": speed, "ready": ready}
    whole, pieces = Front(), Front()
    whole.add(table)
    for start in range(0, len(loss), size):
        pieces.add({k: v[start : start + size] for k, v in table.items()})

    def as_set(f):
        t = f.all_levels()
        return {tuple(row) for row in np.stack([t[k] for k in sorted(t)], axis=1)}

    assert as_set(whole) == as_set(pieces)


def test_a_front_beside_another_keeps_what_neither_beats():
    """Chunks in any order of loss, levels that come late, ties: joined, the front of all rows."""
    rng = np.random.default_rng(1)
    n = 50_000
    table = {
        "loss": np.round(3 - np.arange(n) / n + rng.normal(0, 0.1, n), 4),
        "output_tokens_per_s": rng.normal(1000, 100, n).round(1),
        "ready": np.where(np.arange(n) > n // 2, rng.choice([1.0, 8.0], n), 1.0),
    }
    whole = Front()
    for start in range(0, n, 5_000):
        own = Front(beside=whole)
        for first in range(start, start + 5_000, 1_000):
            own.add({name: column[first : first + 1_000] for name, column in table.items()})
        if (best := own.all_levels()) is not None:
            whole.add(best)
    found = whole.all_levels()
    assert found is not None
    for level in (1.0, 8.0):
        rows = table["ready"] == level
        loss, speed = table["loss"][rows], table["output_tokens_per_s"][rows]
        keep = front(loss, speed)
        mine = found["ready"] == level
        assert sorted(found["loss"][mine]) == sorted(loss[keep])
        assert sorted(found["output_tokens_per_s"][mine]) == sorted(speed[keep])
