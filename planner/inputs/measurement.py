"""One recorded run: what was asked, on what machine, what came out. The harness writes these, fits read them."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Setting = str | int | float | bool | None
Kind = Literal[
    "gemm",
    "attention_prefill",
    "attention_decode",
    "elementwise",
    "copy",
    "all_reduce",
    "serve_offline",
    "serve_online",
    "train",
]
Status = Literal["ok", "oom", "crash", "timeout", "diverged", "failed"]
FORMAT: Literal[1] = 1  # of a row; readers skip rows of another one and say so


def content_key(kind: str, what: Mapping[str, Setting], machine: str, engine: str) -> str:
    """Return the identity of a run: two runs with one key are the same run, whoever did them."""
    text = json.dumps([FORMAT, kind, dict(what), machine, engine], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Measurement(BaseModel):
    """A row of a run file.

    `what` is everything that was chosen: shape, lengths, batch, dtype, flags, seed. `values` is what came
    out, SI units in the names; a failed run has none and says why in `message`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    key: str
    kind: Kind
    status: Status = "ok"
    what: dict[str, Setting]
    values: dict[str, float] = Field(default_factory=dict)
    samples: dict[str, list[float]] = Field(default_factory=dict)  # repeats, loss curves
    engine: str = ""  # name and version of what ran: "vllm 0.32.0", "torch 2.13.0"
    machine: str = ""  # short identity of the device: two machines alike share it
    environment: dict[str, Setting] = Field(
        default_factory=dict
    )  # driver, clocks, versions, threads
    started: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    seconds: float = 0.0  # the run cost, start-up included
    message: str = ""

    @classmethod
    def of(cls, kind: Kind, what: Mapping[str, Setting], **fields: Any) -> "Measurement":
        """Build a row with its key."""
        key = content_key(kind, what, fields.get("machine", ""), fields.get("engine", ""))
        return cls(key=key, kind=kind, what=dict(what), **fields)

    def line(self) -> bytes:
        """Return the row as one line of JSON, newline included."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        # A default that is the present moment equals what was said in the same second: it is no default.
        started = self.model_dump(mode="json", include={"started"})
        line = json.dumps({"format": FORMAT} | said | started, separators=(",", ":"))
        return line.encode() + b"\n"
