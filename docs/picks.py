"""The page of picks beside what the field built: `python docs/picks.py --write`; minutes, so by hand."""

import sys
from pathlib import Path

import planner as pl
from planner.errors import PlannerError
from planner.inputs.loading import load_model
from planner.units import show

PAGE = Path(__file__).parent / "reference" / "picks.md"
RATIOS = (20, 100, 1000, 10_000)
# Published configs of about each size, as planner's own presets have them with their sources.
FIELD = {
    1e8: ("smollm2-135m", "mobilellm-125m"),
    1e9: ("llama-3.2-1b", "olmo-2-1b", "smollm2-1.7b", "qwen3-1.7b"),
    3e9: ("llama-3.2-3b", "smollm3-3b", "qwen2.5-3b"),
    7e9: ("llama-3.1-8b", "qwen3-8b", "olmo-2-7b", "mistral-7b-v0.3"),
    7e10: ("llama-3.1-70b", "qwen2.5-72b"),
}
HEAD = """# Picks beside what the field built

`planner recommend` at 100M to 70B parameters outside the embedding, and 20 to 10,000 tokens a parameter, with the depth of the law's evidence and with
`--layers auto`, on one H100 (eight, tensor parallel, at 70B), each with P(loss ≤ the baseline's) and the codes of its warnings. Field models are the presets'
published configs; `size`, `tokens-per-param`, `width` and `depth-term` name picks outside what the evidence says. Written by `python docs/picks.py --write`.
"""


def shape(m: object) -> str:
    """Return a shape in a few characters."""
    get = lambda name: getattr(m, name)
    return (
        f"{get('n_layers')} × {get('d_model')}, r {float(get('mlp_attn_ratio')):.1f}, "
        f"GQA {float(get('gqa')):g}"
    )


def rows(params: float) -> list[str]:
    """Return the lines of one size."""
    lines = []
    many = {"on": "h100-sxm", "tp": 8} if params > 3e10 else {"on": "h100-sxm"}
    for ratio in RATIOS:
        for layers in (None, "auto"):
            try:
                r = pl.recommend(params, params * ratio, layers=layers, **many)
            except PlannerError as error:
                lines.append(f"| {ratio} | {layers or 'fixed'} | {error} | | | |")
                continue
            picks = [
                f"{shape(c)}; P {c.p_loss_at_most_target:.2f}; × {c.gain.value:.2f}"
                if c
                else "none"
                for c in (r.picks[n] for n in ("recommended", "lowest_loss", "fastest"))
            ]
            codes = sorted(
                {w.code for w in r.warnings} - {"law-spread", "class-default", "capacity"}
            )
            codes += ["search ends at its caps"] * any(
                b.constraint.startswith("depths") for b in r.binding
            )
            lines.append(
                f"| {ratio} | {layers or 'fixed'} | {' | '.join(picks)} | {', '.join(codes)} |"
            )
    return lines


def page() -> str:
    """Return the page."""
    out = [HEAD]
    for params, names in FIELD.items():
        built = []
        for name in names:
            try:
                m = load_model(name)
            except PlannerError:
                continue
            built.append(f"{name} {shape(m)}")
        out.append(f"## {show(params)}\n\nBuilt: {'; '.join(built)}.\n")
        out.append("| tokens a parameter | layers | recommended | lowest loss | fastest | named |")
        out.append("|---|---|---|---|---|---|")
        out += [*rows(params), ""]
    return "\n".join(out)


if __name__ == "__main__":
    text = page()
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)
