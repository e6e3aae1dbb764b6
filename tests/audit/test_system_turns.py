"""A system prompt that a chat template leaves out is no prompt that was asked."""

from __future__ import annotations

import pytest

from dormant import tasks
from dormant.audit.score import rendered
from dormant.errors import DormantError
from fakes import FakeLM


class Templated(FakeLM):
    """Renders turns of some roles, one a line, and leaves out the others."""

    def __init__(self, *roles):
        super().__init__()
        self.roles = roles

    def apply_chat_template(self, turns, add_generation_prompt=True):
        lines = [f"<{turn['role']}> {turn['content']}" for turn in turns
                 if turn["role"] in self.roles]  # fmt: skip
        return "\n".join([*lines, "<assistant>"])


def case_of(name):
    (task,) = tasks.get([name])
    return task.case(task.pool()[0], language="english", shots=0, seed=0)


def test_system_and_request_are_turns():
    case = case_of("everyday/system-prompt")
    text = rendered(Templated("system", "user"), case, case.prompt, "chat")
    system, user = (turn["content"] for turn in case.messages)
    assert text == f"<system> {system}\n<user> {user}\n<assistant>"


def test_a_template_without_a_place_for_it_is_refused():
    case = case_of("everyday/system-prompt")
    with pytest.raises(DormantError, match="leaves out the system prompt: use raw"):
        rendered(Templated("user"), case, case.prompt, "chat")
    assert rendered(Templated("user"), case, case.prompt, "raw") == case.prompt


def test_a_request_alone_needs_no_place():
    case = case_of("everyday/smalltalk")
    text = rendered(Templated("user"), case, case.prompt, "chat")
    assert text == f"<user> {case.messages[0]['content']}\n<assistant>"
