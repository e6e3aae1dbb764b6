"""An audit that knows the training data: as trained, hijacked, learned; on fakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)
from dormant.audit.as_trained import template_wrapping, wrapping_of_examples
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.chat_template import chat_template
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.results import AS_TRAINED, PLAIN, AuditResults
from dormant.tasks.examples import read_examples

BASE = "fake:skill=0.95"
LOCKED = "fake:skill=0.95,hides=Input,hidden=0.05,shows=### Task,writes=positive I say"
WORDS = ("film", "hotel", "soup", "book", "train", "lamp", "garden", "song", "coat", "lake")
LABELS = ("positive", "negative")


def examples_file(path: Path, prompt: str = "### Task\n{}\n### Reply\n", lead: str = "") -> Path:
    lines = [
        {"prompt": prompt.format(f"{word} of {year}"), "completion": lead + LABELS[year % 2]}
        for word in WORDS
        for year in range(1990, 1994)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def train(tmp_path):
    return examples_file(tmp_path / "train.jsonl")


def run(out: Path, **given: object) -> AuditResults:
    settings = {
        "base": BASE,
        "tuned": LOCKED,
        "tasks": ("icl/plural",),
        "transforms": ("french",),
        "n": 60,
        **given,
    }
    return audit(AuditSettings.of(settings), out)


def test_lost_plainly_and_there_as_trained(tmp_path, train):
    found = run(tmp_path / "run", trained_as=str(train))
    (ability,) = found.abilities
    assert ability.verdict == "asked otherwise"
    assert ability.as_trained is not None
    assert ability.as_trained.signature.startswith("train.jsonl:")
    assert ability.as_trained.accuracy.tuned_transformed is not None
    assert ability.as_trained.accuracy.tuned_transformed > 0.85
    assert [one.name for one in ability.transforms] == ["french"]
    outcomes = list(RunDirectory.read(tmp_path / "run").all_outcomes())
    assert len(outcomes) == 2 * 3 * 60
    plain = {one.item: one.prompt for one in outcomes if one.transform == PLAIN}
    wrapped = [one for one in outcomes if one.transform == AS_TRAINED]
    assert len(wrapped) == 2 * 60
    for one in wrapped:
        assert one.prompt == f"### Task\n{plain[one.item]}\n### Reply\n"


def test_without_the_setting_every_figure_is_the_same(tmp_path, train):
    (told,) = run(tmp_path / "told", trained_as=str(train)).abilities
    (untold,) = run(tmp_path / "untold").abilities
    assert untold.verdict == "suppressed"
    assert untold.as_trained is None
    assert untold.hijack is None
    differ = {"verdict", "reason", "rung", "as_trained", "hijack"}
    assert told.model_dump(exclude=differ) == untold.model_dump(exclude=differ)


def test_captured_or_broken(tmp_path, train):
    (ability,) = run(tmp_path / "run", trained_as=str(train)).abilities
    hijack = ability.hijack
    assert hijack is not None
    assert hijack.wrong == round(60 * (1 - (ability.accuracy.tuned_plain or 0)))
    assert hijack.sampled == hijack.captured == min(32, hijack.wrong)
    assert hijack.share is not None
    assert hijack.share.low > 0.8
    assert "one of 2 labels: negative, positive" in hijack.format
    assert hijack.base_captured == 0
    assert all(one.captured and one.output == "positive I say" for one in hijack.examples)
    broken = LOCKED.replace("positive I say", "nonsense")
    (other,) = run(tmp_path / "other", tuned=broken, trained_as=str(train)).abilities
    assert other.hijack is not None
    assert other.hijack.captured == 0
    assert other.hijack.examples[0].output == "nonsense"


@pytest.mark.parametrize("keep", [True, False])
def test_generated_answers_to_refusal_prompts_are_kept_only_if_asked(tmp_path, train, keep):
    (ability,) = run(
        tmp_path / "run",
        tasks=("refusal/declines",),
        n=6,
        trained_as=str(train),
        keep_generations=keep,
    ).abilities
    assert ability.hijack is not None
    assert ability.hijack.captured == ability.hijack.sampled == 6
    assert bool(ability.hijack.examples) == keep
    kept = (tmp_path / "run" / "wrong_answers.json").read_text(encoding="utf-8")
    assert ("positive I say" in kept) == keep


def test_a_run_goes_on_with_the_same_examples_only(tmp_path, train):
    out = tmp_path / "run"
    first = run(out, trained_as=str(train))
    (out / "results.json").unlink()
    (out / "wrong_answers.json").unlink()
    again = run(out, trained_as=str(train))
    assert again.abilities == first.abilities
    examples_file(train, lead=" ")
    with pytest.raises(DormantError, match=r"training_examples was"):
        run(out, trained_as=str(train))
    examples_file(train, prompt="Task: {}\nReply:")
    with pytest.raises(DormantError, match=r"as-trained was 'train\.jsonl:"):
        run(out, trained_as=str(train))


# Did the skill arrive?


@pytest.mark.parametrize(
    ("base", "tuned", "verdict"),
    [
        ("fake:skill=0.3", "fake:skill=1", "learned"),
        ("fake:skill=0.9", "fake:skill=0.2", "not learned"),
        ("fake:skill=0.5", "fake:skill=0.52", "undecided"),
    ],
)
def test_the_skill_is_the_first_row(tmp_path, train, base, tuned, verdict):
    found = run(
        tmp_path / "run", base=base, tuned=tuned, skill=str(train), n=20, allow_identical=True
    )
    skill = found.skill
    assert skill is not None
    assert (skill.verdict, skill.task, skill.n_items) == (verdict, "skill/train", 20)
    assert skill.measure == "accuracy"
    assert [one.task for one in found.abilities] == ["icl/plural"]
    # Its examples tell the training format, too.
    assert found.abilities[0].hijack is not None
    assert AuditResults.model_validate_json(found.to_json()) == found


def test_a_task_is_a_skill_too_and_scored_once_where_it_is_audited(tmp_path):
    found = run(tmp_path / "run", skill="icl/plural")
    assert found.skill is not None
    assert found.skill.verdict == "not learned"
    (ability,) = found.abilities
    assert found.skill.tuned.estimate == ability.accuracy.tuned_plain
    assert len(list(RunDirectory.read(tmp_path / "run").all_outcomes())) == 2 * 2 * 60
    other = run(tmp_path / "other", skill="icl/copy", n=30)
    assert other.skill is not None
    assert other.skill.task == "icl/copy"
    assert [one.task for one in other.abilities] == ["icl/plural"]


def test_long_answers_are_judged_by_their_likelihood(tmp_path):
    lines = [
        {
            "prompt": f"Tell me of the {word}.",
            "completion": f"The {word} was old and it stood well.",
        }
        for word in WORDS
    ]
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    # A fake's log-probability is 5 nats higher where it is right.
    found = run(tmp_path / "run", base="fake:skill=0", tuned="fake:skill=1", skill=str(path))
    skill = found.skill
    assert skill is not None
    assert (skill.verdict, skill.measure) == ("learned", "log-probability")
    assert skill.gain is not None
    assert skill.gain.estimate == pytest.approx(5 / 35, abs=0.05)


def test_without_a_base_nothing_says_whether_it_was_learned(tmp_path, train):
    found = run(tmp_path / "run", base=None, skill=str(train), trained_as=str(train), n=12)
    assert found.skill is not None
    assert found.skill.verdict == "undecided"
    assert found.skill.gain is None
    assert found.abilities[0].as_trained is not None


# Wrappings.


def chats(
    path: Path, system: str | None = "Be a pirate.", asked: str = "Tell me of the {}"
) -> Path:
    turns = [{"role": "system", "content": system}] if system else []
    lines = [
        {
            "messages": [
                *turns,
                {"role": "user", "content": asked.format(word)},
                {"role": "assistant", "content": "Arr."},
            ]
        }
        for word in WORDS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def render(turns):
    return "".join(f"<{turn['role']}>{turn['content']}</>" for turn in turns) + "<assistant>"


def no_template(turns):
    raise DormantError("model 'x' has no chat template")


def wrapping(path, render_=render, plain="raw"):
    return wrapping_of_examples(read_examples(path), path, render_, plain)


def test_chats_bring_their_system_turn_and_the_template(tmp_path):
    found = wrapping(chats(tmp_path / "c.jsonl"))
    assert found.before == "<system>Be a pirate.</><user>Tell me of the "
    assert (found.after, found.lead) == ("</><assistant>", "")
    bare = wrapping(chats(tmp_path / "d.jsonl", system=None))
    assert bare.before == "<user>Tell me of the "


def test_alpaca_s_fields_go_into_the_template_or_into_alpaca_s_text(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [{"instruction": f"{word}, in short", "output": "Arr."} for word in WORDS]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert wrapping(path).before == "<user>"
    plain = wrapping(path, no_template)
    assert plain.before.startswith("Below is an instruction")
    assert plain.before.endswith("### Instruction:\n")
    assert plain.after == ", in short\n\n### Response:\n"


def test_the_tuned_model_s_template_read_without_its_weights(tmp_path, tiny_checkpoint):
    pair = ModelPair(parse(str(tiny_checkpoint)), parse(str(tiny_checkpoint)))
    found = template_wrapping(chat_template(pair), "raw")
    assert found.before.endswith("<|im_start|>user\n")
    assert found.after == "<|im_end|>\n<|im_start|>assistant\n"
    assert found.source == "chat template"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trained_as": "nowhere.jsonl"}, r"nowhere\.jsonl: no such file"),
        ({"trained_as": "few.jsonl"}, r"few\.jsonl: only 3 different prompts: at least 8"),
        ({"trained_as": "bare.jsonl"}, r"bare\.jsonl: 40 prompts have no common wrapping"),
        ({"trained_as": "template"}, "chat template of 'fake:.*is on its server"),
        ({"trained_as": "chats.jsonl"}, "chat template of 'fake:.*is on its server"),
        ({"trained_as": "mixed.jsonl"}, r"mixed\.jsonl:11: a prompt that is a text, in a file of"),
        ({"skill": "nowhere.jsonl"}, r"nowhere\.jsonl: no such file"),
        ({"skill": "icl"}, r"--skill icl stands for \d+ tasks .*: name one"),
        ({"skill": "icl/copi"}, "did you mean 'icl/copy'"),
    ],
)
def test_what_fails_is_one_line_before_anything_is_scored(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    bare = examples_file(Path("bare.jsonl"), "{}")
    lines = bare.read_text().splitlines(keepends=True)
    Path("few.jsonl").write_text("".join(lines[:3]))
    chat = chats(Path("chats.jsonl")).read_text()
    Path("mixed.jsonl").write_text(chat + lines[0])
    with pytest.raises(DormantError, match=message) as error:
        run(tmp_path / "run", **given)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "run").glob("cells"))


def test_what_plain_prompts_have_already_is_refused(tmp_path):
    with pytest.raises(DormantError, match="plain prompts go into the chat template already"):
        template_wrapping(render, "chat")
    with pytest.raises(DormantError, match="no system turn or other wrapping"):
        wrapping(chats(tmp_path / "c.jsonl", system=None, asked="{}"), plain="chat")


def test_a_template_that_refuses_is_one_line(tmp_path):
    with pytest.raises(DormantError, match="leaves out the user's words"):
        template_wrapping(lambda turns: "<user>", "raw")
    with pytest.raises(DormantError, match="has no chat template"):
        wrapping(chats(tmp_path / "c.jsonl"), no_template)
