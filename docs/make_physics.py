"""Draw the physics of the generated data into docs/figures; `python docs/make_physics.py`.

A year of two locations is made for it, with what the pictures want to show injected. Wants
matplotlib (`pip install '.[docs]'`), two minutes and 1 GB of disk for a while.
"""

from __future__ import annotations

import csv
import tempfile
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from fleetgen.config import load
from fleetgen.model import climate, electrical, events, params
from fleetgen.pipeline import generate
from fleetgen.spec import DEFAULT_SCENARIO
from fleetgen.units import SECONDS_PER_HOUR, day_number

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"
VENDOR = HERE.parent / "tests" / "data" / "vendor_discharge.csv"

COMPENSATED, HOT = "DC-CNX-01", "DC-KKN-01"
FAILING = {
    "dry_out": f"{COMPENSATED}-UPS-01-S1-J05",
    "corrosion": f"{COMPENSATED}-UPS-01-S2-J11",
    "sulfation": f"{COMPENSATED}-UPS-01-S3-J17",
    "internal_short": f"{COMPENSATED}-UPS-01-S4-J20",
}
LEADS_D = {"dry_out": 400, "corrosion": 500, "sulfation": 220, "internal_short": 40}
TERMINAL = "2025-11-20T00:00:00"
RUNAWAY = f"{HOT}-UPS-01-S2"
HVAC_AT = "2025-04-10T13:00:00"

INK, MUTED, ACCENT, WARM = "#1f2933", "#9aa5b1", "#0b7285", "#c92a2a"
CLASSES = {"healthy": "#2b8a3e", "accelerated": "#e67700", "failing": WARM}

mpl.rcParams.update(
    {
        "figure.dpi": 110,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "text.color": INK,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "legend.frameon": False,
        "lines.linewidth": 1.2,
        "axes.grid": True,
        "grid.color": "#e4e7eb",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "timezone": "Asia/Bangkok",
    }
)


def year_of_data(place: Path) -> None:
    """Two locations, 365 days at 300 s, ideal sensors, with what the pictures want to show."""
    end = datetime.fromisoformat(TERMINAL)
    inject: list[dict[str, Any]] = [
        {
            "kind": "failure_mode",
            "value": mode,
            "target": jar,
            "at": (end - pd.Timedelta(days=LEADS_D[mode])).isoformat(),
            "duration_days": float(LEADS_D[mode]),
        }
        for mode, jar in FAILING.items()
    ]
    inject += [
        {
            "kind": "failure_mode",
            "value": "thermal_runaway",
            "target": RUNAWAY,
            "at": "2025-01-10T00:00:00",
            "duration_days": 120.0,
        },
        {"kind": "hvac_failure", "target": HOT, "at": HVAC_AT, "duration_days": 1.0},
        {"kind": "hvac_failure", "target": HOT, "at": "2025-05-04T09:00:00", "duration_days": 2.0},
    ]
    generate(
        load(
            overrides={
                "run.duration_days": 365,
                "run.sampling_seconds": 300,
                "run.start_date": "2025-01-01",
                "select.locations": f"{COMPENSATED},{HOT}",
                "output.directory": str(place),
                "scenario.sensor_errors": False,
                "scenario.sensor_faults": False,
                "inject": inject,
            }
        )
    )


def table(place: Path, name: str, columns: list[str], **where: str) -> pd.DataFrame:
    """Rows of a table as a frame, indexed by instant."""
    filters = [(key, "==", value) for key, value in where.items()]
    frame = pd.read_parquet(place / name, columns=columns, filters=filters or None)
    return frame.set_index(columns[0]).sort_index()


def save(figure: Any, name: str) -> None:
    """Write a figure."""
    figure.tight_layout()
    figure.savefig(FIGURES / f"{name}.png", metadata={"Software": None})
    plt.close(figure)


