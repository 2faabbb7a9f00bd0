"""Every block of code of every page runs, in the order of the page, and prints what the page says it prints.

A fenced block is what its language says. ``python`` is run, all of a page in one namespace; ``sh`` of ``dualib`` commands is run,
and ``output`` is what the block before it printed; a block after ``<!-- file: NAME -->`` is written to that file. ``<!-- slow -->``
keeps a block for ``DUALIB_SLOW=1``, ``<!-- not run: reason -->`` is for what no test can do. Indented blocks are formulas, and
measurements with the command that makes them.
"""

import contextlib
import io
import os
import re
import shlex
import warnings
from pathlib import Path

import pytest

import dualib
from dualib.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "auto_examples" not in path.parts)]
BLOCK = re.compile(r"(?:^<!-- *(?P<mark>[^>]*?) *-->\n+)?^```(?P<language>[\w{}-]*)\n(?P<text>.*?)^```$", re.M | re.S)
SET_UP = ("pip install . && dualib demo\n", 'pip install -e ".[test]" && pytest\n')  # which .ci/run runs
COUNTS = ",noun,verb,adj\nrun,30,90,4\nhouse,120,11,20\nred,20,2,90\ngo,21,140,9\n"  # a reader's own table
SHOWN = {"", "text", "csv", "toml", "yaml", "dockerfile", "{toctree}", "{include}", "{bibliography}"}  # nothing to run


def blocks_of(page: Path) -> list[tuple[str, str, str]]:
    """Mark, language and text of each fenced block."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [(match["mark"] or "", match["language"], match["text"]) for match in found]


def run(language: str, text: str, namespace: dict, where: str) -> str:
    """What a block prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("error")
        if language == "python":
            exec(compile(text, where, "exec"), namespace)
        else:
            for line in text.splitlines():
                words = shlex.split(line, comments=True)
                assert words[0] == "dualib", f"{where}: {line!r} is not run: mark the block"
                assert main(words[1:]) == 0, f"{where}: {line}"
    return out.getvalue()


def alike(printed: str, said: str) -> bool:
    """The same word; or both numbers that are rounding, which no two machines share."""
    tiny = re.compile(r"[\d.]+e-(09|[1-9]\d)[,;)]?")
    return printed == said or bool(tiny.fullmatch(printed) and tiny.fullmatch(said))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    Path("counts.csv").write_text(COUNTS, encoding="utf-8")
    namespace: dict = {"__name__": "__main__"}
    printed = None
    for number, (mark, language, text) in enumerate(blocks_of(page), 1):
        where = f"{page.relative_to(ROOT)}, block {number}"
        if mark.startswith("file: "):
            Path(mark.removeprefix("file: ")).write_text(text, encoding="utf-8")
        elif mark.startswith("not run") or text in SET_UP:
            assert text in SET_UP or re.fullmatch(r"not run: .{5,}", mark), f"{where}: not run, for no reason"
            printed = None
        elif mark == "slow" and not os.environ.get("DUALIB_SLOW"):
            printed = None
        elif language in ("python", "sh"):
            printed = run(language, text, namespace, where)
        elif language == "output":
            if printed is not None:
                same = len(printed.split()) == len(text.split()) and all(map(alike, printed.split(), text.split()))
                assert same, f"{where}: the block before it printed\n{printed}"
        else:
            assert language in SHOWN, f"{where}: what is a block of {language!r}?"


def anchors_of(page: Path) -> set[str]:
    """The anchors of its headings, as the site and the host of the repository make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_within_the_repository(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        if "auto_examples/" in path:  # built from an example of the same name
            example = re.fullmatch(r".*auto_examples/(plot_\w+|index)\.rst", path)
            assert example, target
            assert example[1] == "index" or (ROOT / "examples" / f"{example[1]}.py").is_file(), target
            continue
        if "reference/generated/" in path:
            continue  # made of the reference, whose names another test compares
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors_of(linked), f"{page.name}: {target}"


def test_the_version_is_one():
    assert f"\nversion: {dualib.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {dualib.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
