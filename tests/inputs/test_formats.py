"""One record a number format: flags, files, devices and kernels agree on it."""

import pytest

from planner.inputs.engine import EngineSpec
from planner.inputs.formats import CACHED, FORMATS, NARROW, SERVED, format_named, formats_in


def test_no_name_means_two_formats():
    names = [n for f in FORMATS.values() for n in (f.name, *f.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("f", FORMATS.values(), ids=lambda f: f.name)
def test_a_format_is_found_by_each_of_its_names(f):
    for name in (f.name, f.name.upper(), *f.aliases):
        assert format_named(name) is f


@pytest.mark.parametrize("f", FORMATS.values(), ids=lambda f: f.name)
def test_a_format_is_of_one_kind(f):
    assert f.plain + f.weight_only + f.quantised + (f.bytes > 2) == 1


@pytest.mark.parametrize(
    ("dtype", "kv_dtype", "found"),
    [
        ("bfloat16", "", ("bf16", None)),
        ("float16", "", ("fp16", None)),
        ("bfloat16_kv_fp8", "", ("bf16", "fp8")),
        ("w_fp16_kv_int8", "", ("fp16", "int8")),
        ("w_int8_kv_fp8", "", ("w8a16", "fp8")),
        ("gptq-int4", "", ("int4", None)),
        ("awq", "fp8_e5m2", ("int4", "fp8")),
        ("", "", ("bf16", None)),
    ],
)
def test_a_measurements_dtype_is_read(dtype, kv_dtype, found):
    assert formats_in(dtype, kv_dtype) == found


def test_what_is_worth_trying_is_narrow():
    assert NARROW == ("fp8", "int8", "int4")
    assert set(CACHED) <= set(SERVED)


def test_an_engine_takes_other_peoples_names_and_refuses_what_it_cannot_hold():
    assert EngineSpec(dtype="float16", kv_dtype="fp8_e4m3").kv_dtype == "fp8"
    for text in ("fp7", "float32"):
        with pytest.raises(ValueError, match=text):
            EngineSpec(dtype=text)
