r"""A recipe with another prior, which is fitted to its codes when all else is.

.. math:: p(z) \approx q(z) = \tfrac1N \textstyle\sum_n q_\phi(z \mid x_n), \qquad
    x \sim p_\theta(x \mid z)

What is fitted is a recipe whose data are z: a density of the registry of priors, or any recipe
with a prior of its own, as in the two-stage VAE. It takes the place of the topmost prior.

References:
    | From Variational to Deterministic Autoencoders (Ghosh et al., 2020), section 4
    | https://arxiv.org/abs/1903.12436
    | Diagnosing and Enhancing VAE Models (Dai & Wipf, 2019), section 4
    | https://arxiv.org/abs/1903.05789

Shapes: D elements of the topmost latent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import REALS, space_of
from ..distributions.dirac import DiracFamily
from ..errors import DiaboloError, unknown
from ..latents import Amortized, Modelled, Nested
from ..model import Conditional, LatentModel, Recipe
from ..objectives import elbo
from ..priors import PRIORS
from ..priors._fitted import Placed, placed
from ..priors.gaussian import Gaussian
from ..registry import keywords, parse_call, typed
from ..spec import Spec
from ..views import View
from . import RECIPES

__all__ = ["density_of", "of_codes", "with_prior"]


def of_codes(model: LatentModel, prior: str, codes: Tensor | None = None) -> Recipe:
    """Returns what is to be trained on codes: a recipe whose data are z.

    Arguments:
        model: The model of x.
        prior: The name of a prior or of a recipe, with options; a recipe's `latent` is D where
            nothing else is said.
        codes: Codes (n, D), for their mean and scale; None where stored weights will say these.

    Raises:
        DiaboloError: If there is no such prior, it has nothing to fit, or does not fit the model.
    """
    held = _topmost(model)
    (size,) = held.latent.groups
    mean, scale = (torch.zeros(size), torch.ones(size)) if codes is None else placed(codes)
    known = Spec(
        event=(size,),
        condition=held.condition + (held.unknown is not None),
        count=0 if codes is None else len(codes),
        mean=mean,
        scale=scale,
    )
    name, options = parse_call(prior)
    if name in PRIORS.names():
        posterior = held.latent.posterior
        density = PRIORS.build(prior, size, known.condition, posterior=posterior, spec=known)
        if not any(True for _ in density.parameters()):
            raise DiaboloError(
                f"The prior '{name}' has nothing that could be fitted to codes: use gaussian, "
                "mixture or flow, or a recipe such as vae."
            )
        if not isinstance(density, Gaussian):  # which keeps the closed form of its rate
            density = Placed(density, mean, scale)
        return _recipe(density, size, known.condition)
    if name not in RECIPES.names():
        raise unknown("prior", name, {*PRIORS.names(), *RECIPES.names()})
    function = RECIPES.load(name)
    given = typed(f"recipe '{name}'", function, options)
    if "latent" in keywords(function):
        given = {"latent": size, **given}
    recipe = function(known, **given)
    if recipe.model.deterministic:
        raise DiaboloError(
            f"The prior '{name}' is an autoencoder, which has no density of codes: use a recipe "
            "such as 'vae', or a prior such as 'flow'."
        )
    return recipe


def with_prior(base: Recipe, second: Recipe) -> Recipe:
    """Returns the recipe of x with the prior that a recipe of its codes holds.

    Arguments:
        base: The recipe of x; its model is changed in place and, but for the prior, frozen.
        second: What `of_codes` returned.
    """
    base.model.requires_grad_(False)
    held = _topmost(base.model)
    latent, density = held.latent, density_of(second)
    (size,) = latent.groups
    if latent.deterministic:
        held.latent = Modelled(latent, second.model)
    elif density is None:
        held.latent = Nested(latent.posterior, second.model, size)
    else:
        held.latent = Amortized(latent.posterior, density, size)
    return base


def density_of(second: Recipe) -> nn.Module | None:
    """Returns the density of codes that a recipe of codes holds, or None: a bound is all it has."""
    point = second.model.likelihood.family.deterministic  # as `_recipe` made it
    return second.model.latent.prior if point else None


def _topmost(model: LatentModel) -> LatentModel:
    """Returns the model that holds the topmost latent: this one or, in a hierarchy, one within.

    Raises:
        DiaboloError: If that latent cannot have another prior.
    """
    while isinstance(model.latent, Nested):
        model = model.latent.prior
    if not isinstance(model.latent, Amortized):
        raise DiaboloError(
            "Values (discrete_vae), classes (m2) and layers that are inferred from the top down "
            "(ladder) have no prior that can be fitted afterwards: refit a model such as 'vae', "
            "'ae' or 'hierarchical'."
        )
    family = getattr(model.latent.posterior, "family", None)
    real = family is None or family.deterministic or "real" in family.supports
    if model.enumerates is not None or space_of(model.latent) != REALS or not real:
        raise DiaboloError(
            "A prior is fitted to codes that may be any vector of real numbers, which this "
            "model's may not."
        )
    return model


def _recipe(density: nn.Module, size: int, condition: int) -> Recipe:
    """Returns a density of codes (D,) as a recipe, so that the one loop trains it.

    A code is its own posterior, a point, and its own datum: all that is left of the bound is
    log p(z), and the rate is what the density asks for a code.
    """
    point = Conditional(_Same(), DiracFamily(), (size,))
    latent = Amortized(point, density, size)
    return Recipe(LatentModel(View((size,)), latent, point, condition=condition), elbo)


class _Same(nn.Module):
    """The network of what is a code already."""

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns h."""
        return h
