"""`planner law`: browse, fit, compare, check and export loss laws."""

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli import law_ask
from planner.cli.flags import Json, Out, group

app = group("Browse, fit, compare, check and export loss laws; ask them planning questions.")
app.add_typer(law_ask.app, name="ask")

Name = Annotated[str, typer.Argument(metavar="LAW", help="A law, by id or TOML path.")]
Data = Annotated[Path, typer.Argument(metavar="DATA.csv", help="Runs, one a row.")]
Scored = Annotated[str, typer.Option("--law", help="Law to score, by id or TOML path.")]
SUITES = "facts, choice, few-runs, fits, chinchilla, gadre, routing, gemstones, coverage, accuracy"
Suite = Annotated[str | None, typer.Option(help=f"Instead: recompute known results: {SUITES}.")]
Form = Annotated[
    str, typer.Option("--format", help="paper: the six coefficients; toml: the whole law.")
]
Source = Annotated[str | None, typer.Option("--source", help="Keep only rows of this source.")]


def _print(data: Any, text: str, as_json: bool) -> None:
    from planner.cli import output

    output.write(output.as_json(data) if as_json else text, None, plain=as_json)


@app.command("list")
def list_laws(as_json: Json = False) -> None:
    """Print every law with its range, basis and data."""
    from planner.cli.output import as_text
    from planner.inputs.law import law_names, load_law
    from planner.report.law import laws_table

    laws = {name: load_law(name) for name in law_names()}
    _print(
        {n: w.model_dump(mode="json") for n, w in laws.items()}, as_text(laws_table(laws)), as_json
    )


@app.command()
def show(law: Name, as_json: Json = False) -> None:
    """Print one law: its numbers, evidence, source and licence.

    Example: planner law show bian-1b
    """
    from planner.inputs.law import load_law
    from planner.report.law import law_text

    spec = load_law(law)
    _print(spec.model_dump(mode="json"), law_text(spec), as_json)


