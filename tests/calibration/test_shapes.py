"""Generated shapes are legal, and near what was asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planner_calibration.measure.shapes import near

from planner.errors import Infeasible
from planner.inputs.model import llama_candidate


@given(
    n=st.sampled_from([1e6, 3e7, 1e9]),
    x=st.floats(0.05, 0.15),
    r=st.floats(0.5, 5),
    gqa=st.sampled_from([1, 2, 4]),
)
def test_a_shape_is_legal_and_near_what_was_asked(n, x, r, gqa):
    head_dim = 16 if n < 1e7 else 64
    shape = near(n, n_layers=8, x=x, r=r, gqa=gqa, head_dim=head_dim, vocab_size=512)
    assert shape.gqa == gqa and shape.n_heads % shape.n_kv_heads == 0
    assert shape.n_params_non_embedding == pytest.approx(n, rel=0.12)
    assert shape.x == pytest.approx(x, rel=0.2)
    spec = llama_candidate(**shape.settings())
    assert spec.n_params_non_embedding == shape.n_params_non_embedding
    assert spec.mlp_attn_ratio == pytest.approx(shape.r)


def test_heads_too_wide_for_the_size_are_refused():
    with pytest.raises(Infeasible, match="no shape"):
        near(1e4, n_layers=8, x=0.1, r=1, gqa=8, head_dim=128, vocab_size=512)
