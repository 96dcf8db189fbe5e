"""What a page may ask, each a function of the scene and the question: arrays and facts.

Shapes: m rows of a question, D latent elements, S one datum as `Items` tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..distributions import Distribution
from ..errors import DiaboloError, unknown
from ..evaluate import complete
from ..evaluate.drawing import seeded
from ..noise import MEAN, KeyedNoise
from ..panels._rows import MEASURES, Rows
from ..tasks.impute import FEW, method_for
from .scene import WEIGHED, Scene
from .wire import Query

if TYPE_CHECKING:
    from ..data import Data

__all__ = ["ASKS", "Answer", "answer"]

DRAWS, SEEDS = 64, 2**31 - 1


class Answer(NamedTuple):
    """What is answered.

    Attributes:
        arrays: By name.
        facts: By name, JSON's own types.
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = MappingProxyType({})


def answer(scene: Scene, query: Query) -> Answer:
    """Returns the answer to a question.

    Raises:
        DiaboloError: In a sentence, if it cannot be answered.
    """
    if query.ask not in ASKS:
        raise unknown("question", query.ask, ASKS)
    allowed = scene.can(True).get({"parse": "encode", "row": "encode"}.get(query.ask, query.ask))
    if allowed is not True:
        raise DiaboloError(str(allowed))
    with torch.inference_mode():
        return ASKS[query.ask](scene, query)


def decode(scene: Scene, query: Query) -> Answer:
    """Codes `z` (m, D) to the `mean` of p(x | z), (m, *S), and with `sd` its deviations."""
    model = scene.run.model
    z = query.array("z")
    if z.ndim != 2 or z.shape[1] != scene.run.latent or not 1 <= len(z) <= scene.limits.batch:
        raise DiaboloError(
            f"Codes have the shape (m, {scene.run.latent}), m from 1 to {scene.limits.batch}, but "
            f"got {list(z.shape)}."
        )
    for i, levels in enumerate(model.levels):
        if levels and not (np.isin(z[:, i], np.arange(levels))).all():
            raise DiaboloError(f"Latent element {i} is a whole number from 0 to {levels - 1}.")
    codes = torch.tensor(z, device=scene.run.device)
    model.space.check(codes)
    px = model.decode(codes, scene.conditions.read(query, len(z)))
    return Answer(_shown(scene, px, query.options.get("sd") is True))


def _shown(scene: Scene, px: Distribution, spread: bool) -> dict[str, NDArray[Any]]:
    """Returns `mean` (m, *S), and where it is wanted and known `sd`; K samples are in one axis."""
    event = scene.run.model.likelihood.event
    point = px.point
    arrays = {"mean": scene.items.user(point.reshape(-1, *event))}
    if spread:
        try:
            variance = px.variance.expand_as(point)
        except DiaboloError:  # a density without a variance in closed form
            return arrays
        arrays["sd"] = scene.items.spread(variance.reshape(-1, *event))
    return arrays


def row(scene: Scene, query: Query) -> Answer:
    """The row `index` of the scene: its code, what it is decoded to, and all its measures."""
    index = query.integer("index", None, 0, len(scene) - 1)
    data = scene.rows.data.take(torch.tensor([index]))
    found = _looked(scene, data)
    facts = {**found.facts, "index": index, "label": scene.rows.label(index)}
    return Answer(found.arrays, facts)


def encode(scene: Scene, query: Query) -> Answer:
    """One item `x` (1, *S): its code, what that is decoded to, and how likely it is."""
    return _looked(scene, _given(scene, query))


def _given(scene: Scene, query: Query, mask: NDArray[Any] | None = None) -> Data:
    """Returns the item of a question with its condition.

    Raises:
        DiaboloError: If there is not one, or it is no datum of this run.
    """
    x = query.array("x", ("f4", "u1"), holes=True)
    if x.ndim < 1 or len(x) != 1:
        raise DiaboloError(f"'{query.ask}' takes one item, but got {len(x) if x.ndim else 0}.")
    c = scene.conditions.read(query, 1)
    return replace(scene.items.read(x, mask), c=None if c is None else c.cpu())


