"""Rendered answers, kept as files: awkward ones too.

The numbers are invented and fixed, so that these files change only when the rendering does.
`PLANNER_UPDATE_GOLDEN=1 pytest tests/report/test_golden.py` writes them anew; review the difference.
"""

import json
import os
from pathlib import Path

import pytest

from planner.errors import Infeasible
from planner.inputs.model import llama_candidate
from planner.inputs.question import Question
from planner.questions.recommend.limits import Tally, limits_of
from planner.report import markdown
from planner.report.page import build
from planner.report.render import render
from planner.results import Candidate, Estimate, Recommendation, Warned

GOLDEN = Path(__file__).parents[1] / "golden"
LONG = "a-model-with-a-very-long-name-that-somebody-chose-" * 3 + "end"


def shape(name, d_model=2048, d_ff=8192, heads=32, kv=8, speed=4000.0, loss=2.8, **more):
    """Return a candidate of invented numbers."""
    model = llama_candidate(16, d_model, heads, kv, 64, d_ff, name=name)

    def about(value, low, high):
        return Estimate(value=value, low=low, high=high)

    return Candidate(
        name=name,
        model=model,
        metrics={
            "loss": about(loss, loss - 0.01, loss + 0.01),
            "accuracy": about(0.55, 0.54, 0.56),
            "output_tokens_per_s": about(speed, speed / 1.2, speed * 1.2),
            "ttft_s": about(1.05, 0.94, 1.16),
            "tpot_s": about(0.01, 0.009, 0.011),
            "idle_ttft_s": about(0.05, 0.04, 0.06),
            "decode_step_s": about(0.008, 0.007, 0.009),
            "kv_bytes_per_token": 16 * 2 * kv * 64 * 2.0,
            "weight_bytes": 2.0 * model.n_params,
            "max_concurrency": 200,
        },
        bound="hbm",
        **more,
    )


def pick(name, **more):
    """Return a candidate with what a pick has besides."""
    tie = {"difference": -0.002, "low": -0.01, "high": 0.008, "p_better": 0.6, "tie": True}
    return shape(
        name,
        p_loss_at_most_target=0.6,
        p_within_margin=0.87,
        gain=Estimate(value=1.3, low=1.2, high=1.4),
        loss_vs_baseline=tie,
        why="30% faster than the baseline: decode attention fell. Loss: a tie at this evidence.",
        verify=({"gqa": 4, "n_kv_heads": 8, "d_ff": 6656},),
        **more,
    )


def answer(picks, pareto, warnings=(), command="planner recommend --params 1e9 --tokens 1e11"):
    question = Question(params=1e9, tokens=1e11)
    return Recommendation(
        inputs=question,
        command=command,
        basis={"speed": "calibrated a100-vllm (2026-11-22)", "loss": "law bian-1b"},
        warnings=tuple(Warned(code="test", message=w) for w in warnings),
        target_loss=2.8,
        baseline=shape("baseline", p_loss_at_most_target=1.0, p_within_margin=1.0),
        picks=picks,
        pareto=tuple(pareto),
        binding=(),
        n_evaluated=7479,
        n_feasible=7479,
        elapsed_s=0.25,
    )


FAST = {"d_model": 2560, "d_ff": 6784, "heads": 28, "kv": 4, "speed": 5200.0, "loss": 2.798}
BEST = {"d_model": 2304, "d_ff": 4864, "heads": 80, "kv": 20, "speed": 2100.0, "loss": 2.778}


def usual():
    picks = {"recommended": pick("recommended", **FAST), "lowest_loss": pick("lowest_loss", **BEST)}
    picks["fastest"] = pick("fastest", **FAST)
    return answer(picks, [picks["lowest_loss"], picks["fastest"]])


def one_candidate():
    only = pick("fastest", **FAST)
    return answer({"recommended": only, "lowest_loss": only, "fastest": None}, [only])


def none_sure_enough():
    best = pick("lowest_loss", **BEST)
    said = ["no recommended pick: no feasible shape is sure enough"]
    return answer({"recommended": None, "lowest_loss": best, "fastest": None}, [best], said)


def long_names():
    far = pick(LONG, **FAST)
    picks = {"recommended": far, "lowest_loss": far, "fastest": None}
    return answer(picks, [far], [f"warning about {LONG}"], f"planner recommend --law {LONG}.toml")


CASES = {f.__name__: f for f in (usual, one_candidate, none_sure_enough, long_names)}


def as_markdown(result):
    return markdown.render(build(result, figures=False, top=100))


def held(name, text):
    """Compare with the file, or write it."""
    path = GOLDEN / name
    if os.environ.get("PLANNER_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"see {name}"


@pytest.mark.parametrize("width", [100, 60])
@pytest.mark.parametrize("case", CASES)
def test_text(case, width):
    text = render(CASES[case](), width=width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    held(f"{case}-{width}.txt", text)


@pytest.mark.parametrize("case", CASES)
def test_markdown(case):
    held(f"{case}.md", as_markdown(CASES[case]()))


@pytest.mark.parametrize("case", CASES)
def test_json(case):
    text = json.dumps(CASES[case]().to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    held(f"{case}.json", text + "\n")


def test_nothing_feasible():
    question = Question(params=1e9, tokens=1e11, tpot_s=1e-6)
    tally = Tally(limits_of(question))
    tally.n_evaluated = 7479
    tally.nearest = {"--tpot": 0.0085}
    error = tally.infeasible(question)
    assert isinstance(error, Infeasible)
    held("nothing_feasible.txt", f"error: {error}\nhint: {error.hint}\n")


@pytest.mark.parametrize("width", [60, 100])
def test_terminal_plot(width):
    pytest.importorskip("plotext")
    from planner.report.plot import draw

    series = [
        ("front", "·", [1.0, 2.0, 3.0, 4.0], [2.9, 2.85, 2.84, 2.8]),
        ("fastest", "F", [3.0], [2.84]),
    ]
    text = draw("loss over tokens/s", series, width=width, height=12, colour=False)
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= width
    assert "F" in text and "fastest" in text
    assert "\x1b[" in draw("coloured", series, width=width, height=12, colour=True)
