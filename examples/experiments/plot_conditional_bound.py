r"""
The bound of a conditional model
================================

Everything that holds of :math:`\log P(X)` holds of :math:`\log P(Y \mid X)` if each density is told
the condition X:

.. math::
    \log P(Y \mid X) - D\big[Q(z \mid Y, X) \,\|\, P(z \mid Y, X)\big]
    = E_Q\big[\log P(Y \mid z, X)\big] - D\big[Q(z \mid Y, X) \,\|\, P(z \mid X)\big].

Two priors are usual. Doersch takes :math:`P(z \mid X) = N(0, I)`, z being drawn independently of X;
Sohn, Lee and Yan (2015) learn it from X. The identity holds for both, and here it is shown without
any sampling: in a linear-Gaussian model each of its four terms has a closed form.

**In the notes** X is called "the class we generate". X is what is *given* (the class, half an
image, a column of pixels), and Y is what is generated. Nor is :math:`\log P(Y \mid X)` all that
differs from a VAE: the encoder reads (Y, X), the decoder (z, X), and the prior may read X.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from scipy.stats import multivariate_normal

import diabolo
from diabolo.data import Data
from diabolo.distributions import MultivariateNormal, Normal, kl_divergence
from diabolo.evaluate import exact

lab = Experiment("conditional_bound")
torch.set_default_dtype(torch.float64)
rng = torch.Generator().manual_seed(0)
N = lab.pick(50, 500)
y, c = torch.randn(N, 3, generator=rng), torch.randn(N, 2, generator=rng)
data = Data(y, c=c)

# %%
# A conditional VAE with a linear decoder is :math:`Y = A X + W z + b + \epsilon`, so that
#
# .. math:: P(Y \mid X) = N\big(A X + W m_X + b,\; W S_X W^\top + \sigma^2 I\big),
#
# with :math:`m_X = 0, S_X = I` for the fixed prior, and whatever its network says for the learned
# one. Its weights are random here: an identity needs no training.


def model_with(prior: str) -> diabolo.LatentModel:
    torch.manual_seed(1)
    options = {"latent": 2, "prior": prior, "likelihood": "Normal(scale=shared)"}
    nets = {"net": "mlp(hidden=(8,))", "decoder": "mlp(hidden=())"}
    model = diabolo.build("cvae", data.spec(), **options, **nets).model.double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_((0.05 if "prior" in name else 0.2) * torch.randn_like(p))
    return model


def gaussians(model: diabolo.LatentModel) -> tuple[torch.Tensor, ...]:
    """What is known by conditioning the joint normal of (z, Y) on Y, for each datum.

    Returns log P(Y|X), and mean and covariance of P(z|Y,X).
    """
    with torch.no_grad():
        p = model.latent.prior(c)
        head = model.likelihood.net.head
        noise = model.decode(torch.zeros(1, 2), c[:1]).variance[0, 0]
    w, a, b = head.weight[:3, :2].detach(), head.weight[:3, 2:].detach(), head.bias[:3].detach()
    m = p.mean.expand(N, 2)
    s = torch.diag_embed(p.variance.expand(N, 2))
    centre = c @ a.T + m @ w.T + b
    cover = w @ s @ w.T + noise * torch.eye(3)
    pull = s @ w.T @ torch.linalg.inv(cover)
    log_py = [multivariate_normal(u, v).logpdf(t) for u, v, t in zip(centre, cover, y, strict=True)]
    mean = m + (pull @ (y - centre)[..., None])[..., 0]
    return torch.tensor(np.array(log_py)), mean, s - pull @ w @ s


# %%
# The expectation over Q of a quadratic function is its mean over the *sigma points*
# :math:`\mu \pm \sqrt{d}\,\sigma_i e_i`, exactly. So the right-hand side is found with the model's
# own densities, and without any error but rounding.


def right_side(model: diabolo.LatentModel, q: Normal) -> torch.Tensor:
    """E_Q[log P(Y|z,X)] - D[Q || P(z|X)] of each datum."""
    reach = 2**0.5 * torch.diag_embed(q.log_scale.exp()).movedim(1, 0)  # (2, N, 2)
    points = torch.cat([q.loc + reach, q.loc - reach])
    with torch.no_grad():
        inner = model.likelihood(points, c).log_prob(y).mean(0)
        return inner - kl_divergence(q, model.latent.prior(c))


panels = {}
for prior, name in (("normal", "prior N(0, I)"), ("conditional", "prior P(z|X) learned")):
    model = model_with(prior)
    log_py, mean, cov = gaussians(model)
    posterior = MultivariateNormal(mean, torch.linalg.cholesky(cov))
    found = exact(model, data)
    lab.claim(
        "A34",
        f"{name}: closed form of the package against the joint normal's, greatest difference",
        (found.per_datum - log_py).abs().max(),
        "<= 1e-10",
        unit="nats",
    )
    with torch.no_grad():
        own = model.latent.posterior(y, c)  # the encoder's Q(z|Y,X)
    off = log_py - kl_divergence(own, posterior) - right_side(model, own)
    lab.claim(
        "A34",
        f"{name}: left less right side, Q of the encoder, greatest",
        off.abs().max(),
        "<= 1e-10",
        unit="nats",
    )

    # Any other Q will do as well: one that goes from the encoder's to the best diagonal one.
    best = Normal(mean, -0.5 * torch.linalg.inv(cov).diagonal(dim1=1, dim2=2).log(), 1)
    ways = []
    for t in torch.linspace(0, 1, 21):
        log_scale = (1 - t) * own.log_scale + t * best.log_scale
        q = Normal((1 - t) * own.loc + t * best.loc, log_scale, 1)
        ways.append((right_side(model, q), kl_divergence(q, posterior)))
    bound, gap = (torch.stack(w) for w in zip(*ways, strict=True))  # (21, N)
    lab.claim(
        "A34",
        f"{name}: the same for 20 other Q, greatest",
        (bound + gap - log_py).abs().max(),
        "<= 1e-10",
        unit="nats",
    )
    panels[name] = bound.mean(1).numpy(), gap.mean(1).numpy(), float(log_py.mean())

# %%
# What the bound lacks is the divergence, whatever Q is. At the best diagonal Q some of it is left:
# the true posterior's two elements are correlated.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
t = np.linspace(0, 1, 21)
for a, (name, (bound, gap, total)) in zip(axes, panels.items(), strict=True):
    floor = float(bound.min()) - 2
    a.fill_between(t, floor, bound, color="tab:blue", alpha=0.35, label="bound")
    a.fill_between(t, bound, bound + gap, color="tab:orange", alpha=0.6, label="D[Q || P(z|Y,X)]")
    a.axhline(total, color="black", lw=1.2, label="log P(Y|X)")
    a.set(
        title=name,
        xlabel="Q: from the encoder's (0) to the best (1)",
        xlim=(0, 1),
        ylim=(floor, total + 2),
    )
axes[0].set_ylabel("nats per datum")
axes[0].legend(loc="lower right", fontsize=8)
figure.tight_layout()
lab.finish()
torch.set_default_dtype(torch.float32)