def _looked(scene: Scene, data: Data) -> Answer:
    """Returns what a model makes of one datum, and its measures in nats."""
    run, model = scene.run, scene.run.model
    batch = data.to(run.device).batch(torch.zeros(1, dtype=torch.long, device=run.device))
    c = model.given(batch.c)
    inferred, read = model.infer(batch.x, c, mask=batch.mask, noise=MEAN)
    px = model.likelihood(inferred.code, read).given(batch.x, batch.mask)
    arrays = {"code": torch.cat([d.z[0].flatten(1) for d in inferred.draws], dim=1).cpu().numpy()}
    told = Rows(run, data, WEIGHED)
    if told.variance is not None:
        arrays["variance"] = told.variance
    arrays |= _shown(scene, px, True)
    facts: dict[str, Any] = {}
    for name in MEASURES:
        found = told.estimate(name)
        if found is not None:
            facts |= {name: found.value, f"{name}_stderr": found.mc_stderr}
    return Answer(arrays, {**facts, **_below(scene, facts)})


def _below(scene: Scene, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns which part of the scene's rows is less likely, by the best measure that is there."""
    for name, sign in (("log_likelihood", 1), ("bound", 1), ("distortion", -1)):
        known = scene.array(f"colour.{name}")
        if known is not None and name in facts:
            less = float((sign * known < sign * facts[name]).mean())
            return {"below": less, "below_of": name}
    return {}


def impute(scene: Scene, query: Query) -> Answer:
    """One item `x` with its `mask`: the `best` guess of what was not seen, and `draws` of it."""
    draws = query.integer("draws", 8, 0, min(DRAWS, scene.limits.batch))
    seed = query.integer("seed", 0, 0, SEEDS)
    data = _given(scene, query, query.array("mask", ("u1",)))
    method = method_for(scene.run)
    found = complete(scene.run.model, data, method=method, draws=draws, seed=seed)
    if not len(found.rows):
        raise DiaboloError("Nothing is hidden: mark some of it with 0 in the mask.")
    notes = []
    if found.ess is not None and float(found.ess[0]) < FEW:
        told = f"Fewer than {FEW} of the weighed draws count: what is seen surprises the model."
        notes.append(told)
    arrays = {"best": scene.items.user(found.best)}
    if draws:
        arrays["draws"] = scene.items.user(found.draws[:, 0])
    return Answer(arrays, {"method": method, "notes": notes})


def sample(scene: Scene, query: Query) -> Answer:
    """`n` samples: the `mean` of p(x|z), z ~ p(z), and `z`, the code of a draw from that.

    A hierarchy has no code but that of a datum, and so all models are read alike: z is where the
    encoder sees the sample.
    """
    model, device = scene.run.model, scene.run.device
    n = query.integer("n", 16, 1, scene.limits.batch)
    seed = query.integer("seed", 0, 0, SEEDS)
    c = scene.conditions.read(query, n)
    noise = KeyedNoise(seed, torch.arange(n, device=device), lead=1)
    with seeded(device, seed):
        px = model.sample(n, c, noise=noise)
        drawn = px.sample((), noise)
    z = model.encode(drawn, model.given(c))[0]
    return Answer({"z": z.cpu().numpy(), **_shown(scene, px, False)})


def parse(scene: Scene, query: Query) -> Answer:
    """A table of text, the bytes `text` of a CSV file: its first rows as `x` (m, columns)."""
    text = query.array("text", ("u1",)).tobytes()
    x, n = scene.items.table(text, scene.limits.rows)
    return Answer({"x": x}, {"rows": n})


ASKS: dict[str, Callable[[Scene, Query], Answer]] = {
    f.__name__: f for f in (decode, row, encode, impute, sample, parse)
}
