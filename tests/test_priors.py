"""Laws over every prior of the registry, and what each of them promises."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diabolo.data import Data
from diabolo.distributions import REALS, Distribution, Mixture, draw, space_of
from diabolo.errors import DiaboloError
from diabolo.evaluate import aggregate_posterior
from diabolo.noise import MEAN, KeyedNoise
from diabolo.posteriors import POSTERIORS
from diabolo.priors import PRIORS
from diabolo.recipes import build
from diabolo.spec import Spec
from laws.densities import log_inside

D, C, N = 3, 2, 40
NET = "mlp(hidden=(8,))"


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)


def spec(condition: int = 0, event: tuple[int, ...] = (6,), support: str = "unit") -> Spec:
    x = torch.rand(N, *event)
    return Spec(
        event=event, support=support, condition=condition, count=N, mean=x.mean(0), examples=x
    )  # type: ignore[arg-type]


def stir(module: nn.Module) -> None:
    """Moves every parameter by a part of its size, as a few steps would."""
    with torch.no_grad():
        for t in module.parameters():
            t.add_(0.2 * t.square().mean().sqrt().clamp(min=0.2) * torch.randn_like(t))


def prior(name: str, condition: int = 0) -> nn.Module:
    """A prior by name, with its parameters stirred."""
    s = spec(condition)
    q = POSTERIORS.build("normal", s.event, D, condition, net=NET)
    p = PRIORS.build(name, D, condition, posterior=q, spec=s)
    stir(p)
    return p


def kinds() -> list[tuple[str, int]]:
    """Every prior with every number of conditions that it takes."""
    found = []
    for name in PRIORS.names():
        taken = 0
        for condition in (0, C):
            try:
                prior(name, condition)
            except DiaboloError:
                continue
            found.append((name, condition))
            taken += 1
        assert taken, f"{name} can be built neither with nor without a condition"
    return found


KINDS = kinds()
every_prior = pytest.mark.parametrize(
    ("name", "condition"), KINDS, ids=[f"{n}-{'conditional' if c else 'plain'}" for n, c in KINDS]
)


def condition_of(n: int, condition: int) -> Tensor | None:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, condition, generator=generator) if condition else None


@every_prior
def test_prior_is_a_density_of_vectors(name: str, condition: int) -> None:
    p = prior(name, condition)(condition_of(4, condition))
    assert isinstance(p, Distribution)
    assert p.space == space_of(prior(name, condition))
    assert p.batch_shape in ((), (4,))
    z = torch.randn(2, 4, D)
    assert p.log_prob(z).shape == (2, 4)
    assert p.log_prob(z).dtype == torch.float64
    z, log_p = p.sample((5, *([] if p.batch_shape else [4]))), None
    assert z.shape == (5, 4, D)
    assert not z.requires_grad
    if not isinstance(p, Mixture):
        z, log_p = p.rsample_and_log_prob((5, *([] if p.batch_shape else [4])))
        torch.testing.assert_close(log_p, p.log_prob(z), rtol=1e-9, atol=1e-9)


@every_prior
def test_prior_follows_its_density(name: str, condition: int) -> None:
    """With z ~ p, the mean of r(z) / p(z) is 1 for any density r inside p's support."""
    n = 20_000
    c = condition_of(1, condition)
    p = prior(name, condition)(None if c is None else c.expand(n, -1))
    with torch.no_grad():
        z = draw(p, n, KeyedNoise(0, torch.arange(n), lead=1))
        ratio = (log_inside(z, p.space) - p.log_prob(z)).exp()
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / n**0.5
    assert float(ratio.std()) / n**0.5 < 0.05  # so that the line above can fail


@every_prior
def test_prior_draws_belong_to_rows(name: str, condition: int) -> None:
    made = prior(name, condition)
    index = torch.tensor([3, 9, 0, 5])
    c = condition_of(4, condition)
    whole = draw(made(c), 4, KeyedNoise(7, index, lead=1))
    part = draw(made(None if c is None else c[1:3]), 2, KeyedNoise(7, index[1:3], lead=1))
    # Matrix products of other sizes differ in their last digits.
    torch.testing.assert_close(whole[1:3], part, rtol=1e-9, atol=1e-9)
    centre = draw(made(c), 4, MEAN)
    assert torch.equal(centre, draw(made(c), 4, MEAN))
    assert bool(torch.isfinite(centre).all())


