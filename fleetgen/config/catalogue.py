"""The description of a fleet: the package's, a file's or the configuration's own, as one shape."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fleetgen.config.faults import Faults, usable
from fleetgen.config.sources import read_file
from fleetgen.wording import nearest


@cache
def _catalogue(name: str) -> dict[str, Any]:
    """Read a fleet that comes with the package; the caller must not change it."""
    text = resources.files("fleetgen").joinpath("fleets", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def _catalogues() -> list[str]:
    files = resources.files("fleetgen").joinpath("fleets").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def resolve_fleet(faults: Faults, raw: object) -> object:
    """Find the description that `raw` names or is, with all climates under `climates`."""
    if not isinstance(raw, Mapping):
        return raw
    inline = dict(raw)
    catalogue, file = inline.pop("catalogue", None), inline.pop("file", None)
    given = [k for k in ("catalogue", "file") if raw.get(k) is not None] + list(inline)[:1]
    if len(given) > 1:
        rule = "catalogue, file and a description of its own exclude each other; keep one"
        faults.add(("fleet",), given, rule)
        return {}
    if file is not None:
        if not isinstance(file, str):
            faults.add(("fleet", "file"), file, "must be the path of a file as text")
            return {}
        inline = dict(read_file(faults, ("fleet", "file"), Path(file)))
        faults.labels[("fleet",)] = f"{file}:"
    elif not inline:
        catalogue = "thailand" if catalogue is None else catalogue
        if catalogue not in _catalogues():
            rule = f"no such catalogue; {nearest(catalogue, _catalogues())}"
            faults.add(("fleet", "catalogue"), catalogue, rule)
            return {}
        inline = dict(_catalogue(catalogue))
    for part in ("models", "climates"):
        own = inline.get(part, {})
        if isinstance(own, Mapping):
            inline[part] = {**_catalogue("thailand")[part], **own}
    return _lift_climates(faults, inline)


def _lift_climates(faults: Faults, fleet: dict[str, Any]) -> dict[str, Any]:
    """Move tables that stand in a location to `climates`, named as the location."""
    locations, climates = fleet.get("locations"), fleet.get("climates")
    if not isinstance(locations, Mapping) or not isinstance(climates, dict):
        return fleet
    lifted = dict(locations)
    for name, location in locations.items():
        table = location.get("climate") if isinstance(location, Mapping) else None
        if not isinstance(table, Mapping) or not isinstance(name, str):
            continue
        keys = ("fleet", "locations", name, "climate")
        if name in climates:
            faults.add(keys, name, "is the name of a climate station, too; rename the station")
        elif usable(name):
            faults.labels[("fleet", "climates", name)] = faults.where(keys)
            climates[name] = table
        lifted[name] = {**location, "climate": name}
    return {**fleet, "locations": lifted}
