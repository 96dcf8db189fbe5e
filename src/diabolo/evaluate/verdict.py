"""What follows from the numbers of a diagnosis, in words, each with its remedy.

Shapes: D latent elements of all groups.

References:
    | Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse (Lucas et al., 2019)
    | https://arxiv.org/abs/1911.02469
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .aggregate import AggregatePosterior
from .bounds import Bound
from .estimate import Estimate

__all__ = ["RATE", "Finding", "verdict"]

RATE = 0.01  # nats: what costs less tells nothing
HOLE = 1.0  # nats between the aggregate posterior and the prior that samples show

GENTLE = (
    "let the price of the rate rise slowly (recipe='beta_vae' with beta=1 and warmup=0.5), give "
    "each element some rate for free (free_bits=0.1), or take a smaller decoder"
)
WAKE = (
    f"To use it, {GENTLE}; of real data, a likelihood with a narrower scale. It is no fault only "
    "where the data vary less in every direction than beta times the variance of the likelihood."
)


class Finding(NamedTuple):
    """One thing that is found.

    Attributes:
        name: `ignored`, `group`, `unused`, `used`, `holes`, `filled` or `ceiling`.
        fault: Whether it calls for a remedy.
        sentence: What it is.
        remedy: What to do, empty where nothing is to be done.
    """

    name: str
    fault: bool
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}".strip()


def verdict(
    parts: Bound | None,
    rate: Tensor,
    rise: Estimate,
    aggregate: AggregatePosterior | None,
) -> tuple[Finding, ...]:
    """Returns what is found, the gravest first.

    Arguments:
        parts: The bound of the model, or None for a deterministic one.
        rate: The rate of each element, (D,); NaN where it is not known.
        rise: What codes of other data cost.
        aggregate: The aggregate posterior, or None where it is not told.
    """
    found = [*_collapse(parts, rate, rise)]
    if aggregate is not None:
        found += _prior(aggregate)
    return tuple(sorted(found, key=lambda f: not f.fault))


def _collapse(parts: Bound | None, rate: Tensor, rise: Estimate) -> list[Finding]:
    total = None if parts is None else parts.total_rate.value
    error = 2 * (rise.data_stderr or 0.0)
    deaf = rise.value + error < RATE
    # The code tells x no more than its rate: I(x; z) <= rate.
    if deaf or (total is not None and total < RATE):
        if total is None:
            return [
                Finding(
                    "ignored",
                    True,
                    "The decoder ignores the code: that of another datum costs it "
                    f"{rise.value:.3f} nats.",
                    "Train longer, or with another learning_rate, and compare with a larger net.",
                )
            ]
        return [
            Finding(
                "ignored",
                True,
                f"The whole latent is ignored (posterior collapse): its rate is {total:.3f} nats, "
                f"and the code of another datum costs the decoder {rise.value:.3f} nats.",
                WAKE,
            )
        ]
    found = []
    if parts is not None and len(parts.rate) > 1:
        for g, r in enumerate(parts.rate, 1):
            if abs(r.value) < RATE:
                found.append(
                    Finding(
                        "group",
                        True,
                        f"Group {g} of {len(parts.rate)} has collapsed: its rate is "
                        f"{r.value:.3f} nats.",
                        "Let the price of the rate rise more slowly (warmup=0.5), or fit a model "
                        "with fewer groups.",
                    )
                )
    known = rate[~rate.isnan()]
    idle = int((known <= RATE).sum())
    told = "The code" if total is None else f"The code costs {total:.2f} nats, and that"
    told = f"{told} of another datum costs the decoder {rise.value:.2f} nats."
    are = "is" if idle == 1 else "are"
    if idle == len(rate) and not found:
        found.append(
            Finding(
                "unused",
                True,
                "All latent elements are all but unused (posterior collapse): none has a rate of "
                f"{RATE:g} nats. {told}",
                WAKE,
            )
        )
    elif idle and not found:
        rest = " The others are used." if idle < len(known) else ""
        if len(known) < len(rate):
            rest = f" Of {len(rate) - len(known)} the rate is not known one by one."
        found.append(
            Finding(
                "unused",
                False,
                f"{idle} of {len(rate)} latent elements {are} unused (rate below {RATE:g} nats), "
                "which is no fault: the optimum leaves out what explains less variance than beta "
                "times the variance of the likelihood (in a linear model, eigenvalues below "
                f"beta sigma^2).{rest} {told}",
                f"A smaller latent would do as well; to use more, lower beta, or {GENTLE}.",
            )
        )
    elif not found:
        seen = "There is no posterior collapse."
        if rise.value - error < RATE:
            seen = "Whether the decoder uses the code, these data do not show."
        found.append(Finding("used", False, f"{seen} {told}"))
    return found


def _prior(a: AggregatePosterior) -> list[Finding]:
    found = []
    gain = None if a.gain is None else a.gain.value - 2 * (a.gain.data_stderr or 0.0)
    least = max(gain or 0.0, 0.0 if a.at_most else a.divergence)
    if least > HOLE:
        named = "at least" if a.at_most else "about"
        found.append(
            Finding(
                "holes",
                True,
                f"The prior has holes: KL(q(z) || p(z)) is {named} {least:.2f} nats, so that many "
                "samples come from codes that no datum has, and look worse than reconstructions.",
                "Fit a prior to the codes, run.refit(prior='mixture'), or learn one in training "
                "(prior='vamp' or prior='flow').",
            )
        )
    elif a.divergence <= HOLE:
        named = "at most " if a.at_most else ""
        found.append(
            Finding(
                "filled",
                False,
                f"Samples come from where codes are: KL(q(z) || p(z)) is {named}"
                f"{round(a.divergence, 2) + 0.0:.2f} nats.",
            )
        )
    if a.saturated:
        between = f"between {least:.2f} and {a.divergence:.2f} nats"
        found.append(
            Finding(
                "ceiling",
                False,
                f"{a.information.n} data can show no more information than log N = "
                f"{a.ceiling:.2f} nats: it is at least {a.information.value:.2f} nats, and "
                f"KL(q(z) || p(z)) lies {between}.",
                "More data would tell more.",
            )
        )
    return found
