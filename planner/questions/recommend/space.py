"""Every legal shape of a given size, a chunk at a time: the whole product is never built."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.columns import Arch, Table
from planner.errors import SpecError
from planner.inputs.model import llama_arch, llama_extra_params
from planner.inputs.question import Question, Range
from planner.law.terms.depth import field_depths, reference_depth
from planner.law.terms.head_size import reference_head_dim
from planner.scenario.evaluate import SHAPE
from planner.scenario.legal import HEAD_SIZES, whole_heads

DEPTH_STEP = 0.1  # of ln(layers), between the depths of an automatic search
CHUNK_ROWS = 65_536  # large enough that numpy, not Python, takes the time


def arch_of(table: Table) -> Arch:
    """Return the Llama-style shapes of a table as columns."""
    return llama_arch(table)


@dataclass(frozen=True, slots=True)
class Space:
    """Shapes of `n_params` within a tolerance, on a grid of `align`, for fixed depths and head sizes.

    Legal: d_model and d_ff multiples of `align`, n_heads whole, n_kv_heads dividing n_heads.
    """

    question: Question
    layers: tuple[int, ...]
    head_dims: tuple[int, ...]
    caps: tuple[int, ...] = ()  # depths at and next to which the search stops, not the law
    widths: Range | None = None  # a part of it: d_model from and to

    def at_reference_depth(self) -> "Space":
        """Return the part of the space at the depth the law is read at."""
        n = self.n_non_embedding(self.question.params)
        return replace(self, layers=(int(reference_depth(n)),), caps=())

    def pieces(self, rows: int) -> Iterator["Space"]:
        """Yield parts of at least about `rows` shapes, the last of a depth and head size with what is left.

        They are cut by what is known before shapes are made, always alike.
        """
        for n_layers in self.layers:
            for head_dim in self.head_dims:
                part, held = list[float](), 0
                for d_model in self._widths():
                    counted = self._counted(n_layers, d_model, head_dim)
                    n = 0 if counted is None else int(counted[-1].sum())
                    part, held = part + [d_model] * bool(n), held + n
                    if held >= rows:
                        yield self._part(n_layers, head_dim, part)
                        part, held = [], 0
                if part:
                    yield self._part(n_layers, head_dim, part)

    def _part(self, n_layers: int, head_dim: int, widths: list[float]) -> "Space":
        return Space(
            self.question, (n_layers,), (head_dim,), widths=(float(widths[0]), float(widths[-1]))
        )

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Arch]:
        """Yield columns of at most about `rows` shapes; n_layers and head_dim are single numbers."""
        for n_layers in self.layers:
            for head_dim in self.head_dims:
                waiting: list[Any] = []
                for grid in self._by_width(n_layers, head_dim, rows):
                    waiting.append(grid)
                    if sum(len(g[0]) for g in waiting) >= rows:
                        yield self._arch(n_layers, head_dim, waiting)
                        waiting = []
                if waiting:
                    yield self._arch(n_layers, head_dim, waiting)

    def _arch(self, n_layers: int, head_dim: int, grids: list[Any]) -> Arch:
        d_model, n_heads, n_kv_heads, d_ff = (np.concatenate(c) for c in zip(*grids, strict=True))
        vocab_size = float(self.question.vocab_size)
        row = (float(n_layers), d_model, n_heads, n_kv_heads, float(head_dim), d_ff, vocab_size)
        return arch_of(dict(zip(SHAPE, row, strict=True)))

    def _widths(self) -> Any:
        """Return the d_model on the grid, from a little outside the range each row is held to."""
        q = self.question
        root = self.n_non_embedding(q.params) ** 0.5
        low, high = q.d_over_sqrt_n
        # A little wider than the range: each row is held to it by its own N below.
        slack = 1.1 if q.params_kind == "non-embedding" else 2.0
        first = max(1, int(low * root / slack / q.align))
        last = int(high * root * slack / q.align) + 1
        found = np.arange(first, last + 1, dtype=float) * q.align
        if self.widths is None:
            return found
        return found[(found >= self.widths[0]) & (found <= self.widths[1])]

    def _counted(self, n_layers: int, d_model: float, head_dim: int) -> tuple[Any, ...] | None:
        """Return the heads that fit a width, the first multiple of `align` d_ff may be, and how many."""
        q = self.question
        off = self.off_matrices(n_layers, d_model)
        n_low = (q.params * (1 - q.tolerance) - off) / n_layers
        n_high = (q.params * (1 + q.tolerance) - off) / n_layers
        if n_high <= 0:
            return None
        heads, kv_heads = self._heads(d_model, head_dim, n_high)
        if not len(heads):
            return None
        r_low, r_high = q.mlp_attn_ratio
        attention = d_model * head_dim * (2 * heads + 2 * kv_heads)
        per_unit = 3 * d_model * q.align
        first = np.ceil(np.maximum(n_low - attention, r_low * attention) / per_unit - 1e-9)
        last = np.floor(np.minimum(n_high - attention, r_high * attention) / per_unit + 1e-9)
        first = np.maximum(first, 1)
        return heads, kv_heads, first, np.maximum(last - first + 1, 0).astype(np.int64)

    def _by_width(self, n_layers: int, head_dim: int, rows: int) -> Iterator[Any]:
        """Yield (d_model, n_heads, n_kv_heads, d_ff) arrays, one width (or part of one) at a time."""
        for d_model in self._widths():
            if (counted := self._counted(n_layers, d_model, head_dim)) is not None:
                yield from self._with_d_ff(n_layers, d_model, head_dim, counted, rows)

    def _heads(self, d_model: float, head_dim: int, n_layer: float) -> Any:
        """Return (n_heads, n_kv_heads) whose attention leaves the MLP a share within the r range."""
        q = self.question
        most = int(n_layer / (1 + q.mlp_attn_ratio[0]) / (2 * d_model * head_dim)) + 1
        heads, groups = np.meshgrid(np.arange(1.0, most + 1), np.array(q.gqa, dtype=float))
        heads, groups = heads.ravel(), groups.ravel()
        kv_heads = heads / groups
        legal = (heads % groups == 0) & whole_heads(heads, kv_heads, q.engine.tp)
        if q.tp_ready and not q.any_shape:
            legal &= whole_heads(heads, kv_heads, q.tp_ready)
        return heads[legal], kv_heads[legal]

    def _with_d_ff(
        self, n_layers: int, d_model: float, head_dim: int, counted: Any, rows: int
    ) -> Iterator[Any]:
        """Fill the rest of the weights a layer with d_ff: every multiple of `align` that fits."""
        heads, kv_heads, first, counts = counted
        align, (x_low, x_high) = self.question.align, self.question.d_over_sqrt_n
        attention = d_model * head_dim * (2 * heads + 2 * kv_heads)
        ends = np.cumsum(counts)
        for start in range(0, int(ends[-1]), rows):
            index = np.arange(start, min(start + rows, int(ends[-1])))
            row = np.searchsorted(ends, index, side="right")
            units = first[row] + (index - (ends[row] - counts[row]))
            grid = np.full(len(row), d_model), heads[row], kv_heads[row], units * align
            x = d_model / (n_layers * (attention[row] + 3 * d_model * grid[3])) ** 0.5
            inside = (x >= x_low * (1 - 1e-9)) & (x <= x_high * (1 + 1e-9))
            if inside.any():
                yield grid if inside.all() else tuple(column[inside] for column in grid)

    def off_matrices(self, n_layers: int, d_model: float) -> float:
        """Parameters outside the matrices that `--params` counts: none where it is non-embedding."""
        if self.question.params_kind == "non-embedding":
            return 0.0
        return float(self.question.vocab_size * d_model + llama_extra_params(n_layers, d_model))

    def n_non_embedding(self, n_params: float) -> float:
        """Return about how many of `n_params` are the law's N."""
        if self.question.params_kind == "non-embedding":
            return n_params
        width = 0.075 * n_params**0.5  # near the published optima; only sets the grid's bounds
        return float(max(n_params - self.question.vocab_size * width, n_params / 4))


def space_for(question: Question) -> Space:
    """Return the space a question spans, with its default depth and head size filled in.

    Raises:
        SpecError: a head size that no kernel has, unless any shape is asked for.

    """
    space = Space(question, question.layers, question.head_dims)
    n = space.n_non_embedding(question.params)
    depth = int(reference_depth(n))
    head_dims = question.head_dims or (int(reference_head_dim(n)),)
    if not question.any_shape and (odd := [h for h in head_dims if h not in HEAD_SIZES]):
        sizes = ", ".join(map(str, HEAD_SIZES))
        raise SpecError(
            f"--head-dim {odd[0]}: attention kernels are made for heads of {sizes}",
            hint="choose one of those, or ask for --any-shape",
        )
    if question.layers or not question.search_depth:
        return Space(question, question.layers or (depth,), head_dims)
    low, high = field_depths(n)
    least = max(2, min(int(np.ceil(low)), depth))
    most = max(int(high), depth)
    steps = np.geomspace(least, most, int(np.log(most / least) / DEPTH_STEP) + 2)
    layers = tuple(sorted({depth, *map(int, np.rint(steps))}))
    ends = (*layers[:2], *layers[-2:])
    return Space(question, layers, head_dims, caps=tuple(k for k in ends if k != depth))
