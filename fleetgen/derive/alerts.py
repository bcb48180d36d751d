"""Alerts from the conditions of a string or a room: hysteresis, persistence, one open at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetgen.derive.conditions import (
    CLEAR,
    CRITICAL,
    PER_UNIT,
    UNKNOWN,
    WARNING,
    Condition,
    end_s,
    needed_s,
)
from fleetgen.spec import AlertRule, TimeGrid
from fleetgen.units import iso_instant

Alert = dict[str, Any]
"""A row of `schema.ALERT` by column: instants in ms, value and threshold in the rule's unit."""

OPEN, RESOLVED = "open", "resolved"


@dataclass(frozen=True)
class Place:
    """Where the assets are: of a room `sensor_id`, of a string the other two, its jars' ids begin
    with its own.
    """  # noqa: D205

    location_id: str
    system_id: str | None = None
    string_id: str | None = None
    sensor_id: str | None = None


@dataclass
class _Streak:
    """Readings beyond a level one after the other; it goes on with a reading at `next_s`."""

    start_s: int
    next_s: int
    fulfilled_s: int | None = None


@dataclass
class _Episode:
    """What is known of an asset by a rule: its streaks by level, and its open alert."""

    streaks: dict[str, _Streak] = field(default_factory=dict)
    extreme: int | None = None
    triggered_s: int | None = None
    escalated_s: int | None = None


def alerts(
    place: Place, rules: Mapping[str, AlertRule], grid: TimeGrid, rows: Iterable[Condition]
) -> list[Alert]:
    """Alerts of a string, or of a room, by the instant of their trigger.

    Parameters
    ----------
    place
        Where the assets are.
    rules
        By name, with all their levels (`conditions.rules_of`).
    grid
        The run's clock: what has not come back by its end stays open.
    rows
        All rows of `alert_condition` of the string or room, in any order.

    Returns
    -------
    list of Alert
        An alert is triggered by the first reading that makes a streak beyond the warning level as
        long as the rule's persistence, escalated by the one that does so for the critical level,
        and resolved by the first that is not beyond the clear level. Whatever is unknown in
        between leaves all as it is. A mean is known at the end of its window.
    """
    by_asset: dict[tuple[str, str], list[Condition]] = defaultdict(list)
    unknown: dict[tuple[str, str, int], int] = {}
    for row in rows:
        if row.level == UNKNOWN:
            unknown[row.asset_id, row.rule, row.start_s] = row.end_s
        else:
            by_asset[row.asset_id, row.rule].append(row)
    found: list[Alert] = []
    for (asset, name), mine in by_asset.items():
        rule = rules[name]
        over_s = end_s(grid, rule)

        walk = _Walk(place, rule, grid, asset, over_s, found)
        for row in sorted(mine, key=lambda row: (row.start_s, _RANK[row.level])):
            next_s = row.end_s
            while next_s < over_s:  # a day may begin with nothing known of the jar, or of any
                own = unknown.get((asset, name, next_s))
                later = unknown.get((place.string_id or "", name, next_s)) if own is None else own
                if later is None:
                    break
                next_s = later
            walk.take(row, next_s)
        walk.close()
    return sorted(found, key=lambda a: (a["triggered_at"], a["alert_id"]))


_RANK = {CLEAR: 0, WARNING: 1, CRITICAL: 2}


@dataclass
class _Walk:
    place: Place
    rule: AlertRule
    grid: TimeGrid
    asset: str
    over_s: int
    found: list[Alert]
    state: _Episode = field(default_factory=_Episode)

    def take(self, row: Condition, next_s: int) -> None:
        """Go on by a row; rows come by their start, and from the lowest level up."""
        sign = -1 if self.rule.below else 1
        streak = self.state.streaks.get(row.level)
        if streak is None or streak.next_s != row.start_s:
            if row.level == CLEAR:
                self.close()
            streak = self.state.streaks[row.level] = _Streak(row.start_s, next_s)
        streak.next_s = next_s
        if row.level == CLEAR:
            worst = sign * row.extreme
            known = self.state.extreme
            self.state.extreme = worst if known is None else max(worst, known)
            return
        if streak.fulfilled_s is None:
            step_s = self.rule.window_s or self.grid.interval_s
            due_s = max(row.start_s, streak.start_s + needed_s(self.rule))
            due_s = row.start_s - (row.start_s - due_s) // step_s * step_s
            if due_s > row.start_s + (row.readings - 1) * step_s:
                return
            streak.fulfilled_s = due_s
            known_s = due_s + self.rule.window_s
            if row.level == WARNING:
                if self.state.triggered_s is None:
                    self.state.triggered_s = known_s
            elif self.state.escalated_s is None:
                self.state.escalated_s = known_s

    def close(self) -> None:
        """End the streak beyond the clear level, and the alert that is open in it."""
        state, self.state = self.state, _Episode()
        if state.triggered_s is None or state.extreme is None:
            return
        next_s = state.streaks[CLEAR].next_s
        resolved_s = next_s + self.rule.window_s if next_s < self.over_s else None
        self.found.append(self._alert(state, state.triggered_s, resolved_s))

    def _alert(self, state: _Episode, triggered_s: int, resolved_s: int | None) -> Alert:
        rule, place = self.rule, self.place
        critical = state.escalated_s is not None
        threshold = rule.critical if critical else rule.warning
        at_once = state.escalated_s is None or state.escalated_s <= triggered_s
        sign = -1 if rule.below else 1
        value = sign * (state.extreme or 0) / PER_UNIT
        trigger = iso_instant(triggered_s, self.grid.utc_offset_s)
        of_jar = self.asset not in (place.string_id, place.sensor_id)
        side = "below" if rule.below else "above"
        level = CRITICAL if critical else WARNING
        return {
            "alert_id": f"{self.asset}/{rule.name}/{trigger}",
            "location_id": place.location_id,
            "system_id": place.system_id,
            "string_id": place.string_id,
            "battery_id": self.asset if of_jar else None,
            "sensor_id": place.sensor_id,
            "alert_type": rule.name,
            "severity": level,
            "triggered_at": 1000 * triggered_s,
            "escalated_at": None if at_once else 1000 * (state.escalated_s or 0),
            "resolved_at": None if resolved_s is None else 1000 * resolved_s,
            "status": OPEN if resolved_s is None else RESOLVED,
            "message": f"{self.asset}: {rule.quantity} {_text(rule, value)}, {side} the {level} "
            f"level of {_text(rule, threshold or 0.0)}",
            "value": value,
            "threshold": threshold,
        }


def _text(rule: AlertRule, value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + f" {rule.unit}"
