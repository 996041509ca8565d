"""Names as people type them: case, spaces, dashes, underscores and marks make no difference."""

import re

_EMPTY = {"gpu", "tensor", "core"}  # in a device's name, without telling it from another


def words(text: str) -> frozenset[str]:
    """Return what a name says, in any order: "A100-SXM4 80 GB HBM2e" is a100, sxm and 80gb."""
    spaced = re.sub(r"[_-]", " ", text.lower())
    joined = re.sub(r"(\d)\s*(gb|tb)\b", r"\1\2", spaced)
    plain = re.sub(r"\b(sxm)\d\b|\b(?:hbm|gddr)\d\w*", r"\1", joined)
    return frozenset(re.findall(r"[a-z0-9.]+", plain)) - _EMPTY


def slug(text: str) -> str:
    """Return a name in lower case, its parts joined by dashes, as ids are written."""
    return "-".join(re.findall(r"[a-z0-9.+]+", text.lower()))
