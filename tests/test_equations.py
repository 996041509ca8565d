"""Properties every equation of speed and memory keeps."""

import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import numpy as np
import pint
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import planner.cost
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
from planner.equation import EQUATIONS, derivation, reading
from planner.serving import offline

for module in pkgutil.walk_packages(planner.cost.__path__, "planner.cost."):
    importlib.import_module(module.name)

# Our own base units: pint's default registry holds a byte to be dimensionless. FLOPs are counts.
ureg = pint.UnitRegistry(None)
for line in ("second = [time] = s", "byte = [byte]", "flop = []", "watt = [power]", "usd = [usd]"):
    ureg.define(line)
ureg.define("joule = watt * second")

MINE = sorted(
    name
    for name, fn in EQUATIONS.items()
    if inspect.unwrap(fn).__module__.startswith("planner.cost.")
    or inspect.unwrap(fn).__module__ == "planner.serving.offline"
)
MINE = [n for n in MINE if "money" not in inspect.unwrap(EQUATIONS[n]).__module__]
SWITCHES = {"rope_dim", "kv_latent_dim", "q_latent_dim", "local_fraction", "window"}


def declared_unit(annotation):
    return next(a.symbol for a in get_args(annotation) if hasattr(a, "symbol"))


def build(cls, make):
    """Return columns of `cls`, each field made by `make(name, unit)`."""
    hints = get_type_hints(cls, include_extras=True)
    values = {}
    for f in fields(cls):
        if f.default is None:
            continue  # an option that is off
        if is_dataclass(hints[f.name]):
            values[f.name] = build(hints[f.name], make)
        else:
            values[f.name] = make(f"{cls.__name__}_{f.name}", declared_unit(hints[f.name]))
    return cls(**values)


def arguments(fn, make):
    hints = get_type_hints(fn, include_extras=True)
    return [build(hints[p], make) for p in inspect.signature(fn).parameters]


def declared(fn):
    return ureg(declared_unit(get_type_hints(fn, include_extras=True)["return"]) or "dimensionless")


@pytest.mark.parametrize("name", MINE)
def test_each_line_carries_the_unit_it_declares(name):
    fn = inspect.unwrap(EQUATIONS[name])
    with reading(lambda term, _: 2.0 * declared(term)):
        result = fn(*arguments(fn, lambda _, unit: 2.0 * ureg(unit or "dimensionless")))
    assert ureg.Quantity(result).check(declared(fn).dimensionality)


@pytest.mark.parametrize("name", ["step_s", "batch_s", "max_concurrency", "weight_bytes"])
def test_the_algebra_is_the_arithmetic(name):
    """`planner explain` prints what is computed: sympy's steps, evaluated, give numpy's number."""
    fn = EQUATIONS[name]
    rng = np.random.default_rng(0)
    values = {}

    def number(field, _):
        return values.setdefault(field, float(rng.uniform(2, 9)))

    expected = fn(*arguments(fn, number))
    symbols = arguments(fn, lambda field, _: sympy.Symbol(field, positive=True))
    env = dict(values)
    for label, expression in derivation(name, *symbols).items():
        free = sorted(expression.free_symbols, key=str)
        env[label] = sympy.lambdify(free, expression, "numpy")(*(env[str(s)] for s in free))
    assert env[label] == pytest.approx(float(expected), rel=1e-9)


DEVICE = Device(312e12, 312e12, 1.555e12, 40e9, 40e6, 108.0, 300e9, 25e9)
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
    together = offline.batch_s(a_system(Arch(**columns)), w)
    alone = [
        float(offline.batch_s(a_system(Arch(**{k: float(v[i]) for k, v in columns.items()})), w))
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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=150, deadline=None)
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
