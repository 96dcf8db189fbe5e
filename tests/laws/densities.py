"""What holds of every family of densities, checked against quadrature, enumeration and itself.

A law takes a `Case` and works in float64 with parameters drawn at random, so that a new family is
covered by being in the folder.

Shapes: K, B leading axes of the densities; E event shape; N nodes of a quadrature.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch
from scipy.stats import vonmises_fisher
from torch import Tensor

from diabolo.distributions import (
    SPHERE,
    Distribution,
    Family,
    Space,
    StandardizedFamily,
    families,
    family,
    kl_elements,
)
from diabolo.distributions.scales import Scale
from diabolo.errors import DiaboloError
from diabolo.noise import MEAN, KeyedNoise, Noise

K, B, EVENT = 2, 3, (4,)
LEVELS = 5
STEP = torch.tensor([0.0, 0.5, 0.0, 2.0])  # between values of the data; some are continuous
TOTALS = torch.tensor([1.0, 4.0, 0.0, 2.0])  # a datum, for densities that take something of it
# Values of options that no type tells.
WORTH = {"columns": "('Normal(scale=shared)', 'LogNormal(scale=0.3)', 'Poisson', 'Bernoulli')"}
# Double exponential quadrature is exact to 1e-12 for a density with at most a cusp at its mean. A
# cusp elsewhere (of log q, in a divergence) costs up to step^2 = 4e-6 of a change of slope of 1.
QUADRATURE = 1e-6


@dataclass(frozen=True)
class Case:
    """A family with options, and the support of the data it describes."""

    name: str
    support: str
    make: Callable[[], Family]

    def __str__(self) -> str:
        return self.name

    def family(self, event: tuple[int, ...] = EVENT) -> Family:
        """The family in float64, in use rather than in training, its own parameters moved."""
        made = self.make()
        made.prepare(event, STEP.view(event), 1 + STEP.view(event))
        made = made.double().eval()
        with torch.no_grad():
            for i, p in enumerate(made.parameters()):
                p.add_(0.1 + 0.1 * i)
        return made

    def raw(
        self, made: Family, *lead: int, event: tuple[int, ...] = EVENT, seed: int = 0
    ) -> Tensor:
        """Raw numbers (*lead, width, *event)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (*lead, made.width(event), *event)
        return 0.7 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def density(self, *, seed: int = 0) -> Distribution:
        """A density of batch shape (K, B), by which a datum is scored."""
        made = self.family()
        return made.from_raw(self.raw(made, K, B, seed=seed), len(EVENT)).given(TOTALS.double())


def accepts(cls: type[Family], option: str) -> bool:
    """Whether a family takes this option."""
    try:
        family(f"{cls.__name__.removesuffix('Family')}({option})", levels=LEVELS)
    except DiaboloError:
        return False
    return True


def options(cls: type[Family]) -> list[str]:
    """The options of a family in every combination of their words, numbers standing as 0.7 or 7."""
    choices: list[list[str]] = []
    for name, kind in get_type_hints(cls.__init__).items():
        kinds = get_args(kind)
        words = [w for k in (kind, *kinds) if get_origin(k) is Literal for w in get_args(k)]
        if words:
            numbers = ("0.7", "7.0") if float in kinds else ()
            number = [n for n in numbers if accepts(cls, f"{name}={n}")][:1]
            choices.append([f"{name}={w}" for w in [*words, *number]])
        elif name in WORTH:
            choices.append([f"{name}={WORTH[name]}"])
    return [", ".join(c) for c in itertools.product(*choices)]


def cases() -> list[Case]:
    """Every family of the folder with every option and support, and the standardised ones."""
    found = []
    for name, cls in families().items():
        own = ["real"] if "real" in cls.supports else sorted(cls.supports)
        for chosen, support in itertools.product(options(cls), own):
            call = f"{name}({chosen})" if chosen else name
            levels = LEVELS if support in ("byte", "category", "ordinal") else None

            def make(
                call: str = call, levels: int | None = levels, support: str = support
            ) -> Family:
                return family(call, levels=levels, support=support)

            label = call if len(own) == 1 else f"{call} {support}"
            found.append(Case(label, support, make))
            if support == "real":
                loc, scale = (
                    torch.tensor([0.0, 5.0, -2.0, 1.0]),
                    torch.tensor([1.0, 0.1, 30.0, 2.0]),
                )

                def wrap(make: Callable[[], Family] = make, loc=loc, scale=scale) -> Family:
                    return StandardizedFamily(make(), loc, scale)

                found.append(Case(f"Standardized {call}", support, wrap))
    return found


