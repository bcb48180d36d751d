"""Raw tables become sections: each fault of a single key is told, and what is right is kept."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from fleetgen.config.faults import ID_RULE, MISSING, Faults, Keys, show, usable
from fleetgen.config.sections import FleetSection, Table
from fleetgen.wording import nearest

_T = TypeVar("_T", bound=Table)


def parse(faults: Faults, cls: type[_T], keys: Keys, raw: object) -> _T | None:
    """Make a table of what is right in `raw`; None where a key that must be given is wrong."""
    data = _text_keys(faults, keys, raw)
    wrong: set[str] = set()
    if data is not None:
        for name, field in cls.model_fields.items():
            inner = _table_of(field)
            if inner is not None and name in data:
                data[name] = _parse_all(faults, inner, (*keys, name), data[name])
            alone = _table_class(field.annotation)
            if alone is not None and name in data:
                data[name] = parse(faults, alone, (*keys, name), data[name]) or alone()
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False):
                location = tuple(str(part) for part in fault["loc"])
                wrong.add(location[0])
                value = MISSING if fault["type"] == "missing" else fault["input"]
                faults.add((*keys, *location), value, _rule(cls, location[0], value))
    try:
        return cls.model_validate({k: v for k, v in (data or {}).items() if k not in wrong})
    except ValidationError:
        return None


def parse_list(faults: Faults, cls: type[_T], keys: Keys, raw: object) -> dict[str, _T]:
    """Make those tables of an array of tables that can be made, by their number in it."""
    if not isinstance(raw, list | tuple):
        faults.add(keys, raw, f"must be a list of tables, each headed [[{keys[-1]}]]")
        return {}
    return _parse_all(faults, cls, keys, {str(n): table for n, table in enumerate(raw)})


def _parse_all(faults: Faults, cls: type[_T], keys: Keys, raw: object) -> dict[str, _T]:
    """Make those of the named tables under `keys` that can be made."""
    tables = {}
    for name, value in (_text_keys(faults, keys, raw) or {}).items():
        if not usable(name):
            faults.add(keys, name, ID_RULE)
            continue
        table = parse(faults, cls, (*keys, name), value)
        if table is not None:
            tables[name] = table
    return tables


def _text_keys(faults: Faults, keys: Keys, raw: object) -> dict[str, Any] | None:
    if not isinstance(raw, Mapping):
        faults.add(keys, raw, "must be a table of keys")
        return None
    for key in raw:
        if not isinstance(key, str):
            faults.add(keys, key, "a key must be text; put it in quotes")
    return {key: value for key, value in raw.items() if isinstance(key, str)}


def _table_class(annotation: object) -> type[Table] | None:
    """Find the class of a single table of keys."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    return None


def _table_of(field: FieldInfo) -> type[Table] | None:
    """Find the class of the tables in a table of named tables."""
    inner = get_args(field.annotation)[-1:] if get_origin(field.annotation) is dict else ()
    return inner[0] if inner and issubclass(inner[0], Table) else None


def _choices(annotation: object) -> list[str]:
    """List the texts of a Literal, or of the one in a union."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _rule(cls: type[Table], name: str, value: object) -> str:
    """Say what is allowed at a key, and the way out."""
    field = cls.model_fields.get(name)
    if field is None:
        sources = ("catalogue", "file") if cls is FleetSection else ()
        return f"no such key; {nearest(name, [*cls.model_fields, *sources])}"
    choices = _choices(field.annotation)
    close = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    if close:
        return f"must be {field.description}; did you mean {close[0]}?"
    example = field.examples[0] if field.examples else None
    if example is None:
        return f"must be {field.description}"
    shown = example if isinstance(example, str) else show(example)
    return f"must be {field.description}; for example {shown}"
