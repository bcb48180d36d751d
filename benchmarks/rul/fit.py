"""Fit the constants of the remaining-life estimator, and judge it on other seeds.

    python -m benchmarks.rul.fit collect DIR SEED ...   a fleet year each, to weeks-SEED.npz
    python -m benchmarks.rul.fit fit DIR SEED ...       writes fleetgen/derive/rul_constants.toml
    python -m benchmarks.rul.fit score DIR SEED ...     prints the scores

A year of the default fleet takes minutes. Its parts are made as in any run, but nobody encodes or
stores them: features and capacity tests go to the product's own `past`, Mondays meet the
`rul_truth` of their midnight. The likelihood of each true life is that of ending on its day, given
the week's evidence; its maximum is found by L-BFGS-B over the logarithms of the constants that are
positive.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import fleetgen
from fleetgen import history, task
from fleetgen.config import load
from fleetgen.derive import rul
from fleetgen.derive.scores import SOON_DAYS, Scores
from fleetgen.plan import make_plan
from fleetgen.schema import CAPACITY_TEST_CALC, DATA_VERSION, FEATURE_STORE, RUL_TRUTH, Table
from fleetgen.spec import NULL, HistoryJob, RowGroup, StringJob

Floats = NDArray[np.float64]
Weeks = dict[str, NDArray[Any]]
"""Columns of rows (unit, Monday): fields of `rul.Evidence` and of `_TRUTH`, keys, design life."""

DAYS, STEP_S, START = 365, 300, date(2025, 1, 1)
CONSTANTS = Path(rul.__file__).with_name("rul_constants.toml")

FIRST_GUESS = rul.Constants(
    pace=(0.055, 0.17, 0.45),
    odds=(1.0, 1.4, 2.5),
    growth_per_loss=(2.5, 1.9, 1.6),
    pace_spread=0.2,
    level_error=0.03,
    test_error=0.03,
    capacity_weight=0.8,
    life_error=25.0,
    hazard=0.02,
    failing=-5.3,
    failing_trend=1.4,
    failing_deviation=5.0,
    failing_drift=0.5,
    failing_days=550.0,
)
SIGNED = {"failing"}
EVERY = 4
"""Weeks between two that are fitted: neighbours tell the same."""


# --- from a plan to evidence ----------------------------------------------------------------------


def collect(directory: Path, seed: int) -> None:
    """Evidence and truth of each unit of the default fleet on each Monday of a year."""
    flags = {
        "seed": seed,
        "duration_days": DAYS,
        "sampling_seconds": STEP_S,
        "start_date": START.isoformat(),
    }
    plan = make_plan(load(None, {}, flags), task.NOWHERE)
    found = []
    for job in plan.histories:
        if isinstance(job.parts[0], StringJob):
            found.append(string_weeks(job))
            print(seed, job.key, flush=True)
    joined = {name: np.concatenate([weeks[name] for weeks in found]) for name in found[0]}
    np.savez_compressed(directory / f"weeks-{seed}.npz", **joined)


class _Kept(list[RowGroup]):
    """In place of a writer: row groups as they were added."""

    add = list.append


def _parts(job: HistoryJob) -> Iterator[tuple[task.Part, dict[str, _Kept]]]:
    """Parts of a string in order of time with the row groups of their tables."""
    for part_job in job.parts:
        tables: dict[str, _Kept] = {}

        def keep(_: object, table: Table, into: dict[str, _Kept] = tables) -> _Kept:
            return into.setdefault(table.name, _Kept())

        with (
            patch.object(task, "_writer", keep),
            patch.object(task.csv, "csv_gz_member", lambda *_: b""),
        ):
            yield task.make_part(part_job), tables


def string_weeks(job: HistoryJob) -> Weeks:
    """Rows of a string's units: what predictions are made of on each Monday, and what was true."""
    features: list[list[RowGroup]] = []
    tests, true, states, swaps = [], {}, {}, {}
    for part, tables in _parts(job):
        features.append(tables[FEATURE_STORE.name])
        for group in tables.get(CAPACITY_TEST_CALC.name, []):
            tests += history.results(group)
        for group in tables[RUL_TRUTH.name]:
            for at_s, unit, _, *truth in history.rows_in(group, RUL_TRUTH):
                true[at_s, unit] = truth
        states |= part.receipt_states
        swaps |= part.receipt_swaps
    first = job.parts[0]
    if not isinstance(first, StringJob):
        raise TypeError(f"{job.key} is not of a string")
    past = history.past_of(first, swaps)
    past.expect(tests)
    per_unit, offset_s = RUL_TRUTH.column("rul_days").per_unit, first.run.grid.utc_offset_s
    rows = []
    for groups in features:
        for monday, served, known in past.weeks(*history.by_unit(groups, past.units)):
            for u, unit in enumerate(past.units):
                truth = true.get((monday * 86_400 - offset_s, unit.battery_id))
                if not served[u] or truth is None or np.isnan(known.level[u]):
                    continue
                count, reason, _, mode = truth
                rows.append(
                    {
                        "battery_id": unit.battery_id,
                        "monday": monday,
                        "profile": states[unit.battery_id]["profile"],
                        "design_life_years": first.string.model.design_life_years,
                        "rul_days": np.nan if count == NULL else count / per_unit,
                        "by_mode": reason == "mode",
                        "mode_begun": mode is not None,
                        **{name: column[u] for name, column in known._asdict().items()},
                    }
                )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


