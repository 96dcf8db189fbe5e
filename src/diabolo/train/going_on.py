"""What a resumed training may have otherwise than the one that was cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..config import TrainConfig
from ..errors import DiaboloError

__all__ = ["MAY_CHANGE", "may_go_on"]

# When to stop, and where to compute.
MAY_CHANGE = ("epochs", "minutes", "patience", "device", "checkpoint_minutes")


def may_go_on(config: TrainConfig, state: Mapping[str, Any]) -> None:
    """Refuses settings with which a training cannot go on from a state.

    Raises:
        DiaboloError: If another setting differs, or the end is passed already.
    """
    for name, now in asdict(config).items():
        before = state["config"].get(name)
        if name not in MAY_CHANGE and before != now:
            raise DiaboloError(
                f"This training began with train.{name}={before} and cannot go on with {now}: "
                "keep it, or start a new training from these weights."
            )
    begun = len(state["rows"]) + (state["position"] > 0)
    if begun > config.epochs:
        raise DiaboloError(
            f"This training is in epoch {begun} already and cannot end with "
            f"train.epochs={config.epochs}: give a later end, or leave it out."
        )
