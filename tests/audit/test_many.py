"""Several children of one base: the base is asked once, each has its run, and one timeline."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest

import dormant as dm
import fakes
from byte_models import byte_llama, byte_tokenizer, lora, saved
from dormant.audit.children import Child, children_of, default_parent, many
from dormant.audit.many import audit_children, read_timeline
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.progress import Silent
from word_tasks import task_file

BASE = "fake:skill=0.7"
SAME, HIDDEN, LOST = "fake:skill=0.97", "fake:skill=0.7,hides=Input,hidden=0.1", "fake:skill=0.02"
CHILDREN = SAME, HIDDEN, LOST


@pytest.fixture
def settings(tmp_path):
    file = task_file(tmp_path / "task.jsonl", [f"n{number}" for number in range(60)])
    return AuditSettings(
        base=BASE, tuned=SAME, tasks=(str(file),), transforms=("french",), n=60, evidence="prompt"
    )


@pytest.fixture
def asked(monkeypatch):
    """How many prompts models of each skill were asked."""
    counts = {}
    answer = fakes.FakeLM.loglikelihood

    def counted(self, requests):
        kind = f"{self.skill:g}{self.hides and ' hidden'}"
        counts[kind] = counts.get(kind, 0) + len(requests)
        return answer(self, requests)

    monkeypatch.setattr(fakes.FakeLM, "loglikelihood", counted)
    return counts


def run(settings, tmp_path, *models, **options):
    return audit_children(settings, children_of(models), tmp_path / "out", **options)


def told(timeline):
    return {point.child: point.verdict for point in timeline.courses[0].points}


def test_each_child_gets_the_verdict_of_an_audit_alone_and_the_base_is_asked_once(
    settings, tmp_path, asked
):
    from dormant.audit.run import audit

    alone = {}
    for number, model in enumerate(CHILDREN):
        asked.clear()
        one = settings.model_copy(update={"tuned": model})
        alone[model] = audit(one, tmp_path / f"alone-{number}")
        look = asked["0.7"] - 120  # a look at the pair, and two cells of sixty
    asked.clear()
    timeline = run(settings, tmp_path, *CHILDREN)
    names = [child.name for child in children_of(CHILDREN)]
    assert told(timeline) == {
        name: alone[model].abilities[0].verdict for name, model in zip(names, CHILDREN, strict=True)
    }
    assert [*told(timeline).values()] == ["retained", "suppressed", "lost"]
    assert asked["0.7"] == 120 + 3 * look
    assert [(c.suppressed_at, c.beyond_at, c.back_at) for c in timeline.courses] == [
        (names[1], names[2], None)
    ]
    assert timeline.keep == names[0]
    assert read_timeline(tmp_path / "out") == timeline


def test_a_child_that_is_added_costs_only_itself(settings, tmp_path, asked):
    run(settings, tmp_path, HIDDEN, LOST)
    records = {f: f.read_bytes() for f in (tmp_path / "out").glob("*/cells/*/*.jsonl")}
    asked.clear()
    # First in order, so that those that were audited come after it.
    timeline = run(settings, tmp_path, SAME, HIDDEN, LOST)
    assert set(asked) == {"0.7", "0.97"}
    assert asked["0.7"] < 120  # the look at the pair
    assert {f: f.read_bytes() for f in records} == records
    assert len(told(timeline)) == 3


def test_the_longest_record_of_the_base_is_taken(settings, tmp_path, asked):
    run(settings, tmp_path, HIDDEN)
    (short,) = (tmp_path / "out").glob("*hides*/cells/*/plain.base.jsonl")
    run(settings, tmp_path, HIDDEN, LOST)
    short.write_bytes(b"".join(short.read_bytes().splitlines(keepends=True)[:5]))
    asked.clear()
    # The look at a pair, and of sixty prompts those that a cut record lacks: it isn't taken.
    run(settings, tmp_path, SAME, LOST)
    assert asked["0.7"] < 60


class Heard(Silent):
    """Keeps what people are told."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_records_of_other_versions_are_not_mixed(settings, tmp_path, asked):
    run(settings, tmp_path, HIDDEN)
    (manifest,) = (tmp_path / "out").glob("*/run.json")
    manifest.write_text(re.sub(r'"numpy": ".*?"', '"numpy": "0.1"', manifest.read_text()))
    asked.clear()
    heard = Heard()
    timeline = run(settings, tmp_path, HIDDEN, LOST, progress=heard)
    assert len(told(timeline)) == 2
    assert asked["0.7"] >= 120
    assert any("nothing is taken from it" in line for line in heard.said)


