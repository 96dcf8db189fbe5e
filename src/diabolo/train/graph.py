"""The whole step as one compiled graph: objective, gradient, optimiser and averages.

A step of a small network is many small operations, and most of its time goes by between them. As
one graph of the weights, moments and batch it differs from the eager step by rounding only. What
cannot be traced or compiled so is trained eagerly, and that is said.

Shapes: B batch, L latent groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..config import TrainConfig
from ..data import Batch
from ..graph import Replay, copies, graph_of
from ..model import Recipe
from .optimizers import BETA1, BETA2, RULES
from .step import Measured, Step, lay_out

__all__ = ["GraphStep"]


class GraphStep(Step):
    """What one step does, as one graph that is compiled when it is first taken.

    Arguments:
        recipe: A model, which lies on the device, an objective and k.
        config: How to train, with a precision that is settled.
        device: Where to compute.
    """

    def __init__(self, recipe: Recipe, config: TrainConfig, device: torch.device) -> None:
        # Channels last is how oneDNN and cuDNN compute convolutions: no layer copies its input.
        self.images = any(p.ndim == 4 for p in recipe.model.parameters())
        if self.images:
            lay_out(recipe.model, torch.channels_last)
        super().__init__(recipe, config, device)
        self.rule = RULES[config.optimizer]
        self.whole = Measured(recipe)
        trained = {id(p) for p in self.parameters}
        named = dict(chain(self.whole.named_parameters(), self.whole.named_buffers()))
        self.names = [n for n, t in named.items() if id(t) in trained]
        self.rest = {n: t.detach() for n, t in named.items() if id(t) not in trained}
        self.moments: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.done = torch.zeros((), device=device)  # steps that were not skipped
        self.graphs: dict[int, Callable[..., Tensor]] = {}  # by the number of batches
        self._fresh()

    def __call__(self, batches: Iterable[Batch], rate: float, decay: float) -> Tensor:
        """Takes one step; see `Step`.

        Raises:
            NoGraph: If the step cannot be traced or compiled; nothing was changed.
        """
        group = [(self._laid_out(b.x), b.c, b.mask) for b in batches]
        scalars = torch.tensor([rate, decay], dtype=self.weights[0].dtype).to(self.device)
        n = len(group)  # the last step of an epoch may have fewer batches
        with torch.no_grad():
            if n not in self.graphs:
                self.graphs[n], found = self._made((scalars, group))
                if found is not None:
                    return found
            return self.graphs[n](scalars, group)

    def _made(self, moving: tuple[Any, ...]) -> tuple[Callable[..., Tensor], Tensor | None]:
        """Returns the graph of the step's state, and what it did if it took the step already.

        On a GPU each step is one of the same recording, the first one too: bits do not depend on
        where a training was interrupted.
        """
        kept = self._state()
        if self.device.type != "cuda":
            graph, found = graph_of(self._step, (*kept, *moving), "the step")
            return partial(graph, *kept), found
        with torch.random.fork_rng([torch.cuda.current_device()]):
            graph, _ = graph_of(self._step, copies((*kept, *moving)), "the step")
        try:
            return Replay(graph, kept, moving), None
        except RuntimeError:  # what cannot be recorded is started kernel by kernel
            return partial(graph, *kept), None

    def _laid_out(self, x: Tensor) -> Tensor:
        last = self.images and x.ndim == 4
        return x.contiguous(memory_format=torch.channels_last) if last else x

    def _state(self) -> tuple[list[Tensor], ...]:
        rest = list(self.rest.values())
        return (self.weights, *self.moments, self.shadow, rest, [self.done])

    def _step(
        self,
        weights: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        shadow: list[Tensor],
        rest: list[Tensor],
        steps: list[Tensor],
        scalars: Tensor,
        group: list[tuple[Tensor, Tensor | None, Tensor | None]],
    ) -> Tensor:
        """The step as a function of all that it reads, which it changes in place."""
        dtype = weights[0].dtype  # a double among floats would keep loops from being vectorised
        (done,), (rate, decay) = steps, scalars.to(dtype).unbind()
        parts, gradients = self._gradients(weights, rest, group)
        norm = nn.utils.get_total_norm([g for g in gradients if g is not None])
        scale = torch.ones_like(norm)
        if self.config.clip is not None:  # as torch's clip_grads_with_norm_
            scale = (self.config.clip / (norm + 1e-6)).clamp(max=1.0)
        good = norm.isfinite()
        count = done + good
        c1, c2 = ((1 - b ** count.double()).to(dtype) for b in (BETA1, BETA2))
        for p, g, m, v in zip(weights, gradients, first, second, strict=True):
            if g is None:  # a weight without effect is left alone
                continue
            new = self.rule.update(p, g * scale, m, v, rate, c1, c2, self.config.weight_decay)
            for old, value in zip((p, m, v), new, strict=True):
                old.copy_(torch.where(good, value, old))
        for s, p in zip(shadow, weights, strict=False):  # there may be none
            s.copy_(torch.where(good, torch.lerp(p, s, decay), s))
        done.copy_(count)
        return torch.cat([parts, (~good).to(parts).expand(len(parts), 1)], dim=1)

    def _gradients(
        self,
        weights: list[Tensor],
        rest: list[Tensor],
        group: list[tuple[Tensor, Tensor | None, Tensor | None]],
    ) -> tuple[Tensor, list[Tensor | None]]:
        found: list[Tensor] = []
        total, count = torch.zeros((), device=self.device), 0
        with torch.enable_grad():
            leaves = [w.detach().requires_grad_() for w in weights]
            given = dict(zip((*self.names, *self.rest), (*leaves, *rest), strict=True))
            for x, c, mask in group:
                batch = Batch(x, c, mask, torch.empty(0))
                with self.precision():
                    value, parts = functional_call(self.whole, given, (batch,))
                total, count = total - value, count + len(x)
                found.append(parts)
            gradients = torch.autograd.grad(total / count, leaves, allow_unused=True)
        return torch.stack(found), list(gradients)

    def _fresh(self) -> None:
        self.graphs = {}  # they know where the moments lie
        first, second = ([torch.zeros_like(w) for w in self.weights] for _ in range(2))
        self.moments = (first, second)

    def state(self) -> dict[str, Any]:
        """Returns the state as torch's own optimiser would."""
        for p, *moments in zip(self.parameters, *self.moments, strict=True):
            named = dict(zip(self.rule.states, moments, strict=True))
            self.optimizer.state[p] = {"step": self.done.clone(), **named}
        return super().state()

    def load(self, state: dict[str, Any]) -> None:
        """Takes a state over, from whichever kind of step."""
        super().load(state)
        self._fresh()
        for i, p in enumerate(self.parameters):
            there = self.optimizer.state.get(p)
            if there:
                self.done.copy_(there["step"])
                for kept, name in zip(self.moments, self.rule.states, strict=True):
                    kept[i].copy_(there[name])