@app.command()
def fit(
    data: Data,
    source: Source = None,
    n: Annotated[
        str | None, typer.Option("--n", help="Which N: non-embedding, total, active-non-embedding.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="Law the runs move; 'none' for a free fit (the default from 12 runs)."),
    ] = None,
    free: Annotated[
        list[str] | None,
        typer.Option("--free", help="Part of a free fit: depth, width, ratio; may repeat."),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Random starts.")] = 20,
    draws: Annotated[int, typer.Option(min=50, help="Bootstrap draws, by shape.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of starts and draws.")] = 0,
    same_data: Annotated[
        bool, typer.Option("--same-data", help="Corpus, tokenizer and recipe are the prior's.")
    ] = False,
    drop_highest: Annotated[
        int, typer.Option(min=0, help="Leave out so many runs of highest loss.")
    ] = 0,
    name: Annotated[str, typer.Option(help="Name of the new law.")] = "user",
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="ROLE=NAME", help="A column, e.g. loss=eval/loss; may repeat."
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Fit although size alone foretells the largest models better."
        ),
    ] = False,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Fit a law to trained models; --out writes it as TOML for --law.

    Example: planner law fit runs.csv --prior bian-1b --out mine.toml
    """
    from planner_calibration.fit.law.export import to_toml
    from planner_calibration.fit.law.run import fit_csv

    from planner.cli.output import write
    from planner.errors import SpecError
    from planner.law.columns import NDefinition

    if n is not None and n not in set(NDefinition):
        raise SpecError(f"--n: no definition {n!r}", hint=f"one of {', '.join(NDefinition)}")
    report = fit_csv(
        data, source=source, n_definition=n, prior=prior, blocks=free or (), n_starts=starts,
        n_draws=draws, seed=seed, same_data=same_data, drop_highest=drop_highest, name=name,
        columns=_columns(column or []), force=force,
    )  # fmt: skip
    if out is not None:
        write(to_toml(report.law), out, plain=True)
    _print(report.to_dict(), report.text(), as_json)


def _columns(said: list[str]) -> dict[str, str]:
    from planner.errors import SpecError

    pairs = [text.partition("=") for text in said]
    if wrong := next(("".join(pair) for pair in pairs if not pair[0] or not pair[2]), None):
        raise SpecError(f"--column: {wrong!r} is no ROLE=NAME", hint="write e.g. loss=eval/loss")
    return {role: name for role, _, name in pairs}


@app.command()
def compare(
    laws: Annotated[list[str], typer.Argument(metavar="LAW...", help="Laws, by id or path.")],
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="N:TOKENS", help="Size and tokens, e.g. 1B:100B; may repeat."),
    ] = None,
) -> None:
    """Print what laws predict for the best shape, side by side, with 80 % intervals.

    Example: planner law compare bian-1b gemstones-cooled --at 1B:100B
    """
    from planner.cli.output import write
    from planner.errors import SpecError
    from planner.inputs.law import load_law
    from planner.report.law import side_by_side
    from planner.units import count

    points = []
    for text in at or ["300M:30B", "1B:100B", "3B:100B", "8B:2T"]:
        size, colon, tokens = text.partition(":")
        if not colon:
            raise SpecError(f"--at: {text!r} is no N:TOKENS", hint="write e.g. 1B:100B")
        points.append((count(size), count(tokens)))
    write(side_by_side([load_law(name) for name in laws], points), None)


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA.csv", help="Runs; none for facts, choice.")
    ] = None,
    law: Scored = "bian-average",
    source: Source = None,
    suite: Suite = None,
    as_json: Json = False,
) -> None:
    """Score a law on runs it has not seen, by source and size; or accuracies, given a column acc.

    Example: planner law check runs.csv --law bian-1b
    """
    from dataclasses import asdict

    from planner_calibration.fit.law.check import check_accuracies, check_losses

    from planner.errors import SpecError
    from planner.inputs.files import read_csv
    from planner.inputs.law import load_law
    from planner.report.law import scores_text

    if suite is not None:
        _suite(suite, data, as_json)
        return
    if data is None:
        raise SpecError("no runs to score", hint="give DATA.csv, or --suite facts")
    spec, unit = load_law(law), "points" if "acc" in read_csv(data).header else "nats"
    if unit == "points":
        rows, skipped = check_accuracies(data, source=source)
    else:
        rows, skipped = check_losses(spec, data, source=source)
    clean = [{k: _finite(v) for k, v in asdict(r).items()} for r in rows]
    lines = [scores_text(rows, unit), *(f"left out {s.source}: {s.why}" for s in skipped)]
    _print({"rows": clean, "skipped": [asdict(s) for s in skipped]}, "\n".join(lines), as_json)


def _finite(value: object) -> object:
    import math

    return None if isinstance(value, float) and not math.isfinite(value) else value


def _suite(suite: str, data: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from planner_calibration.fit.law.suites import run_suite

    findings = run_suite(suite, data)
    lines = [
        f"{'ok  ' if f.met else 'MISS'}  {f.what:44}  {f.ours:12.5g}  expected {f.expected}"
        for f in findings
    ]
    _print([asdict(f) for f in findings], "\n".join(lines), as_json)
    if not all(f.met for f in findings):
        raise typer.Exit(1)


@app.command()
def export(law: Name, form: Form = "paper", out: Out = None) -> None:
    """Print a law as TOML, or its shape part as the paper's six coefficients.

    Example: planner law export bian-1b
    """
    from dataclasses import asdict

    from planner.cli.output import write
    from planner.errors import SpecError
    from planner.inputs.law import load_law
    from planner.report.law import paper_form

    spec = load_law(law)
    if form == "paper":
        c = asdict(paper_form(spec))
        write("\n".join(f"{k} = {v!r}" for k, v in c.items()), out, plain=True)
    elif form == "toml":
        from planner_calibration.fit.law.export import to_toml

        write(to_toml(spec), out, plain=True)
    else:
        raise SpecError(f"--format: no format {form!r}", hint="paper or toml")
