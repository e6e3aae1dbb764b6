"""Audits that go on until each ability is decided, and no longer."""

from __future__ import annotations

import contextlib
import json

import pytest

import fakes
from audited_runs import kept, told
from dormant.audit import run as running
from dormant.audit import scoring
from dormant.audit.forecast import forecast
from dormant.audit.plan import plan
from dormant.audit.run import audit
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.rung import HigherRung, Intervention
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.report import formatting, write_report
from dormant.report.tables import transform_rows
from dormant.results import LOOKS, PLAIN
from dormant.statistics import Looks, Success, judge_ability, plain_cells, transform_cells
from dormant.tasks import get

ITEMS = 120
TASKS = ("lost", "kept", "near")


@pytest.fixture
def settings(tmp_path):
    """Three abilities, told apart by a word in their prompts."""
    files = []
    for name in TASKS:
        rows = [{"name": f"mine/{name}", "title": name, "languages": {"english": {}}}]
        rows += [
            {"language": "english", "id": f"{name}-{n}", "input": f"{name} {n}", "target": f"{n}"}
            for n in range(ITEMS)
        ]
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return AuditSettings(
        base="fake:skill=0.9", tuned="fake:skill=0.3", tasks=tuple(map(str, files)),
        transforms=("leetspeak",), shots=0, device="cpu", until_decided=True,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def truth(monkeypatch):
    """Let models be right as often as this says, by task, model and whether under leetspeak."""
    rates = {
        ("lost", "base", False): 0.95, ("lost", "base", True): 0.95,
        ("lost", "tuned", False): 0.1, ("lost", "tuned", True): 0.9,
        ("kept", "base", False): 1.0, ("kept", "base", True): 1.0,
        ("kept", "tuned", False): 1.0, ("kept", "tuned", True): 1.0,
        ("near", "base", False): 0.95, ("near", "base", True): 0.95,
        ("near", "tuned", False): 0.92, ("near", "tuned", True): 0.92,
    }  # fmt: skip
    real = scoring.score_cases

    def score(lm, task, cases, style):
        which = "base" if lm.skill == 0.9 else "tuned"
        kind = task.name.removeprefix("mine/")
        outcomes = real(lm, task, cases, style)
        return [
            one.model_copy(
                update={
                    "correct": fakes._draw("right", one.item)
                    < rates[kind, which, case.undo is not None]
                }
            )
            for one, case in zip(outcomes, cases, strict=True)
        ]

    monkeypatch.setattr(scoring, "score_cases", score)
    return rates


def only(settings, *names):
    tasks = tuple(task for task in settings.tasks if any(f"{name}.jsonl" in task for name in names))
    return settings.model_copy(update={"tasks": tasks})


def items_in(out):
    """Items on disk, by ability: the same in all of its cells."""
    counts: dict[str, set[int]] = {}
    for file, lines in kept(out).items():
        counts.setdefault(file.parts[1], set()).add(lines.count(b"\n"))
    assert all(len(numbers) == 1 for numbers in counts.values())
    return {name.removeprefix("mine-").rpartition("-")[0]: n.pop() for name, n in counts.items()}


def found(results):
    return {one.title: (one.verdict, one.n_items) for one in results.abilities}


def test_each_ability_stops_when_it_is_decided(settings, tmp_path):
    results = audit(settings, tmp_path / "run")
    assert found(results) == {
        "lost": ("suppressed", 40),
        "kept": ("retained", 120),
        "near": ("inconclusive", 120),
    }
    assert items_in(tmp_path / "run") == {"lost": 40, "kept": 120, "near": 120}
    lost, _, near = results.abilities
    assert near.drop.low < 0 < settings.margin < near.drop.high
    assert near.reason.startswith("Undecided after 120 items: the drop is between")
    assert lost.looks.sizes == [40, 80, 120]
    assert lost.looks.level == Looks(sizes=(40, 80, 120)).nominal(40) > 0.95
    assert lost.drop.level == lost.gain.level == 0.95
    # And so it is said.
    assert formatting.looked(lost) == "Decided after 40 items (looks at 40, …)."
    assert formatting.looked(near) == "Undecided after 120 items (looks at 40, 80, 120)."
    records = RunDirectory.read(tmp_path / "run").all_outcomes()
    page = write_report(results, records, tmp_path / "page.html", "html").read_text("utf-8")
    assert formatting.looked(lost) in page
    rows = {row["task"]: row for row in transform_rows(results)}
    assert rows["mine/lost"]["looks"] == "40 80 120"
    assert rows["mine/lost"]["ability_items"] == 40


def test_what_is_read_again_is_the_same(settings, tmp_path, monkeypatch):
    first = audit(settings, tmp_path / "run")

    def ask(*_):
        raise AssertionError("nothing is left to score")

    monkeypatch.setattr(scoring.Scoring, "ask", ask)
    assert told(audit(settings, tmp_path / "run")) == told(first)


def test_records_are_those_of_a_run_that_goes_on(settings, tmp_path, monkeypatch):
    audit(settings, tmp_path / "short")
    monkeypatch.setattr(running, "is_decided", lambda *_: False)
    audit(settings, tmp_path / "long")
    long = kept(tmp_path / "long")
    assert set(items_in(tmp_path / "long").values()) == {ITEMS}
    for file, lines in kept(tmp_path / "short").items():
        assert long[file].startswith(lines)
    # The results of the long run are those of the short one, were it ended here.
    monkeypatch.undo()


def test_a_longer_run_is_judged_at_the_look_that_decided(settings, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(running, "is_decided", lambda *_: False)
        audit(only(settings, "near"), tmp_path / "run")
    again = audit(only(settings, "near"), tmp_path / "run")
    assert found(again) == {"near": ("inconclusive", 120)}


class Stopped(Exception):
    pass


def stopped_everywhere(settings, tmp_path, monkeypatch, rungs=()):
    """Interrupt a run at every batch, and see that it ends as an unbroken one."""
    whole = audit(settings, tmp_path / "whole", rungs=rungs)
    real = RunDirectory.append
    appends = []

    def counted(self, cell, outcomes):
        appends.append(cell)
        real(self, cell, outcomes)

    monkeypatch.setattr(RunDirectory, "append", counted)
    audit(settings, tmp_path / "counted", rungs=rungs)
    for stop in range(len(appends)):
        out, left = tmp_path / f"stopped-{stop}", [stop]

        def breaking(self, cell, outcomes, left=left):
            if not left[0]:
                # What a kill leaves of a batch.
                self.cell_file(cell).parent.mkdir(parents=True, exist_ok=True)
                with self.cell_file(cell).open("ab") as file:
                    file.write(outcomes[0].model_dump_json(exclude_none=True).encode() + b"\n{")
                raise Stopped
            left[0] -= 1
            real(self, cell, outcomes)

        monkeypatch.setattr(RunDirectory, "append", breaking)
        with pytest.raises(Stopped):
            audit(settings, out, rungs=rungs)
        monkeypatch.setattr(RunDirectory, "append", real)
        again = audit(settings, out, rungs=rungs)
        assert told(again) == told(whole)
        assert kept(out) == kept(tmp_path / "whole")
    return appends


def test_an_interrupted_run_ends_as_an_unbroken_one(settings, tmp_path, monkeypatch):
    two = only(settings, "lost", "near").model_copy(update={"max_items": 80})
    appends = stopped_everywhere(two, tmp_path, monkeypatch)
    assert len(appends) == 4 * (1 + 2)  # cells; looks of each ability


def test_resuming_leaves_later_looks_on_disk(settings, tmp_path, monkeypatch):
    near = only(settings, "near")
    audit(near, tmp_path / "run")
    scored = []
    real = scoring.Scoring.ask

    def ask(self, lm, turn, style):
        scored.extend(turn)
        return real(self, lm, turn, style)

    monkeypatch.setattr(scoring.Scoring, "ask", ask)
    run = RunDirectory.read(tmp_path / "run")
    file = run.cell_file(CellKey("tuned", "mine/near", PLAIN))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    audit(near, tmp_path / "run")
    # The last look's batch alone was torn.
    assert [len(batch.items) for batch in scored] == [40]
    assert file.read_bytes() == b"".join(lines)


def test_no_items_are_wasted_on_what_the_base_never_had(settings, truth, tmp_path):
    for which in ("base", "tuned"):
        truth["near", which, False] = truth["near", which, True] = 0.0
    (near,) = audit(only(settings, "near"), tmp_path / "run").abilities
    assert (near.verdict, near.n_items) == ("inconclusive", 80)
    assert near.reason.startswith("Undecided after 80 items: the base model scarcely has this")


def test_no_items_are_wasted_where_every_control_fails(settings, truth, tmp_path):
    truth["lost", "base", True] = truth["lost", "tuned", True] = 0.1
    (lost,) = audit(only(settings, "lost"), tmp_path / "run").abilities
    assert (lost.verdict, lost.n_items) == ("inconclusive", 40)
    assert "no transform passed its control" in lost.reason
    # A control that may still pass is waited for.
    truth["lost", "base", True] = 0.45
    (lost,) = audit(only(settings, "lost"), tmp_path / "other").abilities
    assert lost.n_items > 40


def test_more_items_are_another_run(settings, tmp_path):
    few = only(settings, "near").model_copy(update={"max_items": 80})
    audit(few, tmp_path / "run")
    with pytest.raises(DormantError, match="max_items was 80, now 120"):
        audit(few.model_copy(update={"max_items": 120}), tmp_path / "run")
    with pytest.raises(DormantError, match="until_decided was True, now None"):
        audit(few.model_copy(update={"until_decided": False, "max_items": None}), tmp_path / "run")


def test_a_fixed_run_is_recorded_as_ever(settings, tmp_path):
    fixed = only(settings, "near").model_copy(update={"until_decided": False})
    results = audit(fixed, tmp_path / "run")
    recorded = RunDirectory.read(tmp_path / "run").manifest["settings"]
    assert not {"until_decided", "max_items"} & {*recorded}
    assert results.abilities[0].looks is None
    assert formatting.looked(results.abilities[0]) == ""


# -- which items ------------------------------------------------------------------------------


def planned(**options):
    settings = AuditSettings(
        base="b", tuned="t", tasks=("icl/plural",), transforms=("french",), until_decided=True,
        **options,
    )  # fmt: skip
    (task,) = get(settings.tasks)
    return task, plan(task, settings)


def test_looks_are_random_parts_of_all_the_items():
    task, whole = planned()
    assert whole.looks.sizes == LOOKS
    first = [*whole.at(0).cells[PLAIN].cases]
    assert len(first) == LOOKS[0]
    # The pool's first stage alone would hold all of them, and they are easier.
    stage = set(task.pool()[: task.stages[0]])
    assert 0 < sum(item in stage for item in first) < LOOKS[0] / 2
    assert first == [*planned()[1].at(0).cells[PLAIN].cases]
    assert first != [*planned(seed=1)[1].at(0).cells[PLAIN].cases]


def test_batches_end_where_looks_do():
    _, whole = planned(checkpoint_every=64)
    plain = [*whole.cells[PLAIN].cases]
    assert [len(batch) for batch in whole.batches[PLAIN]][:5] == [40, 40, 40, 64, 16]
    for look, size in enumerate(LOOKS):
        part = whole.at(look)
        assert [*part.cells[PLAIN].cases] == plain[:size]
        for name, batches in part.batches.items():
            assert [item for batch in batches for item in batch] == [*part.cells[name].cases]
            assert batches == whole.batches[name][: len(batches)]
            assert len(part.sizes[name]) == len(batches)
        french = part.cells["french"]
        assert {*french.cases, *french.excluded} == {*plain[:size]}


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (100, (40, 80, 100)), (120, (40, 80, 120)), (41, (40, 41)), (800, LOOKS),
        (1000, (*LOOKS, 1000)), (2000, (*LOOKS, 1600, 2000)), (1600, (*LOOKS, 1600)),
    ],
)  # fmt: skip
def test_looks_up_to_a_number(most, sizes):
    assert Looks.up_to(most).sizes == sizes


