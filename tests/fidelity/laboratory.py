"""Rows 1 to 6: a new jar on the bench, discharged at constant current at 25 degC.

The package's public law of discharge, stepped here (explicit Euler, 1 s), without coup de fouet,
which vendor tables and porous-electrode models do not have.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from fleetgen.model.electrical import discharge_voltages
from fleetgen.model.params import DISCHARGE_FAMILIES
from tests.fidelity.check import ANY, Check

REFERENCES = Path(__file__).resolve().parents[1] / "data"

RATED_AH = 100.0
LOWEST_V = 9.6
CELLS = 6
PRODUCTS = {"CB12-115": ("A", 110.0), "GP12400": ("B", 0.93 * 40.0)}
"""Discharge type and C10 [Ah] of a vendor's jar; GP12400 gives C20 alone, C10 is 0.93 of it."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Time [h] and voltage of a jar [V]."""

    time_h: np.ndarray
    jar_v: np.ndarray

    def hours_to(self, end_v: float) -> float:
        """Time until the voltage falls to `end_v`."""
        below = int(np.argmax(self.jar_v <= end_v))
        (t0, t1), (v0, v1) = (x[below - 1 : below + 1] for x in (self.time_h, self.jar_v))
        return float(t0 + (t1 - t0) * (v0 - end_v) / (v0 - v1))

    def until(self, end_v: float) -> Curve:
        """The curve down to `end_v`."""
        end = int(np.argmax(self.jar_v <= end_v)) + 1
        return Curve(self.time_h[:end], self.jar_v[:end])


@cache
def discharge(discharge_type: str, rated_ah: float, current_a: float) -> Curve:
    """A new jar at constant current down to 9.6 V."""
    f = DISCHARGE_FAMILIES[discharge_type]
    family = np.array(
        [
            f.capacity_factor,
            f.knee_rate_per_h,
            f.rate_exponent,
            f.resistance_dc_mohm,
            f.knee_v_per_cell,
        ]
    )
    removed_ah, temperature_c, jar_v = np.zeros(1), np.full(1, 25.0), np.zeros(1)
    new = np.ones(1)
    volts = []
    while not volts or volts[-1] > LOWEST_V:
        discharge_voltages(
            current_a,
            current_a,
            removed_ah[0],
            0.0,
            np.full(1, float(CELLS)),
            rated_ah,
            family,
            removed_ah,
            new,
            new,
            temperature_c,
            jar_v,
        )
        volts.append(jar_v[0])
        removed_ah += current_a / 3600.0
    return Curve(np.arange(len(volts)) / 3600.0, np.array(volts))


def current_for(discharge_type: str, duration_h: float, end_v: float) -> float:
    """Current that a 100 Ah jar gives for `duration_h` to `end_v` [A], by bisection."""
    low, high = 1.0, 600.0
    while high - low > 0.1:
        middle = 0.5 * (low + high)
        if discharge(discharge_type, RATED_AH, middle).hours_to(end_v) > duration_h:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def check() -> list[Check]:
    """All rows of the bench."""
    return [*_rated_capacity(), *_quarter_hour(), *_tables(), *_fast_over_slow(), *_shape()]


def _rated_capacity() -> list[Check]:
    return [
        Check(
            "1",
            f"new jar of type {kind}, 0.1 C10 to 10.8 V",
            discharge(kind, RATED_AH, 0.1 * RATED_AH).hours_to(10.8),
            9.4,
            11.0,
            "h",
            "definition of C10",
            "one discharge",
        )
        for kind in DISCHARGE_FAMILIES
    ]


def _quarter_hour() -> list[Check]:
    return [
        Check(
            "2",
            f"new 100 Ah jar of type {kind}, 15-min current to 10.02 V",
            current_for(kind, 0.25, 10.02),
            180.0,
            225.0,
            "A",
            "CB12-115, CSB, LPX12-100",
            "bisection",
        )
        for kind in DISCHARGE_FAMILIES
    ]


