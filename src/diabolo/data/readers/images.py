"""Images of mixed sizes and modes, brought to one size and stored as uint8.

An image is turned as its EXIF orientation says, laid on white where it is transparent, scaled so
that it covers `size` and cropped about its centre. Without a `size`, that is the most common size
if at least half of the images have it and no side exceeds 256, else the median height and width,
shrunk to at most 64. If any image has colour, all are RGB. The class is the first subfolder;
subfolders `train`, `valid` (`val`) and `test` at the top are splits. Rows are sorted by path.
From 1,000 images or 8 MiB on, they are decoded once, to a file of the user's cache.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps
from PIL import __version__ as VERSION

from ...config import DataConfig
from ...errors import DiaboloError
from ..cache import CacheError, Decoded, Writer, decoded, in_memory, state_of
from ..found import Array, Found, Rows
from ..mapped import Mapped, mapping, megabytes, size_of
from .ask import Ask

__all__ = [
    "ENDINGS",
    "Head",
    "fit_size",
    "image_files",
    "images",
    "read_head",
    "read_images",
    "read_pixels",
]

ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".pgm",
    ".pbm",
)
OPTIONS: tuple[str, ...] = ("size", "color", "strict", "memory")
SHARDS: tuple[str, ...] = ()
SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}
# What Pillow raises at files that are no image, truncated, or too large to be one.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
ORIENTATION = 0x0112
# Fewer and smaller files are decoded faster than anybody would notice.
WORTH_FILES, WORTH_BYTES = 1000, 1 << 23
AT_ONCE = 256

T = TypeVar("T")


class Head(NamedTuple):
    """What the head of an image file says, turned upright."""

    height: int
    width: int
    color: bool


def images(path: Path, ask: Ask) -> Found:
    """Returns a single image as one datum."""
    return read_images(path.parent, [path], ask)


def image_files(root: Path) -> list[Path]:
    """Returns the files below a folder that are called images, sorted; hidden ones are left out."""
    found: list[Path] = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(s for s in subfolders if not s.startswith((".", "__MACOSX")))
        names = (f for f in files if not f.startswith(".") and f.lower().endswith(ENDINGS))
        found += [Path(folder) / f for f in names]
    return sorted(found)


def read_images(root: Path, files: list[Path], ask: Ask) -> Found:
    """Returns images with their classes and splits.

    Many images are decoded once, to the user's cache.

    Arguments:
        root: The folder that classes and splits are subfolders of.
        files: The images.
        ask: `size`, `color`, `strict` and `memory` of its config.

    Raises:
        DiaboloError: If none can be read, or one cannot and `strict` holds, or they are to stay
            in a file and the cache cannot be written.
    """
    config = ask.config

    def write(out: Writer) -> dict[str, Any]:
        return _decode(root, files, config, out)

    found, told = _from_cache(root, files, config, write)
    size = size_of(found.x)
    x = found.x
    if isinstance(x, Mapped) and not mapping(config.memory, size):
        x = x.gather(np.arange(len(x)))
    paths = [root / name for name in found.facts["names"]]
    split = _is_split(root, paths)
    parts: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        top = path.relative_to(root).parts[0].lower()
        parts.setdefault(SPLITS[top] if split else "train", []).append(i)
    kinds = [_class(path, root, split) for path in paths]
    classes = () if "" in kinds else tuple(sorted(set(kinds)))
    rows = {
        part: Rows(
            x.take(np.array(at)) if isinstance(x, Mapped) else x if len(at) == len(x) else x[at],
            np.array([kinds[i] for i in at]) if classes else None,
            names=tuple(found.facts["names"][i] for i in at),
        )
        for part, at in parts.items()
    }
    return Found(
        rows["train"],
        rows.get("valid"),
        rows.get("test"),
        layout="hwc" if found.facts["color"] else "hw",
        support="byte",
        classes=classes,
        notes=(*found.facts["notes"], *told),
    )


def _from_cache(
    root: Path, files: list[Path], config: DataConfig, write: Callable[[Writer], dict[str, Any]]
) -> tuple[Decoded, list[str]]:
    """Returns what images are decoded to, from the cache if they are many, and what to say."""
    large = sum(p.stat().st_size for p in files) >= WORTH_BYTES or len(files) >= WORTH_FILES
    if config.memory != "mapped" and not large:
        return in_memory(write), []
    size = [config.size] * 2 if isinstance(config.size, int) else config.size
    options = {"size": size, "color": config.color, "strict": config.strict, "pillow": VERSION}
    try:
        found = decoded(root, options, state_of(files, root), write)
    except CacheError as error:
        if config.memory == "mapped":
            raise
        return in_memory(write), [f"{error} They were decoded in memory, as they will be again."]
    count, held = f"{len(found.x):,} images", megabytes(size_of(found.x))
    if found.fresh:
        return found, [f"Decoded {count} to a cache of {held}."]
    return found, [f"{count} come decoded from a cache of {held}."]


def _decode(root: Path, files: list[Path], config: DataConfig, out: Writer) -> dict[str, Any]:
    """Appends all images that can be read; returns their names, sentences and whether in colour."""
    bad: dict[Path, str] = {}
    heads: dict[Path, Head] = {}
    notes: list[str] = []
    color = config.color == "rgb"
    good: list[Path] = []
    with ThreadPoolExecutor() as pool:
        for path, head in _in_turn(pool, read_head, files):
            if isinstance(head, Head):
                heads[path] = head
            else:
                bad[path] = head
        if heads:
            size, notes = fit_size(list(heads.values()), config.size)
            colored = sum(h.color for h in heads.values())
            color = color or (config.color == "auto" and colored > 0)
            if color and 0 < colored < len(heads):
                notes.append(
                    f"{len(heads) - colored} of {len(heads)} images are grey: all are read as RGB."
                )
            pixels = partial(read_pixels, size=size, color=color)
            for path, found in _in_turn(pool, pixels, heads):
                if isinstance(found, np.ndarray):
                    out.append(found[None])
                    good.append(path)
                else:
                    bad[path] = found
    first, reason = min(bad.items(), default=(root, ""))
    if bad and config.strict:
        raise DiaboloError(
            f"{len(bad)} of {len(files)} images cannot be read, the first is '{first}' ({reason})."
        )
    if not good:
        raise DiaboloError(
            f"None of {len(files)} images can be read; the first is '{first}' ({reason})."
        )
    if bad:
        names = ", ".join(str(p.relative_to(root)) for p in sorted(bad)[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        notes.insert(
            0, f"{len(bad)} of {len(files)} images cannot be read and were skipped: {names}{more}."
        )
    names = [p.relative_to(root).as_posix() for p in good]
    return {"names": names, "color": color, "notes": notes}


def _in_turn(
    pool: ThreadPoolExecutor, function: Callable[[Path], T], files: Iterable[Path]
) -> Iterator[tuple[Path, T]]:
    """Yields each file with what a function makes of it; only so many wait to be used."""
    files = list(files)
    for i in range(0, len(files), AT_ONCE):
        some = files[i : i + AT_ONCE]
        yield from zip(some, pool.map(function, some), strict=True)


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    return str(error).split("\n")[0] or type(error).__name__


def read_head(path: Path | BinaryIO) -> Head | str:
    """Returns what the head of an image says, or why it cannot be read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION, 1) >= 5:
                width, height = height, width
            return Head(height, width, _has_color(image))
    except UNREADABLE as error:
        return _reason(error)


