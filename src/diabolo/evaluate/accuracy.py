r"""How often a model finds the class that a label names.

.. math:: \hat y = \arg\max_y q(y \mid x)

Shapes: N data, C classes.
"""

from __future__ import annotations

import torch

from .. import ranks
from ..data import Data
from ..model import LatentModel
from .estimate import Estimate
from .passes import Precision, autocast, batches, decoder_rows, quiet

__all__ = ["accuracy"]


def accuracy(
    model: LatentModel, data: Data, *, precision: Precision = "float32"
) -> Estimate | None:
    """Returns the part of the labelled data whose most probable class is their label.

    No label is shown to the model.

    Returns:
        The part; None where the model does not find out its condition, or no datum has a label.
    """
    if not model.classifies or data.c is None:
        return None
    device = next(model.parameters()).device
    with quiet(model), autocast(precision, device):
        found = [
            model.classify(b.x, mask=b.mask).argmax(1).cpu()
            for b in batches(model, data, decoder_rows(data, device))
        ]
    label, known = data.c.cpu().argmax(1), data.c.cpu().any(1)
    if not bool(known.any()):
        return None
    right = (ranks.gather(torch.cat(found), len(data)) == label)[known].double()
    kind = "the most probable class of q(c|x) is the label"
    return Estimate.of(right, torch.zeros_like(right), k=1, seed=0, kind=kind)
