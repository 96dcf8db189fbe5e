r"""How sharp images are: the variance of their Laplacian.

.. math::
    (\Delta x)_{ij} = x_{i-1,j} + x_{i+1,j} + x_{i,j-1} + x_{i,j+1} - 4 x_{ij}

Noise of single pixels counts as sharp: means are to be compared with means, draws with draws.

Shapes: N images, C channels, H height, W width.

References:
    | Diatom Autofocusing in Brightfield Microscopy: a Comparative Study (Pech-Pacheco et al.,
    | 2000), section 2.2.3, https://doi.org/10.1109/ICPR.2000.903548
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import DiaboloError

__all__ = ["sharpness"]

CHUNK = 1000  # images at once


def sharpness(images: Tensor) -> Tensor:
    """Returns the variance of the Laplacian over the inner pixels of each image, (N,), float64.

    Arguments:
        images: Images (N, C, H, W); that of several channels is the mean over them.

    Raises:
        DiaboloError: If they are no images of 3 pixels a side at least.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 3:
        raise DiaboloError(
            "Sharpness is of images (N, channels, height, width) of at least 3 x 3 pixels, but got "
            f"{tuple(images.shape)}."
        )
    return torch.cat([_variance(part.double()) for part in images.split(CHUNK)])


def _variance(x: Tensor) -> Tensor:
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (around - 4 * x[..., 1:-1, 1:-1]).flatten(2).var(2, correction=0).mean(1)
