"""Constants of a device's kernels, from measured kernels: one operator after another.

Each operator's constants are fitted on its own rows, with what earlier ones settled held fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels
from planner.questions.validate.kernel_rows import KernelRows, predicted_s
from planner_calibration.fit.map_fit import Constant, MapFit, fit_constants, rounded

Vector = NDArray[np.float64]

# DRAM spends some 5 % of its time on refresh and row activation: nothing streams faster than 0.95.
GEMM = {
    "launch_s": Constant(2.5e-6, 0.3, 1e-6, 10e-6),
    "gemm_compute_eff": Constant(0.85, 0.2, 0.3, 0.99),
    "gemm_hbm_eff": Constant(0.85, 0.2, 0.3, 0.95),
    "gemm_start_depth": Constant(100.0, 0.7, 1.0, 1000.0),
    "gemm_fill_s": Constant(4e-6, 0.5, 0.1e-6, 20e-6),
    "gemm_fill_depth": Constant(1000.0, 1.0, 10.0, 1e5),
}
QUANTISE = {
    "quantise_launch_s": Constant(9e-6, 0.5, 1e-6, 30e-6),
    "quantise_hbm_eff": Constant(0.1, 0.7, 0.01, 0.95),
}
PREFILL = {
    "attention_compute_eff": Constant(0.6, 0.2, 0.2, 0.95),
    "attention_start_keys": Constant(250.0, 0.7, 10.0, 2000.0),
    "kv_write_hbm_eff": Constant(0.5, 0.5, 0.02, 0.95),
    "kv_write_token_s": Constant(0.3e-6, 1.0, 1e-9, 1e-5),
}
DECODE = {
    "decode_hbm_eff": Constant(0.8, 0.2, 0.2, 0.95),
    "decode_launch_s": Constant(11e-6, 0.3, 1e-6, 50e-6),
    "decode_split_s": Constant(3e-6, 0.7, 0.1e-6, 50e-6),
    "decode_block_s": Constant(4e-6, 0.3, 0.1e-6, 50e-6),
    "decode_block_share": Constant(1.3, 0.2, 1.0, 4.0),
    "decode_head_share": Constant(0.5, 0.5, 0.01, 1.0),
}
UNPACK = {"kv_unpack_share": Constant(0.2, 0.7, 0.001, 1.0)}
ELEMENTWISE = {"elementwise_hbm_eff": Constant(0.5, 0.3, 0.1, 0.95)}
LINK = {
    "link_eff": Constant(0.7, 0.2, 0.2, 0.95),
    "link_latency_s": Constant(5e-6, 0.5, 1e-6, 50e-6),
    "link_peer_s": Constant(0.5e-6, 0.7, 0.01e-6, 10e-6),
}
# What cannot be graded: how an attention library lays out its tiles. FlashAttention-2 and -3.
LAYOUTS = (
    {"attention_tile_rows": 64.0, "packs_gqa": 0.0, "splits_mha": 0.0},
    {"attention_tile_rows": 128.0, "packs_gqa": 1.0, "splits_mha": 1.0},
)


@dataclass(frozen=True, slots=True)
class KernelFit:
    """Fitted kernels with each operator's fit."""

    kernels: Kernels
    parts: dict[str, MapFit]


def fit_kernels(groups: Sequence[KernelRows], start: Kernels) -> KernelFit:
    """Fit what `groups` measure; constants without rows keep their value in `start`."""
    parts: dict[str, MapFit] = {}
    k = start

    def run(name: str, constants: dict[str, Constant], rows: Sequence[KernelRows]) -> None:
        nonlocal k
        if rows:
            parts[name] = _fit(k, constants, rows)
            k = replace(k, **rounded(parts[name].values))

    run("gemm", GEMM, [g for g in groups if g.op == "gemm" and not g.held.quantised])
    run("quantise", QUANTISE, [g for g in groups if g.op == "gemm" and g.held.quantised])
    prompts = [_whole(g) for g in groups if g.op == "attn_prefill"]
    if prompts:
        k = replace(k, **_best_layout(k, prompts))
    run("attn_prefill", PREFILL, prompts)
    decodes = [g for g in groups if g.op == "attn_decode"]
    narrow = [g for g in decodes if g.cached]
    run("attn_decode", DECODE | (UNPACK if narrow else {}), decodes)
    run("elementwise", ELEMENTWISE, [g for g in groups if g.op in ("norm", "act", "rope", "add")])
    reduces = [_as_engines_run(g) for g in groups if g.op == "allreduce"]
    run("allreduce", LINK, [g for g in reduces if len(g.time_s)])
    return KernelFit(k, parts)


def _best_layout(k: Kernels, rows: Sequence[KernelRows]) -> dict[str, float]:
    """Return the tile layout whose fit misses least."""
    fits = [
        (_fit(replace(k, **layout), PREFILL, rows).spread, i) for i, layout in enumerate(LAYOUTS)
    ]
    return LAYOUTS[min(fits)[1]]


def _whole(rows: KernelRows) -> KernelRows:
    """Leave out one-token prompts: they are decodes."""
    return rows.take(rows.columns["q_len"] > 1)


def _as_engines_run(rows: KernelRows) -> KernelRows:
    """Keep collectives as serving engines run them, inside a graph: a small one takes half as long.

    The others (NCCL alone, eager launches) are scored all the same.
    """
    return rows.take(np.array([k == "vLLM_custom_graph" for k in rows.kernel]))


def _fit(k: Kernels, constants: dict[str, Constant], groups: Sequence[KernelRows]) -> MapFit:
    measured = np.log(np.concatenate([g.time_s for g in groups]))

    def ln_ratio(values: dict[str, float]) -> Vector:
        kernels = replace(k, **values)
        times = np.concatenate([predicted_s(g, kernels) for g in groups])
        return np.asarray(np.log(times) - measured)

    return fit_constants(constants, ln_ratio, weights=_balance(groups))


def _balance(groups: Sequence[KernelRows]) -> Vector:
    """Weigh rows so that every source counts alike, whatever its number of rows."""
    sources = [s.partition(":")[0] for g in groups for s in g.source]
    names, index, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = np.sqrt(len(sources) / len(names) / counts)
    return np.asarray(weights[index])
