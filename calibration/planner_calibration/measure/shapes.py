"""Shapes to measure: Llama-style architectures of one size that differ in d_model, r and GQA."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from typing import Self

from planner.errors import Infeasible


@dataclass(frozen=True, slots=True)
class Shape:
    """A dense Llama-style decoder; the field's own names."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    vocab_size: int

    @property
    def attention_params(self) -> int:
        """Query, key, value and output matrices of one layer."""
        return self.d_model * self.head_dim * 2 * (self.n_heads + self.n_kv_heads)

    @property
    def n_params_non_embedding(self) -> int:
        """The law's N: attention and gated MLP of all layers."""
        return self.n_layers * (self.attention_params + 3 * self.d_model * self.d_ff)

    @property
    def n_params(self) -> int:
        """All weights, the embedding counted once (tied), norms left out."""
        return self.n_params_non_embedding + self.vocab_size * self.d_model

    @property
    def x(self) -> float:
        """d_model/√N."""
        return float(self.d_model / self.n_params_non_embedding**0.5)

    @property
    def r(self) -> float:
        """MLP over attention parameters."""
        return 3 * self.d_model * self.d_ff / self.attention_params

    @property
    def gqa(self) -> float:
        """Query heads that share one key/value head."""
        return self.n_heads / self.n_kv_heads

    @classmethod
    def of(cls, what: Mapping[str, object]) -> Self:
        """Return the shape a run records."""
        return cls(*(int(float(str(what[name]))) for name in FIELDS))

    def settings(self) -> dict[str, int]:
        """Return the fields as a run records them."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"d{self.d_model} h{self.n_heads}/{self.n_kv_heads}x{self.head_dim} ff{self.d_ff}"
            f" (x {self.x:.3f}, r {self.r:.2f}, GQA {self.gqa:g})"
        )


FIELDS = tuple(f.name for f in fields(Shape))


def distinct(
    n_params_non_embedding: float, wanted: Iterable[tuple[float, float, int]], **fixed: int
) -> list[Shape]:
    """Return the shape nearest to each wanted x, r and GQA, none twice; `fixed` goes to `near`."""
    shapes = (near(n_params_non_embedding, x=x, r=r, gqa=g, **fixed) for x, r, g in wanted)
    return list(dict.fromkeys(shapes))


def near(
    n_params_non_embedding: float,
    *,
    n_layers: int,
    x: float,
    r: float,
    gqa: int,
    head_dim: int,
    vocab_size: int,
    multiple: int = 8,
) -> Shape:
    """Return the legal shape nearest to the wanted x and r whose N is as close as heads allow.

    `d_model` is a multiple of `multiple`, heads come whole and in groups, and `d_ff` (also a multiple)
    takes up what is left so that N holds.

    Raises:
        Infeasible: not even one group of heads fits into that N.

    """
    best: tuple[float, Shape] | None = None
    d0 = x * n_params_non_embedding**0.5
    per_layer = n_params_non_embedding / n_layers
    for d_model in {max(multiple, round(d0 / multiple + k) * multiple) for k in (-1, 0, 1)}:
        groups0 = per_layer / (1 + r) / (2 * d_model * head_dim * (gqa + 1))
        for groups, step in product({max(1, round(groups0 + k)) for k in (-1, 0, 1)}, (-1, 0, 1)):
            attention = 2 * d_model * head_dim * groups * (gqa + 1)
            d_ff = round((per_layer - attention) / (3 * d_model) / multiple + step) * multiple
            if d_ff < multiple:
                continue
            shape = Shape(n_layers, d_model, groups * gqa, groups, head_dim, int(d_ff), vocab_size)
            miss = (
                10 * abs(shape.n_params_non_embedding / n_params_non_embedding - 1)
                + abs(shape.x / x - 1)
                + abs(shape.r / r - 1)
            )
            if best is None or miss < best[0]:
                best = miss, shape
    if best is None:
        raise Infeasible(
            f"no shape of {n_params_non_embedding:g} parameters has x {x:g}, r {r:g}, GQA {gqa}",
            hint="lower --head-dim or GQA, or choose a larger N",
        )
    return best[1]
