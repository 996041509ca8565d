"""How a model is served: the engine and what it allows itself.

What an engine does unless told otherwise is in its file, `hardware/engines/*.toml`, by version.
"""

import functools
import re
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from planner.columns import Footprint, Limits, Parallel, Precision
from planner.data import catalogue, search_path
from planner.errors import UnknownName
from planner.inputs.fields import BytesField, Spec, load_toml
from planner.inputs.formats import FORMATS, SERVED, Dtype
from planner.inputs.names import slug, words
from planner.units import GIB

CHOSEN = ("max_num_seqs", "max_batched_tokens", "chunked_prefill")  # by the device, where unstated
_UNSAID = Footprint()
LARGE_BYTES = 60 * GIB  # of a device on which a reserve has a least size
LEAST_FRACTION = 0.01  # where the reserve is all of the device, or more: nothing fits
NEWER = 2.0  # how much wider intervals of memory are for a version newer than any that was read


class EngineLimits(Spec):
    """What an engine allows itself. The defaults are what most do: a file states what differs."""

    memory_fraction: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of the device's memory the engine takes.",
        json_schema_extra={"aliases": "gpu_memory_utilization mem_fraction_static"},
    )
    max_num_seqs: int = Field(256, ge=1, le=10**6, description="Sequences it runs at most.")
    max_batched_tokens: int = Field(
        8192,
        ge=1,
        le=10**8,
        description="Token budget of a step.",
        json_schema_extra={"aliases": "max_num_batched_tokens"},
    )
    chunked_prefill: bool = Field(
        True, description="Cut prompts to the budget and mix them with decoding."
    )
    async_scheduling: bool = Field(
        False, description="Prepare the next step while the devices are busy with this one."
    )
    recv_interval: int = Field(
        1,
        ge=1,
        le=10**4,
        description="Decode steps from one look for new requests to the next.",
        json_schema_extra={"aliases": "scheduler_recv_interval"},
    )
    block_tokens: int = Field(
        16,
        ge=1,
        le=10**6,
        description="Tokens of a KV block.",
        json_schema_extra={"aliases": "block_size"},
    )


class EngineFootprint(Spec):
    """What it takes of memory and how it cuts its cache; `columns.Footprint` says what each is."""

    sampler_copies: float = Field(_UNSAID.sampler_copies, ge=0)
    samples_chunked: bool = bool(_UNSAID.samples_chunked)
    workspace_kept: bool = bool(_UNSAID.workspace_kept)
    outside_bytes: BytesField = _UNSAID.outside_bytes
    outside_tp_bytes: BytesField = _UNSAID.outside_tp_bytes
    graph_bytes: BytesField = _UNSAID.graph_bytes
    graph_layer_bytes: BytesField = _UNSAID.graph_layer_bytes
    graphs_a_size: int = Field(int(_UNSAID.graphs_a_size), ge=0)
    graphs_in_fraction: bool = bool(_UNSAID.graphs_in_fraction)
    activations_in_fraction: bool = bool(_UNSAID.activations_in_fraction)
    fraction_of_free: bool = bool(_UNSAID.fraction_of_free)
    latent_cached: bool = bool(_UNSAID.latent_cached)
    grouped: bool = bool(_UNSAID.grouped)
    states_cached: bool = bool(_UNSAID.states_cached)
    steps_in_flight: int = Field(int(_UNSAID.steps_in_flight), ge=1)
    counts_windows: bool = bool(_UNSAID.counts_windows)
    weights_sd: float = Field(_UNSAID.weights_sd, gt=0)
    activation_sd: float = Field(_UNSAID.activation_sd, gt=0)
    outside_sd: float = Field(_UNSAID.outside_sd, gt=0)
    graph_sd: float = Field(_UNSAID.graph_sd, gt=0)

    def columns(self) -> Footprint:
        """Return the numbers as columns."""
        return Footprint(**{k: float(v) for k, v in self})


class BatchDefaults(Spec):
    """Limits that an engine chooses by the device it finds."""

    from_bytes: BytesField  # of memory that the device offers
    but_not: tuple[str, ...] = ()  # words of a device's name
    max_num_seqs: int
    max_batched_tokens: int  # of a server
    offline_batched_tokens: int  # of one that is given all requests at once
    captured_seqs: tuple[int, int] = (
        0,
        0,
    )  # largest batch captured, on fewer than 4 devices; on more


