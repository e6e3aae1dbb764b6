"""The report in a terminal: verdicts first, then the figures, then what to be wary of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dormant.report import closeness, formatting, pairing, training
from dormant.report.cells import best
from dormant.results import AbilityResult, AuditResults, Estimate, SkillResult, Verdict

COLOURS: Mapping[Verdict, str] = {
    "retained": "green",
    "asked otherwise": "magenta",
    "suppressed": "yellow",
    "lost": "dark_orange3",
    "forgotten": "red",
    "inconclusive": "cyan",
}

_SKILL_COLOURS = {"learned": "green", "not learned": "red", "undecided": "cyan"}

ASCII = str.maketrans(
    {
        "✔": "v",
        "◐": "o",
        "⇄": "~",
        "○": "0",
        "✘": "x",
        "→": "->",
        formatting.MINUS: "-",
        formatting.DASH: "-",
        "·": "-",
        "’": "'",
        "“": '"',
        "”": '"',
        "…": "...",
        "∞": "inf",
        "\N{NARROW NO-BREAK SPACE}": " ",
    }
)
"""What to print where the terminal knows no other letters."""


def print_report(results: AuditResults, console: Console, page: Path | None = None) -> None:
    """Print one audit's verdicts, figures, failed controls and warnings.

    Args:
        results: What the audit found.
        console: Where to print. Eighty columns are enough.
        page: The HTML report, if there is one: its path is printed last.
    """
    console.print(TerminalReport(results))
    print_page(page, console)


def print_page(page: Path | None, console: Console) -> None:
    """Print the path of a page, if there is one: for copying, never broken or cut."""
    if page is not None:
        console.print()
        console.print(Text.assemble("Report: ", (str(page), "underline")), soft_wrap=True)


class TerminalReport:
    """One audit's report as a rich renderable.

    Args:
        results: What the audit found.
    """

    def __init__(self, results: AuditResults) -> None:
        self.results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the console at hand, in ASCII where it knows nothing else."""
        renderer = _Renderer(ascii_only=options.ascii_only)
        results = self.results
        if results.base is not None:
            yield renderer.text((results.base, ""), (" → ", "dim"), (results.tuned, "bold"))
        else:
            yield renderer.text((results.tuned, "bold"), (" (no base model: gains only)", "dim"))
        yield renderer.text((formatting.summary(results), "bold"))
        if said := pairing.effect(results):
            yield renderer.text(("Effect: ", "dim"), (said, ""))
        if said := pairing.alike(results):
            yield renderer.text(("Comparable: ", "dim"), (said, ""))
        yield Text()
        if results.skill is not None:
            yield renderer.skill(results.skill)
        for ability in formatting.by_severity(results):
            yield renderer.headline(ability)
        if results.abilities:
            legend = (
                f"Accuracy on {formatting.plain_prompts(results)} (rate of success); differences "
                "in points, "
                f"{formatting.level(results)} intervals"
            )
            yield renderer.text((legend, "dim"))
            yield renderer.figures(results)
        yield from renderer.failed_controls(results)
        if results.closeness:
            yield Text()
            yield renderer.text(("Closeness to the fine-tuning data, and what was lost:", "dim"))
        for name, said in closeness.lines(results.closeness):
            yield renderer.hanging("-", "dim", renderer.text((name, "bold"), (f": {said}", "")))
        for warning in results.warnings:
            yield renderer.hanging("!", "yellow", renderer.text((warning, "")))


def _of_training(ability: AbilityResult) -> Iterator[str]:
    """What the training data tell of an ability, a line each."""
    if ability.as_trained is not None:
        yield f"As trained: {training.as_trained_figures(ability.as_trained)}."
    if ability.hijack is not None and ability.verdict != "retained":
        yield training.hijack_line(ability.hijack)


class Renderer:
    """Builds text in the letters that the terminal knows.

    Args:
        ascii_only: Whether it knows no others than ASCII's.
    """

    def __init__(self, *, ascii_only: bool) -> None:
        self._ascii_only = ascii_only

    def plain(self, text: str) -> str:
        """Return a text in letters that are known."""
        return text.translate(ASCII) if self._ascii_only else text

    def text(self, *parts: tuple[str, str]) -> Text:
        """Put parts together, each with its style."""
        return Text.assemble(*((self.plain(text), style) for text, style in parts))


