"""Runs as files for other programs: `exports/<name>.py` defines the format `<name>(part)`.

A part is the encoder or the decoder as one function of tensors, in the user's own units, with its
random numbers as inputs. `export` writes both and what their numbers mean into a folder;
`export_decoder` and `export_encoder` give the bytes of one file each, for a browser.
"""

from ._folder import Exported, export, export_decoder, export_encoder
from ._program import FORMATS, Program

__all__ = ["FORMATS", "Exported", "Program", "export", "export_decoder", "export_encoder"]
