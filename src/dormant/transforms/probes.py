"""Probes: changes of format alone, whose inverse is the identity.

Where an ability comes back under a probe, it was the *format* that fine-tuning had taken hold of;
where it comes back only in another language, it was the language. A probe acts on the structure of
a prompt (instruction, field labels, blocks), not on its words, and leaves the answers as they are.

Kotha, Springer & Raghunathan (2024, §3) change languages only; format specialisation is described
by Wang et al. (ProMoT, arXiv 2211.00635).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dormant.errors import unknown
from dormant.prompts.case import Style

BLOCK_SEPARATOR = "\n\n"
"""What parts instruction and blocks of a prompt as the tasks lay it out."""
FIELD_DELIMITER = ":"
"""What follows a field's label, with or without a space after it."""


class Part(Protocol):
    """A stretch of a prompt: `dormant.prompts.segment.Segment` is one."""

    @property
    def text(self) -> str:
        """The characters."""
        ...

    @property
    def role(self) -> str:
        """What it is for: instruction, label, input, output, query, text or layout."""
        ...


S = TypeVar("S", bound=Part)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A change of a prompt's format.

    Attributes:
        name: As written on the command line.
        summary: One line for people.
        drop_instruction: Whether the instruction goes, with the blank line after it.
        labels: New labels, in the order in which different labels first appear (input, output);
            none keeps the old ones.
        separator: What stands between blocks instead of a blank line; `None` keeps that.
        delimiter: What stands after a label instead of the colon; `None` keeps that.
        prefix: What stands before the whole prompt.
        suffix: What stands after the query.
        style: The prompt's style, "raw" or "chat", where the probe sets it.
    """

    name: str
    summary: str
    drop_instruction: bool = False
    labels: tuple[str, ...] = ()
    separator: str | None = None
    delimiter: str | None = None
    prefix: str = ""
    suffix: str = ""
    style: Style | None = None

    @property
    def signature(self) -> str:
        """What was really used, for records."""
        return f"{self.name}-1"

    def apply(self, parts: Sequence[S], make: Callable[[str, str], S]) -> list[S]:
        """Return a prompt's parts in the new format.

        Args:
            parts: The prompt, in order.
            make: Makes a part of a text and a role.
        """
        changed = _without_instruction(parts) if self.drop_instruction else list(parts)
        if self.labels:
            found = dict.fromkeys(part.text for part in changed if part.role == "label")
            new = dict(zip(found, self.labels, strict=False))
            changed = [
                make(new.get(part.text, part.text), "label") if part.role == "label" else part
                for part in changed
            ]
        changed = [
            make(self._layout(part.text), "layout") if part.role == "layout" else part
            for part in changed
        ]
        if self.suffix:
            at = max((i for i, part in enumerate(changed) if part.role == "query"), default=None)
            place = len(changed) if at is None else at + 1
            changed.insert(place, make(self.suffix, "layout"))
        if self.prefix:
            changed.insert(0, make(self.prefix, "layout"))
        return changed

    def _layout(self, text: str) -> str:
        if self.separator is not None:
            text = text.replace(BLOCK_SEPARATOR, self.separator)
        if self.delimiter is not None and text.startswith(FIELD_DELIMITER):
            text = self.delimiter + text.removeprefix(FIELD_DELIMITER)
        return text


def _without_instruction(parts: Sequence[S]) -> list[S]:
    left: list[S] = []
    dropped = False
    for part in parts:
        if part.role == "instruction":
            dropped = True
            continue
        if dropped and part.role == "layout":
            dropped = False
            continue
        dropped = False
        left.append(part)
    return left


PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe(
            name="probe:suffix",
            summary="meaningless characters after the query",
            suffix=" ~~ #4821 ~~",
        ),
        Probe(
            name="probe:prefix",
            summary="a meaningless line before the prompt",
            prefix="~~ #4821 ~~\n",
        ),
        Probe(
            name="probe:labels",
            summary="fields called Given and Wanted",
            labels=("Given", "Wanted"),
        ),
        Probe(
            name="probe:arrows",
            summary="' =>' after a label instead of a colon",
            delimiter=" =>",
        ),
        Probe(
            name="probe:separators",
            summary="a line of signs between blocks instead of a blank one",
            separator="\n###\n",
        ),
        Probe(
            name="probe:no-instruction",
            summary="demonstrations only, no instruction",
            drop_instruction=True,
        ),
        Probe(name="probe:chat", summary="put into the model's chat template", style="chat"),
        Probe(name="probe:raw", summary="without the model's chat template", style="raw"),
    )
}


def get(name: str) -> Probe:
    """Return the probe of a name.

    Raises:
        DormantError: There is none; the nearest name is suggested.
    """
    if name not in PROBES:
        raise unknown("probe", name, PROBES)
    return PROBES[name]
