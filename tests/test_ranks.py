"""Several processes as one: slices, noise, and the identity where there is one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diabolo import ranks
from diabolo.data import Data
from diabolo.data.decode import Binarize, Dequantize, Scale
from diabolo.errors import DiaboloError
from diabolo.noise import FRESH, Sliced
from diabolo.ranks import Share
from laws.rank_worker import CASES, run

WORLDS = (1, 2, 3, 5)
DRAWN = (Binarize(Scale()), Dequantize())


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("n", [0, 1, 4, 7, 128])
def test_shares_cover_a_batch_once_and_are_even(n: int, world: int) -> None:
    parts = [Share(r, world).of(n) for r in range(world)]
    assert [i for p in parts for i in range(n)[p]] == list(range(n))
    lengths = [p.stop - p.start for p in parts]
    assert max(lengths) - min(lengths) <= 1


DRAWS = {
    "normal": lambda noise, shape: noise.normal(shape, torch.zeros(())),
    "uniform": lambda noise, shape: noise.uniform(shape, torch.zeros((), dtype=torch.float64)),
    "bits": lambda noise, shape: noise.bits(torch.full(shape, 0.3)),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("lead", [1, 2])
def test_sliced_noise_is_that_of_the_whole_batch(lead: int, kind: str, world: int) -> None:
    def draw(noise, n: int) -> torch.Tensor:
        torch.manual_seed(3)
        shape = (n, 5) if lead == 1 else (4, n, 5)
        first = DRAWS[kind](noise, shape)
        return torch.stack([first, DRAWS[kind](noise, shape)])  # the generator goes on alike

    whole = draw(FRESH, 7)
    parts = [Share(r, world).of(7) for r in range(world)]
    drawn = [draw(Sliced(p, 7, lead=lead), p.stop - p.start) for p in parts]
    assert torch.cat(drawn, dim=lead).equal(whole)


def test_sliced_noise_refuses_another_batch() -> None:
    with pytest.raises(ValueError, match="of 7 data"):
        Sliced(slice(0, 3), 7).normal((1, 4, 2), torch.zeros(()))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("decoder", DRAWN, ids=lambda d: type(d).__name__)
def test_processes_see_the_batches_of_one(decoder, world: int) -> None:
    x = torch.randint(0, 256, (50, 6), dtype=torch.uint8)
    data = Data(x, decoder=decoder)

    def batches(share: Share) -> list[torch.Tensor]:
        torch.manual_seed(1)
        order = torch.Generator().manual_seed(2)
        return [b.x for b in data.batches(16, order, share=share)]

    whole = batches(Share())
    parts = [batches(Share(r, world)) for r in range(world)]
    assert len(whole) == 3
    for i, x in enumerate(whole):
        assert torch.cat([p[i] for p in parts]).equal(x)


def test_without_processes_every_function_is_the_identity(monkeypatch) -> None:
    t = torch.randn(4, 3, requires_grad=True)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks.joined(), ranks.one_batch():
        assert (ranks.rank(), ranks.count(), ranks.local(), ranks.restarts()) == (0, 1, 0, 0)
        assert ranks.lead()
        assert ranks.share() == ranks.WHOLE
        assert ranks.part(5) == slice(0, 5)
        assert ranks.gather(t, 9) is ranks.total(t) is ranks.batch_sum(t) is t
        assert ranks.batch_gather(t, 1) is t
        assert ranks.batch_place(4, t) == (0, 4)
        assert ranks.batch_mean(t).equal(t.mean())
        assert ranks.batch_mean(t, 0).equal(t.mean(0))
        assert ranks.first(lambda: 7) == ranks.in_turn(lambda: 7) == 7
        assert ranks.gathered("x") == ["x"]
        ranks.barrier()
        with pytest.raises(KeyError), ranks.agree():
            raise KeyError


def test_a_half_told_environment_is_a_sentence(monkeypatch) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = pytest.raises(DiaboloError, match=r"2 processes, but RANK is not set.*torchrun")
    with told, ranks.joined():
        pass


WORKER = Path(__file__).parent / "laws" / "rank_worker.py"


@pytest.fixture(scope="session", params=[2, 3])
def together(request, tmp_path_factory) -> dict:
    """What several processes find in all cases; 3 divide neither a batch nor the data evenly."""
    out = tmp_path_factory.mktemp("ranks") / "found.pt"
    words = ["--standalone", "--nproc-per-node", str(request.param)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(WORKER.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    command = [sys.executable, "-m", "torch.distributed.run", *words, str(WORKER)]
    done = subprocess.run(
        [*command, ",".join(CASES), str(out)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found = torch.load(out, weights_only=True)
    assert found["world"] == request.param
    return found["found"]


@pytest.mark.parametrize("case", CASES)
def test_processes_train_and_measure_as_one(case: str, together: dict) -> None:
    one, found = run(case), together[case]
    assert one.keys() == found.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            # float64 sums in another order; Adam's square roots raise it a little
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-11, msg=name)
        else:
            assert found[name] == value, name
