"""What holds the built site together: ``python docs/check.py build/site``. Nothing is fetched.

Every link within the site leads to a page, and to an anchor of it, that there is; every picture is there; every page has a way
back to the front page; the words people search for are found.
"""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SOUGHT = ("critical beta", "deterministic", "zeros", "held out")


class Page(HTMLParser):
    """The anchors of a page, and where its links and pictures lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect them."""
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value and tag != "link":
                self.links.append(value)


def faults_of(site: Path) -> list[str]:
    """One line for each thing that is wrong."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}
    front, faults = (site / "index.html").resolve(), []
    for path, page in pages.items():
        where, reached = path.relative_to(site.resolve()), {path}
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            reached.add(target)
            if not target.is_file():
                faults.append(f"{where}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                faults.append(f"{where}: {link} has no such anchor")
        if path != front and front not in reached:
            faults.append(f"{where}: no way back to the front page")
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    terms = json.loads(re.sub(r"^Search\.setIndex\((.*)\);?\s*$", r"\1", index, flags=re.S))
    known = {**terms["terms"], **terms["titleterms"]}
    for words in SOUGHT:
        for word in (word for word in words.split() if len(word) > 3):  # the index has stems, and leaves short words out
            if not any(word.startswith(term) for term in known if len(term) > 3):
                faults.append(f"search does not find {word!r}")
    return faults


if __name__ == "__main__":
    found = faults_of(Path(sys.argv[1]))
    print("\n".join(found) or f"{len(list(Path(sys.argv[1]).rglob('*.html')))} pages hold together")
    sys.exit(bool(found))
