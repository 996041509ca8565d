"""The page of sliders: quick, and showing what the commands say."""

import pytest

from planner.inputs.question import Question
from planner.questions.recommend.recommend import recommend
from planner.report.ui.model import answer, nearest

ASKED = Question(params=1e9, tokens=1e11)


def test_the_page_says_what_the_command_says():
    view = answer(ASKED, {"d_model": 2304, "r": 2.0, "gqa": 4.0})
    told = recommend(ASKED)
    assert view.result.picks == told.picks and view.why == told.picks["recommended"].why
    assert "yours" in view.table.header


def test_your_shape_is_legal_and_near_what_was_asked():
    base = recommend(ASKED).baseline.model
    for gqa in (1, 3, 9):
        shape = nearest(base, ASKED.align, d_model=2304, r=2.0, gqa=gqa)
        assert shape.n_heads == gqa * shape.n_kv_heads
        assert shape.d_model % 128 == shape.d_ff % 128 == 0
        assert shape.mlp_attn_ratio == pytest.approx(2.0, rel=0.15)
        n, whole = shape.n_params_non_embedding, base.n_params_non_embedding
        assert n == pytest.approx(whole, rel=0.02)


@pytest.mark.slow
def test_the_page_itself_runs():
    testing = pytest.importorskip("streamlit.testing.v1")
    from planner.report.ui import app

    page = testing.AppTest.from_file(app.__file__, default_timeout=60).run()
    assert not page.exception and not page.error
    assert "faster" in " ".join(m.value for m in page.markdown)
    page.select_slider[2].set_value(128).run()
    assert not page.exception and not page.error


def test_the_pages_folder_hides_no_module_of_pythons():
    """Streamlit puts that folder first on the import path, so nothing there may shadow a module."""
    import sys
    from pathlib import Path

    import planner.report.ui

    names = {p.stem for p in Path(planner.report.ui.__path__[0]).glob("*.py")} - {"__init__"}
    assert not names & set(sys.stdlib_module_names)
