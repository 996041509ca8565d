"""`planner hardware list | show | check | new`."""

from pathlib import Path
from typing import Annotated

import typer

from planner.cli import flags as o

app = o.group("Browse and check hardware files.")

DESCRIBED = "name a readable text file"
NEXT = "Change what differs, then run `planner hardware check` on it."
Toml = Annotated[
    bool, typer.Option("--toml", help="Print the file itself, to start one of your own.")
]
Name = Annotated[str, typer.Argument(help="Device or node, by id or path.")]


@app.command("list")
def list_(hardware_path: o.HardwarePath = None, json_: o.Json = False, out: o.Out = None) -> None:
    """List every device and node on the search path.

    Example: planner hardware list
    """
    from planner.cli.output import as_json, as_text, write
    from planner.report.hardware import catalogue_table, devices

    o.use_hardware_path(hardware_path)
    if json_:
        found = [d.model_dump(mode="json") | {"id": i} for i, d in devices().items()]
        write(as_json(found), out, plain=True)
    else:
        write(as_text(catalogue_table()), out)


@app.command()
def show(
    name: Name,
    hardware_path: o.HardwarePath = None,
    toml: Toml = False,
    json_: o.Json = False,
    out: o.Out = None,
) -> None:
    """Print one hardware file, read and validated.

    Example: planner hardware show h100-sxm --toml --out mine.toml
    """
    from planner.cli.output import as_json, as_text, write
    from planner.inputs.device import file_of, load_hardware
    from planner.inputs.files import Content
    from planner.report.hardware import spec_table

    o.use_hardware_path(hardware_path)
    spec = load_hardware(name)
    if toml:
        text = Content.of(file_of(name), hint=DESCRIBED).text(hint=DESCRIBED)
        return write(f"# A copy of {name}. {NEXT}\n{text}", out, plain=True)
    shown = as_json(spec.model_dump(mode="json")) if json_ else as_text(spec_table(spec))
    write(shown, out, plain=json_)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A TOML you wrote.")]) -> None:
    """Validate a hardware file: keys, units, source, and whether the numbers are plausible.

    Example: planner hardware check hardware/devices/nvidia/h100-sxm.toml
    """
    from planner.cli.output import write
    from planner.data import is_file
    from planner.inputs.device import check_hardware

    if file.suffix != ".toml" and is_file(file):
        from planner.errors import SpecError
        from planner.inputs.device_found import found_in
        from planner.inputs.files import Content

        found = found_in(Content.of(file, hint=DESCRIBED).text(hint=DESCRIBED), file)
        hint = f"planner hardware new --from {file} writes one, to be filled in"
        raise SpecError(f"{file}: no hardware file of ours. {found.words}", hint=hint)
    spec = check_hardware(file)
    taken = "".join(f"\n{k} is not stated: {v}" for k, v in getattr(spec, "unstated", {}).items())
    write(f"{file}: {spec.name}: all is well{taken}", None)


Smi = Annotated[
    bool,
    typer.Option(
        "--from-smi", help="Of this machine, by nvidia-smi or rocm-smi; or of --from, pasted."
    ),
]
Described = Annotated[
    Path | None,
    typer.Option(
        "--from", help="What nvidia-smi or rocm-smi printed, or a peer's file; - is stdin."
    ),
]


@app.command()
def new(from_smi: Smi = False, from_: Described = None, out: o.Out = None) -> None:
    """Write a hardware file from what a tool or another project says of a device; lists what is missing.

    It reads nvidia-smi (-q, --query-gpu or plain), rocm-smi, and device files of calculon,
    aiconfigurator, llm-analysis and GenZ.

    Example: nvidia-smi -q | planner hardware new --from -
    """
    from planner.cli.output import write
    from planner.errors import SpecError
    from planner.inputs.device_found import found_in
    from planner.inputs.files import Content

    if from_ is None and not from_smi:
        hint = "give --from-smi, or --from FILE"
        raise SpecError("hardware new: nothing to write it from", hint=hint)
    if from_ is None:
        text = _asked_of_the_driver()
    else:
        text = Content.of(from_, hint=DESCRIBED).text(hint=DESCRIBED)
    write(found_in(text, from_ or Path("nvidia-smi")).toml(), out, plain=True)


def _asked_of_the_driver() -> str:
    import subprocess

    from planner.errors import SpecError

    for command in (
        ["nvidia-smi", "-q"],
        ["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showmaxpower", "--json"],
    ):
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return asked.stdout
    raise SpecError("neither nvidia-smi nor rocm-smi answers here", hint="paste it: --from FILE")
