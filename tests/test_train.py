"""The loop: it repeats, resumes, accumulates, selects and stops as it says, and holds the best."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from diabolo import DiaboloError
from diabolo.checkpoint import load_state
from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.data.decode import Binarize, Scale
from diabolo.model import Recipe
from diabolo.noise import KeyedNoise, mix_seed
from diabolo.objectives import declare, elbo, price, terms
from diabolo.recipes import build
from diabolo.train import Diverged, History, clipped, computing, fit, pick_device, settings
from diabolo.train.loop import _Loop, validate
from diabolo.train.settings import settle

CONFIG = TrainConfig(epochs=3, batch_size=16, learning_rate=3e-3, compile="off", device="cpu")
NET = "mlp(hidden=(16,))"


def bits(n: int = 64, seed: int = 0) -> Data:
    """Two prototypes of eight bits, with flips."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1, 0, 1]])
    x = kinds[torch.randint(0, 2, (n,), generator=generator)]
    flips = torch.rand(n, 8, generator=generator) < 0.1
    return Data((x ^ flips).to(torch.uint8), support="binary", index=torch.arange(n) + 1000 * seed)


def greys(n: int = 64) -> Data:
    """Grey levels that are drawn as bits anew in every step."""
    x = torch.randint(0, 256, (n, 8), generator=torch.Generator().manual_seed(0))
    return Data(x.to(torch.uint8), support="binary", decoder=Binarize(Scale()))


def make(name: str = "vae", train: Data | None = None, **options) -> Recipe:
    torch.manual_seed(0)
    return build(name, (train or bits()).spec(), latent=2, net=NET, **options)


def run(recipe: Recipe, config: TrainConfig = CONFIG, train: Data | None = None, **options):
    return fit(recipe, train or bits(), bits(40, seed=1), config, **options)


def weights(recipe: Recipe) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in recipe.model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def numbers(history: History) -> list:
    """The rows without the wall clock."""
    return [replace(r, seconds=0.0) for r in history.rows]


def held_elbo(recipe: Recipe, config: TrainConfig = CONFIG) -> float:
    """The validation ELBO of the weights that the model holds, as the loop measures it."""
    return float(validate(recipe, bits(40, seed=1), mix_seed(config.seed, 3), 500)[0])


class Trap(nn.Module):
    """A decoder that does something at its n-th call in training, or from it on.

    It stands for what goes wrong in mid-epoch: numbers that overflow, an interrupt.
    """

    def __init__(self, net: nn.Module, at: int, act, last: float | None = None) -> None:
        super().__init__()
        self.net, self.at, self.act, self.calls = net, at, act, 0
        self.last = at if last is None else last

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        out = self.net(h, c)
        if self.training:
            self.calls += 1
            if self.at <= self.calls <= self.last:
                return self.act(out)
        return out


def trap(recipe: Recipe, at: int, act, last: float | None = None) -> Recipe:
    like = recipe.model.likelihood
    like.net = Trap(like.net, at, act, last)
    return recipe


def interrupt(_: Tensor) -> Tensor:
    raise KeyboardInterrupt


def ctrl_c(out: Tensor) -> Tensor:
    """What the keyboard does: the step that is being taken is finished."""
    signal.raise_signal(signal.SIGINT)
    return out


RECIPES = [
    ("vae", {}),
    ("ae", {}),
    ("iwae", {}),
    ("beta_vae", {"beta": 2.0, "warmup": 0.5}),
    ("geco", {"target": 2.0, "k": 2}),
    ("denoising_ae", {}),
]


@pytest.mark.parametrize(("name", "options"), RECIPES)
def test_training_repeats_exactly(name, options):
    found = []
    for stir in (3, 4):
        recipe = make(name, train=greys(), **options)
        torch.manual_seed(stir)  # what the caller did with the generator has no influence
        history = run(recipe, train=greys())
        found.append((numbers(history), weights(recipe)))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])


def test_training_follows_its_seed():
    found = []
    for seed in (0, 1):
        recipe = make()
        run(recipe, replace(CONFIG, seed=seed))
        found.append(weights(recipe))
    assert not same(*found)


