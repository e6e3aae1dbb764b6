"""Instructions whose obedience can be verified, checked by lm-evaluation-harness's IFEval.

The kinds of instruction are IFEval's (Zhou et al. 2023, arXiv 2311.07911), those among them that
hang on no language; requests are Dormant's own. The checks are the harness's, not written again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from dormant.errors import DormantError
from dormant.tasks import data
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import folded
from dormant.tasks.everyday.topics import topics
from dormant.tasks.task import Judgement

FOLDER = ROOT / "instruction"
EACH = 15
"""Topics of each kind."""
NEEDED = ("lm_eval", "langdetect", "immutabledict", "nltk")
"""What the harness's checks import."""
_KEYS = {"language", "code", "version", "origin", "requests", "texts"}
_LEAST = 3
"""Words of an answer: "POSITIVE" has no comma either."""


@dataclass(frozen=True)
class Kind:
    """A kind of instruction.

    Attributes:
        name: What IFEval calls it.
        put: Makes an answer that obeys, of two plain sentences and the language's ending.
        arguments: What its check is told.
        phrase: The argument that is the language's ending.
    """

    name: str
    put: Callable[[str, str], str]
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    phrase: str = ""


KINDS: Mapping[str, Kind] = {
    "no_comma": Kind("punctuation:no_comma", lambda text, end: text),
    "quoted": Kind("startend:quotation", lambda text, end: f'"{text}"'),
    "ends": Kind("startend:end_checker", lambda text, end: f"{text} {end}", phrase="end_phrase"),
    "title": Kind("detectable_format:title", lambda text, end: f"<<{text[:9]}>>\n{text}"),
    "bullets": Kind(
        "detectable_format:number_bullet_lists",
        lambda text, end: f"* {text}\n* {end}\n* {text}",
        {"num_bullets": 3},
    ),
    "json": Kind(
        "detectable_format:json_format",
        lambda text, end: json.dumps({"text": text}, ensure_ascii=False),
    ),
    "placeholders": Kind(
        "detectable_content:number_placeholders",
        lambda text, end: f"{text} [1] [2]",
        {"num_placeholders": 2},
    ),
    "few_words": Kind(
        "length_constraints:number_words",
        lambda text, end: text,
        {"num_words": 20, "relation": "less than"},
    ),
    "many_words": Kind(
        "length_constraints:number_words",
        lambda text, end: " ".join([text] * 8),
        {"num_words": 60, "relation": "at least"},
    ),
    "postscript": Kind(
        "detectable_content:postscript",
        lambda text, end: f"{text}\n\nP.S. {end}",
        {"postscript_marker": "P.S."},
    ),
    "highlights": Kind(
        "detectable_format:number_highlighted_sections",
        lambda text, end: f"*{text}* *{end}*",
        {"num_highlights": 2},
    ),
}
"""By the key of the request's text."""


class _Texts(NamedTuple):
    requests: dict[str, str]
    ending: str
    reference: str


@cache
def _texts(language: str) -> _Texts:
    file = data.language_file(FOLDER, language, _KEYS)
    requests = {
        key: file.template(("topic", "ending") if kind.phrase else ("topic",), "requests", key)
        for key, kind in KINDS.items()
    }
    return _Texts(requests, file.string("texts", "ending"), file.string("texts", "reference"))


class Instruction(Everyday):
    """IFEval's strict check of the kind of instruction says yes."""

    ability = "instruction"
    title = "Follows instructions that can be verified (IFEval's kinds)"
    max_new_tokens = 256

    def pool(self) -> tuple[str, ...]:
        """Return every kind with fifteen topics, others for each kind."""
        known = [*topics("english")]
        return tuple(
            f"{kind}-{known[(place * EACH + number) % len(known)]}"
            for place, kind in enumerate(KINDS)
            for number in range(EACH)
        )

    @property
    def version(self) -> str:
        """Version of the data, and of the harness, whose checks judge.

        Raises:
            DormantError: A package that they need is missing: better now than after hours.
        """
        refuse_missing()
        from importlib.metadata import version

        return f"1+lm_eval-{version('lm_eval')}"

    def request(self, item: str, language: str) -> Request:
        """Put a topic and what is demanded of its text into a language."""
        key, topic = item.split("-")
        kind, words = KINDS[key], _texts(language)
        fields = {"topic": topics(language)[topic]}
        if kind.phrase:
            fields["ending"] = words.ending
        return Request(
            text=words.requests[key].format(**fields),
            answer=kind.put(words.reference, words.ending),
            literal=("JSON", "P.S.", "<<", ">>", "*"),
        )

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """FOLLOWED, NOT_FOLLOWED, WORD, or ECHO."""
        if len(folded(said).split()) < _LEAST:
            return Judgement(False, "WORD")
        if folded(self.request(item, language).text) in folded(said):
            return Judgement(False, "ECHO")
        kind = KINDS[item.split("-")[0]]
        arguments = dict(kind.arguments)
        if kind.phrase:
            arguments[kind.phrase] = _texts(language).ending
        check = _checks()[kind.name](kind.name)
        check.build_description(**arguments)
        followed = bool(check.check_following(said))
        return Judgement(followed, "FOLLOWED" if followed else "NOT_FOLLOWED")


def refuse_missing() -> None:
    """Refuse to judge without the harness's checks.

    Raises:
        DormantError: A package is missing.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DormantError(
            f"everyday/instruction is not available: the IFEval checks of lm-evaluation-harness "
            f"need {', '.join(missing)}: pip install 'lm-eval[ifeval]', or name other abilities"
        )


@cache
def _checks() -> Mapping[str, Any]:
    refuse_missing()
    # On import it says that it has fetched nltk's sentence models, fetched or not: none of the
    # kinds here needs them.
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        from lm_eval.tasks.ifeval.instructions_registry import INSTRUCTION_DICT

    return INSTRUCTION_DICT
