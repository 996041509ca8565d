"""Every mutant on record still fits the code; `python tests/mutation/mutate.py fixed` says whether it dies."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
_SPEC = importlib.util.spec_from_file_location("mutate", HERE / "mutate.py")
mutate = sys.modules["mutate"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(mutate)


def test_every_mutant_on_record_is_one_change_of_code_and_names_tests_there_are():
    mutants = list(mutate.fixed())
    assert len(mutants) >= 60
    for m in mutants:
        compile(m.source, m.file, "exec")
        assert all((mutate.ROOT / t.partition("::")[0]).exists() for t in m.tests), m.says


def test_a_random_change_is_a_program_and_no_other_draw():
    text = "def f(a: int) -> int:\n    return 'é' and min(a, 1) + 2\n"
    found = {mutate.changed(text, node, new) for node, new in mutate.changes(text)}
    assert "def f(a: int) -> int:\n    return 'é' and ((min(a, 1)) - (2))\n" in found
    assert "def f(a: int) -> int:\n    return 'é' and max(a, 1) + 2\n" in found
    assert all(compile(t, "x", "exec") for t in found) and len(found) == 5
