"""`--plain`: abilities asked plainly in another language, English among the transforms."""

from __future__ import annotations

import pytest

import fakes  # noqa: F401  (registers the backend)
from dormant import tasks
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.tasks.plain_language import asked_in
from dormant.tasks.task import draw_items

NAMES = ("icl/copy", "icl/antonym", "icl_vs_if/repeat-arithmetic", "recall/continue", "nli/greedy")


@pytest.mark.parametrize("name", NAMES)
def test_only_the_plain_language_and_its_items_change(name):
    (before,) = tasks.get([name])
    (after,) = asked_in([before], "french")
    assert isinstance(after, type(before))
    assert after.languages()[0] == "french"
    assert {*after.languages()} == {*before.languages()}
    assert (after.name, after.version, after.measure) == (
        before.name, before.version, before.measure,
    )  # fmt: skip
    assert {*after.pool()} <= {*before.pool()}
    for item in draw_items(after, 5, 0):
        for language in ("french", "english"):
            asked = {"language": language, "shots": 2, "seed": 0}
            assert after.case(item, **asked).prompt == before.case(item, **asked).prompt
    assert before.languages()[0] == "english"


def test_a_pool_that_has_less_text_in_that_language_is_as_long_as_that():
    (before,) = tasks.get(["icl/antonym"])
    (after,) = asked_in([before], "french")
    assert len(after.pool()) < len(before.pool())
    assert len(draw_items(after, len(after.pool()), 0)) == len(after.pool())


def test_a_language_that_a_task_lacks_is_refused():
    with pytest.raises(DormantError, match=r"--plain klingon: icl/copy has text in english, "):
        asked_in(tasks.get(["icl/copy"]), "klingon")


def test_what_was_lost_in_french_is_found_in_english(tmp_path):
    """A model tuned on French hides there what it still does in English."""
    settings = AuditSettings(
        base="fake:skill=0.9", tuned="fake:skill=0.9,hides=Entrée,hidden=0.05", tasks=("icl/copy",),
        transforms=("english", "dutch"), plain="french", n=80, evidence="prompt",
    )  # fmt: skip
    (ability,) = audit(settings, tmp_path / "run").abilities
    assert ability.verdict == "suppressed"
    assert ability.best_transform in ("english", "dutch")
    (unseen,) = audit(
        settings.model_copy(update={"plain": None, "transforms": ("french",)}), tmp_path / "other"
    ).abilities
    assert unseen.verdict != "suppressed"
