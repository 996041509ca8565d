"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for line in project["dependencies"] + extras["test"] + extras["plot"] + extras["yaml"]:
    if found := re.match(r"([\w-]+)(?:\[.*?\])?>=([\d.]+)", line):
        print(f"{found[1]}=={found[2]}")
