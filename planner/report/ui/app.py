"""The page of `planner ui`, run by Streamlit: sliders over the same library calls as the commands."""

import time
from typing import Any

import streamlit as st

from planner.errors import PlannerError
from planner.inputs.device import device_names
from planner.inputs.engine import EngineSpec
from planner.inputs.question import Question
from planner.inputs.workload import WorkloadSpec
from planner.report.ui.model import answer, details

PARAMS = [1e8, 2e8, 3e8, 5e8, 1e9, 1.5e9, 2e9, 3e9, 5e9, 7e9, 8e9, 13e9]
TOKENS = [1e10, 3e10, 1e11, 3e11, 1e12, 3e12]
LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192, 16384]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


def short(n: float) -> str:
    """Write a count on a slider: 1.5B, 300M."""
    return f"{n / 1e12:g}T" if n >= 1e12 else f"{n / 1e9:g}B" if n >= 1e9 else f"{n / 1e6:g}M"


def asked() -> tuple[Question, dict[str, float]]:
    """Return what the sliders say: the question, and a shape of the user's own."""
    side = st.sidebar
    side.header("Train")
    params = side.select_slider("parameters", PARAMS, 1e9, format_func=short)
    tokens = side.select_slider("training tokens", TOKENS, 1e11, format_func=short)
    side.header("Serve")
    devices = device_names()
    on = side.selectbox("hardware", devices, devices.index("a100-sxm-40gb"))
    dtype = side.selectbox("weights", ["bf16", "fp8", "int8", "int4"])
    batch = side.select_slider("requests together", BATCHES, 64)
    input_tokens = side.select_slider("tokens in", LENGTHS, 4096)
    output_tokens = side.select_slider("tokens out", LENGTHS, 1024)
    side.header("Your shape")
    root = params**0.5
    width = side.slider("d_model / √N", 0.04, 0.14, 0.074, 0.002, format="%.3f")
    r = side.slider("MLP / attention", 0.5, 5.0, 2.0, 0.1)
    gqa = side.slider("group size (GQA)", 1, 9, 4)
    question = Question(
        params=params,
        tokens=tokens,
        on=on,
        engine=EngineSpec(dtype=dtype),
        workload=WorkloadSpec(input_tokens=input_tokens, output_tokens=output_tokens, batch=batch),
    )
    return question, {"d_model": width * root, "r": r, "gqa": float(gqa)}


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
    header, rows = list(view.table.header), view.table.rows
    st.table([dict(zip(header, row, strict=True)) for row in rows])
    st.caption(f"{view.result['n_evaluated']:,} shapes answered in {took * 1e3:.0f} ms")
    if st.toggle("operating curves, roofline, time and memory"):
        for figure in details(view, "fastest" if "fastest" in view.scene.shapes else "baseline"):
            chart(figure)
    for warning in view.result["warnings"]:
        st.warning(warning)


if __name__ == "__main__":
    page()
