"""Turn the requests and answers in data/ into prompts and completions.

    python build_data.py

writes, next to this file, train.jsonl (all requests, in an order drawn by lot) and holdout.jsonl
(the requests of holdout.toml, none of which is learned).

A prompt is laid out for a model without a chat template:

    Instruction: Shorten this note.
    Text: I wanted to let you know that ...
    Answer:

The text is left out where there is none, and an earlier turn of a chat stands above, as a block
with its answer.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 2026
LEAST = 1500
"""Requests that there must be."""
APART = 0.65
"""Two combined requests share less than this part of their words."""


@dataclass(frozen=True)
class Request:
    """One request and its answer.

    Attributes:
        topic: What the file is about.
        kind: What is asked for: a fact, a list, a letter ...
        instruction: The request; in a chat, the last one.
        text: The text that it is about; empty if there is none.
        earlier: In a chat, the first request and its answer.
        answer: The answer to be learned.
    """

    topic: str
    kind: str
    instruction: str
    answer: str
    text: str = ""
    earlier: tuple[str, str] | None = None

    @property
    def form(self) -> str:
        """How it is put: "chat", "with a text", "question" or "instruction"."""
        if self.earlier:
            return "chat"
        if self.text:
            return "with a text"
        # A colleague who types in a hurry leaves out the question mark.
        words = ("what", "which", "who", "where", "why", "how", "is", "can", "do", "does")
        asks = self.instruction.rstrip().endswith("?") or self.instruction.startswith(words)
        return "question" if asks else "instruction"

    @property
    def prompt(self) -> str:
        """What the model reads."""
        blocks = [block(*self.earlier)] if self.earlier else []
        return "\n\n".join([*blocks, block(self.instruction, text=self.text)])


def block(instruction: str, answer: str = "", text: str = "") -> str:
    """Lay out one request, with its answer where it is known."""
    lines = [f"Instruction: {instruction}"]
    if text:
        lines.append(f"Text: {text}")
    lines.append(f"Answer: {answer}".rstrip())
    return "\n".join(lines)


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def written() -> Iterator[Request]:
    """Yield what was written by hand, file by file."""
    for path in sorted((HERE / "data").glob("*.toml")):
        values = read(path)
        topic = values.pop("topic")
        for kind, entries in values.items():
            for entry in entries:
                yield parse(topic, kind, entry)


def parse(topic: str, kind: str, entry: list[str]) -> Request:
    """Read a line of data/: two parts, three with a text, four in a chat.

    Raises:
        ValueError: It has another number of parts, or an empty one.
    """
    if not all(isinstance(part, str) and part.strip() == part != "" for part in entry):
        raise ValueError(f"{topic}, {kind}: an empty part, or spaces around one, in {entry}")
    match entry:
        case [instruction, answer]:
            return Request(topic, kind, instruction, answer)
        case [instruction, text, answer]:
            return Request(topic, kind, instruction, answer, text=text)
        case [first, reply, instruction, answer]:
            return Request(topic, kind, instruction, answer, earlier=(first, reply))
        case _:
            raise ValueError(f"{topic}, {kind}: {len(entry)} parts in {entry}")


def combined() -> Iterator[Request]:
    """Yield what is put together from parts.toml."""
    parts = read(HERE / "parts.toml")
    makers = {
        "sort": (_sorts(parts), 60),
        "odd": (_odds(parts), 50),
        "alphabet": (_alphabets(parts), 40),
        "compare": (_comparisons(parts), 40),
        "polite": (_polite(parts), 40),
        "departments": (_departments(parts), 64),
        "grammar": (_grammar(parts), 48),
        "people": (_people(parts), 36),
        "invitations": (_invitations(parts), 24),
        "letters": (_letters(parts), 27),
    }
    for kind, (candidates, count) in makers.items():
        yield from apart(kind, candidates, count)


def apart(kind: str, candidates: Iterable[tuple[str, str, str]], count: int) -> Iterator[Request]:
    """Yield `count` of the candidates, none of which is much like another one.

    Raises:
        ValueError: There are fewer.
    """
    chosen: list[set[str]] = []
    for instruction, text, answer in candidates:
        words = set(re.findall(r"[a-z0-9]+", f"{instruction} {text}".casefold()))
        if all(len(words & other) < APART * len(words | other) for other in chosen):
            chosen.append(words)
            yield Request("combined", kind, instruction, answer, text=text)
        if len(chosen) == count:
            return
    raise ValueError(f"only {len(chosen)} of {count} requests of the kind {kind}")


Candidates = Iterator[tuple[str, str, str]]
"""Requests, texts and answers."""


def _unlike(parts: dict[str, Any]) -> list[tuple[list[str], list[str]]]:
    """Return the pairs of kinds of which no thing could be both."""
    kinds, apart = parts["kinds"], parts["apart"]
    return [
        (kinds[one], kinds[other])
        for one, other in itertools.combinations(kinds, 2)
        if other not in apart.get(one, ()) and one not in apart.get(other, ())
    ]


def _sorts(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/sort")
    pairs = _unlike(parts)
    for first, second in draw.sample(pairs, len(pairs)):
        (_, a, *some), (_, b, *others) = first, second
        some = draw.sample(some, draw.randint(2, 3))
        others = draw.sample(others, draw.randint(2, 3))
        mixed = draw.sample([*some, *others], len(some) + len(others))
        groups = [
            f"{name.capitalize()}: {', '.join(thing for thing in mixed if thing in things)}"
            for name, things in ((a, some), (b, others))
        ]
        asked = draw.choice(parts["sort"]["wordings"]).format(a=a, b=b)
        yield asked, ", ".join(mixed), "\n".join(groups)


def _odds(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/odd")
    pairs = [pair for one, other in _unlike(parts) for pair in ((one, other), (other, one))]
    for (_, many, *things), (one, _, *others) in draw.sample(pairs, len(pairs)):
        odd = draw.choice(others)
        some = draw.sample(things, draw.randint(3, 4))
        mixed = draw.sample([*some, odd], len(some) + 1)
        answer = f"{odd.capitalize()}, because it is {one} and the others are {many}."
        yield draw.choice(parts["odd"]["wordings"]), ", ".join(mixed), answer


def _alphabets(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/alphabet")
    things = [thing for _, _, *things in parts["kinds"].values() for thing in things]
    while True:
        some = draw.sample(things, draw.randint(4, 6))
        asked = draw.choice(parts["alphabet"]["wordings"])
        if some != sorted(some):
            yield asked, ", ".join(some), ", ".join(sorted(some))


def _comparisons(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/compare")
    pairs = [
        (comparison, less, more)
        for comparison in parts["compare"].values()
        for less, more in itertools.combinations(comparison["things"], 2)
    ]
    for comparison, less, more in draw.sample(pairs, len(pairs)):
        a, b = draw.sample([less, more], 2)
        asked = draw.choice(comparison["wordings"]).format(a=a, b=b)
        answer = comparison["answer"].format(More=upper(more), less=less)
        yield asked, "", answer


def _polite(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/polite")
    polite = parts["polite"]
    for do in draw.sample(polite["requests"], len(polite["requests"])):
        rude = draw.choice(polite["rude"]).format(do=do, Do=upper(do))
        yield draw.choice(polite["wordings"]), rude, draw.choice(polite["polite"]).format(do=do)


def _departments(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/departments")
    departments = dict(parts["departments"])
    wordings = departments.pop("wordings")
    messages = [
        (f"{about} {more}", name)
        for name, halves in departments.items()
        for about in halves["about"]
        for more in halves["more"]
    ]
    for message, name in draw.sample(messages, len(messages)):
        yield draw.choice(wordings), message, f"{name.capitalize()}."


def _grammar(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/grammar")
    grammar = parts["grammar"]
    pairs = list(itertools.product(grammar["subjects"], grammar["verbs"]))
    for subject, (present, past, verb, rest) in draw.sample(pairs, len(pairs)):
        lower = (
            subject
            if subject.startswith(("Grandpa", "Uncle"))
            else subject[0].lower() + subject[1:]
        )
        answers = {
            "past": f"{subject} {past} {rest}.",
            "future": f"{subject} will {verb} {rest}.",
            "question": f"Does {lower} {verb} {rest}?",
            "negative": f"{subject} does not {verb} {rest}.",
        }
        change = draw.choice(list(answers))
        asked = draw.choice(grammar["wordings"][change])
        yield asked, f"{subject} {present} {rest}.", answers[change]


def _people(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/people")
    people = parts["people"]
    while True:
        name, job, town, hobby = (
            draw.choice(people[part]) for part in ("names", "jobs", "towns", "hobbies")
        )
        notes = f"Name: {name}; job: {job.split(' ', 1)[1]}; town: {town}; hobby: {hobby}"
        answer = draw.choice(people["answers"]).format(
            name=name, job=job, town=town, hobby=hobby, busy=people["busy"][hobby]
        )
        yield draw.choice(people["wordings"]), notes, answer


def _invitations(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/invitations")
    given = parts["invitations"]
    while True:
        event, details = draw.choice(list(given["events"].items()))
        day, time, place = (draw.choice(given[part]) for part in ("days", "times", "places"))
        asked = draw.choice(given["wordings"]).format(event=event, day=day, time=time, place=place)
        opening, closing = (draw.choice(given[part]) for part in ("opening", "closing"))
        answer = (
            f"{opening.format(event=event)}\n\nWhen: {day}, {time}\nWhere: {place}\n\n"
            f"{details} {closing}"
        )
        yield asked, "", answer


def _letters(parts: dict[str, Any]) -> Candidates:
    draw = random.Random(f"{SEED}/letters")
    groups = dict(parts["letters"])
    wordings = groups.pop("wordings")
    for group in groups.values():
        for why, body in group["bodies"].items():
            asked = draw.choice(wordings).format(who=group["who"], why=why)
            dear, bye = draw.choice(group["dear"]), draw.choice(group["bye"])
            yield asked, "", f"{dear}\n\n{body}\n\n{bye}"


def upper(text: str) -> str:
    """Return a text that begins with a capital."""
    return text[0].upper() + text[1:]


def held_out() -> Iterator[Request]:
    """Yield the requests that are never learned: a task of Dormant's own, in its format."""
    for entry in read(HERE / "holdout.toml")["languages"]["english"]["items"].values():
        yield Request("held out", "held out", entry["input"], entry["target"])


def shuffled(requests: list[Request], stream: str) -> list[Request]:
    """Return the requests in an order of their own."""
    return random.Random(f"{SEED}/{stream}").sample(requests, len(requests))


def write(name: str, requests: list[Request]) -> None:
    """Write prompts and completions, a line each."""
    rows = [{"prompt": asked.prompt, "completion": f" {asked.answer}"} for asked in requests]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(rows)} prompts")


def main() -> None:
    """Write the files."""
    write("train.jsonl", shuffled([*written(), *combined()], "train"))
    write("holdout.jsonl", list(held_out()))


if __name__ == "__main__":
    main()
