"""Memory of a device part by part, as an engine's start-up log says it, and what runs in the rest."""

from collections.abc import Callable
from functools import reduce

from planner.columns import Arch, System, Workload
from planner.cost.cache import block_bytes, layout, request_blocks
from planner.cost.operators.attention.kinds import (
    attention_layers,
    attn_params,
    copied_params,
    has_attention,
    state_bytes,
    token_bytes_per_device,
)
from planner.cost.operators.gemm import narrow_share
from planner.cost.operators.mlp import mlp_params, router_params
from planner.cost.operators.operator import is_zero, over_stacks
from planner.equation import ceil, equation, floor, maximum, minimum
from planner.units import GIB, Bytes, Scalar

# Memory chips come in binary sizes: the 40 GB of a datasheet are 40 GiB.
GIB_PER_GB = GIB / 1e9
# Tensors of a token alive at once in a layer: residual, normed and added copies, as wide as the model;
# gate, up and their product, as wide as the MLP on a device.
FORWARD_COPIES = 3.0
# And in 8 bits: the quantised input of the way down, and inputs and outputs that no kernel fuses.
QUANTISED_WIDE, QUANTISED_NARROW = 0.5, 2.5
EXPERT_CHUNK = 65536.0  # tokens that experts take at a time  [SGLang, fused_moe.py: CHUNK_SIZE]
LEAST_ROOM = 0.01  # share of the memory below which a cache's spread grows no more
GRAPH_SIZES = 512.0  # batch sizes are captured up to it, or to twice the most sequences
FINE, COARSE, TURN = 8.0, 16.0, 256.0  # every 8th size, from 256 on every 16th; 1, 2 and 4 besides


@equation
def usable_bytes(s: System) -> Bytes:
    """Memory a program finds on one device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return s.device.hbm_bytes * (GIB_PER_GB * s.device.offered)


def _stack_params(s: System) -> Scalar:
    """Weights of a stack's layers on one device: a share of the matrices, whole routers, copies."""
    a, tp = s.arch, s.parallel.tp
    shared = (attn_params(a) + (mlp_params(a) - router_params(a)) * _padding(s)) / tp
    return a.n_layers * (shared + router_params(a) + copied_params(s))


def _padding(s: System) -> Scalar:
    """How much wider experts are held than they are, for kernels that want whole tiles."""
    multiple = s.precision.expert_multiple
    if is_zero(multiple - 1.0) or is_zero(s.arch.n_experts - 1.0):
        return 1.0
    width = s.arch.d_ff * s.parallel.ep / s.parallel.tp
    return ceil(width / multiple) * multiple / width


@equation
def layer_weight_bytes(s: System) -> Bytes:
    """Weights of all layers on one device of a stage that had them all.

    What a quantised checkpoint keeps in 16 bits is so here.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    p, kept = s.precision, s.arch.kept_params / s.parallel.tp
    params = over_stacks(_stack_params)(s) + s.arch.extra_params / s.parallel.tp
    return (params - kept) * p.weight_bytes + kept * p.embedding_bytes


@equation
def weight_bytes(s: System) -> Bytes:
    """Weights on one device, of the largest pipeline stage: the first and last hold a vocabulary's table.

    Beside them are the tables of rotary angles, whole, and what encodes images or speech.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    a, pp = s.arch, s.parallel.pp
    layer = layer_weight_bytes(s) / a.n_layers
    table = a.vocab_size * a.d_model * s.precision.embedding_bytes / s.parallel.tp
    tables = table * (1.0 + a.untied * maximum(0.0, 2.0 - pp))
    stage = maximum(floor(a.n_layers / pp) * layer + tables, ceil(a.n_layers / pp) * layer)
    share = a.tower_copied + (1.0 - a.tower_copied) / s.parallel.tp
    return stage + (a.rope_elements + a.tower_params * share) * s.precision.embedding_bytes


def _stack_kv_bytes(s: System) -> Bytes:
    layers = attention_layers(s.arch) * s.arch.own_kv
    return layers * token_bytes_per_device(s) * s.parallel.tp


@equation
def kv_bytes_per_token(s: System) -> Bytes:
    """KV cache of one token over all devices; heads replicate where tp > n_kv_heads.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return over_stacks(_stack_kv_bytes, has_attention)(s)


all_states_bytes = over_stacks(state_bytes)


@equation
def state_bytes_per_sequence(s: System) -> Bytes:
    """State the layers keep of a sequence, however long it is, over all devices.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return all_states_bytes(s)


