"""Prefill and decode of a Llama-style config on a static key/value cache.

Every sequence of a batch has the same length, as in the fixed-length workloads it measures. Query heads
that share a key/value head are given to the attention kernel as rows of one head, so that the cache is
read once a group.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own custom
from torch.nn.attention.flex_attention import flex_attention

from planner.inputs.model import ModelSpec
from planner_calibration.measure.train import model as train
from planner_calibration.measure.train.model import attend, rotary


class Layer(train.Layer):
    """A layer as it is trained, with its cache."""

    keys: Tensor
    values: Tensor

    def __init__(self, s: ModelSpec, batch: int, n_positions: int) -> None:
        super().__init__(s)
        shape = batch, s.n_kv_heads, n_positions, s.head_dim
        self.register_buffer("keys", torch.zeros(shape), persistent=False)
        self.register_buffer("values", torch.zeros(shape), persistent=False)

    def prefill(self, x: Tensor, rows: slice, cos: Tensor, sin: Tensor) -> Tensor:
        """Compute whole prompts and fill the cache of these sequences."""
        q, k, v = self.heads_of(x, cos, sin)
        length = x.shape[1]
        self.keys[rows, :, :length], self.values[rows, :, :length] = k, v
        return self.rest(x, attend(q, k, v))

    def decode(
        self, x: Tensor, position: Tensor, seen: int, bucket: bool, cos: Tensor, sin: Tensor
    ) -> Tensor:
        """Compute one token a sequence against the first `seen` cached positions.

        Of a `bucket` those after `position` are left out by flex attention, whose kernel for a few
        queries splits the keys as servers' kernels do; a mask would leave only slow kernels.
        """
        q, k, v = self.heads_of(x, cos, sin)
        self.keys.index_copy_(2, position, k)
        self.values.index_copy_(2, position, v)
        b = x.shape[0]
        keys, values = self.keys[:, :, :seen], self.values[:, :, :seen]
        if bucket:
            y = flex_attention(q, keys, values, _up_to(position), enable_gqa=True)
            return self.rest(x, y)
        q = q.view(b, self.kv_heads, self.heads // self.kv_heads, self.head_dim)
        y = F.scaled_dot_product_attention(q, keys, values)
        return self.rest(x, y.reshape(b, self.heads, 1, self.head_dim))


def _up_to(position: Tensor) -> Callable[..., Tensor]:
    """Return what leaves keys after a position out of attention."""

    def score(found: Tensor, b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return torch.where(key <= position[0], found, float("-inf"))

    return score


class Model(nn.Module):
    """A decoder with its cache. Weights are random: time does not depend on them."""

    angles: Tensor

    def __init__(self, spec: ModelSpec, batch: int, n_positions: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(spec.vocab_size, spec.d_model)
        self.layers = nn.ModuleList(Layer(spec, batch, n_positions) for _ in range(spec.n_layers))
        self.norm = nn.RMSNorm(spec.d_model, eps=1e-5)
        self.head = nn.Linear(spec.d_model, spec.vocab_size, bias=False)
        if spec.tied_embeddings:
            self.head.weight = self.embedding.weight
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02)
        self.register_buffer("angles", rotary(spec.head_dim, n_positions), persistent=False)

    def prefill(self, tokens: Tensor, rows: slice) -> Tensor:
        """Return the next token of each prompt; `tokens` is (sequences, length)."""
        cos, sin = self.angles[:, : tokens.shape[1]]
        x = self.embedding(tokens)
        for layer in self._layers():
            x = layer.prefill(x, rows, cos, sin)
        return self._next(x[:, -1:])

    def decode(self, tokens: Tensor, position: Tensor, seen: int, bucket: bool = False) -> Tensor:
        """Return the next token of each sequence; `tokens` is (batch, 1), `position` a tensor of one."""
        cos, sin = self.angles.index_select(1, position)
        x = self.embedding(tokens)
        for layer in self._layers():
            x = layer.decode(x, position, seen, bucket, cos, sin)
        return self._next(x)

    def _layers(self) -> Iterator[Layer]:
        return (layer for layer in self.layers if isinstance(layer, Layer))

    def _next(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(x))
        return logits.argmax(dim=-1)
