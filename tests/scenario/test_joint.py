"""Shapes evaluated jointly, on the grids that differ: the same numbers as row by row."""

import numpy as np
import pytest

from planner.inputs.model import llama_arch
from planner.questions.recommend.recommend import resolve_question
from planner.questions.recommend.space import space_for
from planner.scenario.evaluate import Evaluation
from planner.scenario.grids import Grids
from planner.scenario.joint import Joint, evaluate_joint
from planner.scenario.options import question
from planner.scenario.traced import Trace, UntraceableError

ROWS = 100_000
NAMES = ("loss", "output_tokens_per_s", "gqa", "max_concurrency", "ttft_s", "tpot_s", "weight_bytes",
         "usd_per_output_mtok", "kv_utilisation")  # fmt: skip


def random_shapes(rows: int) -> dict:
    """Shapes of any kind, with rows that occur twice and rows that fit nowhere."""
    rng = np.random.default_rng(0)
    groups = rng.choice([1.0, 2.0, 4.0], rows)
    made = {
        "n_layers": rng.integers(8, 40, rows) * 1.0,
        "d_model": rng.integers(8, 64, rows) * 64.0,
        "n_heads": rng.integers(1, 17, rows) * 4.0,
        "head_dim": rng.choice([64.0, 96.0, 128.0], rows),
        "d_ff": rng.integers(8, 640, rows) * 64.0,
    }
    made["n_kv_heads"] = made["n_heads"] / groups
    twice = slice(rows // 2, rows // 2 + 100)
    for column in made.values():
        column[:100] = column[twice]
    return made | {"vocab_size": 128256.0}


def off(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest relative difference; what is not a number must be none in both."""
    assert np.array_equal(np.isfinite(a), np.isfinite(b))
    both = np.isfinite(a)
    a, b = a[both], b[both]
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1e-300), initial=0.0))


@pytest.mark.slow
def test_a_hundred_thousand_random_rows_are_as_row_by_row():
    """Rows that fit, that wait and that have no room, under a batch and a loop, in 8 and 16 bits."""
    shapes = random_shapes(ROWS)
    asked = ({"on": "l4", "dtype": "fp8"}, {"on": "a100-sxm-80gb", "concurrency": 48})
    resolved = [resolve_question(question(1e9, 1e11, **a), 1e9) for a in asked]
    plain = [Evaluation(r, llama_arch(shapes)).table(NAMES) for r in resolved]
    fits = plain[0]["max_concurrency"]
    assert (fits == 0).any() and (fits >= 64).any() and ((fits > 0) & (fits < 64)).any()
    joint, start = Joint(resolved, NAMES), 0
    assert None not in joint.read(128256.0)
    for block in joint.blocks(shapes):
        end = start + len(block)
        for expected, found in zip(plain, block.tables, strict=True):
            for name in NAMES:
                assert off(np.asarray(expected[name][start:end]), found[name]) < 1e-12, name
        start = end
    assert start == ROWS


def test_where_equations_look_at_values_rows_are_computed_one_by_one():
    """Arrivals by the clock are solved by iteration, which no graph says."""
    shapes = {name: np.asarray(c)[:300] for name, c in random_shapes(1000).items() if np.ndim(c)}
    shapes["vocab_size"] = 128256.0
    r = resolve_question(question(1e9, 1e11, on="h100-sxm", rate=2.0), 1e9)
    joint = Joint([r], ("output_tokens_per_s", "ttft_s"))
    (block,) = joint.blocks(shapes)
    plain = Evaluation(r, llama_arch(shapes)).table(("output_tokens_per_s", "ttft_s"))
    for name, column in plain.items():
        assert off(column, block.tables[0][name]) < 1e-12


def test_a_space_is_seen_whole_and_once_under_any_number_of_threads():
    q = question(1e9, 1e11, layers="12,16,20")
    r = resolve_question(q, q.params)

    def seen(blocks):
        found = [(len(b), float(np.sum(b.tables[0]["output_tokens_per_s"]))) for b in blocks]
        return tuple(map(sum, zip(*found, strict=True)))

    chunks = list(space_for(q).chunks())
    one, two = (
        list(evaluate_joint(iter(chunks), [r], ("output_tokens_per_s",), seen, threads=n))
        for n in (1, 2)
    )
    assert one == two and sum(n for n, _ in one) == sum(np.size(c.d_model) for c in chunks)


def test_grids_hold_each_combination_once():
    shapes = random_shapes(2000)
    grids = Grids(shapes)
    for key in (frozenset({"d_model", "d_ff"}), frozenset({"n_heads", "n_kv_heads", "head_dim"})):
        rows = np.stack([shapes[n] for n in sorted(key)], axis=1)
        places = grids.index(key)
        assert grids.size(key) == len(np.unique(rows, axis=0))
        first = np.zeros((grids.size(key), len(key)))
        first[places] = rows
        assert np.array_equal(first[places], rows)


def test_a_column_without_values_is_no_number():
    column = Trace(["d_model"]).columns["d_model"]
    for wrong in (bool, np.asarray, np.sum, lambda c: np.add.reduce(c)):
        with pytest.raises(UntraceableError):
            wrong(column)
    assert (0.0 * column) == 0.0
    assert (column + 0.0) is column and column / 1.0 is column