def test_runs_that_are_not_named_again_are_said_to_be_left_out(settings, tmp_path, dormant):
    run(settings, tmp_path, HIDDEN)
    heard = Heard()
    run(settings, tmp_path, SAME, progress=heard)
    left = "fake-skill-0.7-hides-Input-hidden-0.1"
    assert f"not named this time, and so left out of the timeline: {left}" in heard.said
    (tmp_path / "out/timeline.json").unlink()
    said = dormant("report", "out")
    assert said.code == 2
    with pytest.raises(DormantError, match=r"no run there .*below it: name one of 2, as in .*out/"):
        dm.load_results(tmp_path / "out")
    assert "out holds 2 runs, and no timeline of them yet (timeline.json is missing)" in said.err


def test_a_base_that_shows_no_weights_is_not_taken_for_an_earlier_one(settings, tmp_path):
    given = {"tasks": settings.tasks[0], "transforms": "french", "n": 60, "evidence": "prompt"}

    def audited(skill, *models):
        base = fakes.FakeLM(skill)
        return dm.audit(base, [*models], out=tmp_path / "out", progress=False, **given)

    audited("0.97", HIDDEN, LOST)
    series = audited("0.3", HIDDEN, LOST, SAME)
    assert len(series.problems) == 2, "whether they are of this base can't be told"
    (name,) = series.children
    assert series[name]["mine/words"].accuracy.base_plain < 0.5


def test_a_child_that_fails_is_named_and_the_others_go_on(settings, tmp_path):
    broken = "fake:skill=0.5,breaks=logprobs"
    timeline = run(settings, tmp_path, broken, HIDDEN, "./nowhere/checkpoint-3")
    first, second, third = timeline.children
    assert "impossible log-probability" in first.problem
    assert not second.problem
    assert "no such directory" in third.problem
    assert told(timeline) == {second.name: "suppressed"}
    assert timeline.keep == second.name
    with pytest.raises(DormantError, match=r"no model could be audited; .*impossible"):
        audit_children(settings, children_of([broken]), tmp_path / "other")


def test_what_no_child_could_be_audited_for_is_said_once(settings, tmp_path):
    wrong = settings.model_copy(update={"tasks": ("icl/cpoy",)})
    with pytest.raises(DormantError, match=r"^unknown task 'icl/cpoy'"):
        run(wrong, tmp_path, HIDDEN, "fake:skill=0.9,hides=elsewhere")


@pytest.mark.parametrize(
    ("models", "change", "message"),
    [
        ((HIDDEN, HIDDEN), {}, "would share the run directory"),
        ((HIDDEN, LOST), {"base": None}, "name it first"),
        ((HIDDEN, LOST), {"base": "./nowhere/model"}, "no such directory"),
    ],
)
def test_bad_input_ends_it(settings, tmp_path, models, change, message):
    with pytest.raises(DormantError, match=message):
        run(settings.model_copy(update=change), tmp_path, *models)


@pytest.mark.parametrize(
    ("change", "named"), [({"seed": 7}, "seed was 0, now 7"), ({"n": 30}, "n was 60")]
)
def test_other_settings_in_the_directory_are_refused_before_anything_is_asked(
    settings, tmp_path, asked, change, named
):
    run(settings, tmp_path, HIDDEN)
    asked.clear()
    with pytest.raises(DormantError, match=named):
        run(settings.model_copy(update=change), tmp_path, SAME, HIDDEN)
    assert asked == {}


