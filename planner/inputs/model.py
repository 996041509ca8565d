"""A model's shape, validated, with its exact parameter count."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from planner.columns import Arch
from planner.cost import params
from planner.cost.operators.attention.kinds import (
    FURTHER,
    attention_layers,
    attn_params,
    has_attention,
    kv_elements_per_token,
)
from planner.cost.operators.mlp import expert_params
from planner.cost.operators.operator import over_layers
from planner.inputs.family import FAMILIES, Family, Traits
from planner.inputs.fields import Name, Spec
from planner.inputs.formats import Stored
from planner.inputs.stack import LARGEST, NaturalInt, PositiveInt, Stack


def _further(stated: Any) -> Any:
    """Read tables of further kinds of layers, ``{name: {column: number}}``, as their columns."""
    if not isinstance(stated, Mapping):
        return stated
    kinds = {k.name: k.columns for k in FURTHER if k.columns is not None}
    found = []
    for name, table in stated.items():
        if name not in kinds:
            raise ValueError(f"no kind of layer {name!r}; there are {', '.join(kinds) or 'none'}")
        columns = [f.name for f in fields(kinds[name])]
        numbers = all(type(v) in (int, float) and 0 < v <= LARGEST for v in table.values())
        if set(table) != set(columns) or not numbers:
            raise ValueError(f"layers.{name} states numbers above 0 for {', '.join(columns)}")
        found.append(kinds[name](**{k: float(v) for k, v in table.items()}))
    return tuple(found)


class ModelSpec(Spec):
    """The shape of a decoder-only transformer: everything its cost depends on, and no weights.

    Counts are exact: norms, biases and tied embeddings included. Fields default to what a dense
    Llama has, so a dense model names nothing below `vocab_size`.
    """

    name: Name
    family: Family = "llama"
    n_layers: PositiveInt
    d_model: PositiveInt
    n_heads: NaturalInt
    n_kv_heads: NaturalInt
    head_dim: NaturalInt  # with latent attention: the part without position, and the values'
    d_ff: NaturalInt  # of a dense layer
    vocab_size: PositiveInt
    tied_embeddings: bool = False
    mlp_gated: bool = True  # gate, up and down; else up and down alone
    attention_bias: bool = False
    mlp_bias: bool = False

    n_experts: PositiveInt = 1
    n_active_experts: PositiveInt = 1  # routed experts a token visits
    n_shared_experts: NaturalInt = 0  # experts every token visits besides
    d_ff_expert: NaturalInt = 0  # of one expert; 0 without experts
    n_dense_layers: NaturalInt = 0  # first layers that have no experts, among those that do

    window: PositiveInt | None = None  # tokens a local layer looks back
    local_fraction: float = Field(0.0, ge=0, le=1)  # share of layers that are local

    kv_latent_dim: NaturalInt = 0  # latent attention: cached elements a token and layer, all told
    q_latent_dim: NaturalInt = 0  # and the rank of its query projection; 0: full rank
    rope_dim: NaturalInt = 0  # and the rotary part of a head, which the heads' keys share

    # Layers of further kinds: a table [layers.NAME] each, of the kind's own columns.
    layers: Annotated[tuple[Any, ...], BeforeValidator(_further)] = ()

    # Layers that are not all alike: a table [[stacks]] for each stack of like ones. The fields above
    # are then those of most layers, and `other_params` what is neither in a layer nor an embedding.
    stacks: tuple[Stack, ...] = ()
    other_params: int = Field(0, ge=-(10**13), le=10**13)
    head: Literal["lm", "score", "none", "draft"] = "lm"  # what follows the layers
    weights_format: Stored = ""  # of a quantised checkpoint: what its matrices are stored in
    unread_format: str = ""  # what it says it is stored in, where we know no such format
    attention_kept: bool = False  # but not those of attention, which stay in 16 bits

    # What encodes images or speech beside the decoder: not of its counts, but of its memory.
    tower_params: NaturalInt = 0
    tower_copied: bool = False  # whole on each device under tensor parallelism
    tower_token_elements: NaturalInt = 0  # alive at once while it encodes, a token it yields
    tower_most_tokens: NaturalInt = 0  # that one image may yield

    max_position_embeddings: PositiveInt = 131072
    # Times it that angles are tabulated; 0: none are.
    rope_stretch: float = Field(1.0, ge=0, le=1e4)
    rope_theta: float = Field(500000.0, gt=0, le=1e12)
    source: str = ""

    @model_validator(mode="after")
    def _check(self) -> "ModelSpec":
        for wrong, message in self._faults():
            if wrong:
                raise ValueError(message)
        return self

    @model_serializer(mode="wrap")
    def _as_stated(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write layers of further kinds as they are read, and nothing where there are none."""
        found: dict[str, Any] = dump(self)
        names = {k.columns: k.name for k in FURTHER}
        tables = {names[type(own)]: asdict(own) for own in self.layers}
        said = (
            *("stacks", "other_params", "weights_format", "unread_format", "attention_kept"),
            *("tower_params", "tower_copied", "tower_token_elements", "tower_most_tokens"),
        )
        unsaid = {"layers", *(k for k in said if not found.get(k))}
        unsaid |= {"rope_stretch"} if self.rope_stretch == 1 else set()
        unsaid |= {"head"} if self.head == "lm" else set()
        return {k: v for k, v in found.items() if k not in unsaid} | (
            {"layers": tables} if tables else {}
        )

    def _faults(self) -> list[tuple[bool, str]]:
        if self.stacks:
            counts = [x.n_layers for x in self.stacks]
            return [
                (
                    not max(counts) <= self.n_layers <= sum(counts),
                    f"stacks of {', '.join(map(str, counts))} layers make no {self.n_layers}",
                ),
                (self.n_params_non_embedding < 1, "its layers have no weights"),
            ]
        traits = self.traits
        kv, heads = self.n_kv_heads, self.n_heads
        routed = self.n_experts > 1
        return [
            (
                min(kv, heads, self.head_dim, self.d_ff) < 1,
                "n_heads, n_kv_heads, head_dim and d_ff are at least 1",
            ),
            (kv > 0 and heads % kv != 0, f"n_kv_heads {kv} must divide n_heads {heads}"),
            (self.head_dim % 2 != 0, f"head_dim {self.head_dim} must be even, for rotary pairs"),
            (self.attention_bias and not traits.attention_bias, self._has_no("attention_bias")),
            (self.mlp_bias and not traits.mlp_bias, self._has_no("mlp_bias")),
            (routed and not traits.experts, self._has_no("experts")),
            (
                self.n_active_experts > self.n_experts,
                f"n_active_experts {self.n_active_experts} exceeds n_experts {self.n_experts}",
            ),
            (routed != (self.d_ff_expert > 0), "n_experts above 1 and d_ff_expert go together"),
            (
                not routed and (self.n_shared_experts > 0 or self.n_dense_layers > 0),
                "n_shared_experts and n_dense_layers need n_experts above 1",
            ),
            (
                routed and self.n_dense_layers >= self.n_layers,
                f"n_dense_layers {self.n_dense_layers} leaves no layer with experts",
            ),
            (
                (self.window is None) != (self.local_fraction == 0),
                "window and local_fraction go together",
            ),
            (self.window is not None and not traits.window, self._has_no("window")),
            (
                traits.latent != (self.kv_latent_dim > 0),
                f"family {self.family} {'needs a' if traits.latent else 'has no'} kv_latent_dim",
            ),
            (
                not traits.latent and (self.q_latent_dim > 0 or self.rope_dim > 0),
                "q_latent_dim and rope_dim need kv_latent_dim",
            ),
            (
                traits.latent and not 0 < self.rope_dim < self.kv_latent_dim,
                f"rope_dim {self.rope_dim} must lie between 0 and kv_latent_dim",
            ),
            (
                sum(own.n_layers for own in self.layers) >= self.n_layers,
                f"layers of further kinds leave none of {self.n_layers} with attention",
            ),
            (traits.latent and kv != heads, "latent attention has n_kv_heads equal to n_heads"),
        ]

    def _has_no(self, what: str) -> str:
        return f"family {self.family} has no {what}"

    @property
    def mixed(self) -> bool:
        """Whether its layers are not all alike."""
        return bool(self.stacks or self.n_dense_layers)

    @property
    def traits(self) -> Traits:
        """What sets its family apart."""
        return FAMILIES[self.family]

    @cached_property
    def n_params(self) -> int:
        """All weights, exactly, as transformers counts them."""
        embeddings = self.vocab_size * self.d_model * self._tables
        return self.n_params_non_embedding + embeddings + self._vectors()

    @property
    def _tables(self) -> int:
        """Its tables of the vocabulary's size: embedding and LM head, of which a draft has neither."""
        return {"lm": 1 if self.tied_embeddings else 2, "draft": 0}.get(self.head, 1)

    @cached_property
    def n_params_non_embedding(self) -> int:
        """Weights of the attention and MLP matrices: the loss law's N; norms and biases left out."""
        return round(float(params.n_params_non_embedding(self._matrices())))

    @cached_property
    def n_active_params(self) -> int:
        """Weights a token touches: all but the experts it does not visit."""

        def idle(a: Arch) -> Any:
            return (a.n_experts - a.n_active_experts) * expert_params(a)

        return self.n_params - round(float(over_layers(self._matrices(), idle)))

    @property
    def mlp_attn_ratio(self) -> float:
        """MLP over attention weights, r; with experts, those a token visits."""
        return float(params.mlp_attn_ratio(self._matrices()))

    @property
    def gqa(self) -> float:
        """Query heads that share a key/value head."""
        return self.n_heads / max(self.n_kv_heads, 1)

    @property
    def layer_kinds(self) -> frozenset[str]:
        """What its layers are, as far as fits may not know them: dense or of experts, and what else."""
        parts: tuple[Any, ...] = (self, *self.stacks)
        found = {
            "experts": any(p.n_experts > 1 for p in parts),
            "dense": not any(p.n_experts > 1 for p in parts),
            "latent": any(p.kv_latent_dim > 0 for p in parts),
            "window": any(bool(p.window) for p in parts),
            "recurrent": bool(self.layers) or any(x.recurrent for x in self.stacks),
        }
        return frozenset(name for name, has in found.items() if has)

    @property
    def d_over_sqrt_n(self) -> float:
        """Width relative to size, x = d_model / √N, with N non-embedding."""
        return float(self.d_model / self.n_params_non_embedding**0.5)

    @property
    def aspect(self) -> float:
        """Width over depth, d_model / n_layers."""
        return self.d_model / self.n_layers

    def summary(self) -> dict[str, Any]:
        """Return the fields, and the counts and ratios that follow from them, ready for JSON."""
        follows = (
            "n_params n_params_non_embedding n_active_params mlp_attn_ratio gqa d_over_sqrt_n aspect "
            "kv_bytes_per_token kv_bytes_past_window state_bytes_per_sequence"
        )
        return self.model_dump() | {name: getattr(self, name) for name in follows.split()}

    @property
    def kv_bytes_per_token(self) -> int:
        """What all layers cache of a token, in 16 bits."""
        return self._cached(local=True)

    @property
    def kv_bytes_past_window(self) -> int:
        """The same of a token that local layers no longer look back to."""
        return self._cached(local=False)

    @property
    def state_bytes_per_sequence(self) -> int:
        """What recurrent layers keep of a sequence, what is no float32 in 16 bits."""
        found = [(x.n_layers, x.recurrent) for x in self.stacks if x.recurrent]
        return round(
            sum(
                n * (r.state_elements * r.state_element_bytes + 2 * r.conv_elements)
                for n, r in found
            )
        )

    def _cached(self, *, local: bool) -> int:
        arch = self._matrices()
        total = 0.0
        for a in filter(has_attention, arch.stacks or (arch,)):
            layers = attention_layers(a) * (1.0 if local else 1.0 - a.local_fraction)
            total += float(layers * kv_elements_per_token(a) * a.own_kv)
        return round(2.0 * total)

    def arch(self) -> Arch:
        """Return the columns equations look at; `params.n_params` of them is the exact count."""
        arch = self._matrices()
        kept = over_layers(arch, attn_params) if self.attention_kept else 0.0
        rotary = self.rope_dim or max(
            [x.rope_dim or x.head_dim for x in self.stacks] or [self.head_dim]
        )
        arch = replace(
            arch,
            kept_params=float(kept),
            rope_elements=float(self.max_position_embeddings * self.rope_stretch * rotary)
            * (self.head != "draft"),  # which looks up its target's
            tower_params=float(self.tower_params),
            tower_copied=float(self.tower_copied),
            tower_token_elements=float(self.tower_token_elements),
            tower_most_tokens=float(self.tower_most_tokens),
        )
        return replace(arch, extra_params=float(self.n_params) - params.n_params(arch))

    def _matrices(self) -> Arch:
        routed = self.n_experts > 1
        arch = Arch(
            n_layers=float(self.n_layers),
            d_model=float(self.d_model),
            n_heads=float(max(self.n_heads, 1)),
            n_kv_heads=float(max(self.n_kv_heads, 1)),
            head_dim=float(self.head_dim),
            d_ff=float(self.d_ff_expert if routed else self.d_ff),
            vocab_size=float(self.vocab_size),
            untied=float(self._tables - 1),
            mlp_matrices=3.0 if self.mlp_gated else 2.0,
            n_experts=float(self.n_experts),
            n_active_experts=float(self.n_active_experts),
            n_shared_experts=float(self.n_shared_experts),
            window=math.inf if self.window is None else float(self.window),
            local_fraction=self.local_fraction,
            kv_latent_dim=float(self.kv_latent_dim),
            q_latent_dim=float(self.q_latent_dim),
            rope_dim=float(self.rope_dim),
            further=self.layers or None,
        )
        if self.stacks:
            return replace(arch, stacks=tuple(x.arch(self.d_model) for x in self.stacks))
        if not self.n_dense_layers:
            return arch
        dense = replace(
            arch,
            n_layers=float(self.n_dense_layers),
            d_ff=float(self.d_ff),
            n_experts=1.0,
            n_active_experts=1.0,
            n_shared_experts=0.0,
        )
        rest = replace(arch, n_layers=float(self.n_layers - self.n_dense_layers))
        return replace(arch, stacks=(dense, rest))

    def _vectors(self) -> int:
        """Norms and biases: what a count of matrices leaves out."""
        if self.stacks:
            return self.other_params + sum(x.n_layers * x.other_params for x in self.stacks)
        traits = self.traits
        q, kv = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        layer = traits.norms_per_layer * self.d_model
        layer += {"": 0, "head": 2 * self.head_dim, "full": q + kv}[traits.qk_norm]
        if traits.latent:  # a norm before each up-projection
            layer += self.q_latent_dim + self.kv_latent_dim - self.rope_dim
        if traits.qkv_bias or self.attention_bias:
            layer += q + 2 * kv
        if self.attention_bias:
            layer += self.d_model
        if self.mlp_bias:
            layer += (2 if self.mlp_gated else 1) * self.d_ff + self.d_model
        # And the norm before the LM head.
        return self.n_layers * layer + self.d_model + self.other_params


