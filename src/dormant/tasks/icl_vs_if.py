"""In-context learning against instruction following (paper §3.1).

Each prompt can be read in two ways: continue the pattern of the demonstrations (ICL, the target)
or obey the query, which is itself an instruction (IF, the distractor). Four tasks:
{repeat, capitalize} × {arithmetic question, sentence with its first word blanked}.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment, Span
from dormant.tasks import data
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.task import Measure

FOLDER = data.SHIPPED / "icl_vs_if"
OPERANDS = range(4, 21)
"""A and B of "What is A plus B?" (paper §3.1)."""

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "times": lambda a, b: a * b,
}
_KEYS = {
    "language",
    "code",
    "version",
    "origin",
    "labels",
    "instructions",
    "arithmetic",
    "sentences",
}


@dataclass(frozen=True)
class Texts:
    """One language's texts.

    Attributes:
        input_label: "Input", without colon.
        output_label: "Output", without colon.
        instructions: Texts of "repeat" and "capitalize".
        question: Template with {a}, {operator}, {b}.
        operators: Native words of plus, minus, times.
        sentences: Short sentences by id.
    """

    input_label: str
    output_label: str
    instructions: dict[str, str]
    question: str
    operators: dict[str, str]
    sentences: dict[str, str]


@cache
def texts(language: str, folder: Path = FOLDER) -> Texts:
    """Read one language's file.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    file = data.language_file(folder, language, _KEYS)
    return Texts(
        input_label=file.string("labels", "input"),
        output_label=file.string("labels", "output"),
        instructions={verb: file.string("instructions", verb) for verb in ("repeat", "capitalize")},
        question=file.template(("a", "operator", "b"), "arithmetic", "question"),
        operators={name: file.string("arithmetic", "operators", name) for name in _OPERATIONS},
        sentences=file.strings("sentences"),
    )


@dataclass(frozen=True)
class IclVsIf:
    """One of the paper's four ambiguous tasks.

    Attributes:
        verb: "repeat" or "capitalize": what the demonstrations do.
        query: "arithmetic" or "blank": what the query asks for.
        title: What the ability is.
        folder: Where the language files are.
    """

    verb: str
    query: str
    title: str
    folder: Path = FOLDER
    measure: Measure = "greedy"
    chance: float = 0.0
    default_shots: int = 2
    version: str = "1"

    @property
    def name(self) -> str:
        """The ability's name."""
        return f"icl_vs_if/{self.verb}-{self.query}"

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have a file."""
        return data.languages(self.folder)

    def pool(self) -> tuple[str, ...]:
        """Return all questions, or all sentences."""
        if self.query == "blank":
            return tuple(texts("english", self.folder).sentences)
        return tuple(f"{a}-{name}-{b}" for a in OPERANDS for name in _OPERATIONS for b in OPERANDS)

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; see `Task.case`."""
        words = texts(language, self.folder)
        others = [key for key in words.sentences if key != item]
        shown = draw_demonstrations(self.name, item, others, shots, seed)
        if self.query == "arithmetic":
            a, operation, b = item.split("-")
            asked = words.question.format(a=a, operator=words.operators[operation], b=b)
            result = str(_OPERATIONS[operation](int(a), int(b)))
            distractor = Segment(result, protected=((0, len(result)),))
        else:
            first, rest = words.sentences[item].split(" ", maxsplit=1)
            asked = f"{'_' * len(first)} {rest}"
            distractor = Segment(self._do(first))
        return few_shot(
            item=item,
            instruction=words.instructions[self.verb],
            input_label=words.input_label,
            output_label=words.output_label,
            demonstrations=[
                (Segment(words.sentences[key]), Segment(self._do(words.sentences[key])))
                for key in shown
            ],
            query=Segment(asked, protected=_numbers(asked)),
            target=Segment(self._do(asked), protected=_numbers(asked)),
            distractor=distractor,
            target_words=1,
        )

    def _do(self, text: str) -> str:
        return text.upper() if self.verb == "capitalize" else text


def _numbers(text: str) -> tuple[Span, ...]:
    """Digits and blanks: what no transform should touch."""
    return tuple(match.span() for match in re.finditer(r"[0-9]+|_+", text))


TASKS = tuple(
    IclVsIf(
        verb, query, f"Follow the demonstrations ({verb} the input) although the query is {asks}"
    )
    for verb in ("repeat", "capitalize")
    for query, asks in (("arithmetic", "an arithmetic question"), ("blank", "a blank to fill"))
)
