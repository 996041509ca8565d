"""The call behind `planner calibrate fit`, and what it prints: held-out error first."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from planner.errors import SpecError
from planner.inputs.law import default_law
from planner_calibration import runs as recorded
from planner_calibration.fit.law.data import to_csv, trainings
from planner_calibration.fit.law.shape import ShapeReport, fit_shape
from planner_calibration.fit.memory import profile as memory
from planner_calibration.fit.memory.report import MemoryReport
from planner_calibration.fit.memory.starts import parted
from planner_calibration.fit.speed import profile as profiles
from planner_calibration.fit.speed.own_runs import Error
from planner_calibration.measure.shapes import Shape

STARTS_HINT = "start-up logs correct a device's memory: give --on"
ONE_SIZE = 1.2  # trainings whose N differ by less are of one size


@dataclass(frozen=True, slots=True)
class SpeedReport:
    """A corrected profile and where it was written."""

    fitted: profiles.Fitted
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        c = self.fitted.corrected

        def errors(of: dict[str, Error]) -> dict[str, Any]:
            return {
                k: {n: v if v == v else None for n, v in asdict(e).items()}  # noqa: PLR0124 - NaN
                for k, e in of.items()
            }

        return {
            "profile": str(self.path),
            "prior": self.fitted.prior.name,
            "n_shapes": c.n_shapes,
            "before": errors(c.before),
            "held_out": errors(c.held_out),
            "fitted": errors(c.fitted),
            "constants": c.posterior.values,
            "ln_sd": c.posterior.sds,
            "shrinkage": c.posterior.shrinkage(),
            "starts_agreeing": c.posterior.starts_agreeing,
            "skipped": [str(s) for s in self.fitted.skipped],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the constants, one a row."""
        p = self.fitted.corrected.posterior
        return [
            {"constant": n, "value": v, "ln_sd": p.sds[n], "shrinkage": p.shrinkage()[n]}
            for n, v in p.values.items()
        ]

    def __rich__(self) -> Any:
        """Render: held-out error before and after, fits by kind, constants the runs told about."""
        from rich.console import Group
        from rich.table import Table

        f, c = self.fitted, self.fitted.corrected
        lines: list[Any] = [self._headline(), ""]
        table = Table("runs", "n", "before", "held out", "fitted", box=None, pad_edge=False)
        for kind, before in c.before.items():
            held, after = c.held_out.get(kind), c.fitted[kind]
            table.add_row(
                kind,
                str(before.n),
                _percent(before),
                _percent(held) if held else "–",
                _percent(after),
            )
        lines += [table, ""]
        told = Table("constant", "value", "±", "prior", box=None, pad_edge=False)
        prior = {p.name: p.mean for p in c.posterior.priors}
        for row in self.rows():
            if row["shrinkage"] < 0.7:
                name = row["constant"]
                told.add_row(
                    name, f"{row['value']:.3g}", f"{100 * row['ln_sd']:.0f} %", f"{prior[name]:.3g}"
                )
        lines += ["constants the runs told about:", told, ""]
        if c.at_bounds:
            beaten = ", ".join(c.at_bounds)
            lines += [
                f"{beaten} would exceed 1: something here is faster than {f.device.name} states;",
                "raise that rate in its file, and fit again",
                "",
            ]
        lines += [str(s) for s in f.skipped]
        lines.append(f"wrote {self.path}; use it with --profile {self.path}")
        return Group(*lines)

    def _headline(self) -> str:
        c, name = self.fitted.corrected, self.fitted.prior.name
        held, before = c.held_out.get("serve_offline"), c.before.get("serve_offline")
        if held is None or before is None:
            return f"{name}: nothing could be held out; more than one architecture is needed"
        return (
            f"held out, {c.n_shapes} architectures, {held.n} runs: error {100 * before.mape:.1f} % with"
            f" {name}, {100 * held.mape:.1f} % corrected (worst {100 * held.worst:.0f} %,"
            f" Spearman {before.spearman:.2f} → {held.spearman:.2f})"
        )


