"""Run tables: what is wrong is said by row, and nothing questionable is fitted."""

from pathlib import Path

import numpy as np
import pytest
from planner_calibration.fit.law.data import load_runs, require_shapes, sizes
from planner_calibration.fit.law.run import fit_csv

from planner.errors import SpecError
from planner.law.columns import NDefinition

HEAD = "run_id,n_params_non_embedding,n_tokens,loss,d_model,n_layers,mlp_attn_ratio\n"
GOOD = ["a,1e8,1e10,3.5,768,12,2", "b,2e8,1e10,3.3,1024,12,2", "c,4e8,1e10,3.1,1280,16,2"]


def table(tmp_path: Path, *rows: str, head: str = HEAD) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_clean_table_loads_with_rows_numbered_from_the_header(tmp_path: Path) -> None:
    """The first run is on line 2; width follows from d_model and N."""
    runs = load_runs(table(tmp_path, *GOOD))
    assert list(runs.row) == [2, 3, 4]
    assert runs.n_definition is NDefinition.NON_EMBEDDING
    np.testing.assert_allclose(runs.x[0], 768 / 1e4)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["d,3e8,1e10,-1,768,12,2"], "loss is -1 in row 5"),
        (["d,3e8,1e10,,768,12,2"], "loss is missing in row 5"),
        (["d,3e8,1e10,nan,768,12,2"], "loss is missing in row 5"),
        (["d,3e8,0,3,768,12,2"], "n_tokens is 0 in row 5"),
        (["d,3e8,1e10,3,768,12,-2"], "r is not positive in row 5"),
        (["d,3e8,1e10,3,768,0,2"], "n_layers is not positive in row 5"),
        (["d,3e8,1e10,abc,768,12,2"], "loss is 'abc', no number, in row 5"),
        (["d,3e8,10B,3,768,12,2"], "n_tokens is '10B', no number, in row 5"),
        (["a,3e8,1e10,3,768,12,2"], "duplicated run: rows 2, 5"),
        (["d,,1e10,3,768,12,2"], "no non-embedding count in row 5"),
    ],
)
def test_an_impossible_row_is_named(tmp_path: Path, rows: list[str], says: str) -> None:
    """One error line with the number of the row."""
    with pytest.raises(SpecError, match=says):
        load_runs(table(tmp_path, *GOOD, *rows))


def test_unnamed_copies_are_duplicates_too(tmp_path: Path) -> None:
    """Without run ids, equal numbers are the same run."""
    head = "n_params_non_embedding,n_tokens,loss\n"
    with pytest.raises(SpecError, match="rows 2, 3"):
        load_runs(table(tmp_path, "1e8,1e10,3.5", "1e8,1e10,3.5", head=head))


@pytest.mark.parametrize("missing", ["loss", "n_tokens", "n_params_non_embedding"])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    """The header's line is 1."""
    with pytest.raises(SpecError, match=f"row 1: no column {missing}"):
        load_runs(table(tmp_path, *GOOD, head=HEAD.replace(missing, "other")))


def test_mixed_definitions_of_n_are_refused_by_row(tmp_path: Path) -> None:
    """A column n_definition that changes its mind halfway."""
    rows = ["1e8,non-embedding,1e10,3.5", "2e8,total,1e10,3.3"]
    with pytest.raises(SpecError, match=r"mixed N definitions.*row 3"):
        load_runs(table(tmp_path, *rows, head="n,n_definition,n_tokens,loss\n"))


def test_asking_for_a_count_the_table_lacks_is_refused(tmp_path: Path) -> None:
    """Total N cannot be made of non-embedding N."""
    with pytest.raises(SpecError, match="no column n_params"):
        load_runs(table(tmp_path, *GOOD), n_definition="total")


def test_one_size_is_refused_in_a_free_fit_and_held_by_the_prior_otherwise(tmp_path: Path) -> None:
    """Alpha cannot be seen at one size; the prior keeps it, and the report says so."""
    rows = [f"r{i},1e8,{d:g},{l},768,12,2" for i, (d, l) in enumerate([(5e9, 3.6), (1e10, 3.5)])]
    path = table(tmp_path, *rows)
    with pytest.raises(SpecError, match=r"one model size only \(rows 2, 3\)"):
        fit_csv(path, prior="none")
    report = fit_csv(path, prior="bian-1b")
    assert "ln_alpha" in report.uninformed
    assert "not informed by these runs" in report.text()


def test_too_few_shapes_are_named(tmp_path: Path) -> None:
    """Shape needs three at one size."""
    with pytest.raises(SpecError, match="too few shapes: no size has 3"):
        require_shapes(load_runs(table(tmp_path, *GOOD)))


def test_too_few_runs_for_a_free_fit_are_refused(tmp_path: Path) -> None:
    """Five coefficients from three runs."""
    with pytest.raises(SpecError, match="3 runs cannot set 5 coefficients"):
        fit_csv(table(tmp_path, *GOOD), prior="none")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """One line, no traceback."""
    with pytest.raises(SpecError, match="No such file"):
        load_runs(tmp_path / "none.csv")


def test_sizes_within_15_percent_are_one(tmp_path: Path) -> None:
    """Models of one nominal size differ by a few per cent."""
    rows = ["a,1e8,1e10,3.5,768,12,2", "b,1.1e8,1e10,3.3,1024,12,2", "c,4e8,1e10,3.1,1280,16,2"]
    assert list(sizes(load_runs(table(tmp_path, *rows)))) == [0, 0, 1]


def test_a_spreadsheets_semicolons_decimal_commas_and_byte_order_mark_read_the_same(
    tmp_path: Path,
) -> None:
    """What Excel writes in much of Europe holds the same runs."""
    plain = load_runs(table(tmp_path, *GOOD))
    path = tmp_path / "excel.csv"
    text = (HEAD + "\n".join(GOOD) + "\n").replace(",", ";").replace("3.", "3,")
    path.write_text(text, encoding="utf-8-sig")
    excel = load_runs(path)
    np.testing.assert_array_equal(excel.loss, plain.loss)
    np.testing.assert_array_equal(excel.n, plain.n)


def test_a_shape_fit_refuses_sizes_with_too_few_shapes(tmp_path: Path) -> None:
    """Two shapes a size cannot say what shape does, however many sizes there are."""
    rows = [
        f"r{i}{j},{n:g},{20 * n:g},{3.5 - i / 10 + j / 50},{768 * (1 + j)},{12 - 4 * j},2"
        for i, n in enumerate(np.geomspace(1e8, 1e9, 8)) for j in (0, 1)
    ]  # fmt: skip
    with pytest.raises(SpecError, match="too few shapes"):
        fit_csv(table(tmp_path, *rows), prior="none", blocks=("depth",))
