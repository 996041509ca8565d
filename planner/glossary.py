"""The one vocabulary: every name with its symbol, its unit and what it means.

Code, flags, JSON keys and docs use these names. A field that shares its name with an equation is
listed as ``owner.name``, e.g. ``precision.weight_bytes``. A test holds that every column field and
every equation is here, with the unit it declares.
"""

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """A name of ours: LaTeX symbol, unit as in `planner.units` (empty: a plain number), meaning."""

    name: str
    symbol: str
    unit: str
    meaning: str


_TERMS = r"""
# Shape
n_layers | L |  | transformer layers
d_model | d |  | width of the residual stream
n_heads | H |  | query heads
n_kv_heads | H_{kv} |  | key/value heads
head_dim | d_h |  | width of a head
d_ff | f |  | hidden width of the MLP (of one expert, where there are several)
vocab_size | V |  | tokens in the vocabulary
untied | u |  | 1 where the LM head has weights of its own, 0 where it shares the embedding's, -1 where a draft has neither
mlp_matrices | m |  | matrices of an MLP: 3 gated, 2 plain
n_experts | E_x |  | experts of a layer
n_active_experts | k |  | routed experts a token visits
n_shared_experts | k_s |  | experts every token visits besides
window | w |  | tokens a local layer looks back
local_fraction | \lambda |  | share of layers that are local
kv_latent_dim | d_c |  | latent attention: cached elements a token and layer
q_latent_dim | d_q |  | latent attention: rank of the query projection
rope_dim | d_r |  | latent attention: rotary part of a head
extra_params | N_x |  | norms and biases: weights that cost no time
kept_params | N_{16} |  | weights that a quantised checkpoint keeps in 16 bits
chunked_window | c_{ch} |  | 1 where a window is a chunk that begins at multiples of its length
index_bytes | m_i | byte | index that sparse attention chooses by, a token and layer
state_checkpoints | n_{chk} |  | states more that prefix caching keeps of a sequence
rope_elements | n_{rope} |  | elements of the tables of rotary angles
tower_params | N_t |  | weights of an encoder beside the decoder
tower_copied | c_t^{tp} |  | 1 where the encoder is whole on each device
tower_token_elements | n_t |  | elements alive at once while it encodes, a token it yields
tower_most_tokens | S_t |  | tokens that one image may yield
output_gate | g_o |  | 1 where a gate as wide as the queries scales attention's output
own_kv | o_{kv} |  | 0 where keys and values are those of an earlier layer
recurrent_decode_s | t_{rec,d} | s | states of decoding sequences read and written, all layers
recurrent_prefill_s | t_{rec,p} | s | prompts through the recurrence, all layers
recurrent_projections_s | t_{rec} | s | projections of recurrent layers
stacks | \Sigma |  | stacks of like layers, each with columns of its own
further | \Lambda |  | layers of further kinds, each with columns of its own

# Weights
q_params | N_q |  | weights of a layer's query projection
kv_params | N_{kv} |  | weights of a layer's key and value projections
attn_params | N_{attn} |  | weights of a layer's attention
expert_params | N_{e} |  | weights of one MLP (of one expert, where there are several)
router_params | N_{rt} |  | weights of a layer's router
mlp_params | N_{mlp} |  | weights of a layer's MLP, all experts
active_mlp_params | N_{mlp}^{act} |  | weights of a layer's MLP that a token touches
embedding_params | N_{emb} |  | weights of embedding and LM head, once where tied
n_params | N_{all} |  | all weights
n_params_non_embedding | N |  | weights of the layers' matrices: the N of the loss law
n_active_params | N_{act} |  | weights a token touches
n_multiplied_params | N_{mul} |  | weights a token is multiplied by
n_active_params_non_embedding | N_{act}^{ne} |  | weights of the layers' matrices a token touches
mlp_attn_ratio | r |  | MLP over attention weights
d_over_sqrt_n | x |  | width relative to size, d_model / √N
gqa | g |  | query heads that share a key/value head
kv_elements_per_token | e_{kv} |  | elements one layer caches for a token

# Precision
precision.weight_bytes | b_w | byte | bytes a weight of the layers takes
embedding_bytes | b_e | byte | bytes a weight of embedding and LM head takes
kv_bytes | b_{kv} | byte | bytes a cached element takes
activation_bytes | b_a | byte | bytes an activation takes
gemm_input_bytes | b_g | byte | bytes an element takes as matrix products compute in it
expert_multiple | n_e^{mul} |  | widths of experts are padded to a multiple of it

# Device and its kernels
flops_per_s | C | flop/s | dense matrix rate, nameplate
attention_flops_per_s | C_a | flop/s | matrix rate at the dtype attention computes in
hbm_bytes_per_s | W | byte/s | memory bandwidth, nameplate
hbm_bytes | M | byte | device memory
offered | \mu |  | share of the memory that a program finds
n_sms | n_{SM} |  | multiprocessors
link_bytes_per_s | W_l | byte/s | bandwidth to the peers in the node, one direction
node_link_bytes_per_s | W_n | byte/s | share of the node's network, one direction
launch_s | t_0 | s | a kernel that does nothing
sustained_clock | \eta_{clk} |  | share of a short burst's matrix rate that a long run keeps
gemm_compute_eff | \eta_c |  | share of the matrix rate a matrix product reaches
narrow_compute_eff | \eta_8 |  | of the rate products reach, what those in 8 bits and fewer keep
gemm_hbm_eff | \eta_m |  | share of the bandwidth a matrix product reaches
route_launch_s | t_{route} | s | a kernel that sorts tokens by expert
uneven | u |  | 1 where chance shares a product's rows out to its groups
gemm_start_depth | k_0 |  | start and end of a tile, in depth it could have worked off
gemm_fill_s | t_{fill} | s | latency of the pipeline of a deep matrix product
gemm_tile_rows | m_t |  | rows a tile of a matrix product takes, however few there are
gemm_fill_depth | k_{1/2} |  | depth at which half of that latency is felt
unpack_share | \eta_{un} |  | of the bytes weight-only formats save, the share unpacking costs
quantise_launch_s | t_q | s | bringing activations to 8 bits: latency
quantise_hbm_eff | \eta_q |  | bringing activations to 8 bits: share of the bandwidth
attention_compute_eff | \eta_{ca} |  | share of the matrix rate prefill attention reaches
attention_tile_rows | n_t |  | query rows of an attention tile
attention_start_keys | S_0 |  | start of an attention tile, in keys it could have passed over
packs_gqa | \pi_g |  | 1 where query heads of a group share a tile in prefill
kv_write_token_s | t_{kv} | s | writing to the cache: a token, on its multiprocessor
kv_write_hbm_eff | \eta_{kv} |  | share of the bandwidth that writing to the cache reaches
decode_hbm_eff | \eta_d |  | share of the bandwidth decode attention reaches
decode_launch_s | t_d | s | decode attention: latency
decode_split_s | t_{join} | s | decode attention: joining the parts of a split sequence
decode_block_s | t_{blk} | s | decode attention: a sequence and key/value head on its multiprocessor
decode_block_share | \beta_{blk} |  | bandwidth one such block draws, in fair shares of a multiprocessor
decode_head_share | \beta_{kv} |  | bandwidth the splits of one key/value head draw, of all
decode_rereads | \rho_g |  | of the reads that query heads of a group could share, those done twice
kv_unpack_share | \eta_{un}^{kv} |  | of the bytes an 8-bit cache saves, the share unpacking costs
splits_mha | \pi_s |  | 1 where keys are split also if every query head has its own
elementwise_hbm_eff | \eta_{el} |  | share of the bandwidth norms and activations reach
link_eff | \eta_l |  | share of the bandwidth of the link that collectives reach
link_latency_s | t_l | s | latency of a collective
link_peer_s | t_{peer} | s | more latency for each further peer
network_latency_s | t_{net} | s | more of a message's latency where it leaves the node
link_second_s | t_{l2} | s | latency of a second pass, in which each device has a part summed

# Engine
tp | n_{tp} |  | tensor-parallel degree
pp | n_{pp} |  | pipeline-parallel degree
ep | n_{ep} |  | expert-parallel degree
devices_per_node | n_{node} |  | devices of a node
overheads.step_s | t_e | s | engine work a step: scheduler, sampling, output
layer_s | t_{gap} | s | gaps between kernels, a layer
sequence_s | t_{seq} | s | bookkeeping of a sequence that yields a token
fixed_s | t_{door} | s | delay of a request in which the front end holds up no other
request_s | t_{req} | s | CPU time of the front end, a request
prompt_token_s | t_{tok} | s | CPU time of the front end, a prompt token: tokenising
token_s | t_{out} | s | CPU time of the front end, a streamed token
shared | c_{shared} |  | 1 where one process takes requests in and streams tokens out
intake_s | t_{in} | s | front end, a lone request: before the scheduler sees it, and its first token's way back
ranks_s | t_{rank} | s | agreeing with the other ranks, a step
rank_block_s | t_{rank}^{blk} | s | telling the other ranks where a block of the cache is
eager_launch_s | t_{cpu} | s | CPU time to launch a kernel that no graph replays
memory_fraction | \phi |  | share of device memory the engine takes
max_num_seqs | B_{max} |  | sequences the engine runs at most
max_batched_tokens | T_{max} |  | token budget of a step
block_tokens | n_b |  | tokens of a KV block
reserve_bytes | M_r | byte | held by a draft
max_model_len | S_{max} |  | longest request, prompt and output; 0: as long as the workload's
eager | e |  | 1 where no graphs are captured
captured_prompt_rows | m_{cap} |  | rows of the largest step with prompts that a graph replays or compiled code launches
async_scheduling | a |  | 1 where the next step is prepared while the devices are busy
recv_interval | k |  | decode steps from one look for new requests to the next
prefix_caching | c_p |  | 1 where blocks of prompts are kept for later ones
cache_bytes | M_{kv}^{said} | byte | cache of a device where it is stated
cuts_prompts | c_{cut} |  | 0 where a prompt is computed whole, whatever the budget
reserves_output | c_{res} |  | 1 where a request enters only if its whole output will fit
chunked_prefill | c |  | 1 where prompts are cut to the budget and mixed with decoding
sampler_copies | c_s |  | float32 logits of every sequence that the sampler holds at once
samples_chunked | c_c |  | 1 where it samples while it measures prompts that are cut
workspace_kept | c_w |  | 1 where buffers of the experts outlive the forward pass
outside_bytes | m_{out} | byte | held outside torch by one device alone
outside_tp_bytes | m_{out}^{tp} | byte | more of it under tensor parallelism
graph_bytes | m_g | byte | of captured graphs altogether
graph_layer_bytes | m_g^l | byte | of each captured graph, a layer
graphs_a_size | n_g |  | graphs captured a batch size
graphs_in_fraction | c_g |  | 1 where the cache makes room for graphs
activations_in_fraction | c_a |  | 1 where the cache makes room for the activation peak
fraction_of_free | c_f |  | 1 where the fraction is of what is free once all else is loaded
latent_cached | c_l |  | 1 where the latent vector is cached, 0 where full heads are
grouped | c_k |  | 1 where layers of several kinds share blocks
states_cached | c_\sigma |  | 1 where prefix caching keeps states too
steps_in_flight | n_{fl} |  | steps whose tokens a window's layers hold at once
counts_windows | c_t |  | 1 where the tokens printed count windows and states
weights_sd | \sigma_w |  | spread of the weights' logarithm
activation_sd | \sigma_a |  | spread of the activation peak's
outside_sd | \sigma_{out} |  | spread of what is outside torch
graph_sd | \sigma_g |  | spread of the graphs'

# Work
prefill_tokens | T_p |  | prompt tokens computed in a step
prefill_seqs | B_p |  | sequences they belong to
prefill_context | S_p |  | keys a prompt token sees on average
decode_seqs | B_d |  | sequences that decode a token in a step
decode_queries | q |  | tokens of a decoding sequence in a step: one, and those proposed
decode_context | S_d |  | tokens already cached, mean over the decoding sequences
input_tokens | S_{in} |  | prompt tokens of a request
output_tokens | S_{out} |  | generated tokens of a request
batch | B |  | requests there are, or that are kept in flight
step_tokens | T |  | rows of every matrix product of the layers
logit_rows | T_V |  | positions that need logits
elementwise_bytes | D_{el} | byte | traffic of norms, rotary embedding and activation of a layer
lm_head_bytes | D_V | byte | traffic of embedding lookup and sampling
pair_flops | F_{qk} | flop | a query meets a key, by query head
cached_pair_flops | F_{qk}^{kv} | flop | a query meets a cached key, by query head

# Time
qkv_s | t_{qkv} | s | query, key and value projections
attention_prefill_s | t_{att,p} | s | attention of the new prompt tokens
kv_write_total_s | t_{w} | s | new keys and values put into the cache
attention_decode_s | t_{att,d} | s | attention over the cached keys and values
attention_output_s | t_{o} | s | output projection
mlp_up_s | t_{up} | s | gate and up projections
mlp_down_s | t_{down} | s | down projection
route_s | t_{rt} | s | tokens to experts and back
elementwise_total_s | t_{el} | s | norms, rotary embedding, activation
lm_head_s | t_{V} | s | embedding lookup and product with the vocabulary
communication_s | t_{comm} | s | collectives
device_s | t_{dev} | s | what the devices are busy with
launches | n_{ln} |  | kernels of a step
uncaptured | u |  | 1 where no graph replays a step
launching_s | t_{cpu}^{step} | s | what the CPU needs to launch the kernels of a step one by one
gaps_s | t_{gap}^{step} | s | gaps between the kernels of a step
host_s | t_{host} | s | the engine's own work in a step
step_s | t_{step} | s | one engine step
ttft_s | \mathrm{TTFT} | s | time to first token
tpot_s | \mathrm{TPOT} | s | time per output token after the first
idle_ttft_s | t_{first} | s | time to first token of a request that need not wait
full_batch_step_s | t_{full} | s | a step in which all that fit decode
batch_output_tokens_per_s | R_{batch} | 1/s | output tokens over the wall time of a batch
batch_s | t_{batch} | s | wall time of an offline batch
prefill_all_s | t_{p}^{all} | s | prompts of the whole batch
drain_step_s | t_{drain} | s | a step at the end, with half of the late ones left
drain_steps | n_{drain} |  | steps at the end for requests that were set back
output_tokens_per_s | R | 1/s | output tokens over wall time
running | B_r |  | requests in flight together
experts_touched | E_t |  | experts that a step visits at least once

# Parts of an operator's time
math_s | t_c | s | arithmetic
memory_s | t_m | s | memory traffic
waves | n_w |  | waves of tiles over the multiprocessors
stored_bytes | b_s | byte | what reading one weight costs
quantising_s | t_q | s | bringing activations to 8 bits
work_s | t_w | s | tiles of attention, spread over the multiprocessors
last_tile_s | t_{last} | s | the tile that sees every key
blocks_s | t_{blk} | s | blocks of work
bandwidth_share | \eta_b |  | share of the bandwidth the blocks draw

# Memory
usable_bytes | M_{use} | byte | memory a program finds on one device
weight_bytes | M_w | byte | weights on one device
kv_bytes_per_token | \kappa | byte | KV cache of one token, all layers
activation_peak_bytes | M_a | byte | activations of a full step
state_bytes_per_sequence | \sigma | byte | state the layers keep of a sequence, however long
kv_room_bytes | M_{kv} | byte | what the KV cache may take of one device
kv_capacity_tokens | T_{kv} |  | tokens the cache holds
layer_weight_bytes | M_w^{lay} | byte | weights of all layers on one device
expert_workspace_bytes | M_x | byte | buffers of a step's tokens, once for each expert they visit
forward_bytes | M_f | byte | tensors of a full step's tokens in one layer
sampler_bytes | M_s | byte | logits of every sequence while it samples
encoder_bytes | M_e | byte | what an encoder takes for images
encoded_bytes | M_e^{out} | byte | images encoded ahead, and the input they are merged in
outside_torch_bytes | M_{out} | byte | context, libraries and buffers of collectives
graph_sizes | n_{sz} |  | batch sizes of which graphs are captured
graphs_bytes | M_g | byte | captured graphs
overrun_bytes | M_{over} | byte | what graphs lack on top of the fraction
block_bytes | m_b | byte | a block of the cache on one device
request_blocks | n_{req} |  | blocks that a request takes at most
n_blocks | n_{blk} |  | blocks the cache has
kv_tokens | T_{kv}^w |  | tokens of the workload's requests that the cache holds
longest_at_once | B_{long} |  | requests of the longest length that fit
lacking_bytes | M_{lack} | byte | what a device lacks for one request
room_sd | \sigma_{kv} |  | spread of the cache's logarithm
max_concurrency | B_{fit} |  | requests of full length that fit at once

# Loss
n | N |  | parameters, counted as the law says
n_tokens | D |  | training tokens
x | x |  | d_model / √N
r | r |  | MLP over attention weights
E | E |  | loss of an infinite model on infinite data, nats per token
A | A |  | size of the finite-model term
alpha | \alpha |  | exponent of N
B | B |  | size of the finite-data term
beta | \beta |  | exponent of D
x_opt | x^* |  | best d_model / √N
k_x | k_x |  | curvature of the loss in width
r_opt | r^* |  | best MLP over attention weights
k_r | k_r |  | curvature of the loss in r
additive | \sigma |  | 1 where shape adds nats, 0 where it multiplies
size_term | L_N |  | nats left because the model is finite
data_term | L_D |  | nats left because the data are finite
reference_loss | L_{ref} |  | loss of the best shape at N and D, nats per token
width_penalty | \Delta_x |  | relative loss of a width off its optimum
ratio_penalty | \Delta_r |  | relative loss of an r off its optimum
shape_multiplier | \mu |  | multiplier of the reference loss
shape_offset | \delta |  | nats added to the reference loss
evidence_depth | L_0 |  | depth of the evidence at a size
best_aspect | R^*_N |  | best d_model / n_layers at a size
best_width | x^*_N |  | best d_model / √N at a size and the depth of the evidence
reference_head_dim | d_{h,0} |  | head size the law is read at
depth_ln_n_factor | \ln\eta_L |  | ln of what a parameter is worth at another depth
n_of | N |  | parameters a token touches, counted as the law says
x_of | x |  | d_model / √N, N the matrices' parameters a token touches
expert_gain | g_E |  | saturated count of experts over that of a dense model
loss | \mathcal{L} |  | predicted loss, nats per token
accuracy | a |  | mean accuracy over the nine tasks
slope | s_a |  | nats to logits of the accuracy link
midpoint | L_{1/2} |  | loss at which half the avoidable errors are made
error_at_chance | \epsilon_0 |  | error of guessing
depth_q | q_L |  | strength of the depth prior
depth_aspect | A_L |  | best d_model / n_layers at 1B
depth_drift | \rho |  | power of N by which it grows
x_drift | \xi |  | power of N by which the best width moves
head_k | k_h |  | loss per squared e-fold of a head under 96 wide
gqa_slope | s_g |  | nats per doubling of the group size
repeat_r | R^* |  | passes after which repeated data have lost most of their worth
lawcolumns.gqa | g_0 |  | group size of the evidence
gqa_high | g_{max} |  | largest group size of the evidence
n_fitted_low | N_{f,lo} |  | smallest size the shape part was fitted on
n_fitted_high | N_{f,hi} |  | largest size the shape part was fitted on
n_low | N_{lo} |  | smallest size of the evidence
n_high | N_{hi} |  | largest size of the evidence
tokens_per_param_low | \tau_{lo} |  | fewest tokens a parameter of the evidence
tokens_per_param_high | \tau_{hi} |  | most tokens a parameter of the evidence
r_low | r_{lo} |  | lowest r of the evidence
r_high | r_{hi} |  | highest r of the evidence
x_low | x_{lo} |  | lowest x of the evidence
x_high | x_{hi} |  | highest x of the evidence
noise_sd | \sigma_L |  | run-to-run noise and misfit, nats
head_k_sd | \sigma_{k_h} |  | spread of head_k
repeat_r_ln_sd | \sigma_{R} |  | spread of ln repeat_r
gqa_sd | \sigma_g |  | spread of the group size's effect, nats per doubling
ln_level_sd | \sigma_L0 |  | spread of ln of the loss at the pivot
ln_slope_n_sd | \sigma_{s_N} |  | spread of ln of the slope in ln N there
ln_slope_d_sd | \sigma_{s_D} |  | spread of ln of the slope in ln D there
ln_alpha_sd | \sigma_\alpha |  | spread of ln alpha
ln_beta_sd | \sigma_\beta |  | spread of ln beta
misfit_sd | \sigma_f |  | smooth misfit of a law in ln N and ln D
k_x_ln_sd | \sigma_{k_x} |  | spread of ln k_x over a factor 3 in N
x_opt_ln_sd | \sigma_{x} |  | spread of ln x_opt
k_r_ln_sd | \sigma_{k_r} |  | spread of ln k_r
r_opt_ln_sd | \sigma_{r} |  | spread of ln r_opt
depth_q_ln_sd | \sigma_{q} |  | spread of ln depth_q
depth_aspect_ln_sd | \sigma_{A} |  | spread of ln depth_aspect
depth_drift_sd | \sigma_\rho |  | spread of depth_drift
x_drift_sd | \sigma_\xi |  | spread of x_drift
slope_sd | \sigma_{s} |  | spread of the accuracy link's slope
midpoint_sd | \sigma_{1/2} |  | spread of its midpoint, nats
residual_sd | \sigma_{a} |  | accuracy of a model about the link
other_data_sd | \sigma_{data} |  | and for another corpus or tokenizer

# A closed loop at a fixed concurrency
n_requests | n |  | requests of a whole run
cv | \upsilon |  | how far lengths spread: standard deviation over mean
prefix_hit | h |  | share of a prompt the prefix cache holds
in_flight | R |  | requests that hold memory at once
prompt_tokens | S_p |  | prompt tokens a request computes
decode_steps | S_{out} - 1 |  | steps after the one that yields the first token
riding | B_r |  | sequences that decode beside prompt tokens, at most
riding_beside | B_{rb} |  | sequences that decode in a step that computes prompts
mean_context | \bar S |  | cached tokens of a decoding sequence, mean over its life
prompts_a_full_step | q_f |  | prompts completed in a step that computes as many as it can
prompts_a_step | q |  | prompts completed in a step, once starts have spread out
full_prompt_step_s | t_{qf} | s | a step that computes as many prompt tokens as it can
decode_step_s | t_1 | s | a step in which all in flight decode
steps_for_others | n_q |  | steps that compute prompts of others while a request decodes
burst_prompts_a_step | q_b |  | prompts completed in a step of the start-up burst
burst_step_s | t_b | s | a step of the start-up burst
burst_rest | \rho_b |  | share of the last step of a burst that no prompt fills
burst_s | t_{burst} | s | until every prompt of a burst that fits is computed
cycle_s | t_{cycle} | s | from one start in a place to the next
place_wait_s | t_{wait} | s | wait for a place in memory
placed_ttft_s | t_{ttft,placed} | s | from a place in memory to the first token
steady_ttft_s | t_{ttft,steady} | s | time to first token, once the start is forgotten
steady_decode_s | t_{dec,steady} | s | first token to last, once the start is forgotten
waves_ahead | n_{wave} |  | full cycles the mean request of a burst waits
placed_burst_ttft_s | t_{ttft,b} | s | mean time to first token of those of a burst that fit
burst_ttft_s | t_{ttft,burst} | s | mean time to first token of requests that arrive at once
drain_decode_s | t_{dec,last} | s | first token to last in the last wave of a run
last_decode_s | t_{dec,end} | s | first token to last of the last request of a run
closed_ttft_s | t_{ttft,c} | s | mean time to first token over a closed-loop run
closed_tpot_s | t_{tpot,c} | s | mean time per output token over a closed-loop run
closed_e2e_s | t_{e2e,c} | s | mean time from arrival to last token over a closed-loop run
requests_per_s | X | 1/s | requests completed per second in the steady state
run_s | t_{run} | s | wall time of a closed-loop run
closed_output_tokens_per_s | X_{out} | 1/s | output tokens per second of a closed-loop run

# Speculative decoding
speculation | p |  | how drafts are made and checked, if at all
draft_tokens | k |  | tokens a draft model proposes at a time
acceptance | \alpha |  | chance that a proposed token is kept
tokens_a_check | n_\alpha |  | tokens a check of a draft yields on average

# An open loop
saturation_per_s | \lambda_{max} | 1/s | most requests per second an engine completes

# Money and energy
usd_per_request | u_r | usd | price of a request
usd_per_input_mtok | u_{in} | usd | price of a million prompt tokens: the time that goes to prompts
usd_per_output_mtok | u_{out} | usd | price of a million generated tokens: the time that does not go to prompts
usd_per_generated_mtok | u_{gen} | usd | the whole bill over a million generated tokens: their prompts are paid with them
train_flops | C_{train} | flop | FLOPs of training
train_device_s | t_{train} | s | device seconds of training
train_usd | u_{train} | usd | price of training
lifetime_usd | u_{life} | usd | price of training and serving together
utilisation | U |  | the busier of arithmetic and memory bandwidth
watts | P | watt | power of all devices
joules_per_token | E_t | joule | energy of a generated token
"""


