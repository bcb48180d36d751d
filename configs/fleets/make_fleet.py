"""Write a fleet of any size: `python configs/fleets/make_fleet.py --locations 25 > my-fleet.toml`.

A location has ten systems of ten strings of 40 jars: 4,000 batteries. Climates go round eight
stations that come with fleetgen; names, dates and models follow from the number of the location.
`hundred-thousand.toml` beside this file is what 25 locations give.
"""

import argparse

STATIONS = {
    "chiang-mai": ("Chiang Mai", "northern", 18.79, 98.99),
    "khon-kaen": ("Khon Kaen", "northeastern", 16.43, 102.82),
    "nonthaburi": ("Nonthaburi", "central", 13.86, 100.53),
    "bangkok": ("Bangkok", "central", 13.72, 100.53),
    "si-racha": ("Si Racha", "eastern", 13.17, 100.93),
    "surat-thani": ("Surat Thani", "southern", 9.14, 99.33),
    "phuket": ("Phuket", "southern", 7.88, 98.39),
    "hat-yai": ("Hat Yai", "southern", 7.01, 100.47),
}
OUTAGES = {"northern": 4, "northeastern": 6, "central": 2, "eastern": 3, "southern": 8}
SYSTEMS, STRINGS, JARS = 10, 10, 40

HEAD = """\
# A fleet made by make_fleet.py: {batteries:,} batteries at {locations} locations that do not exist,
# under the climates of real ones. The keys are explained in fleetgen/fleets/thailand.toml.

"""
LOCATION = """\
[locations.DC-{number:03d}]
name = "Data Center {number}"
city = "{city}"
region = "{region}"
latitude = {latitude}
longitude = {longitude}
commissioned = {year}-{month:02d}-01
climate = "{climate}"
outages_per_year = {outages}.0
outage_median_min = 30.0
temperature_compensated = {compensated}
generator = {generator}

"""
SYSTEM = """\
[locations.DC-{number:03d}.systems.{kind}-{system:02d}]
kind = "{kind}"
jars_per_string = {jars}
strings = {{ {strings} }}

"""


def fleet(locations: int) -> str:
    """A description of a fleet of so many locations."""
    text = HEAD.format(batteries=locations * SYSTEMS * STRINGS * JARS, locations=locations)
    for number in range(1, locations + 1):
        climate = list(STATIONS)[number % len(STATIONS)]
        city, region, latitude, longitude = STATIONS[climate]
        text += LOCATION.format(
            number=number,
            city=city,
            region=region,
            latitude=latitude,
            longitude=longitude,
            year=2015 + number % 8,
            month=1 + number % 12,
            climate=climate,
            outages=OUTAGES[region],
            compensated=str(number % 3 > 0).lower(),
            generator=str(number % 2 > 0).lower(),
        )
        for system in range(1, SYSTEMS + 1):
            models = ["GPL12-100" if (n + system) % 4 == 0 else "HX12-120" for n in range(STRINGS)]
            strings = ", ".join(f'S{n} = "{model}"' for n, model in enumerate(models, 1))
            kind = "REC" if system % 5 == 0 else "UPS"
            text += SYSTEM.format(
                number=number, system=system, kind=kind, jars=JARS, strings=strings
            )
    return text.rstrip("\n") + "\n"


def main() -> None:
    """Print the fleet that is asked for."""
    arguments = argparse.ArgumentParser(description="Write a fleet of any size.")
    arguments.add_argument("--locations", type=int, default=25, help="of 4,000 batteries each")
    print(fleet(arguments.parse_args().locations), end="")


if __name__ == "__main__":
    main()
