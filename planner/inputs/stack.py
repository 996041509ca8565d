"""A stack of like layers: what a model's layers are where they are not all alike."""

import math
from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from planner.columns import Arch
from planner.cost.operators.attention.recurrent import Recurrent
from planner.inputs.fields import Spec

LARGEST = 10**9  # beyond any shape, and below where float64 columns lose count

# Strict: a width of 2048.5, true or "2048" is a mistake, never a number to round.
PositiveInt = Annotated[int, Field(strict=True, gt=0, le=LARGEST)]
NaturalInt = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]


class RecurrentSpec(Spec):
    """A mixer that keeps a state; see `cost.operators.attention.recurrent`."""

    in_width: PositiveInt
    out_width: PositiveInt
    inner_params: NaturalInt = 0
    state_elements: NaturalInt = 0
    conv_elements: NaturalInt = 0
    state_element_bytes: float = Field(2.0, gt=0)


class Stack(Spec):
    """Like layers of a model. Without heads they have no attention, without `d_ff` no MLP."""

    n_layers: PositiveInt
    n_heads: NaturalInt = 0
    n_kv_heads: NaturalInt = 0
    head_dim: NaturalInt = 0
    output_gate: bool = False
    window: PositiveInt | None = None  # tokens a local layer looks back
    kv_latent_dim: NaturalInt = 0
    q_latent_dim: NaturalInt = 0
    rope_dim: NaturalInt = 0
    chunked: bool = False  # the window is a chunk, which begins at multiples of its length
    index_bytes: NaturalInt = 0  # of the index that sparse attention chooses by, a token
    own_kv: bool = True  # False: keys and values are those of an earlier layer
    recurrent: RecurrentSpec | None = None
    state_checkpoints: NaturalInt = 0  # states more that prefix caching keeps of a sequence
    d_ff: NaturalInt = 0  # of one expert, where there are several
    mlp_gated: bool = True
    n_experts: PositiveInt = 1
    n_active_experts: PositiveInt = 1
    n_shared_experts: float = Field(0.0, ge=0)  # in widths of an expert
    other_params: int = 0  # norms, biases and what else costs no time, a layer

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        for wrong, message in (
            (self.n_kv_heads < 1 <= self.n_heads, "n_heads need n_kv_heads"),
            (
                self.n_kv_heads > 0 and self.n_heads % self.n_kv_heads != 0,
                f"n_kv_heads {self.n_kv_heads} must divide n_heads {self.n_heads}",
            ),
            (self.n_heads > 0 and self.head_dim < 1, "n_heads need a head_dim"),
            (
                self.n_active_experts > self.n_experts,
                f"n_active_experts {self.n_active_experts} exceeds n_experts {self.n_experts}",
            ),
            (self.n_experts > 1 and self.d_ff < 1, "experts need a d_ff"),
            (
                self.kv_latent_dim > 0 and not self.rope_dim < self.kv_latent_dim,
                f"rope_dim {self.rope_dim} must lie below kv_latent_dim",
            ),
            (bool(self.recurrent) and self.n_heads > 0, "recurrent and n_heads are two stacks"),
        ):
            if wrong:
                raise ValueError(message)
        return self

    @model_serializer(mode="wrap")
    def _as_stated(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what differs from nothing."""
        fields = type(self).model_fields
        return {k: v for k, v in dump(self).items() if v != fields[k].default}

    def arch(self, d_model: int) -> Arch:
        """Return its columns; the model's own (vocabulary, embeddings) are left at nothing."""
        own = self.recurrent
        count = float(self.n_layers)
        return Arch(
            n_layers=count,
            d_model=float(d_model),
            n_heads=float(self.n_heads),
            n_kv_heads=float(self.n_kv_heads),
            head_dim=float(self.head_dim),
            d_ff=float(self.d_ff),
            vocab_size=0.0,
            mlp_matrices=3.0 if self.mlp_gated else 2.0,
            n_experts=float(self.n_experts),
            n_active_experts=float(self.n_active_experts),
            n_shared_experts=self.n_shared_experts,
            window=math.inf if self.window is None else float(self.window),
            local_fraction=0.0 if self.window is None else 1.0,
            kv_latent_dim=float(self.kv_latent_dim),
            q_latent_dim=float(self.q_latent_dim),
            rope_dim=float(self.rope_dim),
            output_gate=float(self.output_gate),
            own_kv=float(self.own_kv),
            chunked_window=float(self.chunked),
            index_bytes=float(self.index_bytes),
            state_checkpoints=float(self.state_checkpoints),
            further=(Recurrent(count, **{k: float(v) for k, v in own}),) if own else None,
        )
