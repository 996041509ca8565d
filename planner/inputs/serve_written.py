"""The command that serves a model as a scenario has it: the tables of `serve_flags`, the other way.

What no flag of an engine can say is said behind the command, as a comment of the shell's.
"""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from planner.inputs.conditions import Conditions
from planner.inputs.engine import EngineSpec
from planner.inputs.formats import FORMATS
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.names import slug
from planner.inputs.serve_flags import Flags, flag_tables

# Said in every command, whatever the engine would do untold.
ALWAYS = ("tp", "max_num_seqs", "max_batched_tokens", "max_model_len", "memory_fraction")
_MAY = ("pp", "ep", "kv_dtype", "block_tokens", "kv_cache_bytes")  # said where not usual
_SWITCHED = ("chunked_prefill", "enforce_eager", "prefix_caching", "async_scheduling")
_HUB = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/")


def served_as(m: ModelSpec) -> str:
    """Return what a server calls a model: its id on the hub, else a folder of its name."""
    if "/" in m.name:
        return m.name
    found = _HUB.match(m.source)
    return found[1] if found else f"./{slug(m.name)}"


def serve_command(m: ModelSpec, c: Conditions, *, folder: str = "") -> str:
    """Return the shell command of one replica; "" where the engine has no server that we know.

    Args:
        m: what is served.
        c: the engine, as the scenario chose it, and the workload, whose longest request must fit.
        folder: where the checkpoint lies; default: its id on the hub, or its name.

    """
    flags, e = flag_tables().get(c.engine.name), c.engine
    if flags is None:
        return ""
    longest = e.max_model_len or _longest(c)
    values: dict[str, Any] = {n: getattr(e, n) for n in (*ALWAYS, *_MAY)}
    values |= {"max_model_len": longest, "memory_fraction": f"{e.memory_fraction:g}"}
    if e.kv_cache_bytes:
        values["kv_cache_bytes"] = round(e.kv_cache_bytes)
    usual = {"pp": 1, "ep": 1, "kv_dtype": None, "kv_cache_bytes": None}
    usual["block_tokens"] = e.release.block_tokens
    said = [n for n in ALWAYS if values[n]] + [n for n in _MAY if values[n] != usual[n]]
    words, unsaid = [], []
    switches = [n for n in _SWITCHED if getattr(e, n) != _untold(e, n)]
    for part in (
        _dtype(flags, e, m),
        *(_valued(flags, n, values) for n in said),
        *(_switched(flags, n, e) for n in switches),
        _draft(flags, e),
    ):
        if isinstance(part, str):
            unsaid.append(part)
        else:
            words += part
    if c.prefill_replicas:
        unsaid.append(f"beside {c.prefill_replicas} copies that compute prompts")
    program = flags.writes.program.split()
    place = [f"--{flags.writes.model}"] if flags.writes.model else []
    line = shlex.join([*program, *place, folder or served_as(m), *words])
    if unsaid:
        line += f"  # {'; '.join(unsaid)}"
    return line


def _longest(c: Conditions) -> int:
    """Return tokens of the longest request, where all are alike; 0: the engine's own choice."""
    w = c.workload
    varied = w.trace or w.input_cv or w.output_cv or w.lengths not in (None, "fixed")
    return 0 if varied else w.input_tokens + w.output_tokens


def _untold(e: EngineSpec, name: str) -> bool:
    """Return what the engine does where nobody says."""
    return bool(getattr(e.release, name, EngineSpec.model_fields[name].default))


def _flag_of(flags: Flags, option: str) -> str:
    """Return the flag that sets an option by its value; "" where none does."""
    u = flags.used
    for part in (u.whole, u.share, u.format):
        if found := next((flag for flag, o in part.items() if o == option), ""):
            return found
    return ""


def _valued(flags: Flags, option: str, values: dict[str, Any]) -> list[str] | str:
    value = values[option]
    flag = _flag_of(flags, option)
    if option == "kv_dtype":
        value = flags.writes.kv_dtype.get(str(value), "")
    if option == "ep" and not flag:
        like = next((f for f, sets in flags.used.switch.items() if sets.get("ep") == "tp"), "")
        if like and value == values["tp"]:
            return [f"--{like}"]
        flag = ""
    return (
        [f"--{flag}", str(value)]
        if flag and value != ""
        else f"no flag for {option} {values[option]}"
    )


def _switched(flags: Flags, option: str, e: EngineSpec) -> list[str] | str:
    """Return the switch that turns an option as it is, of those that turn it one way or both."""
    wanted = getattr(e, option)
    for flag, sets in flags.used.switch.items():
        if sets.get(option) is wanted:
            return [f"--{flag}"]
        if option in sets and flags.writes.off:
            return [f"--{flags.writes.off}{flag}"]
    return f"no flag for {option} {str(wanted).lower()}"


def _dtype(flags: Flags, e: EngineSpec, m: ModelSpec) -> list[str] | str:
    """Return how the engine is told the weights' format, where the checkpoint does not tell it."""
    stored = m.weights_format or "bf16"
    if e.dtype == stored:
        return []
    if (how := flags.writes.dtype.get(e.dtype)) and FORMATS[stored].plain:
        return list(_pairs(how))
    return f"name a checkpoint in {e.dtype}"


def _draft(flags: Flags, e: EngineSpec) -> list[str] | str:
    if not e.draft:
        return []
    if not flags.writes.draft:
        return f"no flag for draft {e.draft}"
    name = e.draft if "/" in e.draft else served_as(load_model(e.draft))
    values = {"draft": name, "draft_tokens": e.draft_tokens}
    if held := flags.used.json_.get(flags.writes.draft):
        keys = {key: values[option] for key, option in held.items()}
        return [f"--{flags.writes.draft}", json.dumps(keys)]
    words = list(_pairs(flags.writes.draft_with))
    for part in (flags.used.name, flags.used.whole):
        for flag, option in part.items():
            if option in values:
                words += [f"--{flag}", str(values.pop(option))]
    return words


def _pairs(of: dict[str, str]) -> Iterator[str]:
    for flag, value in of.items():
        yield from (f"--{flag}", value)
