from __future__ import annotations

from dormant import tasks


def test_continue_repeats_and_stops_before_the_target():
    (task,) = tasks.get(["recall/continue"])
    case = task.case("s001", language="english", shots=2, seed=0)
    sentence = "The baker opened his shop before sunrise."
    assert case.prompt == f"{sentence} {sentence} The baker"
    assert case.answers == ("opened his",)


def test_every_item_is_long_enough_in_every_language():
    (task,) = tasks.get(["recall/continue"])
    assert len(task.pool()) >= 120
    for item in task.pool():
        for language in task.languages():
            assert len(task.case(item, language=language, shots=1, seed=0).answers[0].split()) == 2


def test_recall_capital_is_a_shipped_file_in_five_languages():
    (task,) = tasks.get(["recall/capital"])
    case = task.case("france", language="hungarian", shots=1, seed=0)
    assert case.prompt.endswith("Ország: Franciaország\nFőváros:")
    assert case.answers == ("Párizs",)