class Rows(NamedTuple):
    """Rows (unit, Monday) of lives that have not ended: evidence, and of each (row,) the true
    remaining life [d], whether a failure mode ends it, and the model's design life [a].
    """

    known: rul.Evidence
    left_days: Floats
    by_mode: NDArray[np.bool_]
    design_years: Floats


def evidence(directory: Path, seeds: list[int], every: int = 1) -> Rows:
    """Rows of seeds, of every so many Mondays."""
    parts = []
    for seed in seeds:
        with np.load(directory / f"weeks-{seed}.npz") as found:
            weeks = dict(found)
        monday = (weeks["monday"] - weeks["monday"].min()) // 7
        left = np.where(np.isnan(weeks["rul_days"]), rul.RUL_HORIZON_DAYS, weeks["rul_days"])
        weeks["left_days"] = np.minimum(left, rul.RUL_HORIZON_DAYS)
        kept = (left > 0.0) & (monday % every == 0)
        parts.append({name: column[kept] for name, column in weeks.items()})
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    known = rul.Evidence(*(whole[name] for name in rul.Evidence._fields))
    return Rows(known, whole["left_days"], whole["by_mode"], whole["design_life_years"])


# --- fitting --------------------------------------------------------------------------------------


def _codec(
    guess: rul.Constants, only: list[str]
) -> tuple[Floats, Callable[[Floats], rul.Constants]]:
    """Where the search begins, and constants from its coordinates: of all, or of some alone."""
    names: list[tuple[str, int | None]] = []
    for f in fields(rul.Constants):
        value = getattr(guess, f.name)
        if only and f.name not in only:
            continue
        if isinstance(value, tuple):
            names += [(f.name, i) for i in range(len(value)) if (f.name, i) != ("odds", 0)]
        else:
            names.append((f.name, None))

    def start(name: str, i: int | None) -> float:
        value = getattr(guess, name)
        value = value if i is None else value[i]
        return value if name in SIGNED else float(np.log(value))

    def decode(x: Floats) -> rul.Constants:
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(guess).items()}
        for (name, i), at in zip(names, x.tolist(), strict=True):
            number = at if name in SIGNED else float(np.exp(at))
            if i is None:
                values[name] = number
            else:
                values[name][i] = number
        return rul.Constants(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )

    return np.array([start(*name) for name in names]), decode


def negative_log_likelihood(c: rul.Constants, known: rul.Evidence, left: Floats) -> float:
    """Of lives that end on their days, a mean over rows."""
    around = np.stack([np.maximum(0.0, left - 0.5), left + 0.5], axis=1)
    alive = rul.survival(rul.outlook(known, c), around)
    return float(-np.mean(np.log(np.maximum(alive[:, 0] - alive[:, 1], 1e-12))))


def fit(directory: Path, seeds: list[int], only: list[str]) -> None:
    """Find the constants of greatest likelihood and write them with their provenance.

    With `only`, those alone, beside the others as they are.
    """
    from scipy.optimize import minimize

    known, left, *_ = evidence(directory, seeds, EVERY)
    start, decode = _codec(rul.constants() if only else FIRST_GUESS, only)
    found = minimize(
        lambda x: negative_log_likelihood(decode(x), known, left),
        start,
        method="L-BFGS-B",
        bounds=[(value - 4.0, value + 4.0) for value in start.tolist()],
        options={"maxiter": 1000, "maxfun": 50_000},
    )
    print(found.message, found.nit, found.fun)
    told: dict[str, Any] = {
        "fleetgen": fleetgen.__version__,
        "data_version": DATA_VERSION,
        "training_seeds": seeds,
        "runs": f"the default fleet, {DAYS} days from {START}, every {STEP_S} s",
        "rows": len(left),
        "negative_log_likelihood": float(f"{found.fun:.5g}"),
    }
    tables = {"provenance": told}
    if only:
        before = tomllib.loads(CONSTANTS.read_text())["provenance"]
        kept = {k: v for k, v in before.items() if k not in ("assumed", "refined")}
        tables = {"provenance": kept, "provenance.refined": {"constants": only, **told}}
    lines = [
        "# Constants of the estimator of remaining life: see fleetgen/derive/rul.py, docs/rul.md.",
        "# Written by `python -m benchmarks.rul.fit fit`; do not edit.",
    ]
    for name, table in {**tables, "constants": asdict(decode(found.x))}.items():
        lines += ["", f"[{name}]", *(f"{key} = {_text(value)}" for key, value in table.items())]
    CONSTANTS.write_text("\n".join(lines) + "\n")


