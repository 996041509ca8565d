"""Gains of one shape over another, measured beside predicted: `python gains.py FOLDER HARDWARE`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from planner_calibration import runs

from planner.columns import Workload
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve
from planner.serving.batch import batch_output_tokens_per_s

PAIRS = [
    ("llama-3.2-1b", "surefire-1b"),
    ("llama-3.2-1b", "panda-1b"),
    ("llama-3.2-3b", "surefire-3b"),
    ("llama-3.2-3b", "panda-3b"),
]
# Bian et al., arXiv 2510.18245: vLLM on A100 40GB, 4096 in, 1024 out, by batch size.
PUBLISHED = {("llama-3.2-1b", "surefire-1b"): {16: "about 22 %", 128: "38-42 %"}}


def main(folder: Path, hardware: str) -> None:
    """Print one line a pair and batch, for every engine there are runs of."""
    rows = [r for r in runs.load(folder).rows if r.kind == "serve_offline" and r.status == "ok"]
    measured = {
        (r.engine.split()[0], shape(r.what), r.what["batch"]): r
        for r in rows
        if r.what["output_tokens"] != 1
    }
    batches = sorted({int(batch) for _, _, batch in measured})
    for engine in sorted({engine for engine, _, _ in measured}):
        served = resolve(conditions(on=hardware, engine=engine))
        print(f"{engine}, predicted on {served.basis}")
        for names in PAIRS:
            specs = [load_model(name) for name in names]
            for batch in batches:
                pair = [measured.get((engine, shape(s.model_dump()), batch)) for s in specs]
                if None in pair:
                    continue
                what = pair[0].what
                work = Workload(what["input_tokens"], what["output_tokens"], batch)
                base, better = (
                    float(np.squeeze(batch_output_tokens_per_s(served.system(s.arch()), work)))
                    for s in specs
                )
                old, new = (r.values["output_tokens_per_s"] for r in pair)
                told = PUBLISHED.get(names, {}).get(batch)
                print(
                    f"  {names[0]} → {names[1]}, batch {batch}: measured {100 * (new / old - 1):+.1f} %,"
                    f" predicted {100 * (better / base - 1):+.1f} %"
                    + (f", published {told} (A100)" if told else "")
                )


def shape(fields: dict[str, Any]) -> tuple[Any, ...]:
    """Return what identifies an architecture."""
    names = ("n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads", "head_dim")
    return tuple(fields[name] for name in names)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