def _has_color(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.reshape(image.getpalette("RGB") or [], (-1, 3))
        return bool((palette != palette[:, :1]).any())
    return not (image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;"))


def fit_size(
    heads: list[Head], asked: int | tuple[int, int] | None
) -> tuple[tuple[int, int], list[str]]:
    """Returns height and width, and a sentence where images of other sizes are changed."""
    sizes = Counter((h.height, h.width) for h in heads)
    common, count = sizes.most_common(1)[0]
    if asked is not None:
        size = (asked, asked) if isinstance(asked, int) else asked
        if min(size) < 1:
            raise DiaboloError(f"data.size must be positive, not {asked}.")
    elif 2 * count >= len(heads) and max(common) <= 256:
        size = common
    else:
        height, width = (float(np.median([h[i] for h in heads])) for i in (0, 1))
        shrink = min(1.0, 64 / max(height, width))
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    changed = len(heads) - sizes.get(size, 0)
    if not changed:
        return size, []
    why = "" if asked is not None else " (choose another with --size)"
    return size, [
        f"{changed} of {len(heads)} images are scaled and cropped to {size[0]}x{size[1]}{why}."
    ]


def read_pixels(path: Path | BinaryIO, size: tuple[int, int], color: bool) -> Array | str:
    """Returns an image as (H, W) or (H, W, 3), or why it cannot be read."""
    try:
        with Image.open(path) as image:
            upright = _eight_bits(ImageOps.exif_transpose(image))
            if "A" in upright.mode or "a" in upright.mode or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            if upright.mode not in ("L", "RGB"):
                upright = upright.convert("RGB")
            upright = upright.convert("RGB" if color else "L")
            if upright.size != size[::-1]:
                upright = ImageOps.fit(upright, size[::-1], Image.Resampling.LANCZOS)
            return np.array(upright, dtype=np.uint8)
    except UNREADABLE as error:
        return _reason(error)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Brings 16 and 32 bits a pixel to 8: the type's range for 16, the values' own above."""
    if image.mode.startswith("I;"):
        values = np.asarray(image).astype(np.float64) / 257
    elif image.mode == "I":
        values = np.asarray(image).astype(np.float64)
        values = values if values.max() <= 255 else values / 257
    elif image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        values = values * 255 if values.max() <= 1 else values
    else:
        return image
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _is_split(root: Path, paths: list[Path]) -> bool:
    """Whether all images are in subfolders called as splits, and some are for training."""
    tops = {p.relative_to(root).parts[0].lower() if p.parent != root else "" for p in paths}
    return tops <= set(SPLITS) and any(SPLITS.get(t) == "train" for t in tops)


def _class(path: Path, root: Path, split: bool) -> str:
    """Returns the first subfolder of an image, below its split; "" where there is none."""
    inner = path.relative_to(root).parts[1 if split else 0 : -1]
    return inner[0] if inner else ""