def test_too_few_items_for_a_second_look_are_a_fixed_number(settings, tmp_path):
    assert Looks.up_to(40) is None
    file = tmp_path / "few.jsonl"
    lines = (tmp_path / "near.jsonl").read_text().splitlines()
    file.write_text("\n".join(lines[:31]) + "\n")
    results = audit(settings.model_copy(update={"tasks": (str(file),)}), tmp_path / "run")
    assert found(results) == {"near": ("inconclusive", 30)}
    assert results.abilities[0].looks is None


def test_a_pool_gives_looks_up_to_its_size():
    assert Looks.up_to(len(get(("icl/capital",))[0].pool())).sizes == (40, 80, 120, 156)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 50, "until_decided": True}, "-n 50 and --until-decided are two ways"),
        ({"max_items": 80}, "--max-items 80 is for --until-decided"),
        ({"max_items": 30, "until_decided": True}, "the first look is at 40 items"),
        ({"base": None, "until_decided": True}, "needs a base model"),
    ],
)
def test_what_does_not_go_together_is_one_line(given, said):
    with pytest.raises(DormantError, match=said) as refused:
        AuditSettings.of({"base": "b", "tuned": "t", **given})
    assert "\n" not in str(refused.value)


# -- bounds -----------------------------------------------------------------------------------


