"""Models behind an OpenAI-compatible server, through lm-evaluation-harness's own client."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from completion_server import serving
from dormant import tasks
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.generate import generate
from dormant.models.load import LoadOptions, load
from dormant.scoring.harness import refuse_impossible, scorer_of
from dormant.scoring.protocol import Answer
from dormant.scoring.scorer import FastLM

# The harness leaves its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def server(tiny_model, smollm2_tokenizer):
    with serving(tiny_model, smollm2_tokenizer) as server:
        yield server


@pytest.fixture
def reach(server, tiny_checkpoint):
    """Open the served model as a user does."""

    def make(**more):
        options = {
            "model": "tiny", "base_url": server.url, "tokenizer": tiny_checkpoint,
            "tokenizer_backend": "huggingface", "max_length": 512, **more,
        }  # fmt: skip
        words = ",".join(f"{name}={value}" for name, value in options.items())
        return load(f"local-completions:{words}", LoadOptions())

    return make


@pytest.fixture(scope="module")
def examples():
    (task,) = tasks.get(["icl_vs_if/repeat-blank"])
    cases = [task.case(item, language="english", shots=1, seed=0) for item in task.pool()[:3]]
    return [case.prompt for case in cases], [[f" {a}" for a in case.answers] for case in cases]


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 4}, {"num_concurrent": 3}, {"tokenized_requests": "False"}]
)
def test_served_numbers_are_the_model_s_own(
    reach, server, tiny_model, smollm2_tokenizer, examples, options
):
    prompts, answers = examples
    own = FastLM(pretrained=tiny_model, tokenizer=smollm2_tokenizer, precision="float32")
    wanted = own.score(prompts, answers)
    found = scorer_of(reach(**options)).score(prompts, answers)
    for ours, theirs in zip(wanted, found, strict=True):
        # Both float32, in other batches.
        assert [a.logprob for a in theirs] == pytest.approx([a.logprob for a in ours], abs=1e-3)
        assert [a.greedy for a in theirs] == [a.exact for a in ours]
    if "num_concurrent" in options:
        assert 1 < server.most_at_once <= 3
    else:
        assert server.most_at_once == 1


def test_served_text_is_the_model_s_own(reach, tiny_model, smollm2_tokenizer, examples):
    own = FastLM(pretrained=tiny_model, tokenizer=smollm2_tokenizer, precision="float32")
    wanted = generate(own, examples[0], max_new_tokens=5)
    assert generate(reach(), examples[0], max_new_tokens=5) == wanted
    assert generate(reach(num_concurrent=2), examples[0], max_new_tokens=5) == wanted


def test_more_ends_than_a_server_takes(reach, tiny_model, smollm2_tokenizer, examples):
    own = FastLM(pretrained=tiny_model, tokenizer=smollm2_tokenizer, precision="float32")
    whole = generate(own, examples[0], max_new_tokens=8)
    # The last one is in a text, and so is one of the first, later.
    until = ["\nA:", "\nB:", whole[0][-2:], "\nA:", "\nD:", "\nE:", whole[0][3:6]]
    wanted = generate(own, examples[0], max_new_tokens=8, until=until)
    assert wanted[0] == whole[0].split(whole[0][3:6])[0] != whole[0]
    assert generate(reach(), examples[0], max_new_tokens=8, until=until) == wanted
    assert generate(reach(num_concurrent=2), examples[0], max_new_tokens=8, until=until) == wanted


@pytest.mark.parametrize("concurrent", [1, 4])
@pytest.mark.parametrize("fault", ["429", "500", "drop", "html"])
def test_a_fault_that_passes_is_tried_again(reach, server, examples, fault, concurrent):
    prompts, answers = examples[0][:1], [examples[1][0][:1]]
    wanted = scorer_of(reach()).score(prompts, answers)
    server.faults.append(fault)
    assert scorer_of(reach(num_concurrent=concurrent)).score(prompts, answers) == wanted
    assert server.asked == 3


WORDS = {
    "429": r"429.*; ask less at once \(num_concurrent=1\)",
    "500": r"500.*check its arguments",
    "hang": r"[Tt]ime.*give it more time \(timeout=SECONDS\)",
    "drop": r"(Connection|Payload|Incomplete).*failed|failed: .*",
    "html": "failed: .*",
}


@pytest.mark.parametrize("concurrent", [1, 2])
@pytest.mark.parametrize("fault", WORDS)
def test_a_fault_that_stays_is_one_clear_line(reach, server, examples, fault, concurrent, caplog):
    server.faults.extend([fault] * 100)
    lm = reach(max_retries=1, timeout=1, num_concurrent=concurrent)
    with pytest.raises(DormantError, match=WORDS[fault]) as told:
        scorer_of(lm).score(*examples)
    assert "finished work is kept" in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(DormantError, match=r"backend .* failed") as told:
        generate(lm, examples[0], max_new_tokens=3)
    del told
    assert not logged(caplog)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("500, url='http://127.0.0.1:42973/v1'", "check its arguments"),
        ("500, url='https://connect.example/429/v1'", "check its arguments"),
        ("400, 4290 tokens are too many", "check its arguments"),
        ("429, url='http://127.0.0.1:8000/v1'", "ask less at once"),
        ("cannot connect to http://127.0.0.1:8000", "check that the server runs"),
    ],
)
def test_an_address_is_no_sign_of_what_is_wrong(said, advice, reach, server, examples):
    lm = reach(max_retries=1)

    def fails(*given, **named):
        raise RuntimeError(said)

    lm.loglikelihood = lm.generate_until = fails
    lm.model_call = lm.amodel_call = lm._loglikelihood_tokens = fails
    with pytest.raises(DormantError, match=advice):
        scorer_of(lm).score(*examples)


def logged(caplog) -> list[str]:
    """What was said beside the line, also of requests that are garbage by now."""
    gc.collect()
    return [one.getMessage() for one in caplog.records if one.name.startswith(("asyncio", "lm_"))]


@pytest.mark.parametrize("concurrent", [1, 4])
def test_no_server_at_all(tiny_checkpoint, examples, concurrent, caplog):
    lm = load(
        f"local-completions:model=x,base_url=http://127.0.0.1:9/v1/completions,max_retries=1,"
        f"tokenizer_backend=huggingface,tokenizer={tiny_checkpoint},num_concurrent={concurrent}"
    )
    with pytest.raises(DormantError, match="check that the server runs and that base_url") as told:
        scorer_of(lm).score(*examples)
    del told
    assert not logged(caplog)


@pytest.mark.parametrize("concurrent", [1, 3])
@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ("refuses echo", "says: Only no echo is supported"),
        ("content", "leaves out the prompt"),
        ("no logprobs", "leaves out the prompt"),
    ],
)
def test_a_server_that_writes_and_gives_no_log_probabilities(
    reach, server, examples, concurrent, lie, words
):
    """llama.cpp's, as it was and as it is; what it says is told, which the harness drops."""
    wanted = generate(reach(), examples[0], max_new_tokens=5)
    server.lie = lie
    lm = reach(max_retries=1, num_concurrent=concurrent)
    assert generate(lm, examples[0], max_new_tokens=5) == wanted
    with pytest.raises(DormantError, match=rf"no log-prob.*, it {words}\).*-t every"):
        scorer_of(lm).score(*examples)


