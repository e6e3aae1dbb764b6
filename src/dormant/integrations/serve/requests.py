"""Requests for completions and chats, read strictly: what isn't understood is refused by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dormant.integrations.serve.errors import invalid

Kind: TypeAlias = Literal["completion", "chat"]

_OTHER_WORDS = "a transform changes the words of the answer, and this counts on the model's own"
_NO_TOOLS = "a transform can't pass through tool calls"
TOUCHING: Mapping[str, str] = {
    "n": "one answer a request",
    "best_of": "one answer a request",
    "use_beam_search": "one answer a request",
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "parallel_tool_calls": _NO_TOOLS,
    "web_search_options": _NO_TOOLS,
    "logprobs": "the probabilities would be those of the transformed answer",
    "top_logprobs": "the probabilities would be those of the transformed answer",
    "prompt_logprobs": "the probabilities would be those of the transformed prompt",
    "echo": "the prompt is known already",
    "suffix": "an answer is undone as a whole",
    "continue_final_message": "an answer is undone as a whole",
    "prediction": _OTHER_WORDS,
    "logit_bias": _OTHER_WORDS,
    "bad_words": _OTHER_WORDS,
    "response_format": _OTHER_WORDS,
    "structured_outputs": _OTHER_WORDS,
    "grammar": _OTHER_WORDS,
    "json_schema": _OTHER_WORDS,
    "modalities": "text only",
    "audio": "text only",
}
"""Fields that touch the text, and why they can't be honoured around a transform."""
_GUIDED = "guided_"
_NOTHING: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "use_beam_search": (False,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "continue_final_message": (False,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
}
"""Values of fields that ask for nothing, which clients send all the same."""
_ABOUT = (
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention",
)  # fmt: skip
"""What says who asks, and changes no text."""
_ROLES = ("system", "developer", "user", "assistant")
_MOST_STOPS = 16


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a request says of transforms, in its field "dormant".

    Attributes:
        said: Whether it names one; otherwise the server's default is taken.
        transform: Its name; `None`, if `said`, for none.
        ability: An ability that an audit has judged, instead of a transform.
        keep: Whether numbers, URLs, code and the like stay; `None` leaves it to the server.
        verbose: Whether the response is to hold s(prompt) and the model's own words too.
    """

    said: bool = False
    transform: str | None = None
    ability: str | None = None
    keep: bool | None = None
    verbose: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that was understood.

    Attributes:
        kind: Whether a prompt is to be continued or a chat answered.
        model: The model's name in it; `None` where it gives none.
        texts: The prompt, or what is said in each message.
        roles: Who says it; empty for a prompt.
        max_tokens: Length at which the answer stops, in tokens.
        temperature: Divides the logits; `None` and 0 ask for the likeliest tokens.
        top_p: Share of the probability that is drawn from.
        seed: Decides what is drawn.
        until: Texts at which the plain answer ends.
        stream: Whether it is wanted bit by bit…
        counted: …and its tokens counted at the end.
        wish: What it says of transforms.
        handed_on: Fields that another server gets as they are.
    """

    kind: Kind
    model: str | None
    texts: tuple[str, ...]
    roles: tuple[str, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    until: tuple[str, ...] = ()
    stream: bool = False
    counted: bool = False
    wish: Wish = field(default_factory=Wish)
    handed_on: Mapping[str, Any] = field(default_factory=dict[str, Any])


class _StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Switch(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    transform: str | None = None
    ability: str | None = None
    keep: bool | None = None
    verbose: bool | None = None


class _Fields(BaseModel):
    """What is understood beside the texts; fields not given are `None`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    dormant: _Switch | None = None


def read(body: bytes, kind: Kind, *, forwarded: bool) -> Asked:
    """Read a request.

    Args:
        body: Its body.
        kind: What is asked for.
        forwarded: Whether another server answers it, which gets further fields that don't touch
            the text.

    Raises:
        Refused: It is malformed, or asks for what can't be honoured.
    """
    given = _json_object(body)
    texts_in = "messages" if kind == "chat" else "prompt"
    if texts_in not in given:
        other = "prompt" if kind == "chat" else "messages"
        hint = f"; {other!r} belongs to the other endpoint" if other in given else ""
        raise invalid(f"{texts_in} is missing{hint}", texts_in)
    raw = given.pop(texts_in)
    until = _stops(given.pop("stop", None))
    handed_on = _sorted_out(given, forwarded)
    fields = _validated({k: v for k, v in given.items() if k in _Fields.model_fields})
    length = fields.max_completion_tokens or fields.max_tokens
    if fields.max_tokens not in (None, length):
        raise invalid("max_tokens and max_completion_tokens differ: give one", "max_tokens")
    roles, texts = _messages(raw) if kind == "chat" else ((), (_prompt(raw),))
    if fields.stream_options is not None and not fields.stream:
        raise invalid("stream_options needs stream", "stream_options")
    options = fields.stream_options
    return Asked(
        kind=kind,
        model=fields.model,
        texts=texts,
        roles=roles,
        max_tokens=length,
        temperature=fields.temperature,
        top_p=fields.top_p,
        seed=fields.seed,
        until=until,
        stream=bool(fields.stream),
        counted=bool(options and options.include_usage),
        wish=_wish(fields.dormant),
        handed_on=handed_on,
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        given: object = json.loads(body)
        json.dumps(given, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid("a text holds half a character (a lone surrogate): send UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"the request's body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise invalid(f"the request's body is not a JSON object but {_kind_of(given)}")
    return cast("dict[str, Any]", given)


def _sorted_out(given: dict[str, Any], forwarded: bool) -> dict[str, Any]:
    """Refuse what can't be honoured; return what another server gets as it is."""
    handed_on: dict[str, Any] = {}
    for name, value in given.items():
        asks_nothing = value is None or any(
            type(value) is type(nothing) and value == nothing for nothing in _NOTHING.get(name, ())
        )
        if asks_nothing or name in ("stream", "stream_options", "dormant", "model"):
            continue
        if name in TOUCHING or name.startswith(_GUIDED):
            why = TOUCHING.get(name, _OTHER_WORDS)
            raise invalid(f"{name} is not supported: {why}; leave it out", name, "unsupported")
        if not (forwarded or name in _Fields.model_fields or name in _ABOUT):
            close = difflib.get_close_matches(name, (*_Fields.model_fields, "stop"), 1, 0.75)
            hint = f"did you mean {close[0]!r}? " if close else "leave it out"
            raise invalid(f"{name} is not supported by a model that runs here: {hint}", name)
        handed_on[name] = value
    return handed_on


def _validated(given: Mapping[str, Any]) -> _Fields:
    try:
        return _Fields.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise invalid(f"{place}: {first['msg']}", place) from None


def _wish(switch: _Switch | None) -> Wish:
    if switch is None:
        return Wish()
    said = "transform" in switch.model_fields_set
    if said and switch.ability is not None:
        raise invalid("dormant: name a transform or an ability, not both", "dormant")
    return Wish(
        said=said,
        transform=switch.transform,
        ability=switch.ability,
        keep=switch.keep,
        verbose=bool(switch.verbose),
    )


def _stops(value: object) -> tuple[str, ...]:
    listed = cast("list[object]", value if isinstance(value, list) else [value])
    if value is None:
        return ()
    if not all(isinstance(one, str) and one for one in listed):
        raise invalid("stop is not a text, or a list of texts, none of them empty", "stop")
    if len(listed) > _MOST_STOPS:
        raise invalid(f"stop holds more than {_MOST_STOPS} texts", "stop")
    return tuple(dict.fromkeys(cast("list[str]", listed)))


def _prompt(value: object) -> str:
    if isinstance(value, list) and len(cast("list[object]", value)) == 1:
        (value,) = cast("list[object]", value)
    if not isinstance(value, str):
        raise invalid(
            f"prompt is {_kind_of(value)}: give one text (several are several requests, and tokens "
            "can't be transformed)",
            "prompt",
        )
    if not value.strip():
        raise invalid("the prompt is empty", "prompt")
    return value


def _messages(value: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not isinstance(value, list) or not value:
        raise invalid("messages is not a list of one message or more", "messages")
    said = [_message(one, f"messages[{n}]") for n, one in enumerate(cast("list[object]", value))]
    if not any(text.strip() for _, text in said):
        raise invalid("all messages are empty", "messages")
    return tuple(role for role, _ in said), tuple(text for _, text in said)


def _message(value: object, where: str) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise invalid(f"{where} is not an object but {_kind_of(value)}", where)
    message = cast("dict[str, object]", value)
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        shown = f"role {role!r}" if isinstance(role, str) else "no role"
        raise invalid(f"{where} has {shown}: {', '.join(_ROLES)} are known", f"{where}.role")
    # What a client hands back of an earlier answer holds fields without content.
    extra = [k for k, v in message.items() if k not in ("role", "content") and v not in (None, [])]
    if extra:
        raise invalid(
            f"{where}.{extra[0]} is not supported: a message has a role and a content",
            f"{where}.{extra[0]}",
        )
    return role, _content(content, f"{where}.content")


def _content(content: object, where: str) -> str:
    """Return a message's text; parts are joined by line breaks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(f"{where} is {_kind_of(content)}: give a text", where)
    texts: list[str] = []
    for part in cast("list[object]", content):
        fields = cast("dict[str, object]", part if isinstance(part, dict) else {})
        text = fields.get("text")
        if fields.get("type") != "text" or not isinstance(text, str):
            kind = fields.get("type") if isinstance(fields.get("type"), str) else _kind_of(part)
            raise invalid(f"{where} holds a part that is no text ({kind}): text only", where)
        texts.append(text)
    return "\n".join(texts)


def _kind_of(value: object) -> str:
    for kind, name in ((bool, "true or false"), (dict, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "a text" if isinstance(value, str) else "a number"
