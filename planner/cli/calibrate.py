"""`planner calibrate`: measure this machine and correct the planner with what it shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.flags import Json, Out, Quiet

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Measure this machine with real kernels, engines and trainings; correct the planner with it.",
)

Store = Annotated[Path, typer.Option("--runs", metavar="FILE", help="Run file, appended to.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUNS…", help="Run files, or folders of them.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; default: a GPU where there is one.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16, float16; default: by device.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to the engine.")]
Repeats = Annotated[int, typer.Option(min=1, help="Times each point is measured.")]
Layers = Annotated[int, typer.Option("--layers", min=1, help="Layers of generated shapes.")]
X = Annotated[str, typer.Option("--x", help="d_model/√N of generated shapes, comma-separated.")]
R = Annotated[str, typer.Option("--r", help="MLP over attention parameters, comma-separated.")]
Gqa = Annotated[str, typer.Option("--gqa", help="Query heads a KV head, comma-separated.")]
HeadDim = Annotated[int, typer.Option(min=2, help="Width of a head of generated shapes.")]
Vocab = Annotated[int, typer.Option("--vocab-size", min=2, help="Tokens in the vocabulary.")]
Workers = Annotated[int, typer.Option(min=1, help="Runs at once, in processes here.")]
Ray = Annotated[
    str | None, typer.Option("--ray", metavar="ADDRESS", help="Spread runs over a Ray cluster.")
]
Near = Annotated[
    str | None,
    typer.Option("--near", metavar="COUNT", help="Generate shapes of so many parameters."),
]


def _say(line: str) -> None:
    from planner.cli.output import write

    write(line, None)


def _unless(quiet: bool) -> Callable[[str], None]:
    return (lambda line: None) if quiet else _say


@app.command("this-machine")
def this_machine(
    time: Annotated[str, typer.Option(help="In all: 20m, 1h. Asked again, it goes on.")] = "1h",
    vllm: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="Python that has vLLM; default: this one.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILES", help="Text to train on: moves the loss law too.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = 0,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Of rows and report.")
    ] = None,
    json_: Json = False,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Measure this machine within a time, fit its profile, and check it on what it has not seen.

    The profile goes to ~/.config/planner, where every command finds it.

    Example: planner calibrate this-machine --time 20m --vllm ~/vllm/bin/python
    """
    from planner.cli.extras import require

    require("torch", extra="calibration")
    from planner_calibration.campaign.command import run

    from planner.cli.output import emit

    found = run(
        time, vllm=vllm, data=data, device=device, dtype=dtype, threads=threads, folder=to,
        say=_unless(quiet or json_),
    )  # fmt: skip
    emit(found, json_=json_, out=out, kind="campaign")


