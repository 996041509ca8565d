"""`planner recommend` and `planner pareto`: which shape to train."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import options as o

if TYPE_CHECKING:
    from planner.inputs.question import Question
    from planner.results import Recommendation

Params = Annotated[
    str, typer.Option("--params", metavar="COUNT", help="Parameter budget, e.g. 3e9 or 3B.")
]
ParamsKind = Annotated[str, typer.Option(help="What --params counts: non-embedding or total.")]
Layers = Annotated[
    str | None,
    typer.Option(metavar="N[,N…]|auto", help="Depths to search; auto lets depth act on the loss."),
]
HeadDim = Annotated[str | None, typer.Option(metavar="N[,N…]", help="Head sizes to search.")]
Gqa = Annotated[str | None, typer.Option(metavar="N[,N…]", help="Query heads per KV head.")]
Align = Annotated[int, typer.Option(help="d_model and d_ff are multiples of this.")]
Tolerance = Annotated[float, typer.Option(help="How far N may be from --params, relative.")]
Vocab = Annotated[str, typer.Option("--vocab-size", metavar="COUNT", help="Vocabulary.")]
RatioRange = Annotated[
    str, typer.Option("--mlp-attn-ratio", metavar="LOW,HIGH", help="MLP/attention ratios searched.")
]
WidthRange = Annotated[
    str, typer.Option("--d-over-sqrt-n", metavar="LOW,HIGH", help="d_model/√N searched.")
]
MaxLoss = Annotated[
    float | None, typer.Option("--max-loss", help="Target loss; default: the baseline's.")
]
Confidence = Annotated[
    float, typer.Option(help="Least P(loss ≤ target) of the fastest pick; 0.5 is the paper's rule.")
]
ServeRequests = Annotated[
    str | None,
    typer.Option(metavar="COUNT", help="Requests served over its life; adds the cheapest pick."),
]
UsdPerHour = Annotated[
    float | None, typer.Option(help="Price of one device hour; default: the price list.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="Rows of the front to print.")]
ExportHf = Annotated[
    Path | None, typer.Option("--export-hf", metavar="DIR", help="Write each pick's config.json.")
]


def question(
    params: Params,
    tokens: o.Tokens,
    on: o.On = "a100-sxm-40gb",
    engine: o.Engine = "vllm",
    dtype: o.Dtype = "bf16",
    input_tokens: o.InputTokens = "4096",
    output_tokens: o.OutputTokens = "1024",
    batch: o.Batch = "64",
    tp: o.Tp = 1,
    layers: Layers = None,
    head_dim: HeadDim = None,
    gqa: Gqa = None,
    align: Align = 128,
    tolerance: Tolerance = 0.01,
    params_kind: ParamsKind = "non-embedding",
    vocab_size: Vocab = "128256",
    mlp_attn_ratio: RatioRange = "0.5,5",
    d_over_sqrt_n: WidthRange = "0.04,0.14",
    max_loss: MaxLoss = None,
    ttft: o.Ttft = None,
    tpot: o.Tpot = None,
    serve_requests: ServeRequests = None,
    usd_per_hour: UsdPerHour = None,
    confidence: Confidence = 0.5,
    law: o.Law = None,
    profile: o.Profile = None,
    hardware_path: o.HardwarePath = None,
) -> "Question":
    """Read the flags both commands share into a validated question."""
    flags = locals()
    from planner.questions.recommend.ask import question as ask

    o.use_hardware_path(flags.pop("hardware_path"))
    return ask(**flags)


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the flags of `question` before its own, so both ask in the same words."""
    shared = list(inspect.signature(question).parameters.values())
    own = list(inspect.signature(command).parameters.values())[1:]

    def run(**flags: Any) -> None:
        mine = {p.name: flags.pop(p.name) for p in own}
        command(question(**flags), **mine)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*shared, *own]}
    return run


@asking
def recommend(
    asked: "Question",
    top: Top = 5,
    export_hf: ExportHf = None,
    json_: o.Json = False,
    csv_: o.Csv = False,
    plot: o.Plot = False,
    out: o.Out = None,
    quiet: o.Quiet = False,
) -> None:
    """Choose the shape to train: accurate, fast to serve, and how sure.

    Example: planner recommend --params 3e9 --tokens 1e11
    """
    from planner.cli.output import as_text, emit, plots, write
    from planner.report.text import recommendation

    result = _search(asked, quiet)
    if export_hf:
        _export(result, export_hf)
    if json_ or csv_:
        emit(result, json_=json_, csv_=csv_, out=out)
    else:
        write(as_text(recommendation(result, top)) + (plots(result) if plot else ""), out)


@asking
def pareto(
    asked: "Question",
    top: Top = 1000,
    json_: o.Json = False,
    csv_: o.Csv = False,
    plot: o.Plot = False,
    out: o.Out = None,
    quiet: o.Quiet = False,
) -> None:
    """List the Pareto front of loss against throughput.

    Example: planner pareto --params 1e9 --tokens 1e11 --csv --out front.csv
    """
    from planner.cli.output import as_text, emit, plots, write
    from planner.report.text import front

    result = _search(asked, quiet)
    if json_ or csv_:
        emit(result, json_=json_, csv_=csv_, out=out)
    else:
        write(as_text(front(result, top)) + (plots(result) if plot else ""), out)


def _search(asked: "Question", quiet: bool) -> "Recommendation":
    from planner.cli.output import command_line, counting
    from planner.questions.recommend.recommend import recommend

    with counting("shapes", quiet=quiet) as progress:
        return recommend(asked, command=command_line(), progress=progress)


def _export(result: "Recommendation", folder: Path) -> None:
    """Write the baseline's and each pick's config.json, a folder each."""
    from planner.inputs.hf import export_hf
    from planner.inputs.model import llama_candidate

    for name, c in {"baseline": result.baseline, **result.picks}.items():
        if c is not None:
            spec = llama_candidate(
                c.n_layers, c.d_model, c.n_heads, c.n_kv_heads, c.head_dim, c.d_ff, c.vocab_size
            )
            export_hf(spec, folder / name)
