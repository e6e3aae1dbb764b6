"""`dormant doctor`: what is missing is named with how to get it, what fails with its reason."""

from __future__ import annotations

from importlib import metadata

import pytest

from dormant import data_package, doctor, translation
from dormant.errors import DormantError


def by_name(findings):
    return {one.name: one for one in findings}


def test_a_missing_package_is_named_for_every_extra_that_needs_it(monkeypatch):
    found = by_name(doctor.extras())
    assert found["dormant"].works
    real = metadata.version

    def version(name):
        if name == "gguf":
            raise metadata.PackageNotFoundError
        return "0.1" if name == "peft" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    lacking = by_name(doctor.extras())
    assert lacking["dormant"].works
    # `lm` holds `models`, and needs what that needs.
    for extra in ("models", "lm"):
        assert lacking[extra].works is None
        assert "gguf" in lacking[extra].text
        assert "peft 0.1, wanted >=0.17" in lacking[extra].text
        assert lacking[extra].fix == f"pip install 'dormant[{extra}]'"
    assert "gguf" not in lacking["notebook"].text


def test_a_clone_that_is_not_installed_is_told_of(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    (found,) = doctor.extras()
    assert (found.name, found.works) == ("dormant", False)
    assert "not installed" in found.text


def test_a_translator_that_fails_says_why(monkeypatch):
    def get(name):
        raise DormantError(f"{name}: no dictionary")

    monkeypatch.setattr(translation, "installed", lambda: {"apertium": ["spanish"]})
    monkeypatch.setattr(translation, "get", get)
    found = by_name(doctor._translators("translators"))
    assert found["spanish@apertium"].works is False
    assert found["spanish@apertium"].text == "spanish@apertium: no dictionary"
    assert found["argos"].works is None
    assert "pip install" in found["argos"].fix


def test_devices_are_tried():
    found = by_name(doctor._devices("devices"))
    assert found["cpu"].works
    assert "GiB free" in found["cpu"].text


def test_weights_that_are_not_installed_are_named_with_their_extra(monkeypatch, tmp_path):
    found = by_name(doctor._models("models"))
    assert found["smollm2-sentiment-mild"].works
    monkeypatch.setattr(data_package, "_IN_CLONE", tmp_path / "nowhere")
    monkeypatch.setattr(data_package, "_NAME", "dormant_data_that_is_not_installed")
    monkeypatch.setattr(doctor, "_loaded", lambda: "loaded")
    lacking = by_name(doctor._models("models"))
    assert lacking["smollm2-sentiment-mild"].works is None
    assert lacking["smollm2-sentiment-mild"].fix == "pip install 'dormant[demo]'"
    assert lacking["refusal classifier"].fix == "pip install 'dormant[refusals]'"
    assert "dormant-data" in lacking["refusal classifier"].text


def test_an_engine_is_imported_and_its_package_named(monkeypatch, tmp_path):
    (tmp_path / "sound.py").write_text("")
    (tmp_path / "broken.py").write_text("raise ImportError('libodd.so: no such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"sound": ["sound-cpu"]})
    monkeypatch.setattr(metadata, "version", lambda name: {"sound-cpu": "0.32.0"}[name])
    assert doctor._imported("sound") == "sound-cpu 0.32.0: imported, not started"
    seen = doctor._tried("engines", "broken", lambda: doctor._imported("broken"), "pip install it")
    assert seen.works is False
    assert "libodd.so: no such file" in seen.text
    assert seen.fix == "pip install it"


@pytest.mark.parametrize("works", [True, False])
def test_the_command_fails_where_something_does(dormant, monkeypatch, works):
    findings = [
        doctor.Finding("devices", "cpu", True, "2 threads"),
        doctor.Finding("engines", "vllm", None, "not installed", "pip install vllm"),
        doctor.Finding("models", "smollm2", works, "[odd] text"),
    ]
    monkeypatch.setattr(doctor, "look", lambda: iter(findings))
    said = dormant("doctor")
    assert said.code == (0 if works else 1)
    assert "pip install vllm" in said.out
    assert "[odd] text" in said.out
    assert ("failing: 1" in said.out) is not works
