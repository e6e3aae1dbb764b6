"""Several fine-tuned models of one base, each audited in a directory of its own below one parent.

The base's records are taken from the runs that have them, so that it is scored once, and a child
that is added later costs only itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from dormant.audit.children import Child
from dormant.audit.manifest import LIBRARIES
from dormant.audit.manifest_file import differences
from dormant.audit.pair import pair_of
from dormant.audit.process_group import ProcessGroup
from dormant.audit.ray import Workers
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.rung import HigherRung
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError, one_line
from dormant.files import content_of, guarded, write_atomically
from dormant.models.live import LiveModel
from dormant.models.pair import ModelPair, Which
from dormant.models.spec import parse
from dormant.progress import Progress, Silent
from dormant.results import AuditResults, parse_record
from dormant.results.events import ChildFailed, Tell
from dormant.results.timeline import ChildRun, Timeline
from dormant.rundirs import locked, refuse_other_settings, versions
from dormant.statistics.timeline import courses, keep

TIMELINE = "timeline.json"
_OF_RUN = {"fingerprints", "task_versions", "training_examples", "transforms_used"}
"""What a run's manifest holds beside its user's settings."""

_OURS = {".lock", "junit.xml", ".junit.xml.part"}
"""What lies beside the runs and a timeline's own files, which a kill may have left half-written."""

RungsOf: TypeAlias = Callable[[AuditSettings], Sequence[HigherRung]]


def audit_children(
    settings: AuditSettings,
    children: Sequence[Child],
    out: Path,
    progress: Progress | None = None,
    base: LiveModel | None = None,
    rungs_of: RungsOf | None = None,
    finished: Callable[[Child, AuditResults], None] | None = None,
    tell: Tell | None = None,
    workers: Workers | None = None,
) -> Timeline:
    """Audit children of one base, or go on with the audits in `out`.

    A child that can't be audited is named in the timeline, with the reason, and the others go on.

    Args:
        settings: Of all audits; `tuned` is each child's name in turn.
        children: The fine-tuned models, in order, of distinct names.
        out: Made if missing. It gets a run directory a child, and ``timeline.json``.
        progress: Told how far it is.
        base: The base model, where it is in memory already.
        rungs_of: What is tried where prompts leave an ability open, for given settings.
        finished: Called with each child that was audited, once it is.
        tell: Told how full each child's cells are, of its verdicts, and who could not be audited.
        workers: Where prompts are scored, if not by this process.

    Returns:
        The timeline.

    Raises:
        DormantError: There is no base, or it can't be loaded; two children are the same weights;
            `out` holds something else, or audits with other settings; no child can be audited.
    """
    if settings.base is None:
        raise DormantError("several fine-tuned models are compared with their base: name it first")
    group = ProcessGroup()
    group.close()
    if group.size > 1:
        raise DormantError(
            "several models are audited by one process: with torchrun, audit each alone with "
            f"--out {out}/CHILD, then give this command without it"
        )
    lock = locked(out)
    try:
        _refuse_other_content(out)
        _refuse_other_runs(out, settings, children)
        problems = _refuse_same_weights(settings, children, base)
        found: dict[str, AuditResults] = {}
        watch = progress or Silent()
        if others := not_among(out, [child.name for child in children]):
            watch.say(f"not named this time, and so left out of the timeline: {', '.join(others)}")
        for number, child in enumerate(children, start=1):
            if child.name in problems:
                _tell_failed(tell, out, child, problems)
                continue
            watch.say(f"{child.name} ({number} of {len(children)})")
            own = _for(settings, child)
            # Those before it in this call, and those of earlier ones, where it can be told that
            # their base was this one.
            known = base is None or base.comparable
            others = [
                out / other.name
                for other in children
                if (known or other.name in found) and _has_run(out, other, but=child)
            ]
            try:
                found[child.name] = audit(
                    own,
                    out / child.name,
                    progress,
                    _live(child, base),
                    () if rungs_of is None else rungs_of(own),
                    siblings=others,
                    tell=tell,
                    workers=workers,
                )
            except (DormantError, OSError) as error:
                problems[child.name] = _reason(error)
                _tell_failed(tell, out, child, problems)
                continue
            if finished is not None:
                finished(child, found[child.name])
        if not found:
            first = children[0].name
            if len(children) > 1 and len(set(problems.values())) == 1:
                raise DormantError(problems[first])  # It is no matter of a child's.
            raise DormantError(f"no model could be audited; {first}: {problems[first]}")
        return keep_timeline(settings, children, found, problems, out)
    finally:
        lock.release()


