"""`planner ui`: the same answers with sliders, in a browser."""

from typing import Annotated

import typer

Port = Annotated[int, typer.Option(help="Where the page is served.")]
Browser = Annotated[bool, typer.Option(help="Open the page in a browser.")]


def ui(port: Port = 8501, browser: Browser = True) -> None:
    """Turn the questions into sliders; needs the extra `ui`.

    Example: planner ui --port 8501
    """
    import functools
    import importlib.util
    import os
    import subprocess
    import sys
    from pathlib import Path

    import planner.report.ui
    from planner import limits
    from planner.errors import MissingExtra

    for package in ("streamlit", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra.of(package, extra="ui")
    app = Path(planner.report.ui.__path__[0]) / "app.py"
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(app), "--server.port", str(port)]
    quiet = ["--browser.gatherUsageStats", "false", "--server.address", "127.0.0.1"]
    headless = ["--server.headless", str(not browser).lower()]
    ends = functools.partial(limits.die_with, os.getpid())  # the server, with us
    done = subprocess.run([*command, *quiet, *headless], check=False, preexec_fn=ends)
    raise typer.Exit(done.returncode)
