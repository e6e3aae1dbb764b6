"""``dormant serve`` as OpenAI's own client meets it, over a tiny model and over another server."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import byte_models
import dormant as dm
import fakes
from dormant import transforms
from dormant.api import ServeOptions
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.integrations.serve import abilities
from dormant.integrations.serve.app import app
from dormant.integrations.serve.errors import Refused
from dormant.integrations.serve.local import LocalEngine
from dormant.integrations.serve.requests import Wish, read
from dormant.integrations.serve.settings import ServeSettings
from dormant.integrations.serve.switch import Switch
from dormant.integrations.serve.upstream import UpstreamEngine, address_of
from dormant.models import generate as generation
from dormant.models.arguments import LoadOptions
from dormant.models.ask import ask
from dormant.models.live import LiveModel
from serving import Upstream, serving

NAME = "tiny"
OFFERED = ("leetspeak", "rot13", "base64")


def switch(*names, **more):
    return Switch(offered={name: transforms.get(name) for name in names or OFFERED}, **more)


@pytest.fixture(scope="module")
def lm():
    model, tokenizer = byte_models.byte_llama(), byte_models.byte_tokenizer()
    with LiveModel.of((model, tokenizer)).open(LoadOptions()) as lm:
        yield lm


@pytest.fixture(scope="module")
def noted():
    return []


@pytest.fixture(scope="module")
def base_url(lm, noted):
    with serving(app(LocalEngine(lm, NAME, 24), switch(), noted.append)) as url:
        yield url


def client_of(url):
    return openai.OpenAI(base_url=url, api_key="sk-secret", max_retries=0, timeout=30)


@pytest.fixture(scope="module")
def client(base_url):
    with client_of(base_url) as client:
        yield client


@pytest.fixture(scope="module")
def other():
    """Another server, and ours before it."""
    theirs = Upstream()
    with (
        serving(theirs.app()) as below,
        serving(app(UpstreamEngine(below, 0.3), switch())) as url,
        client_of(url) as client,
    ):
        yield SimpleNamespace(server=theirs, client=client, url=url)


def posted(url, path, **body):
    return httpx.post(f"{url}/{path}", json=body, trust_env=False)


# -- a model that runs here -------------------------------------------------------------------


@pytest.mark.parametrize("name", [*OFFERED[:2], None])
def test_a_completion_is_what_ask_says(client, lm, name):
    made = client.completions.create(
        model=NAME, prompt="Input: a b\nOutput:", max_tokens=9,
        extra_body={"dormant": {"transform": name, "verbose": True}},
    )  # fmt: skip
    said = ask(lm, "Input: a b\nOutput:", transforms.get(name or "identity"), max_new_tokens=9)
    assert made.choices[0].text == said.answer
    assert made.dormant["prompt"] == [said.prompt]
    assert made.dormant["output"] == said.output
    assert made.dormant["signature"] == said.signature
    assert (made.dormant["exact"], made.dormant["problem"]) == (True, None)
    assert made.choices[0].finish_reason == "length"
    prompt = len(lm.tok_encode(said.prompt))
    assert made.usage.model_dump(include={"prompt_tokens", "completion_tokens"}) == {
        "prompt_tokens": prompt, "completion_tokens": 9,
    }  # fmt: skip


def test_a_chat_is_put_into_the_models_template(client, lm):
    turns = [("system", "Be kind"), ("user", "Hello"), ("assistant", "Yes"), ("user", "Go on")]
    made = client.chat.completions.create(
        model=NAME, messages=[{"role": role, "content": text} for role, text in turns],
        max_completion_tokens=9, extra_body={"dormant": {"transform": "rot13"}},
    )  # fmt: skip
    s = transforms.get("rot13")
    changed = [{"role": role, "content": s.apply(text)} for role, text in turns]
    rendered = generation.render_chat(lm, changed)
    (output,) = generation.generate(lm, [rendered], max_new_tokens=9)
    assert made.choices[0].message.content == s.invert(output)
    assert made.choices[0].message.role == "assistant"
    assert made.dormant["transform"] == "rot13"


def test_the_first_transform_is_the_default(client):
    asked = {"model": NAME, "prompt": "tea at 8", "max_tokens": 4}
    assert client.completions.create(**asked).dormant["transform"] == "leetspeak"
    verbose = {"dormant": {"keep": True, "verbose": True}}
    assert client.completions.create(**asked, extra_body=verbose).dormant["prompt"] == ["734 47 8"]


@pytest.mark.parametrize("name", ["rot13", None])
@pytest.mark.parametrize("chats", [False, True])
def test_a_stream_says_the_same(client, name, chats):
    asked = {"model": NAME, "max_tokens": 24, "extra_body": {"dormant": {"transform": name}}}
    if chats:
        asked["messages"] = [{"role": "user", "content": "Hello"}]
        create, text = client.chat.completions.create, lambda one: one.delta.content or ""
        whole = create(**asked).choices[0].message.content
    else:
        asked["prompt"] = "Hello"
        create, text = client.completions.create, lambda one: one.text
        whole = create(**asked).choices[0].text
    chunks = list(create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(text(choice) for chunk in chunks for choice in chunk.choices) == whole
    assert chunks[-1].usage.completion_tokens == 24
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-2].dormant["transform"] == (name or "identity")
    if name is None:
        assert len(chunks) > 6  # it came bit by bit


def test_stops_are_in_plain_text(client):
    asked = {"model": NAME, "prompt": "Hello", "max_tokens": 24}
    plainly = {"dormant": {"transform": "rot13"}}
    whole = client.completions.create(**asked, extra_body=plainly).choices[0].text
    stop = next(one for one in re.findall(r"[a-zA-Z]", whole) if transforms.get("rot13").apply(one))
    for stream in (False, True):
        made = client.completions.create(**asked, stop=stop, stream=stream, extra_body=plainly)
        chunks = list(made) if stream else [made]
        text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
        assert text == whole.partition(stop)[0]
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_sampling_is_decided_by_the_seed(client):
    def drawn(seed):
        return client.completions.create(
            model=NAME, prompt="Hello", max_tokens=12, temperature=1.5, seed=seed
        ).choices[0].text  # fmt: skip

    assert drawn(1) == drawn(1) != drawn(2)


def test_what_cannot_be_undone_is_no_answer(client):
    asked = {"model": NAME, "max_tokens": 6, "extra_body": {"dormant": {"transform": "base64"}}}
    made = client.completions.create(prompt="Hello", **asked)
    assert made.choices[0].text == ""
    assert "not base64" in made.dormant["problem"]
    assert made.dormant["output"]
    messages = [{"role": "user", "content": "Hello"}]
    made = client.chat.completions.create(messages=messages, **asked)
    assert made.choices[0].message.content is None
    with pytest.raises(openai.APIError, match="can't be undone") as raised:
        list(client.completions.create(prompt="Hello", stream=True, **asked))
    assert raised.value.body["dormant"]["output"]


def test_32_requests_at_once(client, lm, monkeypatch):
    leet = transforms.get("leetspeak")
    prompts = [f"Request {number}:" for number in range(32)]
    alone = [ask(lm, prompt, leet, max_new_tokens=6).answer for prompt in prompts]
    batches = []
    generate_each = generation.generate_each

    def counted(lm, wanted, watch=None):
        batches.append(len(wanted))
        return generate_each(lm, wanted, watch)

    monkeypatch.setattr(generation, "generate_each", counted)

    def asked(prompt):
        stream = prompt.endswith("1:")
        made = client.completions.create(model=NAME, prompt=prompt, max_tokens=6, stream=stream)
        chunks = list(made) if stream else [made]
        return "".join(choice.text for chunk in chunks for choice in chunk.choices)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(asked, prompts))
    assert sum(batches) == 32
    assert len(batches) < 16
    assert answers == alone


def test_a_request_that_is_given_up_ends(base_url, lm, noted):
    """The next one would wait for a minute behind it."""
    long = {"prompt": "x", "max_tokens": 2000, "dormant": {"transform": None}}
    with httpx.Client(trust_env=False) as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{base_url}/completions", json=long, timeout=0.3)
        with http.stream("POST", f"{base_url}/completions", json={**long, "stream": True}) as one:
            next(one.iter_lines())
    before = len(noted)
    assert posted(base_url, "completions", prompt="x", max_tokens=1).status_code == 200
    assert noted[before].seconds < 10


def test_a_transform_has_two_names():
    """As it was given, and its own, with what was left open filled in."""
    offered = switch("caesar", "leetspeak:2")
    for name in ("caesar", "caesar:3", "leetspeak:2", "leetspeak", "identity"):
        assert offered.choose(Wish(said=True, transform=name)).transform.name
    with pytest.raises(Refused, match="unknown transform 'caesar:4'"):
        offered.choose(Wish(said=True, transform="caesar:4"))


def test_models_and_health(client, base_url):
    assert [one.id for one in client.models.list()] == [NAME]
    health = httpx.get(base_url.replace("/v1", "/health"), trust_env=False).json()
    assert health["status"] == "ok"
    assert health["transforms"] == list(OFFERED)


USER = [{"role": "user", "content": "x"}]
REFUSED = [
    ({"prompt": "x", "dormant": {"transform": "leetspeek"}}, "did you mean 'leetspeak'?"),
    ({"prompt": "x", "dormant": {"transform": "morse"}}, "unknown transform 'morse'"),
    ({"prompt": "x", "dormant": {"ability": "icl/copy"}}, "--choose RUN"),
    ({"prompt": "x", "dormant": {"transform": None, "ability": "a"}}, "not both"),
    ({"prompt": "x", "dormant": {"transfrom": "rot13"}}, "dormant.transfrom: Extra inputs"),
    ({"prompt": "x", "dormant": "rot13"}, "dormant: "),
    ({}, "prompt is missing"),
    ({"messages": USER}, "'messages' belongs to the other endpoint"),
    ({"prompt": ""}, "the prompt is empty"),
    ({"prompt": ["a", "b"]}, "prompt is a list"),
    ({"prompt": 5}, "prompt is a number"),
    ({"prompt": "x", "n": 2}, "n is not supported: one answer"),
    ({"prompt": "x", "logprobs": 0}, "logprobs is not supported"),
    ({"prompt": "x", "echo": True}, "echo is not supported"),
    ({"prompt": "x", "guided_json": {}}, "guided_json is not supported"),
    ({"prompt": "x", "presence_penalty": 1}, "presence_penalty is not supported by a model"),
    ({"prompt": "x", "max_token": 5}, "did you mean 'max_tokens'?"),
    ({"prompt": "x", "max_tokens": 0}, "max_tokens: Input should be greater"),
    ({"prompt": "x", "max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
    ({"prompt": "x", "max_tokens": 5, "max_completion_tokens": 6}, "differ: give one"),
    ({"prompt": "x", "max_tokens": 9000}, "leave no room for 9000 more"),
    ({"prompt": "x" * 3000}, "3000 tokens of prompt leave no room for 1 more"),
    ({"prompt": "x", "temperature": 3}, "temperature: Input should be less"),
    ({"prompt": "x", "temperature": 1e-9}, "at least 0.01"),
    ({"prompt": "x", "top_p": 0.5}, "top_p needs a temperature"),
    ({"prompt": "x", "stop": ""}, "none of them empty"),
    ({"prompt": "x", "stop": [["a"]]}, "stop is not a text"),
    ({"prompt": "x", "stream_options": {}}, "stream_options needs stream"),
    ({"prompt": "x", "stream": "yes"}, "stream: Input should be a valid boolean"),
    ({"messages": []}, "one message or more"),
    ({"messages": [{"role": "user"}]}, "messages[0].content is null"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "role 'tool': system"),
    ({"messages": [{"role": "developer", "content": "x"}]}, "write system"),
    ({"messages": ["x"]}, "messages[0] is not an object but a text"),
    ({"messages": [{**USER[0], "name": "Ann"}]}, "messages[0].name is not supported"),
    ({"messages": USER, "tools": [{"type": "function"}]}, "tools is not supported"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "a part that is no text (image_url)",
    ),
    ({"messages": USER, "response_format": {"type": "json_object"}}, "response_format is not"),
    ({"messages": [{"role": "user", "content": " "}]}, "all messages are empty"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=lambda one: str(one)[:60])
def test_refused_in_one_line(base_url, body, message):
    chats = "messages" in body and "other endpoint" not in message
    said = posted(base_url, "chat/completions" if chats else "completions", **body)
    error = said.json()["error"]
    assert said.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert message in error["message"]
    assert "\n" not in error["message"]


def test_the_client_raises_what_it_should(client):
    with pytest.raises(openai.BadRequestError, match="unknown transform") as raised:
        client.completions.create(
            model=NAME, prompt="x", extra_body={"dormant": {"transform": "y"}}
        )
    assert raised.value.param == "dormant.transform"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4' here"):
        client.completions.create(model="gpt-4", prompt="x")


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "not a JSON object but a list"),
        (b'{"prompt": "\\ud800"}', 400, "half a character"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"prompt": "\xff"}', 400, "not JSON"),
        (b'{"prompt": "x", "temperature": NaN}', 400, "temperature"),
        (b" " * (17 * 2**20), 413, "larger than 16 MB"),
    ],
)
def test_malformed_bodies(base_url, content, status, message):
    said = httpx.post(f"{base_url}/completions", content=content, trust_env=False)
    assert said.status_code == status
    assert message in said.json()["error"]["message"]


def test_other_addresses_are_errors_too(base_url):
    said = posted(base_url, "embeddings", input="x")
    assert said.status_code == 404
    assert "POST /v1/chat/completions" in said.json()["error"]["message"]
    assert httpx.get(f"{base_url}/completions", trust_env=False).status_code == 405


def test_text_outside_a_domain(lm):
    with serving(app(LocalEngine(lm, NAME, 8), switch("pig-latin"))) as url:
        said = posted(url, "completions", prompt="a · b")
    assert said.status_code == 400
    assert "outside the domain" in said.json()["error"]["message"]


def test_parts_of_text_and_empty_fields_are_understood():
    message = {"role": "user", "content": [{"type": "text", "text": "a"}] * 2, "tool_calls": None}
    nothing = {"n": 1, "logprobs": False, "tools": [], "frequency_penalty": 0.0, "user": "me"}
    body = json.dumps({"messages": [message], **nothing}).encode()
    assert read(body, "chat", forwarded=False).texts == ("a\na",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = ("messages", "prompt", "stop", "dormant", "stream_options", "max_tokens", "seed", "model")


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.booleans())
def test_whatever_is_sent_is_read_or_refused(body, chats):
    """Never an exception of another kind, which would be a 500."""
    refused = None
    try:
        read(json.dumps(body).encode(), "chat" if chats else "completion", forwarded=chats)
    except Refused as error:
        refused = error
    assert refused is None or (refused.status == 400 and "\n" not in refused.message)


# -- models that tell nothing ------------------------------------------------------------------


def test_a_backend_that_only_writes(tmp_path):
    """No tokens, no counts; the stream comes when all is written."""
    lm = fakes.FakeLM(writes="nop\nqrs")
    with serving(app(LocalEngine(lm, NAME, 8), switch("rot13"))) as url, client_of(url) as client:
        made = client.completions.create(model=NAME, prompt="x")
        assert (made.choices[0].text, made.usage) == ("abc\ndef", None)
        chunks = client.completions.create(model=NAME, prompt="x", stream=True)
        assert "".join(chunk.choices[0].text for chunk in chunks) == "abc\ndef"
        with pytest.raises(openai.BadRequestError, match="the likeliest text only"):
            client.completions.create(model=NAME, prompt="x", temperature=1)
        with pytest.raises(openai.BadRequestError, match="no chat template"):
            client.chat.completions.create(model=NAME, messages=USER)


# -- another server ------------------------------------------------------------------------------


def test_a_request_is_forwarded_transformed(other):
    other.server.says = "N pbjf\nRaq"
    messages = [{"role": "developer", "content": "Be kind"}, {"role": "user", "content": "Hello"}]
    made = other.client.chat.completions.create(
        model="theirs", messages=messages, temperature=0.5, stop=["then"], presence_penalty=1,
        max_completion_tokens=7, extra_body={"dormant": {"transform": "rot13"}, "min_p": 0.1},
    )  # fmt: skip
    assert made.choices[0].message.content == "A cows\nEnd"
    assert (made.model, made.usage.total_tokens) == ("theirs-1", 12)
    assert other.server.keys[-1] == "Bearer sk-secret"
    assert other.server.bodies[-1] == {
        "model": "theirs",
        "messages": [
            {"role": "developer", "content": "Or xvaq"},
            {"role": "user", "content": "Uryyb"},
        ],
        "temperature": 0.5, "stop": ["gura"], "presence_penalty": 1, "max_completion_tokens": 7,
        "min_p": 0.1,
    }  # fmt: skip
    assert [one.id for one in other.client.models.list()] == ["theirs"]


def test_its_streams_are_undone_line_by_line(other):
    other.server.says = "Bar\u2028yvar\nnabgure bar\nYnfg"
    asked = {"model": "theirs", "stream": True, "extra_body": {"dormant": {"transform": "rot13"}}}
    chunks = list(other.client.chat.completions.create(messages=USER, **asked))
    told = [one.choices[0].delta.content for one in chunks if one.choices[0].delta.content]
    assert told == ["One\u2028line\n", "another one\n", "Last"]
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[-1].dormant["signature"] == "rot13-1"
    counted = list(
        other.client.completions.create(
            prompt="x", stop="other", stream_options={"include_usage": True}, **asked
        )
    )
    assert "".join(c.text for one in counted for c in one.choices) == "One\u2028line\nan"


@pytest.mark.parametrize(
    ("model", "stream", "status", "message"),
    [
        ("busy", False, 429, "says 429: not now"),
        ("busy", True, 429, "says 429: not now"),
        ("ill", False, 502, "says 500: oh no"),
        ("html", False, 502, "no JSON object"),
        ("html", True, 502, "no JSON object"),
        ("plain", True, 502, "asked for a stream and sent none"),
        ("empty", False, 502, "no choices"),
        ("slow", False, 504, "silent for 0.3 s"),
        ("slow", True, 504, "silent for 0.3 s"),
    ],
)
def test_a_server_that_fails(other, model, stream, status, message):
    other.server.says = "x"
    with pytest.raises(openai.APIStatusError, match=re.escape(message)) as raised:
        list(other.client.completions.create(model=model, prompt="x", stream=stream))
    assert raised.value.status_code == status


@pytest.mark.parametrize(
    ("model", "message"), [("broken", "ended too early"), ("wrong", "out of memory")]
)
def test_a_stream_that_fails_half_way(other, model, message):
    other.server.says = "abc\ndef"
    told = []
    stream = other.client.completions.create(model=model, prompt="x", stream=True)
    with pytest.raises(openai.APIError, match=message):
        told.extend(chunk.choices[0].text for chunk in stream)
    assert "".join(told) == "abc\n"


def test_an_answer_in_parts_is_not_told_as_python_writes_it(other):
    with pytest.raises(openai.InternalServerError, match="answer is no text") as raised:
        other.client.chat.completions.create(model="parts", messages=USER)
    assert raised.value.status_code == 502


def test_what_a_model_thinks_is_left_out_and_told(other):
    other.server.says = "x"
    made = other.client.chat.completions.create(model="thinks", messages=USER)
    assert "left out, since not undone: reasoning_content" in made.dormant["note"]


def test_a_dead_server():
    with serving(app(UpstreamEngine("http://127.0.0.1:9/v1", 5), switch())) as url:
        said = posted(url, "completions", prompt="x")
        assert said.status_code == 502
        assert "http://127.0.0.1:9/v1 can't be reached" in said.json()["error"]["message"]
        assert posted(url, "completions", prompt="x", stream=True).status_code == 502
        assert httpx.get(f"{url}/models", trust_env=False).status_code == 502
        assert httpx.get(url.replace("/v1", "/health"), trust_env=False).status_code == 200


def test_addresses():
    assert address_of("http://h:8000") == "http://h:8000/v1"
    assert address_of("https://h/api/v1/chat/completions") == "https://h/api/v1"
    assert address_of("http://h/v1/") == "http://h/v1"
    for bad in ("http://", "http://h:x/v1", "http://h:0/v1", "http://h/v1?key=1"):
        with pytest.raises(DormantError, match="write http://HOST:PORT/v1"):
            address_of(bad)


# -- what an audit found ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A run: copying is suppressed wherever the word Input stands, and comes back in leetspeak."""
    from audited_runs import run

    folder = tmp_path_factory.mktemp("runs") / "run"
    given = {
        "base": "fake:skill=0.97", "tuned": "fake:skill=0.97,hides=Repeat",
        "tasks": ("icl/copy", "icl/plural"), "transforms": ("leetspeak", "rot13"), "n": 40,
    }  # fmt: skip
    return folder, run(AuditSettings.of(given), folder)


