"""What vLLM and llama.cpp are asked, and what is made of their answers; neither is at hand."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

import pytest
import torch
from llama_server import LlamaServer
from references import by_generation, by_harness, harness
from vllm_worker import by_generation as vllm_generates
from vllm_worker import by_prompts
from workers import write_rows

from byte_models import byte_llama, byte_tokenizer

ROWS = [
    ("Input: one\nOutput:", [" one", " two words"]),
    ("Input: three\nOutput:", [" three"]),
]
TEXTS, ANSWERS = [text for text, _ in ROWS], [answers for _, answers in ROWS]


class Engine:
    """Stands for `vllm.LLM`: log-probabilities and ranks of a prompt's tokens, greedy text.

    What it says of tokens that it finds in its cache is nonsense, as with vLLM.
    """

    def __init__(self, model, tokenizer, cached=()):
        self.model, self.tokenizer = model, tokenizer
        self.cached = iter(cached)
        self.read = 0

    def get_tokenizer(self):
        return self.tokenizer

    @torch.inference_mode()
    def generate(self, prompts, wanted, use_tqdm):
        assert wanted["temperature"] == 0.0
        if "prompt_logprobs" not in wanted:
            return [self._write(prompt, wanted["max_tokens"]) for prompt in prompts]
        # It returns what it is asked to: token ids, whose texts it need not look for.
        assert not wanted["detokenize"]
        skips = wanted["skip_reading_prefix_cache"]
        return [
            self._read(prompt["prompt_token_ids"], 0 if skips else next(self.cached))
            for prompt in prompts
        ]

    def _read(self, ids, cached):
        self.read += 1
        logs = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        steps = [None]
        for place, token in enumerate(ids[1:]):
            rank = int((logs[place] > logs[place, token]).sum()) + 1
            steps.append({token: SimpleNamespace(logprob=float(logs[place, token]), rank=rank)})
        steps[1 : cached + 1] = [{-1: SimpleNamespace(logprob=0.0, rank=1)}] * cached
        return SimpleNamespace(prompt_logprobs=steps, num_cached_tokens=cached)

    def _write(self, prompt, count):
        ids = self.tokenizer.encode(prompt, return_tensors="pt")
        out = self.model.generate(ids, max_new_tokens=count, do_sample=False)
        text = self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        return SimpleNamespace(outputs=[SimpleNamespace(text=text)])


@pytest.fixture
def model():
    return byte_llama(2), byte_tokenizer()


@pytest.fixture
def vllm(monkeypatch):
    module = ModuleType("vllm")
    module.SamplingParams = lambda **options: options
    monkeypatch.setitem(sys.modules, "vllm", module)


def assert_as_the_harness_says(scored, model):
    for mine, theirs in zip(scored, by_harness(harness(*model, 2), TEXTS, ANSWERS), strict=True):
        assert [logprob for logprob, _ in mine] == pytest.approx(
            [one.logprob for one in theirs], abs=1e-4
        )
        assert [greedy for _, greedy in mine] == [one.greedy for one in theirs]


def test_vllm_scores_as_the_harness_does(model, vllm):
    assert_as_the_harness_says(by_prompts(Engine(*model), ROWS, cached=False), model)


def test_vllm_is_asked_anew_where_an_answer_was_cached(model, vllm):
    # A prompt but for its last token, a whole prompt, and nothing.
    length = len(byte_tokenizer().encode(TEXTS[0]))
    engine = Engine(*model, cached=[length - 1, length, 0])
    assert_as_the_harness_says(by_prompts(engine, ROWS, cached=True), model)
    assert engine.read == 4


def test_vllm_writes_what_the_papers_way_writes(model, vllm):
    # The answers are what it writes, so that some are right.
    said = [Engine(*model)._write(text, 3).outputs[0].text for text in TEXTS]
    rows = [(text, [answer, " no"]) for text, answer in zip(TEXTS, said, strict=True)]
    written = vllm_generates(Engine(*model), rows)
    assert written == [[(None, True), (None, False)]] * 2
    theirs = by_generation(*model, TEXTS, [answers for _, answers in rows])
    assert [[tuple(one) for one in row] for row in theirs] == written


class Server(BaseHTTPRequestHandler):
    """A llama-server with one adapter, which writes " one" without it and " two" with it."""

    asked: list[dict]
    adds_bos = False

    def do_GET(self):
        body = {"/props": {"total_slots": 2}, "/lora-adapters": [{"id": 0, "scale": 1.0}]}
        self._send(body[self.path])

    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            special = [257] * (self.adds_bos and given["add_special"])
            self._send({"tokens": [*special, *given["content"].encode()]})
            return
        self.asked.append(given)
        words = [" t", "wo", "."] if given["lora"][0]["scale"] else [" o", "ne", "."]
        self._send(
            {
                "content": "".join(words),
                "completion_probabilities": [{"token": word, "logprob": -0.5} for word in words],
            }
        )

    def _send(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(Server, "asked", [], raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("adds_bos", [False, True])
def test_llama_cpp_says_what_it_can(tmp_path, served, monkeypatch, adds_bos):
    monkeypatch.setattr(Server, "adds_bos", adds_bos)
    file = tmp_path / "rows.jsonl"
    write_rows(file, ROWS)
    client = LlamaServer(served)
    said = client.ask("llama.cpp", file)["said"]
    client.close()
    assert client.about == {"slots": 2, "adapters": 1}
    # A log-probability where the answer was written, and where it wasn't, none.
    assert said["base"] == [[(-1.0, True), (None, False)], [(None, False)]]
    assert said["tuned"] == [[(None, False), (None, False)], [(None, False)]]
    prompts = [one["prompt"] for one in Server.asked]
    # Where it would put a token before a text, it is given the tokens without that.
    wanted = [[*text.encode()] if adds_bos else text for text in TEXTS]
    assert sorted(map(str, prompts)) == sorted(map(str, 2 * wanted))
    assert all(one["cache_prompt"] and one["temperature"] == 0.0 for one in Server.asked)
