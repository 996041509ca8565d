"""Number formats: what an element takes, what it is multiplied in, and what others call it.

A format is a record here and nothing else: flags, devices' rates, measurement files and our own
measurements all look here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator

from planner.errors import SpecError, UnknownName
from planner.inputs.names import slug


@dataclass(frozen=True, slots=True)
class Format:
    """A number format of weights, of a cache, or of a measured kernel."""

    name: str
    bytes: float  # an element, with its share of the scales
    computes_in: str  # whose rate of a device holds: weight-only formats expand in the kernel
    aliases: tuple[str, ...] = ()  # of vLLM, SGLang, TensorRT-LLM, torch, checkpoints
    in_files: tuple[str, ...] = ()  # what a measurement's dtype contains that has such weights
    torch: str = ""  # the torch dtype that plain kernels run in
    served: bool = True  # an engine can hold weights in it
    cached: bool = False  # engines offer it for the cache, besides 16 bits
    expert_multiple: float = 1.0  # widths of experts are padded to a multiple of it
    elsewhere: str = ""  # the format it runs as where a device lacks the rate; "": it does not run
    of: Mapping[str, str] = field(default_factory=dict)  # vendor: what is meant on its devices

    @property
    def input_bytes(self) -> float:
        """Bytes an element of what a product with such weights reads besides them."""
        return FORMATS.get(self.computes_in, self).bytes

    @property
    def plain(self) -> bool:
        """Whether it is of 16 bits."""
        return self.bytes == 2.0

    @property
    def weight_only(self) -> bool:
        """Whether weights are unpacked to 16 bits before each product."""
        return self.bytes < 2.0 <= self.input_bytes

    @property
    def quantised(self) -> bool:
        """Whether activations are quantised for each product."""
        return self.input_bytes < 2.0


# Weight-only formats carry a 16-bit scale for every 64 to 128 weights, NVFP4 an 8-bit one for every
# 16 (and computes so), MXFP4 for every 32 (OCP MX specification 1.0), NF4 a 32-bit one for every 64.
# Where several could be meant, the first is: "bfloat16" contains "float16" too.
_ALL = (
    Format("bf16", 2.0, "bf16", ("bfloat16", "auto"), ("bf16", "bfloat16"), torch="bfloat16"),
    Format("fp16", 2.0, "fp16", ("float16", "half"), ("fp16", "float16"), torch="float16"),
    Format(
        "fp8",
        1.0,
        "fp8",
        (
            *(
                "fp8_e4m3",
                "fp8_e5m2",
                "fp8_e4m3fn",
                "float8_e4m3fn",
                "fp8_e4m3fnuz",
                "float8",
                "e4m3",
            ),
            *("w8a8_fp8", "fp8_w8a8", "modelopt", "modelopt_fp8", "fbgemm_fp8", "ptpc_fp8"),
            *("fp8_tensor", "fp8_per_tensor", "fp8_block", "block_fp8", "fp8_block_scaling"),
            *("fp8_dynamic", "fp8_static"),
        ),
        ("fp8",),
        elsewhere="fp8-w8a16",  # vLLM since 0.5.1: Marlin on Ampere
        cached=True,
    ),
    Format(
        "int8",
        1.0,
        "int8",
        ("w8a8", "w8a8_int8", "int8_w8a8", "int8_sq", "smoothquant", "sq"),
        ("w8a8", "smoothquant"),
        cached=True,
    ),
    Format(
        "w8a16",
        1.03125,
        "bf16",
        ("int8_wo", "gptq_int8", "gptq_8bit", "awq_int8", "int8_w8a16"),
        ("int8",),
    ),
    Format(
        "int4",
        0.53125,
        "bf16",
        (
            *("awq", "awq_int4", "int4_awq", "awq_4bit", "awq_marlin", "w4a16_awq"),
            *("gptq", "gptq_int4", "gptq_4bit", "gptq_marlin", "autoround"),
            *("w4a16", "int4_wo", "int4_w4a16"),
        ),
        ("awq", "int4", "w4a16", "gptq"),
    ),
    Format("nf4", 0.5625, "bf16", ("bitsandbytes", "bnb", "bnb_4bit", "bnb_nf4"), ("nf4", "bnb")),
    Format(
        "nvfp4",
        0.5625,
        "fp4",
        ("modelopt_fp4", "nvfp4_w4a4", "w4a4_nvfp4", "fp4_nvfp4"),
        ("nvfp4", "modelopt_fp4"),
        elsewhere="nvfp4-w4a16",
    ),
    Format(
        "mxfp4",
        0.53125,
        "fp4",
        ("quark_mxfp4", "mxfp4_w4a4", "w4a4_mxfp4", "ocp_mxfp4"),
        ("mxfp4",),
        expert_multiple=256,  # gpt-oss: 2880 held as 3072
        elsewhere="mxfp4-w4a16",
    ),
    Format(
        "fp4",
        0.5625,
        "fp4",
        ("float4", "w4a4", "fp4_e2m1", "e2m1"),
        ("fp4",),
        of={"nvidia": "nvfp4", "amd": "mxfp4"},
    ),
    Format("fp8-w8a16", 1.0, "bf16", served=False),
    Format("nvfp4-w4a16", 0.5625, "bf16", served=False),
    Format("mxfp4-w4a16", 0.53125, "bf16", served=False, expert_multiple=256),
    Format("fp32", 4.0, "fp32", ("float32",), ("fp32", "float32"), torch="float32"),
)
FORMATS = {f.name: f for f in _ALL}
SERVED = tuple(f.name for f in _ALL if f.served)
CACHED = tuple(f.name for f in _ALL if f.cached)
# Of those that several generations multiply at the same rate, the narrowest: worth trying.
NARROW = tuple(
    f.name
    for f in _ALL
    if f.served and f.bytes == min(g.bytes for g in _ALL if g.computes_in == f.computes_in) < 2.0
    if f.computes_in != "fp4"
)
_NAMED = {slug(n): f for f in _ALL for n in (f.name, *f.aliases)}
WORDS = frozenset(name.split("-")[0] for name in _NAMED)  # with which a format's name starts
_CONTAINERS = (
    "compressed-tensors",
    "quark",
    "torchao",
    "gguf",
)  # which hold any of several formats


def alike(one: str, other: str) -> bool:
    """Say whether two formats cost the same, or one is the other by its vendor's name."""
    a, b = FORMATS[one], FORMATS[other]
    meant = {*a.of.values(), *b.of.values()}
    return a is b or (a.plain and b.plain) or one in meant or other in meant


