"""What sets one model family apart from Llama: norms, biases, and how Hugging Face writes it down.

Read from the modelling code of Hugging Face transformers 5 (github.com/huggingface/transformers),
which the tests count against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal[
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "phi3",
    "olmo2",
    "mixtral",
    "qwen3_moe",
    "deepseek_v2",
    "deepseek_v3",
]


@dataclass(frozen=True, slots=True)
class Traits:
    """One family. Its name is Hugging Face's `model_type`."""

    architecture: str  # the class transformers and vLLM look for
    norms_per_layer: int = 2  # vectors of d_model
    qkv_bias: bool = False  # always there, whatever the config says
    attention_bias: bool = False  # may be switched on: query, key, value and output
    mlp_bias: bool = False  # may be switched on: gate, up and down
    qk_norm: Literal["", "head", "full"] = ""  # over a head, or over all of them at once
    divisible_width: bool = False  # transformers demands that n_heads divide d_model
    fixed_head_dim: bool = False  # transformers takes d_model / n_heads, whatever head_dim says
    tied_by_default: bool = False
    default_head_dim: int | None = None  # None: d_model / n_heads
    window: Literal["", "all", "alternate", "upper"] = ""  # which layers may look back only so far
    experts: Literal["", "num_local_experts", "num_experts", "n_routed_experts"] = ""
    latent: bool = False  # multi-head latent attention
    constants: Mapping[str, Any] = field(default_factory=dict)  # written to config.json as they are


_LLAMA_LIKE = {"hidden_act": "silu", "rms_norm_eps": 1e-5}
_QWEN = {"hidden_act": "silu", "rms_norm_eps": 1e-6}
_DEEPSEEK = _QWEN | {"moe_layer_freq": 1, "n_group": 1, "topk_group": 1}

FAMILIES: dict[Family, Traits] = {
    "llama": Traits(
        "LlamaForCausalLM",
        attention_bias=True,
        mlp_bias=True,
        divisible_width=True,
        constants=_LLAMA_LIKE,
    ),
    "mistral": Traits("MistralForCausalLM", window="all", constants=_LLAMA_LIKE),
    "qwen2": Traits(
        "Qwen2ForCausalLM", qkv_bias=True, fixed_head_dim=True, window="upper", constants=_QWEN
    ),
    "qwen3": Traits(
        "Qwen3ForCausalLM",
        attention_bias=True,
        qk_norm="head",
        default_head_dim=128,
        window="upper",
        constants=_QWEN,
    ),
    "gemma2": Traits(
        "Gemma2ForCausalLM",
        norms_per_layer=4,
        attention_bias=True,
        divisible_width=True,
        tied_by_default=True,
        default_head_dim=256,
        window="alternate",
        constants={
            "hidden_activation": "gelu_pytorch_tanh",
            "hidden_act": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-6,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
    ),
    "phi3": Traits("Phi3ForCausalLM", fixed_head_dim=True, window="all", constants=_LLAMA_LIKE),
    "olmo2": Traits(
        "Olmo2ForCausalLM",
        attention_bias=True,
        qk_norm="full",
        fixed_head_dim=True,
        divisible_width=True,
        constants=_QWEN,
    ),
    "mixtral": Traits(
        "MixtralForCausalLM", window="all", experts="num_local_experts", constants=_LLAMA_LIKE
    ),
    "qwen3_moe": Traits(
        "Qwen3MoeForCausalLM",
        attention_bias=True,
        qk_norm="head",
        window="upper",
        experts="num_experts",
        constants=_QWEN | {"decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True},
    ),
    "deepseek_v2": Traits(
        "DeepseekV2ForCausalLM",
        divisible_width=True,
        experts="n_routed_experts",
        latent=True,
        constants=_DEEPSEEK
        | {
            "topk_method": "greedy",
            "scoring_func": "softmax",
            "norm_topk_prob": False,
            "routed_scaling_factor": 1.0,
        },
    ),
    "deepseek_v3": Traits(
        "DeepseekV3ForCausalLM",
        experts="n_routed_experts",
        latent=True,
        constants=_DEEPSEEK
        | {
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "num_nextn_predict_layers": 0,
        },
    ),
}