def llama_candidate(
    n_layers: Any,
    d_model: Any,
    n_heads: Any,
    n_kv_heads: Any,
    head_dim: Any,
    d_ff: Any,
    vocab_size: Any = 128256,
    *,
    name: str = "candidate",
    tied_embeddings: bool = True,
) -> ModelSpec:
    """Return a Llama-style spec of whole numbers that may come from float64 columns.

    Tied embeddings and the vocabulary are Llama-3.2's, as in Bian et al. (arXiv 2510.18245).

    Raises:
        pydantic.ValidationError: the numbers make no legal shape.

    """
    return ModelSpec(
        name=name,
        family="llama",
        n_layers=int(n_layers),
        d_model=int(d_model),
        n_heads=int(n_heads),
        n_kv_heads=int(n_kv_heads),
        head_dim=int(head_dim),
        d_ff=int(d_ff),
        vocab_size=int(vocab_size),
        tied_embeddings=tied_embeddings,
    )


def llama_rope_elements(head_dim: Any) -> Any:
    """Return the table of rotary angles of a Llama: `Arch.rope_elements` of a column of candidates."""
    return ModelSpec.model_fields["max_position_embeddings"].default * head_dim


def llama_extra_params(n_layers: Any, d_model: Any) -> Any:
    """Return the norms of a Llama: `Arch.extra_params` of a column of candidates."""
    return (2.0 * n_layers + 1.0) * d_model


def llama_arch(table: Mapping[str, Any]) -> Arch:
    """Return the Llama-style shapes of a table as columns: its shape by the names of `Arch`."""
    names = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size")
    return Arch(
        **{name: table[name] for name in names},
        extra_params=llama_extra_params(table["n_layers"], table["d_model"]),
        rope_elements=llama_rope_elements(table["head_dim"]),
    )
