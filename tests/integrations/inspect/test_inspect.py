"""The Inspect plug-in: what models read, what scorers see, and that numbers are the audit's."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip("inspect_ai")

from inspect_ai import Task
from inspect_ai import eval as run
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import match
from inspect_ai.solver import Solver, multiple_choice, solver, system_message, use_tools
from inspect_ai.tool import bash

from byte_models import lora
from dormant import tasks, transforms
from dormant.audit import plan as audit_plan
from dormant.audit.score import score_cases
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.integrations import logs as reading
from dormant.integrations.inspect import ability, begins_with_target, conjugate, icl, messages
from dormant.integrations.inspect.provider import DormantAPI
from dormant.integrations.inspect.selection import PromptSelection, abilities
from dormant.integrations.logs.inspect_logs import CONJUGATED
from dormant.models import generate as generation
from dormant.models.load import load
from dormant.models.weights import WEIGHTS
from dormant.prompts.text_transform import TextTransform, TransformError
from dormant.scoring import completer

# Inspect leaves streams of its own open, and calls a library by a name of old.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LEET = transforms.get("leetspeak")


def evaluated(task, tmp_path, model, status="success", **options):
    (log,) = run(task, model=model, display="none", log_dir=str(tmp_path), **options)
    assert log.status == status, log.error
    return log


@pytest.fixture(autouse=True)
def tidy():
    """Meet what Inspect leaves behind here, where it is expected, and not in a test elsewhere."""
    yield
    gc.collect()


def said(text):
    # Without its usage, tokens would be counted, by a tokenizer from the network.
    return ModelOutput.from_content("mock", text).model_copy(update={"usage": ModelUsage()})


def whole(sample, text):
    """Longer texts of events are kept apart in a log."""
    return sample.attachments.get(text.removeprefix("attachment://"), text)


class Mock:
    """A model that answers by a function of its last message, and remembers what it read."""

    def __init__(self, answer):
        self.read = []
        self._answer = answer

    @property
    def model(self):
        def output(input, tools, tool_choice, config):
            self.read.append([(message.role, message.text) for message in input])
            return said(self._answer(input[-1].text))

        return get_model("mockllm/model", custom_outputs=output, memoize=False)


FEW_SHOT = [
    ChatMessageUser(content="Say: the sea"),
    ChatMessageAssistant(content="the sea"),
    ChatMessageUser(content="Say: a house"),
]


def say(transform="leetspeak", **options):
    return Task(
        dataset=[Sample(input=FEW_SHOT, target="a house", id=1)],
        solver=[system_message("Repeat what is said."), conjugate(transform, **options)],
        scorer=match(location="exact"),
    )


def test_the_model_reads_s_of_everything_and_all_others_read_the_plain_words(tmp_path):
    mock = Mock(lambda text: LEET.apply("a house"))
    log = evaluated(say(), tmp_path, mock.model, epochs=2)
    plain = [
        ("system", "Repeat what is said."),
        ("user", "Say: the sea"),
        ("assistant", "the sea"),
        ("user", "Say: a house"),
    ]
    # In every epoch the same: nothing is transformed twice.
    assert mock.read == [[(role, LEET.apply(text)) for role, text in plain]] * 2
    for sample in log.samples:
        assert [(m.role, m.text) for m in sample.messages] == [*plain, ("assistant", "a house")]
        assert sample.output.completion == "a house"
        assert sample.scores["match"].value == "C"
        kept = sample.metadata[CONJUGATED]
        assert (kept["transform"], kept["exact"], kept["note"]) == ("leetspeak", True, None)
        (exchange,) = kept["exchanges"]
        assert exchange["output"] == LEET.apply("a house")
        assert [one["text"] for one in exchange["asked"]] == [LEET.apply(t) for _, t in plain]


def test_system_messages_can_be_left_alone(tmp_path):
    mock = Mock(str)
    evaluated(say(system=False), tmp_path, mock.model)
    assert mock.read[0][0] == ("system", "Repeat what is said.")
    assert mock.read[0][1][1] == LEET.apply("Say: the sea")


def test_another_solver_is_wrapped(tmp_path):
    mock = Mock(lambda text: LEET.apply("ANSWER: B"))
    task = Task(
        dataset=[Sample(input="Which is a fruit?", choices=["stone", "apple"], target="B")],
        solver=conjugate("leetspeak", solver=multiple_choice()),
        scorer=match(),
    )
    log = evaluated(task, tmp_path, mock.model)
    assert LEET.apply("apple") in mock.read[0][0][1]
    # The solver has read the plain answer, and marked the choice.
    assert log.samples[0].output.completion == "ANSWER: B"
    assert log.samples[0].messages[-1].text == "ANSWER: B"


def test_kept_spans_stay_where_the_model_repeats_them(tmp_path):
    mock = Mock(lambda text: text.rpartition(" ")[2])
    sample = Sample(input="Repeat 16", target="16")
    task = Task(
        dataset=[sample], solver=conjugate("leetspeak", keep=True), scorer=match(location="exact")
    )
    log = evaluated(task, tmp_path, mock.model)
    assert mock.read[0][0][1] == LEET.apply("Repeat") + " 16"
    assert log.samples[0].scores["match"].value == "C"


def test_stop_texts_are_transformed_too(tmp_path):
    stops = []

    def output(input, tools, tool_choice, config):
        stops.append(config.stop_seqs)
        return said(LEET.apply("four") + "\nQuestion: five")

    task = Task(
        [Sample(input="Question: two and two", target="four")],
        solver=conjugate("leetspeak"),
        scorer=match(location="exact"),
        config=GenerateConfig(stop_seqs=["Question:", "\n\n"]),
    )
    model = get_model("mockllm/model", custom_outputs=output, memoize=False)
    log = evaluated(task, tmp_path, model)
    assert stops == [[LEET.apply("Question:"), "\n\n"]]
    # A model that writes the plain text stops there, too.
    assert log.samples[0].output.completion == "four\n"
    assert log.samples[0].scores["match"].value == "C"


def test_labels_are_the_same_in_all_messages(tmp_path):
    mock = Mock(str)
    shown = [
        ChatMessageUser(content="Input: one two"),
        ChatMessageAssistant(content="Output: two"),
        ChatMessageUser(content="Input: three four"),
    ]
    task = Task([Sample(input=shown)], solver=conjugate("reversed-words"))
    evaluated(task, tmp_path, mock.model)
    assert mock.read[0][0][1] == "Input: two one"
    assert mock.read[0][2][1] == "Input: four three"


def test_what_can_not_be_undone_stays_and_is_told(tmp_path, monkeypatch):
    def never(texts):
        raise TransformError("oneway", texts[0], "there is no way back")

    oneway = TextTransform(
        name="oneway", apply_batch=lambda texts: [text.upper() for text in texts],
        invert_batch=never, in_domain=lambda text: True, exact=False, signature="oneway-1",
        summary="capitals",
    )  # fmt: skip
    monkeypatch.setattr(transforms, "get", lambda name, source: oneway)
    log = evaluated(say("oneway"), tmp_path, Mock(str.lower).model)
    (sample,) = log.samples
    kept = sample.metadata[CONJUGATED]
    assert "oneway (oneway-1) is not exact" in kept["note"]
    assert "there is no way back" in kept["exchanges"][0]["problem"]
    assert sample.output.completion == "say: a house"
    told = [whole(sample, event.data) for event in sample.events if event.event == "info"]
    assert told[0] == kept["note"]
    assert "stays as the model wrote it" in told[1]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (lambda: Task(dataset=[Sample(input="x")], solver=[use_tools(bash()), conjugate("rot13")]),
         "this sample has tools"),
        (lambda: Task(dataset=[Sample(input="ａ")], solver=conjugate("full-width")),
         "outside the domain"),
    ],
)  # fmt: skip
def test_samples_that_can_not_be_transformed_fail(tmp_path, task, message):
    log = evaluated(task(), tmp_path, Mock(str).model, "error")
    assert message in log.error.message


def test_bad_names_are_one_line():
    from inspect_ai._util.error import PrerequisiteError

    for make, message in {
        (lambda: conjugate("leetspaek")): "did you mean 'leetspeak'",
        (lambda: conjugate("probe:labels")): "not for free text",
        (lambda: icl(only="copi")): "did you mean 'icl/copy'",
        (lambda: icl(only="copy", n=10**6)): "fewer than the 1000000 asked for",
        (lambda: icl(only="copy", transform="probe:chat")): "give -M prompts=chat",
        (lambda: icl(only="copy", min_chrf=200)): "min_chrf is 200: Input should be less than",
        (lambda: icl(only="copy", shots=-1)): "shots is -1: Input should be greater than",
    }.items():
        with pytest.raises(PrerequisiteError) as error:
            make()
        assert message in str(error.value)
        assert "\n" not in str(error.value)


# -- prompts --------------------------------------------------------------------------------------


def test_tasks_hold_the_prompts_of_the_audit():
    settings = AuditSettings(base=None, tuned="-", transforms=("french", "leetspeak"), n=5)
    for name in ("icl/copy", "icl_vs_if/repeat-arithmetic", "nli/greedy", "refusal/answers"):
        (task,) = tasks.get([name])
        plan = audit_plan.plan(task, settings)
        for transform, made in plan.cells.items():
            (found,) = abilities(PromptSelection((name,), transform, 5, 0, None, settings.min_chrf))
            assert [p.case.prompt for p in found.prompts.values()] == [
                case.prompt for case in made.cases.values()
            ]
            assert found.origin.signature == made.signature
            plain = [case.prompt for case in plan.cells["plain"].cases.values()]
            assert [p.origin.prompt for p in found.prompts.values()] == plain


def test_probabilities_are_refused():
    with pytest.raises(DormantError, match="nli/likely compares the probabilities"):
        abilities(PromptSelection(("nli/likely",), "plain", 5, 0, None, 40))


def test_the_prompt_that_reaches_the_tokenizer_is_the_prompt(
    tiny_checkpoint, tmp_path, monkeypatch
):
    task = icl(only="copy", n=3)
    prompts = [sample.input for sample in task.dataset]
    model = get_model(f"dormant/{tiny_checkpoint}", memoize=False)
    seen, encode = [], completer.encode_together

    def noted(lm, texts, beginning):
        seen.extend(given := list(texts))
        return encode(lm, given, beginning)

    monkeypatch.setattr(completer, "encode_together", noted)
    log = evaluated(task, tmp_path, model)
    assert sorted(seen) == sorted(prompts)
    logged = [
        whole(sample, event.call.request["prompt"])
        for sample in log.samples
        for event in sample.events
        if event.event == "model"
    ]
    assert sorted(logged) == sorted(prompts)


def test_inspects_own_provider_would_change_the_prompt_and_is_refused(tiny_checkpoint, tmp_path):
    plain = {"model_path": str(tiny_checkpoint), "device": "cpu", "memoize": False}
    sent = [ChatMessageUser(content="Input: x\nOutput:")]
    bare = get_model("hf/tiny", use_chat_template=False, **plain)
    # The hazard is there: should this fail, the workaround is no longer needed.
    assert bare.api.hf_chat(sent, []) == "user: Input: x\nOutput:\n"
    with pytest.raises(DormantError, match="use --model dormant/tiny"):
        messages.refuse_contaminating(bare)
    for task in (icl(only="copy", n=1), Task([Sample(input="x")], solver=conjugate("rot13"))):
        log = evaluated(task, tmp_path, bare, "error")
        assert "this provider writes 'user: '" in log.error.message
    raw = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    template = get_model("hf/tiny", chat_template=raw, **plain)
    assert template.api.hf_chat(sent, []) == "Input: x\nOutput:"
    messages.refuse_contaminating(template)


def test_messages_as_a_raw_prompt(tiny_checkpoint):
    api = DormantAPI(str(tiny_checkpoint))
    assert api.rendered([ChatMessageUser(content="one")]) == "one"
    chat = [ChatMessageSystem(content="sys"), ChatMessageUser(content="one ")]
    assert api.rendered(chat) == "sys\n\none "
    with pytest.raises(DormantError, match="more than text"):
        api.rendered([ChatMessageUser(content=[ContentText(text="a"), ContentImage(image="b")])])
    templated = DormantAPI(str(tiny_checkpoint), prompts="chat")
    found = templated.rendered(chat)
    assert found != "sys\n\none "
    assert "sys" in found
    assert "one " in found
    # A template that drops what it has no place for.
    templated._lm.tokenizer.chat_template = (
        "{% for m in messages if m.role != 'system' %}<{{ m.content }}>{% endfor %}"
    )
    assert templated.rendered(chat[1:]) == "<one >"
    with pytest.raises(DormantError, match="leaves out the system message"):
        templated.rendered(chat)
    goes_on = [*chat, ChatMessageAssistant(content="two")]
    with pytest.raises(DormantError, match="leaves out the system message"):
        templated.rendered(goes_on)


def test_what_the_provider_refuses(tiny_checkpoint):
    from inspect_ai._util.error import PrerequisiteError

    for arguments, message in (
        ({"model_name": "smollm"}, "unknown model 'smollm'"),
        ({"model_name": str(tiny_checkpoint), "prompts": "both"}, "write raw or chat"),
        ({"model_name": str(tiny_checkpoint), "scorer": "slow"}, "write fast or lm-eval"),
        ({"model_name": str(tiny_checkpoint), "colour": "red"}, "takes no argument 'colour'"),
    ):
        with pytest.raises(PrerequisiteError, match=message):
            DormantAPI(**arguments)


def test_logs_say_which_adapter_was_loaded(tiny_checkpoint, tmp_path):
    adapter, _ = lora(tiny_checkpoint, tmp_path / "tuned")
    found = {}
    for name, place in (("base", tiny_checkpoint), ("tuned", adapter)):
        model = get_model(f"dormant/{place}", memoize=False)
        log = evaluated(icl(only="copy", n=1), tmp_path / name, model)
        (found[name],) = reading.read_logs([tmp_path / name])
        assert all(WEIGHTS in sample.output.metadata for sample in log.samples)
    base, tuned = found["base"].weights, found["tuned"].weights
    assert base.adapter == ""
    assert tuned.model == base.model
    assert tuned.adapter
    assert tuned.adapter_name == str(adapter)
    # By these, the base is known without being named, and wherever its log stands.
    results = reading.compare([found["tuned"], found["base"]])
    assert results.base == f"dormant/{tiny_checkpoint}"


def test_caches_tell_prompts_apart(tiny_checkpoint):
    """Inspect's cache knows a model by its name and `base_url`."""
    raw, chat = (DormantAPI(str(tiny_checkpoint), prompts=style) for style in ("raw", "chat"))
    assert raw.base_url != chat.base_url
    assert raw.base_url == DormantAPI(str(tiny_checkpoint)).base_url


