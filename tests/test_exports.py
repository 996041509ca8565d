"""What the library promises by name is there, typed, shown with an example that runs, and firm."""

import doctest
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import planner as pl
from planner.errors import MissingExtra, PlannerError, WrongType
from planner.results import KINDS, json_schema

EXAMPLES = ("recommend", "recommend_mix", "edits", "predict", "what_if", "budget", "render")
LIBRARY = Path(__file__).parents[1] / "docs/reference/library.md"


@pytest.mark.parametrize("name", pl.__all__)
def test_every_public_name_loads_and_is_documented(name):
    value = getattr(pl, name)
    assert value.__doc__ and name in dir(pl)
    home = pl._HOME[name]
    assert f"::: {home}.{name}\n" in LIBRARY.read_text() or home == "planner.errors"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        pl.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "budget")) for n in EXAMPLES]
)
def test_the_example_of_a_question_runs(name):
    function = getattr(pl, name)
    names = {name: function}
    [test] = doctest.DocTestFinder(recurse=False).find(function, name, globs=names)
    assert len(test.examples) > 1
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.slow
def test_mypy_sees_what_the_names_are(tmp_path):
    pytest.importorskip("mypy")
    code = """import planner as pl

p = pl.predict("llama-3.2-1b", on="h100-sxm")
reveal_type(p)
reveal_type(pl.recommend("1B", "100B"))
pl.predict(5)
pl.nonsense
"""
    (tmp_path / "uses.py").write_text(code)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", "uses.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"MYPYPATH": str(Path(pl.__file__).parents[1]), "PATH": ""},
    )  # fmt: skip
    assert 'Revealed type is "planner.results.Prediction"' in run.stdout, run.stdout + run.stderr
    assert 'Revealed type is "planner.results.Recommendation"' in run.stdout
    assert run.stdout.count(": error: ") == 2
    assert 'Argument 1 to "predict" has incompatible type "int"' in run.stdout
    assert 'Module has no attribute "nonsense"' in run.stdout


WRONG = [
    (lambda: pl.predict(), 'write predict("llama-3.1-8b", on="h100-sxm")'),
    (lambda: pl.predict("llama-3.2-1b", "h100-sxm"), "write predict("),
    (lambda: pl.predict(5), 'write e.g. "llama-3.1-8b"'),
    (lambda: pl.predict(["llama-3.2-1b"]), 'write e.g. "llama-3.1-8b"'),
    (lambda: pl.predict("llama-3.2-1b", tp=[1, 2]), "vary it: what_if(model, {'tp': [1, 2]})"),
    (lambda: pl.predict("llama-3.2-1b", engine=5), "by name"),
    (lambda: pl.predict("llama-3.2-1b", workload={"batch": 3}), "by name"),
    (lambda: pl.recommend(), "write recommend("),
    (lambda: pl.recommend([3e9], 1e11), "one value"),
    (lambda: pl.what_if("llama-3.2-1b", 5), "write vary=[…]"),
    (lambda: pl.what_if("llama-3.2-1b", concurrency=[1, 2]), "vary it"),
    (lambda: pl.budget("llama-3.2-1b", tpot="1s", tps=["two"]), "int"),
    (lambda: pl.load_device(5), 'write e.g. "h100-sxm"'),
    (lambda: pl.load_model(None), 'write e.g. "llama-3.1-8b"'),
    (lambda: pl.read_serve_command(5), "vllm serve MODEL"),
    (lambda: pl.render("x"), "read_result"),
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_type_is_a_type_error_with_what_to_write(call, words):
    with pytest.raises(TypeError) as caught:
        call()
    assert isinstance(caught.value, WrongType | PlannerError)
    assert words in f"{caught.value} {caught.value.hint}"


@pytest.mark.slow
def test_one_alone_is_a_list_of_one():
    kwargs = {"tpot": "20ms", "rate": 1.0}
    one = pl.budget("llama-3.2-1b", on="h100-sxm", dtypes="bf16", tps=1, **kwargs)
    many = pl.budget("llama-3.2-1b", on=["h100-sxm"], dtypes=["bf16"], tps=[1], **kwargs)
    same = pl.budget("llama-3.2-1b", on="h100-sxm", dtype="bf16", tp=1, **kwargs)
    assert one.plans == many.plans == same.plans
    assert pl.what_if("llama-3.2-1b", "tp=1,2").points == pl.what_if(
        "llama-3.2-1b", {"tp": [1, 2]}
    ).points  # fmt: skip


def test_a_result_shows_itself_in_a_notebook_and_goes_to_pandas(monkeypatch):
    w = pl.what_if("llama-3.2-1b", {"tp": [1, 2]}, on="h100-sxm")
    assert w._repr_html_().startswith("<pre") and "h100-sxm" in w._repr_html_()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra) as caught:
        w.to_pandas()
    assert ".rows()" in caught.value.hint
    frames = type(sys)("pandas")
    frames.DataFrame = lambda rows: [*rows]
    monkeypatch.setitem(sys.modules, "pandas", frames)
    assert w.to_pandas() == w.rows() and [row["tp"] for row in w.rows()] == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_the_records(kind):
    shipped = resources.files("planner").joinpath("schemas", f"{kind}.json").read_text()
    assert json.loads(shipped) == json_schema(kind), "python docs/generate.py"
