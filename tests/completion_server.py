"""An OpenAI-compatible server over a real model, on loopback, that can be told to misbehave.

Only what lm-evaluation-harness's `local-completions` asks for: ``POST /v1/completions`` with
tokens or text, ``echo`` and ``logprobs``, as vLLM answers it.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections import deque
from collections.abc import Generator
from typing import Any

import torch


class CompletionServer(http.server.ThreadingHTTPServer):
    """Serves `model`; `faults` are taken up one a request, and the rest is answered well.

    Faults: "429", "500" (status codes), "hang" (no answer), "drop" (half an answer), "html" (an
    answer that is no JSON). `lie` changes every answer's log-probabilities, or refuses them.
    `listed` is what it says it has; it answers under any name.
    """

    daemon_threads = True
    # A client that gave up leaves a thread behind; it must not hold up the test.
    block_on_close = False

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.tokenizer = model, tokenizer
        self.faults: deque[str] = deque()
        self.lie: str | None = None
        self.listed: list[dict[str, str]] | None = None
        self.asked = 0
        self.at_once = self.most_at_once = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address to complete at."""
        return f"http://127.0.0.1:{self.server_port}/v1/completions"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what is tested."""

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a well-formed request."""
        prompts = body["prompt"]
        if isinstance(prompts, str) or isinstance(prompts[0], int):
            prompts = [prompts]
        choices = []
        for index, prompt in enumerate(prompts):
            ids = self.tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt
            choice = {"index": index, "finish_reason": "length", **self.choice(ids, body)}
            choices.append(choice)
        return {"object": "text_completion", "model": body["model"], "choices": choices}

    @torch.inference_mode()
    def choice(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        """Complete one prompt."""
        given = torch.tensor([ids])
        with self.lock:
            out = self.model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=False, pad_token_id=0,
                max_new_tokens=body["max_tokens"],
            )[0]  # fmt: skip
            logits = self.model(out[None]).logits[0].float()
        text = self.tokenizer.decode(out[0 if body.get("echo") else len(ids) :])
        for stop in body.get("stop") or []:
            text = text.split(stop)[0]
        if not body.get("logprobs") or not body.get("echo"):
            return {"text": text, "logprobs": None}
        logs = logits.log_softmax(-1)[:-1]
        own = logs.gather(1, out[1:, None])[:, 0].tolist()
        best = logs.max(-1)
        top = [
            {self.tokenizer.decode([token]): value}
            for token, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        if self.lie == "positive":
            own = [-value for value in own]
        elif self.lie == "nan":
            own = [float("nan")] * len(own)
        elif self.lie == "null":
            own = [None] * len(own)
        elif self.lie == "certain":
            own, top = [-1e-9] * len(own), [{"x": -1e-9}] * len(own)
        elif self.lie == "no echo":
            own, top = own[-1:], top[-1:]
        elif self.lie == "no logprobs":
            return {"text": text, "logprobs": None}
        elif self.lie == "content":
            # As llama.cpp's server, which ignores echo: what it wrote alone, in chat's form.
            return {"text": text, "logprobs": {"content": [{"logprob": own[-1]}]}}
        return {
            "text": text,
            "logprobs": {"token_logprobs": [None, *own], "top_logprobs": [None, *top]},
        }


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: CompletionServer

    def log_message(self, format: str, *args: Any) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        """Know no tokenizer, as most servers, and list models where it is told to."""
        if self.path == "/v1/models" and self.server.listed is not None:
            self.answer(json.dumps({"object": "list", "data": self.server.listed}))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Complete, or misbehave."""
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/completions"):
            self.send_error(404)
            return
        with server.lock:
            server.asked += 1
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            fault = server.faults.popleft() if server.faults else None
        refused = server.lie == "refuses echo" and body.get("echo")
        if len(body.get("stop") or ()) > 4:
            # As OpenAI's, and vLLM's.
            fault = "400"
        text = "" if fault or refused else json.dumps(server.complete(body))
        with server.lock:
            # Before the answer is out: its reader may ask the next thing at once.
            server.at_once -= 1
        if refused:
            # In llama.cpp's words.
            told = {"code": 500, "message": "Only no echo is supported", "type": "server_error"}
            self.answer(json.dumps({"error": told}), status=500)
        elif fault:
            self.misbehave(fault)
        else:
            self.answer(text)

    def misbehave(self, fault: str) -> None:
        """Do what a bad server does."""
        if fault == "hang":
            self.server.closing.wait(30)
        elif fault == "drop":
            text = json.dumps({"choices": [{"index": 0}] * 50})
            self.answer(text, half=True)
        elif fault == "html":
            self.answer("<html>Bad gateway</html>")
        else:
            self.send_error(int(fault), "not now")

    def answer(self, text: str, *, half: bool = False, status: int = 200) -> None:
        """Send an answer, or half of the one that was announced."""
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if half else data)


@contextlib.contextmanager
def serving(model: Any, tokenizer: Any) -> Generator[CompletionServer]:
    """Serve a model while the context lasts."""
    server = CompletionServer(model, tokenizer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
        # Threads of clients that gave up.
        time.sleep(0.05)