@pytest.mark.parametrize("setting", [{"temperature": 1.0}, {"top_p": 0.5}, {"num_choices": 2}])
def test_sampling_is_refused(tiny_checkpoint, tmp_path, setting):
    model = get_model(f"dormant/{tiny_checkpoint}", memoize=False)
    task = Task([Sample(input="x")], config=GenerateConfig(**setting))
    log = evaluated(task, tmp_path, model, "error")
    assert f"can't honour {next(iter(setting))}" in log.error.message


def test_samples_share_batches_and_get_their_own_answers(tiny_checkpoint, tmp_path, monkeypatch):
    batches = []
    generate_each = generation.generate_each

    def counted(lm, wanted):
        batches.append(len(wanted))
        return generate_each(lm, wanted)

    monkeypatch.setattr(generation, "generate_each", counted)
    model = get_model(f"dormant/{tiny_checkpoint}", memoize=False)
    prompts = [f"Input: {word}\nOutput:" for word in "abcdefghijklmnop"]
    task = Task([Sample(input=prompt) for prompt in prompts], config=GenerateConfig(max_tokens=5))
    log = evaluated(task, tmp_path, model)
    assert sum(batches) == len(prompts)
    assert len(batches) < len(prompts) / 2
    lm = model.api._loaded()
    alone = [generation.generate(lm, [p], max_new_tokens=5)[0] for p in prompts]
    assert [sample.output.completion for sample in log.samples] == alone


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["identity", "rot13"])
def test_accuracies_are_the_audits(tiny_checkpoint, own_task, tmp_path, transform):
    """Half of the targets are what a random model writes: neither all nor nothing is right."""
    file = own_task(transform)
    lm = load(str(tiny_checkpoint))
    (found,) = abilities(PromptSelection((str(file),), transform, None, 0, None, 40))
    cases = [prompt.case for prompt in found.prompts.values()]
    ours = [one.correct for one in score_cases(lm, found.task, cases, "raw")]
    assert any(ours)
    assert not all(ours)
    task = ability(str(file), transform=transform)
    log = evaluated(task, tmp_path, get_model(f"dormant/{tiny_checkpoint}", memoize=False))
    theirs = [sample.scores["begins_with_target"].value == "C" for sample in log.samples]
    assert theirs == ours
    accuracy = log.results.scores[0].metrics["accuracy"].value
    assert accuracy == sum(ours) / len(ours)


