"""Hostile inputs to every command: flags, files and tables that are wrong in the ways files are.

Run: python tests/fuzz/hostile.py [INPUTS [SEED]]
"""

import contextlib
import gzip
import io
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planner.cli.app import main
from planner.data import bundled
from planner.scenario.options import ASKED, OPTIONS

HERE = Path(__file__).parent
FILES = HERE.parent / "files"
CODES = {0, 1, 2, 3, 4, 5}  # documented; 70 is a fault, 141 and 143 are of others
SECONDS, LONGEST = 20.0, 500
TEXTS = (
    "", " ", "0", "-1", "1_", "1__0", "_1", "nan", "inf", "-inf", "1e999", "1e-999", "1e18", "1e30", "9" * 400,
    "2147483648", "9223372036854775808", "0x10", "१", "½", "1,5", "1.5.2", "--", "-", "=", "=1+1", "a" * 300,
    "a" * 5000, "\x1b[31mred\x1b[0m", "\x9b31m", "new\nline", "tab\there", "\u202eevil", "\udcff", "null", "None",
    "true", "[]", "{}", "1/0", "1/s", "0/s", "-1/s", "1e400/s", "1kkB", "1 GB/s/s", "300ms", "1ns", "1e30s", "1x",
    "0x", "-1x", "1e9x", "1..", "..1", "1..0", "0..1", "1..1e18", "1..8:0", "1..8:-1", "1..1e9:1", "1,2,", ",", "é",
    "../../etc/passwd", "/dev/zero", "/dev/null", "/", ".", "~", "-h1", "uniform:2", "uniform:", "lognormal:1",
    "4096", "7", "64", "1000000", "1e9", "fp8", "nvfp4", "vllm", "vllm==9999", "h100", "llama-3.2-1b",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    -0.0,
    1e-300,
    1e300,
    1e19,
    2**63,
    2**200,
    float("nan"),
    float("inf"),
    0.5,
    3,
    10**400,
)
OTHERS: tuple[Any, ...] = (None, True, "", "x" * 2000, [], {}, [[]], [1, "a"], {"a": {}}, "\x1b[2J", "=1+1",
                           "nan", "-5", "1_0")  # fmt: skip


@dataclass
class Found:
    """What came of the inputs."""

    tried: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0


# -- damage


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def flipped(rng: random.Random, data: bytes) -> bytes:
    held = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        if held:
            held[rng.randrange(len(held))] = rng.randrange(256)
    return bytes(held)


