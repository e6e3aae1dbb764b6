"""The wrapping of a training format: what stands around the part of its prompts that varies.

``### Instruction:`` before it and ``### Response:`` after it are one, an instruction that every
prompt begins with is another, a chat template with its system turn a third. A model that was tuned
on nothing else may answer only inside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment

LEAST = 8
"""Different prompts that tell a wrapping from what stands in it: two may begin alike by chance."""

_MOST_READ = 1000
_NEARLY_ALL = 0.9
"""Share of the prompts that must begin (or end) alike: a few strays change nothing."""

_END_OF_OPENING = re.compile(r"\n|[^\w\s]\s+|[>\])}]")
_START_OF_CLOSING = re.compile(r"\s*\n|\s*[<\[({#|]")
_SENTENCE_ENDS = ".?!…。？！"


@dataclass(frozen=True)
class Wrapping:
    """What a training format puts around a prompt, as the model reads it.

    Attributes:
        before: What stands before the part that varies.
        after: What stands behind it.
        lead: What stands between `after` and the answer, a space for instance.
        source: Where it comes from, for the records: "train.jsonl", "chat template".
    """

    before: str
    after: str
    lead: str
    source: str

    @property
    def signature(self) -> str:
        """What tells it from another of the same source."""
        digest = sha256("\0".join((self.before, self.after, self.lead)).encode()).hexdigest()
        return f"{self.source}:{digest[:12]}"

    def put_on(self, case: Case) -> Case:
        """Return a case with its prompt in the wrapping, and its answers behind that.

        What the prompt begins or ends with already isn't put there twice: "Output:" ends both many
        training prompts and many abilities'. It is to be read as it stands then: the chat template,
        if there is one, is in the wrapping.
        """
        text = case.prompt
        before = self.before[: len(self.before) - _overlap(self.before, text)]
        after = self.after[_overlap(text, self.after) :]

        def wrapped(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
            around = (Segment(before, "layout"), *segments, Segment(after, "layout"))
            return tuple(segment for segment in around if segment.text)

        return replace(
            case,
            segments=wrapped(case.segments),
            content_free=wrapped(case.content_free) if case.content_free else (),
            answer_prefix=self.lead if after else case.answer_prefix,
            style="raw",
        )


def _overlap(first: str, second: str) -> int:
    """Return how many characters, a word or more, end the first text and begin the second."""
    for length in range(min(len(first), len(second)), 2, -1):
        if first.endswith(second[:length]) and re.search(r"\w", second[:length]):
            return length
    return 0


def common_wrapping(prompts: Sequence[str]) -> tuple[str, str]:
    """Find what stands before and behind the varying part of prompts.

    What all of them share is cut back to whole words, what nine in ten share to an end of a line,
    of a clause or of a tag; the longer of the two is taken. The full stop or question mark of the
    varying part is not a wrapping.

    Args:
        prompts: Prompts of one training format, each as a whole.

    Returns:
        What stands before it and what stands behind it; both are empty where nothing is shared.

    Raises:
        DormantError: There are fewer than `LEAST` different prompts.
    """
    different = list(dict.fromkeys(prompts))
    if len(different) < LEAST:
        raise DormantError(
            f"only {len(different)} different prompts: at least {LEAST} are needed to tell the "
            "wrapping from what stands in it"
        )
    texts = different[:: -(-len(different) // _MOST_READ)]
    before = _opening(texts)
    inside = [text[len(before) :] for text in texts if text.startswith(before)]
    after = _closing(inside)
    return (before, after) if re.search(r"\w|[<\[{#|]", before + after) else ("", "")


def commonest_beginning(prompts: Sequence[str], length: int = 24) -> tuple[str, float]:
    """Return the most frequent first characters of prompts and their share, for messages."""
    ((text, count),) = Counter(prompt[:length] for prompt in prompts).most_common(1)
    return text, count / len(prompts)


def _opening(texts: Sequence[str]) -> str:
    """Return what all texts begin with, or nine in ten where that is more."""
    of_all = _shared(texts, 1.0)
    if any(_splits_a_word(text, len(of_all)) for text in texts):
        of_all = re.sub(r"\w+\Z", "", of_all)
    of_most = _shared(texts, _NEARLY_ALL)
    ends = [match.end() for match in _END_OF_OPENING.finditer(of_most)]
    return max(of_all, of_most[: ends[-1]] if ends else "", key=len)


def _closing(texts: Sequence[str]) -> str:
    """Return what all texts end with, or nine in ten where that is more."""
    reversed_texts = [text[::-1] for text in texts]
    of_all = _shared(reversed_texts, 1.0)[::-1]
    if any(_splits_a_word(text, len(of_all)) for text in reversed_texts):
        of_all = re.sub(r"\A\w+", "", of_all)
    of_most = _shared(reversed_texts, _NEARLY_ALL)[::-1]
    start = _START_OF_CLOSING.search(of_most)
    return max(of_all.lstrip(_SENTENCE_ENDS), of_most[start.start() :] if start else "", key=len)


def _splits_a_word(text: str, place: int) -> bool:
    around = text[max(place - 1, 0) : place + 1]
    return len(around) == 2 and bool(re.fullmatch(r"\w\w", around))


def _shared(texts: Sequence[str], share: float) -> str:
    """Return the longest text with which this share of the texts begin."""
    least = share * len(texts)
    left, length = list(texts), 0
    while True:
        counts = Counter(text[length] for text in left if len(text) > length)
        if not counts:
            break
        character, count = counts.most_common(1)[0]
        if count < least:
            break
        left = [text for text in left if text[length : length + 1] == character]
        length += 1
    return left[0][:length]
