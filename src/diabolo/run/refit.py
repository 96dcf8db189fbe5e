r"""A new prior for a model that is trained, fitted to its codes.

.. math:: p(z) \approx q(z) = \tfrac1N \textstyle\sum_n q_\phi(z \mid x_n)

A VAE's codes are never quite distributed as its prior, and what lies between decodes to nothing; an
autoencoder has no prior at all. A density of codes z ~ q(z | x) of the training data makes a better
generative model of either and, of a VAE, a better bound on log p(x).

Shapes: N data, K codes for each, n = N K codes, D elements of a code, C condition width.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from .. import train
from ..config import RefitConfig, RunConfig, TrainConfig, resolve
from ..data import Data, Splits
from ..data import load as load_data
from ..data.dividing import divide
from ..distributions import Normal
from ..errors import DiaboloError, unknown
from ..model import LatentModel, Recipe
from ..noise import KeyedNoise, mix_seed
from ..recipes._refit import density_of, of_codes, with_prior
from ..train.validate import validate
from . import folder as folders
from . import store
from .asked import OutOfReach, as_data, refuse_alone
from .latents import Latents
from .workshop import publish

if TYPE_CHECKING:
    from .run import Run

__all__ = ["refit"]

# How a prior of codes is trained where nothing else is said.
BASE = TrainConfig(
    epochs=50, batch_size=500, schedule="cosine", patience=10, precision="float32", compile="off"
)
FEW = 50_000  # codes to fit: small data give several each, so that an epoch is not too short
MOST = 10  # codes of one datum
ROWS = 500  # data encoded at once


def refit(
    run: Run,
    data: Any = None,
    *,
    prior: str,
    labels: Any = None,
    condition: Any = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Callable[[Any], object] | None = None,
    **options: Any,
) -> Run:
    """Returns a new run: the same encoder and decoder, and a prior fitted to their codes.

    An autoencoder can be sampled then; a VAE has another bound, higher where the codes were not
    as its prior said.

    Arguments:
        run: A fitted run.
        data: Its training data, of which `data.valid` are held out to select by; None takes those
            of the run, in memory or read again.
        prior: A prior with parameters, with options: `gaussian`, `mixture(components=10)`,
            `flow`, `conditional`; or a recipe, which is trained on codes: `vae(latent=8)`.
        labels: Labels of `data`, where the model is conditional on labels.
        condition: Conditions of `data`, where these are not labels.
        out: The folder to save the new run in.
        force: Whether a run that lies there may be replaced.
        progress: Called as `fit` does.
        options: Options of `TrainConfig`, where the prior is trained, as `fit` takes them.

    Raises:
        DiaboloError: If the model's prior cannot be another or was fitted before, the prior has
            nothing to fit, an option has no effect, or the training data are out of reach.
        Diverged: If a number is not finite.
        KeyboardInterrupt: At Ctrl-C; then nothing is written.
    """
    if run.config.refit is not None:
        raise DiaboloError(
            "The prior of this run was fitted to codes already: refit the run that it came from."
        )
    if out is not None:
        folders.refuse(Path(out), force=force)
        if run.folder is not None and Path(out).resolve() == run.folder.resolve():
            raise DiaboloError("out is the run itself: a refitted run has a folder of its own.")
    config = RefitConfig(prior=prior, train=_settings(run, options))
    began, seed = time.monotonic(), config.train.seed
    splits = _splits(run, data, labels, condition)
    fitted_to, held = splits.train, splits.valid
    k = max(1, min(MOST, FEW // len(fitted_to)))
    codes = _codes(run.model, fitted_to, k, mix_seed(seed, 5))
    held_codes = _codes(run.model, held, 1 if run.model.deterministic else k, mix_seed(seed, 6))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(seed, 0))
        second = of_codes(run.model, prior, torch.as_tensor(codes.x).to("cpu", torch.float32))
    second.model.to(next(run.model.parameters())).eval()
    epochs = _fit(second, codes, held_codes, len(fitted_to), config, options, run, progress)
    recipe = with_prior(copy.deepcopy(run.recipe), second)
    recipe.model.eval()
    held = held.to(run.device)
    size, key = max(run.config.train.batch_size, ROWS), mix_seed(run.config.train.seed, 3)
    elbo, distortion, *rate = validate(recipe, held, key, size).tolist()
    log_pz = validate(second, held_codes, mix_seed(seed, 3), ROWS)[0]
    new = replace(
        run,
        recipe=recipe,
        config=replace(run.config, refit=config),
        metrics={
            "valid": {"elbo": elbo, "distortion": distortion, "rate": rate},
            "latents": store.plain(Latents.of(recipe.model, held)._asdict()),
            "refit": {
                "codes": len(codes),
                "held_out": {
                    "n": len(held_codes),
                    "log_pz": float(log_pz),
                    "bound": density_of(second) is None,
                    "standard_normal": _standard(held_codes),
                },
                "epochs": epochs,
                "seconds": round(time.monotonic() - began, 3),
            },
        },
        notes=(*run.notes, f"The prior was fitted to codes after training: {prior}."),
        folder=None,
        splits=run.splits if data is None else splits,
    )
    if out is not None:
        new.folder = publish(store.store(new), Path(out), force=force)
    return new


def _settings(run: Run, options: Mapping[str, Any]) -> TrainConfig:
    """Returns how to train, on the device and with the seed of the run if none is given.

    Raises:
        DiaboloError: At an unknown option or a wrong value.
    """
    known = [f.name for f in fields(TrainConfig) if f.name != "checkpoint_minutes"]
    for name in (word.removeprefix("train.") for word in options):
        if name not in known:
            raise unknown("option of refit", name, known)
    base = replace(BASE, device=cast("Any", run.device.type), seed=run.config.train.seed)
    return resolve(RunConfig(train=base), options, []).train


def _splits(run: Run, data: Any, labels: Any, condition: Any) -> Splits:
    """Returns the data to fit to and those held out.

    Raises:
        DiaboloError: If there are none to be had, or they are not like those of the run.
    """
    refuse_alone(data, labels, condition)
    if data is None:
        found, held = run.data("train"), run.data("valid")
        if found is None or held is None:
            raise OutOfReach(
                "This run's data were passed in memory and are gone: give the training data "
                "again, refit(data, prior=...)."
            )
        return Splits(found, held, None if run.splits is None else run.splits.test)
    if isinstance(data, str | Path):
        place = replace(run.config.data, source=str(data))
        loaded = load_data(str(data), place, labels=labels, condition=condition)
        if loaded.schema != run.schema:
            raise DiaboloError(
                f"The data in '{data}' are not like those that this run was fitted to."
            )
        return loaded.splits
    whole = as_data(run, data, labels, condition)
    rows, held_rows = divide(len(whole), run.config.data)
    return Splits(whole.take(rows), whole.take(held_rows), None)


@torch.no_grad()
def _codes(model: LatentModel, data: Data, k: int, seed: int) -> Data:
    """Returns k codes z ~ q(z | x) of each datum, (N k, D), with what their prior may read.

    A model that was trained to do without its condition has codes of either kind.
    """
    like = next(model.parameters())
    codes: list[Tensor] = []
    conditions: list[Tensor] = []
    for batch in data.to(like.device).batches(ROWS):
        for c in (batch.c,) if model.unknown is None else (batch.c, None):
            noise = KeyedNoise(seed, batch.index)
            c = None if c is None else c.to(like)
            inferred, c = model.infer(batch.x.to(like), c, k=k, mask=batch.mask, noise=noise)
            codes.append(inferred.draws[-1].z.flatten(0, 1))
            if c is not None:
                conditions.append(c.expand(k, *c.shape).flatten(0, 1))
    return Data(torch.cat(codes), "real", c=torch.cat(conditions) if conditions else None)


def _fit(
    second: Recipe,
    codes: Data,
    held: Data,
    count: int,
    config: RefitConfig,
    options: Mapping[str, Any],
    run: Run,
    progress: Callable[[Any], object] | None,
) -> int:
    """Fits the recipe of codes; returns how many epochs that took, 0 for a closed form.

    Raises:
        DiaboloError: If settings of a training are given where there is none, or the codes are
            those of too few data.
    """
    density = density_of(second)
    if getattr(density, "closed", False):
        least = cast("Any", density).least
        if count < least:
            raise DiaboloError(
                f"The prior '{config.prior}' needs codes of {least} data at least, but there are "
                f"{count} to fit: ask for a simpler prior, or give more data."
            )
        idle = [name for name in options if name.removeprefix("train.") != "seed"]
        if idle:
            raise DiaboloError(
                f"The prior '{config.prior}' is fitted without steps: {idle[0]} has no effect on "
                "it."
            )
        cast("Any", density).fit(torch.as_tensor(codes.x), config.train.seed)
        return 0
    say = progress or (lambda event: None)
    history = train.fit(
        second,
        codes,
        held,
        config.train,
        on_epoch=say,
        on_config=lambda settled: say(replace(run.config, train=settled)),
        on_note=say,
    )
    if history.stopped == "interrupt":
        raise KeyboardInterrupt
    return len(history.rows)


def _standard(held: Data) -> float:
    """The mean log-density of held-out codes under the standard normal density."""
    z = torch.as_tensor(held.x)
    return float(Normal(torch.zeros_like(z[0]), torch.zeros_like(z[0]), 1).log_prob(z).mean())