def discharge_curve(kind: str, current_a: float, end_v: float) -> tuple[Any, Any]:
    """Hours and jar voltage of a new 100 Ah jar at constant current, 25 degC."""
    law = params.DISCHARGE_FAMILIES[kind]  # type: ignore[index]
    family = np.array(
        [
            law.capacity_factor,
            law.knee_rate_per_h,
            law.rate_exponent,
            law.resistance_dc_mohm,
            law.knee_v_per_cell,
        ]
    )
    one, out = np.ones(1), np.empty(1)
    hours, volts, drawn, t = [], [], 0.0, 0.0
    step = 1.0 if current_a > 30 else 20.0
    while True:
        electrical.discharge_voltages(
            current_a, current_a, drawn, 86_400.0, 6 * one, 100.0, family,
            np.array([drawn]), one, one, 25 * one, out,
        )  # fmt: skip
        hours.append(t / 3600)
        volts.append(out[0])
        if out[0] < end_v:
            return np.array(hours), np.array(volts)
        drawn += current_a * step / 3600
        t += step


def discharge() -> None:
    """Voltage over time at five rates; current over time to 10.0 V against the vendors' tables."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for rate, shade in zip((0.05, 0.1, 0.25, 1.0, 2.0), np.linspace(0.25, 0.95, 5), strict=True):
        hours, volts = discharge_curve("B", 100 * rate, 10.02)
        left.semilogx(
            hours * 60 + 0.02, volts, color=plt.get_cmap("viridis")(shade), label=f"{rate:g} C10"
        )
    left.set(xlabel="minutes", ylabel="jar voltage, V", title="A new type-B jar, 25 °C")
    left.legend(title="load")
    for kind, product, scale, colour in (
        ("A", "CB12-115", 100 / 110, WARM),
        ("B", "GP12400", 2.5, ACCENT),
    ):
        currents = np.geomspace(5.5, 420, 25)
        minutes = [60 * discharge_curve(kind, float(i), 10.02)[0][-1] for i in currents]
        right.loglog(minutes, currents, color=colour, label=f"type {kind}")
        right.loglog(
            *vendor_points(product, scale), "o", color=colour, ms=4, label=f"{product}, per 100 Ah"
        )
    right.set(xlabel="minutes to 10.0 V", ylabel="A", title="Against the vendors' tables")
    right.legend()
    save(figure, "discharge")


def vendor_points(product: str, scale: float) -> tuple[list[float], list[float]]:
    """Minutes and amperes per 100 Ah to 10.0 V of a product."""
    with VENDOR.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    mine = [r for r in rows if r["product"] == product and abs(float(r["end_v"]) - 10.0) < 0.05]
    return (
        [float(r["duration_min"]) for r in mine],
        [float(r["current_a"]) * scale for r in mine],
    )


def modes_of(place: Path, string: str) -> pd.DataFrame:
    """Voltage, current and mode of a string."""
    return table(
        place, "telemetry_string_raw", ["ts", "voltage_v", "current_a", "mode"], string=string
    )


def jars_of(place: Path, string: str, column: str, name: str = "telemetry_jar_raw") -> pd.DataFrame:
    """One column of a string's jars, a column each."""
    frame = table(place, name, ["ts", "battery_id", column], string=string)
    return frame.pivot(columns="battery_id", values=column)


def recharge(place: Path) -> None:
    """The annual capacity test of a string, and how its charge returns."""
    string = f"{COMPENSATED}-UPS-01-S5"
    frame = modes_of(place, string)
    long = frame["mode"].eq("discharge") & (frame["current_a"] < -20)
    runs = (long != long.shift()).cumsum()[long]
    start = runs[runs == runs.value_counts().idxmax()].index[0]
    window = frame.loc[start - pd.Timedelta(hours=1) : start + pd.Timedelta(hours=26)]
    soc = jars_of(place, string, "soc_pct", "telemetry_jar_calc").loc[window.index]
    volts = jars_of(place, string, "voltage_v").loc[window.index]
    hours = (window.index - start).total_seconds() / SECONDS_PER_HOUR
    figure, axes = plt.subplots(3, 1, figsize=(9, 7), sharex=True)
    axes[0].plot(hours, volts, color=MUTED, lw=0.5)
    axes[0].plot(hours, window["voltage_v"] / 24, color=ACCENT)
    axes[0].set(ylabel="jar voltage, V", title=f"Capacity test of {string} and its recharge")
    axes[1].plot(hours, window["current_a"], color=ACCENT)
    axes[1].set(ylabel="current, A (charge +)")
    axes[2].plot(hours, soc, color=MUTED, lw=0.5)
    axes[2].set(ylabel="state of charge, %", xlabel="hours")
    save(figure, "recharge")


