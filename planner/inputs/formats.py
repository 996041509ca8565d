"""Number formats: what an element takes, what it is multiplied in, and what others call it.

A format is a record here and nothing else: flags, devices' rates, measurement files and our own
measurements all look here.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from planner.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Format:
    """A number format of weights, of a cache, or of a measured kernel."""

    name: str
    bytes: float  # an element, with its share of the scales
    computes_in: str  # whose rate of a device holds: weight-only formats expand in the kernel
    aliases: tuple[str, ...] = ()  # of vLLM, SGLang, TensorRT-LLM, torch
    in_files: tuple[str, ...] = ()  # what a measurement's dtype contains that has such weights
    torch: str = ""  # the torch dtype that plain kernels run in
    served: bool = True  # an engine can hold weights in it
    cached: bool = False  # engines offer it for the cache, besides 16 bits

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


# Weight-only formats carry a 16-bit scale for every 64 to 128 weights.
# Where several could be meant, the first is: "bfloat16" contains "float16" too.
_ALL = (
    Format("bf16", 2.0, "bf16", ("bfloat16",), ("bf16", "bfloat16"), torch="bfloat16"),
    Format("fp16", 2.0, "fp16", ("float16", "half"), ("fp16", "float16"), torch="float16"),
    Format(
        "fp8",
        1.0,
        "fp8",
        ("fp8_e4m3", "fp8_e5m2", "w8a8_fp8", "float8_e4m3fn"),
        ("fp8",),
        cached=True,
    ),
    Format("int8", 1.0, "int8", ("w8a8", "w8a8_int8", "int8_sq"), cached=True),
    Format("w8a16", 1.03125, "bf16", ("int8_wo", "gptq-int8"), ("int8",)),
    Format("int4", 0.53125, "bf16", ("awq", "gptq", "w4a16", "int4_awq"), ("awq", "int4")),
    Format("fp32", 4.0, "fp32", ("float32",), ("fp32", "float32"), torch="float32", served=False),
)
FORMATS = {f.name: f for f in _ALL}
SERVED = tuple(f.name for f in _ALL if f.served)
CACHED = tuple(f.name for f in _ALL if f.cached)
# Of those multiplied at the same rate, the narrowest: what is worth trying instead of 16 bits.
NARROW = tuple(
    f.name
    for f in _ALL
    if f.served and f.bytes == min(g.bytes for g in _ALL if g.computes_in == f.computes_in) < 2.0
)


def format_named(text: str) -> Format:
    """Return the format called `text`, by us or by an engine.

    Raises:
        UnknownName: there is none.

    """
    name = text.strip().lower()
    for f in _ALL:
        if name == f.name or name in f.aliases:
            return f
    raise UnknownName.among("number format", text, FORMATS)


def formats_in(dtype: str, kv_dtype: str = "") -> tuple[str, str | None]:
    """Return the formats of weights and cache that a measurement's columns speak of.

    Args:
        dtype: as benchmarks write it: ``bfloat16``, ``gptq-int4``, ``w_int8_kv_fp8``; 16 bits where
            it says nothing we know.
        kv_dtype: of the cache, where the file has it apart.

    """
    weights = dtype.partition("_kv_")[0].removeprefix("w_")
    held = next(
        (f.name for f in _ALL if f.served and any(t in weights for t in f.in_files)), "bf16"
    )
    kept = next((c for c in CACHED if f"kv_{c}" in dtype or kv_dtype.startswith(c)), None)
    return held, kept


def _served(text: str) -> str:
    found = format_named(text)
    if not found.served:
        raise UnknownName.among("number format of an engine", text, SERVED)
    return found.name


Dtype = Annotated[str, AfterValidator(_served)]  # of an engine's weights or cache
