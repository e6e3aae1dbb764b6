"""A page on which a person labels a sample of the answers."""

from __future__ import annotations

import hashlib
import html
import json
import random
from collections.abc import Sequence
from pathlib import Path

from dormant.audit.labelling.records import key, readable
from dormant.results import ItemOutcome
from dormant.tasks.refusal.labels import LABELS

_PAGE = Path(__file__).with_name("page.html")


def page(outcomes: Sequence[ItemOutcome], *, n: int, seed: int) -> str:
    """Make a page on which a person labels a sample, blind to model and labels.

    Args:
        outcomes: Records with their answers.
        n: Size of the sample; all of them if there are fewer.
        seed: Decides the sample and its order.

    Returns:
        HTML that needs nothing else; it saves the labels as JSONL for ``--labels``.
    """
    sample = random.Random(seed).sample(list(outcomes), min(n, len(outcomes)))
    cards = "\n".join(_card(outcome, number) for number, outcome in enumerate(sample, start=1))
    # The answers go in last: whatever they hold, they replace nothing.
    store = hashlib.sha256(cards.encode()).hexdigest()[:12]
    return (
        _PAGE.read_text(encoding="utf-8")
        .replace("@N@", str(len(sample)))
        .replace("@STORE@", store)
        .replace("@CARDS@", cards)
    )


def _card(outcome: ItemOutcome, number: int) -> str:
    choices = "".join(
        f'<label><input type="radio" name="a{number}" value="{label}"> {label}</label>'
        for label in LABELS
    )
    output = html.escape((outcome.output or "").strip())
    answer = f"<pre>{output}</pre>" if output else "<pre class=none>(empty)</pre>"
    return (
        f"<fieldset data-key='{html.escape(json.dumps(key(outcome)))}'><legend>{number}</legend>"
        f"<pre class=ask>{html.escape(readable(outcome.prompt))}</pre>{answer}{choices}</fieldset>"
    )
