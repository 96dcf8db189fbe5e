"""Laws over every posterior of the registry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diabolo.distributions import REALS, SPHERE, Distribution, kl_divergence, space_of
from diabolo.errors import DiaboloError
from diabolo.noise import MEAN, KeyedNoise
from diabolo.posteriors import POSTERIORS
from diabolo.recipes import build
from diabolo.spec import Spec
from laws.densities import log_inside

D, C, B = 3, 2, 5
NET = "mlp(hidden=(8,))"
INPUTS = [(6,), (1, 3, 2)]
KINDS = [(name, c) for name in POSTERIORS.names() for c in (0, C)]
every_posterior = pytest.mark.parametrize(
    ("name", "condition"), KINDS, ids=[f"{n}-{'conditional' if c else 'plain'}" for n, c in KINDS]
)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)


def posterior(name: str, condition: int = 0, inputs: tuple[int, ...] = (6,)) -> nn.Module:
    """A posterior by name, with its parameters stirred."""
    q = POSTERIORS.build(name, inputs, D, condition, net=NET)
    with torch.no_grad():
        for t in q.parameters():
            t.add_(0.1 * torch.randn_like(t))
    return q


def given(condition: int, inputs: tuple[int, ...] = (6,)) -> tuple[Tensor, Tensor | None]:
    return torch.randn(B, *inputs), torch.randn(B, condition) if condition else None


@every_posterior
@pytest.mark.parametrize("inputs", INPUTS, ids=["vector", "image"])
def test_posterior_is_a_density_for_each_datum(
    name: str, condition: int, inputs: tuple[int, ...]
) -> None:
    q = posterior(name, condition, inputs)(*given(condition, inputs))
    assert isinstance(q, Distribution)
    assert q.space == space_of(posterior(name, condition, inputs))
    assert q.batch_shape == (B,)
    z, log_q = q.rsample_and_log_prob((4,), KeyedNoise(0, torch.arange(B)))
    assert z.shape == (4, B, D)
    assert log_q.shape == (4, B)
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=1e-9, atol=1e-9)
    assert torch.equal(z, q.rsample((4,), KeyedNoise(0, torch.arange(B))))
    assert z.dtype == torch.float64


@every_posterior
def test_posterior_follows_its_density(name: str, condition: int) -> None:
    """With z ~ q, the mean of r(z) / q(z) is 1 for any density r inside q's support."""
    n = 20_000
    x, c = given(condition)
    q = posterior(name, condition)(x[:1], None if c is None else c[:1])
    with torch.no_grad():
        z = q.sample((n,), KeyedNoise(0, torch.zeros(1, dtype=torch.long)))[:, 0]
        ratio = (log_inside(z, q.space) - q.log_prob(z[:, None])[:, 0]).exp()
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / n**0.5
    assert float(ratio.std()) / n**0.5 < 0.05  # so that the line above can fail


@every_posterior
def test_posterior_belongs_to_its_datum(name: str, condition: int) -> None:
    made = posterior(name, condition)
    x, c = given(condition)
    whole, log_q = made(x, c).rsample_and_log_prob((2,), KeyedNoise(0, torch.arange(B)))
    one = made(x[1:2], None if c is None else c[1:2])
    part, log_one = one.rsample_and_log_prob((2,), KeyedNoise(0, torch.arange(1, 2)))
    # Matrix products of other sizes differ in their last digits.
    torch.testing.assert_close(part, whole[:, 1:2], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_one, log_q[:, 1:2], rtol=1e-9, atol=1e-9)
    assert torch.equal(made(x, c).sample((1,), MEAN), made(x, c).sample((1,), MEAN))


@every_posterior
def test_posterior_learns_and_detaches(name: str, condition: int) -> None:
    made = posterior(name, condition)
    x, c = given(condition)
    q = made(x, c)
    z, log_q = q.rsample_and_log_prob((2,))
    (z.square().sum() + log_q.sum()).backward(retain_graph=True)
    for key, t in made.named_parameters():
        assert t.grad is not None, key
        assert float(t.grad.abs().max()) > 0, key
        t.grad = None
    still = z.detach().requires_grad_()
    frozen = q.detach().log_prob(still)
    frozen.sum().backward()
    assert float(still.grad.abs().max()) > 0  # the path through z, which sticking the landing keeps
    assert all(t.grad is None for t in made.parameters())
    torch.testing.assert_close(frozen, q.log_prob(still))


@every_posterior
def test_posterior_depends_on_all_it_is_given(name: str, condition: int) -> None:
    made = posterior(name, condition)
    x, c = given(condition)
    z = torch.randn(B, D)
    value = made(x, c).log_prob(z)
    assert bool((made(x + 1, c).log_prob(z) != value).all())
    if c is not None:
        assert bool((made(x, c + 1).log_prob(z) != value).all())


@every_posterior
def test_posterior_works_in_a_model(name: str, condition: int) -> None:
    x = torch.rand(20, 6)
    spec = Spec(event=(6,), support="unit", condition=condition, mean=x.mean(0), examples=x)
    c = torch.randn(20, condition) if condition else None
    prior = {REALS: "normal", SPHERE: "uniform_sphere"}[space_of(posterior(name))]
    recipe = build("vae", spec, latent=D, net=NET, posterior=name, prior=prior)
    trace = recipe.model(x, c, k=3)
    assert trace.log_weight.shape == (3, 20)
    rate = trace.draws[0].rate
    if kl_divergence(trace.draws[0].q, trace.draws[0].p) is None:
        assert torch.equal(rate, trace.draws[0].log_q - trace.draws[0].log_p)
    mean, variance = recipe.model.encode(x, c)
    again, _ = recipe.model.encode(x, c)
    assert mean.shape == variance.shape == (20, D)
    assert torch.equal(mean, again)
    assert bool(torch.isfinite(mean).all())


@every_posterior
def test_posterior_compiles_into_one_graph(name: str, condition: int) -> None:
    torch._dynamo.reset()
    made = posterior(name, condition)
    x, c = given(condition)

    def value(x: Tensor) -> Tensor:
        return made(x, c).rsample_and_log_prob((2,), MEAN)[1]

    compiled = torch.compile(value, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), value(x), rtol=1e-12, atol=1e-12)


@every_posterior
def test_posterior_is_at_least_single_under_autocast(name: str, condition: int) -> None:
    torch.set_default_dtype(torch.float32)
    made = posterior(name, condition)
    x, c = given(condition)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_q = made(x, c).rsample_and_log_prob((2,))
    assert z.dtype == log_q.dtype == torch.float32


def test_flow_bends_what_normal_cannot() -> None:
    """Couplings make the scale of one element depend on another."""
    q = posterior("flow(transforms=4, hidden=(16,), context=4)")
    with torch.no_grad():
        for step in q.couplings.steps:
            step.net[-1].weight.mul_(20)
    x, _ = given(0)
    z = q(x).sample((4000,))[:, 0]
    away = (z - z.mean(0)).square()
    dependence = torch.corrcoef(torch.cat([z, away], 1).T)[:D, D:]
    assert float(dependence.abs().max()) > 0.1  # 6 standard errors


def test_flow_takes_its_options() -> None:
    q = posterior("flow(transforms=3, context=7, hidden=(5,))")
    assert len(q.couplings.steps) == 3
    assert q.net.head.out_features == 2 * D + 7
    with pytest.raises(DiaboloError, match="Did you mean 'transforms'"):
        posterior("flow(transform=3)")
    with pytest.raises(DiaboloError, match="at least 2 latent elements"):
        POSTERIORS.build("flow", (6,), 1, 0, net=NET)
