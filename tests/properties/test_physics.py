"""Promise 7, as far as files show it: a string is its jars, health only falls.

Bounds follow from the sensors' specification in `params`, six standard deviations wide.
"""

import math
from itertools import groupby

import numpy as np
import pytest

from fleetgen.model import params
from tests.conftest import Make
from tests.properties.plan import DataSet

STRINGS = {
    "NORTH-REC-01-S1": 24,
    "NORTH-REC-01-S2": 24,
    "NORTH-UPS-01-S1": 6,
    "NORTH-UPS-01-S2": 6,  # its capacity is tested
    "NORTH-UPS-01-S3": 6,
    "SOUTH-UPS-01-S1": 8,
}
JAR_ROUNDING_V = 0.001 / math.sqrt(12)
STRING_ROUNDING_V = 0.01 / math.sqrt(12)


def voltages(made: DataSet, string: str) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the jars' voltages and the string's, (instant,)."""
    jars = [f"{string}-J{n:02d}" for n in range(1, STRINGS[string] + 1)]
    total = made.values("telemetry_jar_raw", "voltage_v", jars).sum(axis=0)
    return total, made.values("telemetry_string_raw", "voltage_v", [string])[0]


def noise_v(jars: int) -> float:
    """Deviation of the difference between both at an instant, without that of the gains."""
    jar = math.hypot(params.JAR_VOLTAGE_NOISE.value, JAR_ROUNDING_V)
    string = math.hypot(params.STRING_VOLTAGE_NOISE.value, STRING_ROUNDING_V)
    return math.hypot(math.sqrt(jars) * jar, string)


@pytest.mark.parametrize("string", STRINGS)
def test_jar_voltages_add_up_to_the_string_voltage(clean: DataSet, string: str) -> None:
    total, measured = voltages(clean, string)
    jars = STRINGS[string]
    gains = math.hypot(
        params.STRING_VOLTAGE_GAIN.value, params.JAR_VOLTAGE_GAIN.value / math.sqrt(jars)
    )
    bound = 6 * math.hypot(gains * float(measured.max()), noise_v(jars))
    assert bound < 6.0  # less than half a jar
    assert np.abs(total - measured).max() < bound


@pytest.mark.parametrize("string", STRINGS)
def test_both_move_together(clean: DataSet, string: str) -> None:
    """Gains are constant: what is left is noise, over float, discharge and recharge alike."""
    total, measured = voltages(clean, string)
    jars = STRINGS[string]
    gain = float((total @ measured) / (measured @ measured))
    left = total - gain * measured
    # Jars of unlike gain leave the mean gain when they leave their mean voltage, by at most 10 %.
    uneven = 6 * params.JAR_VOLTAGE_GAIN.value * math.sqrt(jars) * 0.1 * 13.6
    assert np.abs(left).max() < 6 * noise_v(jars) + uneven
    assert np.std(left) < 1.5 * noise_v(jars) + uneven / 6


def test_voltages_move_far(clean: DataSet) -> None:
    """Else the tests above would show little."""
    _, measured = voltages(clean, "NORTH-REC-01-S1")
    assert measured.min() < 0.9 * measured.max()


def test_health_never_rises_within_a_unit(clean: DataSet) -> None:
    soh_pct = clean.values("telemetry_jar_calc", "soh_pct")
    rows = clean.read("telemetry_jar_calc")
    units = np.array(rows["battery_id"].to_pylist()).reshape(soh_pct.shape)
    same = units[:, 1:] == units[:, :-1]
    assert (np.diff(soh_pct, axis=1)[same] <= 1e-6).all()
    assert (np.diff(soh_pct, axis=1)[~same] > 1.0).all()
    assert np.count_nonzero(~same) == 1
    whole = same.all(axis=1)
    assert (soh_pct[whole, 0] > soh_pct[whole, -1]).all()
    assert {round(float(v), 3) for v in soh_pct[:, -1]} <= {
        round(state["soh_pct"] + d / 1000, 3) for state in clean.states.values() for d in range(9)
    }


@pytest.mark.parametrize(
    ("string", "rated_ah", "start"),
    [("NORTH-REC-01-S1", 120.0, "2024-02-29"), ("NORTH-UPS-01-S2", 100.0, "2024-02-28")],
)
def test_charge_drawn_is_charge_missing(
    make: Make, string: str, rated_ah: float, start: str
) -> None:
    """In the long outage, and in the capacity test: the integral of the Hall current against the
    truth of every jar.
    """
    made = make(
        {
            "run.start_date": start,
            "run.duration_days": 2,
            "run.sampling_seconds": 10,
            "select.strings": string,
            "execution.block_days": None,
        }
    )
    rows = made.read("telemetry_string_raw", [string])
    runs = [(mode, len(list(run))) for mode, run in groupby(rows["mode"].to_pylist())]
    longest = max(range(len(runs)), key=lambda n: (runs[n][0] == "discharge") * runs[n][1])
    first = sum(length for _, length in runs[:longest])
    last = first + runs[longest][1] - 1
    assert last - first > 500
    current_a = rows["current_a"].to_numpy()[first : last + 1].astype(np.float64)
    drawn_ah = -np.trapezoid(current_a, dx=10) / 3600
    soc = made.values("telemetry_jar_calc", "soc_pct")[:, [first, last]] / 100
    soh = made.values("telemetry_jar_calc", "soh_pct")[:, [first, last]] / 100
    missing_ah = (soc[:, 0] * soh[:, 0] - soc[:, 1] * soh[:, 1]) * rated_ah
    hours = (last - first) * 10 / 3600
    offset_ah = 6 * (params.HALL_OFFSET.value + params.HALL_WANDER.value) * hours
    bound = 6 * params.HALL_GAIN.value * drawn_ah + offset_ah
    assert drawn_ah > 10
    assert np.abs(missing_ah - drawn_ah).max() < bound + 0.02
    # One current through all jars of a string: they miss the same charge.
    assert np.ptp(missing_ah) < 0.05
