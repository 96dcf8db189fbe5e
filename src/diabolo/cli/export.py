"""The verb `export`."""

from __future__ import annotations

from pathlib import Path

from ._finish import shown
from ._options import Force, Json
from ._output import writable
from ._runs import open_run
from ._talk import note, print_json, say

__all__ = ["export"]


def export(
    run: Path,
    /,
    *,
    format: str = "onnx",
    out: Path | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Writes the encoder and the decoder for other programs, checked against PyTorch.

    Data go in and come out in your own units and layout, random numbers are inputs, and the number
    of rows is free. The file export.json says what each number is.

    Args:
        run: The folder of the run.
        format: What kind of files: onnx, for onnxruntime and other runtimes, in a browser too.
        out: The folder; a new one beside RUN if left out.
        force: Replace an export that is in --out already.
        json: Print one JSON object.
    """
    from ..exports import FORMATS, export
    from ..run.folder import free

    FORMATS.load(format)
    opened = open_run(run)
    place = out or free(run.resolve().with_name(f"{run.resolve().name}-{format}"))
    writable(place.parent)
    found = export(opened, place, format=format, force=force)
    for sentence in found.notes:
        note(sentence)
    if json:
        print_json(
            {
                "out": str(found.folder),
                "format": format,
                "files": found.files,
                "largest_difference": found.difference,
                "notes": list(found.notes),
            }
        )
        return
    say(f"The export is in {shown(found.folder)}/")
    for name, size in found.files.items():
        say(f"  {name:<16} {size / 1000:,.1f} kB")
    say(
        f"The largest difference from PyTorch is {found.difference:.1e} of the scale of its output."
    )
