"""Which profiles ship, what each is fitted on, and what it has to borrow."""

from dataclasses import dataclass
from datetime import date

FITTED = date(2026, 11, 28)
AICONFIGURATOR = "ai-dynamo/aiconfigurator@095f58a (Apache-2.0)"
VIDUR = "microsoft/vidur@7d47513 (MIT)"
ARGONNE = "argonne-lcf/LLM-Inference-Bench@4211f5d (BSD-3-Clause)"
FASTER = "NVIDIA/FasterTransformer@df4a753 docs (Apache-2.0)"
QWEN = "QwenLM/Qwen3@5c4e69c and @a912d23 docs (speed benchmark pages, no licence; constants only)"

A100_40, A100_80, H100 = "a100-sxm-40gb", "a100-sxm-80gb", "h100-sxm"
KERNEL_DEVICE = {"ampere": A100_80, "hopper": H100}  # where its kernels were measured
KERNEL_DATA = {
    "ampere": f"kernels: {AICONFIGURATOR}, vLLM 0.14 on A100; {VIDUR}",
    "hopper": f"kernels: {AICONFIGURATOR}, vLLM 0.14 on H100",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One profile that is fitted on runs of its own."""

    name: str
    device: str  # the runs' device
    engine: str
    engine_version: str
    data: str
    also: tuple[str, ...] = ()  # devices it serves besides, for want of others
    after: str = ""  # the profile of a sister device it starts from
    formats: str = ""  # the profile that says what 8 and 4 bits cost, for want of such runs

    @property
    def architecture(self) -> str:
        """Its device's."""
        return "hopper" if self.device == H100 else "ampere"


@dataclass(frozen=True, slots=True)
class Borrowed:
    """One profile of an engine nobody published runs of: kernels measured, overheads of another."""

    name: str
    architecture: str
    devices: tuple[str, ...]
    engine: str
    engine_version: str
    lender: str
    formats: str  # the profile that says what 8 and 4 bits cost in whole runs


UNPINNED = "unpinned, 2024"
PLANS = (
    Plan("a100-40gb-tensorrt-llm", A100_40, "tensorrt-llm", UNPINNED, ARGONNE, also=(A100_80,)),
    Plan("a100-40gb-vllm-0.6", A100_40, "vllm-0.6", "0.6", ARGONNE),
    Plan(
        "a100-80gb-vllm-0.6",
        A100_80,
        "vllm-0.6",
        "0.4.2 and 0.6.3",
        QWEN,
        after="a100-40gb-vllm-0.6",
    ),
    Plan("a100-deepspeed-mii", A100_40, "deepspeed-mii", UNPINNED, ARGONNE, also=(A100_80,)),
    Plan("a100-transformers", A100_80, "transformers", "4.38 and 4.46", QWEN, also=(A100_40,)),
    Plan("a100-fastertransformer", A100_80, "fastertransformer", "5", FASTER, also=(A100_40,)),
    Plan("h100-tensorrt-llm", H100, "tensorrt-llm", UNPINNED, ARGONNE, formats="h100-vllm-0.6"),
    Plan("h100-vllm-0.6", H100, "vllm-0.6", "0.5 and 0.6", ARGONNE),
)
A100S = (A100_40, A100_80)
BORROWED = tuple(
    Borrowed(f"{device}-{engine}", generation, devices, engine, version, lender, formats)
    for device, generation, devices, lender, formats in (
        ("a100", "ampere", A100S, "a100-40gb-tensorrt-llm", "a100-80gb-vllm-0.6"),
    )
    for engine, version in (("vllm", "V1"), ("sglang", "0.4 and later"))
)


@dataclass(frozen=True, slots=True)
class Today:
    """One profile of an engine of today, fitted on runs of services on devices of a generation."""

    name: str
    architecture: str
    devices: tuple[str, ...]
    engine: str
    engine_version: str
    after: str = ""  # the profile of an older generation of the engine it starts from


INFERENCEX = "InferenceX (SemiAnalysis; Apache-2.0 with attribution), October 2025 to June 2026"
# Generations of an engine with runs: versions that ran, and the generation before.
_AMD = {"sglang": ("0.5.3", ""), "sglang-0.5.5": ("0.5.5 to 0.5.12", "sglang")}
_SINCE = _AMD | {
    "tensorrt-llm-1": ("1.0 and 1.1", ""),
    "tensorrt-llm-1.2": ("1.2 and 1.3", "tensorrt-llm-1"),
}
TODAY = tuple(
    Today(
        f"{device}-{engine}", generation, devices, engine, version, before and f"{device}-{before}"
    )
    for device, generation, devices, engines in (
        ("h100", "hopper", (H100, "h200-sxm"), (*_SINCE, "vllm")),
        ("b200", "blackwell", ("b200",), (*_SINCE, "vllm")),
        ("mi300x", "cdna3", ("mi300x",), (*_AMD, "vllm")),
        ("mi355x", "cdna4", ("mi355x",), (*_AMD, "vllm")),
    )
    for engine in engines
    for version, before in (_SINCE.get(engine, ("0.11 of October 2025", "")),)
)
BORROWED_WIDER = 1.5
# What the lender's runs say of the device itself, and not of its own attention kernels.
LENT_KERNELS = ("gemm_compute_eff", "gemm_hbm_eff", "sustained_clock", "launch_s", "link_eff")
# Whole runs fuse what a benchmark runs alone: bringing activations to 8 bits, unpacking 4.
LENT_FORMATS = ("quantise_launch_s", "quantise_hbm_eff", "unpack_share")
CLASS_DEFAULT = (
    "a100-vllm",
    "h100-vllm",
    "b200-vllm",
)  # averaged geometrically for any other device
