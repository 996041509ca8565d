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
    gqa = np.arange(len(loss)) % 3.0
    table = {"loss": loss, "output_tokens_per_s": speed, "gqa": gqa}
    whole, pieces = Front(), Front()
    whole.add(table)
    for start in range(0, len(loss), size):
        pieces.add({k: v[start : start + size] for k, v in table.items()})

    def as_set(f):
        t = f.all_levels()
        return {tuple(row) for row in np.stack([t[k] for k in sorted(t)], axis=1)}

    assert as_set(whole) == as_set(pieces)
