"""Flags that several commands share, so that the same word means the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

On = Annotated[str, typer.Option("--on", metavar="HARDWARE", help="Device, by id or TOML path.")]
Engine = Annotated[str, typer.Option(help="Serving engine: vllm, sglang, tensorrt-llm, …")]
Dtype = Annotated[str, typer.Option(help="Weight format: bf16, fp16, fp8, int8, int4.")]
InputTokens = Annotated[str, typer.Option(metavar="COUNT", help="Prompt tokens a request.")]
OutputTokens = Annotated[str, typer.Option(metavar="COUNT", help="Generated tokens a request.")]
Batch = Annotated[str, typer.Option(metavar="COUNT", help="Requests served together.")]
Tokens = Annotated[
    str, typer.Option("--tokens", metavar="COUNT", help="Training tokens, e.g. 100B or 1e11.")
]
Ttft = Annotated[
    str | None, typer.Option("--ttft", metavar="TIME", help="Longest time to first token: 300ms.")
]
Tpot = Annotated[
    str | None, typer.Option("--tpot", metavar="TIME", help="Longest time per output token: 20ms.")
]
Law = Annotated[
    str | None, typer.Option("--law", metavar="LAW", help="Loss law; default: fitted nearest.")
]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="PROFILE", help="Speed profile, name or path.")
]
HardwarePath = Annotated[
    Path | None, typer.Option("--hardware-path", help="Folder searched for hardware files first.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write to FILE instead of stdout.")
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw front and operating curves too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Tp = Annotated[int, typer.Option("--tp", min=1, help="Tensor-parallel degree.")]


def use_hardware_path(folder: Path | None) -> None:
    """Put `folder` before every other place hardware files are looked for."""
    import os

    if folder is not None:
        from planner.errors import SpecError

        if not folder.is_dir():
            raise SpecError(f"--hardware-path: {folder} is no folder", hint="name a folder of TOML")
        known = os.environ.get("PLANNER_HARDWARE_PATH", "")
        os.environ["PLANNER_HARDWARE_PATH"] = os.pathsep.join(filter(None, [str(folder), known]))
