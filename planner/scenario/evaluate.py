"""What a load does to systems: latency, throughput, what binds, dollars and joules; in columns."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Step, System, Workload, take
from planner.cost import energy, memory, money
from planner.cost.breakdown import breakdown
from planner.equation import remembering
from planner.serving import closed_loop as steady
from planner.serving.open_loop import Flow, open_loop, saturation_per_s
from planner.serving.pools import Pools, closed, disaggregated
from planner.serving.speculative import check_step, tokens_a_check

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
BOUNDS = ("compute", "hbm", "link", "overhead")


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a deployment, all replicas together; NaN rate: a closed loop."""

    workload: Workload  # batch: requests in flight, over all replicas
    rate_per_s: Floats
    burstiness: Floats
    input_cv: Floats
    replicas: Floats
    prefill_replicas: Floats  # above 0: prompts are these replicas' business, decoding the others'


def rows_of(s: System, rows: Any) -> System:
    """Take rows of every part of a system; one row's number gives a system of numbers."""
    parts: dict[str, Any] = {name: take(getattr(s, name), rows) for name in _PARTS}
    return System(**parts, speculation=s.speculation and take(s.speculation, rows))


_PARTS = ("arch", "precision", "device", "parallel", "kernels", "overheads", "limits")


def figures(s: System, load: Load, tdp_w: float, usd_per_device_hour: float) -> Columns:
    """Return a column for every figure, NaN where the model does not fit in memory.

    ttft_s, tpot_s, e2e_s: means. Rates: of all replicas. `bound`: what most of the time goes to,
    or capacity (requests wait for a place in memory), saturated (arrivals beyond what is served).
    """
    n = len(load.rate_per_s)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        table: Columns = {}
        kinds = {
            (False, False): _closed,
            (True, False): _open,
            (False, True): _closed_pools,
            (True, True): _open_pools,
        }
        is_open, split = ~np.isnan(load.rate_per_s), load.prefill_replicas > 0
        for (by_rate, pools), run in kinds.items():
            rows = (is_open == by_rate) & (split == pools)
            if rows.any():
                part = run(rows_of(s, rows), _load_rows(load, rows))
                for name, column in part.items():
                    empty = np.full(n, "" if _text(column) else np.nan, dtype=object)
                    table.setdefault(name, empty)[rows] = column
        table = {k: c if _text(c) else c.astype(np.float64) for k, c in table.items()}
        fits = np.broadcast_to(memory.max_concurrency(s, load.workload), (n,)) / s.parallel.pp
        devices = s.parallel.tp * s.parallel.pp * (load.replicas + load.prefill_replicas)
        w = load.workload
        table |= {
            "max_concurrency": fits * s.parallel.pp,
            "n_devices": np.broadcast_to(devices, (n,)),
        }
        table["output_tokens_per_s"] = table["requests_per_s"] * w.output_tokens
        table["total_tokens_per_s"] = table["requests_per_s"] * (w.input_tokens + w.output_tokens)
        table["output_tokens_per_s_per_device"] = table["output_tokens_per_s"] / devices
        table |= _money(table, w, usd_per_device_hour)
        table |= _energy(table, tdp_w)
        room = memory.kv_capacity_tokens(s) * np.maximum(load.replicas, 1)
        used = table["in_flight"] * (w.input_tokens + w.output_tokens / 2)
        table["kv_utilisation"] = np.minimum(used / room, 1.0)
    lost = np.broadcast_to(fits < 1 / np.asarray(s.parallel.pp), (n,))
    table["bound"] = np.where(lost, "does not fit", table["bound"])
    return {
        k: c if _text(c) else np.where(lost & (k not in _ALWAYS), np.nan, c)
        for k, c in table.items()
    }


_ALWAYS = ("max_concurrency", "n_devices")


