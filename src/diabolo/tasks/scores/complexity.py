r"""The log-likelihood of an image beside what a plain compressor makes of it, in nats.

.. math:: s(x) = -\log p(x) - L(x), \qquad L(x) = 8 \log 2 \cdot (\text{bytes of } x \text{ as PNG})

A plain image is likely under any model of richer ones. The length of its PNG file, a model of
images that knows none of ours, takes that away: what is left is a log-likelihood ratio.

References:
    | Input Complexity and Out-of-distribution Detection with Likelihood-based Generative Models
    | (Serra et al., 2020), eq. 1
    | https://arxiv.org/abs/1909.11480

Shapes: n data, E = (channels, height, width).
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...data import Data, Schema
from ...errors import DiaboloError
from ._subject import Judge, Subject, probabilistic
from .log_likelihood import log_likelihood

__all__ = ["complexity"]

ROWS = 256  # images decoded at once


def complexity(subject: Subject, *, k: int = 100) -> Judge:
    """The negative log-likelihood of an image, less the length of its PNG file.

    Arguments:
        subject: A model of images of grey levels or bits.
        k: Posterior samples a datum.
    """
    probabilistic(subject, "complexity")
    schema = subject.schema
    found = unfit(schema)
    if found:
        raise DiaboloError(found)
    unlikely = log_likelihood(subject, k=k)

    def judge(data: Data, seed: int) -> Tensor:
        if not all(bool(seen.all()) for seen in data.masks()):
            raise DiaboloError(
                "The score 'complexity' compresses whole images, but some pixels of these are "
                "missing: use another score, or fill them in first."
            )
        return unlikely(data, seed) - lengths(data, schema)

    return judge


def unfit(schema: Schema) -> str | None:
    """Returns a sentence on why data of this kind cannot be judged by this, or None."""
    if schema.layout == "vector":
        return "The score 'complexity' compresses images, but these data are a table: use another."
    channels = schema.event[0]
    bits = schema.support == "binary"
    if not (bits or (schema.grey is not None and schema.grey <= 256)) or channels not in (1, 3):
        return (
            "The score 'complexity' compresses images of up to 256 grey levels or of bits, in one "
            f"or three channels, but these have {channels} and hold '{schema.support}' values: "
            "fit the grey levels as they are, or binarise them."
        )
    return None


def lengths(data: Data, schema: Schema) -> Tensor:
    """Returns the length of each image's PNG file, of x as the model sees it, (n,), in nats."""
    found: list[int] = []
    for batch in data.batches(ROWS):
        levels = _levels(batch.x, schema).cpu().numpy()
        found += [_bytes(image, bits=schema.support == "binary") for image in levels]
    return 8 * math.log(2) * torch.tensor(found, dtype=torch.float64)


def _levels(x: Tensor, schema: Schema) -> Tensor:
    """Returns x (n, *E) as whole levels, bytes."""
    if schema.support == "binary":
        return (x > 0.5).to(torch.uint8)
    assert schema.grey is not None
    x = x.floor() if schema.dequantize else (x * (schema.grey - 1)).round()
    return x.clamp(0, schema.grey - 1).to(torch.uint8)


def _bytes(image: NDArray[np.uint8], *, bits: bool) -> int:
    """Returns the number of bytes of an image (channels, height, width) as PNG."""
    if len(image) == 1:
        made = Image.fromarray(image[0].astype(bool) if bits else image[0])
    else:  # PNG has no colours of one bit
        made = Image.fromarray(np.moveaxis(image * (255 if bits else 1), 0, -1).copy())
    with io.BytesIO() as file:
        made.save(file, "PNG", optimize=True)
        return file.tell()