class _Renderer(Renderer):
    """Builds the parts of an audit's report."""

    def hanging(self, mark: str, style: str, body: RenderableType) -> RenderableType:
        """A paragraph behind a mark, its further lines indented."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_row(self.text((mark, style)), body)
        return grid

    def headline(self, ability: AbilityResult) -> RenderableType:
        colour = COLOURS[ability.verdict]
        name = self.text(
            (ability.verdict, f"bold {colour}"),
            ("  ", ""),
            (ability.task, "bold"),
            (f"  {ability.title}" if ability.title else "", "dim"),
        )
        body = Group(
            name,
            self.text((ability.reason, "")),
            *(self.text((line, "")) for line in _of_training(ability)),
            *([self.text((looked, "dim"))] if (looked := formatting.looked(ability)) else []),
            *(
                # Advice only where something is to be done.
                [self.text((formatting.advice(ability), "dim"))]
                if ability.verdict != "retained"
                else []
            ),
        )
        return Padding(
            self.hanging(formatting.MARKS[ability.verdict], f"bold {colour}", body), (0, 0, 1, 0)
        )

    def skill(self, skill: SkillResult) -> RenderableType:
        """The first row: did the skill arrive?"""
        colour = _SKILL_COLOURS[skill.verdict]
        body = Group(
            self.text(
                (skill.verdict, f"bold {colour}"),
                ("  ", ""),
                (skill.task, "bold"),
                (f"  {skill.title}" if skill.title else "", "dim"),
            ),
            self.text((f"{training.skill_figures(skill)}. {skill.reason}", "")),
        )
        mark = training.SKILL_MARKS[skill.verdict]
        return Padding(self.hanging(mark, f"bold {colour}", body), (0, 0, 1, 0))

    def figures(self, results: AuditResults) -> Table:
        """One row per ability: plain accuracies, drop, and what helps best."""
        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            header_style="dim",
        )
        has_base = results.base is not None
        table.add_column("Ability", overflow="fold", min_width=12)
        if has_base:
            table.add_column("Base", justify="right", no_wrap=True)
        table.add_column("Tuned", justify="right", no_wrap=True)
        if has_base:
            table.add_column("Drop", justify="right", no_wrap=True)
        table.add_column("Best", overflow="fold", min_width=6)
        table.add_column("Gain", justify="right", no_wrap=True)
        if has_base:
            table.add_column("Recovery", justify="right", no_wrap=True)
        for ability in formatting.by_severity(results):
            colour = COLOURS[ability.verdict]
            cells: list[Text] = [
                self.text((f"{formatting.MARKS[ability.verdict]} ", colour), (ability.task, ""))
            ]
            if has_base:
                cells.append(self.text((formatting.percent(ability.accuracy.base_plain), "")))
            cells.append(self.text((formatting.percent(ability.accuracy.tuned_plain), "")))
            if has_base:
                cells.append(self.difference(ability.drop))
            cells.append(self.text((best(ability) or formatting.DASH, "")))
            cells.append(self.difference(ability.gain))
            if has_base:
                cells.append(self.difference(ability.recovery))
            table.add_row(*cells)
        return table

    def difference(self, estimate: Estimate | None) -> Text:
        if estimate is None:
            return self.text((formatting.DASH, "dim"))
        return self.text(
            (formatting.points(estimate.estimate), ""),
            (f"\n{formatting.points_interval(estimate)}", "dim"),
        )

    def failed_controls(self, results: AuditResults) -> RenderResult:
        failed = [
            (ability.task, transform)
            for ability in results.abilities
            for transform in ability.transforms
            if formatting.control(transform) == "failed"
        ]
        if not failed:
            return
        yield Text()
        yield self.text(("Failed controls (these prove nothing):", "dim"))
        for task, transform in failed:
            reason = f": {transform.control_reason}" if transform.control_reason else ""
            yield self.hanging("-", "dim", self.text((f"{transform.name} on {task}{reason}", "")))