def _text(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "U" or (column.dtype == object and isinstance(column[0], str))


def _load_rows(load: Load, rows: NDArray[np.bool_]) -> Load:
    return replace(
        take(load, rows),
        workload=take(load.workload, rows),
    )


def _closed(s: System, load: Load) -> Columns:
    """A closed loop, its requests dealt to the replicas evenly."""
    w = replace(load.workload, batch=np.maximum(load.workload.batch / load.replicas, 1.0))
    used = np.minimum(load.workload.batch, load.replicas)  # fewer requests than replicas
    with remembering():
        cycle = steady.cycle_s(s, w)
        here = steady.in_flight(s, w)
        prompts = here / steady.prompts_a_step(s, w)
        steps = steady.decode_steps(w)
        beside = s.limits.chunked_prefill * np.minimum(steady.steps_for_others(s, w), steps)
        prompt = steady.prompt_step(s, w, steady.riding_beside(s, w), steady.prompts_a_step(s, w))
        decode = Step(decode_seqs=here, decode_context=steady.mean_context(w))
        mix = [(prompt, prompts / cycle), (decode, (steps - beside) / cycle)]
        share = np.clip(1 - steps * steady.decode_step_s(s, w) / cycle, 0.0, 1.0)
        result = {
            "ttft_s": steady.closed_ttft_s(s, w),
            "tpot_s": steady.closed_tpot_s(s, w),
            "e2e_s": steady.closed_e2e_s(s, w),
            "requests_per_s": steady.closed_output_tokens_per_s(s, w) / w.output_tokens * used,
            "in_flight": here * s.parallel.pp * used,
            "prompt_share": share,
        }
        bound = _work(s, mix, used / np.maximum(load.replicas, 1.0))
        waits = w.batch / s.parallel.pp > here * (1 + 1e-9)
    bound["bound"] = np.where(waits, "capacity", bound["bound"])
    return _wide(result | bound, len(load.replicas))


def _open(s: System, load: Load) -> Columns:
    """An open loop, dealt to replicas and pipeline batches evenly."""
    engines = load.replicas * s.parallel.pp
    rate = load.rate_per_s / engines
    o = open_loop(s, load.workload, Flow(rate, load.burstiness, load.input_cv))
    return _opened(s, load, o, o.decoding * engines, o.saturation_per_s * engines, o.prompt_share)


def _opened(s: System, load: Load, o: Any, in_flight: Any, most: Any, prompt_share: Any) -> Columns:
    w = load.workload
    with remembering():
        decode = Step(
            decode_seqs=np.maximum(o.decoding, 1.0), decode_context=steady.mean_context(w)
        )
        prompt = steady.prompt_step(s, w, o.decoding, 1.0)
        engines = load.replicas * s.parallel.pp
        each = load.rate_per_s / engines
        decode_s = np.maximum(o.tpot_s, 1e-12)
        busy = np.minimum(o.decoding, 1.0) * (1 - prompt_share)
        bound = _work(s, [(prompt, each), (decode, busy / decode_s)], 1.0)
    served = np.minimum(load.rate_per_s, most)
    late = load.rate_per_s >= most
    bound = {k: np.where(late, np.nan, c) for k, c in bound.items() if k != "bound"} | {
        "bound": np.where(late, "saturated", bound["bound"])
    }
    result = {
        "ttft_s": o.ttft_s,
        "tpot_s": o.tpot_s,
        "e2e_s": o.e2e_s,
        "requests_per_s": served,
        "in_flight": in_flight,
        "prompt_share": prompt_share,
        "saturation_per_s": most,
    }
    return _wide(result | bound, len(load.replicas))


def _open_pools(s: System, load: Load) -> Columns:
    pools = Pools(load.prefill_replicas, load.replicas)
    o = disaggregated(
        s, load.workload, pools, Flow(load.rate_per_s, load.burstiness, load.input_cv)
    )
    share = load.prefill_replicas / (load.prefill_replicas + load.replicas)
    in_flight = o.decoding * load.replicas * s.parallel.pp
    return _opened(s, load, o, in_flight, o.saturation_per_s, share)


def _closed_pools(s: System, load: Load) -> Columns:
    pools = Pools(load.prefill_replicas, load.replicas)
    rate, o = closed(s, load.workload, pools)
    share = load.prefill_replicas / (load.prefill_replicas + load.replicas)
    in_flight = o.decoding * load.replicas * s.parallel.pp
    return _opened(s, replace(load, rate_per_s=rate), o, in_flight, o.saturation_per_s, share)


def _work(s: System, mix: list[tuple[Step, Any]], used: Any) -> Columns:
    """Return what most of the time goes to, and the shares of nameplate rates in use.

    `mix` holds steps and how many of each an engine takes in a second.
    """
    time: dict[str, Any] = dict.fromkeys(BOUNDS, 0.0)
    flops = bytes_ = 0.0
    for step, per_s in mix:
        if s.speculation is not None:
            step, per_s = check_step(s.speculation, step), per_s / tokens_a_check(s.speculation)
        for part in breakdown(s, step).values():
            flops = flops + part.flops * per_s
            bytes_ = bytes_ + part.bytes_ * per_s
            for name in BOUNDS:
                time[name] = time[name] + np.where(part.bound == name, part.seconds * per_s, 0.0)
    names = np.array(BOUNDS)
    stacked = np.stack(np.broadcast_arrays(*time.values()))
    # Pipeline batches share the devices of all stages, each holding a pp-th of the layers.
    return {
        "bound": names[np.argmax(stacked, axis=0)],
        "mfu": flops / s.device.flops_per_s * used,
        "mbu": bytes_ / s.device.hbm_bytes_per_s * used,
    }


def _money(table: Columns, w: Workload, usd_per_device_hour: float) -> Columns:
    bill = money.Bill(
        usd_per_device_hour,
        table["n_devices"],
        table["requests_per_s"],
        w.input_tokens,
        w.output_tokens,
        table["prompt_share"],
    )
    return {
        "usd_per_input_mtok": money.usd_per_input_mtok(bill),
        "usd_per_output_mtok": money.usd_per_output_mtok(bill),
        "usd_per_request": money.usd_per_request(bill),
        "usd_per_hour": usd_per_device_hour * table["n_devices"],
    }


def _energy(table: Columns, tdp_w: float) -> Columns:
    draw = energy.Draw(
        tdp_w,
        energy.IDLE_SHARE,
        table["n_devices"],
        table["mfu"],
        table["mbu"],
        table["output_tokens_per_s"],
    )
    return {"watts": energy.watts(draw), "joules_per_token": energy.joules_per_token(draw)}


def _wide(columns: Columns, n: int) -> Columns:
    return {k: np.broadcast_to(np.asarray(c), (n,)) for k, c in columns.items()}


def most_per_s(s: System, load: Load) -> Floats:
    """Return the arrivals per second all replicas together can serve."""
    with remembering(), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        each = saturation_per_s(s, load.workload)
    return np.asarray(each * load.replicas * s.parallel.pp, dtype=np.float64)
