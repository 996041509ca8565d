"""Properties every equation of speed and memory keeps."""

import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pint
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import planner.cost
import planner.law
import planner.serving
from planner.columns import (
    Arch,
    Device,
    Kernels,
    Limits,
    Overheads,
    Parallel,
    Precision,
    Step,
    System,
    Workload,
)
from planner.cost.step import step_s
from planner.equation import EQUATIONS, derivation, evaluation, reading
from planner.serving import batch

for package in (planner.cost, planner.law, planner.serving):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

# Our own base units: pint's default registry holds a byte to be dimensionless. FLOPs are counts.
ureg = pint.UnitRegistry(None)
for line in (
    "second = [time] = s",
    "hour = 3600 * second",
    "byte = [byte]",
    "flop = []",
    "watt = [power]",
    "usd = [usd]",
):
    ureg.define(line)
ureg.define("joule = watt * second")

ROOT = Path(__file__).parents[1]
ALL = sorted(EQUATIONS)
NOT_QUANTITIES = {
    "pivot",
    "points",
    "misfit",
    "covariance",
    "n_definition",
    "name",
    "data",
    "switches",
    "drawn",
}


def declared_unit(annotation):
    """Return the unit an annotation declares; a plain float is a spread, which has none."""
    units = [a.symbol for a in get_args(annotation) if hasattr(a, "symbol")]
    if not units and annotation is not float:
        raise AssertionError(f"{annotation} declares no unit")
    return units[0] if units else ""


def build(cls, make):
    """Return columns of `cls`, each field made by `make(name, unit)`."""
    hints = get_type_hints(cls, include_extras=True)
    values = {}
    for f in fields(cls):
        if f.default is None or f.name in NOT_QUANTITIES:
            continue  # an option that is off; evidence of a law, which no equation reads
        if is_dataclass(hints[f.name]):
            values[f.name] = build(hints[f.name], make)
        else:
            values[f.name] = make(f"{cls.__name__}_{f.name}", declared_unit(hints[f.name]))
    return cls(**values)


def arguments(fn, make):
    """Return arguments of an equation: columns built field by field, numbers by their parameter."""
    hints = get_type_hints(fn, include_extras=True)
    return [
        build(hints[p], make) if is_dataclass(hints[p]) else make(p, declared_unit(hints[p]))
        for p in inspect.signature(fn).parameters
    ]


def declared(fn):
    return ureg(declared_unit(get_type_hints(fn, include_extras=True)["return"]) or "dimensionless")


@pytest.mark.parametrize("name", ALL)
def test_each_line_carries_the_unit_it_declares(name):
    fn = inspect.unwrap(EQUATIONS[name])
    with reading(lambda term, _: 2.0 * declared(term)):
        result = fn(*arguments(fn, lambda _, unit: 2.0 * ureg(unit or "dimensionless")))
    assert ureg.Quantity(result).check(declared(fn).dimensionality)


# The mean over a burst of the step a prompt is done in is counted out for numbers, and a formula only
# on average: what stands on it is no closed form, and is held to the simulation instead.
BURST = "test_the_start_up_burst_agrees_within_3_percent"
LOOP = "test_a_loop_without_an_end_is_the_simulations_within_its_domain"
QUEUE = "test_ttft_of_a_closed_loop_holds_the_burst_and_the_queue_for_a_place"
WHOLE = "test_a_batch_of_whole_prompts_agrees_within_1_percent"
JUDGED_ELSEWHERE = {
    "placed_burst_ttft_s": BURST,
    "burst_ttft_s": BURST,
    "closed_ttft_s": QUEUE,
    "closed_tpot_s": LOOP,
    "closed_e2e_s": LOOP,
    "drain_decode_s": LOOP,
    "placed_ttft_s": WHOLE,
    "steady_ttft_s": WHOLE,
    "steady_decode_s": WHOLE,
}


def equation_of(label):
    """Return the equation a step is of; a part of one (``gemm_s.math_s``) is of none."""
    name = label.partition("[")[0].partition("#")[0]
    return name if name in EQUATIONS else ""


def numbers_of(name):
    """Return numeric arguments of an equation, the same for the same field, and their values."""
    rng, values = np.random.default_rng(0), {}

    def number(field, _):
        drawn = float(rng.uniform(2, 9)) / (100 if field.endswith("_drift") else 1)  # powers of N
        return values.setdefault(field, round(drawn) if field.endswith("n_layers") else drawn)

    return arguments(EQUATIONS[name], number), values


@pytest.fixture(scope="module")
def roots():
    """Few equations that together take a step of every one: each is derived once."""
    reach = {}
    for name in ALL:
        args, _ = numbers_of(name)
        reach[name] = {equation_of(label) for label in evaluation(name, *args)} - {""}
    chosen, left = [], set(ALL)
    while left:
        best = max(ALL, key=lambda n: (len(reach[n] & left), n))
        chosen.append(best)
        left -= reach[best]
    return chosen


