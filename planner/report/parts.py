"""What a page is made of: sections with a paragraph, figures, a table; HTML and Markdown show both."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from planner.units import show, significant


@dataclass(frozen=True, slots=True)
class Figure:
    """A Plotly figure as plain data, with what someone who cannot see it should know.

    `data` and `layout` are what Plotly.js takes; text in them is already escaped.
    """

    name: str
    alt: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    caption: str = ""
    height: int = 440


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: header, rows of text; the first column is left-aligned, the others right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    fold: bool = False  # behind a `details` where the medium has one


@dataclass(frozen=True, slots=True)
class Section:
    """One heading with what belongs under it, in reading order."""

    name: str
    title: str
    text: Sequence[str] = ()
    items: Sequence[str] = ()  # a bullet list
    figures: Sequence[Figure] = ()
    grids: Sequence[Grid] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict)  # the few numbers shown first


def esc(text: object) -> str:
    """Escape text for HTML and for Plotly, which reads tags in its labels."""
    return html.escape(str(text), quote=False)


LABELS = {
    "baseline": "baseline",
    "loss_optimal": "loss-optimal",
    "fastest": "fastest",
    "balanced": "balanced",
}


def label(name: str) -> str:
    """Return how a shape of a result is called on the page."""
    return LABELS.get(name, name)


def shape_text(c: Mapping[str, Any]) -> str:
    """Write a shape in one line."""
    return (
        f"{c['n_layers']} layers, d_model {c['d_model']}, d_ff {c['d_ff']}, "
        f"{c['n_heads']}/{c['n_kv_heads']} heads of {c['head_dim']}"
    )


def hover(c: Mapping[str, Any], name: str) -> str:
    """Write everything about a shape, as lines for a hover box."""
    lines = [
        f"<b>{esc(label(name))}</b>",
        f"n_layers {c['n_layers']} · d_model {c['d_model']} · d_ff {c['d_ff']}",
        f"n_heads {c['n_heads']} · n_kv_heads {c['n_kv_heads']} · head_dim {c['head_dim']}",
        f"N {show(c['n_params_non_embedding'])} (all {show(c['n_params'])})",
        " · ".join(
            (
                f"r {significant(c['mlp_attn_ratio'])}",
                f"x {significant(c['d_over_sqrt_n'])}",
                f"GQA {c['gqa']:g}",
            )
        ),
    ]
    if c.get("loss"):
        lines.append(f"loss {between(c['loss'], digits=4)}")
    lines += [
        f"{between(c['output_tokens_per_s'])} tokens/s",
        f"TTFT {show(c['ttft_s']['value'], 's')} · TPOT {show(c['tpot_s']['value'], 's')}",
        f"KV {show(c['kv_bytes_per_token'], 'byte')} a token · bound by {esc(c.get('bound', '–'))}",
    ]
    return "<br>".join(lines)


def between(e: Mapping[str, float], unit: str = "", digits: int = 3) -> str:
    """Write an estimate with its interval, the unit once: ``55.3 [40.1, 76.1] ms``.

    Four digits are for losses, where places count and not digits: ``2.800 [2.792, 2.809]``.
    """
    values = [e["value"], e["low"], e["high"]]
    if digits > 3:
        value, low, high = (f"{v:.3f}" for v in values)
        return f"{value} [{low}, {high}]"
    texts = [show(v, unit, digits) for v in values]
    units = {text.partition(" ")[2] for text in texts}
    if unit and len(units) == 1:
        value, low, high = (text.partition(" ")[0] for text in texts)
        return f"{value} [{low}, {high}] {units.pop()}"
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"
