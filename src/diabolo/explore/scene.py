"""What a page shows of a run and its data: a description in JSON, and arrays beside it.

What is cheap is there at once; slow measures and maps are made by a thread of one core, which
waits while a page asks something, but for what cannot wait (t-SNE).

Shapes: n rows, D latent elements.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import evaluate
from ..distributions import REALS, SPHERE
from ..errors import DiaboloError
from ..evaluate.passes import some
from ..evaluate.verdict import verdict
from ..panels._rows import MOST, Rows, rows
from ..panels._run import code_of, likelihood_of, one_datum, source_of
from ..run.latents import Latents
from .conditions import Conditions
from .items import Items
from .parts import Part, State, colours, maps
from .wire import plain

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["Limits", "Scene"]

Told = Callable[[str, str, State], None]

WEIGHED = 50  # samples a row of the log-likelihood
PAIRED = 500  # rows from which the verdict on the latent is drawn
BYTES = 64 << 20  # of all items, and of all codes, at most
IDLE = 0.5  # seconds without a question after which slow work goes on
ELEMENTS = 512  # latent elements that are shown
THREAD = "diabolo-later"  # the name of that of slow work


@dataclass(frozen=True)
class Limits:
    """What a page may send at once.

    Arguments:
        upload_bytes: Of one frame.
        pixels: Of one picture that it scales itself.
        batch: Rows of one question.
        rows: Rows of a table that are read.
    """

    upload_bytes: int
    pixels: int
    batch: int
    rows: int = 1000

    @classmethod
    def of(cls, run: Run) -> Limits:
        """Returns the limits for a run: a few megabytes, and one item at least."""
        size = prod(run.schema.shape)
        batch = max(1, min(512, (1 << 21) // max(size, run.latent)))
        upload = (4 << 20) + 8 * max(size, run.latent)
        return cls(upload, 1 << 24, batch)


class Scene:
    """A run and some rows, as a page shows them.

    Arguments:
        run: A fitted run.
        data: Rows, as `Run.encode` takes them; None takes the run's held-out data.
        n: How many at most; fewer where items are large.
        title: What to call it.
        labels: Labels of the data, where the model is conditional on labels.
        condition: Their conditions, where these are not labels.

    Raises:
        DiaboloError: If the data are out of reach, or not like those that were fitted.
    """

    def __init__(
        self,
        run: Run,
        data: Any = None,
        n: int = MOST,
        *,
        title: str | None = None,
        labels: Any = None,
        condition: Any = None,
    ) -> None:
        size = max(4 * run.latent, prod(run.spec.event))
        most = max(1, min(n, BYTES // size))
        self.run, self.limits = run, Limits.of(run)
        found = rows(run, data, most, labels=labels, condition=condition)
        self.rows: Rows = replace(
            found,
            likelihood=WEIGHED,
            progress=self._wait,
            compile="off",  # to trace takes Python, which answers take too
        )
        self.title = title or f"{run.config.name} of {source_of(run)}"
        self.items = Items(run, self.rows.data)
        self.conditions = Conditions(run, self.rows.data)
        self.codes = self.rows.codes
        self.latents = self._latents()
        self.asked = -np.inf
        self.maps = maps(self.rows)
        self.colours = colours(self.rows, self.items)
        self.verdict = self._verdict()

    def __len__(self) -> int:
        return len(self.rows)

    def _wait(self, _: float) -> None:
        """Waits while a page asks, if this is the thread of slow work."""
        while threading.current_thread().name == THREAD and self.waiting:
            time.sleep(IDLE / 10)

    @property
    def waiting(self) -> bool:
        """Whether a page has asked something a moment ago."""
        return time.monotonic() - self.asked < IDLE

    def _latents(self) -> Latents:
        """Returns the run's statistics of its latents; those that are no numbers are made anew."""
        with contextlib.suppress(DiaboloError, ValueError, TypeError, KeyError):
            found = self.run.latents
            if all(f.shape == (self.run.latent,) for f in found) and _finite(found.mean):
                return found
        return Latents.of(self.run.model, self.rows.data)

    def _ranges(self) -> list[dict[str, Any]]:
        """Returns how far each latent element goes, the most used first."""
        model, found = self.run.model, self.latents
        out: list[dict[str, Any]] = []
        for i in found.order[:ELEMENTS]:
            levels = model.levels[i]
            mean, reach = float(found.mean[i]), 3 * float(found.scale[i])
            entry: dict[str, Any] = {"index": i, "name": f"z{i}", "rate": float(found.rate[i])}
            entry |= {"start": mean, "kind": "real", "levels": levels or None, "names": None}
            if levels:
                entry |= {"kind": "levels", "low": 0, "high": levels - 1, "start": round(mean)}
                if model.classifies:
                    entry |= {"name": self.run.schema.label, "names": list(self.run.schema.classes)}
            elif model.space == SPHERE:
                entry |= {"kind": "direction", "low": -1.0, "high": 1.0}
            else:
                reach = reach if np.isfinite(reach) and reach > 1e-6 else 1.0
                entry |= {"low": mean - reach, "high": mean + reach}
            out.append(entry)
        return out

    def _verdict(self) -> list[str]:
        """Returns how the latent is used, in sentences."""
        model, few = self.run.model, some(self.rows.data, PAIRED, 0)
        if len(few) < 2:
            return []
        told = Rows(self.run, few)
        rate = torch.from_numpy(told.per_latent_rate)
        rise = evaluate.exchange(model, few)
        aggregate = None
        with contextlib.suppress(DiaboloError):  # a model without one
            aggregate = evaluate.aggregate_posterior(model, few)
        return [str(f) for f in verdict(told.parts, rate, rise, aggregate)]

    def part(self, key: str) -> Part | None:
        """Returns the colour or map of an array's key: `map.pca`, `colour.rate`, `error.rate`."""
        kind, _, name = key.partition(".")
        known = {"map": self.maps, "colour": self.colours, "error": self.colours}.get(kind, [])
        return next((p for p in known if p.name == name), None)

    def array(self, key: str) -> NDArray[Any] | None:
        """Returns an array of the scene, little-endian; None if there is none, or not yet."""
        if key == "codes":
            return np.ascontiguousarray(self.codes, dtype="<f4")
        if key == "items":
            kind = "u1" if self.items.kind == "image" else "<f4"
            return np.ascontiguousarray(self.items.array(), dtype=kind)
        if key == "condition":
            given = self.conditions.rows
            kind = "<i4" if self.conditions.kind == "label" else "<f4"
            return None if given is None else np.ascontiguousarray(given, dtype=kind)
        part = self.part(key)
        if part is None:
            return None
        found = part.error if key.startswith("error.") else part.array
        return None if found is None else found.astype("<f4", copy=False)

    def arrays(self) -> dict[str, dict[str, Any]]:
        """Returns type and shape of each array that there is or will be."""
        n, image = len(self), self.items.kind == "image"
        out: dict[str, dict[str, Any]] = {"codes": {"dtype": "f4", "shape": [n, self.run.latent]}}
        channels, *size = self.run.spec.event if image else (1,)
        shape = [n, *size, channels] if image else [n, self.items.size]
        out["items"] = {"dtype": "u1" if image else "f4", "shape": shape}
        given = self.conditions.rows
        if given is not None:
            kind = "i4" if self.conditions.kind == "label" else "f4"
            out["condition"] = {"dtype": kind, "shape": list(given.shape)}
        for kind, parts in (("map", self.maps), ("colour", self.colours)):
            for part in parts:
                if part.state != "failed":
                    more = [2] if kind == "map" else []
                    out[f"{kind}.{part.name}"] = {"dtype": "f4", "shape": [n, *more]}
                if part.state != "failed" and part.errors is not None:
                    out[f"error.{part.name}"] = {"dtype": "f4", "shape": [n]}
        return out

    def can(self, live: bool) -> dict[str, Any]:
        """Returns what can be asked: true, or a sentence that says why not."""
        model = self.run.model
        point = "The codes of a deterministic autoencoder have no density"
        server = "A page without a server decodes and encodes only: run `diabolo explore`."
        found: dict[str, Any] = dict.fromkeys(("decode", "encode"), True)
        found["sample"] = found["score"] = found["impute"] = found["uncertainty"] = True
        if not model.generates:
            found["sample"] = (
                f"{point}, and so nothing to sample from: fit them a prior with `diabolo refit`."
            )
        if model.deterministic:
            found["score"] = f"{point}, and so rows have no likelihood, only a distortion."
            found["impute"] = f"{point}, and so it does not say what holes may hold."
        if not live:
            asked = ("sample", "score", "impute", "uncertainty")
            found |= {name: server for name in asked if found[name] is True}
        return found

    def document(self, *, live: bool, decoder: Any = None, encoder: Any = None) -> dict[str, Any]:
        """Returns the scene as JSON's own types, without the arrays.

        Arguments:
            live: Whether a server answers.
            decoder: What is told of the decoder's file, or None.
            encoder: Likewise.
        """
        space = self.run.model.space

        def told(parts: list[Part]) -> list[dict[str, Any]]:
            return [{"name": p.name, **p.facts, "state": p.state} for p in parts]

        return plain(
            {
                "version": 1,
                "title": self.title,
                "facts": self._facts(),
                "verdict": self.verdict,
                "live": live,
                "item": self.items.describe(),
                "n": len(self),
                "code": self.run.latent,
                "space": "real" if space == REALS else "sphere" if space == SPHERE else "other",
                "latents": self._ranges(),
                "order": self.latents.by,
                "condition": self.conditions.describe(),
                "colours": told(self.colours),
                "maps": told(self.maps),
                "can": self.can(live),
                "decoder": decoder,
                "encoder": encoder,
                "arrays": self.arrays(),
                "limits": vars(self.limits),
            }
        )

    def _facts(self) -> list[tuple[str, str]]:
        run, model = self.run, self.run.model
        weights = sum(p.numel() for p in model.parameters())
        facts = [
            ("Recipe", run.config.name),
            ("Data", source_of(run)),
            ("One datum", one_datum(run)),
            ("Shown", f"{len(self)} rows"),
            ("Latent", code_of(run)),
            ("Likelihood", likelihood_of(run)),
            ("Weights", f"{weights:,}"),
        ]
        order = self.latents.by
        some = f"the {ELEMENTS} elements of greatest {order}"
        some = some if run.latent > ELEMENTS else f"by {order}"
        facts.append(("Sliders", f"{some}, as measured on the validation data"))
        rate = self.array("colour.rate")
        if rate is not None:
            mean = rate.mean(dtype=np.float64)
            facts.append(("Rate", f"{mean:.2f} nats, the mean of the rows shown"))
        return facts

    def work(self, told: Told = lambda *_: None) -> None:
        """Makes all that comes later, one after the other.

        Arguments:
            told: Called with `map` or `colour`, the name and the state of each.
        """
        slow = [("colour", p) for p in self.colours] + [("map", p) for p in self.maps]
        for kind, part in slow:
            if part.state == "later":
                self._wait(0.0)
                told(kind, part.name, part.fill())

    def begin(self, told: Told) -> threading.Thread:
        """Begins with `work` in a thread that gives way to questions, and returns it."""

        def behind() -> None:
            from threadpoolctl import threadpool_limits

            # One core: no lower priority, since it may hold Python's lock when it is not let on.
            with threadpool_limits(1, user_api="openmp"):
                self.work(told)

        thread = threading.Thread(target=behind, name=THREAD, daemon=True)
        thread.start()
        return thread


def _finite(values: NDArray[Any]) -> bool:
    return bool(np.isfinite(values).all())