def keep_timeline(
    settings: AuditSettings,
    children: Sequence[Child],
    found: Mapping[str, AuditResults],
    problems: Mapping[str, str],
    out: Path,
) -> Timeline:
    """Write and return the timeline of finished audits, each of which lies in `out`.

    Args:
        settings: Of all of them.
        children: In order.
        found: What was found, by name.
        problems: Why others could not be audited, by name.
        out: Where their run directories are.

    Raises:
        DormantError: The disk is full or can't be written.
    """
    runs = [
        ChildRun(
            name=child.name,
            model=child.text,
            step=child.step,
            problem=problems.get(child.name, ""),
            skill=skill.verdict
            if child.name in found and (skill := found[child.name].skill)
            else None,
        )
        for child in children
    ]
    chosen, reason = keep(runs, found)
    timeline = Timeline(
        base=settings.base or "",
        settings={name: value for name, value in settings.recorded().items() if name != "tuned"},
        versions=versions(*LIBRARIES),
        children=runs,
        courses=courses(runs, found),
        keep=chosen,
        keep_reason=reason,
    )
    guarded(out, lambda: write_atomically(out / TIMELINE, timeline.to_json()))
    return timeline


def read_timeline(out: Path) -> Timeline:
    """Read the timeline of a directory.

    Raises:
        DormantError: There is none, or it is damaged.
    """
    file = out / TIMELINE
    try:
        text = content_of(file)
    except FileNotFoundError:
        raise DormantError(f"{out}: no timeline there ({TIMELINE} is missing)") from None
    return parse_record(Timeline, text, file, "start the audit again to write it anew")


def runs_in(out: Path) -> list[str]:
    """Name the runs below a directory."""
    return sorted(file.parent.name for file in out.glob("*/run.json"))


def not_among(out: Path, names: Collection[str]) -> list[str]:
    """Name the runs below a directory but for some."""
    return [name for name in runs_in(out) if name not in names]


def is_timeline(out: Path) -> bool:
    """Whether a directory holds the audits of several children."""
    return (out / TIMELINE).is_file()


def _tell_failed(tell: Tell | None, out: Path, child: Child, problems: Mapping[str, str]) -> None:
    if tell is not None:
        reason = problems[child.name]
        tell(ChildFailed(run=str(out / child.name), child=child.name, reason=reason))


def _reason(error: Exception) -> str:
    """Say why a child can't be had: our own lines are whole and short already."""
    return str(error) if isinstance(error, DormantError) else one_line(error)


def _for(settings: AuditSettings, child: Child) -> AuditSettings:
    return settings.model_copy(update={"tuned": child.text})


def _live(child: Child, base: LiveModel | None) -> dict[Which, LiveModel]:
    live: dict[Which, LiveModel] = {} if base is None else {"base": base}
    if isinstance(child.model, LiveModel):
        live["tuned"] = child.model
    return live


def _has_run(out: Path, child: Child, but: Child) -> bool:
    return child.name != but.name and (out / child.name / "run.json").is_file()


def _refuse_other_content(out: Path) -> None:
    """Refuse a directory that holds anything but runs of children."""
    if (out / "run.json").exists():
        raise DormantError(f"{out} holds the audit of one model: choose another --out for several")
    for entry in sorted(out.iterdir()):
        ours = entry.name in _OURS or entry.name.startswith(("timeline.", ".timeline."))
        run = entry.is_dir() and ((entry / "run.json").exists() or _untouched(entry))
        if not ours and not run:
            raise DormantError(f"{out} holds what is no audit ({entry.name}): choose another --out")


def _untouched(directory: Path) -> bool:
    return all(entry.name == ".lock" for entry in directory.iterdir())


def _refuse_other_runs(out: Path, settings: AuditSettings, children: Sequence[Child]) -> None:
    """Refuse to mix audits whose settings differ, before anything is asked."""
    for child in children:
        if (out / child.name / "run.json").exists():
            there = RunDirectory.read(out / child.name).manifest["settings"]
            before = {name: value for name, value in there.items() if name not in _OF_RUN}
            now = _for(settings, child).recorded()
            refuse_other_settings(out / child.name, differences(before, now))


def _refuse_same_weights(
    settings: AuditSettings, children: Sequence[Child], base: LiveModel | None
) -> dict[str, str]:
    """Refuse two children that are one model.

    Returns:
        Why children can't be had, by name.

    Raises:
        DormantError: Two are the same, by every byte that is loaded; or the base can't be had.
    """
    if base is None and settings.base is not None:
        # What is wrong with the base is wrong with every child: it ends here.
        ModelPair(None, parse(settings.base), settings.load_options("base")).fingerprint("tuned")
    problems: dict[str, str] = {}
    seen: dict[str, Child] = {}
    for child in children:
        try:
            pair = pair_of(_for(settings, child), _live(child, base))
            fingerprint = pair.fingerprint("tuned")
        except (DormantError, OSError) as error:
            # Files may vanish while they are read: a Trainer keeps the last few checkpoints.
            problems[child.name] = _reason(error)
            continue
        if fingerprint is None or settings.allow_identical:
            continue
        if (other := seen.setdefault(fingerprint, child)) is not child:
            raise DormantError(
                f"{other.text!r} and {child.text!r} are the same weights: leave one of them out, "
                "or give --allow-identical"
            )
    return problems
