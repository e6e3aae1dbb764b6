"""The ten tools of `everyday/tool-call`, and what they are called with.

Names of places and people, codes and numbers are written alike in all six languages, so a call is
the same in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from dormant.tasks.drawing import Draw, distinct

COUNT = 15
"""Calls of each tool."""
SHOWN = 3
"""Tools that a prompt names: the right one and two others."""

Kind = Literal["string", "integer"]

_CITIES = (
    *("Madrid", "Toronto", "Helsinki", "Boston", "Lima", "Nairobi", "Dakar", "Bergen"),
    *("Montevideo", "Denver", "Bristol", "Chicago", "Dallas", "Caracas", "Quito"),
)
"""None begins with a vowel, before which French writes another preposition."""
_NAMES = (
    *("Anna", "David", "Laura", "Daniel", "Nina", "Victor", "Sara", "Simon", "Emma", "Leo"),
    *("Marta", "Hugo", "Clara", "Oscar", "Julia", "Bruno"),
)
_CODES = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "PLN", "HUF")
_SYMBOLS = (
    *("AAPL", "MSFT", "NVDA", "AMZN", "TSLA", "NFLX", "INTC", "ORCL", "CSCO", "SAP", "BMW"),
    *("KO", "IBM", "AMD", "NKE", "DIS", "PFE"),
)
_TIMES = tuple(f"{hour:02}:{minute}" for hour in range(5, 24) for minute in ("15", "30", "45"))


def _numbers(start: int, end: int, step: int = 1) -> tuple[str, ...]:
    return tuple(map(str, range(start, end, step)))


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type in JSON, and the values that calls draw from, as texts."""

    kind: Kind
    values: tuple[str, ...]

    def read(self, value: str) -> str | int:
        """Return a value as JSON has it."""
        return int(value) if self.kind == "integer" else value


TOOLS: Mapping[str, Mapping[str, Parameter]] = {
    "get_weather": {"city": Parameter("string", _CITIES)},
    "get_time": {"city": Parameter("string", _CITIES)},
    "set_timer": {"minutes": Parameter("integer", _numbers(2, 60))},
    "set_alarm": {"time": Parameter("string", _TIMES)},
    "call_contact": {"name": Parameter("string", _NAMES)},
    "convert_currency": {
        "amount": Parameter("integer", _numbers(20, 900, 10)),
        "source": Parameter("string", _CODES),
        "target": Parameter("string", _CODES),
    },
    "set_temperature": {"celsius": Parameter("integer", _numbers(14, 30))},
    "book_table": {
        "people": Parameter("integer", _numbers(2, 10)),
        "name": Parameter("string", _NAMES),
    },
    "find_route": {"start": Parameter("string", _CITIES), "goal": Parameter("string", _CITIES)},
    "get_stock_price": {"symbol": Parameter("string", _SYMBOLS)},
}


@cache
def items() -> tuple[str, ...]:
    """Return all ids; an id says the tool and what it is called with."""
    return tuple(item for tool in TOOLS for item in _calls(tool))


def _calls(tool: str) -> Iterator[str]:
    parameters = TOOLS[tool].values()

    def make(draw: Draw) -> str | None:
        values = [draw.one_of(parameter.values) for parameter in parameters]
        return "/".join((tool, *values)) if len({*values}) == len(values) else None

    yield from distinct(f"dormant everyday {tool}", COUNT, make)


def fields(item: str) -> dict[str, str]:
    """Return what an item calls its tool with, by parameter, as texts."""
    tool, *values = item.split("/")
    return dict(zip(TOOLS[tool], values, strict=True))


def call(item: str) -> dict[str, Any]:
    """Return the right call of an item."""
    tool = item.split("/")[0]
    arguments = {key: TOOLS[tool][key].read(value) for key, value in fields(item).items()}
    return {"name": tool, "arguments": arguments}


def shown(item: str) -> tuple[str, ...]:
    """Return the tools that an item's prompt names, in the order of `TOOLS`."""
    right = item.split("/")[0]
    draw = Draw(f"dormant everyday tools {item}")
    chosen = {right}
    while len(chosen) < SHOWN:
        chosen.add(draw.one_of([*TOOLS]))
    return tuple(tool for tool in TOOLS if tool in chosen)


def schema(tool: str) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments."""
    parameters = TOOLS[tool]
    return {
        "type": "object",
        "properties": {key: {"type": one.kind} for key, one in parameters.items()},
        "required": [*parameters],
        "additionalProperties": False,
    }


def described(tools: tuple[str, ...]) -> str:
    """Return tools as a prompt names them: one line of JSON."""
    return json.dumps([{"name": tool, "parameters": schema(tool)} for tool in tools])