@pytest.mark.parametrize("workload", ["plain", "ema", "accumulate"])
@pytest.mark.parametrize(("name", "options"), RECIPES)
def test_resumed_training_equals_an_uninterrupted_one(name, options, workload, tmp_path):
    extra = {"plain": {}, "ema": {"ema": 0.9}, "accumulate": {"accumulate": 3}}[workload]
    config = replace(
        CONFIG, epochs=5, schedule="cosine", warmup=0.2, checkpoint_minutes=1e-9, **extra
    )
    path = tmp_path / "state.pt"
    whole = make(name, train=greys(), **options)
    expected = run(whole, config, train=greys())

    def leave(row):
        if row.epoch == 3:
            raise KeyboardInterrupt

    first = make(name, train=greys(), **options)
    part = run(first, config, train=greys(), on_epoch=leave, checkpoint=path)
    assert part.stopped == "interrupt"
    assert len(load_state(path)["rows"]) == 3  # the epoch that was whole when it was interrupted

    torch.manual_seed(99)
    second = build(name, greys().spec(), latent=2, net=NET, **options)  # other weights
    found = run(second, config, train=greys(), checkpoint=path, resume=path)
    assert numbers(found) == numbers(expected)
    assert found.stopped == expected.stopped == "epochs"
    assert same(weights(second), weights(whole))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("extra", "at"), [({}, 11), ({}, 12), ({"ema": 0.9}, 10), ({"accumulate": 2}, 9)]
)
def test_a_signal_within_an_epoch_keeps_every_step(extra, at, number, tmp_path):
    """However rare the checkpoints are, the interrupted training is gone on with exactly."""
    config = replace(CONFIG, epochs=5, **extra)
    path = tmp_path / "state.pt"
    whole = make()
    expected = run(whole, config)
    before = signal.getsignal(number)

    def stop(out: Tensor) -> Tensor:
        signal.raise_signal(number)
        return out

    part = run(trap(make(), at, stop), config, checkpoint=path)  # of 4 batches an epoch
    assert (part.stopped, part.signal) == ("interrupt", number)
    assert signal.getsignal(number) is before
    assert len(part.rows) == at // 4 if at == 12 else (at - 1) // 4
    assert load_state(path)["step"] == math.ceil(at / config.accumulate)
    again = make()
    found = run(trap(again, 10**9, interrupt), config, checkpoint=path, resume=path)
    assert numbers(found) == numbers(expected)
    assert same(weights(again), weights(trap(whole, 10**9, interrupt)))


def test_an_interrupt_within_a_step_leaves_the_last_checkpoint(tmp_path):
    """A second Ctrl-C may leave a step half taken, which is nothing to go on from."""
    config = replace(CONFIG, epochs=5, checkpoint_minutes=1e-9)
    path = tmp_path / "state.pt"
    whole = make()
    expected = run(whole, config)
    run(trap(make(), 11, interrupt), config, checkpoint=path)
    assert load_state(path)["step"] == 10
    again = trap(make(), 10**9, interrupt)
    assert numbers(run(again, config, resume=path)) == numbers(expected)
    assert same(weights(again), weights(trap(whole, 10**9, interrupt)))


def test_settings_that_few_data_cannot_honour_are_told():
    config = replace(CONFIG, batch_size=16, accumulate=4)
    assert clipped(config, 64) == []
    assert clipped(config, 63) == [
        "accumulate=4 is more than the 3 batches of an epoch: each epoch is one step."
    ]
    small = clipped(config, 10)
    assert small[0].startswith("batch_size=16 is more than the 10 training data")
    assert small[1].startswith("accumulate=4 is more than the one batch of an epoch")


def test_what_auto_means_is_told():
    told = computing(replace(CONFIG, compile="auto", device="cpu"))
    here = {"threads": torch.get_num_threads(), "torch": str(torch.__version__)}
    assert told == {"device": "cpu", "precision": "float32", "compile": False, **here}
    assert computing(replace(CONFIG, compile="on", device="cpu"))["compile"]
    assert computing(replace(CONFIG, device="auto"))["device"] == pick_device("auto").type


AUTO = replace(CONFIG, compile="auto", precision="auto")


def chosen(train: Data, config: TrainConfig) -> tuple[str, str]:
    config, notes = settle(make(train=train), train, config)
    assert bool(notes) == (config.compile == "on" or config.precision == "bf16")
    return config.compile, config.precision


def test_short_trainings_are_eager_in_float32():
    assert chosen(bits(), AUTO) == ("off", "float32")
    assert chosen(bits(), replace(AUTO, epochs=10**6, minutes=0.5)) == ("off", "float32")