@every_prior
def test_prior_learns_and_detaches(name: str, condition: int) -> None:
    made = prior(name, condition)
    c = condition_of(4, condition)
    z = torch.randn(2, 4, D, requires_grad=True)
    p = made(c)
    p.log_prob(z).sum().backward()
    for key, t in made.named_parameters():
        assert t.grad is not None, key
        assert float(t.grad.abs().max()) > 0, key
        t.grad = None
    left = z.grad.clone()
    z.grad = None
    frozen = p.detach().log_prob(z)
    torch.testing.assert_close(frozen, p.log_prob(z))
    frozen.sum().backward()
    torch.testing.assert_close(z.grad, left)
    assert all(t.grad is None for t in made.parameters())


@every_prior
def test_prior_has_its_moments_or_says_a_sentence(name: str, condition: int) -> None:
    n = 20_000
    p = prior(name, condition)(condition_of(1, condition))
    if name == "flow":
        with pytest.raises(DiaboloError, match="no mean in closed form"):
            _ = p.mean
        return
    z = p.sample((n,)).reshape(n, D)
    error = 5 * (p.variance.reshape(D) / n).sqrt()
    assert bool(((z.mean(0) - p.mean.reshape(D)).abs() < error).all())


@every_prior
def test_prior_saves_and_loads(name: str, condition: int, tmp_path: Path) -> None:
    """safetensors, which refuses tensors held twice, keeps the whole model."""

    def model(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        made = partial(build, "vae", spec(condition), latent=D, net=NET, prior=name)
        return made(posterior="normal" if space == REALS else "vmf").model

    space = space_of(prior(name, condition))

    torch.manual_seed(0)
    left, right = model(1), model(2)
    z, c = torch.randn(4, D), condition_of(4, condition)
    save_file(left.state_dict(), tmp_path / "weights.safetensors")
    right.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    a, b = left.latent.prior(c).log_prob(z), right.latent.prior(c).log_prob(z)
    assert torch.equal(a, b)


@every_prior
def test_prior_compiles_into_one_graph(name: str, condition: int) -> None:
    torch._dynamo.reset()
    made, z, c = prior(name, condition), torch.randn(4, D), condition_of(4, condition)

    def value(z: Tensor) -> Tensor:
        return made(c).log_prob(z)

    compiled = torch.compile(value, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z), value(z), rtol=1e-12, atol=1e-12)


def test_normal_is_standard() -> None:
    p = prior("normal")(None)
    z = torch.randn(5, D)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(p.log_prob(z), expected)


def test_mixture_counts_its_components() -> None:
    assert prior("mixture(components=7)").loc.shape == (7, D)
    assert prior("mixture(components=7)")(None).batch_shape == ()
    with pytest.raises(DiaboloError, match="at least 1 component"):
        prior("mixture(components=0)")


def test_conditional_reads_its_condition() -> None:
    p = prior("conditional(hidden=(16,))", C)
    c = torch.randn(5, C)
    assert p(c).batch_shape == (5,)
    assert bool((p(c).mean[0] != p(c).mean[1]).all())
    with pytest.raises(DiaboloError, match="needs a condition for each datum"):
        p(None)
    with pytest.raises(DiaboloError, match="this model has none"):
        prior("conditional")


def test_flow_starts_near_the_standard_normal() -> None:
    s = spec()
    q = POSTERIORS.build("normal", s.event, D, net=NET)
    p = PRIORS.build("flow", D, 0, posterior=q, spec=s)(None)
    z = torch.randn(500, D)
    away = p.log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert float(away.detach().abs().mean()) < 1  # nats