@functools.cache
def terms() -> dict[str, Term]:
    """Return every term by name."""
    lines = (line for line in _TERMS.splitlines() if line and not line.startswith("# "))
    found = (Term(*(cell.strip() for cell in line.split(" | "))) for line in lines)
    return {term.name: term for term in found}


def find_term(name: str) -> Term | None:
    """Return the term of a step or a symbol: ``step_s[decode]``, ``precision.weight_bytes``, ``d_ff``."""
    plain, _, label = name.partition("[")
    plain, label = plain.partition("#")[0], label.partition("]")[0]
    owner, _, part = plain.rpartition(".")
    term = terms().get(plain) or terms().get(part)
    if term and owner in terms() and plain not in terms():  # a part of an equation's own
        meaning = f"{term.meaning}: {terms()[owner].meaning}"
        term = Term(plain, f"{{{term.symbol}}}_{{{terms()[owner].symbol}}}", term.unit, meaning)
    if term is None or not label:
        return term
    return Term(
        name, f"{term.symbol}^{{\\mathrm{{{label}}}}}", term.unit, f"{term.meaning} ({label})"
    )


def symbol(name: str) -> str:
    """Return the LaTeX symbol of a step or symbol; names outside the glossary are set upright."""
    term = find_term(name)
    return term.symbol if term else r"\mathrm{" + name.replace("_", r"\_") + "}"