def vendor_rows(product: str) -> list[tuple[float, float, float]]:
    """End voltage [V], duration [h] and current [A] of a product's table."""
    with (REFERENCES / "vendor_discharge.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return [
            (float(r["end_v"]), float(r["duration_min"]) / 60, float(r["current_a"]))
            for r in rows
            if r["product"] == product
        ]


def _tables() -> list[Check]:
    checks = []
    for product, (kind, rated_ah) in PRODUCTS.items():
        rows = vendor_rows(product)
        error = np.array(
            [discharge(kind, rated_ah, amps).hours_to(end_v) / h - 1 for end_v, h, amps in rows]
        )
        basis = f"{len(rows)} rows"
        largest = float(np.abs(error).max())
        rms = float(np.sqrt(np.mean(error**2)))
        claim = f"type {kind} against the table of {product}, time: "
        source = f"{product} data sheet"
        checks += [
            Check("3", claim + "largest error", 100 * largest, 0, 15, "%", source, basis),
            Check("3", claim + "RMS error", 100 * rms, 0, 6, "%", source, basis),
        ]
    return checks


def _fast_over_slow() -> list[Check]:
    def capacity_ah(kind: str, per_h: float) -> float:
        current_a = per_h * RATED_AH
        return current_a * discharge(kind, RATED_AH, current_a).hours_to(10.02)

    return [
        Check(
            "4",
            f"type {kind}: capacity at 1C over capacity at C/20",
            capacity_ah(kind, 1.0) / capacity_ah(kind, 0.05),
            0.50,
            0.75,
            "1",
            "CB12-115 0.59, CSB 0.76, Leoch 0.63",
            "two discharges to 10.02 V",
        )
        for kind in DISCHARGE_FAMILIES
    ]


def reference_curve(name: str) -> Curve:
    """A PyBaMM curve, as of a jar of six cells."""
    values = np.genfromtxt(REFERENCES / "pybamm" / f"{name}.csv", delimiter=",", names=True)
    return Curve(values["t_h"], CELLS * values["voltage_V_per_cell"])


NORMAL_TIME = np.linspace(0.05, 0.90, 171)


def normalised(curve: Curve) -> np.ndarray:
    """(V - V_end) / (V(0.05) - V_end) over time / end time from 0.05 to 0.90."""
    v = np.interp(NORMAL_TIME, curve.time_h / curve.time_h[-1], curve.jar_v)
    end_v = curve.jar_v[-1]
    return (v - end_v) / (v[0] - end_v)


def _shape() -> list[Check]:
    limits = {"C20": (0.05, 0.04), "C10": (0.10, 0.06), "1C": (1.0, 0.20)}
    references = {"C20": ["Full"], "C10": ["Full", "LOQS"], "1C": ["Full", "LOQS"]}
    checks = []
    for kind in DISCHARGE_FAMILIES:
        for rate, (per_h, limit) in limits.items():
            curve = discharge(kind, RATED_AH, per_h * RATED_AH).until(10.02)
            errors = [
                normalised(curve) - normalised(reference_curve(f"{model}_{rate}"))
                for model in references[rate]
            ]
            worst = max(float(np.sqrt(np.mean(e**2))) for e in errors)
            claim = f"type {kind}: shape of the {rate} curve, normalised RMS difference"
            source = "PyBaMM Sulzer2019 " + "/".join(references[rate])
            basis = f"{len(errors)} curves"
            checks.append(Check("5", claim, worst, -ANY, limit, "1", source, basis))
        slow = discharge(kind, RATED_AH, 0.05 * RATED_AH).until(10.02)
        middle_v = float(np.interp(slow.time_h[-1] / 2, slow.time_h, slow.jar_v)) / CELLS
        claim = f"type {kind}: voltage in the middle of a C/20 discharge"
        checks.append(
            Check("6", claim, middle_v, 1.97, 2.05, "V/cell", "PyBaMM Sulzer2019", "one discharge")
        )
    return checks
