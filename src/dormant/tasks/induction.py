"""Continue a text that repeats itself: copying from context with no instruction and no fields.

The control of few-shot copying: a model that fails at `icl/copy` and succeeds here can still copy,
and no longer takes the few-shot prompt as a request for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.tasks import data
from dormant.tasks.sentences import FOLDER, sentences, written
from dormant.tasks.task import Measure

_GIVEN = 2
"""Words of the repetition that are given."""
_SCORED = 2
"""Words after those that must follow."""


@dataclass(frozen=True)
class Continue:
    """A sentence, said four times, and its first words once more: what comes next?

    Four times, because a small base model is at its ceiling only then (on the development sentences
    of `examples/sentiment`): an ability that it has in part shows no small loss beyond doubt.
    """

    name: str = "recall/continue"
    title: str = f"Continue a repeated sentence (next {_SCORED} words)"
    measure: Measure = "greedy"
    chance: float = 0.0
    version: str = "2"
    default_shots: int = 4
    shuffled_answers_say_nothing: bool = True

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have a file."""
        return data.languages(FOLDER)

    def pool(self) -> tuple[str, ...]:
        """Return the sentences that are long enough in every language."""
        return _long_enough(self.languages())

    @property
    def stages(self) -> tuple[int, ...]:
        """How many are written by hand, and how many there are."""
        pool, first = self.pool(), written(self.languages()[0])
        return sum(item in first for item in pool), len(pool)

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; `shots` is how often the sentence stands before, at least once."""
        del seed  # nothing is drawn
        sentence = sentences(language)[item]
        words = sentence.split()
        space = Segment(" ", "layout")
        before = [Segment(sentence), space] * max(1, shots)
        return Case(
            item=item,
            segments=(*before, Segment(" ".join(words[:_GIVEN]), "query")),
            target=Segment(" ".join(words[_GIVEN : _GIVEN + _SCORED])),
        )


@cache
def _long_enough(languages: tuple[str, ...]) -> tuple[str, ...]:
    tables = [sentences(name) for name in languages]
    least = _GIVEN + _SCORED
    return tuple(key for key in tables[0] if all(len(t[key].split()) >= least for t in tables))


TASKS = (Continue(),)
