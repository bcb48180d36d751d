"""What is impossible stops a run with the jar, the instant, the value and the limit."""

from dataclasses import replace

import numpy as np
import pytest

from fleetgen import limits, sample, simulate, system
from fleetgen.errors import SimulationError
from fleetgen.model import electrical, stepper
from fleetgen.schema import ENV, JAR_RAW, STRING_RAW
from fleetgen.spec import NULL, Block, Constant, Instants, Runs, Scenario
from tests import tiny

START_S = 1_735_664_400  # 2025-01-01T00:00+07:00
STRING = "DC-T-01-REC-01-S1"


@pytest.fixture
def model() -> system.SystemModel:
    config = tiny.config()
    site, grid = config.to_fleet().sites[0], config.grid()
    scenario = Scenario(hazard_scale=0.0)
    return system.system_model(1, site.location, site.systems[0], grid, scenario)


def with_unit(model: system.SystemModel, **changes: np.ndarray) -> system.SystemModel:
    (unit,) = model.populations
    return replace(model, crews=(replace(model.crews[0], units=replace(unit, **changes)),))


def stops(model: system.SystemModel, *parts: str) -> str:
    with pytest.raises(SimulationError) as caught:
        simulate.slow_path(model)
    text = str(caught.value)
    for part in (*parts, "2025-01-0", "+07:00", f"--strings {STRING} "):
        assert part in text
    assert caught.value.exit_code == 4
    return text


def test_a_possible_system_does_not_stop(model: system.SystemModel) -> None:
    assert simulate.slow_path(model).covers(model.grid.end_day)


# --- the walk -------------------------------------------------------------------------------------


def test_a_hot_jar(model: system.SystemModel) -> None:
    rise_k = np.array([[0.0, 90.0, 0.0]])
    hot = replace(model, constants=model.constants._replace(cabinet_rise_k=rise_k))
    text = stops(hot, f"{STRING}-J02: temperature_c is 80.", "from -20 to 80 degC")
    assert "T00:00:00" not in text  # it takes its time: C = 30 kg x 0.8 kJ/(kg K)


def test_a_voltage_out_of_range(model: system.SystemModel) -> None:
    """Jar 3 takes e^-100 of the others' current, so by Tafel it sits 100/11 V/cell higher."""
    ln_i0 = model.populations[0].ln_i0 - np.array([0.0, 0.0, 100.0])
    text = stops(with_unit(model, ln_i0=ln_i0), "voltage_v is -", "from 0 to 20 V")
    assert text.startswith(f"{STRING}-J01")
    assert "2025-01-01T00:00:00" in text


def test_what_is_not_a_number(model: system.SystemModel) -> None:
    ln_i0 = np.full(3, np.nan)
    stops(with_unit(model, ln_i0=ln_i0), f"{STRING}-J01: temperature_c is nan degC")


def test_a_float_current_over_the_chargers_limit(model: system.SystemModel) -> None:
    """At I0 = 0.6 A/Ah and 2.27 V/cell some 70 A; the charger ends at 0.1 C10 = 12 A."""
    cooled = np.full(3, 1e-6)  # else the jars would boil first
    stops(
        with_unit(model, ln_i0=np.full(3, -0.5), thermal_k_per_w=cooled),
        f"{STRING}-J01: current_a of its string is ",
        "from 0 to 12 A (the charger's limit)",
    )


def changed_at_start(monkeypatch: pytest.MonkeyPatch, removed_ah: float, full: float = 1.0) -> None:
    initial = simulate.initial_states

    def states(*args: object) -> np.ndarray:
        made = initial(*args)  # type: ignore[arg-type]
        made[0, 3 + 1] = removed_ah
        made[0, 9 + stepper.FULL] = full
        return made

    monkeypatch.setattr(simulate, "initial_states", states)


def test_more_charge_than_full(model: system.SystemModel, monkeypatch: pytest.MonkeyPatch) -> None:
    changed_at_start(monkeypatch, -1.0)
    stops(model, f"{STRING}-J02: removed charge is -1 Ah at 2025-01-01T00:00:00", "from 0 to ")


