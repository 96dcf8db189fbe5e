"""Files of named sets: found in a folder, else downloaded once; checked by their content.

A file is looked for in the data folder, in `DIABOLO_DATA` and in the user's cache, plain or
gzipped, directly or in a subfolder of the set's name.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch

from ..errors import DiaboloError

__all__ = ["File", "Store", "cache_folder", "contents"]


def cache_folder() -> Path:
    """Returns the user's cache: `DIABOLO_CACHE`, else where the system keeps caches."""
    given = os.environ.get("DIABOLO_CACHE")
    return Path(given).expanduser() if given else Path(pooch.os_cache("diabolo"))


@dataclass(frozen=True, kw_only=True)
class File:
    """A public file.

    Arguments:
        name: Its name, without `.gz`.
        sha256: Of its content, unpacked: any of these.
        git: The blob id of its content in a git repository, where no sha256 is published.
        url: Where it is published; None if it is to be found only.
        download: sha256 of what is published there; empty where only `git` is known.
        folder: Another name of the subfolder in which it may be.
    """

    name: str
    sha256: tuple[str, ...] = ()
    git: str = ""
    url: str | None = None
    download: str = ""
    folder: str = ""

    def matches(self, content: bytes) -> bool:
        """Whether this is the content that was published."""
        if self.git:
            # Git's blob id: SHA-1 over a header with the length, then the content.
            blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
            blob.update(content)
            return blob.hexdigest() == self.git
        return hashlib.sha256(content).hexdigest() in self.sha256


def contents(path: Path) -> bytes:
    """Returns a file's bytes, unpacked if it is gzipped.

    Raises:
        DiaboloError: If it cannot be read, or is damaged.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DiaboloError(f"The gzip file '{path}' is damaged: get it anew.") from None
    except OSError as error:
        raise DiaboloError(f"Cannot read '{path}': {error.strerror}.") from None


class Store:
    """Where the files of named sets are.

    Arguments:
        data_dir: The folder to look in first.

    Raises:
        DiaboloError: If that folder does not exist.
    """

    def __init__(self, data_dir: str | None = None) -> None:
        self.data_dir = data_dir
        if data_dir is not None and not Path(data_dir).expanduser().is_dir():
            raise DiaboloError(f"The data folder '{data_dir}' does not exist.")

    @property
    def cache(self) -> Path:
        """The user's cache."""
        return cache_folder()

    def find(self, name: str, file: str, folder: str = "") -> Path | None:
        """Returns the path of a file of a set, plain or gzipped; None if it is nowhere."""
        given = [self.data_dir, os.environ.get("DIABOLO_DATA")]
        bases = [*(Path(g).expanduser() for g in given if g), self.cache]
        folders = [b / sub for b in bases for sub in (name, folder or name, "")]
        paths = (f / (file + end) for f in folders for end in ("", ".gz"))
        return next((p for p in paths if p.is_file()), None)

    def read(self, name: str, file: File) -> bytes:
        """Returns the content of a file of a set, unpacked and checked.

        Raises:
            DiaboloError: If it is damaged, or is nowhere and cannot be downloaded.
        """
        path = self.find(name, file.name, file.folder) or self.download(name, file)
        found = contents(path)
        if not file.matches(found):
            raise DiaboloError(
                f"'{path}' is not the file of {name} that was published: its checksum differs. "
                "Delete it and run again, or put the right one there."
            )
        return found

    def download(self, name: str, file: File) -> Path:
        """Downloads a file to the user's cache, checked.

        Raises:
            DiaboloError: If that fails, saying which file to put where.
        """
        folder = self.cache / name
        where = Path(self.data_dir) / name if self.data_dir else folder
        advice = (
            f"Put '{file.name}' (or '{file.name}.gz') in '{where}', or name the folder that has "
            "it with --data-dir or DIABOLO_DATA."
        )
        if file.url is None:
            raise DiaboloError(f"The set {name} was not found, and it has no download. {advice}")
        end = ".gz" if file.url.endswith(".gz") else ""
        try:
            found = pooch.retrieve(
                url=file.url,
                known_hash=f"sha256:{file.download}" if file.download else None,
                fname=file.name + end,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=30),  # type: ignore[arg-type]
            )
        except ValueError:
            raise DiaboloError(
                f"What came from {file.url} has another checksum than the published file. {advice}"
            ) from None
        except OSError:  # All of requests' errors, and a cache that cannot be written.
            raise DiaboloError(f"Cannot download {file.url}. {advice}") from None
        path = Path(found)
        if not file.matches(contents(path)):
            path.unlink()
            raise DiaboloError(
                f"What came from {file.url} has another checksum than the published file. {advice}"
            )
        return path
