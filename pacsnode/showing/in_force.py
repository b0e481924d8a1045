"""Settings as they are in force, key by key, with what may not be shown hidden."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

from pacsnode.settings import Settings

HIDDEN: Final = "set, not shown"
NOT_SET: Final = "not set"
# the names of variables and files that hold a secret are none
_SECRET: Final = re.compile(r"secret|password|hash|token|salt")
_POINTS_TO_IT: Final = re.compile(r"_(env|file)$|_s$|_minutes$|_hours$")


@dataclass(frozen=True, slots=True)
class SettingShown:
    """A key as a settings file has it, dotted, with the number of a table in brackets."""

    key: str
    value: str
    is_default: bool
    description: str


@dataclass(frozen=True, slots=True)
class SectionShown:
    """A table of the settings file."""

    name: str
    description: str
    settings: tuple[SettingShown, ...]


def settings_shown(settings: Settings) -> tuple[SectionShown, ...]:
    """Every section, those keys that stand alone first."""
    alone: list[SettingShown] = []
    sections: list[SectionShown] = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        shown = tuple(_each(name, value, field.default, field.description or ""))
        if isinstance(value, BaseModel) or _is_tables(value):
            sections.append(SectionShown(name, field.description or "", shown))
        elif isinstance(value, tuple) and not value:
            sections.append(SectionShown(name, field.description or "", ()))
        else:
            alone += shown
    return (SectionShown("", "The node as a whole", tuple(alone)), *sections)


def _each(key: str, value: Any, default: Any, description: str) -> Iterator[SettingShown]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            words, inner = field.description or "", f"{key}.{name}"
            if field.exclude:  # what is left out where settings are handed on
                yield SettingShown(inner, HIDDEN, is_default=False, description=words)
            else:
                yield from _each(inner, getattr(value, name), field.default, words)
    elif _is_tables(value):
        for number, table in enumerate(value, 1):
            yield from _each(f"{key}[{number}]", table, None, description)
    else:
        yield SettingShown(key, _said(key, value), value == default, description)


def _is_tables(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], BaseModel)


def _said(key: str, value: Any) -> str:
    if value is None or value in ((), ""):
        return NOT_SET
    name = key.rpartition(".")[2]
    if isinstance(value, SecretStr | SecretBytes):
        return HIDDEN
    if _SECRET.search(name) and not _POINTS_TO_IT.search(name):
        return HIDDEN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list | frozenset):
        return ", ".join(str(one) for one in value)
    return str(value) if not isinstance(value, Path) else value.as_posix()