def test_more_drawn_than_there_is(
    model: system.SystemModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a capacity test; the family gives 2.009 C10 at the lowest rate."""
    changed_at_start(monkeypatch, 300.0)
    at_s = np.array([START_S])
    tested = replace(
        model.timeline, test_string=np.array([0]), test_start_s=at_s, test_end_s=at_s + 3600
    )
    text = stops(replace(model, timeline=tested), f"{STRING}-J02: removed charge is 300", "Ah")
    assert "2025-01-01T00:00:00" in text
    highest = float(text.partition("from 0 to ")[2].split()[0])
    assert 1.428 * 100 < highest < 2.2 * 120


def test_an_exhausted_jar_is_possible() -> None:
    """It falls to 0 V, far below the cut-off, and is not reversed."""
    out = np.empty(1)
    family = np.array([2.009, 0.196, 0.446, 5.91, 0.038])
    one = np.ones(1)
    args = (30.0, 30.0, 0.0, 0.0, 6 * one, 100.0, family)
    assert electrical.discharge_voltages(*args, 500 * one, one, one, 25 * one, out) == 0.0


# --- slow quantities ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"soh_new": np.array([1.0, 1.0, 1.6])}, ("-J03: SOH is 1.", "from 0.02 to 1.2 C10")),
        ({"new_mohm": np.array([3.0, -3.0, 3.0])}, ("-J02: resistance is -", "to 1000 mOhm")),
        ({"new_mohm": np.array([np.nan, 3.0, 3.0])}, ("-J01: resistance is nan mOhm",)),
    ],
)
def test_health_and_resistance(
    model: system.SystemModel, changes: dict[str, np.ndarray], parts: tuple[str, ...]
) -> None:
    stops(with_unit(model, **changes), *parts)


# --- instruments ----------------------------------------------------------------------------------

STAMP = Instants(1000 * START_S, 300_000, 4)


@pytest.mark.parametrize(
    ("table", "column", "counts", "words"),
    [
        (JAR_RAW, "voltage_v", [13_620, 20_000, 20_001, 13_620], "voltage_v reads 20.001 V at"),
        (JAR_RAW, "voltage_v", [0, 13_620, -1, 13_620], "voltage_v reads -0.001 V at"),
        (JAR_RAW, "temperature_c", [1200, -200, 1201, 0], "temperature_c reads 120.1 degC at"),
        (STRING_RAW, "current_a", [0, 500_000, -500_001, 0], "current_a reads -5000.01 A at"),
        (ENV, "temperature_c", [700, sample._NULL32, 701, 0], "temperature_c reads 70.1 degC at"),
    ],
)
def test_readings_beyond_their_range(table, column, counts, words) -> None:
    def coded(n: int) -> None:
        tally = sample.Tally(Block(0, 1), 7 * 3600)
        seen = np.array(counts[:n], np.int32)
        tally.coded(table, column, seen, Constant("X-S1-J02", n), STAMP)

    coded(2)
    with pytest.raises(SimulationError, match="X-S1-J02") as caught:
        coded(4)
    low, high = table.column(column).valid
    assert f"{words} 2025-01-01T00:10:00+07:00" in str(caught.value)
    assert f"{table.name}.{column} shows {low:g} to {high:g}" in str(caught.value)


def test_a_resistance_beyond_its_range() -> None:
    def check(highest: int) -> None:
        runs = Runs(np.array([1, 1, 2]), np.array([3000, NULL, highest]))
        limits.check_runs(JAR_RAW, "resistance_mohm", runs, "X-S1-J02", STAMP, 7 * 3600)

    check(1_000_000)
    with pytest.raises(SimulationError, match=r"J02: resistance_mohm reads 1000.01 mOhm") as caught:
        check(1_000_010)
    assert "2025-01-01T00:10:00+07:00" in str(caught.value)


def test_weather_beyond_the_sensors_range_stops_a_run(tmp_path) -> None:
    """A legal climate, of which the user is cautioned; nothing passes for whole."""
    cold = {
        "minimum_c": [-20.0] * 12,
        "mean_c": [-17.0] * 12,
        "maximum_c": [-14.0] * 12,
        "humidity_pct": [50.0] * 12,
        "rainy_days": [1.0] * 12,
    }
    changes = {"place": {"climate": "cold"}, "climates": {"cold": cold}}
    (caution, *_) = tiny.config(**changes).cautions()
    assert "beyond it the run stops" in caution
    with pytest.raises(SimulationError) as caught:
        tiny.generate(tmp_path / "set", **changes)
    assert "DC-T-01-ENV-01: outdoor_temperature_c reads -2" in str(caught.value)
    assert "shows -20 to 60 degC" in str(caught.value)
    assert "--locations DC-T-01 " in str(caught.value)
    assert not (tmp_path / "set" / "_SUCCESS").exists()
