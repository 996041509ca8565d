"""Rendered answers, kept as files: awkward ones too.

The numbers are invented and fixed, so that these files change only when the rendering does.
`PLANNER_UPDATE_GOLDEN=1 pytest tests/report/test_golden.py` writes them anew; review the difference.
"""

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from planner.errors import Infeasible
from planner.inputs.question import Question
from planner.inputs.result import check_result
from planner.questions.recommend.limits import Tally, limits_of
from planner.report import markdown
from planner.report.figures.pareto import front_grid
from planner.report.page import closing, comparison, recommendation_text
from planner.report.parts import Page, Section, label
from planner.report.text import recommendation
from planner.results import Candidate, Estimate, Recommendation

GOLDEN = Path(__file__).parents[1] / "golden"
LONG = "a-model-with-a-very-long-name-that-somebody-chose-" * 3 + "end"


def shape(name, d_model=2048, d_ff=8192, heads=32, kv=8, speed=4000.0, loss=2.8, **more):
    """Return a candidate of invented numbers."""
    n = 16 * (d_model * 64 * (2 * heads + 2 * kv) + 3 * d_model * d_ff)
    known = {
        "n_layers": 16, "d_model": d_model, "n_heads": heads, "n_kv_heads": kv, "head_dim": 64,
        "d_ff": d_ff, "vocab_size": 128256, "n_params": n + 128256 * d_model,
        "n_params_non_embedding": n, "gqa": heads / kv, "d_over_sqrt_n": d_model / n**0.5,
        "mlp_attn_ratio": 3 * d_ff / (64 * (2 * heads + 2 * kv)),
    }  # fmt: skip
    return Candidate(
        name=name,
        shape=known,
        metrics={
            "loss": Estimate(loss, loss - 0.01, loss + 0.01),
            "accuracy": Estimate(0.55, 0.54, 0.56),
            "output_tokens_per_s": Estimate(speed, speed / 1.2, speed * 1.2),
            "ttft_s": Estimate(0.05, 0.04, 0.06),
            "tpot_s": Estimate(0.01, 0.009, 0.011),
        },
        kv_bytes_per_token=16 * 2 * kv * 64 * 2.0,
        weight_bytes=2.0 * known["n_params"],
        max_concurrency=200,
        bound="hbm",
        **more,
    )


def pick(name, **more):
    """Return a candidate with what a pick has besides."""
    tie = {"difference": -0.002, "low": -0.01, "high": 0.008, "p_better": 0.6, "tie": True}
    return shape(
        name,
        p_loss_at_most_target=0.6,
        gain=Estimate(1.3, 1.2, 1.4),
        loss_vs_baseline=tie,
        why="30% faster than the baseline: decode attention fell. Loss: a tie at this evidence.",
        verify=({"gqa": 4, "n_kv_heads": 8, "d_ff": 6656},),
        **more,
    )


def answer(picks, pareto, warnings=(), command="planner recommend --params 1e9 --tokens 1e11"):
    question = Question(params=1e9, tokens=1e11)
    return Recommendation(
        inputs=question.model_dump(mode="json"),
        command=command,
        basis={"speed": "calibrated a100-vllm (2026-11-22)", "loss": "law bian-1b"},
        warnings=tuple(warnings),
        target_loss=2.8,
        baseline=shape("baseline", p_loss_at_most_target=1.0),
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
    picks = {"loss_optimal": pick("loss_optimal", **BEST), "fastest": pick("fastest", **FAST)}
    picks["balanced"] = pick("balanced", **FAST)
    return answer(picks, [picks["loss_optimal"], picks["fastest"]])


def one_candidate():
    only = pick("fastest", **FAST)
    return answer({"loss_optimal": only, "fastest": only, "balanced": None}, [only])


def none_sure_enough():
    best = pick("loss_optimal", **BEST)
    said = ["no fastest pick: no feasible shape is sure enough"]
    return answer({"loss_optimal": best, "fastest": None, "balanced": None}, [best], said)


def long_names():
    far = pick(LONG, **FAST)
    picks = {"loss_optimal": far, "fastest": far, "balanced": None}
    return answer(picks, [far], [f"warning about {LONG}"], f"planner recommend --law {LONG}.toml")


CASES = {f.__name__: f for f in (usual, one_candidate, none_sure_enough, long_names)}


def as_text(result, width):
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, no_color=True, force_terminal=False)
    console.print(recommendation(result))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def as_markdown(result):
    data = check_result(json.loads(json.dumps(result.to_dict())))
    picks = {n: p for n, p in data["picks"].items() if p}
    shapes = {"baseline": data["baseline"]} | {label(n): p for n, p in picks.items()}
    text = recommendation_text(data, picks)
    answer_ = Section("answer", "The recommendation", text, grids=[comparison(shapes)])
    front = Section("front", "Loss against speed", grids=[front_grid(data)])
    return markdown.render(Page("A page", "of invented numbers", [answer_, front, *closing(data)]))


def held(name, text):
    """Compare with the file, or write it."""
    path = GOLDEN / name
    if os.environ.get("PLANNER_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"see {name}"


@pytest.mark.parametrize("width", [100, 60])
@pytest.mark.parametrize("case", CASES)
def test_text(case, width):
    text = as_text(CASES[case](), width)
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