def _widest(s: System, of: Callable[[Arch], Scalar]) -> Scalar:
    return reduce(maximum, map(of, s.arch.stacks or (s.arch,)))


@equation
def expert_workspace_bytes(s: System) -> Bytes:
    """Two buffers of a step's tokens once for each expert they visit, as a fused kernel takes them, in chunks.

    [vLLM, fused_moe.py: TritonExperts.workspace_shapes]

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """

    def elements(a: Arch) -> Scalar:
        if is_zero(a.n_experts - 1.0):
            return 0.0
        width = a.d_ff / (s.parallel.tp / s.parallel.ep)
        routed = minimum(a.n_experts - 1.0, 1.0) * a.n_active_experts
        return routed * (maximum(width, a.d_model) + maximum(2.0 * width, a.d_model))

    tokens = minimum(s.limits.max_batched_tokens, EXPERT_CHUNK)
    return tokens * s.precision.activation_bytes * _widest(s, elements)


@equation
def forward_bytes(s: System) -> Bytes:
    """Tensors of a full step's tokens in one layer.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """

    def width(a: Arch) -> Scalar:
        routed = minimum(a.n_experts - 1.0, 1.0)
        return a.d_ff * (1.0 - routed + a.n_shared_experts) / s.parallel.tp

    p = s.precision
    quantised = narrow_share(p)
    wide = (FORWARD_COPIES + QUANTISED_WIDE * quantised) * _widest(s, width)
    narrow = (FORWARD_COPIES + QUANTISED_NARROW * quantised) * s.arch.d_model
    return s.limits.max_batched_tokens * p.activation_bytes * (wide + narrow)


@equation
def sampler_bytes(s: System) -> Bytes:
    """Float32 logits of every sequence, several times over, beside the last layer's output.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    float32 = 2.0 * s.precision.activation_bytes
    logits = s.limits.max_num_seqs * s.arch.vocab_size * float32
    output = s.limits.max_batched_tokens * s.arch.d_model * s.precision.activation_bytes
    sampled = 1.0 - s.limits.chunked_prefill * (1.0 - s.footprint.samples_chunked)
    return sampled * s.footprint.sampler_copies * logits + output


@equation
def encoder_bytes(s: System) -> Bytes:
    """What an encoder takes for the largest image, or as many as make a step's tokens.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return _image_tokens(s) * s.arch.tower_token_elements * s.precision.activation_bytes


def _image_tokens(s: System) -> Scalar:
    return maximum(s.limits.max_batched_tokens, s.arch.tower_most_tokens)


@equation
def encoded_bytes(s: System) -> Bytes:
    """Images encoded ahead, and the step's input that they are merged in.

    [vLLM, gpu_model_runner.py: encoder_cache_size, inputs_embeds]

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    has = minimum(1.0, s.arch.tower_params)
    tokens = _image_tokens(s) + s.limits.max_batched_tokens
    return has * tokens * s.arch.d_model * s.precision.activation_bytes


@equation
def activation_peak_bytes(s: System) -> Bytes:
    """What a full step takes at most: the largest of the forward pass, the sampler and an encoder.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    kept = s.footprint.workspace_kept
    # States that are no pages of the cache are held for every sequence.
    states = s.limits.max_num_seqs * all_states_bytes(s) / (s.parallel.tp * s.parallel.pp)
    apart = (1.0 - s.footprint.grouped) * states
    workspace = expert_workspace_bytes(s)
    forward = maximum(forward_bytes(s) + (1.0 - kept) * workspace, encoder_bytes(s))
    peak = maximum(forward, sampler_bytes(s))
    return kept * workspace + encoded_bytes(s) + apart + peak


@equation
def outside_torch_bytes(s: System) -> Bytes:
    """What the process holds outside torch: context, libraries, and buffers of collectives.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    together = minimum(s.parallel.tp - 1.0, 1.0)
    return s.footprint.outside_bytes + together * s.footprint.outside_tp_bytes


@equation
def graph_sizes(s: System) -> Scalar:
    """Batch sizes of which graphs are captured.

    [vLLM, vllm/config: cudagraph_capture_sizes]

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    most = minimum(2.0 * s.limits.max_num_seqs, GRAPH_SIZES)
    fine = floor(minimum(most, TURN - FINE) / FINE)
    coarse = maximum(0.0, floor((most - TURN) / COARSE) + 1.0)
    return 3.0 + fine + coarse


