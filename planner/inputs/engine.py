"""How a model is served: the engine and what it allows itself."""

from typing import Any, Literal

from pydantic import Field, model_validator

from planner.columns import Limits, Parallel, Precision
from planner.inputs.device import BYTES, COMPUTES_IN, Dtype
from planner.inputs.fields import Spec

EngineName = Literal[
    "vllm",
    "vllm-0.6",
    "sglang",
    "tensorrt-llm",
    "deepspeed-mii",
    "fastertransformer",
    "transformers",
    "torch",
]

# How engines run unless told otherwise. Those without an entry are as EngineSpec's own defaults: vLLM V1.
_WHOLE = {"chunked_prefill": False, "max_batched_tokens": 8192}
_STATIC = {"chunked_prefill": False, "max_batched_tokens": 16384}
DEFAULTS: dict[str, dict[str, Any]] = {
    "vllm-0.6": _WHOLE,
    "tensorrt-llm": _WHOLE,
    "sglang": _WHOLE,  # prompts come first, and are mixed with decoding only on request
    "deepspeed-mii": {"max_batched_tokens": 2048},  # dynamic split-fuse
    "transformers": _STATIC,
    "fastertransformer": _STATIC,
}


class EngineSpec(Spec):
    """Engine, precision, parallelism and limits of one replica."""

    name: EngineName = Field(
        "vllm",
        description="Serving engine: vllm, sglang, tensorrt-llm, …",
        json_schema_extra={"option": "engine"},
    )
    dtype: Dtype = Field("bf16", description="Weight format: bf16, fp16, fp8, int8, int4.")
    kv_dtype: Dtype | None = Field(None, description="KV cache format; default: 16 bits.")
    tp: int = Field(1, ge=1, le=1024, description="Tensor-parallel degree.")
    pp: int = Field(1, ge=1, le=1024, description="Pipeline-parallel degree.")
    ep: int = Field(1, ge=1, le=1024, description="Expert-parallel degree, within tp.")
    memory_fraction: float = Field(
        0.9, gt=0, le=1, description="Share of the device's memory the engine takes."
    )
    max_num_seqs: int = Field(256, ge=1, le=10**6, description="Sequences it runs at most.")
    max_batched_tokens: int = Field(8192, ge=1, le=10**8, description="Token budget of a step.")
    chunked_prefill: bool = Field(
        True, description="Cut prompts to the budget and mix them with decoding."
    )
    block_tokens: int = Field(16, ge=1, le=10**6, description="Tokens of a KV block.")
    draft: str | None = Field(None, description="Model that drafts tokens: preset or path.")
    draft_tokens: int = Field(4, ge=1, le=64, description="Tokens drafted at a time.")
    acceptance: float = Field(0.7, ge=0, le=1, description="Chance that a drafted token is kept.")

    @model_validator(mode="before")
    @classmethod
    def _as_the_engine_runs(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return DEFAULTS.get(values.get("name", "vllm"), {}) | values
        return values

    @property
    def n_devices(self) -> int:
        """Devices of one replica."""
        return self.tp * self.pp

    def precision(self) -> Precision:
        """Bytes an element; embeddings, LM head and activations stay at 16 bits."""
        return Precision(
            weight_bytes=BYTES[self.dtype],
            embedding_bytes=2.0,
            kv_bytes=BYTES[self.kv_dtype] if self.kv_dtype else 2.0,
            activation_bytes=2.0,
            gemm_input_bytes=BYTES[COMPUTES_IN[self.dtype]],
        )

    def parallel(self) -> Parallel:
        """Return the degrees as columns."""
        return Parallel(tp=float(self.tp), pp=float(self.pp), ep=float(self.ep))

    def limits(self) -> Limits:
        """Return the limits as columns."""
        return Limits(
            memory_fraction=self.memory_fraction,
            max_num_seqs=float(self.max_num_seqs),
            max_batched_tokens=float(self.max_batched_tokens),
            block_tokens=float(self.block_tokens),
            chunked_prefill=float(self.chunked_prefill),
        )
