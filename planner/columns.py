"""What equations look at, as columns: each field holds one number, an array of millions, or a symbol.

Everything is float64 in SI units. Generality is by neutral values, in place of branches: a dense
model has one expert, full attention an infinite window, one device tp = 1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from planner.units import GIB, MIB, Bytes, BytesPerS, FlopsPerS, Number, Scalar, Seconds

C = TypeVar("C")
Table = dict[str, Any]  # columns of equal length, by name


@dataclass(frozen=True, slots=True)
class Arch:
    """The shape of a decoder-only transformer.

    Where layers differ, `stacks` holds an Arch for each stack of like ones, and operators, weights and
    caches are summed over them; the fields here are then those of most layers, and of the model.
    """

    n_layers: Scalar
    d_model: Scalar
    n_heads: Scalar
    n_kv_heads: Scalar
    head_dim: Scalar
    d_ff: Scalar  # of one expert, where there are several
    vocab_size: Scalar
    # 1 where the LM head has weights of its own, 0 where it shares the embedding's, -1 where a draft
    # has neither.
    untied: Scalar = 0.0
    mlp_matrices: Scalar = 3.0  # 3 gated (gate, up, down), 2 plain
    n_experts: Scalar = 1.0
    n_active_experts: Scalar = 1.0  # routed experts a token visits
    n_shared_experts: Scalar = 0.0  # experts every token visits besides
    window: Scalar = math.inf  # tokens a local layer looks back
    local_fraction: Scalar = 0.0  # share of layers that are local
    kv_latent_dim: Scalar = 0.0  # multi-head latent attention: cached elements per token and layer
    q_latent_dim: Scalar = 0.0  # and the rank of its query projection (0: full rank)
    rope_dim: Scalar = 0.0  # and the decoupled rotary part of a head
    extra_params: Scalar = 0.0  # norms and biases, counted by the spec: they cost no time
    output_gate: Scalar = 0.0  # 1 where a gate as wide as the queries scales attention's output
    own_kv: Scalar = 1.0  # 0 where keys and values are those of an earlier layer
    chunked_window: Scalar = (
        0.0  # 1 where a window is a chunk: it begins at multiples of its length
    )
    index_bytes: Bytes = 0.0  # a token and layer, of the index that sparse attention chooses by
    state_checkpoints: Scalar = 0.0  # states more that prefix caching keeps of a sequence
    kept_params: Scalar = 0.0  # weights that a quantised checkpoint keeps in 16 bits
    rope_elements: Scalar = 0.0  # of the tables of rotary angles
    tower_params: Scalar = 0.0  # weights of an encoder beside it (vision, speech), kept in 16 bits
    tower_copied: Scalar = 0.0  # 1 where it is whole on each device
    tower_token_elements: Scalar = 0.0  # alive at once while it encodes, a token it yields
    tower_most_tokens: Scalar = 0.0  # that one image may yield
    further: tuple[Any, ...] | None = None  # columns of each further kind of layer, if any
    stacks: tuple[Any, ...] | None = None  # an Arch for each stack of like layers; None: all alike


@dataclass(frozen=True, slots=True)
class Precision:
    """Bytes an element takes where it is stored."""

    weight_bytes: Bytes = 2.0  # matrices of the layers
    embedding_bytes: Bytes = 2.0  # embedding and LM head
    kv_bytes: Bytes = 2.0
    activation_bytes: Bytes = 2.0
    gemm_input_bytes: Bytes = 2.0  # what products compute in: 1 for fp8 and int8, 2 for weight-only
    expert_multiple: Scalar = 1.0  # widths of experts are padded to a multiple of it


@dataclass(frozen=True, slots=True)
class Device:
    """Nameplate rates and capacity of one device, at the dtypes in use."""

    flops_per_s: FlopsPerS  # dense matrix rate at the GEMM dtype
    attention_flops_per_s: FlopsPerS  # and at the dtype attention computes in
    hbm_bytes_per_s: BytesPerS
    hbm_bytes: Bytes
    n_sms: Scalar
    link_bytes_per_s: BytesPerS  # to the peers in its node, one direction
    node_link_bytes_per_s: BytesPerS  # share of the node's network, one direction
    offered: Scalar = 0.99  # share of its memory that a program finds


@dataclass(frozen=True, slots=True)
class Parallel:
    """How one replica is spread over devices."""

    tp: Scalar = 1.0  # tensor parallel
    pp: Scalar = 1.0  # pipeline parallel
    ep: Scalar = 1.0  # expert parallel, within the same devices
    devices_per_node: Scalar = 8.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one engine step processes: new prompt tokens and sequences that each decode one token."""

    prefill_tokens: Scalar = 0.0  # prompt tokens computed in this step, over all sequences
    prefill_seqs: Scalar = 0.0  # sequences they belong to
    prefill_context: Scalar = 0.0  # keys a prefill token sees on average (half the prompt if whole)
    decode_seqs: Scalar = 0.0
    decode_context: Scalar = 0.0  # tokens already cached, mean over the decoding sequences
    decode_queries: Scalar = 1.0  # tokens of each: one, and those proposed where they are checked

    @property
    def phase(self) -> str:
        """``prefill`` or ``decode`` where the step is only that: a derivation tells steps apart by it."""
        if isinstance(self.decode_seqs, float | int) and self.decode_seqs == 0:
            return "prefill"
        return "decode" if self.prefill_tokens == 0 else ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine allows itself."""

    memory_fraction: Scalar = 0.9  # of the device's memory
    max_num_seqs: Scalar = 256.0
    max_batched_tokens: Scalar = 2048.0  # token budget of a step
    block_tokens: Scalar = 16.0  # a KV block
    reserve_bytes: Bytes = 0.0  # held by a draft: never the cache's
    chunked_prefill: Scalar = 1.0  # 1 where prompts are cut to the budget and mixed with decoding
    cuts_prompts: Scalar = 1.0  # 0 where a prompt is computed whole, whatever the budget
    reserves_output: Scalar = 0.0  # 1 where a request enters only if its whole output will fit
    max_model_len: Scalar = 0.0  # longest request, tokens; 0: as long as the workload's
    eager: Scalar = 0.0  # 1 where no graphs are captured
    # Rows of the largest step with prompts that a graph replays, or compiled code launches.
    captured_prompt_rows: Scalar = 0.0
    async_scheduling: Scalar = 0.0  # 1 where the next step is prepared while the devices are busy
    recv_interval: Scalar = 1.0  # decode steps from one look for new requests to the next
    prefix_caching: Scalar = 1.0  # 1 where blocks of prompts are kept for later ones
    cache_bytes: Bytes = 0.0  # of a device, where it is stated; 0: what the fraction leaves


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a version of an engine takes of memory, and how it cuts its cache.

    Values are of `hardware/engines/*.toml`, where each has its source; those below, fitted on logs of
    vLLM 0.19 on one kind of card, hold for an engine whose file says nothing: SGLang, TensorRT-LLM.
    """

    sampler_copies: Scalar = 3.72  # float32 logits of every sequence that the sampler holds at once
    samples_chunked: Scalar = 1.0  # 0 where it samples nothing while it measures cut prompts
    workspace_kept: Scalar = 1.0  # 1 where buffers of the experts outlive the forward pass
    outside_bytes: Bytes = 0.25 * GIB  # what the process holds outside torch: context, libraries
    outside_tp_bytes: Bytes = 1.85 * GIB  # more of it where tensor parallel: buffers of collectives
    graph_bytes: Bytes = 0.2 * GIB  # of captured graphs altogether
    graph_layer_bytes: Bytes = 0.2 * MIB  # and of each, a layer
    graphs_a_size: Scalar = 2.0  # graphs captured a batch size: whole, and between attention
    graphs_in_fraction: Scalar = 1.0  # 1 where the cache makes room for graphs
    activations_in_fraction: Scalar = 1.0  # 1 where it does for the activation peak
    fraction_of_free: Scalar = 0.0  # 1 where the fraction is of what all else leaves free
    latent_cached: Scalar = 1.0  # 0 where latent attention caches full heads
    grouped: Scalar = 1.0  # 1 where layers of several kinds share blocks; 0: all at full length
    states_cached: Scalar = 1.0  # 1 where prefix caching keeps states too
    steps_in_flight: Scalar = 2.0  # steps whose tokens a window's layers hold at once
    counts_windows: Scalar = 1.0  # 1 where the tokens it prints count windows and states
    weights_sd: Scalar = 0.003  # spread of each part's logarithm, from logs
    activation_sd: Scalar = 0.015
    outside_sd: Scalar = 0.05
    graph_sd: Scalar = 0.15


