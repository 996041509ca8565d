"""The space holds every legal shape of a size, once, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.cost import params
from planner.inputs.question import Question
from planner.questions.recommend.space import space_for


def shapes(question, rows=16_384):
    found = []
    for arch in space_for(question).chunks(rows):
        columns = np.broadcast_arrays(
            arch.n_layers, arch.head_dim, arch.d_model, arch.n_heads, arch.n_kv_heads, arch.d_ff
        )
        found.append(np.stack(columns, axis=1))
    return np.concatenate(found) if found else np.empty((0, 6))


def brute_force(q, n_layers, head_dim):
    """Every combination, by loops: slow and plain."""
    found = set()
    root = q.params**0.5
    for d_model in range(q.align, int(0.2 * root) + q.align, q.align):
        if not q.d_over_sqrt_n[0] * root <= d_model <= q.d_over_sqrt_n[1] * root:
            continue
        for heads in range(1, 400):
            for kv in range(1, heads + 1):
                if heads % kv or heads // kv not in q.gqa:
                    continue
                attention = d_model * head_dim * (2 * heads + 2 * kv)
                for d_ff in range(q.align, 40_000, q.align):
                    n = n_layers * (attention + 3 * d_model * d_ff)
                    r = 3 * d_model * d_ff / attention
                    if abs(n / q.params - 1) <= q.tolerance and 0.5 <= r <= 5:
                        found.add((n_layers, head_dim, d_model, heads, kv, d_ff))
    return found


def test_the_grid_equals_brute_force():
    q = Question(params=2e7, tokens=1e9, layers=(6,), head_dims=(64,), align=64, tolerance=0.02)
    ours = {tuple(int(v) for v in row) for row in shapes(q)}
    assert len(ours) > 20
    assert ours == brute_force(q, 6, 64)


@settings(max_examples=20, deadline=None)
@given(
    n=st.floats(min_value=5e7, max_value=1e10),
    align=st.sampled_from([64, 128, 256]),
    kind=st.sampled_from(["non-embedding", "total"]),
)
def test_every_shape_is_legal_and_of_the_size_asked(n, align, kind):
    q = Question(params=n, tokens=1e11, align=align, tolerance=0.02, params_kind=kind)
    for arch in space_for(q).chunks():
        count = params.n_params if kind == "total" else params.n_params_non_embedding
        assert np.all(np.abs(count(arch) / n - 1) <= 0.02 + 1e-9)
        assert np.all(arch.d_model % align == 0) and np.all(arch.d_ff % align == 0)
        assert np.all(arch.n_heads % arch.n_kv_heads == 0)
        r = params.mlp_attn_ratio(arch)
        assert np.all((r >= 0.5 - 1e-9) & (r <= 5 + 1e-9))


@pytest.mark.parametrize("rows", [7, 1000, 10**6])
def test_chunking_changes_nothing(rows):
    q = Question(params=1e9, tokens=1e11)
    np.testing.assert_array_equal(shapes(q, rows), shapes(q))


def test_no_shape_stands_twice():
    q = Question(params=1e9, tokens=1e11, layers=(12, 16), head_dims=(64, 128), align=64)
    found = shapes(q)
    assert len(np.unique(found, axis=0)) == len(found) > 1000