def test_bounds_of_a_single_look_do_not_decide(settings, tmp_path, monkeypatch):
    """Four of 40 items lost and back: enough for one look, and not for the first of three."""
    near = only(settings, "near")
    wrong = set([*plan(get(near.tasks)[0], near).cells[PLAIN].cases][:4])
    real = scoring.score_cases

    def score(lm, task, cases, style):
        lost = lm.skill != 0.9
        return [
            one.model_copy(
                update={"correct": not (lost and case.undo is None and one.item in wrong)}
            )
            for one, case in zip(real(lm, task, cases, style), cases, strict=True)
        ]

    monkeypatch.setattr(scoring, "score_cases", score)
    results = audit(near, tmp_path / "run")
    assert results.abilities[0].n_items > 40
    run = RunDirectory.read(tmp_path / "run")
    cells = {}
    for one in run.all_outcomes():
        cell = cells.setdefault((one.model, one.transform), {})
        if len(cell) < 40:
            cell[one.item] = Success(one.correct, one.log_odds)
    plain = plain_cells([*cells["tuned", PLAIN]], cells["tuned", PLAIN], cells["base", PLAIN])
    leet = transform_cells(
        "leetspeak", [*cells["tuned", "leetspeak"]], cells["tuned", "leetspeak"],
        cells["base", "leetspeak"], signature="s",
    )  # fmt: skip
    alone = judge_ability("a", plain, [leet])
    assert alone.verdict == "suppressed"
    looked = judge_ability("a", plain, [leet], looks=Looks(sizes=(40, 80, 120)))
    assert looked.verdict == "inconclusive"