@dataclass(frozen=True, slots=True)
class Workload:
    """Fixed-length requests."""

    input_tokens: Scalar
    output_tokens: Scalar
    batch: Scalar  # requests there are, or that are kept in flight
    n_requests: Scalar = math.inf  # in the whole run, where a loop keeps `batch` of them in flight
    prefix_hit: Scalar = 0.0  # share of the prompt the prefix cache already holds
    cv: Scalar = 0.0  # how far lengths spread: standard deviation over mean


def as_columns(cls: type[C], values: Mapping[str, Any]) -> C:
    """Build columns from numbers or arrays, in float64 whatever they were."""
    import numpy as np

    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    return cls(**{k: np.asarray(v, dtype=np.float64)[()] for k, v in values.items() if k in names})


def as_rows(columns: C) -> C:
    """Return the same columns with every single number as an array of one row."""
    import numpy as np

    return _each(columns, np.atleast_1d)


def take(columns: C, rows: Number) -> C:
    """Return the chosen rows of every array field; single numbers stay as they are."""
    import numpy as np

    return _each(columns, lambda v: v[rows] if isinstance(v, np.ndarray) and v.ndim else v)


def shared(columns: C) -> C:
    """Return columns with a single number where all rows agree."""
    import numpy as np

    return _each(columns, lambda v: float(v[0]) if np.all(v == v[0]) else v)


