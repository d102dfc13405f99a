"""The pages: every relative link leads to a file, and every page can be reached from docs/README.md.

(That their >>> blocks give what they show is tested by pytest itself, which collects *.md as doctests.)
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def links(text: str) -> list[str]:
    """The targets of inline links and images that point into the repository."""
    prose = CODE.sub("", FENCE.sub("", text))
    return [target for target in LINK.findall(prose) if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text: str) -> set[str]:
    """The anchors that a code host makes from a page's headings."""
    headings = re.findall(r"^#+\s+(.+?)\s*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# The other page: part 2\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md) [b](other.md#the-other-page-part-2) [c](#here) [d](https://example.org)\n`[x](gone)`\n"
        "```\n[x](gone)\n```\n[e](gone.md) ![f](gone.png) [g](other.md#gone) [h](#gone)\n"
    )
    assert broken(page) == ["gone.md", "gone.png", "other.md#gone", "#gone"]


def test_every_page_is_reachable_from_the_index() -> None:
    todo, seen = [ROOT / "docs" / "README.md"], set[Path]()
    while todo:
        page = todo.pop().resolve()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        todo += [page.parent / link.partition("#")[0] for link in links(page.read_text(encoding="utf-8"))]
    lost = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page.resolve() not in seen]
    assert lost == [], "link them from docs/README.md"


def test_each_of_the_ten_tasks_of_data_has_at_most_ten_lines() -> None:
    page = (ROOT / "docs/howto/data.md").read_text(encoding="utf-8").partition("## Ten tasks")[2]
    tasks = re.findall(r"\*\*\d+\. .*?```python\n(.*?)```", page, re.DOTALL)
    assert len(tasks) == 10
    for task in tasks:
        assert sum(line.startswith((">>> ", "... ")) for line in task.splitlines()) <= 10, task
