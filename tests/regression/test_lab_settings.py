"""Presets: frozen, closed, and the same after a trip through text."""

import pytest
from pydantic import ValidationError

from dormant.errors import DormantError
from dormant.regression import settings as lab_settings
from dormant.regression.settings import LabSettings, changed, load, parse, resolve


@pytest.mark.parametrize("name", lab_settings.names())
def test_presets_survive_a_trip_through_text(name):
    preset = load(name)
    assert preset.preset == name
    assert preset.summary
    assert LabSettings.model_validate_json(preset.model_dump_json()) == preset
    assert parse(preset.model_dump(mode="json"), "text") == preset
    with pytest.raises(ValidationError):
        preset.seeds = (1,)


def test_the_three_presets_ship():
    assert lab_settings.names() == ["paper", "paper-small", "quick"]


def test_paper_has_the_papers_numbers():
    paper = load("paper")
    assert (paper.model.depth, paper.model.heads, paper.model.width) == (12, 8, 256)
    assert paper.model.tokens == "interleaved"
    assert (paper.prior.tasks, paper.prior.sigma, paper.model.positions) == (64, 1.0, 41)
    assert (paper.pretraining.batch, paper.pretraining.learning_rate) == (64, 1e-4)
    assert (paper.pretraining.optimiser, paper.pretraining.schedule) == ("adam", "constant")


def test_changes():
    preset = load("quick", ["alpha=0.25", "finetuning.steps=7", "seeds=[3,4]", "width=32"])
    assert (preset.prior.alpha, preset.finetuning.steps, preset.seeds) == (0.25, 7, (3, 4))
    assert changed(preset, ["tokens=interleaved"]).model.tokens == "interleaved"
    assert changed(preset, ["pretraining_tau=none"]).prior.pretraining_tau is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alpah=0.2", "did you mean 'prior.alpha'"),
        ("finetuning.stepz=3", "did you mean 'finetuning.steps'"),
        ("steps=3", "could be any of pretraining.steps, finetuning.steps"),
        ("alpha", "write field=value"),
        ("alpha=2", "prior.alpha = 2: Input should be less than or equal to 1"),
        ("sigma=0", "prior.sigma = 0: Input should be greater than 0"),
        ("width=31", "not a multiple of heads"),
        ("seeds=[1,1]", "seeds must be distinct"),
        ("gammas=[0]", "none of them 0"),
        ("pretraining_units=[3,1]", "a lower and a greater"),
        ("tokens=triples", "'interleaved' or 'paired'"),
        ("pretraining_tau=[1,3]", "not both"),
    ],
)
def test_bad_changes_are_one_line(change, said):
    with pytest.raises(DormantError) as caught:
        load("quick", [change])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_field_in_a_file_names_the_file_and_the_nearest(tiny_preset, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(tiny_preset.read_text().replace("alpha", "alfa") + "\n[prior2]\nx = 1\n")
    with pytest.raises(DormantError, match=r"bad\.toml: unknown field 'prior2'"):
        load(str(bad))
    bad.write_text(tiny_preset.read_text().replace("sigma =", "sigmma ="))
    with pytest.raises(DormantError, match=r"'prior\.sigmma': did you mean 'prior\.sigma'"):
        load(str(bad))
    bad.write_text("seeds = [")
    with pytest.raises(DormantError, match=r"bad\.toml is not TOML"):
        load(str(bad))


def test_unknown_presets():
    with pytest.raises(DormantError, match="did you mean 'quick'"):
        load("quikc")
    with pytest.raises(DormantError, match="can't be read"):
        load("nowhere.toml")


def test_every_field_resolves_to_itself():
    for field in lab_settings.fields():
        assert resolve(field) == field