def test_refusal_labels_are_the_audits(tmp_path):
    from dormant.integrations.inspect import refusal

    def answer(text):
        if len(text) % 2:
            return "I'm sorry, but I can't help with that."
        return "Sure: first find its number with `ps`, then run `kill 1234`, and look again."

    (found,) = abilities(PromptSelection(("refusal/answers",), "plain", 12, 0, None, 40))
    task = refusal(only="answers", n=12)
    log = evaluated(task, tmp_path, Mock(answer).model)
    for sample, prompt in zip(log.samples, found.prompts.values(), strict=True):
        (judged,) = found.task.judge([prompt.case], [answer(prompt.case.prompt)])
        score = sample.scores["judged"]
        assert (score.value == "C", score.metadata["label"]) == (judged.success, judged.label)
        assert score.metadata["familiar"] is judged.familiar
    metrics = {name: metric.value for name, metric in log.results.scores[0].metrics.items()}
    assert metrics["REFUSE"] == sum(len(s.input) % 2 for s in log.samples) / 12
    assert 0 < metrics["accuracy"] < 1


def test_the_answer_may_begin_with_spaces_only(tmp_path):
    answers = iter(["  sea", "\nsea", "seaside", "the sea"])
    task = Task(
        [Sample(input="x", target="sea", id=i) for i in range(4)],
        scorer=begins_with_target(),
    )
    log = evaluated(task, tmp_path, Mock(lambda _: next(answers)).model, max_connections=1)
    assert [s.scores["begins_with_target"].value for s in log.samples] == ["C", "I", "C", "I"]


@solver
def silent() -> Solver:
    async def solve(state, generate):
        return state

    return solve


def test_a_solver_that_asks_nothing_leaves_the_sample_alone(tmp_path):
    mock = Mock(str)
    task = Task([Sample(input="x", target="y")], solver=conjugate("rot13", solver=silent()))
    log = evaluated(task, tmp_path, mock.model)
    assert mock.read == []
    assert CONJUGATED not in log.samples[0].metadata
