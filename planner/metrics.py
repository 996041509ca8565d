"""The table of metrics: every number said of a scenario, once.

A record names a metric, its unit, its words, how it follows from others, whose spread its interval
takes and how it is written. Evaluation, results, JSON, CSV, terminal, pages and sliders iterate the
table; to add a metric is to add a line here.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from planner.columns import System, Workload
from planner.cost import energy, memory, money
from planner.serving.kinds import Load


class Looked(Protocol):
    """What a metric's formula may look at: columns of a scenario, and other metrics by name."""

    system: System
    load: Load

    @property
    def tdp_w(self) -> float:
        """Power limit of one device."""

    @property
    def usd_per_device_hour(self) -> float:
        """Price of one device; NaN where none is known."""

    def __getitem__(self, name: str) -> Any:
        """Return another metric's column."""

    @property
    def loss(self) -> Any:
        """Predicted loss, nats per token."""

    @property
    def accuracy(self) -> Any:
        """Mean accuracy over the nine tasks."""

    @property
    def lifetime_usd(self) -> Any:
        """Training and serving together; NaN where no volume is stated."""

    @property
    def workload(self) -> Workload:
        """Lengths, and how many requests there are."""


Group = Literal["quality", "speed", "memory", "use", "money", "energy"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number said of a scenario."""

    name: str  # its key in JSON and CSV, unit included
    unit: str  # as `planner.units.show` writes it
    title: str  # of its row or column
    words: str
    of: Callable[[Looked], Any] | None = None  # None: the workload's kind says
    # Field of the profile's spread, or of the engine's footprint; "draws": the law's; "room_sd": that of
    # what is left of the memory; "": no interval.
    spread: str = ""
    better: Literal["low", "high", ""] = ""
    group: Group = "speed"
    percent: bool = False
    places: int = 0  # decimal places, where they count and not digits
    always: bool = False  # said also of a model that does not fit
    whole: bool = False  # a count
    hide_zero: bool = False  # of what most have none: shown where above zero
    # Where it is shown: 0 in JSON and CSV only; from 1 in tables of a line a metric; from LINE also in
    # those of a column a metric, of which the lowest go first where it is narrow; from HEAD first of all.
    keep: int = 1
    short: str = ""  # title of a narrow column

    @property
    def greatest(self) -> float:
        """What it cannot exceed; no metric is below zero."""
        return 1.0 if self.percent else math.inf


LINE, HEAD = 4, 8


def _per_device(name: str) -> Callable[[Looked], Any]:
    return lambda v: v[name] / v["n_devices"]


def _bill(v: Looked) -> money.Bill:
    price, lengths = v.usd_per_device_hour, (v.workload.input_tokens, v.workload.output_tokens)
    return money.Bill(price, v["n_devices"], v["requests_per_s"], *lengths, v["prompt_share"])


def _draw(v: Looked) -> energy.Draw:
    return energy.Draw(
        v.tdp_w, energy.IDLE_SHARE, v["n_devices"], v["mfu"], v["mbu"], v["output_tokens_per_s"]
    )


def _kv_utilisation(v: Looked) -> Any:
    room = memory.kv_tokens(v.system, v.workload) * np.maximum(v.load.replicas, 1)
    held = v.workload.input_tokens + v.workload.output_tokens / 2
    return np.minimum(v["in_flight"] * held / room, 1.0)


def _n_devices(v: Looked) -> Any:
    p = v.system.parallel
    return p.tp * p.pp * (v.load.replicas + v.load.prefill_replicas)


_TPOT = "mean time per output token after the first"


def _stored(
    name: str, unit: str, title: str, words: str, of: Callable[[Looked], Any], spread: str = "",
    **more: Any,
) -> Metric:  # fmt: skip
    return Metric(name, unit, title, words, of, spread, group="memory", always=True, **more)


_ALL = (
    # -- quality
    Metric("loss", "", "loss [nats]", "predicted loss, nats per token",
           lambda v: v.loss, "draws", "low", "quality", places=3, keep=9, short="loss"),
    Metric("accuracy", "", "accuracy, 9 tasks", "mean accuracy over nine zero-shot tasks",
           lambda v: v.accuracy, "draws", "high", "quality", percent=True, keep=2),
    # -- speed
    Metric("output_tokens_per_s", "", "output tokens/s", "generated tokens a second, all replicas",
           lambda v: v["requests_per_s"] * v.workload.output_tokens,
           "throughput", "high", keep=9, short="tok/s"),
    Metric("ttft_s", "s", "TTFT", "mean time to first token", None, "ttft", "low", keep=9),
    Metric("tpot_s", "s", "TPOT", _TPOT, None, "decode", "low", keep=9),
    Metric("e2e_s", "s", "end to end", "mean time from arrival to the last token",
           None, "throughput", "low", keep=3),
    Metric("idle_ttft_s", "s", "TTFT, idle engine", "time to first token of a lone request",
           None, "prefill", "low", keep=2),
    Metric("decode_step_s", "s", "decode step", "an engine step in which all in flight decode",
           None, "decode", "low", keep=2),
    Metric("duration_s", "s", "duration", "wall time of the whole run, where it has an end",
           None, "throughput", "low", keep=1),
    Metric("requests_per_s", "1/s", "requests/s", "requests completed a second, all replicas",
           None, "throughput", "high", keep=0),
    Metric("total_tokens_per_s", "", "tokens/s in and out", "prompt and generated tokens a second",
           lambda v: v["requests_per_s"] * (v.workload.input_tokens + v.workload.output_tokens),
           "throughput", "high", keep=0),
    Metric("output_tokens_per_s_per_device", "", "per GPU", "generated tokens a second a device",
           _per_device("output_tokens_per_s"), "throughput", "high", keep=7),
    Metric("in_flight", "", "in flight", "requests that hold memory at once, all replicas",
           None, group="use", keep=4, short="run"),
    Metric("saturation_per_s", "1/s", "saturates at", "arrivals a second that can be served",
           None, "throughput", "high"),
    # -- memory
    _stored("kv_bytes_per_token", "byte", "KV a token, all GPUs", "cache of one token, over all devices",
            lambda v: memory.kv_bytes_per_token(v.system), better="low", keep=3),
    _stored("state_bytes_per_sequence", "byte", "state a sequence",
            "state the layers keep of a sequence, over all devices",
            lambda v: memory.state_bytes_per_sequence(v.system),
            better="low", keep=2, hide_zero=True),
    _stored("device_bytes", "gibibyte", "memory offered", "memory a program finds on one device",
            lambda v: memory.usable_bytes(v.system), keep=0),
    _stored("weight_bytes", "gibibyte", "weights, one GPU", "weights on one device",
            lambda v: memory.weight_bytes(v.system), "weights_sd", better="low", keep=2),
    _stored("activation_bytes", "gibibyte", "activation peak", "most that a step takes besides weights",
            lambda v: memory.activation_peak_bytes(v.system), "activation_sd", better="low", keep=0),
    _stored("outside_torch_bytes", "gibibyte", "outside torch", "context, libraries, collectives",
            lambda v: memory.outside_torch_bytes(v.system), "outside_sd", better="low", keep=0),
    _stored("forward_bytes", "gibibyte", "forward pass", "tensors of a full step's tokens in a layer",
            lambda v: memory.forward_bytes(v.system), keep=0),
    _stored("sampler_bytes", "gibibyte", "sampler", "logits of every sequence while it samples",
            lambda v: memory.sampler_bytes(v.system), keep=0),
    _stored("encoder_bytes", "gibibyte", "image encoder", "what encoding images takes at most",
            lambda v: memory.encoder_bytes(v.system), keep=0, hide_zero=True),
    _stored("graph_bytes", "gibibyte", "graphs", "captured CUDA graphs on one device",
            lambda v: memory.graphs_bytes(v.system), "graph_sd", better="low", keep=0),
    _stored("kv_room_bytes", "gibibyte", "cache", "what the KV cache takes of one device",
            lambda v: np.maximum(memory.kv_room_bytes(v.system), 0.0), "room_sd",
            better="high", keep=0),
    _stored("kv_capacity_tokens", "", "cache, tokens", "tokens the KV cache of a replica has room for",
            lambda v: memory.kv_capacity_tokens(v.system), "room_sd",
            better="high", whole=True, keep=0),
    _stored("longest_at_once", "", "longest at once", "requests of the longest length that fit at once",
            lambda v: memory.longest_at_once(v.system), "room_sd", better="high", keep=0, places=2),
    _stored("max_concurrency", "", "fits at once", "requests of full length a replica has room for",
            lambda v: memory.max_concurrency(v.system, v.workload)
            * (memory.longest_at_once(v.system) >= 1),  # else the engine does not start
            better="high", whole=True, keep=2),
    # -- use
    Metric("kv_utilisation", "", "cache in use", "share of the KV cache in use, mean",
           _kv_utilisation, group="use", percent=True, keep=0),
    Metric("mfu", "", "MFU", "share of the nameplate matrix rate in use",
           None, group="use", percent=True),
    Metric("mbu", "", "MBU", "share of the nameplate memory bandwidth in use",
           None, group="use", percent=True),
    # -- money
    Metric("n_devices", "", "GPUs", "devices of all replicas", _n_devices, group="money",
           always=True, whole=True),
    Metric("usd_per_hour", "usd", "$/h", "price of all devices by the hour",
           lambda v: v.usd_per_device_hour * v["n_devices"], better="low", group="money", keep=0),
    Metric("usd_per_input_mtok", "usd", "$/M in",
           "price of a million prompt tokens: the time that goes to prompts",
           lambda v: money.usd_per_input_mtok(_bill(v)), better="low", group="money", keep=4),
    Metric("usd_per_output_mtok", "usd", "$/M out",
           "price of a million generated tokens: the time that does not go to prompts",
           lambda v: money.usd_per_output_mtok(_bill(v)), better="low", group="money", keep=7),
    Metric("usd_per_generated_mtok", "usd", "$/M whole",
           "the whole bill over a million generated tokens: their prompts are paid with them",
           lambda v: money.usd_per_generated_mtok(_bill(v)), better="low", group="money", keep=0),
    Metric("usd_per_request", "usd", "$/request", "price of a request",
           lambda v: money.usd_per_request(_bill(v)), better="low", group="money", keep=0),
    Metric("lifetime_usd", "usd", "lifetime cost", "training and serving a stated volume",
           lambda v: v.lifetime_usd, better="low", group="money"),
    # -- energy
    Metric("watts", "watt", "power", "power of all devices",
           lambda v: energy.watts(_draw(v)), better="low", group="energy", keep=0),
    Metric("joules_per_token", "joule", "J/tok", "energy of a generated token",
           lambda v: energy.joules_per_token(_draw(v)), better="low", group="energy", keep=5),
)  # fmt: skip
METRICS: dict[str, Metric] = {m.name: m for m in _ALL}
QUALITY = tuple(m.name for m in METRICS.values() if m.group == "quality")  # needs a loss law
# What an engine prints when it starts, in its order.
LOG = ("device_bytes", "weight_bytes", "activation_bytes", "outside_torch_bytes", "graph_bytes",
       "kv_room_bytes", "kv_capacity_tokens", "longest_at_once")  # fmt: skip
SERVING = tuple(n for n in METRICS if n not in (*QUALITY, "lifetime_usd"))


@dataclass(frozen=True, slots=True)
class Latency:
    """A time that requests see, and the flag that limits it."""

    name: str
    flag: str
    title: str
    words: str
    spread: str
    shown: tuple[str, ...] = ("p99",)  # percentiles with a column of their own


LATENCIES: dict[str, Latency] = {
    x.name: x
    for x in (
        Latency("ttft_s", "--ttft", "TTFT", "time to first token", "ttft"),
        Latency("tpot_s", "--tpot", "TPOT", _TPOT, "decode"),
        Latency("itl_s", "--itl", "ITL", "gap between two tokens", "decode", ()),
        Latency("e2e_s", "--e2e", "end to end", "time to the last token", "throughput", ()),
    )
}

STATISTICS = ("p50", "p90", "p95", "p99")
# What only a simulated run has, besides the latencies' percentiles.
_RUN = (
    Metric("goodput_per_s", "1/s", "goodput", "requests a second within every limit", better="high"),
    Metric("met_share", "", "met", "share of requests within every limit", percent=True),
    Metric("gpu_utilisation", "", "busy", "share of the time engines are busy", percent=True),
    Metric("waiting", "", "waiting", "requests that wait, mean over time"),
    Metric("max_waiting", "", "waiting at most", "requests that wait, at most"),
    Metric("preemptions", "", "preemptions", "times a sequence lost its blocks"),
    Metric("refused_requests", "", "refused", "requests longer than the cache"),
)  # fmt: skip
SIMULATED: dict[str, Metric] = {
    name: Metric(name, "s", f"{x.title} {p}", x.words, spread=x.spread, keep=8 * (p in x.shown))
    for x in LATENCIES.values()
    for p in STATISTICS
    for name in (f"{x.name}_{p}",)
}
SIMULATED |= {m.name: m for m in _RUN}
SIMULATED["itl_s"] = Metric("itl_s", "s", "ITL", "gap between two tokens")


# A metric that is part of another, and what it is part of.
PARTS = (("ttft_s", "e2e_s"), ("output_tokens_per_s", "total_tokens_per_s"))
SLACK = 1e-6  # relative: what rounding leaves


def impossible(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what metrics cannot be, in words: below zero, above their greatest, more than their whole.

    Args:
        values: numbers by name; what has `value`, `low` and `high` is looked at in all three; None says
            nothing.

    """
    for name, held in values.items():
        m = METRICS.get(name) or SIMULATED.get(name)
        if m is None or held is None:
            continue
        for value in (held.low, held.value, held.high) if hasattr(held, "low") else (held,):
            if not math.isfinite(value):
                yield f"{name} is {value}"
            elif value < 0:
                yield f"{name} is {value:g}, below zero"
            elif value > m.greatest * (1 + SLACK):
                yield f"{name} is {value:g}, more than {m.greatest:g}"
    for part, whole in PARTS:
        of, all_ = (getattr(values.get(n), "value", values.get(n)) for n in (part, whole))
        if of is not None and all_ is not None and of > all_ * (1 + SLACK):
            yield f"{part} is {of:g}, more than {whole}, {all_:g}"