class Reserve(Spec):
    """What an engine leaves free of a device; weights and the cache get the rest."""

    fixed_bytes: BytesField
    token_bytes: BytesField  # for activations, a token of the step's budget
    least_tokens: int  # counted at least
    sequence_bytes: BytesField  # for graphs, a sequence of the largest batch captured
    device_bytes: BytesField  # a device of the replica
    least_bytes: BytesField  # altogether, on devices of 60 GiB and more

    def fraction(
        self, offered_bytes: float, tokens: int, captured_seqs: int, devices: int
    ) -> float:
        """Return the share of a device that it leaves to weights and cache.

        Args:
            offered_bytes: memory of the device that a program finds.
            tokens: budget of a step.
            captured_seqs: sequences of the largest batch captured.
            devices: of the replica.

        """
        tokens = max(tokens, self.least_tokens)
        kept = self.fixed_bytes + self.token_bytes * tokens + self.device_bytes * devices
        kept += self.sequence_bytes * captured_seqs
        if offered_bytes > LARGE_BYTES:
            kept = max(kept, self.least_bytes)
        return max(round(1 - kept / offered_bytes, 3), LEAST_FRACTION)


class EngineVersion(EngineLimits):
    """How an engine runs from a version on, until the next one listed."""

    since: str  # "0" where it has always been so
    released: date | None = None
    aliases: tuple[str, ...] = ()  # words for running so whatever the version, such as v0
    generation: str  # the name under which fits know it
    graphs: bool = True  # replays captured graphs, so a layer costs no launch of the host's
    captured_prompt_rows: int = 0  # rows of the largest step with prompts that one replays
    cuts_prompts: Literal["always", "mixed", "never"] = "always"  # mixed: only beside decoding
    reserves_output: bool = False  # a request enters only if its whole output will fit
    footprint: EngineFootprint = EngineFootprint()
    on: tuple[BatchDefaults, ...] = ()  # the first that fits the device holds
    reserve: Reserve | None = None  # what its memory fraction follows from, if it is worked out
    # Longest request beyond which prompts are cut without being asked.
    chunks_above: int | None = None
    chunk_tokens: int = 512  # and its budget of a step then
    source: str = Field(pattern="^https://")  # where its makers say how it schedules
    written: date  # when its numbers were put here
    notes: str = ""

    @property
    def stated(self) -> dict[str, Any]:
        """The limits that its file states."""
        return {
            n: getattr(self, n) for n in EngineLimits.model_fields if n in self.model_fields_set
        }


class EngineFile(Spec):
    """One engine: `hardware/engines/NAME.toml`."""

    name: str
    aliases: tuple[str, ...] = ()  # lower case, dashes for spaces
    known_to: str = ""  # the newest version whose code was read
    memory_from: str = "0"  # the version from which what is said of memory holds
    versions: tuple[EngineVersion, ...] = Field(min_length=1)  # oldest first

    @model_validator(mode="before")
    @classmethod
    def _carried(cls, stated: Any) -> Any:
        """Let each version have what those before it state, but for what it states itself."""
        tables = stated.get("versions") if isinstance(stated, dict) else None
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            return stated
        carried: list[dict[str, Any]] = []
        for table in tables:
            before = carried[-1] if carried else {}
            kept = {k: v for k, v in before.items() if k not in OWN}
            if {"max_num_seqs", "max_batched_tokens"} & table.keys():  # the same on every device
                kept.pop("on", None)
            footprint = {**before.get("footprint", {}), **table.get("footprint", {})}
            carried.append({**kept, **table, "footprint": footprint})
        return {**stated, "versions": carried}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        since = [version_numbers(v.since) for v in self.versions]
        if since != sorted(since) or not all(since):
            raise ValueError("versions: list them oldest first, each with its number in `since`")
        return self

    def at(self, version: str) -> EngineVersion:
        """Return how `version` runs: the newest where it is empty or names no number."""
        said, able = words(version), self.versions
        if named := [v for v in self.versions if said & {*v.aliases}]:
            able = tuple(v for v in self.versions if v.generation == named[0].generation)
        asked = version_numbers(version)
        known = [v for v in able if not asked or version_numbers(v.since) <= asked]
        return known[-1] if known else able[0]

    def on_day(self, day: str) -> str:
        """Return the version that was current on a day, YYYY-MM-DD; nothing where none is known."""
        known = [v.since for v in self.versions if v.released and str(v.released) <= day]
        return known[-1] if known else ""

    def unknown(self, version: str) -> bool:
        """Whether `version` is newer than any whose code was read."""
        known = version_numbers(self.known_to)  # 0.32.1 is 0.32
        return bool(known) and version_numbers(version)[: len(known)] > known

    def before_memory(self, version: str) -> bool:
        """Whether `version` is older than those whose memory is known."""
        asked = version_numbers(version)
        return bool(asked) and asked < version_numbers(self.memory_from)

    def version_of(self, text: str) -> str:
        """Return the version `text` speaks of, as ``0.8.3``, or ``0.8.3-v0`` where it ran as an older one.

        A container's tag, a range, release candidates and post-releases are read as their release.
        """
        # A clone without tags calls itself 0.1.dev1: that is no release.
        tag = re.sub(r"0\.1\.dev\S*", "", text.lower().rpartition(":")[2])
        named = [w for v in self.versions for w in v.aliases if w in words(tag)]
        for word in named:
            tag = tag.replace(word, "")
        own = ".".join(map(str, version_numbers(tag)))
        moved = [w for w in named if self.at(f"{own}-{w}") is not self.at(own)]
        return "-".join(filter(None, (own, *moved[:1])))


