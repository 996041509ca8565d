"""A small Llama: pre-norm RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings.

Widths are scaled the muP way (Yang and Hu, arXiv 2203.03466), so that one learning rate is fair to every
shape: a matrix starts at 1/√fan_in and learns at lr·BASE_WIDTH/fan_in; the embedding's rate does not
depend on width, and the tied head divides its logits by the width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own custom

from planner.inputs.model import ModelSpec
from planner_calibration.measure.shapes import Shape

BASE_WIDTH = 64  # where all rates coincide
EMBEDDING_STD = 0.1
ROPE_BASE = 10_000.0


def rotary(head_dim: int, n_positions: int) -> Tensor:
    """Return cosines and sines, shape (2, n_positions, head_dim/2) (RoFormer, arXiv 2104.09864)."""
    frequency = ROPE_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.outer(torch.arange(n_positions, dtype=torch.float32), frequency)
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of `x` (…, positions, head_dim) by their position's angles."""
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


class Layer(nn.Module):
    """Attention, then the gated MLP, each on a normalised residual stream."""

    def __init__(self, s: Shape | ModelSpec) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = s.n_heads, s.n_kv_heads, s.head_dim
        width, kv_width = s.n_heads * s.head_dim, s.n_kv_heads * s.head_dim
        self.attention_norm = nn.RMSNorm(s.d_model, eps=1e-5)
        self.qkv = nn.Linear(s.d_model, width + 2 * kv_width, bias=False)
        self.out = nn.Linear(width, s.d_model, bias=False)
        self.mlp_norm = nn.RMSNorm(s.d_model, eps=1e-5)
        self.gate_up = nn.Linear(s.d_model, 2 * s.d_ff, bias=False)
        self.down = nn.Linear(s.d_ff, s.d_model, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, time, d_model) to the same."""
        return self.rest(x, attend(*self.heads_of(x, cos, sin)))

    def heads_of(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (batch, heads, time, head_dim), turned by position."""
        b, t, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(b, t, -1, self.head_dim).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def rest(self, x: Tensor, y: Tensor) -> Tensor:
        """Add what attention found, `y`, and the MLP to the residual stream `x`."""
        b, t, _ = x.shape
        x = x + self.out(y.transpose(1, 2).reshape(b, t, -1))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        z = self.down(F.silu(gate) * up)
        return x + z  # type: ignore[no-any-return] # a module call is untyped


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention; kv heads are shared by the kernel on a GPU and repeated elsewhere."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    group = q.shape[1] // k.shape[1]
    if group > 1:  # torch's CPU kernel is several times slower with enable_gqa
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Llama(nn.Module):
    """Tokens to logits; `seed` fixes the start."""

    angles: Tensor

    def __init__(self, shape: Shape, n_positions: int, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.d_model)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.n_layers))
        self.norm = nn.RMSNorm(shape.d_model, eps=1e-5)
        self.register_buffer("angles", rotary(shape.head_dim, n_positions), persistent=False)
        self._start(seed)

    @torch.no_grad()
    def _start(self, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        for name, p in self.named_parameters():
            if name.startswith("embedding"):
                p.normal_(0, EMBEDDING_STD, generator=random)
            elif p.ndim == 2:
                branch_end = "out." in name or "down." in name
                share = (2 * self.shape.n_layers) ** -0.5 if branch_end else 1.0
                p.normal_(0, share * p.shape[1] ** -0.5, generator=random)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats per token."""
        x = self.embedding(tokens) / EMBEDDING_STD
        cos, sin = self.angles[:, : tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        scale = BASE_WIDTH / self.shape.d_model
        logits = F.linear(self.norm(x) * scale, self.embedding.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Return AdamW's parameter groups, each with its muP rate as `peak_lr`.

        Decay is per step the same for every width: its product with the rate does not change.
        """
        by_fan_in: dict[int, list[Tensor]] = {}
        flat: list[Tensor] = []
        for name, p in self.named_parameters():
            if p.ndim == 2 and not name.startswith("embedding"):
                by_fan_in.setdefault(p.shape[1], []).append(p)
            else:
                flat.append(p)
        matrices = [
            {
                "params": ps,
                "peak_lr": lr * BASE_WIDTH / fan_in,
                "weight_decay": weight_decay * fan_in / BASE_WIDTH,
            }
            for fan_in, ps in sorted(by_fan_in.items())
        ]
        return [*matrices, {"params": flat, "peak_lr": lr, "weight_decay": 0.0}]
