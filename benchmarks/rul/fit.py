"""Fit the constants of the remaining-life estimator, and judge it on other seeds.

    python -m benchmarks.rul.fit collect DIR SEED ...   a fleet year each, to days-SEED.npz
    python -m benchmarks.rul.fit fit DIR SEED ...       writes fleetgen/derive/rul_constants.toml
    python -m benchmarks.rul.fit score DIR SEED ...     prints the scores

A year of the default fleet takes minutes, and some hundred MB per location that are deleted again.
The likelihood of each true life is that of ending on its day, given the week's evidence; its
maximum is found by L-BFGS-B over the logarithms of the constants that are positive.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fleetgen
from fleetgen.config import load
from fleetgen.derive import past, rul
from fleetgen.derive.scores import Scores
from fleetgen.io.dataset import read_counts
from fleetgen.schema import DATA_VERSION, FEATURE_STORE
from fleetgen.spec import NULL
from fleetgen.units import day_number

Floats = NDArray[np.float64]

DAYS, STEP_S, START = 365, 300, date(2025, 1, 1)
UTC_OFFSET_S = 7 * 3600
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
ASSUMED = {"test_error"}
EVERY = 4
"""Weeks between two that are fitted: neighbours tell the same."""


# --- from a data set to daily values --------------------------------------------------------------


def collect(directory: Path, seed: int) -> None:
    """Daily values and true ends of life of every jar of the default fleet, a year."""
    found: dict[str, list[Any]] = {}
    for site in load().to_fleet().sites:
        place = site.location.location_id
        with tempfile.TemporaryDirectory(dir=directory) as output:
            fleetgen.generate(
                output_dir=f"{output}/set",
                seed=seed,
                duration_days=DAYS,
                sampling_seconds=STEP_S,
                start_date=START.isoformat(),
                locations=place,
                executor="serial",
            )
            for name, values in _location(Path(output) / "set").items():
                found.setdefault(name, []).append(values)
        print(seed, place, flush=True)
    arrays = {name: np.concatenate(values) for name, values in found.items()}
    np.savez_compressed(directory / f"days-{seed}.npz", **arrays)


def _location(place: Path) -> dict[str, Any]:
    """Arrays of a data set, (jar, ...)."""
    with (place / "battery.csv").open() as file:
        batteries = list(csv.DictReader(file))
    with (place / "battery_model.csv").open() as file:
        models = {row["model_id"]: row for row in csv.DictReader(file)}
    states = json.loads((place / "battery_states.json").read_text())
    found: dict[str, list[Any]] = {}
    for string_id in dict.fromkeys(row["string_id"] for row in batteries):
        rows = [row for row in batteries if row["string_id"] == string_id]
        model = models[rows[0]["model_id"]]
        units = [
            past.Unit(
                row["battery_id"],
                day_number(date.fromisoformat(row["installed_date"])),
                float(row["initial_resistance_mohm"]),
                float(row["initial_capacity_ah"]) / float(model["rated_capacity_ah"]),
            )
            for row in rows
        ]
        days = _daily(place, string_id, units, model)
        for name, values in {
            **{field: np.array([getattr(u, field) for u in units]) for field in _UNIT},
            "design_life_years": np.full(len(units), float(model["design_life_years"])),
            "end_days": np.array([_end_days(states[u.battery_id]) for u in units]),
            **days._asdict(),
        }.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


_UNIT = ("battery_id", "installed_day", "initial_mohm", "initial_capacity")


def _daily(place: Path, string_id: str, units: list[past.Unit], model: dict[str, str]) -> past.Days:
    """Daily values of a string's units: what the product's own stage keeps of the features."""
    index = {unit.battery_id: u for u, unit in enumerate(units)}
    history = _past(units, model)
    parts = []
    for path in sorted(place.glob(f"feature_store/*/string={string_id}/*/*.parquet")):
        rows = read_counts(FEATURE_STORE, path, ("feature_ts", "battery_id", *past.COLUMNS))
        stamps, at = np.unique(rows["feature_ts"], return_inverse=True)
        unit = np.array([index.get(each, -1) for each in rows["battery_id"]])
        mine = unit >= 0
        counts = {name: np.full((len(units), len(stamps)), NULL) for name in past.COLUMNS}
        for name, array in counts.items():
            array[unit[mine], at[mine]] = rows[name][mine]
        parts.append(history.days(stamps, counts)[1])
    return past.Days._make(np.concatenate(each, axis=1) for each in zip(*parts, strict=True))


def _past(units: list[past.Unit], model: dict[str, str]) -> past.StringPast:
    float_v = 0.5 * (float(model["float_min_v"]) + float(model["float_max_v"]))
    return past.StringPast(units, float(model["cells"]), float_v, UTC_OFFSET_S)


def _end_days(state: dict[str, Any]) -> float:
    """Days from the start to the true end of life; NaN where there is none within 20 years."""
    if state["failed"]:
        return (date.fromisoformat(state["failure_date"]) - START).days + 0.5
    return float("nan") if state["rul_days"] is None else DAYS + state["rul_days"]


# --- from daily values to evidence ----------------------------------------------------------------


def evidence(directory: Path, seed: int, every: int = 1) -> tuple[rul.Evidence, Floats, Floats]:
    """Evidence of each jar and Monday, the true remaining life, and the design life [a], (row,)."""
    with np.load(directory / f"days-{seed}.npz") as found:
        data = dict(found)
    units = [past.Unit(*values) for values in zip(*(data[name].tolist() for name in _UNIT))]  # noqa: B905
    history = past.StringPast(units, 6.0, 13.65, UTC_OFFSET_S)
    first = day_number(START)
    parts, lives, designs = [], [], []
    days = past.Days._make(data[name] for name in past.Days._fields)
    for monday, served, known in history.mondays(first, days)[::every]:
        left = np.where(np.isnan(data["end_days"]), np.inf, data["end_days"]) - (monday - first)
        kept = served & (left > 0.0) & ~np.isnan(known.level)
        parts.append(rul.Evidence(*(column[kept] for column in known)))
        lives.append(np.minimum(left[kept], rul.RUL_HORIZON_DAYS))
        designs.append(data["design_life_years"][kept])
    joined = rul.Evidence(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    return joined, np.concatenate(lives), np.concatenate(designs)


def all_evidence(
    directory: Path, seeds: list[int], every: int = 1
) -> tuple[rul.Evidence, Floats, Floats]:
    """The same of several seeds."""
    each = [evidence(directory, seed, every) for seed in seeds]
    known = rul.Evidence(*(np.concatenate(c) for c in zip(*(e for e, _, _ in each), strict=True)))
    return known, np.concatenate([a for _, a, _ in each]), np.concatenate([d for _, _, d in each])


# --- fitting --------------------------------------------------------------------------------------


def _codec() -> tuple[Floats, Callable[[Floats], rul.Constants]]:
    """Where the search begins, and constants from its coordinates."""
    names: list[tuple[str, int | None]] = []
    for f in fields(rul.Constants):
        value = getattr(FIRST_GUESS, f.name)
        if f.name in ASSUMED:
            continue
        if isinstance(value, tuple):
            names += [(f.name, i) for i in range(len(value)) if (f.name, i) != ("odds", 0)]
        else:
            names.append((f.name, None))

    def start(name: str, i: int | None) -> float:
        value = getattr(FIRST_GUESS, name)
        value = value if i is None else value[i]
        return value if name in SIGNED else float(np.log(value))

    def decode(x: Floats) -> rul.Constants:
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(FIRST_GUESS).items()}
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


def fit(directory: Path, seeds: list[int]) -> None:
    """Find the constants of greatest likelihood and write them with their provenance."""
    from scipy.optimize import minimize

    known, left, _ = all_evidence(directory, seeds, EVERY)
    start, decode = _codec()
    found = minimize(
        lambda x: negative_log_likelihood(decode(x), known, left),
        start,
        method="L-BFGS-B",
        bounds=[(value - 4.0, value + 4.0) for value in start.tolist()],
        options={"maxiter": 1000, "maxfun": 50_000},
    )
    print(found.message, found.nit, found.fun)
    c = decode(found.x)
    lines = [
        "# Constants of the estimator of remaining life: see fleetgen/derive/rul.py, docs/rul.md.",
        "# Written by `python -m benchmarks.rul.fit fit`; do not edit.",
        "",
        "[provenance]",
        f'fleetgen = "{fleetgen.__version__}"',
        f"data_version = {DATA_VERSION}",
        f"training_seeds = {seeds}",
        f'runs = "the default fleet, {DAYS} days from {START}, every {STEP_S} s"',
        f"rows = {len(left)}",
        f"negative_log_likelihood = {found.fun:.5g}",
        f"assumed = {json.dumps(sorted(ASSUMED))}",
        "",
        "[constants]",
        *(f"{name} = {_text(value)}" for name, value in asdict(c).items()),
    ]
    CONSTANTS.write_text("\n".join(lines) + "\n")


def _text(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    return repr(float(f"{value:.5g}"))


# --- judging --------------------------------------------------------------------------------------


def trivial(
    directory: Path, seeds: list[int]
) -> Callable[[rul.Evidence, Floats], dict[str, Floats]]:
    """Predictors that look at no measurement: fitted on training seeds where there is something."""
    known, left, _ = all_evidence(directory, seeds, EVERY)
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
    """Print what each seed's year scores, and the best trivial predictor's error."""
    of = trivial(directory, training)
    print(
        "| seed | predictions | RMSE [d] | best trivial RMSE [d] | ratio | R2 | coverage | AUC |"
        " PHM08 |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    years = [(f"{seed}", evidence(directory, seed)) for seed in seeds]
    if len(years) > 1:
        years.append(("all", all_evidence(directory, seeds)))
    for name, (known, left, design) in years:
        found = Scores()
        found.add(rul.predict(known, rul.constants()), left)
        others = {
            guess: float(np.sqrt(np.mean((days - left) ** 2)))
            for guess, days in of(known, design).items()
        }
        best = min(others, key=lambda guess: others[guess])
        print(
            f"| {name} | {found.rows:,} | {found.rmse_days:.0f} | {others[best]:.0f} ({best}) | "
            f"{found.rmse_days / others[best]:.2f} | {found.r2:.2f} | {found.coverage:.3f} | "
            f"{found.auc:.3f} | {found.phm08:.0f} |"
        )


def main() -> None:
    """Collect, fit or score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("collect", "fit", "score"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--training", type=int, nargs="+", default=[101, 102, 103, 104, 105, 106])
    given = parser.parse_args()
    if given.what == "collect":
        for seed in given.seeds:
            collect(given.directory, seed)
    elif given.what == "fit":
        fit(given.directory, given.seeds)
    else:
        score(given.directory, given.seeds, given.training)


if __name__ == "__main__":
    main()