def test_flow_options_change_the_model() -> None:
    def size(call: str) -> int:
        return sum(t.numel() for t in prior(call).parameters())

    assert size("flow(transforms=4)") == 2 * size("flow(transforms=2)")
    assert size("flow(hidden=(4,))") < size("flow(hidden=(8,))")
    with pytest.raises(DiaboloError, match="at least 2 latent elements"):
        PRIORS.build("flow", 1, 0, posterior=nn.Identity(), spec=spec())


def test_flow_is_single_in_a_single_model_under_autocast() -> None:
    torch.set_default_dtype(torch.float32)
    p = prior("flow(transforms=2)", C)
    z, c = torch.randn(4, D), torch.randn(4, C)
    plain = p(c).log_prob(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = p(c).log_prob(z)
    assert low.dtype == torch.float32
    assert torch.equal(low, plain)


def vamp_model(event: tuple[int, ...] = (6,), **changes: object) -> nn.Module:
    s = spec(event=event)
    s = Spec(**{f: getattr(s, f) for f in Spec.__dataclass_fields__} | changes)  # type: ignore[arg-type]
    return build("vae", s, latent=D, net=NET, prior="vamp(count=5)").model


def test_vamp_is_the_mean_of_posteriors() -> None:
    model = vamp_model()
    p, q = model.latent.prior, model.latent.posterior
    z = torch.randn(4, D)
    each = torch.stack([q(u[None]).log_prob(z) for u in p.pseudo_inputs])  # (M, 4)
    torch.testing.assert_close(p().log_prob(z), each.exp().mean(0).log())


@pytest.mark.oracle(24)
def test_vamp_of_all_data_is_the_aggregate_posterior() -> None:
    """With every datum as a pseudo-input: p(z) = q(z), no divergence, and all rate is known."""
    n = 12
    x = 2 * torch.randn(n, 6)
    s = Spec(event=(6,), support="real", count=n, examples=x)
    model = build("vae", s, latent=D, net=NET, prior=f"vamp(count={n})").model.double()
    stir(model)
    seen = model.view(x)
    p = model.latent.prior
    with torch.no_grad():  # pseudo-inputs may lie inside of their range only
        p.low.sub_(1)
        p.high.add_(1)
        p.raw.copy_(((seen - p.low) / (p.high - p.low)).logit())
    torch.testing.assert_close(p.pseudo_inputs, seen)
    z = torch.randn(5, D)
    each = model.latent.posterior(seen).log_prob(z[:, None])  # (5, N)
    torch.testing.assert_close(p().log_prob(z), each.logsumexp(1) - math.log(n))
    found = aggregate_posterior(model, Data(x), seed=1)
    parts = found.prior_divergence.per_datum
    torch.testing.assert_close(parts, torch.zeros(n), atol=1e-10, rtol=0)
    assert 0.01 < found.information.value <= math.log(n)


def test_vamp_registers_no_weight_twice() -> None:
    model = vamp_model()
    names = [n for n, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len({id(t) for t in model.parameters()})
    assert [n for n in model.latent.prior.state_dict() if "net" in n] == []


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda m: m.to(torch.float32).double(),
        lambda m: copy.deepcopy(m).eval().train(),
        lambda m: torch.optim.swa_utils.AveragedModel(m).module,
    ],
    ids=["deepcopy", "to", "modes", "averaged"],
)
def test_vamp_keeps_step_with_its_own_posterior(copied: Callable[[nn.Module], nn.Module]) -> None:
    """After any copy or move, the prior reads the posterior of its own model, not of another."""
    original = vamp_model()
    model = copied(original)
    p, q = model.latent.prior, model.latent.posterior
    assert p._beside[0] is q
    z = torch.randn(4, D)
    before = p().log_prob(z).detach()
    with torch.no_grad():
        for t in q.parameters():
            t.add_(0.3)
    each = torch.stack([q(u[None]).log_prob(z) for u in p.pseudo_inputs])
    torch.testing.assert_close(p().log_prob(z), each.exp().mean(0).log())
    assert not torch.allclose(p().log_prob(z), before)


