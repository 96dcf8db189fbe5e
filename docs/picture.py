"""The README's picture, out of the figures of `make demo`: python docs/picture.py runs/demo."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

NAMES = ("samples", "latent_map")
HEIGHT, GAP = 520, 24


def main(run: Path) -> None:
    """Writes `_static/demo.png`: figures side by side, on white."""
    figures = [Image.open(run / "figures" / f"{n}.png").convert("RGB") for n in NAMES]
    figures = [
        f.resize((round(f.width * HEIGHT / f.height), HEIGHT), Image.Resampling.LANCZOS)
        for f in figures
    ]
    width = sum(f.width for f in figures) + GAP * (len(figures) - 1)
    picture = Image.new("RGB", (width, HEIGHT), "white")
    x = 0
    for figure in figures:
        picture.paste(figure, (x, 0))
        x += figure.width + GAP
    out = Path(__file__).parent / "_static" / "demo.png"
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
