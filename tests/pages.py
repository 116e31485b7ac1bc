"""The project's pages: README.md, those of the folders, and what is on them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST = "README.md"
FOLDERS = ("jobs", "ig_worker", "tests", ".github")
PATHS = [ROOT / FIRST, *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.md")))]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
ALL = "\n".join(PAGES.values())
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def between(name: str) -> str:
    """What stands between the marks `<!-- name -->` and `<!-- end -->`, which one page has once."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", ALL, re.DOTALL)
    return found


def first_cells(table: str) -> list[str]:
    return [line.split("|")[1] for line in table.splitlines()[2:]]


def table_after(heading: str, page: str) -> str:
    """The first table that has `heading` in its first line."""
    found = re.search(rf"^\|[^\n]*{re.escape(heading)}[^\n]*\n(?:\|[^\n]*\n)+", PAGES[page], re.MULTILINE)
    assert found is not None, heading
    return found[0]


def commands() -> list[str]:
    """Every command, and whatever else is shown as code, without Python and TOML."""
    found: list[str] = []
    for text in PAGES.values():
        blocks = [block for language, block in FENCED.findall(text) if not language]
        lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
        found += [*lines, *(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text)))]
    return found


def anchors(text: str) -> set[str]:
    """What a code host makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(slugs) == len(set(slugs)), "two headings of a page are the same"
    return set(slugs)


def links(page: str) -> list[tuple[str, str]]:
    """(path from the root, anchor) of all links and pictures of a page that lead to this project."""
    text = FENCED.sub("", PAGES[page])
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<img src=\"([^\"]+)\"", text)
    here = ROOT / page
    split = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [
        (str((here.parent / path if path else here).resolve().relative_to(ROOT)), anchor) for path, _, anchor in split
    ]
