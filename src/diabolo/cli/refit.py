"""The verb `refit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..errors import whole
from ._finish import draw, measure, shown
from ._options import Force, Json, Several, parse_set
from ._output import writable
from ._runs import open_run
from ._tables import SPLITS, print_evaluation
from ._talk import Training, note, print_json, say

__all__ = ["refit"]


def refit(
    run: Path,
    data: str | None = None,
    /,
    *,
    prior: str,
    out: Path | None = None,
    set: Annotated[tuple[str, ...], Several] = (),
    k: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Gives a run another prior, fitted to its codes: autoencoders can be sampled then.

    The encoder and the decoder stay as they are. The new run is measured and drawn like any other.

    Args:
        run: The folder of the run.
        data: The file of its training data; the run's own, read again, if left out.
        prior: gaussian, "mixture(components=10)", flow or conditional, with options as in
            `diabolo list priors`; or a recipe that is trained on the codes: "vae(latent=8)".
        out: The folder of the new run; a new one beside RUN if left out.
        set: How a prior that is trained is trained: epochs=100 learning_rate=3e-4.
        k: Posterior samples of each datum for the final log-likelihood.
        force: Replace a run that is in --out already.
        json: Print one JSON object at the end.
    """
    from ..evaluate.likelihood import method_for
    from ..registry import parse_call
    from ..run.folder import free

    if k is not None:
        whole("--k", k, least=1)
    options = parse_set(set)
    opened = open_run(run)
    method_for(opened.model, None, k)
    name, _ = parse_call(prior)
    place = out or free(run.resolve().with_name(f"{run.resolve().name}-{name}"))
    writable(place.parent)
    with Training(f"fitting {prior} to codes") as progress:
        new = opened.refit(data, prior=prior, out=place, force=force, progress=progress, **options)
    for sentence in new.notes[-1:]:
        note(sentence)
    found = measure(new, k)
    figures = draw(new)
    facts = new.metrics["refit"]
    if json:
        print_json(
            {
                "run": str(new.folder),
                "recipe": new.config.name,
                "split": new.metrics["evaluation"]["split"],
                "refit": facts,
                **found.to_json(),
                "figures": {name: str(path) for name, path in figures.items()},
            }
        )
        return
    print_evaluation(new, found, SPLITS[new.metrics["evaluation"]["split"]])
    held = facts["held_out"]
    kind = "a lower bound on log p(z)" if held["bound"] else "log p(z)"
    say(
        f"Of {held['n']} held-out codes {kind} is {held['log_pz']:.3f} nats, where the standard "
        f"normal density has {held['standard_normal']:.3f}."
    )
    say(f"The run is in {shown(new.folder)}/")
    for name, path in figures.items():
        say(f"  {name:<16} {shown(path)}")
