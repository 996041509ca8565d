"""A page as a picture, taken by a Chromium that is already on the machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from planner.errors import MissingExtra, OutputError
from planner.writer import write_whole

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH, HEIGHT = 1100, 6200
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


def browser() -> str:
    """Return the path of a Chromium; `PLANNER_CHROMIUM` names one outright.

    Raises:
        MissingExtra: there is none.

    """
    named = os.environ.get("PLANNER_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found or not shutil.which(found):
        raise MissingExtra(
            "--png needs Chromium, which is not installed",
            hint="apt-get install chromium, or name one in PLANNER_CHROMIUM; --html needs nothing",
        )
    return found


def screenshot(html: str, out: Path, *, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Write a PNG of the page, `height` pixels tall at most.

    Raises:
        MissingExtra: no Chromium is installed.
        OutputError: it made no picture, or `out` cannot be written.

    """
    chromium = browser()
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "page.html", Path(folder) / "page.png"
        page.write_text(html, encoding="utf-8")
        command = [
            chromium,
            *FLAGS,
            *(
                ("--no-sandbox",) if os.geteuid() == 0 else ()
            ),  # it does not start for root with one
            f"--user-data-dir={folder}/profile",
            f"--window-size={width},{height}",
            "--virtual-time-budget=10000",
            f"--screenshot={picture}",
            page.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(f"{chromium}: {error}", hint="--html needs no browser") from None
        if done.returncode or not picture.is_file():
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise OutputError(f"{chromium} made no picture: {last}", hint="--html needs no browser")
        write_whole(out, picture.read_bytes())
