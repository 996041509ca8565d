"""One record a number format: flags, files, devices and kernels agree on it."""

import pytest

from planner.errors import SpecError, UnknownName
from planner.inputs.device import load_device
from planner.inputs.engine import EngineSpec
from planner.inputs.formats import CACHED, FORMATS, NARROW, SERVED, format_named, formats_in
from planner.inputs.loading import load_model
from planner.inputs.names import slug
from planner.scenario.scenario import conditions, resolve


def test_no_name_means_two_formats():
    names = [slug(n) for f in FORMATS.values() for n in (f.name, *f.aliases)]
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
        ("fp8", "auto", ("fp8", None)),
        ("awq-int4", "", ("int4", None)),
        ("fp4", "fp8", ("fp4", "fp8")),
        ("mxfp4", "", ("mxfp4", None)),
        ("NVFP4", "fp8", ("nvfp4", "fp8")),
        ("w8a8", "", ("int8", None)),
        ("smoothquant", "", ("int8", None)),
        ("fbgemm fp8", "", ("fp8", None)),
        ("quantized.w4a16", "", ("int4", None)),
    ],
)
def test_a_measurements_dtype_is_read(dtype, kv_dtype, found):
    assert formats_in(dtype, kv_dtype) == found


@pytest.mark.parametrize(("dtype", "kv_dtype"), [("q4_k_m", ""), ("fp7", ""), ("bf16", "int3")])
def test_a_format_nobody_knows_is_not_taken_for_16_bits(dtype, kv_dtype):
    with pytest.raises(UnknownName):
        formats_in(dtype, kv_dtype)


WRITTEN = {
    "bf16": "bfloat16, BF16, auto",
    "fp16": "float16, half, FP16",
    "fp8": "fp8_e4m3, fp8-e5m2, FP8 block, fp8 dynamic, w8a8-fp8, float8_e4m3fn, modelopt, fbgemm_fp8",
    "int8": "w8a8, W8A8-INT8, int8_sq, smoothquant",
    "w8a16": "int8_wo, gptq-int8",
    "int4": "awq, AWQ, gptq, w4a16, int4_awq, awq-int4, gptq_marlin",
    "nf4": "bitsandbytes, bnb-4bit",
    "nvfp4": "NVFP4, modelopt_fp4",
    "mxfp4": "MXFP4, quark_mxfp4",
    "fp4": "FP4, float4",
}


@pytest.mark.parametrize("known", WRITTEN)
def test_formats_are_known_by_the_names_people_write(known):
    for text in WRITTEN[known].split(", "):
        assert format_named(text).name == known, text


def test_a_container_of_formats_is_asked_which():
    with pytest.raises(SpecError, match="in any of several formats") as caught:
        format_named("compressed-tensors")
    assert "w4a16" in caught.value.hint


@pytest.mark.parametrize(
    ("dtype", "device", "runs", "compute_bits"),
    [
        ("fp4", "b200", "nvfp4", 4),
        ("fp4", "mi355x", "mxfp4", 4),
        ("nvfp4", "gb200", "nvfp4", 4),
        ("mxfp4", "h100-sxm", "mxfp4-w4a16", 16),  # gpt-oss on Hopper: unpacked before each product
        ("fp4", "mi300x", "mxfp4-w4a16", 16),
        ("int4", "b200", "int4", 16),
        ("fp8", "h100-sxm", "fp8", 8),
    ],
)
def test_four_bits_are_what_the_vendor_means_by_them(dtype, device, runs, compute_bits):
    found = resolve(conditions(on=device, dtype=dtype))
    precision = found.engine.precision()
    assert found.engine.dtype == runs
    assert found.read_as == (f"{dtype} read as {runs}" if runs != dtype else "")
    bits = {4: 0.5, 8: 1.0, 16: 2.0}[compute_bits]
    assert bits <= precision.gemm_input_bytes < bits * 1.2
    half, rate = (load_device(device).flops_per_s(d) for d in ("bf16", FORMATS[runs].computes_in))
    assert found.system(load_model("llama-3.1-8b").arch()).device.flops_per_s == rate
    assert (rate > half) == (compute_bits < 16)


@pytest.mark.parametrize(
    ("name", "bits"),  # by the formats' own definitions: elements, and a scale a block
    [("nvfp4", 4 + 8 / 16), ("mxfp4", 4 + 8 / 32), ("int4", 4 + 32 / 128), ("nf4", 4 + 32 / 64)],
)
def test_scales_count(name, bits):
    assert FORMATS[name].bytes * 8 == bits


def test_what_is_worth_trying_is_narrow():
    assert NARROW == ("fp8", "int8", "int4")
    assert set(CACHED) <= set(SERVED)


def test_an_engine_takes_other_peoples_names_and_refuses_what_it_cannot_hold():
    assert EngineSpec(dtype="float16", kv_dtype="fp8_e4m3").kv_dtype == "fp8"
    for text in ("fp7", "float64"):
        with pytest.raises(ValueError, match=text):
            EngineSpec(dtype=text)
