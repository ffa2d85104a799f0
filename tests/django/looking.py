"""What a reader sees of a page, for the tests of the pages: its words, its tables, its links and forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "link", "input", "br", "img"}


@dataclass
class Element:
    """An element of a page with its children: elements and text."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its words, with single spaces between them."""
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        """Every element below it of this tag whose attributes are these (`class_` means: has this class)."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and child.fits(attributes):
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str, **attributes: str) -> "Element":
        """The only such element below it."""
        (found,) = self.all(tag, **attributes)
        return found

    def fits(self, attributes: dict[str, str]) -> bool:
        """Whether it has these attributes."""
        for name, value in attributes.items():
            if name == "class_":
                if value not in self.attributes.get("class", "").split():
                    return False
            elif self.attributes.get(name) != value:
                return False
        return True


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.opened = [self.root]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.opened[-1].children.append(element)
        if tag not in _VOID:
            self.opened.append(element)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.opened[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.opened[-1].tag == tag, f"</{tag}> closes <{self.opened[-1].tag}>"
        self.opened.pop()

    def handle_data(self, data: str) -> None:
        if self.opened[-1].tag not in {"script", "style"}:
            self.opened[-1].children.append(data)


def look(response: Any) -> Element:
    """Read a page; fails for one whose elements do not close each other."""
    reader = _Reader()
    reader.feed(response.content.decode())
    assert reader.opened == [reader.root]
    return reader.root


def rows(table: Element) -> list[list[str]]:
    """The words of a table's cells, row by row, the headings first."""
    return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in table.all("tr")]