def _each(columns: C, change: Callable[[Any], Any]) -> C:
    """Return columns with every number or array changed, those of further kinds of layers too."""
    made = {}
    for f in fields(columns):  # type: ignore[arg-type]
        value = getattr(columns, f.name)
        if isinstance(value, tuple):
            made[f.name] = tuple(_each(own, change) for own in value)
        elif value is not None:
            made[f.name] = change(value)
    return replace(columns, **made)  # type: ignore[type-var]


def stack(rows: Sequence[C]) -> C:
    """Return rows, each one record of numbers, as columns; a kind of layer a row lacks has none."""
    import numpy as np

    made: dict[str, Any] = {}
    for f in fields(rows[0]):  # type: ignore[arg-type]
        values = [getattr(row, f.name) for row in rows]
        if f.name == "stacks":  # rows of one table have the same ones, or none
            made[f.name] = (
                tuple(stack(same) for same in zip(*values, strict=True)) if values[0] else None
            )
        elif f.name != "further":
            made[f.name] = np.array(values)
        elif kinds := dict.fromkeys(type(own) for value in values for own in value or ()):
            made[f.name] = tuple(_own(kind, values) for kind in kinds)
    return type(rows[0])(**made)


def _own(kind: type[C], values: Sequence[tuple[Any, ...] | None]) -> C:
    none = kind(**{f.name: 0.0 for f in fields(kind)})  # type: ignore[arg-type]
    return stack([next((o for o in v or () if isinstance(o, kind)), none) for v in values])