def format_named(text: str) -> Format:
    """Return the format called `text`, by us or by an engine; dashes are as good as underscores.

    Raises:
        UnknownName: there is none.
        SpecError: `text` is a way to store weights of several formats.

    """
    if found := _NAMED.get(slug(text)):
        return found
    if slug(text) in _CONTAINERS:
        raise SpecError(
            f"{text} is a way to store weights, in any of several formats",
            hint="say which one the checkpoint has: fp8, w8a8, w8a16, w4a16, nvfp4, mxfp4",
        )
    raise UnknownName.among("number format", text, FORMATS)


def formats_in(dtype: str, kv_dtype: str = "") -> tuple[str, str | None]:
    """Return the formats of weights and cache that a measurement's columns speak of.

    Args:
        dtype: as benchmarks write it: ``bfloat16``, ``gptq-int4``, ``w_int8_kv_fp8``; empty: 16 bits.
        kv_dtype: of the cache, where the file has it apart.

    Raises:
        UnknownName: neither speaks of a format we know.

    """
    weights = dtype.lower().partition("_kv_")[0].removeprefix("w_")
    held = next((f.name for f in _ALL if f.served and any(t in weights for t in f.in_files)), "")
    cache = dtype.lower().partition("_kv_")[2] or kv_dtype
    kept = format_named(cache) if cache else FORMATS["bf16"]
    if not (kept.cached or kept.plain):
        raise UnknownName.among("number format of a cache", cache, CACHED)
    return held or format_named(weights or "bf16").name, kept.name if kept.cached else None


def _served(text: str) -> str:
    found = format_named(text)
    if not found.served:
        raise UnknownName.among("number format of an engine", text, SERVED)
    return found.name


def _stored(text: str) -> str:
    return _served(text) if text else ""


Stored = Annotated[str, AfterValidator(_stored)]  # of a checkpoint; nothing where nobody says
Dtype = Annotated[str, AfterValidator(_served)]  # of an engine's weights or cache
