"""The one right call of a tool, as JSON."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from dormant.errors import DormantError
from dormant.tasks import data
from dormant.tasks.everyday import tools
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import folded, json_objects
from dormant.tasks.task import Judgement

FOLDER = ROOT / "tool-call"
_KEYS = {"language", "code", "version", "origin", "system", "requests"}
_ARGUMENTS = ("arguments", "parameters")
"""Keys under which a model's own format has the arguments."""


@cache
def _texts(language: str) -> tuple[str, dict[str, str]]:
    file = data.language_file(FOLDER, language, _KEYS)
    requests = {
        tool: file.template([*parameters], "requests", tool)
        for tool, parameters in tools.TOOLS.items()
    }
    return file.template(("tools",), "system", "rule"), requests


@cache
def _call_schema(shown: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of a call of one of some tools."""
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {"name": {"const": tool}, "arguments": tools.schema(tool)},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in shown
        ]
    }


class ToolCall(Everyday):
    """One JSON object, valid under the tools' schema, that is the right call."""

    ability = "tool-call"
    title = "Emits the right tool call as JSON"
    max_new_tokens = 128

    def pool(self) -> tuple[str, ...]:
        """Return fifteen calls of each tool."""
        return tools.items()

    @property
    def version(self) -> str:
        """Version of the data and of the judge.

        Raises:
            DormantError: jsonschema is not installed: better now than after hours of answers.
        """
        _validator(("get_time",))
        return "1"

    def request(self, item: str, language: str) -> Request:
        """Put what is wanted into a language."""
        system, requests = _texts(language)
        described = tools.described(tools.shown(item))
        fields = tools.fields(item)
        return Request(
            text=requests[item.split("/")[0]].format(**fields),
            answer=json.dumps(tools.call(item)),
            system=system.format(tools=described),
            literal=(described, '"name"', '"arguments"', "JSON", *fields.values()),
        )

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """RIGHT; WRONG_ARGUMENTS, WRONG_TOOL, INVALID, SEVERAL, NO_JSON."""
        del language  # a call is the same in all
        calls = [_plain(one) for one in json_objects(said)]
        if not calls:
            return Judgement(False, "NO_JSON")
        # A call that is said twice is one.
        if any(one != calls[0] for one in calls):
            return Judgement(False, "SEVERAL")
        (one, *_) = calls
        if not _validator(tools.shown(item)).is_valid(one):
            return Judgement(False, "INVALID")
        right = tools.call(item)
        if one["name"] != right["name"]:
            return Judgement(False, "WRONG_TOOL")
        same = _folded(one["arguments"]) == _folded(right["arguments"])
        return Judgement(same, "RIGHT" if same else "WRONG_ARGUMENTS")


def _plain(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call as the prompt asks for it, where a model's own format differs in names alone.

    {"function": {…}}, "parameters" for "arguments", arguments as a text of JSON.
    """
    inner = call.get("function")
    if isinstance(inner, dict):
        call = inner
    if len(call) == len(_ARGUMENTS) and "name" in call:
        (key,) = call.keys() - {"name"}
        arguments = call[key]
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                return call
        if key in _ARGUMENTS:
            return {"name": call["name"], "arguments": arguments}
    return call


def _folded(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        key: folded(value) if isinstance(value, str) else value for key, value in arguments.items()
    }


@cache
def _validator(shown: tuple[str, ...]) -> Any:
    try:
        from jsonschema import Draft202012Validator
    except ImportError as error:
        raise DormantError(
            "everyday/tool-call is judged by jsonschema, which isn't installed: "
            "pip install jsonschema"
        ) from error
    return Draft202012Validator(_call_schema(shown))
