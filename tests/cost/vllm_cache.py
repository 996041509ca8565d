"""vLLM's own answer to how it lays out its cache, asked with the Python vLLM is installed in:
`python vllm_cache.py < vllm_cache_cases.json > vllm_cache_answers.json`.

vLLM's engine plans the cache of a model that is built on the meta device, on vLLM's own platform
for CUDA that is told it sits on an H100: no GPU, no weights. Only kernels are stood in for, as the
build for CPUs has none of CUDA's; what chooses backends, block sizes, specs and groups is vLLM's.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
LIBRARIES = (
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm._flashmla_C",
    "vllm._flashmla_extension_C",
    "vllm.third_party.flashmla.flash_mla",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
    "vllm.model_executor.kernels.linear.cute_dsl.gemm_rs_ar",
    "deep_gemm",
    "transformers.models.qwen2_vl.image_processing_qwen2_vl",  # of Qwen3.5; wants torchvision
)


class StandIn(MetaPathFinder, Loader):
    """What comes with vLLM for GPUs, and is imported, but not asked anything."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        known = fullname.startswith(LIBRARIES)
        return ModuleSpec(fullname, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> Any:
        return MagicMock()

    def exec_module(self, module: Any) -> None: ...


sys.meta_path.insert(0, StandIn())

import torch
import vllm
from torch.overrides import TorchFunctionMode
from vllm import platforms
from vllm.platforms.cuda import CudaPlatformBase
from vllm.platforms.interface import DeviceCapability


class H100(CudaPlatformBase):
    @classmethod
    def get_device_capability(cls, device_id: int = 0) -> DeviceCapability:
        return DeviceCapability(9, 0)

    @classmethod
    def get_device_name(cls, device_id: int = 0) -> str:
        return "NVIDIA H100 80GB HBM3"

    @classmethod
    def get_device_total_memory(cls, device_id: int = 0) -> int:
        return 80 << 30

    @classmethod
    def num_compute_units(cls, device_id: int = 0) -> int:
        return 132

    @classmethod
    def device_count(cls) -> int:
        return 8

    @classmethod
    def is_fully_connected(cls, physical_device_ids: list[int]) -> bool:
        return True


platforms._current_platform = H100()
# Triton is installed; vLLM only leaves it out because this build's version ends in "+cpu".
platforms.vllm_version_matches_substr = lambda substr: False

import vllm._custom_ops  # it asks which kernels exist, so before all of them seem to

found_op = torch._ops._OpNamespace.__getattr__


def op(namespace: Any, name: str) -> Any:
    try:
        return found_op(namespace, name)
    except AttributeError:
        if name.startswith("__"):
            raise
        return MagicMock(return_value=False)


torch._ops._OpNamespace.__getattr__ = op
torch.cuda.Stream = torch.cuda.Event = MagicMock  # type: ignore[misc, assignment]
torch.cuda.current_device = lambda: "meta"  # type: ignore[assignment]

from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.distributed.kv_transfer.kv_connector.utils import get_current_attn_backends
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models.registry import _LazyRegisteredModel, _ModelInfo
from vllm.usage.usage_lib import UsageContext
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.attention.backends.utils import get_supported_kv_cache_layouts
from vllm.v1.engine.core import EngineCore
from vllm.v1.kv_cache_interface import (
    KVCacheConfig,
    KVCacheGroupSpec,
    KVCacheSpec,
    UniformTypeKVCacheSpecs,
    get_kv_cache_spec_kind,
    get_kv_cache_spec_sliding_window,
    iter_layer_specs,
)
from vllm.v1.worker import workspace
from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

workspace._manager = MagicMock()
# In this process, not in a fresh one that would not know the H100.
_LazyRegisteredModel.inspect_model_cls = lambda self: _ModelInfo.from_model_cls(
    self.load_model_cls()
)


class Worker:
    """What the engine asks of its workers before the first request."""

    def __init__(self, config: VllmConfig, cache_bytes: int) -> None:
        self.config, self.cache_bytes = config, cache_bytes
        self.backends = get_current_attn_backends(config)
        self.plan: KVCacheConfig | None = None

    def get_kv_cache_specs(self) -> list[dict[str, KVCacheSpec]]:
        return [get_kv_cache_spec(self.config)]

    def get_supported_kv_cache_layouts(self) -> list[list[str]]:
        return [[layout.name for layout in get_supported_kv_cache_layouts(self.backends)]]

    def determine_available_memory(self) -> list[int]:
        return [self.cache_bytes]

    def initialize_from_config(self, plans: list[KVCacheConfig]) -> None:
        self.plan = plans[0]

    def set_kv_cache_layout(self, name: str) -> None: ...

    def compile_or_warm_up_model(self) -> None: ...


def engine_config(case: dict[str, Any], folder: str) -> VllmConfig:
    Path(folder, "config.json").write_text(json.dumps(case["model"]))
    words = {word: case[word] for word in case.keys() - {"model", "tp", "cache_bytes"}}
    return EngineArgs(
        model=folder,
        load_format="dummy",
        skip_tokenizer_init=True,
        tensor_parallel_size=case["tp"],
        **words,
    ).create_engine_config(UsageContext.OPENAI_API_SERVER)


class Meta(TorchFunctionMode):
    """Nothing is allocated or computed, also where a layer names its device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.item:
            return 0
        return func(*args, **kwargs | ({"device": "meta"} if "device" in kwargs else {}))


def build(config: VllmConfig) -> None:
    """The layers of rank 0; they register themselves in the config."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    with set_current_vllm_config(config):
        parallel_state.init_distributed_environment(1, 0, "env://", 0, "gloo")
        parallel_state.initialize_model_parallel()
        parallel_state.get_tp_group().world_size = config.parallel_config.tensor_parallel_size
        with set_default_torch_dtype(config.model_config.dtype), torch.device("meta"), Meta():
            initialize_model(config)


def counted(name: str, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those alike once, with how many there are."""
    counts = Counter(json.dumps(item) for item in items)
    return [{name: n} | json.loads(item) for item, n in counts.items()]


def layer(spec: KVCacheSpec) -> dict[str, Any]:
    return {
        "kind": get_kv_cache_spec_kind(spec).value,
        "window": get_kv_cache_spec_sliding_window(spec)
        or getattr(spec, "attention_chunk_size", None),
        "page_bytes": spec.page_size_bytes,
        "unpadded_page_bytes": spec.real_page_size_bytes,
    }


def group(group: KVCacheGroupSpec, widest: int, config: VllmConfig) -> dict[str, Any]:
    spec, n = group.kv_cache_spec, len(group.layer_names)
    mixed = isinstance(spec, UniformTypeKVCacheSpecs)
    return {
        "block_size": spec.block_size,
        "layers": counted("layers", map(layer, iter_layer_specs(spec) if mixed else [spec] * n)),
        "padding_layers": widest - n,
        "request_blocks": spec.max_memory_usage_bytes(config) // spec.page_size_bytes,
    }


def answer(case: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        config = engine_config(case, folder)
        build(config)
        platforms.current_platform.update_block_size_for_backend(config)
    cache, worker = config.cache_config, Worker(config, case["cache_bytes"])
    block_size = cache.block_size  # the engine sets it to the smallest group's
    EngineCore._initialize_kv_caches(SimpleNamespace(model_executor=worker), config)
    assert worker.plan
    groups = worker.plan.kv_cache_groups
    widest = max(len(g.layer_names) for g in groups)
    return {
        "backends": [backend.get_name() for backend in worker.backends],
        "layout": cache.kv_cache_layout,
        "block_size": block_size,
        "prefix_caching": cache.enable_prefix_caching,
        "mamba_cache_mode": cache.mamba_cache_mode,
        "max_in_flight_tokens": config.max_in_flight_tokens,
        "groups": counted("groups", (group(g, widest, config) for g in groups)),
        "bytes_per_block": worker.plan.kv_cache_tensors[0].size // worker.plan.num_blocks,
        "num_blocks": worker.plan.num_blocks,
        "tokens": cache.kv_cache_size_tokens,
        "concurrency": cache.kv_cache_max_concurrency,
    }


def answer_or_refusal(case: dict[str, Any]) -> dict[str, Any]:
    try:
        return answer(case)
    except ValueError as error:
        return {"refused": f"{type(error).__name__}: {error}"}


def main() -> None:
    asked = json.load(sys.stdin)
    cases = [
        asked["defaults"] | case | {"model": asked["configs"][case["model"]]}
        for case in asked["cases"].values()
    ]
    # A process each: a process group and a model's layers are a process's own.
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        answers = pool.map(answer_or_refusal, cases, chunksize=1)
    lines = [
        f"{json.dumps(name)}: {json.dumps(answer)}"
        for name, answer in zip(asked["cases"], answers, strict=True)
    ]
    version = json.dumps(vllm.__version__)
    sys.stdout.write(f'{{"vllm": {version},\n"answers": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main()