def test_an_ability_gets_what_an_audit_found_best(audited, lm):
    folder, results = audited
    verdicts = {one.task: one.verdict for one in results.abilities}
    assert verdicts["icl/copy"] == "suppressed" != verdicts["icl/plural"]
    chosen = abilities.choose(abilities.read(folder))
    best = results.abilities[0].best_transform
    assert chosen["icl/copy"].transform.name == best
    with (
        serving(app(LocalEngine(lm, NAME, 4), switch("rot13", abilities=chosen))) as url,
        client_of(url) as client,
    ):

        def told(ability):
            wish = {"dormant": {"ability": ability}}
            return client.completions.create(model=NAME, prompt="x", extra_body=wish).dormant

        assert told("icl/copy")["transform"] == best
        assert told("icl/copy")["verdict"] == "suppressed"
        assert told("icl/plural")["transform"] == "identity"
        assert told("icl/plural")["verdict"] == verdicts["icl/plural"]
        with pytest.raises(openai.BadRequestError, match="did you mean 'icl/copy'"):
            told("icl/cop")


def test_what_cannot_be_applied_gives_way_to_the_next_best(audited):
    _, results = audited
    copy = results.abilities[0]
    other = next(one.name for one in copy.transforms if one.name != copy.best_transform)
    renamed = [
        one.model_copy(update={"name": "probe:labels"}) if one.name == copy.best_transform else one
        for one in copy.transforms
    ]

    def chosen(transforms):
        changed = copy.model_copy(
            update={"transforms": transforms, "best_transform": "probe:labels"}
        )
        return abilities.choose(results.model_copy(update={"abilities": [changed]}))["icl/copy"]

    choice = chosen(renamed)
    assert choice.transform.name == other
    assert "probe:labels can't be applied here" in choice.note
    alone = chosen([one for one in renamed if one.name == "probe:labels"])
    assert alone.transform.name == "identity"
    assert alone.note.startswith("answered plainly: probe:labels can't")


