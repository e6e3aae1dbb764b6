"""The solver `dormant/conjugate`: s⁻¹ ∘ generate ∘ s around any task of Inspect (paper §3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inspect_ai.log import transcript
from inspect_ai.model import (
    ChatMessage,
    ChatMessageSystem,
    ChatMessageTool,
    ModelOutput,
    get_model,
)
from inspect_ai.model._generate_config import active_generate_config
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.solver import generate as plainly

from dormant import transforms
from dormant.errors import DormantError
from dormant.integrations.inspect.errors import convert_errors
from dormant.integrations.inspect.messages import refuse_contaminating, rewritten, texts
from dormant.integrations.logs.inspect_logs import CONJUGATED
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.exchange import Exchange, exchange
from dormant.prompts.text_transform import TextTransform


@solver
def conjugate(
    transform: str,
    solver: Solver | None = None,
    keep: bool = False,
    system: bool = True,
    source: str = "english",
) -> Solver:
    """Put every prompt to the model under a transform, and undo it on the answer.

    Takes the place of ``generate()``, or wraps it inside another solver: system messages,
    few-shot demonstrations, earlier turns and the question are transformed together, just before
    the model reads them; everything else (prompt templates, other solvers, scorers) sees the
    plain conversation with the answer transformed back. What the model read and wrote is in the
    sample's metadata, under "dormant_conjugate".

    Args:
        transform: A transform's name, e.g. "leetspeak", "spanish@apertium", "caesar:5+morse".
        solver: What calls ``generate()``, e.g. ``multiple_choice()``; by default nothing else does.
        keep: Leave numbers, URLs, code, tags and placeholders as they are.
        system: Transform system messages, too.
        source: The language of the task, which languages in the name translate from.
    """
    with convert_errors():
        refuse_contaminating()
        chosen = transforms.get(transform, source)
    inner = solver or plainly()

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        async def conjugated(
            state: TaskState, tool_calls: Any = "loop", **config: Any
        ) -> TaskState:
            return await _conjugated(state, generate, chosen, keep, system, config)

        return await inner(state, conjugated)

    return solve


async def _conjugated(
    state: TaskState,
    generate: Generate,
    transform: TextTransform,
    keep: bool,
    system: bool,
    config: dict[str, Any],
) -> TaskState:
    """Let the model answer the transformed conversation; leave the plain one behind."""
    refuse_contaminating(get_model())
    plain = list(state.messages)
    if state.tools or any(isinstance(message, ChatMessageTool) for message in plain):
        raise DormantError(
            f"conjugate({transform.name!r}): this sample has tools, and a transform can't pass "
            "through tool calls: use a task without tools"
        )

    def changes(message: ChatMessage) -> bool:
        return system or not isinstance(message, ChatMessageSystem)

    words = texts([message for message in plain if changes(message)])
    stops: list[str] = config.pop("stop_seqs", None) or active_generate_config().stop_seqs or []
    put = exchange(Conjugation(transform, protect=keep), words, stops)
    images = iter(put.texts)
    state.messages = [
        rewritten(message, lambda _: next(images)) if changes(message) else message
        for message in plain
    ]
    asked = [{"role": message.role, "text": message.text} for message in state.messages]
    if stops:
        config["stop_seqs"] = list(put.stops)
    state = await generate(state, "none", **config)
    written = state.output.completion
    problems: list[str] = []
    state.output = _undone(state.output, put, problems)
    state.messages = [*plain, *([state.output.message] if state.output.choices else [])]
    _record(state, transform, {"asked": asked, "output": written, "problem": _joined(problems)})
    return state


def _undone(output: ModelOutput, put: Exchange, problems: list[str]) -> ModelOutput:
    """Return the output with every answer transformed back, or as it is where that fails."""

    def undone(text: str) -> str:
        try:
            return put.answer(text)
        except DormantError as error:
            problems.append(str(error))
            return text

    choices = [
        choice.model_copy(update={"message": rewritten(choice.message, undone)})
        for choice in output.choices
    ]
    completion = choices[0].message.text if choices else ""
    return output.model_copy(update={"choices": choices, "completion": completion})


def _joined(problems: Sequence[str]) -> str | None:
    return "; ".join(problems) or None


def _record(state: TaskState, transform: TextTransform, exchange: dict[str, Any]) -> None:
    """Keep what happened in the sample's metadata, and say once what to make of it."""
    before: dict[str, Any] = state.metadata.get(CONJUGATED) or {}
    note = statement(transform)
    # New objects throughout: epochs may share the sample's.
    state.metadata = {
        **state.metadata,
        CONJUGATED: {
            "transform": transform.name,
            "signature": transform.signature,
            "exact": transform.exact,
            "note": note,
            "exchanges": [*before.get("exchanges", ()), exchange],
        },
    }
    if note and not before:
        transcript().info(note, source="dormant")
    if exchange["problem"]:
        transcript().info(
            f"s⁻¹ can't make anything of the answer, which stays as the model wrote it: "
            f"{exchange['problem']}",
            source="dormant",
        )


def statement(transform: TextTransform) -> str | None:
    """Return what a reader should know of an inexact transform; `None` for an exact one."""
    if transform.exact:
        return None
    return (
        f"{transform.name} ({transform.signature}) is not exact: the answer was transformed back "
        "as well as it can, and a scorer that wants the target's very words may miss right answers"
    )
