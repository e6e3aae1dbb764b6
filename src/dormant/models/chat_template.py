"""The fine-tuned model's chat template, read without its weights: prompts are planned before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dormant.errors import DormantError, one_line
from dormant.libraries import quiet
from dormant.models.pair import ModelPair
from dormant.models.spec import ModelSpec
from dormant.models.templates import tokenizer_of


def chat_template(pair: ModelPair) -> Callable[[Sequence[Mapping[str, str]]], str]:
    """Return what renders a chat as the fine-tuned model reads it, up to its answer.

    The tokenizer is read when the first chat is rendered. It is the model's own, an adapter's
    where that brings one, and else its base's.

    Args:
        pair: The models of an audit.

    Returns:
        A function of turns, each with "role" and "content". It raises a `DormantError` where there
        is no template, or where the template refuses the turns.
    """
    read: list[Any] = []

    def render(turns: Sequence[Mapping[str, str]]) -> str:
        if not read:
            read.append(_tokenizer(pair))
        name = pair.tuned.text
        if not getattr(read[0], "chat_template", None):
            raise DormantError(
                f"model {name!r} has no chat template: give training examples whose prompts are "
                "texts as the model read them (`prompt` and `completion`)"
            )
        try:
            return read[0].apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=True, **_arguments(pair)
            )
        except Exception as error:
            # Templates are programs: they raise whatever they like.
            raise DormantError(
                f"the chat template of {name!r} refuses the training examples' turns "
                f"({', '.join(turn['role'] for turn in turns)}): {one_line(error)}"
            ) from error

    return render


def _arguments(pair: ModelPair) -> dict[str, Any]:
    """Return what a user said of the template, in the harness's words."""
    given = pair.tuned_options.model_args
    arguments = given.get("chat_template_args")
    said: dict[str, Any] = dict(arguments) if isinstance(arguments, Mapping) else {}
    if given.get("enable_thinking") is not None:
        said["enable_thinking"] = given["enable_thinking"]
    return said


def _tokenizer(pair: ModelPair) -> Any:
    tuned = pair.tuned
    named = pair.tuned_options.model_args.get("tokenizer")
    if isinstance(tuned, ModelSpec) and tuned.kind == "backend" and named is None:
        raise DormantError(
            f"the chat template of {tuned.text!r} is on its server: say tuned_model_args "
            "tokenizer=…, or give training examples whose prompts are texts"
        )
    with quiet():
        return tokenizer_of(pair, "tuned")