def nodes(case: Case, p: Distribution) -> tuple[Tensor, Tensor]:
    """Values of x (N, *) and weights (N, *) with which sums over N are integrals over x."""
    if case.support == "mixed":
        return mixed_nodes(case, p)
    if case.support == "binary":
        x = torch.tensor([0.0, 1.0])
    elif case.support == "byte":
        x = torch.arange(LEVELS) / (LEVELS - 1)
    elif case.support in ("category", "ordinal"):
        x = torch.arange(LEVELS)
    elif case.support == "count":
        x = torch.arange(2000)
    elif case.support == "unit":
        at, weight = np.polynomial.legendre.leggauss(200)
        x, weight = torch.from_numpy(at + 1) / 2, torch.from_numpy(weight) / 2
        return _along(x, p), _along(weight, p)
    else:
        s, step = torch.arange(-4, 4.5, 0.002, dtype=torch.float64), 0.002
        half = torch.exp(s - torch.exp(-s))  # from 1e-26 to 90 (Takahasi & Mori, 1974)
        slope = half * (1 + torch.exp(-s)) * step
        t, dt = torch.cat([-half.flip(0), half]), torch.cat([slope.flip(0), slope])
        t, dt = _along(t, p), _along(dt, p)
        if case.support == "positive":  # on a logarithmic axis
            x = p.mean * t.exp()
            return x, x * dt
        assert case.support == "real", f"say how to integrate over '{case.support}'"
        scale = p.variance.sqrt()
        return p.mean + scale * t, scale * dt
    x = _along(x.double(), p)
    return x, torch.ones_like(x)


def mixed_nodes(case: Case, p: Distribution) -> tuple[Tensor, Tensor]:
    """As `nodes`, each column over its own support; values of no weight fill up shorter ones."""
    kinds, columns = case.family().kinds, p.columns  # type: ignore[attr-defined]
    found = [
        nodes(Case(case.name, kind.partition(":")[0], case.make), column)
        for kind, column in zip(kinds, columns, strict=True)
    ]
    most = max(len(x) for x, _ in found)
    rows = [torch.arange(most).clamp(max=len(x) - 1) for x, _ in found]
    x = torch.cat([x[at] for (x, _), at in zip(found, rows, strict=True)], -1)
    own = [(torch.arange(most) < len(w)).view(-1, *[1] * (w.ndim - 1)) for _, w in found]
    weights = [w[at] * o for (_, w), at, o in zip(found, rows, own, strict=True)]
    return x, torch.cat(weights, -1)


def _along(t: Tensor, p: Distribution) -> Tensor:
    return t.view(-1, *[1] * p.mean.ndim).expand(-1, *p.mean.shape)


def mass_is_one(case: Case) -> None:
    """The probabilities of all x sum, or the density integrates, to one."""
    p = case.density()
    x, weight = nodes(case, p)
    mass = (p.log_prob_elements(x).exp() * weight).sum(0)
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=QUADRATURE)


def moments_are_integrals(case: Case) -> None:
    """The mean is the sum of x p(x), the variance that of (x - mean)^2 p(x)."""
    p = case.density()
    x, weight = nodes(case, p)
    mass = p.log_prob_elements(x).exp() * weight
    mean = (x * mass).sum(0)
    scale = p.variance.sqrt()
    assert bool(((mean - p.mean).abs() < 10 * QUADRATURE * (scale + mean.abs())).all())
    variance = ((x - mean).square() * mass).sum(0)
    torch.testing.assert_close(variance, p.variance, rtol=50 * QUADRATURE, atol=1e-12)


def samples_follow(case: Case) -> None:
    """20,000 samples have the mean and the variance that the density says, within 5 errors."""
    p, n = case.density(), 20_000
    x = p.sample((n,), KeyedNoise(3, torch.arange(n), lead=1))
    assert x.shape == (n, K, B, *EVENT)
    assert bool(torch.isfinite(p.log_prob(x)).all())  # every sample lies in the support
    away = (x - p.mean).square()
    error = 5 * (p.variance / n).sqrt() + 1e-12
    assert bool(((x.mean(0) - p.mean).abs() < error).all())
    if case.support != "positive":  # the fourth moment of a log-normal density is out of reach
        at, weight = nodes(case, p)
        mass = p.log_prob_elements(at).exp() * weight
        fourth = ((at - p.mean) ** 4 * mass).sum(0)
        error = 5 * ((fourth - p.variance.square()).clamp(min=0) / n).sqrt() + 1e-12
        assert bool(((away.mean(0) - p.variance).abs() < error).all())