# What a version hands on to none.
OWN = ("since", "released", "aliases", "chunks_above", "chunk_tokens", "source", "written", "notes")


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; none where it names none."""
    found = re.search(r"(?<![\w.])v?(\d+(?:\.\d+)*)", version.lower())
    return tuple(map(int, found[1].split("."))) if found else ()


@functools.lru_cache(maxsize=64)
def _engines(places: tuple[Path, ...]) -> dict[str, EngineFile]:
    return {
        name: load_toml(EngineFile, path, hint="see hardware/README.md for the keys")
        for name, path in catalogue("hardware").items()
        if path.parent.name == "engines"
    }


def engines() -> dict[str, EngineFile]:
    """Return every engine on the search path by its id."""
    return _engines(search_path("hardware"))


def engine_named(text: str, version: str = "") -> tuple[str, str]:
    """Return the id and the version of the engine that `text` names; "" is the newest.

    Args:
        text: as people write it: ``vllm``, ``vLLM V1``, ``vllm==0.6.3``, ``TensorRT-LLM``, ``trtllm``,
            ``vllm/vllm-openai:v0.10.1``.
        version: where it is apart: ``0.6.3.post1``, ``v0.5.6-cu129``, ``0.8.3 (V0)``, a container's tag.

    Raises:
        UnknownName: no such engine.

    """
    start = re.search(r"(?<![\w.])v?\d|:", text.lower())
    name, written = (text[: start.start()], text[start.start() :]) if start else (text, "")
    for known, engine in engines().items():
        if slug(name) in (known, *map(slug, engine.aliases)):
            return known, engine.version_of(written.lstrip(":") or version)
    raise UnknownName.among("engine", text, engines())


class EngineChoice(Spec):
    """The engine, the number formats it works in, and how a model is cut over devices."""

    name: str = Field(
        "vllm",
        description="Serving engine: vllm, sglang, tensorrt-llm, …; vllm==0.6.3 for a version.",
        json_schema_extra={"option": "engine"},
    )
    version: str = Field(
        "",
        description="Version of the engine; default: the newest.",
        json_schema_extra={"option": "engine_version"},
    )
    dtype: Dtype = Field(
        "bf16",
        description=f"Weight format: {', '.join(SERVED)}.",
        json_schema_extra={"aliases": "quantization"},
    )
    kv_dtype: Dtype | None = Field(
        None,
        description="KV cache format; default: 16 bits.",
        json_schema_extra={"aliases": "kv_cache_dtype"},
    )
    tp: int = Field(1, ge=1, le=1024, description="Tensor-parallel degree.")
    pp: int = Field(1, ge=1, le=1024, description="Pipeline-parallel degree.")
    ep: int = Field(1, ge=1, le=1024, description="Expert-parallel degree, within tp.")


class EngineSpec(EngineLimits, EngineChoice):
    """Engine, precision, parallelism and limits of one replica."""

    max_model_len: int | None = Field(
        None, ge=1, le=10**9, description="Longest request, in and out; default: the workload's."
    )
    enforce_eager: bool = Field(False, description="Capture no CUDA graphs.")
    prefix_caching: bool = Field(
        True,
        description="Keep blocks of prompts for later ones.",
    )
    kv_cache_bytes: float | None = Field(
        None,
        gt=0,
        le=1e15,
        description="Cache of a device, in place of the share: 8 GiB.",
        json_schema_extra={"reads": "bytes", "aliases": "kv_cache_memory_bytes"},
    )
    draft: str | None = Field(None, description="Model that drafts tokens: preset or path.")
    draft_tokens: int = Field(4, ge=1, le=64, description="Tokens drafted at a time.")
    acceptance: float = Field(0.7, ge=0, le=1, description="Chance that a drafted token is kept.")

    @model_validator(mode="wrap")
    @classmethod
    def _as_the_engine_runs(cls, values: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict) or not isinstance(values.get("name", ""), str):
            return make(values)
        said = str(values.get("version") or "")
        name, version = engine_named(values.get("name", "vllm"), said)
        own = values | {"name": name, "version": version}
        made = make(engines()[name].at(version).stated | own)
        # What the engine's file says was not said by anybody: another engine's would take its place.
        given = {"name"} if version == "" else {"name", "version"}
        object.__setattr__(made, "__pydantic_fields_set__", set(values) | given)
        return made

    @property
    def release(self) -> EngineVersion:
        """How this version of the engine runs."""
        return engines()[self.name].at(self.version)

    @property
    def generation(self) -> str:
        """The name under which fits know it: versions that run alike share one."""
        return self.release.generation

    @property
    def n_devices(self) -> int:
        """Devices of one replica."""
        return self.tp * self.pp

    def precision(self) -> Precision:
        """Bytes an element; embeddings, LM head and activations stay at 16 bits, or are at 32 as all is."""
        whole = max(2.0, FORMATS[self.dtype].bytes)
        return Precision(
            weight_bytes=FORMATS[self.dtype].bytes,
            embedding_bytes=whole,
            kv_bytes=FORMATS[self.kv_dtype].bytes if self.kv_dtype else whole,
            activation_bytes=whole,
            gemm_input_bytes=FORMATS[self.dtype].input_bytes,
            expert_multiple=FORMATS[self.dtype].expert_multiple,
        )

    def footprint(self) -> Footprint:
        """Return what the version takes of memory as columns; less surely where its code was not read."""
        own = self.release.footprint.columns()
        if not engines()[self.name].unknown(self.version):
            return own
        sds = {f.name: NEWER * getattr(own, f.name) for f in fields(own) if f.name.endswith("_sd")}
        return replace(own, **sds)

    def for_device(self, name: str, offered_bytes: float, *, offline: bool) -> Self:
        """Return it with the limits that the engine chooses itself where nobody states them.

        Args:
            name: of the device.
            offered_bytes: memory of it that a program finds.
            offline: whether the engine is given all requests at once.

        """
        release = self.release
        chosen: dict[str, Any] = {n: getattr(release, n) for n in CHOSEN}
        captured = 0
        for d in release.on:
            if offered_bytes >= d.from_bytes and not words(name) & {*d.but_not}:
                budget = d.offline_batched_tokens if offline else d.max_batched_tokens
                chosen |= {"max_num_seqs": d.max_num_seqs, "max_batched_tokens": budget}
                captured = d.captured_seqs[self.tp >= 4]
                break
        if release.chunks_above and (self.max_model_len or 0) > release.chunks_above:
            chosen |= {"chunked_prefill": True, "max_batched_tokens": release.chunk_tokens}
        said = self.model_fields_set
        if release.reserve:
            own = (
                {"max_batched_tokens": self.max_batched_tokens}
                if "max_batched_tokens" in said
                else {}
            )
            tokens = (chosen | own)["max_batched_tokens"]
            chosen["memory_fraction"] = release.reserve.fraction(
                offered_bytes, tokens, captured, self.n_devices
            )
        made = self.model_copy(update={k: v for k, v in chosen.items() if k not in said})
        object.__setattr__(made, "__pydantic_fields_set__", set(said))  # chosen, not said
        return made

    def parallel(self) -> Parallel:
        """Return the degrees as columns."""
        return Parallel(tp=float(self.tp), pp=float(self.pp), ep=float(self.ep))

    def limits(self) -> Limits:
        """Return the limits as columns."""
        return Limits(
            memory_fraction=self.memory_fraction,
            max_num_seqs=float(self.max_num_seqs),
            max_batched_tokens=float(self.max_batched_tokens),
            block_tokens=float(self.block_tokens),
            chunked_prefill=float(self.chunked_prefill),
            cuts_prompts=float(
                {"always": True, "mixed": self.chunked_prefill, "never": False}[
                    self.release.cuts_prompts
                ]
            ),
            reserves_output=float(self.release.reserves_output),
            max_model_len=float(self.max_model_len or 0),
            prefix_caching=float(self.prefix_caching),
            eager=float(self.enforce_eager or not self.release.graphs),
            captured_prompt_rows=float(self.release.captured_prompt_rows),
            async_scheduling=float(self.async_scheduling),
            recv_interval=float(self.recv_interval),
            cache_bytes=float(self.kv_cache_bytes or 0),
        )