def _percent(error: Error) -> str:
    return f"{100 * error.mape:.1f} %"


@dataclass(frozen=True, slots=True)
class MachineReport:
    """A profile corrected by runs, its memory by starts."""

    speed: SpeedReport
    memory: MemoryReport

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return self.speed.to_dict() | {"memory": self.memory.to_dict()}

    def rows(self) -> list[dict[str, Any]]:
        """Return the constants, one a row."""
        return self.speed.rows() + self.memory.rows()

    def __rich__(self) -> Any:
        """Render one after the other."""
        from rich.console import Group

        return Group(self.speed, "", self.memory)


@dataclass(frozen=True, slots=True)
class LawReport:
    """A loss law moved by trainings, as the law fitter reports it."""

    text: str
    content: dict[str, Any]
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return self.content | {"law": str(self.path)}

    def rows(self) -> list[dict[str, Any]]:
        """Return no rows: a law is no table."""
        return []

    def __rich__(self) -> Any:
        """Render the fitter's own report."""
        return f"{self.text.rstrip()}\n\nwrote {self.path}; use it with --law {self.path}"


def run(
    paths: Sequence[Path],
    *,
    name: str,
    on: str | None,
    engine: str,
    machine: str | None,
    prior: str | None,
    folder: Path,
) -> SpeedReport | MemoryReport | MachineReport | LawReport | ShapeReport:
    """Fit and write a profile where `on` names hardware, else a law from the trainings.

    Start-up logs, and tables of them, correct a profile's memory; recorded runs its speed. Trainings of
    one size alone, with no law named to move, show where their U-shapes bottom out.

    Raises:
        SpecError: the runs cannot support a fit.
        OutputError: the folder cannot be written.

    """
    recorded_in, starts = parted(paths)
    if on is None:
        if starts:
            raise SpecError(f"{starts[0].path}: is no file of trainings", hint=STARTS_HINT)
        return _law(recorded_in, name, prior, folder)
    profiles.check_name(name)
    today = date.today()
    if not recorded_in:
        started = memory.fit(starts, on, engine=engine, prior=prior)
        return MemoryReport(started, memory.write(started, name, folder, today))
    of, _, _ = engine.partition("==")
    fitted = profiles.fit(recorded_in, on, name=name, engine=of, prior=prior, machine=machine)
    if not starts:
        return SpeedReport(fitted, profiles.write(fitted, folder, today))
    own = "" if fitted.engine == "any" else fitted.engine
    started = memory.fit(starts, on, engine=engine or own, prior=prior)
    path = profiles.write(fitted, folder, today, started)
    return MachineReport(SpeedReport(fitted, path), MemoryReport(started, path))


def _law(
    paths: Sequence[Path], name: str, prior: str | None, folder: Path
) -> LawReport | ShapeReport:
    from planner_calibration.fit.law.export import write_law
    from planner_calibration.fit.law.run import fit_csv

    rows = recorded.load(list(paths)).rows
    sizes = [Shape.of(r.what).n_params_non_embedding for r in trainings(rows)]
    if prior is None and max(sizes) < ONE_SIZE * min(sizes):
        return fit_shape(rows)
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary) / "trainings.csv"
        table.write_text(to_csv(rows))
        # A few runs move a published law; "none" asks for a fit of their own.
        start = prior or default_law()[0].name
        try:
            report = fit_csv(table, prior=None if start == "none" else start, name=name, force=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise SpecError(
                f"moved by these runs {start} is no law: {first['loc'][-1]} becomes {first['input']:.3g}",
                hint="they lie too far from its evidence; fit them alone with --prior none",
            ) from None
    path = folder / f"{name}.toml"
    write_law(report.law, path)
    return LawReport(report.text(), report.to_dict(), path)
