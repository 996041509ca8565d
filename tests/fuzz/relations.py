"""Random scenarios, and relations that their answers must have to each other whatever they are.

Run: python tests/fuzz/relations.py [SCENARIOS [SEED]]
"""

import functools
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from planner.data import catalogue
from planner.errors import PlannerError
from planner.inputs.engine import engines
from planner.questions.what_if import what_if
from planner.results import Point

MODELS = ("llama-3.2-1b", "llama-3.1-8b", "llama-3-8b", "qwen2.5-7b", "mixtral-8x7b", "gemma-2-9b",
          "deepseek-v3", "qwen3-30b-a3b", "llama-3.1-70b")  # fmt: skip
EXACT, MEAN = 1e-3, 0.03  # what rounding and what another draw of requests would change


@dataclass
class Tally:
    """How many relations were asked, and what broke."""

    asked: int = 0
    scenarios: int = 0
    broken: list[str] = field(default_factory=list)

    def hold(self, relation: str, true: bool, what: str) -> None:
        """Count one relation."""
        self.asked += 1
        if not true:
            self.broken.append(f"{relation}: {what}")


def some_models() -> list[str]:
    from planner.inputs.loading import model_names

    return [m for m in MODELS if m in model_names()]


def scenario(rng: random.Random, models: list[str]) -> tuple[str, dict[str, Any]]:
    """Draw a model and settings, as people ask: most are ordinary, some are at an edge."""
    devices = [n for n, p in catalogue("hardware").items() if p.parent.parent.name == "devices"]
    length = lambda: rng.choice([1, 2, 7, 100, 512, 1000, 2048, 4096, 12_000, 42_706])
    s: dict[str, Any] = {
        "on": rng.choice(devices),
        "engine": rng.choice([*engines(), "vllm-0.6", "vllm==0.8.5"]),
        "input_tokens": length(),
        "output_tokens": min(length(), 1500),
    }
    if rng.random() < 0.4:
        s["tp"] = rng.choice([1, 2, 4, 8])
    if rng.random() < 0.3:
        s["pp"] = rng.choice([1, 2, 4])
    if rng.random() < 0.3:
        s["prefix_hit"] = rng.choice([0.0, 0.3, 0.9])
    if rng.random() < 0.2:
        s["replicas"] = rng.choice([1, 2, 3])
    if rng.random() < 0.2:
        s["max_num_seqs"] = rng.choice([1, 8, 64, 1024])
    if rng.random() < 0.15:
        s["max_batched_tokens"] = rng.choice([512, 2048, 16384])
    if rng.random() < 0.2:
        s["dtype"] = rng.choice(["fp8", "int8", "bf16", "w4a16"])
    if rng.random() < 0.1:
        s["prefill_replicas"] = rng.choice([1, 2])
    kind = rng.choice(["batch", "concurrency", "concurrency", "rate", "burst"])
    if kind == "rate":
        s["rate"] = rng.choice([0.01, 0.5, 2.0, 20.0])
    else:
        s[kind] = rng.choice([1, 2, 3, 8, 33, 64, 256])
    if rng.random() < 0.15 and kind in ("rate", "concurrency"):
        s["requests"] = rng.choice([1, 10, 200])
    return rng.choice(models), s


def answer(
    model: str, settings: dict[str, Any], t: Tally | None = None, **vary: list[Any]
) -> list[Point] | None:
    """Return the points, or None where it may not be asked."""
    try:
        return list(what_if(model, vary or (), **settings).points)
    except PlannerError:
        return None
    except Exception as error:
        if t is None:
            raise
        t.hold("fault", False, f"{type(error).__name__} {str(error)[:200]!r}: {model} {settings}")
        return None


def value(p: Point, name: str) -> float | None:
    held = p.metrics.get(name)
    return getattr(held, "value", held)


def rising(t: Tally, what: str, less: Point, more: Point, tolerance: float, said: str) -> None:
    """Hold that what has more of something is no slower."""
    if less.refused or more.refused:
        return
    names = [("output_tokens_per_s", 1), ("e2e_s", -1)]
    if what == "memory" and "concurrency" not in said and "'rate'" not in said:
        names = names[
            :1
        ]  # who shares a batch is done later than who is served first: docs/limits.md
    for name, sign in names:
        a, b = value(less, name), value(more, name)
        if a is None or b is None:
            continue
        worse = (a - b if sign > 0 else b - a) / max(abs(a), 1e-12)
        t.hold(f"{what} {name}", worse <= tolerance, f"{a:.6g} → {b:.6g} ({worse:+.2%}): {said}")


