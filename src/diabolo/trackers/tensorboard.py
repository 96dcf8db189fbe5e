"""TensorBoard's event files.

References:
    | https://www.tensorflow.org/tensorboard
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import missing_extra
from ._base import Ended, Place, Setting, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["tensorboard"]

FLUSH = 5  # seconds after which an epoch is to be seen
METRICS = ("valid_elbo", "valid_distortion", "valid_rate")  # beside the hyper-parameters


class TensorBoard(Tracker):
    """Writes scalars in double precision, hyper-parameters, notes and figures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: SummaryWriter | None = None
        self.begun = self.logged = False

    @property
    def writer(self) -> SummaryWriter:
        """The writer, whose file is made when there is something to write."""
        if self.opened is None:
            from torch.utils.tensorboard import SummaryWriter

            self._wait()
            self.opened = SummaryWriter(str(self.folder), flush_secs=FLUSH)
        return self.opened

    def _wait(self) -> None:
        """Waits until this file's name follows those that are there.

        Files are read by their names, which begin with whole seconds and go on with the process:
        one of the same second may be read before the one that it goes on with.
        """
        there = [p.name.split(".")[3] for p in self.folder.glob("events.out.tfevents.*.*")]
        last = max((int(second) for second in there if second.isdecimal()), default=0)
        if 0 <= time.time() - last < 1:  # one that another clock dates later is not waited for
            time.sleep(last + 1 - time.time())

    @property
    def files(self) -> Any:
        """What writes the events themselves."""
        return self.writer._get_file_writer()

    def begin(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> None:
        """Writes hyper-parameters for the HPARAMS tab, and the notes as text."""
        from torch.utils.tensorboard.summary import hparams

        self.begun = True
        # torch would write true and false as numbers
        told = {k: str(v) if isinstance(v, bool) else v for k, v in settings.items()}
        experiment, start, _ = hparams(told, dict.fromkeys(METRICS, 0.0))
        self.files.add_summary(experiment)
        self.files.add_summary(start)
        if notes:
            self.writer.add_text("notes", "\n\n".join(notes))
        self.writer.flush()

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Writes a scalar for each number."""
        if not self.logged:
            self._restart(step)
            self.logged = True
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step, new_style=True, double_precision=True)

    def _restart(self, step: int) -> None:
        """Lets readers drop what a training that was killed wrote from this step on."""
        protocol = import_module("tensorboard.compat.proto.event_pb2")  # made by protobuf, untyped
        start = protocol.SessionLog(status=protocol.SessionLog.START)
        self.files.add_event(protocol.Event(step=step, session_log=start), step)

    def end(self, numbers: Mapping[str, float], figures: Mapping[str, Path], ended: Ended) -> None:
        """Writes the final numbers as `final/...`, the figures as images, and closes the file."""
        from torch.utils.tensorboard.summary import hparams

        for name, value in numbers.items():
            self.writer.add_scalar(f"final/{name}", value, 0, new_style=True, double_precision=True)
        for name, path in figures.items():
            self.writer.add_image(f"figures/{name}", _pixels(path), dataformats="HWC")
        if self.begun:
            self.files.add_summary(hparams({}, {})[2])
        if self.opened is not None:
            self.opened.close()
            self.opened = None


def _pixels(path: Path) -> object:
    """Returns the bytes (H, W, 3) of a picture."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def tensorboard(place: Place, *, folder: str | None = None) -> Tracker:
    """Returns a tracker that writes event files: `tensorboard/` in the folder of the run.

    Arguments:
        place: Where it may write.
        folder: Another folder, in which each run has one of its own.

    Raises:
        DiaboloError: If TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise missing_extra("tensorboard", "tensorboard", "The tracker 'tensorboard'")
    return TensorBoard(place.within("tensorboard", folder))