@equation
def graphs_bytes(s: System) -> Bytes:
    """What captured graphs take; none where the engine runs eagerly.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    f = s.footprint
    captured = s.arch.n_layers / s.parallel.pp * graph_sizes(s) * f.graphs_a_size
    return (1.0 - s.limits.eager) * (f.graph_bytes + captured * f.graph_layer_bytes)


@equation
def kv_room_bytes(s: System) -> Bytes:
    """What keys, values and states of sequences may take of one device; below 0: what is lacking.

    An engine takes a fraction of the memory and subtracts what it found to be in use; others take a
    fraction of what is then free.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    f, limits = s.footprint, s.limits
    used = weight_bytes(s) + outside_torch_bytes(s) + limits.reserve_bytes
    used = used + f.activations_in_fraction * activation_peak_bytes(s)
    used = used + f.graphs_in_fraction * graphs_bytes(s)
    share = 1.0 - f.fraction_of_free * (1.0 - limits.memory_fraction)
    left = usable_bytes(s) * limits.memory_fraction - used * share
    if is_zero(limits.cache_bytes):
        return left
    return left + _stated(s) * (limits.cache_bytes - left)


def _stated(s: System) -> Scalar:
    """1 where somebody states how large the cache is."""
    return minimum(1.0, ceil(s.limits.cache_bytes / usable_bytes(s)))


@equation
def overrun_bytes(s: System) -> Bytes:
    """What a device lacks for all parts at once; below 0: what is left.

    The share that an engine takes may leave too little for what it does not count: graphs, a peak.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    parts = weight_bytes(s) + outside_torch_bytes(s) + s.limits.reserve_bytes
    parts = parts + activation_peak_bytes(s) + graphs_bytes(s)
    return parts + maximum(0.0, kv_room_bytes(s)) - usable_bytes(s)


@equation
def n_blocks(s: System) -> Scalar:
    """Blocks the cache has.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return floor(maximum(0.0, kv_room_bytes(s)) / block_bytes(s))


@equation
def kv_capacity_tokens(s: System) -> Scalar:
    """Tokens the cache holds, as the engine's log says.

    Newer ones count how many requests of the longest length fit; older ones blocks, as if every layer
    kept all.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    found = layout(s)
    tables = sum(group.tables for group in found.groups)
    tokens = next((g.block_tokens for g in found.groups if not g.layers.is_state), 1.0)
    blocks = floor(n_blocks(s) / tables) * tokens
    if is_zero(s.limits.max_model_len) or is_zero(s.footprint.counts_windows):
        return blocks
    longest = s.limits.max_model_len
    whole = floor(n_blocks(s) / request_blocks(s, longest) * longest)
    return blocks + s.footprint.counts_windows * (whole - blocks)


def _length(w: Workload) -> Scalar:
    return w.input_tokens + w.output_tokens


@equation
def longest_at_once(s: System) -> Scalar:
    """Requests of the longest length that the cache holds, as the engine's log says.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return n_blocks(s) / request_blocks(s, s.limits.max_model_len)


@equation
def kv_tokens(s: System, w: Workload) -> Scalar:
    """Tokens of requests of the workload's length that the cache holds.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    block = s.limits.block_tokens
    whole = ceil(_length(w) / block) * block
    return n_blocks(s) * (whole / request_blocks(s, _length(w)))


@equation
def max_concurrency(s: System, w: Workload) -> Scalar:
    """Requests of full length that fit at once, by cache and by the engine's own limit.

    None where the parts together exceed the device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    starts = 1.0 - minimum(1.0, maximum(0.0, ceil(overrun_bytes(s) / usable_bytes(s))))
    fit = floor(n_blocks(s) / request_blocks(s, _length(w)))
    return starts * minimum(fit, s.limits.max_num_seqs)


@equation
def lacking_bytes(s: System, length: Scalar) -> Bytes:
    """What a device lacks for one request of a length; below 0 where there is room.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        length: tokens of the request, prompt and output.

    """
    need = request_blocks(s, length) * block_bytes(s)
    return maximum(need - kv_room_bytes(s), overrun_bytes(s))


@equation
def room_sd(s: System) -> Scalar:
    """Spread of the logarithm of the cache's size: all parts' own, against what they leave.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    f = s.footprint
    parts = (
        f.weights_sd * weight_bytes(s),
        f.activation_sd * f.activations_in_fraction * activation_peak_bytes(s),
        f.outside_sd * outside_torch_bytes(s),
        f.graph_sd * f.graphs_in_fraction * graphs_bytes(s),
    )
    total = sum((part * part for part in parts[1:]), parts[0] * parts[0]) ** 0.5
    spread = total / maximum(kv_room_bytes(s), LEAST_ROOM * usable_bytes(s))
    return spread * (1.0 - _stated(s))