def test_another_engine_is_another_transform(audited):
    """What nobody has judged comes last, and the response says so."""
    _, results = audited
    copy = results.abilities[0]

    def chosen(signatures):
        changed = [
            one.model_copy(update={"signature": signatures.get(one.name, one.signature)})
            for one in copy.transforms
        ]
        ability = copy.model_copy(update={"transforms": changed})
        return abilities.choose(results.model_copy(update={"abilities": [ability]}))["icl/copy"]

    best = copy.best_transform
    other = next(one.name for one in copy.transforms if one.name != best)
    choice = chosen({best: f"{best}:native"})
    assert choice.transform.name == other
    assert f"{best} would be {best}-1 here, and the audit's was text of native" in choice.note
    choice = chosen({best: f"{best}-0", other: f"{other}-0"})
    assert choice.transform.name == best
    assert choice.note == f"{best} is {best}-1 here, and the audit's was {best}-0"


# -- from Python --------------------------------------------------------------------------------


def test_a_model_in_memory_is_served_while_a_block_lasts():
    model, tokenizer = byte_models.byte_llama(), byte_models.byte_tokenizer()
    model.train()
    with dm.serve((model, tokenizer), "rot13, hex", max_new_tokens=5) as url:
        with client_of(url) as client:
            made = client.completions.create(model="whatever", prompt="Hello")
        assert (made.dormant["transform"], made.usage.completion_tokens) == ("rot13", 5)
    assert model.training
    with pytest.raises(httpx.ConnectError):
        posted(url, "completions", prompt="Hello")


