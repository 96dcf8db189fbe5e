"""The file of a classifier: its weights and facts, as safetensors; the run is not in it.

A probe holds its head alone, a trained classifier its encoder too. Both belong to one run, whose
weights are named by their SHA-256.
"""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as packed

from ..checkpoint import atomic
from ..errors import DiaboloError
from ..run import Run
from ._encoder import Grown, grown

if TYPE_CHECKING:
    from .classifier import Classifier

__all__ = ["keep", "kept"]

KIND = "diabolo classifier 1"
FACTS = ("how", "features", "strength", "held_out", "classes", "counts")
SHARED = "encoder."  # what a probe has of its run


def keep(found: Classifier, path: Path) -> None:
    """Writes a classifier, whole or not at all.

    Raises:
        DiaboloError: If the file cannot be written.
    """
    facts = {name: getattr(found, name) for name in FACTS}
    facts |= {"values": found.values.tolist(), "dtype": str(found.values.dtype)}
    tensors = {
        name: t.detach().cpu().clone()
        for name, t in found.net.state_dict().items()
        if not (found.how == "probe" and name.startswith(SHARED))
    }
    metadata = {"kind": KIND, "facts": json.dumps(facts), "run": _digest(found.run)}
    try:
        with atomic(path) as part:
            part.write_bytes(packed(tensors, metadata))
    except OSError as error:
        raise DiaboloError(f"Cannot write '{path}': {error.strerror or error}.") from None


def kept(path: Path, run: Run) -> tuple[Grown, dict[str, Any]]:
    """Returns the network and the facts of a classifier.

    Raises:
        DiaboloError: If the file is no classifier, is damaged, or belongs to another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise DiaboloError(f"Cannot read the classifier '{path}': {reason}.") from None
    if metadata.get("kind") != KIND:
        raise DiaboloError(f"'{path}' is no classifier that `Classifier.save` wrote.")
    if metadata["run"] != _digest(run):
        raise DiaboloError(
            f"The classifier '{path}' was made with another run: its encoder is not this one."
        )
    facts = json.loads(metadata["facts"])
    facts["values"] = np.array(facts["values"], dtype=facts.pop("dtype"))
    facts |= {name: tuple(facts[name]) for name in ("classes", "counts")}
    probe = facts["how"] == "probe"
    model = run.model if probe else copy.deepcopy(run.model)
    net = grown(model, facts["features"], tensors["loc"], tensors["scale"], len(facts["values"]), 0)
    with torch.no_grad():
        state = net.state_dict()
        for name, value in tensors.items():
            state[name].copy_(value)
    return net, facts


def _digest(run: Run) -> str:
    found = hashlib.sha256()
    for name, t in sorted(run.model.state_dict().items()):
        found.update(name.encode() + t.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