@pytest.mark.slow  # of the main metrics, tests/report/test_explain.py judges every line
def test_the_algebra_is_the_arithmetic(roots):
    """`planner explain` prints what is computed: sympy's steps, evaluated, give numpy's numbers."""
    judged, wrong = set(), {}
    for root in roots:
        args, values = numbers_of(root)
        expected = {}
        for label, number in evaluation(root, *args).items():
            expected.setdefault(equation_of(label), []).append(float(number))
        symbols = arguments(EQUATIONS[root], lambda field, _: sympy.Symbol(field, positive=True))
        env = dict(values)
        for label, expression in derivation(root, *symbols).items():
            free = sorted(expression.free_symbols, key=str)
            value = sympy.lambdify(free, expression, "numpy")(*(env[str(s)] for s in free))
            env[label] = value
            if name := equation_of(label):
                judged.add(name)
                if not any(float(value) == pytest.approx(n, rel=1e-9) for n in expected[name]):
                    wrong[name] = root, float(value), expected[name]
    print(f"algebra of {len(judged - set(JUDGED_ELSEWHERE))} of {len(ALL)} equations")
    assert set(wrong) <= set(JUDGED_ELSEWHERE), wrong
    assert judged == set(ALL)


def test_what_algebra_cannot_say_is_judged_by_a_test_that_exists():
    tests = (ROOT / "tests/serving/test_closed_loop.py").read_text()
    for name, test in JUDGED_ELSEWHERE.items():
        assert name in ALL and f"def {test}(" in tests


def test_the_counts_are_said(record_testsuite_property):
    """Units of all, algebra of all but the listed."""
    said = (
        f"units of {len(ALL)} of {len(ALL)} equations; algebra of "
        f"{len(ALL) - len(JUDGED_ELSEWHERE)}, {len(JUDGED_ELSEWHERE)} judged elsewhere: "
        + ", ".join(sorted(JUDGED_ELSEWHERE))
    )
    print(said)
    record_testsuite_property("equations", said)


DEVICE = Device(312e12, 312e12, 1.555e12, 40e9, 108.0, 300e9, 25e9)
LLAMA = Arch(32.0, 4096.0, 32.0, 8.0, 128.0, 14336.0, 128256.0, untied=1.0)


def a_system(arch=LLAMA, **changes):
    parts = {
        "arch": arch,
        "precision": Precision(),
        "device": DEVICE,
        "parallel": Parallel(),
        "kernels": Kernels(),
        "overheads": Overheads(),
        "limits": Limits(),
    }
    return System(**(parts | changes))


def test_a_scalar_and_a_column_give_the_same():
    rng = np.random.default_rng(0)
    n = 64
    columns = {
        "n_layers": rng.integers(4, 80, n) * 1.0,
        "d_model": rng.integers(4, 64, n) * 128.0,
        "n_heads": rng.integers(4, 64, n) * 1.0,
        "n_kv_heads": rng.integers(1, 4, n) * 1.0,
        "head_dim": np.full(n, 128.0),
        "d_ff": rng.integers(8, 200, n) * 128.0,
        "vocab_size": np.full(n, 32000.0),
    }
    w = Workload(1024.0, 256.0, 32.0)
    together = batch.batch_s(a_system(Arch(**columns)), w)
    alone = [
        float(batch.batch_s(a_system(Arch(**{k: float(v[i]) for k, v in columns.items()})), w))
        for i in range(n)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


GROWING = {
    "n_layers": (1, 100),
    "d_model": (64, 16384),
    "d_ff": (64, 65536),
    "vocab_size": (1000, 300000),
    "n_kv_heads": (1, 32),
}


@settings(max_examples=150)
@given(
    field=st.sampled_from(sorted(GROWING)),
    a=st.floats(0, 1),
    b=st.floats(0, 1),
    decode=st.booleans(),
    splits=st.sampled_from([0.0, 1.0]),
)
def test_a_bigger_model_is_never_faster(field, a, b, decode, splits):
    low, high = GROWING[field]
    sizes = sorted(round(low * (high / low) ** x) for x in (a, b))
    step = Step(decode_seqs=32.0, decode_context=1000.0) if decode else Step(2048.0, 2.0, 512.0)
    kernels = Kernels(splits_mha=splits, decode_rereads=0.2)
    shapes = [
        {f.name: getattr(LLAMA, f.name) for f in fields(Arch)} | {field: float(s)} for s in sizes
    ]
    small, big = (step_s(a_system(Arch(**s), kernels=kernels), step) for s in shapes)
    assert small <= big * (1 + 1e-12)


@settings(max_examples=150)
@given(
    prompt=st.integers(1, 100_000),
    more=st.integers(0, 50_000),
    seqs=st.integers(0, 500),
    more_seqs=st.integers(0, 500),
    context=st.integers(1, 100_000),
    more_context=st.integers(0, 50_000),
)
def test_more_work_never_takes_less_time(prompt, more, seqs, more_seqs, context, more_context):
    s = a_system()

    def seconds(tokens, decoding, cached):
        return step_s(s, Step(float(tokens), 1.0, tokens / 2, float(decoding), float(cached)))

    base = seconds(prompt, seqs, context)
    assert base <= seconds(prompt + more, seqs, context) * (1 + 1e-12)
    assert base <= seconds(prompt, seqs + more_seqs, context) * (1 + 1e-12)
    assert base <= seconds(prompt, seqs, context + more_context) * (1 + 1e-12)
