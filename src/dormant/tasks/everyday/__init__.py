"""Abilities that people miss after fine-tuning, judged by rules in the model's own words.

None of them needs a judge model: what is right can be counted, parsed, or looked up. `ability`
holds what they have in common, `reading` how an answer is read, and each ability has a module and,
under `data/everyday`, a folder with a file a language.
"""

from __future__ import annotations

from dormant.tasks.everyday.ability import Asked, Everyday, Request
from dormant.tasks.everyday.arithmetic import Arithmetic
from dormant.tasks.everyday.instruction import Instruction
from dormant.tasks.everyday.knowledge import Knowledge
from dormant.tasks.everyday.length import Length
from dormant.tasks.everyday.read import Read
from dormant.tasks.everyday.reply_language import ReplyLanguage
from dormant.tasks.everyday.smalltalk import Smalltalk
from dormant.tasks.everyday.system_prompt import SystemPrompt
from dormant.tasks.everyday.thinking import Thinking
from dormant.tasks.everyday.tool_call import ToolCall

TASKS: tuple[Everyday, ...] = (
    Smalltalk(),
    SystemPrompt(),
    ReplyLanguage(),
    Length(),
    ToolCall(),
    Thinking(),
    Knowledge(),
    Arithmetic(),
    Read(),
    Instruction(),
)

__all__ = ["TASKS", "Asked", "Everyday", "Request"]
