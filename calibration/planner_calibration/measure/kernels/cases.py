"""What is measured: an operator, its shape, and closures that run it on buffers larger than the cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own custom

from planner.inputs.formats import FORMATS
from planner.inputs.measurement import Kind
from planner_calibration.measure.train.model import attend

DTYPES: dict[str, torch.dtype] = {
    f.torch: getattr(torch, f.torch) for f in FORMATS.values() if f.torch
}
Calls = list[Callable[[], object]]
Make = Callable[[str, torch.dtype], Calls]
LARGEST_ROTATION = 64  # buffers of one case at most


@dataclass(frozen=True, slots=True)
class Case:
    """One kernel: how much it computes and moves, and how to run it."""

    kind: Kind
    shape: dict[str, int]
    flops: float
    elements: float  # moved, as the dtype stores them
    make: Make = field(compare=False, repr=False)

    def bytes(self, dtype: str) -> float:
        """Return what is moved."""
        return self.elements * DTYPES[dtype].itemsize


def gemm(m: int, n: int, k: int, cache_bytes: float) -> Case:
    """(m × k) by (k × n), the weights taken in turn from several copies."""

    def make(device: str, dtype: torch.dtype) -> Calls:
        copies = rotation(n * k * dtype.itemsize, cache_bytes)
        x = torch.randn(m, k, device=device, dtype=dtype)
        weights = [torch.randn(n, k, device=device, dtype=dtype) for _ in range(copies)]
        return [lambda w=w: F.linear(x, w) for w in weights]  # type: ignore[misc]

    return Case("gemm", {"m": m, "n": n, "k": k}, 2.0 * m * n * k, n * k + m * (n + k), make)


def attention_prefill(tokens: int, heads: int, kv_heads: int, head_dim: int, cache: float) -> Case:
    """Causal attention of one whole prompt."""

    def make(device: str, dtype: torch.dtype) -> Calls:
        copies = rotation(2 * kv_heads * tokens * head_dim * dtype.itemsize, cache)
        q = torch.randn(1, heads, tokens, head_dim, device=device, dtype=dtype)
        pairs = [_kv(1, kv_heads, tokens, head_dim, device, dtype) for _ in range(copies)]
        return [lambda k=k, v=v: attend(q, k, v) for k, v in pairs]  # type: ignore[misc]

    shape = {"tokens": tokens, "n_heads": heads, "n_kv_heads": kv_heads, "head_dim": head_dim}
    flops = 2.0 * tokens * tokens * heads * head_dim  # causal: half of 4·T²
    return Case(
        "attention_prefill", shape, flops, 2.0 * tokens * (heads + kv_heads) * head_dim, make
    )


def attention_decode(
    seqs: int, context: int, heads: int, kv_heads: int, head_dim: int, cache: float
) -> Case:
    """One query a sequence over its cached keys and values, grouped heads as rows of one."""

    def make(device: str, dtype: torch.dtype) -> Calls:
        copies = rotation(2 * seqs * kv_heads * context * head_dim * dtype.itemsize, cache)
        q = torch.randn(seqs, kv_heads, heads // kv_heads, head_dim, device=device, dtype=dtype)
        pairs = [_kv(seqs, kv_heads, context, head_dim, device, dtype) for _ in range(copies)]
        return [lambda k=k, v=v: F.scaled_dot_product_attention(q, k, v) for k, v in pairs]  # type: ignore[misc]

    shape = {
        "seqs": seqs,
        "context": context,
        "n_heads": heads,
        "n_kv_heads": kv_heads,
        "head_dim": head_dim,
    }
    elements = 2.0 * seqs * context * kv_heads * head_dim
    return Case("attention_decode", shape, 4.0 * seqs * context * heads * head_dim, elements, make)


def gated_activation(tokens: int, width: int, cache: float) -> Case:
    """SiLU of one half times the other: two reads, one write."""

    def make(device: str, dtype: torch.dtype) -> Calls:
        copies = rotation(3 * tokens * width * dtype.itemsize, cache)
        pairs = [
            torch.randn(2, tokens, width, device=device, dtype=dtype).unbind()
            for _ in range(copies)
        ]
        return [lambda g=g, u=u: F.silu(g) * u for g, u in pairs]  # type: ignore[misc]

    shape = {"tokens": tokens, "width": width}
    return Case("elementwise", shape, 5.0 * tokens * width, 3.0 * tokens * width, make)


def copy(elements: int, cache: float) -> Case:
    """One buffer to another: a read and a write."""

    def make(device: str, dtype: torch.dtype) -> Calls:
        copies = rotation(2 * elements * dtype.itemsize, cache)
        pairs = [
            (
                torch.empty(elements, device=device, dtype=dtype),
                torch.ones(elements, device=device, dtype=dtype),
            )
            for _ in range(copies)
        ]
        return [lambda a=a, b=b: a.copy_(b) for a, b in pairs]  # type: ignore[misc]

    return Case("copy", {"elements": elements}, 0.0, 2.0 * elements, make)


def rotation(bytes_: float, cache_bytes: float) -> int:
    """Return how many buffers of that size it takes to exceed the cache twice."""
    return int(min(LARGEST_ROTATION, max(2, -(-2 * cache_bytes // max(bytes_, 1)))))


def _kv(
    seqs: int, kv_heads: int, tokens: int, head_dim: int, device: str, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    return torch.randn(2, seqs, kv_heads, tokens, head_dim, device=device, dtype=dtype).unbind()


def sweep(size: str, cache_bytes: float) -> Iterator[Case]:
    """Yield the cases of a sweep: "small" for seconds on a CPU, "full" for minutes on a GPU."""
    small = size == "small"
    rows: Sequence[int] = (
        (1, 4, 16, 64, 256) if small else (1, 4, 16, 32, 64, 128, 256, 1024, 4096, 8192)
    )
    widths = (
        [(256, 256), (1024, 256), (256, 1024), (1024, 1024)]
        if small
        else [(2560, 2560), (3072, 2048), (8192, 2560), (2560, 4096), (16384, 2048), (128256, 2560)]
    )
    for n, k in widths:
        for m in rows:
            if m * n <= 1 << 29:  # logits of every row never exist at once
                yield gemm(m, n, k, cache_bytes)
    heads = (
        [(8, 8, 32), (8, 2, 64)]
        if small
        else [(32, 8, 64), (36, 4, 64), (24, 8, 128), (42, 6, 128)]
    )
    for h, kv, d in heads:
        for tokens in (128, 512) if small else (512, 2048, 4096, 8192):
            yield attention_prefill(tokens, h, kv, d, cache_bytes)
        for seqs in (1, 16) if small else (1, 8, 32, 128):
            for context in (64, 512) if small else (512, 4096, 8192):
                yield attention_decode(seqs, context, h, kv, d, cache_bytes)
    for tokens in (1, 16, 256) if small else (1, 16, 128, 1024, 8192):
        yield gated_activation(tokens, 1024 if small else 8192, cache_bytes)
