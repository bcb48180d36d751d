"""The obvious way, to compare with: a record for each jar and sample, pandas, CSV.gz.

`python -m benchmarks.baseline HOURS SEED DIRECTORY` makes one string of 24 jars every 5 s. It keeps
to what anybody would write first (a state per jar, dicts per sample, frames and files per hour, the
guide's tables) and is slow nowhere on purpose. Its physics is simpler than the package's: float
operation at constant load, without discharges, events or sensor drift.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

JARS = 24
STEP_S = 5
SAMPLES_PER_HOUR = 3600 // STEP_S
ROWS_PER_HOUR = JARS * SAMPLES_PER_HOUR
START = datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=7)))
STRING_ID = "DC-CNX-01-UPS-01-S1"
THERMAL_S = 28_800.0
DESIGN_LIFE_S = 10.0 * 365.25 * 86_400.0

Record = dict[str, Any]


@dataclass
class Jar:
    battery_id: str
    offset_v: float
    rise_k: float
    new_mohm: float
    temperature_c: float
    soh: float


@dataclass
class Room:
    temperature_c: float
    humidity_pct: float
    outdoor_c: float
    outdoor_pct: float


def make_jars(rng: np.random.Generator) -> list[Jar]:
    return [
        Jar(
            battery_id=f"{STRING_ID}-J{number:02d}",
            offset_v=rng.normal(0.0, 0.05),
            rise_k=rng.normal(2.0, 0.5),
            new_mohm=rng.normal(4.0, 0.15),
            temperature_c=27.0,
            soh=rng.normal(0.97, 0.01),
        )
        for number in range(1, JARS + 1)
    ]


def room_at(ts: datetime) -> Room:
    wave = math.cos(2.0 * math.pi * (ts.hour + ts.minute / 60.0 - 15.0) / 24.0)
    return Room(25.0 + 0.5 * wave, 48.0 - 3.0 * wave, 24.0 + 6.0 * wave, 70.0 - 15.0 * wave)


def room_record(rng: np.random.Generator, ts: datetime, room: Room) -> Record:
    return {
        "ts": ts,
        "sensor_id": "DC-CNX-01-ENV-01",
        "temperature_c": round(room.temperature_c + rng.normal(0.0, 0.1), 1),
        "humidity_pct": round(room.humidity_pct + rng.normal(0.0, 0.5), 1),
        "outdoor_temperature_c": round(room.outdoor_c + rng.normal(0.0, 0.1), 1),
        "outdoor_humidity_pct": round(room.outdoor_pct + rng.normal(0.0, 0.5), 1),
    }


def jar_records(
    rng: np.random.Generator, ts: datetime, jar: Jar, room: Room, current_a: float
) -> tuple[Record, Record]:
    """Measured and true values of one jar at one instant; its state moves on by a step."""
    target_c = room.temperature_c + jar.rise_k
    jar.temperature_c += (target_c - jar.temperature_c) * STEP_S / THERMAL_S
    ageing = 2.0 ** ((jar.temperature_c - 25.0) / 10.0)
    jar.soh -= 0.2 * ageing * STEP_S / DESIGN_LIFE_S
    growth = 1.0 + 1.5 * (1.0 - jar.soh)
    true_mohm = jar.new_mohm * growth * math.exp(-0.004 * (jar.temperature_c - 25.0))
    float_v = 12.84 + jar.offset_v + 6 * 0.06 * math.log10(current_a / (0.0003 * ageing))
    resistance_mohm = true_mohm * (1.0 + rng.normal(0.0, 0.01))
    raw = {
        "ts": ts,
        "battery_id": jar.battery_id,
        "voltage_v": round(float_v + current_a * true_mohm / 1000.0 + rng.normal(0.0, 0.002), 3),
        "temperature_c": round(jar.temperature_c + rng.normal(0.0, 0.1), 1),
        "resistance_mohm": round(resistance_mohm, 3),
        "conductance_s": round(1000.0 / resistance_mohm, 2),
    }
    calc = {
        "ts": ts,
        "battery_id": jar.battery_id,
        "soc_pct": 100.0,
        "soh_pct": round(100.0 * jar.soh, 3),
    }
    return raw, calc


def string_records(
    rng: np.random.Generator, ts: datetime, voltage_v: float, current_a: float
) -> tuple[Record, Record]:
    measured_a = current_a + rng.normal(0.0, 0.1)
    raw = {
        "ts": ts,
        "string_id": STRING_ID,
        "voltage_v": round(voltage_v + rng.normal(0.0, 0.02), 2),
        "current_a": round(measured_a, 2),
        "mode": "float",
        "ripple_voltage_rms_v": round(0.2 + rng.normal(0.0, 0.01), 3),
        "ripple_current_rms_a": round(2.0 + rng.normal(0.0, 0.1), 2),
        "equalize_flag": False,
        "generator_test_flag": False,
        "transfer_event_flag": False,
        "float_current_a": round(current_a + rng.normal(0.0, 0.002), 3),
    }
    calc = {
        "ts": ts,
        "string_id": STRING_ID,
        "power_w": round(voltage_v * measured_a),
        "thd_pct": round(5.0 + rng.normal(0.0, 0.3), 1),
    }
    return raw, calc


def hourly_features(
    jars: pd.DataFrame, strings: pd.DataFrame, calc: pd.DataFrame, room: pd.DataFrame
) -> pd.DataFrame:
    features = jars.groupby("battery_id").agg(
        v_mean=("voltage_v", "mean"),
        v_std=("voltage_v", "std"),
        v_min=("voltage_v", "min"),
        v_max=("voltage_v", "max"),
        t_mean=("temperature_c", "mean"),
        t_max=("temperature_c", "max"),
        r_internal_latest=("resistance_mohm", "last"),
    )
    features["v_balance_mean"] = features["v_mean"] - features["v_mean"].mean()
    features["t_delta_ambient_mean"] = features["t_mean"] - room["temperature_c"].mean()
    features["ripple_rms_mean"] = strings["ripple_current_rms_a"].mean()
    features["thd_mean"] = calc["thd_pct"].mean()
    return features


def generate(hours: int, seed: int, directory: Path) -> None:
    """Make all tables of one string, a file per table and hour."""
    rng = np.random.default_rng(seed)
    jars = make_jars(rng)
    for hour in range(hours):
        records: dict[str, list[Record]] = {
            name: [] for name in ("jar_raw", "jar_calc", "string_raw", "string_calc", "env")
        }
        for sample in range(SAMPLES_PER_HOUR):
            ts = START + timedelta(hours=hour, seconds=sample * STEP_S)
            room = room_at(ts)
            current_a = 0.04 * 2.0 ** ((room.temperature_c - 25.0) / 10.0)
            voltage_v = 0.0
            for jar in jars:
                raw, calc = jar_records(rng, ts, jar, room, current_a)
                voltage_v += raw["voltage_v"]
                records["jar_raw"].append(raw)
                records["jar_calc"].append(calc)
            raw, calc = string_records(rng, ts, voltage_v, current_a)
            records["string_raw"].append(raw)
            records["string_calc"].append(calc)
            records["env"].append(room_record(rng, ts, room))
        frames = {name: pd.DataFrame(rows) for name, rows in records.items()}
        for name, frame in frames.items():
            frame.to_csv(directory / f"telemetry_{name}-{hour}.csv.gz", index=False)
        features = hourly_features(
            frames["jar_raw"], frames["string_raw"], frames["string_calc"], frames["env"]
        )
        features.to_csv(directory / f"feature_store-{hour}.csv.gz")


if __name__ == "__main__":
    generate(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