def gradients_are_right(case: Case) -> None:
    """The gradient of log p(x) to the raw numbers is that of finite differences."""
    made = case.family()
    raw = case.raw(made, B).requires_grad_()
    x = made.from_raw(raw, len(EVENT)).sample((), KeyedNoise(1, torch.arange(B), lead=1))
    assert torch.autograd.gradcheck(lambda r: made.from_raw(r, len(EVENT)).log_prob(x), raw)


def paths_are_right(case: Case) -> bool:
    """The gradient of a sample at fixed noise is that of finite differences, where it has one."""
    made = case.family()
    raw = case.raw(made, B).requires_grad_()
    try:
        made.from_raw(raw, len(EVENT)).rsample()
    except DiaboloError:
        return False
    noise = lambda: KeyedNoise(1, torch.arange(B), lead=1)  # noqa: E731
    return torch.autograd.gradcheck(
        lambda r: made.from_raw(r, len(EVENT)).rsample((), noise()), raw
    )


def full_mask_changes_nothing(case: Case) -> None:
    """A mask of ones is no mask, in value and gradient."""
    made = case.family()
    raw = case.raw(made, K, B).requires_grad_()
    p = made.from_raw(raw, len(EVENT))
    x = p.sample()[0]
    plain, masked = p.log_prob(x), p.log_prob(x, torch.ones_like(x, dtype=torch.bool))
    assert torch.equal(plain, masked)
    left, right = (torch.autograd.grad(v.sum(), raw, retain_graph=True)[0] for v in (plain, masked))
    torch.testing.assert_close(left, right, rtol=1e-14, atol=0)


def unseen_is_marginal(case: Case) -> None:
    """NaN at unseen entries gives the density of the seen ones, and its gradient."""
    made = case.family()
    raw = case.raw(made, K, B).requires_grad_()
    p = made.from_raw(raw, len(EVENT))
    x = p.sample()[0]
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(5)) < 0.5
    mask[0] = False  # a datum of which nothing was seen
    expected = torch.where(mask, p.given(x, mask).log_prob_elements(x), 0.0).sum(-1)
    found = p.log_prob(torch.where(mask, x, torch.nan), mask)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    assert bool((found[:, 0] == 0).all())
    wrt = [raw, *made.parameters()]
    left, right = (torch.autograd.grad(v.sum(), wrt, retain_graph=True) for v in (found, expected))
    for a, b in zip(left, right, strict=True):
        assert bool(torch.isfinite(a).all())
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


def type_is_kept(case: Case) -> None:
    """float32 in, float32 out, and the values are those of float64."""
    made = case.family()
    raw = case.raw(made, K, B)
    fine = made.from_raw(raw, len(EVENT))
    x = fine.sample()
    values = fine.log_prob(x)
    coarse = made.float().from_raw(raw.float(), len(EVENT))
    for tensor in (coarse.log_prob(x.float()), coarse.sample(), coarse.mean, coarse.variance):
        assert tensor.dtype == torch.float32
    for tensor in (values, fine.sample(), fine.mean, fine.variance):
        assert tensor.dtype == torch.float64
    # Sums of 4 elements of some nats each, with x itself rounded to float32: 1e-7 times the slope.
    torch.testing.assert_close(coarse.log_prob(x.float()).double(), values, rtol=1e-4, atol=1e-4)


