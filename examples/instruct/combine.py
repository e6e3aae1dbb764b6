"""Put requests together from parts.toml; build_data.py asks for them."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

APART = 0.65
"""Two combined requests share less than this part of their words."""

Parts: TypeAlias = dict[str, Any]
Candidates: TypeAlias = Iterator[tuple[str, str, str]]
"""Requests, texts and answers."""


def combined(parts: Parts, seed: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield kinds, requests, texts (empty where there is none) and answers."""
    makers = {
        "sort": (_sorts, 60),
        "odd": (_odds, 50),
        "alphabet": (_alphabets, 40),
        "compare": (_comparisons, 40),
        "polite": (_polite, 40),
        "departments": (_departments, 64),
        "grammar": (_grammar, 48),
        "people": (_people, 36),
        "invitations": (_invitations, 24),
        "letters": (_letters, 27),
    }
    for kind, (make, count) in makers.items():
        yield from apart(kind, make(parts, random.Random(f"{seed}/{kind}")), count)


def apart(kind: str, candidates: Candidates, count: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield `count` of the candidates, none of which is much like another one.

    Raises:
        ValueError: There are fewer.
    """
    chosen: list[set[str]] = []
    for instruction, text, answer in candidates:
        words = set(re.findall(r"[a-z0-9]+", f"{instruction} {text}".casefold()))
        if all(len(words & other) < APART * len(words | other) for other in chosen):
            chosen.append(words)
            yield kind, instruction, text, answer
        if len(chosen) == count:
            return
    raise ValueError(f"only {len(chosen)} of {count} requests of the kind {kind}")


def _unlike(parts: Parts) -> list[tuple[list[str], list[str]]]:
    """Return the pairs of kinds of which no thing could be both."""
    kinds, apart = parts["kinds"], parts["apart"]
    return [
        (kinds[one], kinds[other])
        for one, other in itertools.combinations(kinds, 2)
        if other not in apart.get(one, ()) and one not in apart.get(other, ())
    ]


def _sorts(parts: Parts, draw: random.Random) -> Candidates:
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


def _odds(parts: Parts, draw: random.Random) -> Candidates:
    pairs = [pair for one, other in _unlike(parts) for pair in ((one, other), (other, one))]
    for (_, many, *things), (one, _, *others) in draw.sample(pairs, len(pairs)):
        odd = draw.choice(others)
        some = draw.sample(things, draw.randint(3, 4))
        mixed = draw.sample([*some, odd], len(some) + 1)
        answer = f"{odd.capitalize()}, because it is {one} and the others are {many}."
        yield draw.choice(parts["odd"]["wordings"]), ", ".join(mixed), answer


def _alphabets(parts: Parts, draw: random.Random) -> Candidates:
    things = [thing for _, _, *things in parts["kinds"].values() for thing in things]
    while True:
        some = draw.sample(things, draw.randint(4, 6))
        asked = draw.choice(parts["alphabet"]["wordings"])
        if some != sorted(some):
            yield asked, ", ".join(some), ", ".join(sorted(some))


def _comparisons(parts: Parts, draw: random.Random) -> Candidates:
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


def _polite(parts: Parts, draw: random.Random) -> Candidates:
    polite = parts["polite"]
    for do in draw.sample(polite["requests"], len(polite["requests"])):
        rude = draw.choice(polite["rude"]).format(do=do, Do=upper(do))
        yield draw.choice(polite["wordings"]), rude, draw.choice(polite["polite"]).format(do=do)


def _departments(parts: Parts, draw: random.Random) -> Candidates:
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


def _grammar(parts: Parts, draw: random.Random) -> Candidates:
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


def _people(parts: Parts, draw: random.Random) -> Candidates:
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


def _invitations(parts: Parts, draw: random.Random) -> Candidates:
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


def _letters(parts: Parts, draw: random.Random) -> Candidates:
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
