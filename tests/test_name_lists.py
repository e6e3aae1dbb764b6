"""Lists of names: what a comma parts, and what it does not."""

from __future__ import annotations

import pytest

import dormant as dm
import fakes  # noqa: F401  (registers the backend `fake`)
from dormant.api import auditing
from dormant.cli.common import split
from dormant.errors import DormantError
from dormant.names import split_names

MODEL = "spanish@lm:hf:pretrained=X,dtype=float32"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("leetspeak,pig-latin", ["leetspeak", "pig-latin"]),
        (" leetspeak , ,pig-latin,", ["leetspeak", "pig-latin"]),
        (MODEL, [MODEL]),
        (f"rot13,{MODEL},base64", ["rot13", MODEL, "base64"]),
        (f"{MODEL}, revision=main", [f"{MODEL},revision=main"]),
        (f"{MODEL}+leetspeak,french@apertium", [f"{MODEL}+leetspeak", "french@apertium"]),
        ("spanish@lm:hf:pretrained=X,dtype=float32+rot13,caesar:5",
         ["spanish@lm:hf:pretrained=X,dtype=float32+rot13", "caesar:5"]),
        # A name may hold "=" in its own argument, and begins a new element.
        (f"{MODEL},catalan@lm:hf:pretrained=Y", [MODEL, "catalan@lm:hf:pretrained=Y"]),
        (f"{MODEL},nli:path=other.toml", [MODEL, "nli:path=other.toml"]),
        # Without an engine before it there is nothing that it could belong to.
        ("caesar:5,dtype=float32", ["caesar:5", "dtype=float32"]),
        ("", []),
    ],
)  # fmt: skip
def test_a_comma_ends_a_name_but_not_an_engine_s_arguments(text, names):
    assert split_names(text) == names


def test_a_repeated_option_is_one_list_without_repetitions():
    assert split(["rot13,base64", MODEL, "rot13"]) == ("rot13", "base64", MODEL)
    assert split(None) == ()


def test_an_element_of_a_python_list_is_one_name():
    assert auditing._names(["icl/copy,icl/plural", MODEL]) == ("icl/copy,icl/plural", MODEL)
    assert auditing._names(("rot13", "rot13")) == ("rot13",)
    # A text alone is a list as on the command line.
    assert auditing._names(f"rot13,{MODEL}") == ("rot13", MODEL)


def test_a_list_in_python_is_not_split(tmp_path):
    with pytest.raises(DormantError, match="'rot13,base64'"):
        dm.audit("fake:", transforms=["rot13,base64"], n=2, out=tmp_path / "run")
