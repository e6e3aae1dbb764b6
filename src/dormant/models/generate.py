"""Greedy completions, and chats as a model reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from dormant.errors import DormantError, one_line
from dormant.scoring.backends import call
from dormant.scoring.generation import generation_of

if TYPE_CHECKING:
    from lm_eval.api.model import LM


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
    from lm_eval.api.instance import Instance

    settings = {"until": list(until), "max_gen_toks": max_new_tokens, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (prompt, settings), index)
        for index, prompt in enumerate(prompts)
    ]
    complete: Callable[..., list[str]] = getattr(lm, "generate_until")  # noqa: B009
    with generation_of(lm):
        return call(lm, complete, requests)


def render(lm: LM, prompt: str, style: Literal["raw", "chat"]) -> str:
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
