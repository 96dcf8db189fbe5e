r"""A class that is known of some data, and a continuous latent beside it.

.. math:: p(y) \, p(z), \qquad q(y \mid x) \, q(z \mid x, y),
    \qquad q(y \mid x) = \delta_{y_0} \text{ where the label } y_0 \text{ is known}

Shapes: K posterior samples, B batch, C classes, D elements of z, F features of x.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..distributions import Categorical, Normal, draw
from ..model import Conditional, Draw, Inferred
from ..noise import FRESH, Noise
from .discrete import one_hot, perturbed

__all__ = ["Labelled"]

SURE = 1e4  # log-odds of a label that is known: exp(-SURE) is 0, and SURE times 0 is 0


class Labelled(nn.Module):
    r"""A class y, which the condition names for some data, and z; the code is y, one-hot, and z.

    Where the label is known, y is that, and log-weights are of log p(x, y); else y is found, and
    they are of log p(x). All classes are gone through (`every`), with samples of z for each. A
    known label also teaches q(y | x), which the bound of its datum has no part for:

    .. math:: \text{penalty} = -a \log q(y_0 \mid x)

    References:
        | Semi-supervised Learning with Deep Generative Models (Kingma et al., 2014), section 3.1.2
        | https://arxiv.org/abs/1406.5298

    Arguments:
        features: Maps what the encoder sees (B, *I) to (B, F).
        classifier: Maps features to the `Categorical` of one element with C levels.
        posterior: Maps features and a class, one-hot, to the `Normal` of z.
        prior: p(z), a module that reads no condition.
        logits: Those of p(y), (C, 1).
        size: The number D of elements of z.
        price: What a known label's -log q(y | x) costs, in nats for a nat.
        learned: Whether p(y) is learned.
    """

    deterministic, exact, classifies = False, False, True
    logits: Tensor

    def __init__(
        self,
        features: nn.Module,
        classifier: Conditional,
        posterior: Conditional,
        prior: nn.Module,
        logits: Tensor,
        size: int,
        *,
        price: float,
        learned: bool = False,
    ) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier
        self.posterior, self.prior, self.price = posterior, prior, price
        if learned:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits)
        self.groups, self.enumerates = (1, size), len(logits)
        self.levels = (len(logits),) + (0,) * size

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns K samples of y and z for each datum."""
        h, found, label = self._seen(x, c)
        q = self._told(found, label)
        y = perturbed(q.logits, k, noise).argmax(-2).to(h.dtype)  # (K, B, 1)
        hot = one_hot(y, q.logits).squeeze(-1)  # (K, B, C)
        qz = self.posterior(h.expand(k, *h.shape), hot)
        return self._inferred(y, hot, q, qz, found, label, noise)

    def every(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns K times all classes for each datum, each with a sample of z, (K * C, B)."""
        h, found, label = self._seen(x, c)
        q = self._told(found, label)
        count, n = len(self.logits), x.shape[0]
        classes = torch.arange(count, dtype=h.dtype, device=h.device)[:, None, None]
        each = one_hot(classes, self.logits).squeeze(-1).expand(-1, n, -1)  # (C, B, C)
        qz = self.posterior(h.expand(count, *h.shape), each)
        qz = Normal(qz.loc.repeat(k, 1, 1), qz.log_scale.repeat(k, 1, 1), 1)
        y, hot = classes.repeat(k, 1, 1).expand(-1, n, -1), each.repeat(k, 1, 1)
        inferred = self._inferred(y, hot, q, qz, found, label, noise)
        # A class that a label rules out has no share at all, whatever its weight.
        share = torch.where(label.any(1), label.log().T.repeat(k, 1), inferred.draws[0].log_q)
        return inferred._replace(log_share=share - math.log(k))

    def classify(self, x: Tensor) -> Tensor:
        """Returns log q(y | x), (B, C)."""
        return self.classifier(self.features(x)).logits.squeeze(-1).log_softmax(-1)

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns n codes (n, C + D), of the classes that are given or else of drawn ones."""
        y = draw(Categorical(self.logits, 1), n, noise)
        return torch.cat([self._chosen(y, c), draw(self.prior(None), n, noise)], dim=-1)

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns the codes of classes and z (n, 1 + D); a class that is given replaces its own."""
        return torch.cat([self._chosen(z[:, :1], c), z[:, 1:]], dim=-1)

    def _seen(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Categorical, Tensor]:
        """Returns features (B, F), q(y | x), and labels (B, C), zeros where none is known."""
        h = self.features(x)
        h = h.float() if h.dtype in (torch.bfloat16, torch.float16) else h
        count = len(self.logits)
        label = h.new_zeros(x.shape[0], count) if c is None else c[:, :count].to(h.dtype)
        return h, self.classifier(h), label

    def _told(self, found: Categorical, label: Tensor) -> Categorical:
        """Returns q(y | x), but where a label is known the point that it is."""
        known = label.any(1)[:, None, None]
        return Categorical(torch.where(known, SURE * label[..., None], found.logits), 1)

    def _inferred(
        self,
        y: Tensor,
        hot: Tensor,
        q: Categorical,
        qz: Normal,
        found: Categorical,
        label: Tensor,
        noise: Noise,
    ) -> Inferred:
        p, pz = Categorical(self.logits, 1), self.prior(None)
        z, log_qz = qz.rsample_and_log_prob((), noise)  # (K, B, D)
        draws = (
            Draw(y, q.log_prob(y), p.log_prob(y), q, p),
            Draw(z, log_qz, pz.log_prob(z), qz, pz),
        )
        taught = (label * found.logits.squeeze(-1).log_softmax(-1)).sum(-1)
        return Inferred(torch.cat([hot.to(z.dtype), z], dim=-1), draws, -self.price * taught)

    def _chosen(self, y: Tensor, c: Tensor | None) -> Tensor:
        """Returns classes (n, 1) as one-hots (n, C), or those that are given."""
        count = len(self.logits)
        hot = one_hot(y.round().clamp(0, count - 1), self.logits).squeeze(-1)
        return (
            hot if c is None else torch.where(c[:, :count].any(1, keepdim=True), c[:, :count], hot)
        )
