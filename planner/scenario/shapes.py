"""One chunk of shapes in, a table of what each costs and achieves out; vectorised."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from planner.columns import Arch, Table, Workload
from planner.cost import params
from planner.cost.memory import kv_bytes_per_token, max_concurrency, weight_bytes
from planner.cost.money import Life, lifetime_usd
from planner.equation import remembering
from planner.heap import keep_freed_memory
from planner.inputs.law import LawSpec
from planner.inputs.model import llama_extra_params
from planner.law.accuracy import NINE_TASKS, accuracy
from planner.law.columns import LawColumns
from planner.law.evidence import LawWarning, warnings
from planner.law.law import loss, shapes, switched
from planner.scenario.lifetime import Terms, life_of
from planner.scenario.system import Served
from planner.serving.offline import output_tokens_per_s, tpot_s, ttft_s

T = TypeVar("T")
SHAPE = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size")
THREADS = 2
ACCURACY_BASIS = "sigmoid link fitted on the paper's seven models (nine zero-shot tasks)"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what a shape is judged: how it is served, asked and trained."""

    served: Served
    workload: Workload
    law: LawSpec
    tokens: float
    depth_term: bool = False
    terms: Terms | None = None  # adds lifetime_usd

    @property
    def law_columns(self) -> LawColumns:
        """The law's numbers, with the terms that are switched on."""
        return switched(self.law.columns(), depth=self.depth_term)

    def law_warnings(self, arch: Arch) -> list[LawWarning]:
        """Return the ways in which `arch` or its tokens leave the law's evidence."""
        law = self.law_columns
        return warnings(law, shapes(law, arch, self.tokens))

    @property
    def same_data(self) -> bool:
        """Whether the law speaks of the accuracy link's own corpus and tokenizer."""
        return self.law.conditional is not None and self.law.conditional.published is not None


def evaluate(arch: Arch, c: Conditions) -> Table:
    """Return every column of `arch` and its predicted metrics, each of shape (n,).

    Metrics are central values: loss [nats/token], accuracy [share], output_tokens_per_s, ttft_s,
    tpot_s, kv_bytes_per_token, weight_bytes, max_concurrency.
    """
    system = c.served.system(arch)
    with remembering(), np.errstate(divide="ignore", invalid="ignore"):
        nats = loss(c.law_columns, arch, c.tokens)
        table: Table = {
            "n_params": params.n_params(arch),
            "n_params_non_embedding": params.n_params_non_embedding(arch),
            "mlp_attn_ratio": params.mlp_attn_ratio(arch),
            "gqa": params.gqa(arch),
            "d_over_sqrt_n": params.d_over_sqrt_n(arch),
            "loss": nats,
            "accuracy": accuracy(NINE_TASKS, nats),
            "output_tokens_per_s": output_tokens_per_s(system, c.workload),
            "ttft_s": ttft_s(system, c.workload),
            "tpot_s": tpot_s(system, c.workload),
            "kv_bytes_per_token": kv_bytes_per_token(system),
            "weight_bytes": weight_bytes(system),
            "max_concurrency": max_concurrency(system, c.workload),
        }
        if c.terms:
            table["lifetime_usd"] = lifetime_usd(life_in(c, table))
    n = np.size(table["loss"])
    table |= {name: getattr(arch, name) for name in SHAPE}
    return {name: np.broadcast_to(column, (n,)) for name, column in table.items()}


def life_in(c: Conditions, table: Table) -> Life:
    """Return the lives of a table's dense shapes under the conditions' terms."""
    assert c.terms
    rate = table["output_tokens_per_s"] / c.workload.output_tokens
    return life_of(c.terms, c.served, table["n_params"], c.tokens, rate)


def evaluate_all(
    chunks: Iterator[Arch], c: Conditions, then: Callable[[Table], T], threads: int = THREADS
) -> Iterator[T]:
    """Evaluate chunk after chunk and yield what `then` makes of each, in order.

    A few at a time: numpy lets threads run side by side, and `then` runs in them too.
    """
    keep_freed_memory()
    with ThreadPoolExecutor(threads) as pool:

        def start(n: int) -> list[Future[T]]:
            return [pool.submit(lambda a: then(evaluate(a, c)), a) for a in islice(chunks, n)]

        waiting = start(threads + 1)
        while waiting:
            yield waiting.pop(0).result()
            waiting += start(1)


def arch_of(table: Table) -> Arch:
    """Return the Llama-style shapes of a table as columns."""
    extra = llama_extra_params(table["n_layers"], table["d_model"])
    return Arch(**{name: table[name] for name in SHAPE}, extra_params=extra)
