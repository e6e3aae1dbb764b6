"""Which verdicts fail a gate."""

from __future__ import annotations

from itertools import chain, combinations
from typing import get_args

import pytest

from dormant.results import Verdict
from dormant.statistics.failing import fails, slips_through

VERDICTS = get_args(Verdict)
GATES = list(chain.from_iterable(combinations(VERDICTS, n) for n in range(len(VERDICTS) + 1)))


@pytest.mark.parametrize("gate", GATES, ids=",".join)
def test_what_is_named_fails_and_lost_where_either_way_it_would(gate):
    either = "suppressed" in gate and "forgotten" in gate
    expected = set(gate) | ({"lost"} if either else set())
    assert {verdict for verdict in VERDICTS if fails(verdict, gate)} == expected


@pytest.mark.parametrize("gate", GATES, ids=",".join)
def test_nothing_slips_through_but_a_loss_of_unknown_kind(gate):
    slipping = {verdict for verdict in VERDICTS if slips_through(verdict, gate)}
    one = ("suppressed" in gate) != ("forgotten" in gate)
    assert slipping == ({"lost"} if one and "lost" not in gate else set())
