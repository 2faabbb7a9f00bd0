"""The table of known answers names tests that there are, and holds numbers that they hold the package to."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "known-answers.md").read_text(encoding="utf-8").splitlines()
    if "tests/" in line and line[0] == "|"
]


def test_there_are_rows():
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_row_names_a_test_with_its_numbers(row):
    path, name = re.search(r"`(tests/[\w/]+\.py)::(\w+)`", row).groups()
    source = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", source, re.M), f"{path} has no {name}"
    for number in re.findall(r"\d\.\d{6,}", row):  # as many digits as the test has
        digits = number.rstrip("0")
        assert digits in source or any(known.startswith(digits) for known in re.findall(r"\d\.\d+", source)), number
