"""The algebra of conjugation, over integers: affine maps are invertible and do not commute."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dormant import Compose, Identity, conjugate


@dataclass(frozen=True)
class Affine:
    scale: Fraction
    shift: Fraction
    name: str = "affine"

    def apply(self, prompt: Fraction) -> Fraction:
        return self.scale * prompt + self.shift

    def invert(self, answer: Fraction) -> Fraction:
        return (answer - self.shift) / self.scale


numbers = st.fractions(min_value=-50, max_value=50)
affines = st.builds(Affine, numbers.filter(bool), numbers)


def predict(x: Fraction) -> Fraction:
    return x * x - 3 * x + 1


@given(numbers)
def test_identity_changes_nothing(x):
    assert conjugate(predict, Identity())(x) == predict(x)


@given(numbers)
def test_composing_nothing_is_the_identity(x):
    assert conjugate(predict, Compose())(x) == predict(x)
    assert Compose().name == Identity.name


@given(affines, affines, numbers)
def test_conjugating_twice_is_conjugating_by_the_composition(s, t, x):
    inner_first = conjugate(conjugate(predict, s), t)
    assert inner_first(x) == conjugate(predict, Compose(t, s))(x)


@given(affines, affines, numbers)
def test_composition_undoes_itself(s, t, x):
    both = Compose(s, t)
    assert both.invert(both.apply(x)) == x
    assert both.name == "affine+affine"


@given(affines, numbers)
def test_conjugate_is_inverse_after_predict_after_apply(s, x):
    assert conjugate(predict, s)(x) == s.invert(predict(s.apply(x)))


def test_order_matters():
    double, add = Affine(Fraction(2), Fraction(0)), Affine(Fraction(1), Fraction(1))
    assert Compose(double, add).apply(Fraction(3)) == 7
    assert Compose(add, double).apply(Fraction(3)) == 8
