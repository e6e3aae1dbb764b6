"""Probes change the format of a prompt and nothing else."""

from __future__ import annotations

import pytest

from dormant.errors import DormantError
from dormant.prompts.case import few_shot
from dormant.prompts.segment import Segment
from dormant.transforms import probes

CASE = few_shot(
    item="1",
    instruction="Repeat the input.",
    input_label="Input",
    output_label="Output",
    demonstrations=[(Segment("One", protected=((0, 1),)), Segment("One"))],
    query=Segment("Two"),
    target=Segment("Two"),
)


def rendered(name):
    parts = probes.get(name).apply(CASE.segments, lambda text, role: Segment(text, role))
    return "".join(part.text for part in parts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "probe:labels",
            "Repeat the input.\n\nGiven: One\nWanted: One\n\nGiven: Two\nWanted:",
        ),
        ("probe:no-instruction", "Input: One\nOutput: One\n\nInput: Two\nOutput:"),
        (
            "probe:separators",
            "Repeat the input.\n###\nInput: One\nOutput: One\n###\nInput: Two\nOutput:",
        ),
        (
            "probe:arrows",
            "Repeat the input.\n\nInput => One\nOutput => One\n\nInput => Two\nOutput =>",
        ),
        (
            "probe:suffix",
            "Repeat the input.\n\nInput: One\nOutput: One\n\nInput: Two ~~ #4821 ~~\nOutput:",
        ),
        (
            "probe:prefix",
            "~~ #4821 ~~\nRepeat the input.\n\nInput: One\nOutput: One\n\nInput: Two\nOutput:",
        ),
        ("probe:chat", CASE.prompt),
        ("probe:raw", CASE.prompt),
    ],
)
def test_formats(name, expected):
    assert rendered(name) == expected


def test_every_probe_is_tested_and_signed():
    tested = {row[0] for row in test_formats.pytestmark[0].args[1]}
    assert tested == set(probes.PROBES)
    assert len({probe.signature for probe in probes.PROBES.values()}) == len(tested)


def test_words_of_demonstrations_and_query_stay():
    for probe in probes.PROBES.values():
        parts = probe.apply(CASE.segments, lambda text, role: Segment(text, role))
        words = [part for part in parts if part.role in ("input", "output", "query")]
        assert words == [p for p in CASE.segments if p.role in ("input", "output", "query")]


def test_probes_that_set_the_style_say_so():
    assert {name: p.style for name, p in probes.PROBES.items() if p.style} == {
        "probe:chat": "chat",
        "probe:raw": "raw",
    }


def test_unknown_probe():
    with pytest.raises(DormantError, match="did you mean 'probe:suffix'"):
        probes.get("probe:sufix")