def floating(place: Path) -> None:
    """Float voltage of 24 jars for a month."""
    string = f"{COMPENSATED}-REC-01-S1"
    volts = jars_of(place, string, "voltage_v").loc["2025-06-01":"2025-06-30"]
    figure, axis = plt.subplots(figsize=(9, 4))
    axis.plot(volts.index, volts, lw=0.5)
    axis.set(
        ylabel="jar voltage, V", title=f"24 jars of {string} on float, June", ylim=(13.0, 14.4)
    )
    save(figure, "float")


def cooling(place: Path) -> None:
    """A day without cooling at a location whose charger does not compensate."""
    at = pd.Timestamp(HVAC_AT, tz="Asia/Bangkok")
    span = slice(at - pd.Timedelta(hours=12), at + pd.Timedelta(hours=60))
    room = table(
        place,
        "telemetry_env",
        ["ts", "temperature_c", "outdoor_temperature_c", "humidity_pct"],
        location=HOT,
    ).loc[span]
    string = f"{HOT}-UPS-01-S5"
    jars = jars_of(place, string, "temperature_c").loc[span]
    amps = modes_of(place, string)["current_a"].loc[span]
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
    upper.plot(jars.index, jars, color=MUTED, lw=0.5)
    upper.plot(room.index, room["temperature_c"], color=WARM, label="room")
    upper.plot(room.index, room["outdoor_temperature_c"], color=ACCENT, label="outdoors")
    upper.plot([], [], color=MUTED, label="24 jars")
    upper.set(ylabel="°C", title=f"The cooling of {HOT} fails for a day in April")
    upper.legend(loc="upper right")
    lower.plot(amps.index, amps, color=ACCENT)
    lower.set(ylabel="float current, A")
    save(figure, "cooling")


def health(place: Path) -> None:
    """A year of SOH by profile."""
    states = pd.read_json(place / "battery_states.json").T
    figure, axis = plt.subplots(figsize=(9, 5))
    daily = pd.read_parquet(place / "telemetry_jar_calc", columns=["ts", "battery_id", "soh_pct"])
    daily = daily[daily["ts"].dt.hour.eq(0) & daily["ts"].dt.minute.eq(0)]
    wide = daily.pivot(index="ts", columns="battery_id", values="soh_pct")
    for profile, colour in CLASSES.items():
        ids = states.index[states["profile"] == profile]
        axis.plot(wide.index, wide[ids], color=colour, lw=0.5, alpha=0.6)
        axis.plot([], [], color=colour, label=f"{profile}, {len(ids)}")
    axis.axhline(80, color=INK, lw=0.8, ls="--")
    axis.set(ylabel="SOH, %", title="A year of health, by profile", ylim=(40, 106))
    axis.legend(loc="lower left")
    save(figure, "soh")


def failures(place: Path) -> None:
    """What each failure mode shows before it ends, against the string's median."""
    columns = ("voltage_v", "temperature_c", "resistance_mohm", "soh_pct")
    labels = ("V less median", "K over median", "resistance, mΩ", "SOH, %")
    figure, axes = plt.subplots(4, 4, figsize=(12, 9), sharex="col")
    for row, (mode, jar) in enumerate(FAILING.items()):
        string = jar.rsplit("-", 1)[0]
        floating = modes_of(place, string)["mode"].eq("float")
        for col, (column, label) in enumerate(zip(columns, labels, strict=True)):
            source = "telemetry_jar_calc" if column == "soh_pct" else "telemetry_jar_raw"
            wide = jars_of(place, string, column, source)
            wide = wide[floating.reindex(wide.index, fill_value=False)]
            if col < 2:
                wide = wide.sub(wide.median(axis=1), axis=0)
            wide = wide.iloc[::24]
            axis: Axes = axes[row, col]
            axis.plot(wide.index, wide.drop(columns=jar), color=MUTED, lw=0.3)
            axis.plot(wide.index, wide[jar], color=WARM)
            axis.xaxis.set_major_formatter(mpl.dates.DateFormatter("%b"))
            if row == 0:
                axis.set_title(label)
            if col == 0:
                axis.set_ylabel(mode.replace("_", " "))
    save(figure, "failures")


