"""Promise 4: what is sampled at an instant does not depend on the sampling interval."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fleetgen.schema import TABLES
from tests.conftest import Make
from tests.properties.plan import SAMPLED, Changes, DataSet, differing, position

OUTAGE: Changes = {
    "run.start_date": "2024-02-28",
    "run.duration_days": 3,
    "select.strings": "NORTH-REC-01-S1,NORTH-UPS-01-S2",
    "execution.block_days": None,
}
"""The days around failed cooling, the capacity test of a string without a float current channel,
and the outage, which a string with one sees, too.
"""


def at(made: DataSet, name: str, every_s: int) -> pa.Table:
    """Rows of a table at instants that are a multiple of `every_s` after the start."""
    table = made.read(name)
    ms = pc.cast(table[TABLES[name].key[0]], pa.int64()).to_numpy()
    return table.filter(pa.array((ms - ms.min()) % (1000 * every_s) == 0))


@pytest.fixture(scope="module")
def fine(make: Make) -> DataSet:
    return make({**OUTAGE, "run.sampling_seconds": 5})


@pytest.mark.slow
@pytest.mark.parametrize(("interval", "common"), [(60, 60), (7, 35), (1800, 1800), (3607, 18_035)])
@pytest.mark.parametrize("name", SAMPLED)
def test_common_instants_have_common_values(
    make: Make, fine: DataSet, name: str, interval: int, common: int
) -> None:
    other = make({**OUTAGE, "run.sampling_seconds": interval})
    expected, found = at(fine, name, common), at(other, name, common)
    entities = len(pc.unique(expected[TABLES[name].key[1]]))
    assert expected.num_rows == entities * -(-3 * 86_400 // common)
    for column in expected.column_names:
        assert found[column].equals(expected[column]), column


@pytest.mark.slow
def test_the_instants_compared_hold_the_outage_and_the_test(fine: DataSet) -> None:
    rows = at(fine, "telemetry_string_raw", 60)
    modes = np.array(rows["mode"].to_pylist())
    tested = np.array(rows["string_id"].to_pylist()) == "NORTH-UPS-01-S2"
    assert np.count_nonzero((modes == "discharge") & ~tested) > 100
    assert np.count_nonzero((modes == "discharge") & tested) > 180
    assert np.count_nonzero(modes == "boost") > 100
    assert {True, False} == {
        *at(fine, "telemetry_string_raw", 5)["transfer_event_flag"].to_pylist()
    }


@pytest.mark.slow
def test_the_state_at_the_end_does_not_depend_on_sampling(make: Make, fine: DataSet) -> None:
    assert make({**OUTAGE, "run.sampling_seconds": 1800}).states == fine.states


@pytest.mark.parametrize("interval", [86_400, 100_000])
def test_a_sample_a_day_and_fewer(make: Make, whole: DataSet, interval: int) -> None:
    """There are days, and blocks of a day, without any sample."""
    rare = make({"run.sampling_seconds": interval})
    common = math.lcm(interval, 300)
    for name in SAMPLED:
        expected, found = at(whole, name, common), at(rare, name, common)
        entities = len({position(e) for e in expected[TABLES[name].key[1]].to_pylist()})
        assert rare.read(name).num_rows == entities * -(-6 * 86_400 // interval), name
        assert found.equals(expected), name
    of_samples = (*SAMPLED, "feature_store", "alert_condition")
    of_days = {k for k in whole.digests if k[0] not in of_samples}
    assert {k[0] for k in of_days} == {"rul_truth", "capacity_test_raw", "capacity_test_calc"}
    assert differing(rare.digests, whole.digests, of_days) == []
    events = "maintenance_event.csv"
    assert (rare.path / events).read_bytes() == (whole.path / events).read_bytes()
