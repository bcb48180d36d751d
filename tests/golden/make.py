"""Write the golden values anew: `python -m tests.golden.make`; README.md says when to."""

import hashlib
import json
import tempfile
from pathlib import Path

from fleetgen import rng
from tests import tiny

PLACE = Path(__file__).parent
SEED = 345

DRAWS = [
    (42, rng.Stream.JAR_NOISE, "DC-CNX-01-UPS-01-S3-J07"),
    (42, rng.Stream.JAR_NOISE, "DC-CNX-01-UPS-01-S3-J08"),
    (43, rng.Stream.JAR_NOISE, "DC-CNX-01-UPS-01-S3-J07"),
    (42, rng.Stream.STRING_NOISE, "DC-CNX-01-UPS-01-S3"),
    (0, rng.Stream.OUTAGE, "DC-PKT-01"),
    (2**63 - 1, rng.Stream.RAIN, "DC-HDY-01"),
    (7, rng.Stream.STRING, "ไฟฟ้า-REC-01-S1"),
]
COUNTERS = [0, 1, 2, 2025, 20_089, 1_735_664_400, 1_735_664_405, 2**40, 2**63 - 1]
LANES = [0, 1, 255, 32_767, 32_768, 40_000, 65_534, 65_535]


def draws() -> list[dict[str, object]]:
    found = []
    for seed, stream, entity in DRAWS:
        k = rng.key(seed, stream, entity)
        ks = rng.keys(seed, stream, (entity,))
        found.append(
            {
                "seed": seed,
                "stream": stream.value,
                "entity": entity,
                "key": [f"{int(word):016x}" for word in k],
                "bits": [f"{int(rng.bits(k[0], k[1], c)):016x}" for c in COUNTERS],
                "uniform": [rng.uniform(k, c).hex() for c in COUNTERS],
                "normal": [rng.normal(k, c).hex() for c in COUNTERS],
                "fluctuation": [v.hex() for v in rng.fluctuation(k, 1_735_664_400, 300, 4, 3600.0)],
                "chain": [v.hex() for v in rng.chain(k, 20_089, 4, 3.476)],
                "wander": [v.hex() for v in rng.wander(ks, 20_089, 4, 30)[:, 0]],
            }
        )
    return found


def random_numbers() -> dict[str, object]:
    table = rng.normal_table()
    return {
        "counters": COUNTERS,
        "draws": draws(),
        "streams": {stream.name: stream.value for stream in rng.Stream},
        "table": {str(lane): float(table[lane]).hex() for lane in LANES},
        "table_sha256": hashlib.sha256(table.astype("<f4").tobytes()).hexdigest(),
    }


def digests() -> dict[str, dict[str, str]]:
    """Digests by table and "group day" of a run over a month's edge, its outages as drawn."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as directory:
        place = tiny.generate(
            Path(directory) / "set",
            tiny.TWO_SYSTEMS,
            run__start_date="2025-01-31",
            run__sampling_seconds=60,
            run__seed=SEED,
        )
        for receipt in tiny.receipts(place):
            for entry in receipt["files"]:
                of_table = found.setdefault(entry["table"], {})
                for day, digest in entry["digests"].items():
                    of_table[f"{entry['group']} {day}"] = digest
    return {table: dict(sorted(days.items())) for table, days in sorted(found.items())}


def text(values: object) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (PLACE / "rng.json").write_text(text(random_numbers()), encoding="utf-8")
    (PLACE / "digests.json").write_text(text(digests()), encoding="utf-8")
