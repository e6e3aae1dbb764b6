"""Tables as `csv`, pandas and others write them."""

from __future__ import annotations

import csv
import json

import pandas
import pytest

from dormant.errors import DormantError
from dormant.tasks.tables import read_rows

ROWS = [
    {"prompt": "plain", "note": "a"},
    {"prompt": 'She said "no", twice', "note": "with, comma"},
    {"prompt": "two\nlines\r\nand more", "note": "tab\there"},
    {"prompt": '"quoted whole"', "note": "é ü 漢字"},
]


def values(path):
    return [dict(row.values) for row in read_rows(path)]


QUOTING = [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("quoting", QUOTING)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
def test_what_the_csv_module_writes_is_read_back(tmp_path, suffix, quoting, end, mark):
    file = tmp_path / f"x.{suffix}"
    with file.open("w", newline="", encoding=mark) as stream:
        writer = csv.DictWriter(
            stream, ["prompt", "note"], delimiter="\t" if suffix == "tsv" else ",",
            quoting=quoting, lineterminator=end,
        )  # fmt: skip
        writer.writeheader()
        writer.writerows(ROWS)
    assert values(file) == ROWS


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("quoting", QUOTING)
def test_what_pandas_writes_is_read_back(tmp_path, suffix, index, quoting):
    file = tmp_path / f"x.{suffix}"
    frame = pandas.DataFrame(ROWS)
    separator = "\t" if suffix == "tsv" else ","
    frame.to_csv(file, sep=separator, index=index, quoting=quoting)
    assert values(file) == ROWS
    # Read and written again, the index has got a name.
    again = pandas.read_csv(file, sep=separator)
    again.to_csv(file, sep=separator)
    assert values(file) == ROWS


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_pandas_other_files(tmp_path, kind):
    file = tmp_path / f"x.{kind}"
    frame = pandas.DataFrame(ROWS)[1:]  # an index that Parquet keeps
    if kind == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_json(file, orient="records", lines=kind == "jsonl", indent=None)
    assert values(file) == ROWS[1:]


LITERAL = [
    'label\ttext\n1\t"No," said she.\n',
    'label\ttext\n1\tShe said "no"\n',
    'label\ttext\n1\t"Hello there."\n',  # nothing in it that quotes would protect
    'label\ttext\n1\tan inch is "\n2\tsays: "yes"\n',
    'label\ttext\n1\t"a ""b"" c"\n2\t"No," said she.\n',
]


@pytest.mark.parametrize("text", LITERAL)
def test_bare_quotation_marks_in_tsv_are_letters(tmp_path, text):
    file = tmp_path / "x.tsv"
    file.write_text(text)
    lines = [line.split("\t") for line in text.splitlines()[1:]]
    assert [list(row.values.values()) for row in read_rows(file)] == lines


def test_other_delimiters_of_csv(tmp_path):
    file = tmp_path / "x.csv"
    for mark in (";", "\t"):
        file.write_text(f"prompt{mark}note\na, b{mark}c\n")
        assert values(file) == [{"prompt": "a, b", "note": "c"}]


def test_lines_of_a_json_list(tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps(ROWS, indent=1))
    assert [row.line for row in read_rows(file)] == [2, 6, 10, 14]


BAD = {
    "twice.csv": ("prompt,prompt\na,b\n", "x.csv:1: two columns are called 'prompt'"),
    "short.tsv": ("a\tb\nc\n", "x.tsv:2: fewer fields"),
    "open.csv": ('a,b\n"c,d\n', "not valid CSV"),
    "object.json": ('{"a": 1}', "x.json:1: a .json table must be one list"),
    "element.json": ('[{"a": 1},\n 2]', "x.json:2: an element must be an object"),
    "cut.json": ('[{"a": 1},\n', "x.json:2: not valid JSON"),
    "broken.json": ('[{"a": 1},\n{"a"}]', "x.json:2: not valid JSON"),
    "empty.json": ("[]", "the file holds no rows"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_tables(tmp_path, fault):
    text, message = BAD[fault]
    file = tmp_path / f"x.{fault.split('.')[1]}"
    file.write_text(text)
    with pytest.raises(DormantError) as error:
        read_rows(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
