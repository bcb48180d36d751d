"""`RunConfig`: a run, checked, and `load`, which makes it."""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetgen import spec
from fleetgen.config.catalogue import resolve_fleet
from fleetgen.config.checks import check, check_output
from fleetgen.config.faults import Faults
from fleetgen.config.fleet import selected_jars, to_sites, without_unused
from fleetgen.config.parse import parse, parse_list
from fleetgen.config.ranges import cautions
from fleetgen.config.scenario import to_scenario
from fleetgen.config.sections import (
    SECTIONS,
    ExecutionSection,
    FeaturesSection,
    FleetSection,
    InjectTable,
    OutputSection,
    RunSection,
    ScenarioSection,
    SelectSection,
    Table,
    to_alert_rules,
)
from fleetgen.config.sources import anchor_fleet_file, apply_flags, apply_overrides, read_file
from fleetgen.errors import ConfigError
from fleetgen.schema import DATA_VERSION, SCHEMA_VERSION
from fleetgen.units import SECONDS_PER_HOUR, iso_instant
from fleetgen.wording import nearest


class RunConfig(Table):
    """A run, checked; made by `load`."""

    run: RunSection
    output: OutputSection
    select: SelectSection
    execution: ExecutionSection
    features: FeaturesSection
    scenario: ScenarioSection
    alerts: Table
    fleet: FleetSection
    inject: tuple[InjectTable, ...] = ()

    def to_fleet(self) -> spec.Fleet:
        """Build the fleet with its full ids: sites in configuration order."""
        return spec.Fleet(to_sites(self.fleet), self.fleet.time_zone, self._utc_offset_s)

    def grid(self) -> spec.TimeGrid:
        """Build the sample clock."""
        return spec.TimeGrid(
            start=self.run.start_date,
            duration_s=self.run.duration_s,
            interval_s=self.run.sampling_seconds,
            utc_offset_s=self._utc_offset_s,
            time_zone=self.fleet.time_zone,
        )

    def to_scenario(self) -> spec.Scenario:
        """Build the scenario: profiles from the mildest to the worst, injections by their start."""
        return to_scenario(self.scenario, self.inject, self.grid().start_s, self._utc_offset_s)

    def to_alert_rules(self) -> tuple[spec.AlertRule, ...]:
        """Build the alert rules, in their order."""
        return to_alert_rules(self.alerts)

    def injections(self) -> list[dict[str, Any]]:
        """List what is forced on the fleet, by its start, as JSON has it."""
        return [
            {
                "kind": each.kind,
                "target": each.target,
                "at": iso_instant(each.start_s, self._utc_offset_s),
                "duration_seconds": each.duration_s,
                "value": each.value,
                "channel": each.channel,
            }
            for each in self.to_scenario().injections
        ]

    def cautions(self) -> tuple[str, ...]:
        """Say where a law of the model is stretched; a line for each place."""
        return tuple(cautions(self.fleet, self.inject, selected_jars(self.select, self.fleet)))

    def selected(self, fleet: spec.Fleet) -> dict[str, tuple[str, ...]]:
        """List the jars to be written by string, in configuration order."""
        jar_ids = {
            string.string_id: string.jar_ids
            for site in fleet.sites
            for system in site.systems
            for string in system.strings
        }
        return {
            string_id: jar_ids[string_id][:count]
            for string_id, count in selected_jars(self.select, self.fleet).items()
        }

    def identity(self) -> dict[str, Any]:
        """Gather all that changes values or layout, as JSON has it; equal plans have equal ones.

        The duration is not of it: a longer run adds to a shorter one (`plan.Plan.extents`). The
        selection stands there as what it comes to, so that two ways to say the same are equal.
        """
        selection = selected_jars(self.select, self.fleet)
        return {
            "run": {
                "start_date": self.run.start_date.isoformat(),
                "sampling_seconds": self.run.sampling_seconds,
                "seed": self.run.seed,
            },
            "output": {"format": self.output.format, "writer": self.output.writer},
            "execution": {"block_days": self.execution.block_days},
            "features": {"window_hours": self.features.window_hours},
            "select": {"batteries": sum(selection.values()), "strings": selection},
            "scenario": self.scenario.model_dump(mode="json") | {"injections": self.injections()},
            "alerts": self.alerts.model_dump(mode="json"),
            "fleet": self.fleet.model_dump(mode="json"),
            "version": {"data": DATA_VERSION, "schema": SCHEMA_VERSION},
        }

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of `identity`, in hexadecimal."""
        return identity_digest(self.identity())

    @property
    def _utc_offset_s(self) -> int:
        return round(self.fleet.utc_offset_hours * SECONDS_PER_HOUR)


def load(
    file: Path | str | None = None,
    overrides: Mapping[str, object] | Sequence[str] = (),
    flags: Mapping[str, object] = types.MappingProxyType({}),
) -> RunConfig:
    """Read and check the configuration of a run: defaults < file < `overrides` and `flags`.

    Parameters
    ----------
    file
        TOML, or YAML by the suffix .yaml or .yml.
    overrides
        `--set` as texts `section.key=value` (the value as TOML has it, or bare text), or a mapping
        from dotted path to value.
    flags
        From a name in `FLAGS` (or its attribute form, `duration_days`) to the value, as text or
        typed; None stands for a flag that was not given.

    Raises
    ------
    ConfigError
        With one line for each fault: where, the value, what is allowed, the way out.
    """
    faults, raw = gathered(file, overrides, flags)
    top = (*SECTIONS, "inject")
    for name in [name for name in raw if name not in top]:  # not text, perhaps, in YAML
        homes = [f"{s}.{name}" for s, table in SECTIONS.items() if name in table.model_fields]
        hint = f"did you mean {homes[0]}?" if homes else nearest(name, top)
        faults.add((str(name),), raw[name], f"no such section; {hint}")
    raw["fleet"] = resolve_fleet(faults, raw.get("fleet", {"catalogue": "thailand"}))
    return checked(faults, raw)


def gathered(
    file: Path | str | None = None,
    overrides: Mapping[str, object] | Sequence[str] = (),
    flags: Mapping[str, object] = types.MappingProxyType({}),
) -> tuple[Faults, dict[str, object]]:
    """Lay a file, `overrides` and `flags` over one another, as `load` does, and check nothing."""
    faults = Faults()
    raw: dict[str, object] = {}
    if file is not None:
        raw = read_file(faults, ("--config",), Path(file))
        anchor_fleet_file(raw, Path(file).parent)
    apply_flags(faults, raw, flags)
    apply_overrides(faults, raw, overrides)
    return faults, raw


def checked(faults: Faults, raw: Mapping[str, object]) -> RunConfig:
    """Make the configuration of raw sections, or raise all faults at once."""
    sections = {
        name: parse(faults, table, (name,), raw.get(name, {})) or table()
        for name, table in SECTIONS.items()
    }
    inject = parse_list(faults, InjectTable, ("inject",), raw.get("inject", []))
    found = RunConfig.model_validate(sections | {"inject": tuple(inject.values())})
    check_output(faults, found.output)
    check(
        faults,
        found.run,
        found.output,
        found.select,
        found.execution,
        found.scenario,
        found.alerts,
        inject,
        found.fleet,
    )
    if faults.lines:
        raise ConfigError("\n".join(dict.fromkeys(faults.lines)))
    return found.model_copy(update={"fleet": without_unused(found.fleet)})


def identity_digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an identity, in hexadecimal."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def output_at(url: str, storage_options: Sequence[str] = ()) -> OutputSection:
    """Check a place and its storage options, texts `name=value`, as `load` does those of a run."""
    flags = {"output_dir": url, "storage_option": list(storage_options) or None}
    return load(flags=flags).output
