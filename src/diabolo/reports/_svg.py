"""A matplotlib figure as SVG that stands within a page and takes the page's colours.

Titles and captions become text of the page. Styles become attributes, since a page whose policy
allows one style sheet alone obeys no other; black becomes the colour of the page's text.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from PIL import Image

from ..panels._figure import printed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "Spot", "drawn", "plain", "subscripts"]

DPI = 144  # of what is rasterised
LINE = 0.16  # inches that a line of a caption takes
BLACK = ("#000000", "black")
SYMBOL = re.compile(r"\$z_\{?(\w+)\}?\$")
PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Spot:
    """A place of a figure that tells something when a pointer is over it.

    Arguments:
        x: In points from the left.
        y: In points from the top.
        text: What it tells.
    """

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """A figure as a page shows it.

    Arguments:
        name: Of its panel, unique in a page.
        title: What is shown.
        caption: How to read it.
        svg: The drawing, without style sheet or script.
        width: In points.
    """

    name: str
    title: str
    caption: str
    svg: str
    width: float

    @property
    def alt(self) -> str:
        """The text that stands for the drawing."""
        return plain(f"{self.title}. {self.caption}")


def plain(text: str) -> str:
    """Returns text without the marks of mathematics: `z0` for `$z_{0}$`."""
    return SYMBOL.sub(r"z\1", text)


def subscripts(text: str) -> list[tuple[str, str]]:
    """Returns text in pieces, each with the subscript of the z after it, or none.

    Example:
        >>> subscripts("Over $z_{0}$ and more")
        [('Over z', '0'), (' and more', '')]
    """
    parts = SYMBOL.split(text)
    ends = zip(parts[::2], [*parts[1::2], ""], strict=True)
    return [(before + ("z" if index else ""), index) for before, index in ends]


def drawn(figure: Figure, name: str, points: Sequence[str] = ()) -> Drawing:
    """Returns a figure as SVG, without its title and caption, which are told apart.

    Arguments:
        figure: What a panel returned; it is changed.
        name: Begins every id, so that those of two figures differ.
        points: What each point of its first scatter tells when a pointer is over it.
    """
    import matplotlib as mpl

    title, caption = figure.get_suptitle(), figure.get_supxlabel()
    figure.suptitle("")
    figure.supxlabel("")
    width, height = figure.get_size_inches()
    figure.set_size_inches(
        width, max(0.5 * height, height - 0.3 - LINE * (caption.count("\n") + 1))
    )
    out = io.BytesIO()
    facts = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        printed(figure, out, format="svg", transparent=True, dpi=DPI, metadata=facts)
    text = _tamed(out.getvalue(), name, _spots(figure, points) if points else ())
    heading, told = (" ".join(words.replace(r"\$", "$").split()) for words in (title, caption))
    return Drawing(name, heading, told, text, 72 * width)


def _spots(figure: Figure, points: Sequence[str]) -> list[Spot]:
    """Returns where the points of the first scatter lie, with what each tells."""
    ax = figure.axes[0]
    at = ax.transData.transform(ax.collections[0].get_offsets()) * (72 / figure.dpi)
    height = 72 * figure.get_size_inches()[1]
    return [Spot(x, height - y, text) for (x, y), text in zip(at, points, strict=False)]


def _tamed(svg: bytes, name: str, spots: Sequence[Spot]) -> str:
    """Returns the root element alone, without namespaces, styles and needless ids."""
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    used = set(re.findall(rb"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg))
    kept = {(a or b).decode() for a, b in used}
    for element in root.iter():
        element.tag = _local(element.tag)
        found = {_local(key): value for key, value in element.attrib.items()}
        for part in found.pop("style", "").split(";"):
            key, colon, value = part.partition(":")
            if colon:
                found[key.strip()] = value.strip()
        element.attrib.clear()
        for key, value in found.items():
            if key == "id":
                if value in kept:
                    element.set(key, f"{name}-{value}")
            elif key in ("fill", "stroke") and value in BLACK:
                element.set(key, "currentColor")
            elif key == "href" and value.startswith(PNG):
                element.set(key, PNG + _smaller(value[len(PNG) :]))
            else:
                value = value.replace("url(#", f"url(#{name}-")
                element.set(key, f"#{name}-{value[1:]}" if key == "href" else value)
        if element.tag == "g" and not element.attrib and not len(element):
            element.text = None
    for key in ("version", "width", "height"):
        root.attrib.pop(key, None)
    if spots:
        group = ElementTree.SubElement(root, "g", {"class": "spots"})
        for spot in spots:
            at = {"cx": f"{spot.x:.1f}", "cy": f"{spot.y:.1f}", "r": "4"}
            ElementTree.SubElement(
                ElementTree.SubElement(group, "circle", at), "title"
            ).text = spot.text
    root.set("aria-hidden", "true")
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return re.sub(r">\s+<", "><", text)


def _local(tag: str) -> str:
    """Returns a name without its namespace."""
    return tag.rpartition("}")[2]


def _smaller(encoded: str) -> str:
    """Returns a PNG without colours where it is grey and opaque: half of its bytes."""
    data = base64.b64decode(encoded)
    with Image.open(io.BytesIO(data)) as image:
        rgba = image.convert("RGBA")
    red, green, blue, alpha = rgba.split()
    grey = red.tobytes() == green.tobytes() == blue.tobytes()
    if alpha.getextrema() != (255, 255):
        return "".join(encoded.split())
    out = io.BytesIO()
    (red if grey else rgba.convert("RGB")).save(out, "PNG", optimize=True)
    return base64.b64encode(min(out.getvalue(), data, key=len)).decode()
