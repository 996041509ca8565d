"""`planner hardware list | show | check`."""

from pathlib import Path
from typing import Annotated

import typer

from planner.cli import flags as o

app = o.group("Browse and check hardware files.")

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
        write(as_json([d.model_dump(mode="json") | {"id": i} for i, d in devices().items()]), out)
    else:
        write(as_text(catalogue_table()), out)


@app.command()
def show(
    name: Name, hardware_path: o.HardwarePath = None, json_: o.Json = False, out: o.Out = None
) -> None:
    """Print one hardware file, read and validated.

    Example: planner hardware show h100-sxm
    """
    from planner.cli.output import as_json, as_text, write
    from planner.inputs.device import load_hardware
    from planner.report.hardware import spec_table

    o.use_hardware_path(hardware_path)
    spec = load_hardware(name)
    write(as_json(spec.model_dump(mode="json")) if json_ else as_text(spec_table(spec)), out)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A TOML you wrote.")]) -> None:
    """Validate a hardware file: keys, units, source, and whether the numbers are plausible.

    Example: planner hardware check hardware/devices/nvidia/h100-sxm.toml
    """
    from planner.cli.output import write
    from planner.inputs.device import check_hardware

    spec = check_hardware(file)
    write(f"{file}: {spec.name}: all is well", None)