def axes_are_obeyed(case: Case) -> None:
    """Element e of datum (k, b) depends on raw[k, b, :, e] alone, whatever the event's shape."""
    made = case.family()
    raw = case.raw(made, K, B)
    p = made.from_raw(raw, 1)
    x = p.sample()
    assert p.batch_shape == (K, B)
    assert p.mean.shape == p.variance.shape == x.shape == (K, B, *EVENT)
    whole = p.log_prob_elements(x)
    single = made.from_raw(raw[1, 2], 1)
    assert single.batch_shape == ()
    torch.testing.assert_close(single.log_prob_elements(x[1, 2]), whole[1, 2], rtol=1e-14, atol=0)
    if isinstance(made, StandardizedFamily) or made.flat:
        return  # its constants have the event's shape, or it is for tables only
    square = case.family((2, 2)).from_raw(raw.unflatten(-1, (2, 2)), 2)
    torch.testing.assert_close(
        square.log_prob_elements(x.unflatten(-1, (2, 2))).flatten(-2), whole, rtol=1e-14, atol=0
    )
    assert square.log_prob(x.unflatten(-1, (2, 2))).shape == (K, B)


def x_broadcasts(case: Case) -> None:
    """One x (B, *E) is scored by all K densities; samples have their shape in front."""
    p = case.density()
    x = p.sample((6,))
    assert x.shape == (6, K, B, *EVENT)
    assert p.log_prob(x).shape == (6, K, B)
    one = x[0, 0]
    found = p.log_prob(one)
    assert found.shape == (K, B)
    torch.testing.assert_close(found, p.log_prob(one.expand(K, B, *EVENT)), rtol=1e-14, atol=0)


def fields_are_in_order(case: Case) -> None:
    """Raw row 0, of levels the last, moves an element's mean up; a scale, the last row, widens.

    One scale of several, which mixtures have, may not.
    """
    made = case.family()
    raw = case.raw(made, B)
    width = raw.shape[-2]
    p = made.from_raw(raw, 1)
    for e in range(*EVENT):
        up = raw.clone()
        up[:, width - 1 if width == LEVELS else 0, e] += 0.1
        assert bool((made.from_raw(up, 1).mean > p.mean)[:, e].all())
    if width <= 3 and any(m.width for m in made.modules() if isinstance(m, Scale)):
        wide = raw.clone()
        wide[:, -1] += 0.1
        assert bool((made.from_raw(wide, 1).variance > p.variance).all())


def start_has_the_mean(case: Case) -> None:
    """`start(mean)` are raw numbers of a density with this mean; None says there are none."""
    made = case.family()
    mean = torch.tensor([0.1, 0.3, 0.5, 0.8], dtype=torch.float64)
    if case.support in ("count", "positive"):
        mean = 20 * mean
    elif case.support in ("category", "ordinal"):
        mean = (LEVELS - 1) * mean
    made.prepare(EVENT, STEP.double(), mean)
    raw = made.start(mean)
    if raw is None:
        assert case.support == "category"  # codes without an order have no meaningful mean
        return
    assert raw.shape == (made.width(EVENT), *EVENT)
    torch.testing.assert_close(made.from_raw(raw, 1).mean, mean, rtol=1e-6, atol=1e-6)
    edge = made.start(torch.zeros(EVENT, dtype=torch.float64))
    assert edge is not None
    assert bool(torch.isfinite(edge).all())


def detaching_stops_gradients(case: Case) -> None:
    """A detached density has the same values and no way back to any parameter."""
    made = case.family()
    raw = case.raw(made, K, B).requires_grad_()
    p = made.from_raw(raw, 1)
    x = p.sample()
    assert p.log_prob(x).requires_grad
    assert not p.detach().log_prob(x).requires_grad
    assert torch.equal(p.detach().log_prob(x), p.log_prob(x))


def divergence_is_its_integral(case: Case) -> bool:
    """KL(p || q) is the integral of p (log p - log q); it is 0 for q = p. False without a form."""
    p, q = case.density(), case.density(seed=1)
    found = kl_elements(p, q)
    if found is None:
        return False
    x, weight = nodes(case, p)
    log_p = p.log_prob_elements(x)
    terms = torch.where(log_p > -300, log_p.exp() * (log_p - q.log_prob_elements(x)), 0.0)
    expected = (terms * weight).sum(0)
    torch.testing.assert_close(found, expected, rtol=50 * QUADRATURE, atol=10 * QUADRATURE)
    same = kl_elements(p, p)
    assert same is not None
    torch.testing.assert_close(same, torch.zeros_like(same), rtol=0, atol=1e-13)
    return True


