"""Derive alerts and predictions of a data set from its files again, as JSON of CSV rows.

`python conclusions.py KEYS` with the keys of a configuration as JSON. Nothing can be simulated
here, and what acceptance tests read comes from `battery.csv`.
"""

import csv
import json
import sys
from pathlib import Path

from fleetgen import fleet, history, simulate, system, task, truth
from fleetgen.config import load
from fleetgen.io import csv as text
from fleetgen.io.store import open_store
from fleetgen.plan import make_plan
from fleetgen.rows import row_groups
from fleetgen.schema import ALERT, RUL_PREDICTION


def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("the simulation was asked")


def main() -> None:
    config = load(overrides=json.loads(sys.argv[1]))
    store = open_store(config.output.directory)
    with (Path(config.output.directory) / "battery.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def battery_rows(*arguments: object) -> list[dict[str, object]]:
        _, owner, number, *_ = arguments
        string_id = owner.strings[number].string_id
        return [
            {**row, "installed_date": fleet.date.fromisoformat(row["installed_date"])}
            for row in rows
            if row["string_id"] == string_id
        ]

    fleet.battery_rows = battery_rows
    for module, names in (
        (history, ("system_model", "string_troubles", "room_troubles")),
        (task, ("slow_path_of",)),
        (simulate, ("slow_path", "replay")),
        (system, ("system_model",)),
        (truth, ("final_states", "units")),
    ):
        for name in names:
            assert hasattr(module, name), name
            setattr(module, name, forbidden)
    plan = make_plan(config, store.url)
    offset_s = plan.run.grid.utc_offset_s
    found = {ALERT.name: [], RUL_PREDICTION.name: []}
    for job in plan.histories:
        raised, predicted = history.conclusions(job, store)
        for table, groups in ((ALERT, row_groups(ALERT, raised)), (RUL_PREDICTION, predicted)):
            data = text.csv_bytes(table, groups, offset_s, header=False)
            found[table.name].append(data.decode())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