@app.command()
def kernels(
    store: Store = Path("runs/kernels.jsonl"),
    size: Annotated[str, typer.Option(help="small (seconds, CPU) or full (minutes, GPU).")] = "",
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = 0,
    repeats: Repeats = 7,
    ranks: Annotated[int, typer.Option(min=1, help="Processes of an all-reduce; 1: none.")] = 1,
    propose: Annotated[
        Path | None, typer.Option("--propose", metavar="FILE", help="Write a hardware TOML.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Time GEMM, attention, element-wise, copy and all-reduce beside their roofline bounds.

    Example: planner calibrate kernels --propose my-cpu.toml
    """
    from planner.cli.extras import require

    require("torch", extra="calibration")
    from planner_calibration.measure.kernels.command import run
    from planner_calibration.show import kernel_line

    run(
        store, size=size, device=device, dtype=dtype, threads=threads, repeats=repeats, ranks=ranks,
        propose=propose, say=_unless(quiet), line=kernel_line,
    )  # fmt: skip


@app.command()
def serve(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODELS…", help="Presets, TOMLs, config.jsons.")
    ] = None,
    store: Store = Path("runs/serve.jsonl"),
    engine: Annotated[str, typer.Option(help="auto, vllm, sglang or torch.")] = "auto",
    python: Annotated[
        str | None, typer.Option("--python", metavar="PATH", help="Python that has the engine.")
    ] = None,
    batch: Annotated[str, typer.Option(help="Requests at once, comma-separated.")] = "1,8,32",
    input_tokens: Annotated[str, typer.Option(help="Prompt tokens, comma-separated.")] = "512",
    output_tokens: Annotated[str, typer.Option(help="New tokens, comma-separated.")] = "1,128",
    rate: Annotated[
        str | None, typer.Option(help="Also online: requests/s, comma-separated (inf: at once).")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests of an online run.")] = 64,
    near: Near = None,
    layers: Layers = 16,
    x: X = "0.05,0.08,0.11",
    r: R = "0.5,1,3",
    gqa: Gqa = "4",
    head_dim: HeadDim = 64,
    vocab_size: Vocab = 32768,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = 0,
    repeats: Repeats = 5,
    limit: Annotated[str, typer.Option(help="Time limit of one model, start included.")] = "1800s",
    flag: Annotated[
        list[str] | None, typer.Option("--flag", metavar="NAME=VALUE", help="Of the engine.")
    ] = None,
    workers: Workers = 1,
    ray: Ray = None,
    quiet: Quiet = False,
) -> None:
    """Benchmark architectures on a real engine, dummy weights, one process a model.

    Example: planner calibrate serve --near 50e6 --python ~/vllm/bin/python
    """
    from planner_calibration.measure.serve.command import run

    from planner.cli.extras import require

    if engine == "torch":
        require("torch", extra="calibration")
    run(
        models or [], store, engine=engine, python=python,
        points=(batch, input_tokens, output_tokens), online=(rate, requests),
        generated=(near, layers, x, r, gqa, head_dim, vocab_size),
        device=device, dtype=dtype, threads=threads, repeats=repeats, limit=limit,
        flags=flag or [], workers=workers, ray=ray, say=_unless(quiet),
    )  # fmt: skip


@app.command()
def train(
    store: Store = Path("runs/train.jsonl"),
    near: Near = "1e6",
    layers: Layers = 4,
    x: X = "0.06,0.10,0.14,0.20,0.28",
    r: R = "0.5,1,2,4",
    gqa: Gqa = "2",
    head_dim: HeadDim = 32,
    vocab_size: Vocab = 1024,
    tokens: Annotated[str, typer.Option(metavar="COUNT", help="Training tokens a run.")] = "20M",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each shape.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a step.")] = 32,
    length: Annotated[int, typer.Option(min=8, help="Tokens in a sequence.")] = 128,
    lr: Annotated[float, typer.Option(help="Peak rate at width 64; muP carries it on.")] = 1e-2,
    schedule: Annotated[str, typer.Option(help="wsd or cosine.")] = "wsd",
    data: Annotated[
        Path | None, typer.Option(help="Text, a folder of it, or token shards (.bin).")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints; runs then resume to the bit.")
    ] = None,
    device: Device = None,
    threads: Threads = 1,
    repeat_data: Annotated[
        bool, typer.Option("--repeat-data", help="Go over the text more than 40 times.")
    ] = False,
    workers: Workers = 1,
    ray: Ray = None,
    quiet: Quiet = False,
) -> None:
    """Train small Llama-style models that differ in shape at one size, for the loss law.

    Example: planner calibrate train --near 1e5 --layers 2 --head-dim 16 --tokens 750k
    """
    from planner.cli.extras import require

    require("torch", extra="calibration")
    from planner_calibration.measure.train.command import run

    run(
        store, shapes=(near or "1e6", layers, x, r, gqa, head_dim, vocab_size),
        recipe=(tokens, batch, length, lr, schedule), seeds=seeds, data=data,
        checkpoints=checkpoints, device=device, threads=threads, workers=workers, ray=ray,
        quiet=quiet, say=_say, repeat_data=repeat_data,
    )  # fmt: skip


@app.command()
def plan(
    params: Annotated[str, typer.Option(metavar="COUNT", help="Target size, non-embedding.")],
    tokens: Annotated[str, typer.Option(metavar="COUNT", help="Target training tokens.")] = "100B",
    budget: Annotated[
        str, typer.Option(help="FLOPs for trainings (1e20FLOP) or time for benchmarks (30min).")
    ] = "1e20FLOP",
    on: Annotated[str | None, typer.Option(help="Hardware, where the budget is time.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs at most.")] = 6,
    law: Annotated[
        str | None, typer.Option(help="Loss law; default: published ones, averaged.")
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="bayes (the decision) or d (all unknowns).")
    ] = "bayes",
    json_: Json = False,
    out: Out = None,
) -> None:
    """Choose the few runs that would settle most of what the choice of shape is unsure of.

    Example: planner calibrate plan --params 1e9 --tokens 100B --budget 1e20FLOP
    """
    from planner_calibration.plan.command import run

    from planner.cli.output import emit

    result = run(params, tokens, budget, on=on, most=runs, law=law, criterion=criterion)
    emit(result, json_=json_, out=out)


@app.command()
def fit(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNS…",
            help="Run files, or folders of them; start-up logs, and CSVs as validate takes them.",
        ),
    ],
    name: Annotated[str, typer.Option(help="Of the new profile or law.")] = "mine",
    on: Annotated[
        str | None, typer.Option(help="Hardware of kernels, serving runs and starts: id or TOML.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Whose serving runs and starts count: vllm, vllm==0.19.")
    ] = "",
    machine: Annotated[str | None, typer.Option(help="Whose runs count, by machine id.")] = None,
    prior: Annotated[
        str | None, typer.Option(help="Profile (or law) to start from; default: the nearest.")
    ] = None,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where it is written.")
    ] = Path(),
    json_: Json = False,
) -> None:
    """Correct a profile (with --on) or a loss law (without) by runs; held-out error comes first.

    Start-up logs of an engine correct what it takes of memory.

    Example: planner calibrate fit runs/ --on my-cpu.toml --name my-cpu-vllm
    """
    from planner_calibration.fit.command import run

    from planner.cli.output import emit

    found = run(runs, name=name, on=on, engine=engine, machine=machine, prior=prior, folder=to)
    emit(found, json_=json_, kind="fit")


@app.command("from-metrics")
def from_metrics(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="URL_OR_FILE…", help="A server's /metrics, or its text, over time."),
    ],
    model: Annotated[str, typer.Option(metavar="MODEL", help="What it serves: preset or path.")],
    on: Annotated[str, typer.Option(help="Hardware it runs on: id or TOML.")],
    every: Annotated[str, typer.Option(help="Between two looks at an address.")] = "30s",
    times: Annotated[int, typer.Option(min=1, help="Looks at an address.")] = 5,
    log: Annotated[
        list[Path] | None, typer.Option("--log", metavar="FILE", help="Start-up logs: memory.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="As in predict: vllm==0.19; default: what it says.")
    ] = "",
    dtype: Annotated[str | None, typer.Option(help="Weight format.")] = None,
    tp: Annotated[int | None, typer.Option(min=1, help="Tensor-parallel degree.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(min=1, help="As the server has it.")] = None,
    max_batched_tokens: Annotated[int | None, typer.Option(min=1, help="As it has it.")] = None,
    name: Annotated[str, typer.Option(help="Of the profile; default: by device and engine.")] = "",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Default: your own profiles.")
    ] = None,
    json_: Json = False,
    out: Out = None,
) -> None:
    """Fit a profile to what a running vLLM or SGLang server publishes: no benchmark is run.

    Example: planner calibrate from-metrics http://127.0.0.1:8000/metrics --model llama-3.1-8b --on h100-sxm
    """
    from planner_calibration.fit.metrics.command import run

    from planner.cli.output import emit

    settings = {
        "dtype": dtype, "tp": tp, "max_num_seqs": max_num_seqs, "max_batched_tokens": max_batched_tokens,
    }  # fmt: skip
    found = run(
        sources, model=model, on=on, every=every, times=times, logs=log or [], name=name, folder=to,
        engine=engine, settings=settings, say=_unless(json_),
    )  # fmt: skip
    emit(found, json_=json_, out=out, kind="metrics")


@app.command()
def show(
    runs: Runs,
    on: Annotated[str | None, typer.Option(help="Hardware: adds residuals of a profile.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile; default: the nearest.")] = None,
    csv_: Annotated[bool, typer.Option("--csv", help="Trainings, for `planner law fit`.")] = False,
    json_: Json = False,
    out: Out = None,
) -> None:
    """Show recorded runs, how they failed, and how far a profile is from them.

    Example: planner calibrate show runs/ --on h100-sxm
    """
    from planner_calibration.show import Report

    from planner.cli.output import emit, write

    if csv_:
        from planner_calibration.fit.law.data import to_csv
        from planner_calibration.runs import load

        write(to_csv(load(runs).rows), out, plain=True)
        return
    emit(Report.of(runs, on=on, profile=profile), json_=json_, out=out)


@app.command()
def profiles(
    data: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Holds e2e_calib.csv and kernels_calib.csv.gz.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where they are written.")],
) -> None:
    """Fit every speed profile that ships, from published measurements; the same data, the same bytes.

    Example: planner calibrate profiles data --out calibration/fits
    """
    from planner_calibration.fit.speed.main import main

    paths = main(data, out, _say)
    _say(f"{len(paths)} profiles in {out}")


@app.command("front-ends")
def front_ends(
    data: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Holds servebench.csv, openloop.csv, …")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where they are written.")],
) -> None:
    """Fit what servers add to their engines, and how sure services under load are told.

    Example: planner calibrate front-ends data/runs --out calibration/front_ends
    """
    from planner_calibration.fit.front_end import main

    paths = main(data, out, _say)
    _say(f"{len(paths)} front ends in {out}")
