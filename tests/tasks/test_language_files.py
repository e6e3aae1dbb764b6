"""Files of one language: what is said of a bad one."""

from __future__ import annotations

import pytest

from dormant.errors import DormantError
from dormant.tasks import data, icl_vs_if, nli


@pytest.fixture
def folder(tmp_path):
    """One of the two tasks' folders, copied with a change."""

    def copied(source, before="", after=""):
        text = (source / "english.toml").read_text(encoding="utf-8")
        assert before in text
        made = tmp_path / "task"
        made.mkdir(exist_ok=True)
        (made / "english.toml").write_text(text.replace(before, after, 1), encoding="utf-8")
        data.read.cache_clear()
        return made

    yield copied
    data.read.cache_clear()


def test_an_unknown_language_and_an_unknown_key(folder):
    with pytest.raises(DormantError, match="unknown language of task 'englisch': did you mean"):
        data.language_file(folder(nli.FOLDER), "englisch")
    made = folder(nli.FOLDER, "code =", 'kode = "en"\ncode =')
    with pytest.raises(DormantError, match=r"english\.toml:\d+: unknown key 'kode'.*'code'"):
        nli.texts("english", made)


@pytest.mark.parametrize("change", ["", "{hypothesis} {hypothesis}", "{hypothesis} {other}", "}"])
def test_the_question_holds_the_hypothesis_once(folder, change):
    made = folder(nli.FOLDER, "{hypothesis}", change)
    with pytest.raises(DormantError, match=r"must hold \{hypothesis\} once and no other braces"):
        nli.texts("english", made)


@pytest.mark.parametrize("change", ["", "{a} {a}", "{c}"])
def test_the_arithmetic_question_holds_its_parts(folder, change):
    made = folder(icl_vs_if.FOLDER, "{a}", change)
    with pytest.raises(DormantError, match=r"must hold \{a\}, \{operator\}, \{b\} once"):
        icl_vs_if.texts("english", made)