def swapped(rng: random.Random, data: bytes) -> bytes:
    """Put a hostile text in place of a number or a word."""
    places = list(re.finditer(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?|[A-Za-z_]{3,}", data))
    for place in sorted(
        rng.sample(places, min(len(places), rng.choice([1, 2, 5]))), key=lambda m: -m.start()
    ):
        text = rng.choice(TEXTS).encode(errors="surrogateescape")
        data = data[: place.start()] + text + data[place.end() :]
    return data


def doubled(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    i = rng.randrange(len(lines))
    how = rng.choice(["twice", "gone", "moved", "joined"])
    if how == "twice":
        lines.insert(i, lines[i])
    elif how == "gone":
        del lines[i]
    elif how == "moved":
        lines.insert(rng.randrange(len(lines)), lines.pop(i))
    else:
        lines[i] = lines[i] * rng.choice([2, 50])
    return b"\n".join(lines)


def encoded(rng: random.Random, data: bytes) -> bytes:
    text = data.decode(errors="replace")
    how = rng.choice(["utf-16", "utf-8-sig", "latin-1", "gzip", "cut gzip", "nulls", "crlf"])
    if how == "gzip":
        return gzip.compress(data)
    if how == "cut gzip":
        return gzip.compress(data)[: rng.randrange(4, 60)]
    if how == "nulls":
        return data.replace(b" ", b"\0")
    if how == "crlf":
        return data.replace(b"\n", b"\r\n")
    return (text + "é").encode(how, errors="replace")


def json_wrong(rng: random.Random, data: bytes) -> bytes:
    """Put something else in place of a value of a JSON file."""
    try:
        held = json.loads(data)
    except ValueError:
        return swapped(rng, data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at: Any = held
        path = []
        while isinstance(at, dict | list) and at and (not path or rng.random() < 0.85):
            key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
            path.append((at, key))
            at = at[key]
        if not path:
            return b"[]"
        holder, key = path[-1]
        how = rng.random()
        if how < 0.5:
            holder[key] = rng.choice(NUMBERS)
        elif how < 0.85:
            holder[key] = rng.choice(OTHERS)
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder.append(holder[key])
    with contextlib.suppress(ValueError):
        return json.dumps(held).encode(errors="surrogatepass")
    return b"{}"


DAMAGE = (cut, flipped, swapped, swapped, doubled, encoded, json_wrong, json_wrong)


# -- inputs


def seeds(folder: Path, few: bool = False) -> dict[str, list[Path]]:
    """Return good files by what reads them; results are made once, `few` only of the quickest kind."""
    made = []
    asks = {
        "what-if.json": ["what-if", "llama-3.2-1b", "--vary", "concurrency=1,8"],
        "predict.json": ["predict", "llama-3.2-1b"],
        "recommend.json": ["recommend", "--params", "1e9", "--tokens", "1e11"],
        "budget.json": ["budget", "llama-3.2-1b", "--rate", "2/s", "--ttft", "1s"],
    }
    for name, argv in list(asks.items())[: 1 if few else None]:
        attempt([*argv, "--json", "--out", str(folder / name)])
        made.append(folder / name)
    hardware, models = bundled("hardware"), bundled("presets/models")
    runs = folder / "runs.csv"
    runs.write_text(
        "engine,gpu,model,input_tokens,output_tokens,concurrency,tp,ttft_mean_s,tpot_mean_s,output_tokens_per_s\n"
        "vllm,h100-sxm,llama-3.1-8b,1024,128,8,1,0.05,0.008,900\n"
        "vllm,a100-sxm-80gb,llama-3.2-1b,512,64,4,1,0.03,0.006,600\n"
    )
    files = [p for p in FILES.rglob("*") if p.is_file()] if FILES.is_dir() else []
    configs = [p for p in files if p.name == "config.json"]
    device = folder / "mine.toml"
    device.write_text((hardware / "devices" / "nvidia" / "h100-sxm.toml").read_text())
    model = folder / "model.toml"
    model.write_text(
        'name = "mine"\nfamily = "llama"\nn_layers = 16\nd_model = 2048\nn_heads = 32\nn_kv_heads = 8\n'
        "head_dim = 64\nd_ff = 8192\nvocab_size = 128256\ntied_embeddings = true\n"
    )
    return {
        "result": made,
        "measured": [runs, *(p for p in files if p.suffix in (".json", ".jsonl") and p not in configs)],
        "log": [p for p in files if p.parent.name == "logs" or p.suffix == ".txt"] or [runs],
        "trace": [p for p in files if p.name.startswith("t0")] or [runs],
        "config": configs or [model],
        "model": [model, *list(models.glob("*.toml"))[:4]],
        "device": [device],
        "law": list(bundled("presets/laws").glob("*.toml"))[:4],
        "table": [p for p in files if p.name.startswith("l0")] or [runs],
    }  # fmt: skip


USES: dict[str, list[list[str]]] = {
    "result": [["report", "@"], ["report", "@", "--html", "OUT"], ["explain", "tpot_s", "--at", "@"], ["explain",
               "loss", "--at", "@"], ["report", "@"]],
    "measured": [["validate", "@"], ["validate", "@", "--json"], ["validate", "@", "--model", "llama-3.2-1b"]],
    "log": [["validate", "@"], ["hardware", "new", "--from", "@"], ["hardware", "check", "@"]],
    "trace": [["what-if", "llama-3.2-1b", "--trace", "@", "--on", "h100-sxm"], ["budget", "llama-3.2-1b", "--trace",
              "@", "--ttft", "2s"]],
    "config": [["predict", "@"], ["models", "show", "@"]],
    "model": [["predict", "@"], ["models", "show", "@", "--json"], ["what-if", "@", "--vary", "tp=1,2"]],
    "device": [["hardware", "check", "@"], ["predict", "llama-3.2-1b", "--on", "@"], ["hardware", "show", "@"]],
    "law": [["law", "show", "@"], ["predict", "llama-3.2-1b", "--law", "@", "--tokens", "1e11"]],
    "table": [["law", "check", "@"], ["law", "fit", "@"]],
}  # fmt: skip


def by_flags(rng: random.Random) -> list[str]:
    """Return a command with hostile texts in some of its flags."""
    command = rng.choice(["predict", "what-if", "budget", "recommend", "what-if"])
    base = {
        "predict": ["predict", "llama-3.2-1b"],
        "what-if": ["what-if", "llama-3.2-1b"],
        "budget": ["budget", "llama-3.2-1b", "--rate", "1/s", "--ttft", "1s"],
        "recommend": ["recommend", "--params", "1e9", "--tokens", "1e11"],
    }[command]
    argv = list(base)
    names = [o.name for o in (ASKED if command == "recommend" else OPTIONS).values()]
    for _ in range(rng.choice([1, 1, 2])):
        name, text = rng.choice(names), rng.choice(TEXTS)
        how = rng.random()
        if command == "what-if" and how < 0.5:
            argv += [rng.choice(["--vary", "--set"]), f"{name}={text}"]
        elif how < 0.95:
            argv += [f"--{name.replace('_', '-')}={text}"]
        else:
            argv[1] = text
    return argv + rng.choice([[], [], ["--json"], ["--csv"]])


def by_file(rng: random.Random, files: dict[str, list[Path]], folder: Path) -> list[str]:
    """Return a command on a damaged file."""
    kind = rng.choice(list(USES))
    whole = rng.choice(files[kind])
    data = whole.read_bytes()
    if len(data) > 200_000:
        data = data[:200_000]
    for _ in range(rng.choice([1, 1, 2])):
        data = rng.choice(DAMAGE)(rng, data)
    suffix = "".join(whole.suffixes[-2:]) or ".json"
    name = "config.json" if whole.name == "config.json" else f"hostile{suffix}"
    path = folder / name
    path.write_bytes(data)
    return [
        {"@": str(path), "OUT": str(folder / "out.html")}.get(a, a) for a in rng.choice(USES[kind])
    ]


def inputs(seed: int, files: dict[str, list[Path]], folder: Path) -> Iterator[list[str]]:
    """Yield command lines without end; the same seed gives the same."""
    rng = random.Random(seed)
    while True:
        yield by_flags(rng) if rng.random() < 0.45 else by_file(rng, files, folder)


# -- judging


def attempt(argv: list[str]) -> tuple[int, str, str, list[str]]:
    """Run a command here; return its exit code, stdout, stderr and leaked warnings."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["planner", *argv]
    code = 0
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        sys.argv = before
    return code, out.getvalue(), err.getvalue(), []


def judge(argv: list[str], code: int, out: str, err: str) -> Iterator[str]:
    """Yield what is wrong with how a command ended."""
    plain = "--json" in argv or "--csv" in argv
    if code not in CODES:
        yield f"exit {code}"
    lines = err.splitlines()
    if "Traceback" in err or "Warning" in err:
        yield "a traceback or a warning"
    if code in CODES - {0} and code != 0 and not (lines and lines[0].startswith("error: ")):
        yield "no error line"
    if len(lines) > 2:
        yield f"{len(lines)} lines on stderr"
    for line in [*lines, *([] if plain else out.splitlines())]:
        if len(line) > LONGEST:
            yield f"a line of {len(line)} characters"
            break
    if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err):
        yield "a control character"
    if "--json" in argv and code == 0:
        try:
            json.loads(out, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
        except ValueError as error:
            yield f"no strict JSON: {error}"
    else:
        told = re.search(r"(?<![\w.'-])(-?inf|nan)(?![\w.-])", out)
        if told and not any(
            told[0].encode() in f.read_bytes() for f in map(Path, argv) if f.is_file()
        ):
            yield "a number that is not finite"  # and that no file's own text says


def run(n: int, seed: int, seconds: float = 1e9, *, show: bool = False, few: bool = False) -> Found:
    """Try `n` inputs of a seed."""
    found = Found()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        os.environ["TMPDIR"] = name
        tempfile.tempdir = name
        folder = Path(name)
        files = seeds(folder, few)
        try:
            for argv in inputs(seed, files, folder):
                if found.tried >= n or time.process_time() - began > seconds:
                    break
                start = time.process_time()
                code, out, err, _ = attempt(argv)
                took = time.process_time() - start
                found.tried += 1
                found.codes[code] = found.codes.get(code, 0) + 1
                found.slowest = max(found.slowest, took)
                wrong = [*judge(argv, code, out, err)]
                wrong += [f"{took:.0f} s"] if took > SECONDS else []
                if wrong:
                    found.wrong.append(f"{'; '.join(wrong)}: {argv}: {err[:300]!r}")
                    if show:
                        print(found.wrong[-1][:700], flush=True)
                        if code == 70 and "planner-fault" in err:
                            kept = Path(err.split()[-1])
                            tail = (
                                kept.read_text().strip().splitlines()[-9:] if kept.exists() else []
                            )
                            print("   ", "\n    ".join(tail), flush=True)
        finally:
            tempfile.tempdir = None
            os.environ.pop("TMPDIR", None)
    return found


def report(found: Found) -> str:
    """Say what came of it in a line."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    codes = ", ".join(f"{n} × {code}" for code, n in sorted(found.codes.items()))
    return (
        f"{found.tried} inputs, {len(found.wrong)} wrong; exits {codes}; "
        f"slowest {found.slowest:.1f} s, peak {peak:.2f} GiB"
    )


if __name__ == "__main__":
    asked = [int(x) for x in sys.argv[1:]]
    n, seed = (asked + [400, 1][len(asked) :])[:2]
    print(report(run(n, seed, show=True)))
