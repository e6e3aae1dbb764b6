"""What every transform of text is: a named pair of functions with a declared domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dormant.errors import DormantError

Batch: TypeAlias = Callable[[Sequence[str]], list[str]]
"""A function of many texts at once; raises `BatchError` where only some of them fail."""


class TransformError(DormantError):
    """One text that a transform can't take, or can't take back.

    Attributes:
        text: The text.
        reason: What is wrong with it, as a clause.
    """

    def __init__(self, transform: str, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"{transform}: {reason}, in {shown(text)}")


class BatchError(DormantError):
    """Some texts of a batch failed; those that didn't are here too.

    Attributes:
        outcomes: A result or an error for every text, in order.
    """

    def __init__(self, outcomes: Sequence[str | DormantError]) -> None:
        self.outcomes = list(outcomes)
        failed = [one for one in self.outcomes if isinstance(one, DormantError)]
        many = f" (and {len(failed) - 1} more of {len(self.outcomes)})" if len(failed) > 1 else ""
        super().__init__(f"{failed[0]}{many}")


@dataclass(frozen=True, kw_only=True)
class TextTransform:
    """A transform s of text and its inverse, as a value.

    Satisfies `dormant.conjugation.Transform[str, str]`. `apply` and `invert` are what
    scikit-learn calls `transform` and `inverse_transform`: here they take a text as a whole, and
    `dormant.prompts.conjugate` puts them on the words of prompts.

    Attributes:
        name: As written on the command line, e.g. "leetspeak".
        apply_batch: s, on many texts at once.
        invert_batch: s⁻¹, on many texts at once.
        in_domain: Whether a text belongs to the domain on which the round trip is promised.
        exact: Whether ``invert(apply(x)) == x`` for every x in the domain.
        whole_text: Whether s needs the whole text at once (translation, reversed words), so that
            protected spans become placeholders; otherwise s is applied to the pieces between them.
        signature: What was really used, e.g. "spanish@apertium-3.8.3".
        language: Code of the natural language of s(x), where s is a translation.
        source: Code of the natural language of x, where s is a translation.
        summary: One line for people.
        parts: The transforms that a composition is made of, first to last; empty for others.
    """

    name: str
    apply_batch: Batch
    invert_batch: Batch
    in_domain: Callable[[str], bool]
    exact: bool
    signature: str
    summary: str
    whole_text: bool = False
    language: str | None = None
    source: str | None = None
    parts: tuple[TextTransform, ...] = ()

    def apply(self, prompt: str, /) -> str:
        """Return s(prompt).

        Raises:
            DormantError: The prompt is outside the domain, or can't be translated.
        """
        return _only(self.apply_batch, prompt)

    def invert(self, answer: str, /) -> str:
        """Return s⁻¹(answer).

        Raises:
            DormantError: The answer can't be read back.
        """
        return _only(self.invert_batch, answer)


def _only(batch: Batch, text: str) -> str:
    (outcome,) = outcomes(batch, [text])
    if isinstance(outcome, DormantError):
        raise outcome
    return outcome


def outcomes(batch: Batch, texts: Sequence[str]) -> list[str | DormantError]:
    """Call a batch function and return a result or an error for every text.

    A function that fails without saying which text was at fault is called again on each alone.

    Args:
        batch: Half of a transform.
        texts: The texts.
    """
    if not texts:
        return []
    try:
        results: list[str | DormantError] = [*batch(texts)]
    except BatchError as error:
        results = error.outcomes
    except DormantError as error:
        if len(texts) == 1:
            return [error]
        return [outcomes(batch, [text])[0] for text in texts]
    if len(results) != len(texts):
        raise DormantError(f"a transform returned {len(results)} results for {len(texts)} texts")
    return results


def all_or_raise(results: Sequence[str | DormantError]) -> list[str]:
    """Return the results if none is an error.

    Raises:
        BatchError: Some are.
    """
    texts = [one for one in results if isinstance(one, str)]
    if len(texts) < len(results):
        raise BatchError(results)
    return texts


def each(change: Callable[[str], str]) -> Batch:
    """Lift a function of one text to a batch."""

    def one(text: str) -> str | DormantError:
        try:
            return change(text)
        except DormantError as error:
            return error

    return lambda texts: all_or_raise([one(text) for text in texts])


def everywhere(_: str) -> bool:
    """The domain of all texts."""
    return True


def cipher(
    name: str,
    encode: Callable[[str], str],
    decode: Callable[[str], str],
    *,
    summary: str,
    version: int,
    in_domain: Callable[[str], bool] = everywhere,
    domain: str = "",
    whole_text: bool = False,
) -> TextTransform:
    """Make an exact transform from a pair of functions of one text.

    Args:
        name: As written on the command line.
        encode: s; called on texts in the domain only.
        decode: s⁻¹; called on anything, since models write anything.
        summary: One line for people.
        version: Raised whenever the result for some text changes.
        in_domain: The domain.
        domain: What a text must be like to be in the domain, as a clause for error messages.
        whole_text: See `TextTransform`.
    """

    def guarded(text: str) -> str:
        if not in_domain(text):
            raise TransformError(name, text, f"outside the domain ({domain})")
        return encode(text)

    return TextTransform(
        name=name,
        apply_batch=each(guarded),
        invert_batch=each(decode),
        in_domain=in_domain,
        exact=True,
        signature=f"{name}-{version}",
        summary=summary,
        whole_text=whole_text,
    )


def shown(text: str, length: int = 60) -> str:
    """Quote a text for a message, its middle left out if it is long."""
    half = length // 2
    short = text if len(text) <= length else f"{text[:half]} … {text[-half:]}"
    return repr(short)