def _text(value: Any) -> str:
    """A value as TOML has it; constants to five digits."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value}" if isinstance(value, int) else repr(float(f"{value:.5g}"))


# --- judging --------------------------------------------------------------------------------------


def trivial(
    directory: Path, seeds: list[int]
) -> Callable[[rul.Evidence, Floats], dict[str, Floats]]:
    """Predictors that look at no measurement: fitted on training seeds where there is something."""
    known, left, *_ = evidence(directory, seeds, EVERY)
    years = np.arange(0.0, 12.0, 0.25)
    bins = np.minimum((known.age_years / 0.25).astype(int), len(years) - 1)
    sums = np.bincount(bins, left, len(years))
    of_age = np.where(np.bincount(bins, minlength=len(years)) > 0, sums, left.mean()) / np.maximum(
        np.bincount(bins, minlength=len(years)), 1
    )
    mean, median = left.mean(), float(np.median(left))

    def predictions(known: rul.Evidence, design: Floats) -> dict[str, Floats]:
        at = np.minimum((known.age_years / 0.25).astype(int), len(years) - 1)
        return {
            "constant mean": np.full(len(design), mean),
            "constant median": np.full(len(design), median),
            "mean at this age": of_age[at],
            "design life less age": np.maximum(0.0, design - known.age_years) * 365.25,
        }

    return predictions


def score(directory: Path, seeds: list[int], training: list[int]) -> None:
    """Print what each seed's year scores, and the best trivial predictor's error.

    The last three columns take the AUC apart: it is the mean of that of lives that wear ends within
    90 days and that of lives that a mode does, each against all that end later, by their shares.
    """
    of = trivial(directory, training)
    print(
        "| seed | predictions | RMSE [d] | best trivial RMSE [d] | ratio | R2 | coverage | AUC |"
        " PHM08 | AUC, wear | AUC, modes | by a mode |"
    )
    print("|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    years = [(f"{seed}", [seed]) for seed in seeds]
    if len(seeds) > 1:
        years.append(("all", seeds))
    for name, some in years:
        known, left, by_mode, design = evidence(directory, some)
        predicted, soon = rul.predict(known, rul.constants()), left <= SOON_DAYS
        found, wear, modes = (
            _scored(predicted, left, rows)
            for rows in (np.ones_like(soon), ~soon | ~by_mode, ~soon | by_mode)
        )
        others = {
            guess: float(np.sqrt(np.mean((days - left) ** 2)))
            for guess, days in of(known, design).items()
        }
        best = min(others, key=lambda guess: others[guess])
        rmse = found.rmse_days or 0.0
        print(
            f"| {name} | {found.rows:,} | {rmse:.0f} | {others[best]:.0f} ({best}) | "
            f"{rmse / others[best]:.2f} | {found.r2:.2f} | {found.coverage:.3f} | "
            f"{found.auc:.3f} | {found.phm08:.0f} | {wear.auc:.3f} | {modes.auc:.3f} | "
            f"{by_mode[soon].mean():.0%} |"
        )


def _scored(predicted: dict[str, NDArray[np.int64]], left: Floats, rows: Any) -> Scores:
    found = Scores()
    found.add({name: counts[rows] for name, counts in predicted.items()}, left[rows])
    return found


def main() -> None:
    """Collect, fit or score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("collect", "fit", "score"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--only", nargs="+", default=[], help="constants that are fitted anew")
    parser.add_argument("--training", type=int, nargs="+", default=[101])
    given = parser.parse_args()
    if given.what == "collect":
        for seed in given.seeds:
            collect(given.directory, seed)
    elif given.what == "fit":
        fit(given.directory, given.seeds, given.only)
    else:
        score(given.directory, given.seeds, given.training)


if __name__ == "__main__":
    main()