@dataclass(frozen=True, slots=True)
class Kernels:
    """How near a device's kernels come to its nameplate: fitted, each bounded by physics."""

    launch_s: Seconds = 2.5e-6  # a kernel that does nothing
    sustained_clock: Scalar = 0.87  # share of a short burst's matrix rate that a long run keeps
    gemm_compute_eff: Scalar = 0.9
    narrow_compute_eff: Scalar = 1.0  # of that, what products in 8 bits and fewer keep
    gemm_hbm_eff: Scalar = 0.84
    gemm_start_depth: Scalar = 150.0  # a tile's start and end, in depth it could have worked off
    gemm_tile_rows: Scalar = 16.0  # rows a tile takes, however few there are
    gemm_fill_s: Seconds = 4.1e-6  # latency of a deep product's pipeline
    gemm_fill_depth: Scalar = 420.0  # depth at which half of it is felt
    unpack_share: Scalar = 0.2  # of the bytes that weight-only formats save, what unpacking costs
    quantise_launch_s: Seconds = 9e-6  # bringing activations to 8 bits
    quantise_hbm_eff: Scalar = 0.085
    route_launch_s: Seconds = (
        5e-6  # a kernel that sorts tokens by expert: counts, scans, few threads
    )
    attention_compute_eff: Scalar = 0.58
    attention_tile_rows: Scalar = 64.0
    attention_start_keys: Scalar = 200.0  # a tile's start, in keys it could have passed over
    packs_gqa: Scalar = 0.0  # 1 where query heads of a group share a tile in prefill
    kv_write_hbm_eff: Scalar = 0.5
    kv_write_token_s: Seconds = 0.3e-6  # a new token, on its multiprocessor
    decode_hbm_eff: Scalar = 0.8
    decode_launch_s: Seconds = 12e-6
    decode_split_s: Seconds = 6e-6  # joining the parts of a split sequence
    decode_block_s: Seconds = 4.2e-6  # a sequence and key/value head, on its multiprocessor
    decode_block_share: Scalar = 1.5  # bandwidth one block draws, in fair shares of an SM
    decode_head_share: Scalar = 0.7  # bandwidth the splits of one key/value head draw, of all
    # Of the reads that query heads of a group could share, those done twice.
    decode_rereads: Scalar = 0.0
    kv_unpack_share: Scalar = 0.2  # of the bytes an 8-bit cache saves, what unpacking costs
    splits_mha: Scalar = 1.0  # 1 where keys are split also if every query head has its own
    elementwise_hbm_eff: Scalar = 0.5
    link_eff: Scalar = 0.7
    link_latency_s: Seconds = 5e-6
    link_peer_s: Seconds = 0.5e-6  # more for each further peer
    link_second_s: Seconds = 0.0  # latency of a second pass, in which each device has a part summed
    # More where it leaves the node: 8 bytes between two A100 over InfiniBand.  [NVIDIA/nccl-tests#150]
    network_latency_s: Seconds = 2e-5


@dataclass(frozen=True, slots=True)
class Overheads:
    """What the engine adds to every step besides kernels."""

    step_s: Seconds = 2e-3  # scheduler, input preparation, sampling, output processing
    layer_s: Seconds = 0.0  # gaps between kernels, a layer
    sequence_s: Seconds = 1e-5  # bookkeeping and detokenising, a sequence that yields a token
    ranks_s: Seconds = 0.0  # agreeing with the other ranks, where tensor parallel
    rank_block_s: Seconds = 0.0  # telling them where a block of the cache is
    # CPU time to launch a kernel that no graph replays: the model's code, dispatch, driver. A prompt of
    # one token takes DeepSeek-V3 83 ms of 2,200 launches so.  [sgl-project/sglang#12160]
    eager_launch_s: Seconds = 3.7e-5


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What the server around the engine takes of its CPU: fitted, by engine and version."""

    fixed_s: Seconds = 0.0  # a request's delay besides, in which others are not held up
    request_s: Seconds = 0.0  # HTTP, template, first scheduling: one request after the other
    prompt_token_s: Seconds = 0.0  # tokenising
    token_s: Seconds = 0.0  # detokenising and streaming a token
    shared: Scalar = 0.0  # 1 where one process takes requests in and streams tokens out


@dataclass(frozen=True, slots=True)
class Speculation:
    """A small model proposes tokens, the served one checks them together."""

    draft: Arch
    draft_tokens: Scalar  # proposed at a time
    acceptance: Scalar  # chance that a proposed token is kept, given that those before it were


@dataclass(frozen=True, slots=True)
class System:
    """Everything a step time depends on, besides the step."""

    arch: Arch
    precision: Precision
    device: Device
    parallel: Parallel
    kernels: Kernels
    overheads: Overheads
    limits: Limits
    footprint: Footprint = Footprint()
    speculation: Speculation | None = None
    front_end: FrontEnd = FrontEnd()
