"""Run the torch engine on one model and batch: prefill in slices, then token by token, timed apart.

On a GPU the decode step is compiled and replayed from CUDA graphs, one for each bucket of context, in
which attention leaves out the bucket's unused end. On a CPU the cache is sliced to its exact length.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from planner.inputs.model import ModelSpec
from planner_calibration.measure.kernels.cases import DTYPES
from planner_calibration.measure.timing import captured
from planner_calibration.measure.torch_engine.model import Model

BUDGET_TOKENS = 8192  # prompt tokens computed at once
BUCKET = 512  # cached positions a CUDA graph is made for at a time


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one batch."""

    prefill_s: float
    decode_s: float
    tokens: Tensor  # (batch, output_tokens), what came out

    @property
    def e2e_s(self) -> float:
        """The whole batch."""
        return self.prefill_s + self.decode_s


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new tensors in `dtype`: a cache made in 32 bits first would take twice its room."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Engine:
    """One model on one device for batches of one size and length."""

    def __init__(
        self,
        spec: ModelSpec,
        batch: int,
        n_positions: int,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        budget_tokens: int = BUDGET_TOKENS,
        compile: bool | None = None,
        graphs: bool | None = None,
        seed: int = 0,
    ) -> None:
        self.device = torch.device(device)
        on_gpu = self.device.type == "cuda"
        self.compile = on_gpu if compile is None else compile
        self.graphs = on_gpu if graphs is None else graphs
        self.batch, self.budget, self.n_positions = batch, budget_tokens, n_positions
        torch.manual_seed(seed)
        with torch.device(self.device), default_dtype(DTYPES[dtype]):
            self.model = Model(spec, batch, n_positions).eval()
        if self.compile:
            # What was compiled for models before counts against the limit of recompilations, beyond
            # which torch runs eagerly without a word.
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            torch._dynamo.config.fail_on_recompile_limit_hit = True
        self.tokens = torch.zeros(batch, 1, dtype=torch.long, device=self.device)
        self.position = torch.zeros(1, dtype=torch.long, device=self.device)
        self._steps: dict[int, Callable[[], None]] = {}
        self._prefill = torch.compile(self.model.prefill) if self.compile else self.model.prefill

    @torch.inference_mode()
    def generate(self, prompts: Tensor, output_tokens: int) -> Timed:
        """Prefill `prompts` (batch, length) and decode greedily to `output_tokens` each."""
        length = prompts.shape[1]
        prompts = prompts.to(self.device)
        out = torch.empty(self.batch, output_tokens, dtype=torch.long, device=self.device)
        slice_ = max(1, self.budget // length)
        start = self._now()
        for first in range(0, self.batch, slice_):
            rows = slice(first, min(first + slice_, self.batch))
            self.tokens[rows] = self._prefill(prompts[rows], rows)
        prefilled = self._now()
        out[:, :1] = self.tokens
        for i in range(1, output_tokens):
            self.position.fill_(length + i - 1)
            self._step(length + i)()
            out[:, i : i + 1] = self.tokens
        done = self._now()
        return Timed(prefilled - start, done - prefilled, out)

    def _step(self, seen: int) -> Callable[[], None]:
        """Return what decodes one token against `seen` positions."""
        if not self.graphs:
            return lambda: self._decode(seen)
        bucket = min(-(-seen // BUCKET) * BUCKET, self.n_positions)
        if bucket not in self._steps:
            self._steps[bucket] = self._captured(bucket)
        return self._steps[bucket]

    def _decode(self, seen: int) -> None:
        self.tokens.copy_(self.model.decode(self.tokens, self.position, seen))

    def _captured(self, bucket: int) -> Callable[[], None]:
        """Capture one decode step over a bucket as a CUDA graph."""
        decode = (
            torch.compile(self.model.decode, dynamic=False) if self.compile else self.model.decode
        )

        def step() -> None:
            self.tokens.copy_(decode(self.tokens, self.position, bucket, True))

        kept = self.tokens.clone()
        graph = captured(step, warm_ups=3)
        self.tokens.copy_(kept)  # the warm-up moved it on
        replay: Callable[[], None] = graph.replay
        return replay

    def compiled(self) -> dict[str, int]:
        """Return how often it was captured and compiled, and where the compiler gave up."""
        if not (self.compile or self.graphs):
            return {}
        told = torch._dynamo.utils.counters
        return {
            "graphs_captured": len(self._steps),
            "graphs_compiled": int(told["stats"]["unique_graphs"]),
            "graph_breaks": int(sum(told["graph_break"].values())),
        }

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
