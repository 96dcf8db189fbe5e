"""The verb `decode`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..errors import DiaboloError
from ._options import Flag, Json, Precision
from ._output import destination, kind_of, write
from ._runs import label_value, open_run, picture_of, shows_pictures
from ._talk import print_json, say

if TYPE_CHECKING:
    import numpy as np

__all__ = ["decode"]


def decode(
    run: Path,
    codes: Path,
    /,
    *,
    out: Path,
    label: str | None = None,
    draw: Annotated[bool, Flag] = False,
    seed: int = 0,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Decodes codes, such as those that `encode` wrote, into data.

    Args:
        run: The folder of the run.
        codes: A file of codes: .npy, .npz (its array `z`), .csv or .parquet (columns z0, z1, ...).
        out: The file; its extension gives the format: .png, .npz, .npy, .csv, .parquet.
        label: For a conditional model: the class of all data, by name or number.
        draw: Draw x from p(x|z) instead of taking its mean.
        seed: Keys the draws.
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        json: Print one JSON object.
    """
    destination(out)
    z = read_codes(codes)
    opened = open_run(run)
    destination(out, picture=shows_pictures(opened))
    given = label_value(label, opened.schema.classes)
    x = opened.decode(z, label=given, mean=not draw, seed=seed, precision=precision)
    write(out, {"x": x}, names=opened.schema.columns, picture=picture_of(opened, x))
    if json:
        print_json({"out": str(out), "n": len(x), "label": label, "draw": draw, "seed": seed})
    else:
        say(f"{len(x)} decoded data are in {out}")


def read_codes(path: Path) -> np.ndarray:
    """Returns codes (n, D) from a file.

    Raises:
        DiaboloError: If the file is not there, is no file of numbers, or holds no codes.
    """
    import numpy as np
    import pyarrow as pa

    if not path.is_file():
        raise DiaboloError(f"There is no file of codes '{path}'.")
    kind = kind_of(path)
    try:
        if kind == ".npy":
            z = np.load(path, allow_pickle=False)
        elif kind == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if "z" not in arrays:
                    raise DiaboloError(
                        f"'{path}' has no array 'z'; it has {', '.join(arrays) or 'none'}."
                    )
                z = arrays["z"]
        elif kind in (".csv", ".csv.gz", ".parquet"):
            z = _columns(path, kind)
        else:
            raise DiaboloError(f"Codes are read from .npy, .npz, .csv or .parquet, not '{path}'.")
    except DiaboloError:
        raise
    except (ValueError, OSError, EOFError, pa.ArrowException) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DiaboloError(f"Cannot read codes from '{path}': {reason}.") from None
    if z.ndim != 2 or z.dtype.kind not in "fiu":
        raise DiaboloError(
            f"Codes are numbers (n, latent), but '{path}' holds {z.dtype} of shape {z.shape}."
        )
    return z


def _columns(path: Path, kind: str) -> np.ndarray:
    import numpy as np
    from pyarrow import csv, parquet

    table = parquet.read_table(path) if kind == ".parquet" else csv.read_csv(path)
    names = [n for n in table.column_names if n.startswith("z") and n[1:].isdigit()]
    if not names:
        raise DiaboloError(f"'{path}' has no columns z0, z1, ...: write codes with `encode`.")
    names.sort(key=lambda n: int(n[1:]))
    return np.stack([table[n].to_numpy() for n in names], axis=1)