def test_a_server_of_another_model_than_named(reach, server):
    """llama.cpp's answers under any name, with what it has loaded."""
    server.listed = [{"id": "/models/other.gguf", "owned_by": "llamacpp"}]
    with pytest.raises(DormantError, match=r"no 'tiny'; it has /models/other.gguf: say model=/m"):
        reach()
    reach(model="other")
    # What loads models when they are asked for lists others, and what lists nothing has anything.
    for listed in (
        [{"id": "x", "owned_by": "an-organisation"}],
        [],
        [{}],
        ["x"],
        [{"owned_by": 1}],
    ):
        server.listed = listed
        reach()


@pytest.mark.parametrize("lie", ["positive", "nan", "null", "certain", "no echo"])
def test_a_server_that_lies_is_found_out(reach, server, examples, lie):
    server.lie = lie
    with pytest.raises(DormantError, match=r"impossible log-prob|probability 1|backend .* failed"):
        scorer_of(reach(max_retries=1)).score(*examples)


def test_lies_told_of_one_answer_a_prompt(reach, server, examples):
    """Without echo the harness finds no log-probabilities, and takes their sum: 0, and greedy."""
    server.lie = "no echo"
    single = [row[:1] for row in examples[1]]
    with pytest.raises(DormantError, match=r"all 3 answers probability 1 .*echo"):
        scorer_of(reach()).score(examples[0], single)