def runaway(place: Path) -> None:
    """A string that dries out, and the hot room that takes it over the fold."""
    jars = jars_of(place, RUNAWAY, "temperature_c")
    room = table(place, "telemetry_env", ["ts", "temperature_c"], location=HOT)["temperature_c"]
    frame = modes_of(place, RUNAWAY)
    figure, axes = plt.subplots(2, 2, figsize=(11, 6))
    spans = (slice("2025-01-01", "2025-05-10"), slice("2025-05-03", "2025-05-08"))
    for col, span in enumerate(spans):
        step = 12 if col == 0 else 1
        axes[0, col].plot(jars.loc[span].index[::step], jars.loc[span][::step], color=MUTED, lw=0.4)
        axes[0, col].plot(room.loc[span].index[::step], room.loc[span][::step], color=ACCENT)
        amps = frame["current_a"].loc[span].where(frame["mode"].loc[span] != "discharge")[::step]
        axes[1, col].semilogy(amps.index, amps.where(amps > 0), color=WARM)
        axes[1, col].xaxis.set_major_formatter(mpl.dates.DateFormatter("%d %b"))
        axes[0, col].xaxis.set_major_formatter(mpl.dates.DateFormatter("%d %b"))
    axes[0, 0].set(ylabel="°C (room blue)", title=f"{RUNAWAY}: months")
    axes[0, 1].set(title="days")
    axes[1, 0].set(ylabel="float current, A")
    save(figure, "runaway")


def outages() -> None:
    """Outages of 30 years at nine locations by month, hour and length."""
    config = load()
    fleet = config.to_fleet()
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
    months: dict[str, Any] = defaultdict(lambda: np.zeros(12))
    hours: dict[str, Any] = defaultdict(lambda: np.zeros(24))
    minutes = []
    first, end = (
        day_number(pd.Timestamp("2001-01-01").date()),
        day_number(pd.Timestamp("2031-01-01").date()),
    )
    for site in fleet.sites:
        place = site.location

        def rain(a: int, b: int, place: Any = place) -> Any:
            return climate.rain_days(place, 42, a, b)

        for start, stop in events.location_outages(
            place, 42, first, end, fleet.utc_offset_s, rain, DEFAULT_SCENARIO
        ):
            local = pd.Timestamp(start + fleet.utc_offset_s, unit="s")
            months[place.region][local.month - 1] += 1
            hours[place.region][local.hour] += 1
            minutes.append((stop - start) / 60)
    counts = defaultdict(int)
    for site in fleet.sites:
        counts[site.location.region] += 30
    for region in months:
        axes[0].plot(range(1, 13), months[region] / counts[region], "o-", ms=3, label=region)
        axes[1].plot(range(24), hours[region] / counts[region], label=region)
    axes[0].set(xlabel="month", ylabel="outages a year and location", xticks=range(1, 13, 2))
    axes[0].legend(fontsize=7)
    axes[1].set(xlabel="local hour")
    axes[2].hist(minutes, bins=np.geomspace(0.08, 1500, 50).tolist(), color=ACCENT)
    axes[2].set(xlabel="minutes", xscale="log", ylabel="outages")
    save(figure, "outages")


def main() -> None:
    """Make the data, then draw."""
    FIGURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "year"
        year_of_data(place)
        for draw in (recharge, floating, cooling, health, failures, runaway):
            draw(place)
    discharge()
    outages()


if __name__ == "__main__":
    main()
