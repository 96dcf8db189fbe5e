"""A page on which anyone looks around in a trained model: live, or as a folder for any web space.

`Scene` says what is shown of a run and its data, `answers` what may be asked of the model; neither
knows of HTTP. `serve` puts them on a loopback address.
"""

from .scene import Scene
from .server import serve
from .static import write_folder

__all__ = ["Scene", "serve", "write_folder"]