def test_probabilities_that_may_stand_do(examples):
    """An answer and its own beginning may be nearly certain both."""
    sure = Answer(-0.001, True, True)
    rows = [[sure, sure]]
    refuse_impossible(["p"], [[" a", " ab"]], rows)
    refuse_impossible(["p"], [[" a", " b"]], [[sure, Answer(-9.0, False, False)]])
    with pytest.raises(DormantError, match="impossible"):
        refuse_impossible(["p"], [[" a", " b"]], rows)
    with pytest.raises(DormantError, match="impossible"):
        refuse_impossible(["p"], [[" a"]], [[Answer(-math.inf, False, False)]])


def settings(reach_words: str, **more) -> AuditSettings:
    return AuditSettings(
        base=None, tuned=reach_words, tasks=("icl/plural",), transforms=("leetspeak",),
        n=6, shots=1, checkpoint_every=3, **more,
    )  # fmt: skip


def test_an_audit_goes_on_after_the_server_came_back(server, tiny_checkpoint, tmp_path):
    """What was scored before the fault stays; the same call scores the rest."""
    words = (
        f"local-completions:model=tiny,base_url={server.url},tokenizer={tiny_checkpoint},"
        "tokenizer_backend=huggingface,max_length=512,max_retries=1"
    )
    # Three prompts a batch, one answer each: the second batch fails at its first request.
    server.faults.extend([""] * 3 + ["500"] * 3)
    with pytest.raises(DormantError, match="500"):
        audit(settings(words), tmp_path / "run")
    kept = [f.read_text() for f in (tmp_path / "run" / "cells").rglob("*.jsonl")]
    assert sum(text.count("\n") for text in kept) == 3
    server.faults.clear()
    before = server.asked
    results = audit(settings(words), tmp_path / "run")
    assert server.asked - before == 9
    assert results.abilities[0].n_items == 6
    (cell,) = (tmp_path / "run" / "cells").rglob("plain.tuned.jsonl")
    lines = cell.read_text().splitlines()
    assert len(lines) == 6
    assert lines[:3] == kept[0].splitlines()
    assert all(math.isfinite(json.loads(line)["target_logprob"]) for line in lines)


@pytest.mark.slow
def test_transformers_own_server(
    tiny_checkpoint, tiny_model, smollm2_tokenizer, examples, tmp_path
):
    """It completes, and offers no log-probabilities: the first works, the second is told."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from transformers.cli.transformers import main; main()"
    words = ("serve", str(tiny_checkpoint), "--host", "127.0.0.1", "--port", str(port))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words, "--device", "cpu"], stdout=log, stderr=log
        )
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health"):
                break
            time.sleep(0.2)
        lm = load(
            f"local-completions:model={tiny_checkpoint},base_url={address}/v1/completions,"
            f"tokenizer={tiny_checkpoint},tokenizer_backend=huggingface,tokenized_requests=False,"
            "max_length=512,max_retries=1"
        )
        own = FastLM(pretrained=tiny_model, tokenizer=smollm2_tokenizer, precision="float32")
        wanted = generate(own, examples[0], max_new_tokens=5)
        assert generate(lm, examples[0], max_new_tokens=5) == wanted
        with pytest.raises(DormantError, match=r"backend .* failed|probability 1"):
            scorer_of(lm).score(*examples)
    finally:
        process.terminate()
        process.wait(30)