def test_vamp_sees_weights_that_are_swapped_or_loaded() -> None:
    """The loop swaps averaged weights in by `.data`; a load copies in place."""
    x = torch.rand(N, 6)
    model, other = vamp_model(examples=x), vamp_model(examples=x)
    z = torch.randn(4, D)
    expected = other.latent.prior().log_prob(z).detach()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        a.data, b.data = b.data, a.data
    torch.testing.assert_close(model.latent.prior().log_prob(z), expected)
    model.load_state_dict({k: v.clone() for k, v in other.state_dict().items()})
    torch.testing.assert_close(model.latent.prior().log_prob(z), other.latent.prior().log_prob(z))
    still = {n: t.detach() for n, t in other.named_parameters()}
    called = torch.func.functional_call(
        _Whole(model), {f"model.{n}": t for n, t in still.items()}, z
    )
    torch.testing.assert_close(called, other.latent.prior().log_prob(z))


class _Whole(nn.Module):
    """A model asked for its prior's density."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        return self.model.latent.prior().log_prob(z)


@pytest.mark.parametrize("support", ["binary", "byte", "unit", "real", "count", "category"])
def test_vamp_starts_from_data_and_stays_in_range(support: str) -> None:
    levels = {"byte": 5, "category": 5}.get(support)
    x = torch.randint(0, 5, (N, 6)).double()
    if support in ("binary", "byte", "unit"):
        x = x.clamp(max=1) if support == "binary" else x / 4
    p = vamp_model(support=support, levels=levels, examples=x, mean=x.mean(0)).latent.prior
    model = vamp_model(support=support, levels=levels, examples=x, mean=x.mean(0))
    seen = model.view(x)
    assert p.pseudo_inputs.shape == (5, *model.view.shape)
    # At the edges of a range pseudo-inputs start 2 % inside it.
    reach = float(seen.max() - seen.min())
    assert float((p.pseudo_inputs.detach() - seen[:5]).abs().max()) <= 0.021 * reach
    with torch.no_grad():
        p.raw.add_(100 * torch.randn_like(p.raw))
    assert float(p.pseudo_inputs.detach().min()) >= float(seen.min()) - 1e-12
    assert float(p.pseudo_inputs.detach().max()) <= float(seen.max()) + 1e-12


def test_vamp_reads_images_missing_entries_and_scales() -> None:
    image = vamp_model(event=(1, 4, 4)).latent.prior
    assert image.pseudo_inputs.shape == (5, 1, 4, 4)
    x = torch.randn(N, 6) * 100
    x[:, 1] = torch.nan
    x[::3, 2] = torch.nan
    changes = dict(examples=x, missing=True, support="real", mean=torch.zeros(6))
    p = vamp_model(scale=torch.full((6,), 100.0), **changes).latent.prior
    assert p.pseudo_inputs.shape == (5, 12)  # the mask is read too
    assert bool(torch.isfinite(p.pseudo_inputs).all())
    assert float(p.pseudo_inputs.detach().abs().max()) < 5  # standardised, as the encoder reads it
    assert bool(torch.isfinite(p().log_prob(torch.randn(3, D))).all())


def test_vamp_refuses() -> None:
    with pytest.raises(DiaboloError, match="takes no condition"):
        prior("vamp", C)
    with pytest.raises(DiaboloError, match="at least 1 pseudo-input"):
        prior("vamp(count=0)")
    with pytest.raises(DiaboloError, match="give the spec examples"):
        vamp_model(examples=None)


@pytest.mark.parametrize(
    "call", ["flow(transforms=a)", "flow(hidden=a)", "mixture(components=2.5)", "vamp(count=a)"]
)
def test_option_of_another_type_is_refused(call: str) -> None:
    with pytest.raises(DiaboloError, match=r"^Option '.*' of prior '.*but got "):
        prior(call)


def test_vamp_repeats_few_examples() -> None:
    p = vamp_model(examples=torch.rand(2, 6)).latent.prior
    assert p.pseudo_inputs.shape == (5, 6)
    # Equal ones would have equal gradients, and stay one for ever.
    assert len(p.pseudo_inputs.detach().unique(dim=0)) == 5