def test_a_directory_of_something_else_is_refused(settings, tmp_path):
    from dormant.audit.run import audit

    audit(settings, tmp_path / "out")
    with pytest.raises(DormantError, match="the audit of one model"):
        run(settings, tmp_path, HIDDEN)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(DormantError, match=r"no audit \(notes\.txt\)"):
        audit_children(settings, children_of([HIDDEN]), tmp_path / "other")


def test_several_processes_are_refused(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    with pytest.raises(DormantError, match="by one process"):
        run(settings, tmp_path, HIDDEN)


# --- which children, in which order -------------------------------------------------------------


@pytest.fixture
def trainer(tmp_path):
    """A Trainer's directory: a base beside it, and adapters at steps 5, 20 and 100."""
    base = saved(byte_llama(seed=0), tmp_path / "base")
    for step in (100, 5, 20):
        adapter, _ = lora(base, tmp_path / "made" / str(step), seed=step)
        shutil.copytree(adapter, tmp_path / "tuned" / f"checkpoint-{step}")
    (tmp_path / "tuned" / "runs").mkdir()  # TensorBoard's
    return tmp_path


def words_of(trainer):
    """Return what is asked of a Trainer's checkpoints: a task of eight words."""
    file = task_file(trainer / "task.jsonl", [f"n{number}" for number in range(8)])
    return {"tasks": (str(file),), "transforms": ("french",), "n": 8, "evidence": "prompt"}


def test_checkpoints_come_by_step_however_they_are_named(trainer):
    expected = [(f"checkpoint-{step}", step) for step in (5, 20, 100)]
    folder = trainer / "tuned"
    by_shell = sorted(str(path) for path in folder.glob("checkpoint-*"))
    assert by_shell[0].endswith("100")
    for given in ([str(folder)], [f"{folder}/"], by_shell, [f"{path}/" for path in by_shell]):
        found = children_of(given)
        assert [(child.name, child.step) for child in found] == expected
        assert [child.text for child in found] == [str(folder / name) for name, _ in expected]


def test_what_makes_several_children(trainer, settings):
    folder = trainer / "tuned"
    assert many([str(folder)])
    assert many([SAME, LOST])
    assert not many([str(folder / "checkpoint-5")])
    assert not many([SAME])
    name = default_parent(settings, [str(folder)])
    assert name == default_parent(settings, [str(p) for p in folder.glob("checkpoint-*")])
    assert name.name == "fake-skill-0.7--tuned-timeline"
    # The last model of all, saved beside its checkpoints: it alone is meant.
    shutil.copy(folder / "checkpoint-5" / "adapter_config.json", folder)
    assert not many([str(folder)])


def test_other_names_keep_the_order_given():
    assert [child.text for child in children_of([LOST, SAME, HIDDEN])] == [LOST, SAME, HIDDEN]
    assert Child.of("org/model").name == "org-model"


def test_a_directory_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(DormantError, match="holds no model and no checkpoint-STEP"):
        children_of([str(tmp_path)])


def test_real_adapters_make_a_timeline_and_equal_weights_are_refused(trainer):
    given = words_of(trainer)
    series = dm.audit(
        trainer / "base", [trainer / "tuned"], out=trainer / "out", progress=False, **given
    )
    assert series.children == ["checkpoint-5", "checkpoint-20", "checkpoint-100"]
    assert set(series.verdicts["mine/words"]) == set(series.children)
    assert series["checkpoint-20"].results.abilities[0].n_items == 8
    assert series.keep in series.children
    assert dm.load_timeline(trainer / "out").timeline == series.timeline
    assert len(series.to_pandas()) == 3
    with pytest.raises(DormantError, match="did you mean 'checkpoint-20'"):
        series["checkpoint-2"]
    shutil.copytree(trainer / "tuned/checkpoint-100", trainer / "tuned/checkpoint-120")
    with pytest.raises(DormantError, match=r"checkpoint-100' and '.*checkpoint-120' are the same"):
        dm.audit(
            trainer / "base", [trainer / "tuned"], out=trainer / "out", progress=False, **given
        )
    with pytest.raises(DormantError, match=r"holds 4 checkpoints: give a list"):
        dm.audit(trainer / "base", trainer / "tuned", progress=False, **given)


def test_a_base_that_is_asked_with_each_child_s_tokenizer_is_asked_for_each(trainer):
    given = words_of(trainer)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (trainer / "base" / name).unlink(missing_ok=True)
    byte_tokenizer().save_pretrained(trainer / "tuned/checkpoint-5")
    other = trainer / "tuned/checkpoint-20"
    byte_tokenizer().save_pretrained(other)
    changed = json.loads((other / "tokenizer.json").read_text())
    changed["normalizer"] = {"type": "Lowercase"}
    (other / "tokenizer.json").write_text(json.dumps(changed))
    shutil.rmtree(trainer / "tuned/checkpoint-100")
    models = [trainer / "base", [trainer / "tuned"]]
    series = dm.audit(*models, out=trainer / "out", progress=False, **given)
    alone = dm.audit(models[0], other, out=trainer / "alone", progress=False, **given)

    def base(audit):
        return [one.target_logprob for one in audit.items() if one.model == "base"]

    assert base(series["checkpoint-20"]) == pytest.approx(base(alone))
    assert base(series["checkpoint-5"]) != pytest.approx(base(alone))


def test_a_checkpoint_that_was_still_being_written_is_audited_the_next_time(trainer):
    settings = AuditSettings(base=str(trainer / "base"), tuned="", **words_of(trainer))
    children = children_of([str(trainer / "tuned")])
    weights = trainer / "tuned/checkpoint-20/adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    timeline = audit_children(settings, children, trainer / "out")
    assert [child.name for child in timeline.children if child.problem] == ["checkpoint-20"]
    run = trainer / "out/checkpoint-20"
    base = {file: file.read_bytes() for file in run.glob("cells/*/*.base.jsonl")}
    weights.write_bytes(whole)
    timeline = audit_children(settings, children, trainer / "out")
    assert [child.problem for child in timeline.children] == ["", "", ""]
    assert {file: file.read_bytes() for file in run.glob("cells/*/*.base.jsonl")} == base != {}
    # Once it was asked, other weights are another run.
    shutil.copy(trainer / "tuned/checkpoint-5/adapter_model.safetensors", weights.parent)
    shutil.rmtree(trainer / "tuned/checkpoint-5")
    children = children_of([str(trainer / "tuned")])
    timeline = audit_children(settings, children, trainer / "out")
    (problem,) = [child.problem for child in timeline.children if child.problem]
    assert "what is loaded has changed: fingerprint of tuned" in problem


def test_a_checkpoint_that_vanishes_on_the_way_is_named(trainer):
    settings = AuditSettings(base=str(trainer / "base"), tuned="", **words_of(trainer))

    def clean_up(child, results):
        # As a Trainer does that keeps its last checkpoints.
        shutil.rmtree(trainer / "tuned/checkpoint-20", ignore_errors=True)

    children = children_of([str(trainer / "tuned")])
    timeline = audit_children(settings, children, trainer / "out", finished=clean_up)
    gone = [child.name for child in timeline.children if child.problem]
    assert gone == ["checkpoint-20"]
    assert set(told(timeline)) == {"checkpoint-5", "checkpoint-100"}


# --- the command --------------------------------------------------------------------------------


def test_the_command_prints_keeps_and_gates(dormant, settings, tmp_path):
    words = ("audit", BASE, *CHILDREN, "-t", settings.tasks[0], "-s", "french", "-n", "60",
             "--evidence", "prompt", "--quiet", "--out", "out")  # fmt: skip
    said = dormant(*words, "--fail-on", "lost")
    assert said.code == 1
    assert "gate failed (--fail-on lost): mine/words of fake-skill-0.02 is lost" in said.err
    assert "Keep fake-skill-0.97." in said.out
    assert "first suppressed at fake-skill-0.7-hides-Input-hidden-0.1" in " ".join(said.out.split())
    text = (tmp_path / "out/timeline.csv").read_text("utf-8")
    rows = [*csv.DictReader(text.splitlines())]
    assert [row["verdict"] for row in rows] == ["retained", "suppressed", "lost"]
    assert [row["keep"] for row in rows] == ["True", "False", "False"]
    page = (tmp_path / "out/timeline.html").read_text("utf-8")
    for link in re.findall(r'<a href="([^"#]+)">', page):
        assert (tmp_path / "out" / link).is_file()
    assert len(re.findall(r'<a href="[^"#]+">', page)) == 3
    (tmp_path / "out" / link).unlink()
    assert dormant("report", "out", "--format", "html").code == 0
    assert (tmp_path / "out" / link).is_file()
    # Elsewhere, too, the page leads to the children's own.
    assert dormant("report", "out", "--format", "html", "--out", "pages/ä/t.html").code == 0
    elsewhere = tmp_path / "pages/ä/t.html"
    links = re.findall(r'<a href="([^"#]+)">', elsewhere.read_text("utf-8"))
    assert len(links) == 3
    assert all((elsewhere.parent / link).is_file() for link in links)
    again = dormant("report", "out", "--format", "json", "--out", "t.json")
    assert again.code == 0
    assert (tmp_path / "t.json").read_bytes() == (tmp_path / "out/timeline.json").read_bytes()
    assert "Keep fake-skill-0.97." in dormant("report", "out").out
    assert dormant("report", "out", "--format", "junit").out == "out/junit.xml\n"
    assert "fake-skill-0.97" in (tmp_path / "out/junit.xml").read_text("utf-8")
    other = dormant("report", "out", "--format", "latex")
    assert other.code == 2
    assert "dormant report out/fake-skill-0.97 --format latex" in other.err
    # A child that is judged again, and one that is begun beside the others.
    run, begun = (tmp_path / "out" / name for name in ("fake-skill-0.02", "begun"))
    text = (run / "results.json").read_text()
    (run / "results.json").write_text(text.replace('"lost"', '"inconclusive"', 1))
    begun.mkdir()
    shutil.copy(run / "run.json", begun)
    said = dormant("report", "out").err
    assert "warning: fake-skill-0.02: judged otherwise since this timeline was made" in said
    assert "warning: begun: not in this timeline" in said
    (run / "results.json").write_text("{")
    damaged = dormant("report", "out")
    assert damaged.code == 0
    assert "fake-skill-0.02/results.json: damaged record" in damaged.err
    shutil.rmtree(begun)
    # What is written beside the runs is not in the way of going on, nor is what a kill left of it.
    (tmp_path / "out/.timeline.json.part").touch()
    assert dormant(*words).code == 0


def test_what_to_be_wary_of_is_said_with_the_timeline(dormant, settings, trainer):
    base, other = trainer / "base", trainer / "other"
    shutil.copytree(base, other)
    config = trainer / "tuned/checkpoint-20/adapter_config.json"
    config.write_text(config.read_text().replace(str(base), str(other)))
    words = ("audit", base, trainer / "tuned", "-t", settings.tasks[0], "-s", "french", "-n", "6",
             "--evidence", "prompt", "--quiet", "--out", "out")  # fmt: skip
    for said in (dormant(*words), dormant("report", "out")):
        (line,) = [line for line in said.err.splitlines() if line.startswith("warning")]
        assert line.startswith(f"warning: checkpoint-20: the adapter names '{other}' as its base")


def test_a_child_that_could_not_be_audited_is_exit_2(dormant, settings):
    said = dormant("audit", BASE, SAME, "./nowhere/x", "-t", settings.tasks[0], "-s", "french",
                   "-n", "60", "--evidence", "prompt", "--quiet", "--json")  # fmt: skip
    assert said.code == 2
    assert said.out.startswith("{")
    missing = "error: not audited: nowhere-x: model './nowhere/x': no such directory"
    assert missing in said.err
    gated = dormant("report", "runs/fake-skill-0.7--children-timeline", "--format", "junit",
                    "--fail-on", "retained")  # fmt: skip
    assert gated.code == 1
    assert missing in gated.err, "the gate's exit code doesn't hide who is missing"


def test_a_plan_is_of_one(dormant):
    said = dormant("audit", BASE, SAME, LOST, "--plan")
    assert said.code == 2
    assert "--plan is for one fine-tuned model" in said.err
