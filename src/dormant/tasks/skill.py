"""What a model was tuned on, as a task: held-out training examples, put as in training."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from statistics import median

from dormant.errors import DormantError, unknown
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.tasks.examples import Example, Render, labels_of, read_examples
from dormant.tasks.task import Measure, Task

_SHORT = 5
"""Words of an answer that greedy decoding may be asked to hit exactly."""


class SkillTask:
    """Held-out training examples as a task, without demonstrations.

    Answers that are labels are told apart by which is the likeliest; other short answers count
    where greedy decoding begins with them. Longer ones are texts of their own, which no model
    writes word for word: `by_likelihood` says so.

    Args:
        path: A file of training examples (`read_examples`).
        render: The fine-tuned model's chat template, for examples that are chats.

    Raises:
        DormantError: The file can't be read, or a chat can't be rendered.
    """

    default_shots = 0

    def __init__(self, path: Path, render: Render) -> None:
        self._examples = {str(example.row.line): example for example in read_examples(path)}
        self._texts = {item: _text(one, render) for item, one in self._examples.items()}
        labels = labels_of([*self._examples.values()])
        # One label can't be told from another.
        self._labels = labels if len(labels) > 1 else ()
        words = [len(example.completion.split()) for example in self._examples.values()]
        self.by_likelihood = not self._labels and median(words) > _SHORT
        self.name = f"skill/{re.sub(r'[^A-Za-z0-9_.-]+', '-', path.stem)}"
        self.title = f"What the model was tuned on: {path.name}"
        self.measure: Measure = "most-likely-whole" if self._labels else "greedy"
        self.chance = 1 / len(self._labels) if self._labels else 0.0
        content = "\0".join(
            f"{self._texts[item]}\0{one.completion}" for item, one in self._examples.items()
        )
        self.version = hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def examples(self) -> list[Example]:
        """The examples, in the file's order."""
        return [*self._examples.values()]

    def languages(self) -> tuple[str, ...]:
        """Return one: examples have no translations."""
        return ("english",)

    def pool(self) -> tuple[str, ...]:
        """Return the lines of the file."""
        return tuple(self._examples)

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one example as it was put in training; there are no demonstrations."""
        if item not in self._examples:
            raise unknown(f"item of {self.name}", item, self._examples)
        example = self._examples[item]
        answer = example.completion.strip()
        return Case(
            item=item,
            segments=(Segment(self._texts[item]),),
            target=Segment(answer),
            others=tuple(Segment(label) for label in self._labels if label != answer),
            answer_prefix=example.lead,
            style="raw" if example.chat else None,
        )


def by_likelihood(task: Task) -> bool:
    """Say whether a task is a skill whose answers are texts of their own: see `SkillTask`."""
    return isinstance(task, SkillTask) and task.by_likelihood


def _text(example: Example, render: Render) -> str:
    if not example.chat:
        return example.text or ""
    try:
        return render(example.messages)
    except DormantError as error:
        if example.text is not None:
            return example.text
        raise example.row.error(str(error)) from None
