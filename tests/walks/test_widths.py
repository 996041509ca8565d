"""Every screen at every width: no number is cut or folded, no word broken, no line too long."""

import re

import pytest

WIDTHS = (60, 80, 100, 140)
ASKED = {
    "recommend": ("recommend", "--params", "1e9", "--tokens", "1e11"),
    "details": ("recommend", "--params", "1e9", "--tokens", "1e11", "--details"),
    "priced": (
        *("recommend", "--params", "1e9", "--tokens", "1e11", "--on", "h100-sxm"),
        *("--tpot", "20ms", "--serve-requests", "1e9"),
    ),
    "pareto": ("pareto", "--params", "1e9", "--tokens", "1e11", "--top", "9"),
    "predict": ("predict", "llama-3.1-8b", "--on", "h100-sxm"),
    "what-if": ("what-if", "llama-3-8b", "--vary", "concurrency=8,256", "--vary", "tp=1,2"),
    "budget": (
        *("budget", "llama-3-8b", "--ttft", "1s", "--tpot", "40ms", "--rate", "400/s"),
        *("--on", "h100-sxm", "--tp", "1"),
    ),
    "edits": ("recommend", "--like", "llama-3.2-1b", "--tokens", "1e11"),
    "explain": ("explain", "tpot_s"),
    "models": ("models", "list"),
    "laws": ("law", "list"),
    "hardware": ("hardware", "list"),
}
NUMBER = re.compile(r"[$+-]?(?:\d[\d.,]*\d|\d)[%k×MBTx]?")
VOLATILE = re.compile(r"\b[\d.,]+ m?s(?=; (?:varied|\d)|, [\d,]+ within)|(?<=in)\s+[\d.]+\s+m?s")


SECONDS = {"budget", "priced", "what-if", "pareto", "details"}  # that these take


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SECONDS)) for n in ASKED]
)
def test_a_number_on_any_screen_stands_on_the_widest_too(planner, name):
    texts = {}
    for width in (*WIDTHS, 400):
        ran = planner(*ASKED[name], env={"COLUMNS": str(width)})
        assert ran.returncode == 0, ran.stderr
        assert "\x1b" not in ran.stdout
        texts[width] = VOLATILE.sub("", ran.stdout)
    wide = texts[400]
    known, words = set(NUMBER.findall(wide)), set(re.findall(r"[^\W\d]{2,}", wide))
    said = {"left", "out", "for", "width"}
    for width in WIDTHS:
        lines = texts[width].splitlines()
        assert max(map(len, lines)) <= width
        assert set(NUMBER.findall(texts[width])) <= known, width
        assert set(re.findall(r"[^\W\d]{2,}", texts[width])) <= words | said, width