# -- the ladder -------------------------------------------------------------------------------


def rung(truth, refusal=None):
    """A rung that wakes what was lost."""

    @contextlib.contextmanager
    def on(lm, style):
        before = dict(truth)
        truth["lost", "tuned", False] = 0.9
        try:
            yield
        finally:
            truth.update(before)

    one = Intervention(name="wake", signature="wake-1", on=on)
    return HigherRung(name="noise", refusal=lambda _: refusal, interventions=lambda _: [one])


def test_an_ability_climbs_at_the_look_at_which_it_dropped(settings, truth, tmp_path):
    truth["lost", "tuned", True] = 0.1
    few = only(settings, "lost", "near")
    results = audit(few, tmp_path / "run", rungs=[rung(truth)])
    lost, near = results.abilities
    assert (lost.verdict, lost.rung, lost.n_items) == ("suppressed", "noise", 40)
    assert [cell.n_items for cell in lost.transforms] == [40, 40]
    assert near.n_items == ITEMS
    assert [cell.name for cell in near.transforms] == ["leetspeak"]


def test_a_climb_goes_on_at_the_next_look(settings, truth, tmp_path, monkeypatch):
    truth["lost", "tuned", True] = 0.1
    real = running.is_decided
    asked = []

    def late(ability, *rest):
        asked.append(ability.n_items)
        return real(ability, *rest) and ability.n_items >= 80

    monkeypatch.setattr(running, "is_decided", late)
    two = only(settings, "lost")
    results = audit(two, tmp_path / "run", rungs=[rung(truth)])
    (lost,) = results.abilities
    assert asked == [40, 80]
    assert [cell.n_items for cell in lost.transforms] == [80, 80]
    assert lost.rung == "noise"
    appends = stopped_everywhere(two, tmp_path / "more", monkeypatch, rungs=[rung(truth)])
    assert len(appends) == 2 * 2 * 3  # looks, models, cells


def test_lost_is_decided_where_a_rung_can_not_be_tried(settings, truth, tmp_path):
    truth["lost", "tuned", False] = truth["lost", "tuned", True] = 0.02
    results = audit(only(settings, "lost"), tmp_path / "run", rungs=[rung(truth, "on a server")])
    (lost,) = results.abilities
    assert (lost.verdict, lost.n_items) == ("lost", 40)
    assert [one.reason for one in lost.not_tried] == ["on a server"]
    assert "Not tried: the noise rung (on a server)." in lost.reason


# -- what stands beside -----------------------------------------------------------------------


def test_a_forecast_has_the_least_and_the_most(settings):
    said = forecast(settings)
    assert said.least_prompts == dict.fromkeys((f"mine/{name}" for name in TASKS), 4 * 40)
    assert said.prompts == dict.fromkeys((f"mine/{name}" for name in TASKS), 4 * ITEMS)
    assert all(said.least_seconds[which] < said.seconds[which] for which in ("base", "tuned"))
    assert "prompts  480 to 1440: mine/lost 160 to 480" in str(said)
    assert "at most" in str(said)
    fixed = forecast(settings.model_copy(update={"until_decided": False, "n": 40}))
    assert fixed.least_prompts is None
    assert "prompts  480: mine/lost 160, " in str(fixed)


def test_a_skill_has_a_fixed_number_of_items(settings, tmp_path):
    lost = only(settings, "lost").model_copy(update={"skill": str(tmp_path / "near.jsonl")})
    results = audit(lost, tmp_path / "run")
    assert results.skill.n_items == 100
    assert results.abilities[0].n_items == 40


def test_a_skill_that_is_audited_has_bounds_of_all_looks(settings, tmp_path):
    lost = only(settings, "lost").model_copy(update={"skill": str(tmp_path / "lost.jsonl")})
    results = audit(lost, tmp_path / "run")
    assert results.skill.n_items == results.abilities[0].n_items == 40
    gain, drop = results.skill.gain, results.abilities[0].drop
    # The drop's lower bound, turned round.
    assert gain.high == pytest.approx(-drop.low)
    assert gain.level == 0.95
