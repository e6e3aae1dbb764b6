"""Markdown for pull requests and model cards: verdicts, figures, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dormant.report import formatting
from dormant.results import AbilityResult, AuditResults

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
_MENTION = re.compile(r"(?<!\w)@")
# At its beginning: a list's sign, a rule, or a line below a heading.
_BLOCK = re.compile(r"^(\d{0,9})([-+=.)])")


def summary_page(results: AuditResults) -> str:
    """Write an audit as GitHub's Markdown: a heading, a table, what to do, what to be wary of."""
    models = " → ".join(code(name) for name in (results.base, results.tuned) if name is not None)
    return "\n".join([f"### Dormant: {models}", "", *summary_lines(results), ""])


def summary_lines(results: AuditResults) -> Iterator[str]:
    """Write the same, below a heading of any kind."""
    abilities = formatting.by_severity(results)
    yield f"**{formatting.summary(results)}**"
    if results.skill is not None:
        yield f"\nSkill {code(results.skill.task)}: {results.skill.verdict}."
    if abilities:
        yield ""
        yield from _table(abilities)
        yield (
            f"\nAccuracy on {text(formatting.plain_prompts(results))} (rate of success); "
            "drop in points; "
            f"{formatting.level(results)} intervals."
        )
    doubted = [ability for ability in abilities if ability.verdict != "retained"]
    if doubted:
        yield "\n**What to do next**\n"
        for ability in doubted:
            advice = formatting.advice(ability)
            yield f"- {code(ability.task)}: {text(ability.reason)} {text(advice)}"
            for one in ability.not_tried:
                yield f"  - not tried: {code(one.name or one.rung)}: {text(one.reason)}"
    if results.warnings:
        yield "\n**Warnings**\n"
        yield from (f"- {text(warning)}" for warning in results.warnings)


def _table(abilities: list[AbilityResult]) -> Iterator[str]:
    yield "| Ability | Verdict | Base | Fine-tuned | Drop | n |"
    yield "| --- | --- | --: | --: | --: | --: |"
    for ability in abilities:
        plain, intervals = ability.accuracy, ability.accuracy_intervals
        cells = (
            code_in_table(ability.task),
            f"{formatting.MARKS[ability.verdict]} {text(formatting.with_rung(ability))}",
            formatting.accuracy(plain.base_plain, intervals.base_plain),
            formatting.accuracy(plain.tuned_plain, intervals.tuned_plain),
            formatting.difference(ability.drop),
            str(ability.n_items),
        )
        yield table_row(cells)


def table_row(cells: Iterable[str]) -> str:
    """Write a row of a table."""
    return f"| {' | '.join(cells)} |"


def code_in_table(name: str) -> str:
    """Write a name as code in a table's cell."""
    return code(name).replace("|", r"\|")


def code(name: str) -> str:
    """Write a name as code, whatever backticks it holds."""
    line = one_line(name) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    # Where it begins or ends with a backtick, spaces keep that apart; they are not shown.
    space = " " if line[0] in " `" or line[-1] in " `" else ""
    return f"{fence}{space}{line}{space}{fence}"


def text(words: str) -> str:
    """Write words so that nothing in them is markup, a link or a mention."""
    # A space of no width after an @ that could be a mention: an escaped one still is one.
    escaped = _BLOCK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", one_line(words)))
    return _MENTION.sub("@\N{ZERO WIDTH SPACE}", escaped)


def one_line(words: str) -> str:
    """Return words on one line, without characters that can't be printed."""
    line = " ".join(words.split())
    return "".join(character for character in line if character.isprintable())
