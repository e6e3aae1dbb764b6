"""Do these artefacts compute the same? An adapter and its merged copy, a GGUF file, a server.

The same prompts are put to each, and every one is compared with the first: by logits where both
run in this process, else by log-probabilities of fixed texts, else by greedy answers. One model is
in memory at a time.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dormant.equivalence import observe, prompts
from dormant.equivalence.observe import Attempt, Rendered
from dormant.equivalence.prompts import Prompt, PromptSet
from dormant.equivalence.results import Check, Comparison
from dormant.equivalence.tolerance import Tolerance
from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions
from dormant.models.checkpoint import LoadLog
from dormant.models.comparability import is_local
from dormant.models.live import LiveModel
from dormant.models.load import load, load_adapter
from dormant.models.pair import Model, free
from dormant.models.spec import ModelSpec, parse
from dormant.models.stored import resolve
from dormant.progress import Progress, Silent

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from dormant.equivalence.local import Reference


def check(
    *models: Any,
    tolerance: str | float = "exact",
    prompts: str | os.PathLike[str] | Sequence[str] | None = None,
    base: str | os.PathLike[str] | None = None,
    options: LoadOptions | None = None,
    progress: Progress | None = None,
) -> Check:
    """Compare what models compute with what the first of them computes.

    Args:
        models: Two or more, by name as ``dormant audit`` takes them, or in memory: a pair (model,
            tokenizer), or an `LM` of lm-evaluation-harness.
        tolerance: "exact", "rounded", or nats (`dormant.equivalence.tolerance`).
        prompts: A file, or texts; default: texts and chats from the shipped tasks.
        base: What adapters are put on, where that isn't the base that they name.
        options: How models are loaded.
        progress: Told which model is asked.

    Returns:
        A comparison of each with the first; `Check.agree` says whether all are the same.

    Raises:
        DormantError: Bad input, or a model that can't be loaded or fails.

    Example:
        >>> dm.check("smollm2", "smollm2").agree
        True
    """
    if len(models) < 2:
        raise DormantError("nothing to compare: give two models or more")
    bound = Tolerance.parse(tolerance)
    chosen = _prompts(prompts)
    options = options or LoadOptions()
    named = [_model(given, options) for given in models]
    if base is not None and not any(model.kind == "adapter" for model in named):
        raise DormantError("base is what adapters are put on, and none of the models is one")
    under = None if base is None else resolve(parse(os.fspath(base)), options)
    watch = progress or Silent()
    watch.start(len(named), 0)
    with tempfile.TemporaryDirectory(prefix="dormant-check-") as folder:
        remote = not all(_runs_here(model) for model in named)
        comparisons: list[Comparison] = []
        reference: _Seen | None = None
        for model in named:
            watch.stage(f"loading {model.text}")
            log = LoadLog()
            with _opened(model, under, named[0], options, log) as lm:
                watch.stage(f"asking {model.text}")
                if reference is None:
                    reference = _Seen.of(lm, model, chosen, Path(folder), remote)
                else:
                    found = _compare(reference, lm, model, chosen, bound)
                    notes = (*found.notes, *dict.fromkeys(log.warnings))
                    comparisons.append(replace(found, notes=notes))
            watch.advance(1)
    assert reference is not None
    return Check(
        reference=reference.name,
        kind=_kind(named[0]),
        arithmetic=reference.arithmetic,
        prompts=len(chosen.prompts),
        tolerance=bound.text,
        comparisons=tuple(comparisons),
    )


_LONG = 1000
"""Characters of a built-in text that is put only to models whose context is known."""


@dataclass
class _Seen:
    """What is kept of the reference when it leaves memory."""

    name: str
    arithmetic: str = ""
    passes: Reference | None = None
    read: Mapping[str, Rendered] | None = None
    log_probabilities: Attempt | None = None
    texts: Attempt | None = None
    chats: Attempt | None = None

    @classmethod
    def of(cls, lm: LM, model: Model, chosen: PromptSet, folder: Path, remote: bool) -> _Seen:
        """Ask the reference all that the others may be compared by."""
        seen = cls(model.text)
        if is_local(lm):
            from dormant.equivalence.local import Reference

            seen.arithmetic = observe.arithmetic_of(lm)
            seen.read = observe.fitting(lm, observe.rendered(lm, chosen.prompts), chosen)
            if not seen.read:
                raise DormantError(
                    f"model {model.text!r} can read none of the prompts: give others"
                )
            seen.passes = Reference(lm, seen.read, folder)
        if remote or seen.passes is None:
            asked = _readable(chosen, seen.read)
            seen.log_probabilities = Attempt.of(lambda: observe.log_probabilities(lm, asked))
            seen.texts = Attempt.of(lambda: observe.answers(lm, asked, chat=False))
            seen.chats = Attempt.of(lambda: observe.answers(lm, asked, chat=True))
            if seen.passes is None and all(
                attempt.failure for attempt in (seen.log_probabilities, seen.texts, seen.chats)
            ):
                raise DormantError(f"model {model.text!r} answers nothing: {seen.texts.failure}")
        return seen


def _compare(
    reference: _Seen, lm: LM, model: Model, chosen: PromptSet, bound: Tolerance
) -> Comparison:
    blank = Comparison(model=model.text, kind=_kind(model), arithmetic="")
    if reference.passes is not None and is_local(lm):
        from dormant.equivalence.compare import by_logits

        assert reference.read is not None
        return by_logits(blank, reference.passes, reference.read, lm, chosen, bound)
    from dormant.equivalence.compare import by_answers, by_log_probabilities

    asked = _readable(chosen, reference.read)
    notes: list[str] = []
    if reference.log_probabilities is None:
        raise DormantError(
            f"model {model.text!r} is no causal language model, which {reference.name!r} is: they "
            "can't be compared"
        )
    theirs = Attempt.of(lambda: observe.log_probabilities(lm, asked))
    failure = reference.log_probabilities.failure or theirs.failure
    if not failure:
        found = by_log_probabilities(
            blank, reference.log_probabilities.value, theirs.value[0], bound
        )
        return replace(found, notes=_left_out(chosen, found))
    notes.append(f"no log-probabilities, so answers are compared: {failure}")
    for known, chat in ((reference.texts, False), (reference.chats, True)):
        assert known is not None
        written = Attempt.of(lambda chat=chat: observe.answers(lm, asked, chat=chat))
        if not known.failure and not written.failure:
            found = by_answers(blank, known.value, written.value, bound, tuple(notes))
            return replace(found, notes=(*notes, *_left_out(chosen, found)))
        failure = written.failure or known.failure
    raise DormantError(f"models {reference.name!r} and {model.text!r} can't be compared: {failure}")


def _left_out(chosen: PromptSet, found: Comparison) -> tuple[str, ...]:
    """Say how many prompts a comparison by texts could not use."""
    left = len(chosen.prompts) - found.places
    if not left:
        return ()
    return (
        f"{left} of {len(chosen.prompts)} prompts were left out: chats, and texts too short, or "
        "too long for a context that isn't known",
    )


def _readable(chosen: PromptSet, read: Mapping[str, Rendered] | None) -> list[Prompt]:
    """Return the prompts that are put to models whose context isn't known."""
    return [
        prompt
        for prompt in chosen.prompts
        if (chosen.given or len(prompt.text) < _LONG) and (read is None or prompt.name in read)
    ]


