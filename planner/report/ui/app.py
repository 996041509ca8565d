"""The page of `planner ui`, run by Streamlit: sliders over the same library calls as the commands."""

import time
from typing import Any

import streamlit as st

from planner.errors import PlannerError
from planner.inputs.device import device_names
from planner.inputs.engine import EngineSpec
from planner.inputs.formats import SERVED
from planner.inputs.question import Question
from planner.inputs.workload import WorkloadSpec
from planner.report.ui.model import answer, details

PARAMS = [1e8, 2e8, 3e8, 5e8, 1e9, 1.5e9, 2e9, 3e9, 5e9, 7e9, 8e9, 13e9]
TOKENS = [1e10, 3e10, 1e11, 3e11, 1e12, 3e12]
LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192, 16384]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
ASKED = Question(params=1e9, tokens=1e11)  # with the defaults of the command


def short(n: float) -> str:
    """Write a count on a slider: 1.5B, 300M."""
    return f"{n / 1e12:g}T" if n >= 1e12 else f"{n / 1e9:g}B" if n >= 1e9 else f"{n / 1e6:g}M"


def asked() -> tuple[Question, dict[str, float]]:
    """Return what the sliders say: the question, and a shape of the user's own."""
    side, work = st.sidebar, ASKED.workload
    side.header("Train")
    params = side.select_slider("parameters", PARAMS, ASKED.params, format_func=short)
    tokens = side.select_slider("training tokens", TOKENS, ASKED.tokens, format_func=short)
    side.header("Serve")
    devices = device_names()
    on = side.selectbox("hardware", devices, devices.index(ASKED.on))
    dtype = side.selectbox("weights", SERVED, SERVED.index(ASKED.engine.dtype))
    batch = side.select_slider("requests together", BATCHES, work.batch)
    input_tokens = side.select_slider("tokens in", LENGTHS, work.input_tokens)
    output_tokens = side.select_slider("tokens out", LENGTHS, work.output_tokens)
    side.header("Your shape")
    widths, ratios = ASKED.d_over_sqrt_n, ASKED.mlp_attn_ratio
    width = side.slider("d_model / √N", *widths, 0.074, 0.002, format="%.3f")
    r = side.slider("MLP / attention", *ratios, 2.0, 0.1)
    gqa = side.slider("group size (GQA)", min(ASKED.gqa), max(ASKED.gqa), 4)
    question = Question(
        params=params,
        tokens=tokens,
        on=on,
        engine=EngineSpec(dtype=dtype),
        workload=WorkloadSpec(input_tokens=input_tokens, output_tokens=output_tokens, batch=batch),
    )
    return question, {"d_model": width * params**0.5, "r": r, "gqa": float(gqa)}


def chart(figure: Any) -> None:
    """Draw one of the report's figures in the page's own theme."""
    layout = {**figure.layout, "height": figure.height}
    st.plotly_chart(
        {"data": list(figure.data), "layout": layout}, key=figure.name, theme="streamlit"
    )
    if figure.caption:
        st.caption(figure.caption)


def page() -> None:
    """Draw the page from top to bottom; Streamlit runs this again at every change."""
    st.set_page_config(page_title="planner", layout="wide")
    st.title("Which shape to train")
    try:
        question, own = asked()
        started = time.perf_counter()
        view = answer(question, own)
        took = time.perf_counter() - started
    except PlannerError as error:
        st.error(str(error))
        st.info(error.hint)
        return
    st.write(view.why)
    chart(view.front)
    head = view.table.header
    st.table([dict(zip(head, map(str, row), strict=True)) for row in view.table.rows])
    st.caption(f"{view.result.n_evaluated:,} shapes answered in {took * 1e3:.0f} ms")
    if st.toggle("operating curves, roofline, time and memory"):
        for figure in details(view, view.result.lead):
            chart(figure)
    for warning in view.result.warnings:
        st.warning(warning.message)


if __name__ == "__main__":
    page()