def noise_belongs_to_rows(case: Case) -> None:
    """The sample of a row does not depend on the batch it is drawn in, nor on later draws."""
    p = case.density()
    index = torch.tensor([4, 0, 9])
    made = case.family()
    raw = case.raw(made, 5, B)
    many = made.from_raw(raw, 1).sample((), KeyedNoise(7, index))
    part = made.from_raw(raw[:2, 1:2], 1).sample((), KeyedNoise(7, index[1:2]))
    # The noise is the same; vectorised functions may differ in the last digit.
    torch.testing.assert_close(many[:2, 1:2], part, rtol=1e-13, atol=1e-13)
    later = made.from_raw(raw[2:], 1).sample((), KeyedNoise(7, index, start=2))
    torch.testing.assert_close(many[2:], later, rtol=1e-13, atol=1e-13)
    centre = p.sample((), MEAN)
    assert torch.equal(centre, p.sample((), MEAN))
    assert bool(torch.isfinite(p.log_prob(centre)).all())


def extremes_are_finite(case: Case) -> None:
    """Raw numbers of size 12 give finite values, gradients and means, in float32 too.

    Of positive numbers size 2: the exponential of e^12 is no float.
    """
    made = case.family().float()
    bound = 2.0 if case.support == "positive" else 12.0
    for size in (-bound, bound):
        raw = (size * torch.ones(B, made.width(EVENT), *EVENT)).requires_grad_()
        p = made.from_raw(raw, 1)
        for x in (made.from_raw(-raw, 1).sample(), p.sample()):
            value = p.log_prob(x)
            (slope,) = torch.autograd.grad(value.sum(), raw, retain_graph=True)
            for tensor in (value, slope, x):
                assert bool(torch.isfinite(tensor).all())
        assert bool(torch.isfinite(p.mean).all())


def selection_picks(case: Case) -> None:
    """`select` and `narrow` give the very densities that stand there along the last batch axis."""
    p = case.density()
    x = p.sample()
    index = torch.tensor([[2, 0], [1, 1]])  # (S, K)
    chosen = p.select(index)
    assert chosen.batch_shape == (2, K)
    rows = torch.arange(K)
    torch.testing.assert_close(
        chosen.log_prob(x[rows, index]), p.log_prob(x)[rows, index], rtol=1e-14, atol=0
    )
    cut = p.narrow(1, 3)
    assert cut.batch_shape == (K, 2)
    torch.testing.assert_close(cut.log_prob(x[:, 1:]), p.log_prob(x)[:, 1:], rtol=1e-14, atol=0)


def one_graph(case: Case) -> None:
    """The whole density compiles into one graph, with the same value."""
    made = case.family()
    raw = case.raw(made, K, B)
    x = made.from_raw(raw, 1).sample()[0]

    def value(raw: Tensor, x: Tensor) -> Tensor:
        return made.from_raw(raw, 1).log_prob(x)

    torch.compiler.reset()  # each family is a graph of its own, and dynamo keeps eight
    compiled = torch.compile(value, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(raw, x), value(raw, x), rtol=1e-12, atol=1e-12)


class Even(Noise):
    """Uniform numbers at the nodes of a quadrature, and normal ones as they come."""

    def __init__(self, u: Tensor) -> None:
        self.u = u

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the nodes along the first axis of `shape`."""
        return self.u.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)


def log_inside(z: Tensor, space: Space) -> Tensor:
    """The log of a density (N,) of one's own that lies within the one which z (N, D) was drawn of.

    With z ~ p its ratio to p has the mean 1, if p is normalised and its samples are its own.
    """
    if space == SPHERE:
        mean = z.mean(0)
        length = float(mean.norm())
        about = (mean / length).double().numpy()
        # Twice the concentration, by the estimate of Banerjee et al. (2005), eq. 4.4.
        close = 2 * length * (z.shape[-1] - length**2) / (1 - length**2)
        return torch.from_numpy(vonmises_fisher(about, close).logpdf(z.double().numpy()))
    low, middle, high = z.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=z.dtype), 0)
    return torch.distributions.Normal(middle, 0.3 * (high - low)).log_prob(z).sum(-1)


LAWS = [
    mass_is_one,
    moments_are_integrals,
    samples_follow,
    gradients_are_right,
    paths_are_right,
    full_mask_changes_nothing,
    unseen_is_marginal,
    type_is_kept,
    axes_are_obeyed,
    x_broadcasts,
    fields_are_in_order,
    start_has_the_mean,
    detaching_stops_gradients,
    divergence_is_its_integral,
    noise_belongs_to_rows,
    extremes_are_finite,
    selection_picks,
]
