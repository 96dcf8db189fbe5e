"""What a training keeps of a recipe: the states of the model and of its objective."""

from __future__ import annotations

from torch import Tensor, nn

from ..model import Recipe

__all__ = ["restore", "snapshot", "states"]


def states(recipe: Recipe) -> dict[str, dict[str, Tensor]]:
    """Returns the states of the model and of the objective, as they move on."""
    model, objective = recipe.model, recipe.objective
    moved = objective.state_dict() if isinstance(objective, nn.Module) else {}
    return {"model": model.state_dict(), "objective": moved}


def snapshot(recipe: Recipe) -> dict[str, dict[str, Tensor]]:
    """Returns the states as they are now."""
    parts = states(recipe).items()
    return {n: {k: v.detach().clone() for k, v in state.items()} for n, state in parts}


def restore(recipe: Recipe, model: dict[str, Tensor], objective: dict[str, Tensor]) -> None:
    """Puts states back, in place."""
    recipe.model.load_state_dict(model)
    if isinstance(recipe.objective, nn.Module):
        recipe.objective.load_state_dict(objective)