@pytest.mark.parametrize(("ratio", "precision"), [(2.0, "bf16"), (1.0, "float32")])
def test_long_trainings_are_compiled_and_use_what_was_measured(monkeypatch, ratio, precision):
    monkeypatch.setattr(settings, "_gain", lambda *_: ratio)
    long = replace(AUTO, epochs=10**6)
    assert chosen(bits(), long) == ("on", precision)
    real = Data(torch.rand(64, 8), support="real")
    assert chosen(real, long) == ("on", "float32")  # eight binary digits are too few for reals
    monkeypatch.setattr(settings, "compiler", lambda: None)
    recipe = make()
    config, notes = settle(recipe, bits(), long)
    assert config.compile == "off"
    assert "no C++ compiler" in notes[0]


def test_a_probe_leaves_no_trace():
    recipe = make()
    recipe.model.train()
    before, state = weights(recipe), torch.get_rng_state()
    assert settings._gain(recipe, bits(), CONFIG, torch.device("cpu")) > 0
    assert (
        settings._estimate(recipe, bits(), replace(CONFIG, epochs=100), settings.COSTS["cpu"]) > 0
    )
    assert same(weights(recipe), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert recipe.model.training


def test_what_was_chosen_holds_when_training_goes_on():
    before = {"precision": "bf16", "compile": "on"}
    config, notes = settle(make(), bits(), AUTO, before)
    assert (config.precision, config.compile, notes) == ("bf16", "on", [])


def test_resume_keeps_patience_and_the_best(tmp_path):
    """A training that patience ended stays ended, with the same weights."""
    config = replace(CONFIG, epochs=60, patience=2, learning_rate=0.3, checkpoint_minutes=1e-9)
    path = tmp_path / "state.pt"
    recipe = make()
    expected = run(recipe, config, checkpoint=path)
    assert expected.stopped == "patience"
    again = make()
    found = run(again, config, checkpoint=path, resume=path)
    assert found.stopped == "patience"
    assert found.rows == expected.rows
    assert same(weights(recipe), weights(again))


def test_resume_refuses_another_training(tmp_path):
    path = tmp_path / "state.pt"
    config = replace(CONFIG, checkpoint_minutes=1e-9)
    run(make(), config, checkpoint=path)
    with pytest.raises(DiaboloError, match=r"train\.batch_size=16 and cannot go on with 32"):
        run(make(), replace(config, batch_size=32), checkpoint=path, resume=path)
    other = build("vae", bits().spec(), latent=3, net=NET)
    with pytest.raises(DiaboloError, match="checkpoint is of another model"):
        run(other, config, checkpoint=path, resume=path)
    more = run(make(), replace(config, epochs=4), checkpoint=path, resume=path)
    assert len(more.rows) == 4
    with pytest.raises(DiaboloError, match="Cannot read the checkpoint"):
        run(make(), config, resume=tmp_path / "none.pt")


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_gradients_equal_those_of_the_whole_batch(accumulate):
    """For a model without noise: the same sums in another order."""
    found = []
    for a in (1, accumulate):
        recipe = make("ae")
        recipe.model.double()
        data = replace(bits(), x=bits().x.double())
        valid = replace(bits(40, 1), x=bits(40, 1).x.double())
        config = replace(CONFIG, batch_size=16 // a, accumulate=a, epochs=4)
        history = fit(recipe, data, valid, config)
        found.append((history, weights(recipe)))
    (one, w_one), (many, w_many) = found
    assert [r.step for r in one.rows] == [r.step for r in many.rows]
    for r, s in zip(one.rows, many.rows, strict=True):
        # float64: rounding of sums in another order, carried through 16 steps.
        assert r.objective == pytest.approx(s.objective, abs=1e-6)
        assert r.valid_elbo == pytest.approx(s.valid_elbo, abs=1e-6)
    for k, v in w_one.items():
        torch.testing.assert_close(v, w_many[k], rtol=0, atol=1e-6)


def test_accumulation_ends_an_epoch_with_what_is_left():
    """4 batches in groups of 3: two steps an epoch, the second of one batch."""
    history = run(make(), replace(CONFIG, accumulate=3))
    assert [r.step for r in history.rows] == [2, 4, 6]


def test_accumulation_is_refused_where_the_batch_matters():
    recipe = make()._replace(objective=declare(batch_level=True)(lambda t: elbo(t)))
    with pytest.raises(DiaboloError, match="cannot be accumulated"):
        run(recipe, replace(CONFIG, accumulate=2))


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_model_holds_the_best_weights(ema):
    """Fitted to 16 data, a model gets worse on others: the best epoch is not the last one."""
    config = replace(CONFIG, epochs=60, learning_rate=5e-2, ema=ema)
    recipe = make("ae")
    seen = []
    history = run(recipe, config, train=bits(16), on_epoch=seen.append)
    assert seen == history.rows
    best = max(r.valid_elbo for r in history.rows)
    assert history.best.valid_elbo == best
    assert history.best.best
    assert history.rows[-1].valid_elbo < best
    assert held_elbo(recipe) == best  # to the bit: the same weights, noise and batches
    assert not recipe.model.training


def test_the_objective_is_left_as_it_was_with_the_best_weights(tmp_path):
    """A price that training finds is that of the weights kept; training goes on from the last."""
    config = replace(CONFIG, epochs=10, learning_rate=5e-2, checkpoint_minutes=1e-9)
    path = tmp_path / "state.pt"
    recipe = make("geco", target=1.0, speed=0.5)
    prices = []
    whole = run(recipe, config, on_epoch=lambda row: prices.append(float(recipe.objective.now)))
    best = whole.best.epoch
    assert best < 8  # there is a last price that is another
    assert price(recipe.objective) is None
    assert price(recipe.objective, now=True) == prices[best - 1] != prices[-1]

    def leave(row):
        if row.epoch == 9:
            raise KeyboardInterrupt

    first, again = (make("geco", target=1.0, speed=0.5) for _ in range(2))
    run(first, config, on_epoch=leave, checkpoint=path)
    assert float(first.objective.now) == prices[best - 1]
    state = load_state(path)
    assert float(state["objective"]["now"]) == prices[8]
    assert numbers(run(again, config, resume=path)) == numbers(whole)
    assert float(again.objective.now) == prices[best - 1]


def test_a_price_that_rises_to_a_known_end_is_that():
    recipe = make("beta_vae", beta=3.0, warmup=0.5)
    assert float(recipe.objective.now) == 0.0
    assert price(recipe.objective, now=True) == 3.0


def test_ema_weights_are_those_evaluated_and_saved():
    """The average follows its recursion over the raw weights of each step."""
    config = replace(CONFIG, ema=0.5, epochs=1)
    averaged, shadow = make(), None
    reference = make()
    loop = _Loop(reference, bits(), bits(40, 1), replace(config, ema=0.0), None, print)
    step = loop.take.optimizer.step
    shadow = [w.clone() for w in loop.take.weights]

    def counted(*args, **kwargs):
        step(*args, **kwargs)
        t = loop.step + 1
        decay = min(0.5, (1 + t) / (10 + t))
        for s, w in zip(shadow, loop.take.weights, strict=True):
            s.mul_(decay).add_(w, alpha=1 - decay)

    loop.take.optimizer.step = counted
    with torch.random.fork_rng():
        loop._epoch(lambda: None)
    run(averaged, config)
    for s, p in zip(shadow, averaged.model.parameters(), strict=True):
        torch.testing.assert_close(s, p.detach())
    assert held_elbo(averaged) != held_elbo(reference)


@pytest.mark.parametrize("beta", [4.0, 0.1])
def test_selection_is_by_the_plain_elbo(beta):
    """The price in the objective has no part in the validation."""
    recipe = make("beta_vae", beta=beta)
    history = run(recipe)
    for r in history.rows:
        # Double sums, printed from single-precision terms.
        assert r.valid_elbo == pytest.approx(-r.valid_distortion - sum(r.valid_rate), abs=1e-5)
    assert held_elbo(recipe) == history.best.valid_elbo


def test_selection_is_by_the_plain_elbo_in_warmup():
    recipe = make("beta_vae", beta=4.0, warmup=0.9)
    history = run(recipe)
    assert held_elbo(recipe) == history.best.valid_elbo
    prices = [r.penalty / sum(r.rate) + 1 for r in history.rows]
    assert prices[0] < prices[1] < prices[2] < 4.0
    assert float(recipe.objective.now) == 4.0


@pytest.mark.parametrize(("beta", "warmup"), [(40.0, 0.0), (0.1, 0.0), (40.0, 0.9)])
def test_selection_at_the_price_of_the_rate(beta, warmup):
    """By -D - beta R at the final price, in warm-up too; another price takes another epoch."""
    recipe = make("beta_vae", beta=beta, warmup=warmup)
    history = run(recipe, replace(CONFIG, select="price"))
    worth = [-r.valid_distortion - beta * sum(r.valid_rate) for r in history.rows]
    assert history.best.epoch == 1 + worth.index(max(worth))
    assert held_elbo(recipe) == history.best.valid_elbo


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vae", {}, 1.0),
        ("beta_vae", {"beta": 3.0}, 3.0),
        ("beta_vae", {"beta": 3.0, "warmup": 0.5}, 3.0),
        ("beta_vae", {"beta": 3.0, "free_bits": 0.1}, None),
        ("geco", {}, None),
        ("capacity_vae", {}, None),
        ("iwae", {}, None),
        ("beta_tc", {}, None),
        ("info_vae", {}, None),
        ("ae", {}, 1.0),
    ],
)
def test_price_of_the_rate(name, options, expected):
    recipe = make(name, **options)
    assert price(recipe.objective) == expected
    config = replace(CONFIG, select="price", epochs=1)
    if expected is None or name == "ae":
        with pytest.raises(DiaboloError, match="select='price' needs"):
            run(recipe, config)
    else:
        run(recipe, config)