def device_file(folder: Path, name: str, **factors: float) -> str:
    """Write a device's file again with some of its numbers multiplied."""
    text = catalogue("hardware")[name].read_text()
    held = tomlkit.parse(text)
    for key, factor in factors.items():
        if key not in held:
            continue
        if hasattr(held[key], "items"):
            for k, v in held[key].items():
                held[key][k] = _times(v, factor)
        else:
            held[key] = _times(held[key], factor)
    path = folder / f"{name}{'-more' if factors else ''}.toml"
    path.write_text(tomlkit.dumps(held))
    return str(path)


def _times(quantity: Any, factor: float) -> Any:
    if isinstance(quantity, str):
        number, _, unit = quantity.partition(" ")
        return f"{float(number) * factor:g} {unit}"
    return quantity * factor


def relations(rng: random.Random, t: Tally, models: list[str], folder: Path) -> None:
    """Draw a scenario and hold what its answers must have."""
    model, s = scenario(rng, models)
    said = f"{model} {s}"
    ask = functools.partial(answer, t=t)
    first = ask(model, s)
    if first is None:
        return
    t.scenarios += 1
    p, simulated = first[0], "batch" not in s
    near = MEAN if simulated else EXACT
    same = lambda what, other, said=said: t.hold(
        what, other is not None and other[0].metrics == p.metrics, said
    )
    for name, neutral in (("tp", 1), ("pp", 1), ("prefix_hit", 0.0), ("replicas", 1)):
        if name not in s:
            same(f"{name}={neutral}", ask(model, {**s, name: neutral}))
    same("text", ask(model, {k: str(v) for k, v in s.items()}))
    # Order of what is varied.
    a = ask(model, s, output_tokens=[16, 32], max_num_seqs=[16, 64])
    b = ask(model, s, max_num_seqs=[64, 16], output_tokens=[32, 16])
    if a and b:
        key = lambda q: sorted(q.settings.items())
        t.hold("order", all(
            x.metrics == y.metrics for x, y in zip(sorted(a, key=key), sorted(b, key=key), strict=True)
        ), said)  # fmt: skip
    on = s["on"]
    plain = device_file(folder, on)
    same("path", ask(model, {**s, "on": plain}))
    for what, factors in (
        ("bandwidth", {"hbm_bytes_per_s": 1.5, "hbm_bandwidth": 1.5}),
        ("flops", {"dense_flops_per_s": 1.5}),
        ("memory", {"hbm_bytes": 1.5, "hbm": 1.5}),
    ):
        more = ask(model, {**s, "on": device_file(folder, on, **factors)})
        base = ask(model, {**s, "on": plain})
        if more and base:
            rising(t, what, base[0], more[0], near, said)
    if s.get("concurrency", 2) > 1 and "prefill_replicas" not in s:
        more = ask(model, {**s, "replicas": s.get("replicas", 1) * 2})
        if more:
            rising(t, "replicas", p, more[0], near, said)
    longer = ask(model, {**s, "input_tokens": s["input_tokens"] * 2})
    if longer and not longer[0].refused and not p.refused:
        x, y = value(p, "ttft_s"), value(longer[0], "ttft_s")
        waits = (
            "concurrency" in s
        )  # in the server's queue, which shrinks as clients slow: docs/limits.md
        if x is not None and y is not None and not waits:
            t.hold("prompt", y >= x * (1 - near), f"TTFT {x:.6g} → {y:.6g}: {said}")


def run(n: int, seed: int, seconds: float = 1e9) -> Tally:
    """Draw scenarios until `n` were answered."""
    import time

    rng, t, began = random.Random(seed), Tally(), time.process_time()
    models = some_models()
    with tempfile.TemporaryDirectory() as folder:
        while t.scenarios < n and time.process_time() - began < seconds:
            relations(rng, t, models, Path(folder))
    return t


def report(t: Tally) -> Iterator[str]:
    """Yield what was asked and what broke, the kinds first."""
    yield f"{t.scenarios} scenarios, {t.asked} relations, {len(t.broken)} broken"
    kinds: dict[str, int] = {}
    for line in t.broken:
        kinds[line.partition(":")[0]] = kinds.get(line.partition(":")[0], 0) + 1
    yield from (f"  {n:5} {kind}" for kind, n in kinds.items())


if __name__ == "__main__":
    n, seed = (int(x) for x in [*sys.argv[1:], "60", "1"][:2]) if len(sys.argv) > 2 else (60, 1)
    found = run(n, seed)
    print(*report(found), sep="\n")
    print(*found.broken[:200], sep="\n")
