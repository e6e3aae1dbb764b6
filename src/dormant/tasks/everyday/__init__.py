"""Abilities that people miss after fine-tuning, judged by rules in the model's own words.

None of them needs a judge model: what is right can be counted, parsed, or looked up. `ability`
holds what they have in common, `reading` how an answer is read, and each ability has a module and,
under `data/everyday`, a folder with a file a language.
"""

from __future__ import annotations

from dormant.tasks.everyday.ability import Asked, Everyday, Request
from dormant.tasks.everyday.arithmetic import Arithmetic
from dormant.tasks.everyday.knowledge import Knowledge
from dormant.tasks.everyday.length import Length
from dormant.tasks.everyday.reply_language import ReplyLanguage
from dormant.tasks.everyday.smalltalk import Smalltalk

TASKS: tuple[Everyday, ...] = (Smalltalk(), ReplyLanguage(), Length(), Knowledge(), Arithmetic())

__all__ = ["TASKS", "Asked", "Everyday", "Request"]
