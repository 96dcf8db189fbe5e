"""One step of training: the objective, its gradient, and what they do to the weights.

`Step` runs it operation by operation; `graph.GraphStep` as one compiled graph. Both do the same:
gradients of the batches of a step are summed and divided by their number of data, clipped, and
given to the optimiser, unless one of them is not finite, when the step is skipped and counted.

Shapes: B batch, L latent groups.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..config import TrainConfig
from ..data import Batch
from ..model import Recipe
from ..noise import FRESH, Noise
from ..objectives import Schedule, Seen, terms
from . import optimizers

__all__ = ["Measured", "Step", "advance", "lay_out", "measure"]


def lay_out(model: nn.Module, order: torch.memory_format) -> None:
    """Lays the weights of convolutions (O, I, H, W) out in another order, in place."""
    for p in model.parameters():
        if p.ndim == 4:
            p.data = p.data.contiguous(memory_format=order)


def measure(recipe: Recipe, batch: Batch, noise: Noise = FRESH) -> tuple[Tensor, Tensor]:
    """Returns the summed objective, and the sums (3 + L,) of its value and parts, in nats."""
    trace = recipe.trace(batch.x, batch.c, mask=batch.mask, noise=noise)
    t = terms(recipe.objective, trace)
    parts = torch.stack([t.value, t.distortion, t.penalty, *t.rate]).sum(1)
    return t.value.sum(), parts.detach()


def advance(objective: Callable[..., Tensor], progress: float, parts: Tensor, size: int) -> None:
    """Moves the option of an objective that changes in training.

    Arguments:
        objective: What is trained; one that does not change is left alone.
        progress: The part of training that is done.
        parts: What the last step returned, (n, 4 + L).
        size: The number of data in each of its batches.
    """
    if isinstance(objective, Schedule):
        means = parts.sum(0) / (len(parts) * size)
        objective.advance(progress, Seen(means[1], means[3:-1].sum(), means[-1] == 0))


class Measured(nn.Module):
    """Model and objective as one module: all tensors have names, and one call runs them."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model = recipe.model
        if isinstance(recipe.objective, nn.Module):
            self.objective = recipe.objective
        self.recipe = recipe

    def forward(self, batch: Batch, noise: Noise = FRESH) -> tuple[Tensor, Tensor]:
        """Returns what `measure` does."""
        return measure(self.recipe, batch, noise)


class Step:
    """What one step does, in eager mode.

    Arguments:
        recipe: A model, which lies on the device, an objective and k.
        config: How to train, with a precision that is settled.
        device: Where to compute.

    Attributes:
        parameters: The weights that are trained.
        optimizer: Its state is in the checkpoint.
        weights: The same without gradients, in the same memory.
        shadow: The moving averages of the weights; empty without.
    """

    def __init__(self, recipe: Recipe, config: TrainConfig, device: torch.device) -> None:
        self.recipe, self.config, self.device = recipe, config, device
        self.parameters: list[Tensor] = [p for p in recipe.model.parameters() if p.requires_grad]
        self.weights = [p.detach() for p in self.parameters]
        self.optimizer = optimizers.make(self.parameters, config)
        self.shadow = [w.clone() for w in self.weights] if config.ema else []

    def __call__(self, batches: Iterable[Batch], rate: float, decay: float) -> Tensor:
        """Takes one step.

        Arguments:
            batches: Its batches, of which each is drawn when the one before is done with.
            rate: The learning rate.
            decay: How much of the moving averages stays.

        Returns:
            For each batch the sums (3 + L,) of `measure`, and 1 if the step was skipped, else 0.
        """
        found: list[Tensor] = []
        count = 0
        for batch in batches:
            with self.precision():
                value, parts = measure(self.recipe, batch)
            (-value).backward()
            found.append(parts)
            count += len(batch.x)
        skipped = self._update(count, rate, decay)
        parts = torch.stack(found)
        return torch.cat([parts, skipped.to(parts).expand(len(parts), 1)], dim=1)

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which networks compute in the type asked for."""
        if self.config.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _update(self, count: int, rate: float, decay: float) -> Tensor:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_div_(gradients, count)
        norm = nn.utils.get_total_norm(gradients)
        if self.config.clip is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.config.clip, norm)
        bad = ~norm.isfinite()
        # A processor waits for nobody when it is asked; a GPU would, at each step.
        if self.device.type != "cpu" or not bool(bad):
            self._advance(bad, rate, decay)
        self.optimizer.zero_grad(set_to_none=True)
        return bad

    def _advance(self, bad: Tensor, rate: float, decay: float) -> None:
        fused = self.optimizer.defaults.get("fused")
        if self.device.type != "cpu":
            if fused:  # the kernel itself leaves all as it was, as for a scaled loss
                self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
                self.optimizer.grad_scale = None  # type: ignore[attr-defined]
            elif bool(bad):
                return
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.shadow:
            torch._foreach_lerp_(self.shadow, self.weights, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Returns the state of the optimiser and the averages."""
        return {"optimizer": self.optimizer.state_dict(), "shadow": self.shadow}

    def load(self, state: dict[str, Any]) -> None:
        """Takes a state over.

        Raises:
            ValueError: If it is of other weights.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        self.shadow = [s.to(self.device) for s in state["shadow"]]