def _prompts(given: str | os.PathLike[str] | Sequence[str] | None) -> PromptSet:
    if given is None:
        return prompts.built_in()
    if isinstance(given, str | os.PathLike):
        return prompts.read(Path(given).expanduser())
    texts = [str(text) for text in given]
    if not texts or not all(text.strip() for text in texts):
        raise DormantError("prompts: give a file, or texts, none of them empty")
    named = (Prompt(f"prompt {n}", text) for n, text in enumerate(texts, start=1))
    return PromptSet(tuple(named), given=True)


def _model(given: object, options: LoadOptions) -> Model:
    if isinstance(given, str | os.PathLike):
        return resolve(parse(os.fspath(cast("str | os.PathLike[str]", given))), options)
    live = LiveModel.of(given)
    live.refuse(options)
    return live


@contextlib.contextmanager
def _opened(
    model: Model, base: ModelSpec | None, other: Model, options: LoadOptions, log: LoadLog
) -> Generator[LM]:
    """Load a model, hand it out, and let go of its memory.

    Args:
        model: The model.
        base: What adapters are put on; `None` for the base that they name.
        other: The reference, whose tokenizer stands in where a checkpoint has none.
        options: How it is loaded.
        log: Takes what there is to say of it.
    """
    if isinstance(model, LiveModel):
        with model.open(options) as lm:
            yield lm
        return
    if base is not None and model.kind == "adapter":
        lm = load_adapter(base, model, options, log=log)
    else:
        stand_in = other if isinstance(other, ModelSpec) and other is not model else None
        lm = load(model, options, other=stand_in, log=log)
    try:
        yield lm
    finally:
        free(lm)


def _runs_here(model: Model) -> bool:
    return model.model is not None if isinstance(model, LiveModel) else model.kind != "backend"


def _kind(model: Model) -> str:
    return (model.backend or model.kind) if isinstance(model, ModelSpec) else model.kind