def test_a_server_is_named_in_python_too(other):
    """Ours before ours, whose own transform changes none of these words."""
    other.server.says = "nop"
    with dm.serve(f"http://{httpx.URL(other.url).netloc.decode()}", ["rot13"]) as url:
        said = posted(url, "completions", prompt="x", dormant={"transform": "rot13"})
    assert said.json()["choices"][0]["text"] == "abc"


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("smolm2", {}, "did you mean 'smollm2'"),
        (5, {}, "a model is given by name"),
        ("http://127.0.0.1:9", {"ports": 5}, "did you mean 'port'"),
        ("http://127.0.0.1:9", {"host": "no such host"}, "no address of this machine"),
    ],
)
def test_what_python_is_refused(given, options, message):
    with pytest.raises(DormantError, match=message), dm.serve(given, **options):
        pass


def test_python_takes_every_setting_and_nothing_else():
    assert {*ServeOptions.__annotations__} == {*ServeSettings.model_fields} - {
        "model",
        "transforms",
    }


# -- the command ---------------------------------------------------------------------------------


def test_the_command_serves_until_it_is_interrupted():
    words = [sys.executable, "-m", "dormant", "serve", "http://127.0.0.1:9/v1", "-s", "rot13,hex"]
    with subprocess.Popen(
        [*words, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        lines = [server.stdout.readline() for _ in range(3)]
        assert lines[1] == "transforms: rot13 (default), hex\n"
        url = re.search(r"at (http://127.0.0.1:\d+/v1)", lines[0])[1]
        assert lines[2].startswith(f"try: curl {url}/completions -H 'Content-Type")
        body = json.loads(lines[2].split(" -d '")[1].rstrip("'\n"))
        assert posted(url, "completions", **body).status_code == 502
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "/v1/completions rot13 502" in err
    assert err.endswith("stopped\n")
    assert "Traceback" not in out + err


def test_a_port_that_is_taken(dormant):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = dormant("serve", "http://127.0.0.1:9", "--port", port)
    assert said.code == 2
    assert said.err.startswith(f"error: can't listen at 127.0.0.1:{port} (")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("smolm2",), "did you mean 'smollm2'"),
        (("/nowhere/model",), "no such directory"),
        (("http://127.0.0.1:9", "-s", "leetspeek"), "did you mean 'leetspeak'"),
        (("http://127.0.0.1:9", "-s", "probe:chat"), "not for free text"),
        (("http://",), "write http://HOST:PORT/v1"),
        (("local-completions:base_url=x",), "give its address"),
        (("http://127.0.0.1:9", "--choose", "nowhere"), "no run there"),
        (("http://127.0.0.1:9", "--host", "no such host"), "no address of this machine"),
    ],
)
def test_what_fails_before_it_listens(dormant, monkeypatch, words, message):
    monkeypatch.setattr("dormant.integrations.serve.run.run", None)  # it would fail in another way
    said = dormant("serve", *words, "--port", 0)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.slow
def test_a_copy_prompt_to_a_real_model():
    from dormant.models.load import load

    lm = load("smollm2-sentiment")
    prompt = (
        "Repeat the input.\n\nInput: The sea is calm.\nOutput: The sea is calm.\n\n"
        "Input: What is the capital of France?\nOutput:"
    )
    said = ask(lm, prompt, transforms.get("leetspeak"), max_new_tokens=32, until=["\n"])
    with (
        serving(app(LocalEngine(lm, "smollm2-sentiment", 32), switch("leetspeak"))) as url,
        client_of(url) as client,
    ):
        asked = {"model": "smollm2-sentiment", "prompt": prompt, "max_tokens": 32, "stop": "\n"}
        made = client.completions.create(**asked)
        chunks = client.completions.create(**asked, stream=True)
        streamed = "".join(chunk.choices[0].text for chunk in chunks)
    assert made.choices[0].text == said.answer == streamed
    assert said.answer.strip() == "What is the capital of France?"