@pytest.mark.parametrize(("name", "options"), RECIPES)
def test_rows_take_the_objective_apart(name, options):
    for r in run(make(name, **options)).rows:
        # Means of single-precision terms.
        assert r.objective == pytest.approx(-r.distortion - sum(r.rate) - r.penalty, abs=1e-4)


def test_row_is_the_mean_over_the_epoch():
    """Without updates (a tiny learning rate) the row is the mean over the data, no noise in ae."""
    recipe = make("ae")
    history = run(recipe, replace(CONFIG, learning_rate=1e-30, epochs=1))
    batch = bits().batch(torch.arange(64))
    value = terms(elbo, recipe.model(batch.x)).value
    assert history.rows[0].objective == pytest.approx(float(value.mean().detach()), abs=1e-5)


def test_patience_stops():
    history = run(make(), replace(CONFIG, epochs=200, patience=3, learning_rate=0.3))
    assert history.stopped == "patience"
    assert len(history.rows) < 200
    assert not any(r.best for r in history.rows[-3:])
    assert history.rows[-4].best


def test_minutes_stop():
    began = time.monotonic()
    history = run(make(), replace(CONFIG, epochs=100_000, minutes=0.2 / 60, schedule="cosine"))
    assert history.stopped == "minutes"
    assert time.monotonic() - began < 60  # and not the hours of all epochs
    assert len(history.rows) >= 1
    # The schedule follows the clock: a hundredth at its end, up to the last step's own time.
    assert history.rows[-1].learning_rate < 0.2 * CONFIG.learning_rate


