"""Completions, and chats as a model reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dormant.errors import DormantError, one_line
from dormant.prompts.case import Style
from dormant.scoring.backends import call
from dormant.scoring.generation import generation_of
from dormant.scoring.watching import Watch, watching

if TYPE_CHECKING:
    from lm_eval.api.model import LM


class Sampling(NamedTuple):
    """How a text is drawn that isn't the likeliest one.

    Attributes:
        temperature: Divides the logits; above 0.
        top_p: Share of the probability that is drawn from, likeliest tokens first, in (0, 1].
        seed: Decides the draw, beside the hardware.
    """

    temperature: float
    top_p: float
    seed: int


class Wanted(NamedTuple):
    """A text to be written.

    Attributes:
        prompt: The rendered prompt.
        max_new_tokens: Length at which the text stops, in tokens.
        until: Texts at which it ends, left out of it.
        sampling: `None` writes the likeliest token, one after another.
    """

    prompt: str
    max_new_tokens: int
    until: tuple[str, ...] = ()
    sampling: Sampling | None = None


def generate(
    lm: LM, prompts: Sequence[str], *, max_new_tokens: int, until: Sequence[str] = ()
) -> list[str]:
    """Complete every prompt greedily, whatever settings came with the checkpoint.

    Args:
        lm: Any harness model.
        prompts: N rendered prompts.
        max_new_tokens: Length at which a completion stops, in tokens.
        until: Texts at which a completion ends, left out of it.

    Returns:
        N completions.

    Raises:
        DormantError: The backend failed.
    """
    return generate_each(lm, [Wanted(prompt, max_new_tokens, tuple(until)) for prompt in prompts])


def generate_each(lm: LM, wanted: Sequence[Wanted], watch: Watch | None = None) -> list[str]:
    """Complete prompts, each by settings of its own.

    Those that ask for the likeliest text are written together; one that is drawn is written alone,
    so that its seed decides it.

    Args:
        lm: Any harness model.
        wanted: N texts.
        watch: Told every token of every text by its place, where the model is one that tells
            (`dormant.scoring.watching`), and may end it.

    Returns:
        N completions.

    Raises:
        DormantError: The backend failed.
    """
    texts: dict[int, str] = {}
    greedy = [place for place, one in enumerate(wanted) if one.sampling is None]
    for places in [greedy, *([place] for place in range(len(wanted)) if place not in greedy)]:
        some = [wanted[place] for place in places]
        with _drawn(some[0].sampling if some else None), watching(lm, _moved(watch, places)):
            texts.update(zip(places, _complete(lm, some), strict=True))
    return [texts[place] for place in range(len(wanted))]


def _complete(lm: LM, wanted: Sequence[Wanted]) -> list[str]:
    from lm_eval.api.instance import Instance

    requests = [
        Instance("generate_until", {}, (one.prompt, _settings(one)), index)
        for index, one in enumerate(wanted)
    ]
    complete: Callable[..., list[str]] = getattr(lm, "generate_until")  # noqa: B009
    with generation_of(lm):
        return call(lm, complete, requests) if requests else []


def _settings(one: Wanted) -> dict[str, Any]:
    settings: dict[str, Any] = {"until": list(one.until), "max_gen_toks": one.max_new_tokens}
    if one.sampling is None:
        return {**settings, "do_sample": False}
    # Without top_k Transformers would draw from fifty tokens.
    drawn = {"temperature": one.sampling.temperature, "top_p": one.sampling.top_p, "top_k": 0}
    return {**settings, "do_sample": True, **drawn}


@contextlib.contextmanager
def _drawn(sampling: Sampling | None) -> Generator[None]:
    """Let a seed decide what is drawn, and leave the process's own generators as they were."""
    if sampling is None:
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(sampling.seed)
        yield


def _moved(watch: Watch | None, places: Sequence[int]) -> Watch | None:
    if watch is None:
        return None
    return lambda place, written: watch(places[place], written)


def render(lm: LM, prompt: str, style: Style) -> str:
    """Return the prompt as the model reads it: as it is, or as a user's turn of a chat.

    Raises:
        DormantError: The model has no chat template.
    """
    return prompt if style == "raw" else render_chat(lm, [{"role": "user", "content": prompt}])


def render_chat(lm: LM, turns: list[dict[str, str]], *, answer: bool = True) -> str:
    """Return a chat as the model reads it.

    Args:
        lm: Any harness model.
        turns: Its messages, each with a "role" and its "content".
        answer: Whether the assistant's next turn begins after them; otherwise the last one, which
            is the assistant's, goes on.

    Raises:
        DormantError: The model has no chat template.
    """
    try:
        return lm.apply_chat_template(turns, add_generation_prompt=answer)
    except (NotImplementedError, ValueError, AttributeError) as error:
        raise DormantError(
            f"this model has no chat template ({one_line(error)}); use raw"
        ) from error


def leaves_out_system(
    lm: LM, turns: list[dict[str, str]], rendered: str, *, answer: bool = True
) -> bool:
    """Say whether what `render_chat` made of a chat leaves out its system turn.

    The harness drops a system turn that a template refuses, and some templates do so themselves.
    """
    rest = [turn for turn in turns if turn["role"] != "system"]
    return len(rest) < len(turns) and rendered == render_chat(lm, rest, answer=answer)
