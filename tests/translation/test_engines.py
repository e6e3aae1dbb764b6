"""Neural engines on tiny real models, and language models behind a callable and a server."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import tiny_models
from dormant import transforms, translation
from dormant.errors import DormantError
from dormant.prompts.text_transform import outcomes
from dormant.translation import language_model
from dormant.translation.ctranslate import Argos
from dormant.translation.huggingface import HuggingFace
from dormant.translation.marks import restore, spell_out

pytestmark = [
    pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
LONG = "the house is old " * 60


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A directory with a tiny Marian model for each direction."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("sentencepiece")
    directory = tmp_path_factory.mktemp("marian")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for source, target in (("en", "es"), ("es", "en")):
            assert tiny_models.marian(directory / f"{source}-{target}", source, target) < 0.2
    finally:
        torch.set_num_threads(threads)
    return directory


@pytest.fixture(scope="module")
def packages(marian, tmp_path_factory):
    """The same models as Argos packages."""
    pytest.importorskip("ctranslate2")
    directory = tmp_path_factory.mktemp("argos")
    for source, target in (("en", "es"), ("es", "en")):
        tiny_models.argos_package(
            marian / f"{source}-{target}", directory / f"{source}_{target}", source, target
        )
    return directory


@pytest.fixture(params=["hf", "argos"])
def spec(request, marian, packages):
    return f"hf:{marian}/{{source}}-{{target}}" if request.param == "hf" else f"argos:{packages}"


def test_there_and_back(spec):
    language = transforms.get(f"spanish@{spec}")
    english, spanish = map(list, zip(*tiny_models.SENTENCES.items(), strict=True))
    assert language.apply_batch(english) == spanish
    assert language.invert_batch(spanish) == english
    assert language.signature.startswith(f"spanish@{spec.split(':')[0]}-")


def test_kept_spans_survive_a_neural_translator(spec):
    language = transforms.get(f"spanish@{spec}")
    assert (
        transforms.apply_protected(language, "the house has 16 rooms", [(14, 16)])
        == "la casa tiene 16 cuartos"
    )


def test_text_too_long_is_an_error_of_its_item(spec):
    language = transforms.get(f"spanish@{spec}")
    long, good = outcomes(language.apply_batch, [LONG, "the house is old"])
    assert "tokens in one sentence" in str(long)
    assert good == "la casa es vieja"


def test_installed_argos_packages_are_chosen_before_apertium(packages, monkeypatch):
    monkeypatch.setenv("ARGOS_PACKAGES_DIR", str(packages))
    translation.engines.engine.cache_clear()
    assert transforms.get("spanish").signature.startswith("spanish@argos-")
    translation.engines.engine.cache_clear()


def test_argos_directories_that_are_none(tmp_path, packages):
    assert Argos(tmp_path).pairs() == []
    with pytest.raises(DormantError, match=r"no package en-fr in .* unpack one there"):
        Argos(packages).translate(["one"], "en", "fr")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "metadata.json").write_text("{}")
    with pytest.raises(DormantError, match=r"metadata.json: no metadata of an Argos package"):
        Argos(tmp_path).pairs()


def test_hugging_face_asks_one_multilingual_model_for_its_languages():
    class Tokenizer:
        unk_token_id = 3
        src_lang = None

        def convert_tokens_to_ids(self, token):
            return {"spa_Latn": 7, "eng_Latn": 8}.get(token, 3)

    tokenizer = Tokenizer()
    engine = HuggingFace("nllb")
    assert engine._languages(tokenizer, "en", "es") == 7
    assert tokenizer.src_lang == "eng_Latn"
    with pytest.raises(DormantError, match="doesn't know 'en' and 'fr'"):
        engine._languages(tokenizer, "en", "fr")


def test_marks_are_spelt_out_past_names_that_are_taken():
    spelt, names = spell_out("X1 has \ue000 and \ue001")
    assert spelt == "X1 has X2 and X3"
    assert restore("x 3 y X2, X1", names) == "\ue001 y \ue000, X1"


def test_a_language_model_through_a_callable():
    asked = []

    def generate(prompts):
        asked.extend(prompts)
        return [" Spanish: La casa tiene X1 cuartos.\nEnglish: and so on" for _ in prompts]

    model = language_model.LanguageModel(generate, release="tiny")
    language = translation.get("spanish", translator=model)
    assert transforms.apply_protected(language, "The house has 16 rooms.", [(14, 16)]) == (
        "La casa tiene 16 cuartos."
    )
    assert asked[0].endswith("English: The house has X1 rooms.\nSpanish:")
    assert language.signature == "spanish@lm-tiny-p1"


class Server(BaseHTTPRequestHandler):
    """Answers as OpenAI-compatible servers do, well or badly according to the text asked for."""

    failures = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        assert body["model"] == "tiny-1"
        assert self.headers["Authorization"] == "Bearer secret"
        status, answer, finish = 200, "La casa es vieja.", "stop"
        if "busy" in prompt and Server.failures < 2:
            Server.failures += 1
            status = 503
        if "broken" in prompt:
            status = 400
        if "endless" in prompt:
            finish = "length"
        if "silent" in prompt:
            answer = ""
        reply = {"choices": [{"message": {"content": answer}, "finish_reason": finish}]}
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{running.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr(language_model, "_PAUSE_S", 0.001)
    translation.engines.engine.cache_clear()
    Server.failures = 0
    yield
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.usefixtures("server")
def test_an_openai_compatible_server():
    language = transforms.get("spanish@openai:tiny-1")
    texts = [
        "The house is old.",
        "The broken house.",
        "The endless house.",
        "The silent house.",
        "The busy house.",
    ]
    results = outcomes(language.apply_batch, texts)
    assert results[0] == results[4] == "La casa es vieja."
    assert "answered 400" in str(results[1])
    assert "cut off" in str(results[2])
    assert "empty" in str(results[3])
    assert Server.failures == 2
    assert re.fullmatch(r"spanish@openai-tiny-1-[0-9a-f]{6}-p1", language.signature)
    assert "secret" not in "".join(map(str, results)) + repr(language)


def test_a_server_that_is_not_there(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    translation.engines.engine.cache_clear()
    with pytest.raises(DormantError, match="doesn't answer: ConnectError"):
        transforms.get("spanish@openai:tiny-1").apply("The house is old.")


def test_a_server_without_an_address(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    translation.engines.engine.cache_clear()
    with pytest.raises(DormantError, match="set OPENAI_BASE_URL"):
        transforms.get("spanish@openai:tiny-1")


def test_any_model_that_an_audit_loads_is_a_translator(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    import fakes  # noqa: F401  (registers the backend `fake`)

    # The fake repeats the last three words of its prompt, which end in "Spanish:".
    language = transforms.get("spanish@lm:fake:skill=1")
    with pytest.raises(DormantError, match="lm: its translation is cut off"):
        language.apply("The house is old and the garden behind it is big and green.")
    assert re.fullmatch(r"spanish@lm-fake:skill=1-[0-9a-f]{8}-p1", language.signature)
    with pytest.raises(DormantError, match="LANGUAGE@lm:MODEL"):
        transforms.get("spanish@lm")
    with pytest.raises(DormantError, match="did you mean 'smollm2'"):
        transforms.get("spanish@lm:smolm2")


def test_another_prompt_is_another_version():
    model = language_model.LanguageModel(list, release="tiny", prompt="{source} {target} {text}")
    assert model.version("en", "es") != language_model.LanguageModel(list, release="tiny").version(
        "en", "es"
    )