def test_minutes_leave_one_epoch_and_long_ones_no_trace():
    history = run(make(), replace(CONFIG, minutes=1e-9))
    assert (len(history.rows), history.stopped) == (1, "minutes")
    plain, timed = make(), make()
    run(plain)
    assert run(timed, replace(CONFIG, minutes=1e6)).stopped == "epochs"
    assert same(weights(plain), weights(timed))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_step_that_is_not_finite_is_skipped_and_counted(bad, at, accumulate):
    """All is as if its batches had not been there, and the rows are finite."""
    config = replace(CONFIG, accumulate=accumulate, ema=0.5)
    recipe = trap(make(), at, lambda out: out * bad)
    loop = _Loop(recipe, bits(), bits(40, seed=1), config, None, print)
    taken = []
    take = loop.take

    def spy(batches, rate, decay):
        state = [t.clone() for t in (*take.weights, *take.shadow)]
        found = type(take).__call__(take, batches, rate, decay)
        now = (*take.weights, *take.shadow)
        taken.append(not all(map(torch.equal, state, now)))
        return found

    loop.take = Spy(take, spy)
    with torch.random.fork_rng():
        history = loop.run(None)
    assert [i + 1 for i, t in enumerate(taken) if not t] == [math.ceil(at / accumulate)]
    assert [r.skipped for r in history.rows] == [int(i == (at - 1) // 4) for i in range(3)]
    assert all(math.isfinite(r.objective) and math.isfinite(r.valid_elbo) for r in history.rows)


class Spy:
    """A step that is looked at."""

    def __init__(self, take, call) -> None:
        self.take, self.call = take, call

    def __getattr__(self, name: str):
        return getattr(self.take, name)

    def __call__(self, *args):
        return self.call(*args)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("at", [1, 3, 7])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_names_step_and_term_and_keeps_the_weights(bad, at, accumulate):
    """From the n-th batch on numbers are not finite: its step is named, the best are kept."""
    recipe = trap(make(), at, lambda out: out * bad, last=math.inf)
    before = weights(recipe)
    rows = []
    step = math.ceil(at / accumulate)
    whole = {(1, 1): 0, (3, 1): 0, (7, 1): 1, (1, 2): 0, (3, 2): 1, (7, 2): 2}  # two steps fail
    with pytest.raises(Diverged, match=rf"the distortion is \S+ at step {step}\. ") as caught:
        run(recipe, replace(CONFIG, accumulate=accumulate), on_epoch=rows.append)
    assert caught.value.rows == rows
    assert ("holds the last good weights" in str(caught.value)) == bool(rows)
    assert ("holds its initial weights" in str(caught.value)) == (not rows)
    assert len(rows) == whole[at, accumulate]
    if rows:
        assert held_elbo(recipe) == max(r.valid_elbo for r in rows)
    else:  # nothing was validated yet
        assert same(weights(recipe), before)
    assert not recipe.model.training


def test_divergence_is_named_beyond_the_first_hundred_batches():
    recipe = trap(make(), 131, lambda out: out * math.nan, last=math.inf)
    with pytest.raises(Diverged, match=r"at step 66\. "):
        run(recipe, replace(CONFIG, batch_size=1, accumulate=2), train=bits(300))


def test_divergence_stops_within_a_hundred_batches():
    recipe = trap(make(), 3, lambda out: out * math.nan, last=math.inf)
    with pytest.raises(Diverged, match=r"at step 3\. "):
        run(recipe, replace(CONFIG, batch_size=1), train=bits(300))
    assert recipe.model.likelihood.net.calls == 100


@pytest.mark.parametrize("accumulate", [1, 3])
def test_looking_for_divergence_costs_the_same_in_a_long_epoch(accumulate):
    """Only the last hundred batches are looked at, however many there were."""
    loop = _Loop(make(), bits(), bits(40, 1), replace(CONFIG, accumulate=accumulate), None, print)
    seen = 0

    class Counted(list):
        def __reversed__(self):
            nonlocal seen
            for item in super().__reversed__():
                seen += 1
                yield item

    loop.seen = Counted([torch.zeros(accumulate, 5)] * 5000)
    loop._check()
    assert 100 // accumulate <= seen <= 100 // accumulate + 2


def test_divergence_names_the_rate():
    recipe = make()
    net = recipe.model.latent.posterior
    net.net = Trap(net.net, 2, lambda out: out + torch.tensor([1e20, 0.0, 0.0, 0.0]), math.inf)
    with pytest.raises(Diverged, match=r"the rate of group 1 is inf at step 2\. "):
        run(recipe)


def test_nan_in_the_data_is_named():
    data = Data(torch.rand(64, 8), support="real")
    data.x[5, 3] = math.nan
    recipe = build("vae", Data(torch.rand(64, 8), support="real").spec(), latent=2, net=NET)
    valid = Data(torch.rand(10, 8), support="real")
    with pytest.raises(Diverged, match=r"the distortion is nan at step [1-4]\. "):
        fit(recipe, data, valid, CONFIG)
    assert all(bool(p.isfinite().all()) for p in recipe.model.parameters())


def test_nan_in_validation_is_named():
    """The last step may spoil the weights after its own loss was finite."""
    valid = Data(torch.full((10, 8), math.nan), support="real")
    recipe = build("vae", Data(torch.rand(64, 8), support="real").spec(), latent=2, net=NET)
    with pytest.raises(Diverged, match="the validation distortion is nan at step 4"):
        fit(recipe, Data(torch.rand(64, 8), support="real"), valid, CONFIG)


@pytest.mark.parametrize("where", ["on_epoch", "first epoch", "second epoch"])
def test_interrupt_leaves_a_usable_model(where):
    recipe = make()
    rows = []

    def on_epoch(row):
        rows.append(row)
        if where == "on_epoch":
            raise KeyboardInterrupt

    if where != "on_epoch":
        trap(recipe, {"first epoch": 3, "second epoch": 6}[where], ctrl_c)
    before = weights(recipe)
    history = run(recipe, on_epoch=on_epoch)
    assert history.stopped == "interrupt"
    assert history.rows == rows
    if rows:
        assert held_elbo(recipe) == rows[0].valid_elbo
    else:  # what two steps have made of it
        assert not same(weights(recipe), before)
        assert math.isfinite(held_elbo(recipe))
    assert not recipe.model.training
    assert all(p.grad is None for p in recipe.model.parameters())
    assert run(recipe, replace(CONFIG, epochs=1)).stopped == "epochs"  # it can be trained again


def test_interrupt_after_an_unseen_divergence_leaves_finite_weights():
    recipe = make()
    spoil = Trap(recipe.model.likelihood.net, 1, lambda out: out * math.nan)
    recipe.model.likelihood.net = Trap(spoil, 3, interrupt)
    assert run(recipe).stopped == "interrupt"
    assert math.isfinite(held_elbo(recipe))


def test_another_error_leaves_the_best_weights():
    recipe = make()

    def on_epoch(row):
        if row.epoch == 2:
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        run(recipe, replace(CONFIG, learning_rate=1e-2), on_epoch=on_epoch)
    assert not recipe.model.training
    assert math.isfinite(held_elbo(recipe))


def test_the_callers_randomness_is_untouched():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    recipe = build("vae", bits().spec(), latent=2, net=NET)
    torch.manual_seed(5)
    run(recipe)
    assert torch.equal(torch.rand(3), expected)


def test_bf16_stays_near_float32():
    exact, rough = run(make()), run(make(), replace(CONFIG, precision="bf16"))
    for a, b in zip(exact.rows, rough.rows, strict=True):
        # Networks round to 8 bits (0.4 %) in each layer; the bound is about 5.5 nats.
        assert b.objective == pytest.approx(a.objective, rel=0.03)
        assert b.valid_elbo == pytest.approx(a.valid_elbo, rel=0.03)


def test_weights_stay_float32_under_bf16():
    recipe = make()
    run(recipe, replace(CONFIG, precision="bf16", epochs=1))
    assert {p.dtype for p in recipe.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adamax"])
@pytest.mark.parametrize("name", ["vae", "ae"])
def test_training_raises_the_bound(name, optimizer):
    history = run(make(name), replace(CONFIG, epochs=12, learning_rate=5e-2, optimizer=optimizer))
    assert history.rows[-1].valid_elbo > history.rows[0].valid_elbo + 0.2


@pytest.mark.parametrize(
    "change",
    [
        {"weight_decay": 0.5, "optimizer": "adamw"},
        {"clip": 1e-6},
        {"warmup": 0.9},
        {"schedule": "cosine"},
        {"ema": 0.9},
        {"batch_size": 8},
        {"accumulate": 2},
        {"learning_rate": 1e-2},
        {"optimizer": "adamax"},
    ],
)
def test_an_option_changes_the_training(change):
    base = make()
    other = make()
    run(base)
    run(other, replace(CONFIG, **change))
    assert not same(weights(base), weights(other))


def test_schedule_and_warmup():
    config = replace(CONFIG, epochs=10, schedule="cosine", warmup=0.3, learning_rate=1.0)
    loop = _Loop(make(), bits(), bits(40, 1), config, None, print)
    rate = [loop._learning_rate(p) for p in (0.0, 0.15, 0.3, 0.65, 1.0)]
    assert rate == pytest.approx([1e-3, 0.5, 1.0, 0.505, 0.01])


def test_frozen_weights_stay():
    recipe = make()
    frozen = [p.requires_grad_(False) for p in recipe.model.latent.parameters()]
    before = [p.clone() for p in frozen]
    run(recipe)
    assert all(torch.equal(p, b) for p, b in zip(frozen, before, strict=True))


def test_a_batch_larger_than_the_data_is_all_of_them():
    history = run(make(), replace(CONFIG, batch_size=1000))
    assert [r.step for r in history.rows] == [1, 2, 3]


@pytest.mark.parametrize(("n", "m"), [(0, 10), (10, 0)])
def test_no_data_is_refused(n, m):
    with pytest.raises(DiaboloError, match=f"but got {n} and {m}"):
        fit(make(), bits(64).take(torch.arange(n)), bits(64).take(torch.arange(m)), CONFIG)


def test_a_device_that_is_not_there_is_refused():
    if torch.backends.mps.is_available():
        pytest.skip("no GPU must be there for this")
    with pytest.raises(DiaboloError, match="this machine has none"):
        run(make(), replace(CONFIG, device="mps"))


def shifted(recipe: Recipe, by: float) -> Recipe:
    """A recipe whose code is moved, and whose linear decoder's bias moves it back."""
    with torch.no_grad():
        recipe.model.latent.posterior.net.head.bias += by
        first = recipe.model.likelihood.net.body[0]
        first.bias -= by * first.weight.sum(1)
    return recipe


@pytest.mark.parametrize(
    ("name", "options"), [("wae", {}), ("sparse_ae", {"sparsity": "kl"}), ("rae", {})]
)
def test_deterministic_weights_are_selected_by_their_objective(name, options):
    """What defines them, in the objective or the model's charge, has a part in the validation."""
    scores = []
    for by in (0.0, 50.0):
        recipe = shifted(make(name, **options), by)
        recipe.model.eval()
        scores.append(validate(recipe, bits(40, seed=1), 0, 500))
        x = bits(40, seed=1).x.float()
        with torch.no_grad():
            t = recipe.trace(x, noise=KeyedNoise(0, torch.arange(40)))
            objective = recipe.objective(t).mean()
        assert float(scores[-1][0]) == pytest.approx(float(objective), abs=1e-4)  # float32
    if name != "sparse_ae":  # whose code saturates, so that the decoder cannot undo it
        assert float(scores[0][1]) == pytest.approx(float(scores[1][1]), abs=1e-3)
    assert scores[0][0] > scores[1][0] + 1


def test_validation_is_the_mean_over_data_whatever_the_batch():
    recipe = make("vae")
    recipe.model.eval()
    whole, parts = (validate(recipe, bits(41, seed=1), 0, size) for size in (500, 10))
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)


def test_validation_batches_of_an_objective_of_batches_are_alike():
    """A last batch of one datum, which has no discrepancy, would end the training."""
    recipe = make("wae")
    recipe.model.eval()
    sizes: list[int] = []

    @declare(batch_level=True)
    def told(t):
        sizes.append(t.log_px.shape[1])
        return elbo(t)

    recipe = recipe._replace(objective=told)
    for n, size in ((41, 10), (41, 40), (40, 40), (7, 500), (1001, 2)):
        sizes.clear()
        validate(recipe, bits(n), 0, size)
        assert sum(sizes) == n
        assert min(sizes) > max(sizes) / 4
    with pytest.raises(DiaboloError, match="two validation data"):
        fit(make("wae"), bits(), bits(1), CONFIG)


def test_a_deterministic_model_stops_early_by_its_objective():
    recipe = make("wae", price=1000.0)
    history = run(recipe, replace(CONFIG, epochs=3))
    assert held_elbo(recipe) == history.best.valid_elbo
    best = max(history.rows, key=lambda r: r.valid_elbo)
    assert best.best
    assert best.valid_elbo != pytest.approx(-best.valid_distortion, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "options"),
    [("iwae", {"k": 8}), ("dreg", {"k": 8}), ("miwae", {}), ("ciwae", {}), ("piwae", {})],
)
def test_importance_weighted_trainings_are_selected_by_their_bound(name, options):
    """By the ELBO, which falls when the bound of k rises, weights of early epochs would be kept."""
    recipe, data = make(name, **options), bits(40, seed=1)
    recipe.model.eval()
    score = validate(recipe, data, 0, 500)
    assert recipe.k > 1
    (batch,) = data.batches(500)
    with torch.no_grad():
        t = recipe.model(batch.x, k=recipe.k, noise=KeyedNoise(0, batch.index))
        bound = t.log_weight.logsumexp(0) - math.log(recipe.k)
    assert float(score[0]) == pytest.approx(float(bound.mean()), abs=1e-4)
    assert float(score[0]) > float(elbo(t).mean())
    assert float(score[1]) == pytest.approx(float(-t.log_px.mean()), abs=1e-4)
