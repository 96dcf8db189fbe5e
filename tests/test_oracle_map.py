"""The known answers that every version has to reach, and which tests check them.

A test says what it checks by `@pytest.mark.oracle(n)`; `pytest -m oracle` runs all of them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ORACLES = {
    1: "KL of normal densities, diagonal and full",
    2: "KL of Laplace, categorical, Bernoulli and von Mises-Fisher densities",
    3: "probabilistic PCA: log p(x), the posterior, ELBO(exact q) = log p(x)",
    4: "its ELBO with the prior as q, and the gap",
    5: "its best diagonal q, reached by every kind of ascent",
    6: "the linear beta-VAE at its optimum: reverse water-filling",
    7: "the importance-weighted bounds L_1, L_2, ... and their gap",
    8: "weights of the exact posterior have no variance",
    9: "variance of the reparameterised gradient and of the score's",
    10: "sticking the landing, and doubly reparameterised gradients",
    11: "the continuous Bernoulli density",
    12: "probabilities of all values sum to one; densities are scipy's",
    13: "the best scale of a normal likelihood",
    14: "the scale of the prior is absorbed",
    15: "scale of the likelihood, price of the rate, mean squared error",
    16: "beta to 0 gives PCA, beta to infinity the mean",
    17: "variance of naive sampling from the prior",
    18: "the ring: its radius, density and entropy, sharp and blurred",
    19: "one dimension without approximation error: tables, slope 2",
    20: "a curved decoder: quadrature, grid, importance and annealed sampling",
    21: "annealed importance sampling on probabilistic PCA, from both sides",
    22: "the trained linear VAE is probabilistic PCA",
    23: "rate = information + KL of the aggregate posterior",
    24: "flows invert and know their volume; VampPrior of all data",
    25: "the contractive penalty: closed form, and estimates without bias",
    26: "the optimal linear denoiser",
    27: "sparse codes of an orthonormal decoder: soft threshold",
    28: "the linear autoencoder is PCA",
    29: "the linear-Gaussian conditional VAE is the conditional of the joint density",
    30: "discrete latents: enumeration, and estimators of its gradient",
    31: "free bits below the floor have no gradient; warm-up",
    32: "Frechet and kernel distances",
    35: "baselines of MNIST",
    36: "batch, order, chunk, type, device, seed and saving change nothing",
}
ELSEWHERE = {33: "metrics of disentanglement", 34: "compression"}  # no part of the package


def marked(source: str) -> dict[int, list[str]]:
    """The names of a file's tests by the oracle that they are marked with.

    Raises:
        ValueError: At a mark on what is no test, or without whole numbers.
    """
    found, tree = defaultdict(list), ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != "pytest.mark.oracle":
            continue
        numbers = [getattr(a, "value", None) for a in node.args]
        if not numbers or node.keywords or any(type(n) is not int for n in numbers):
            raise ValueError(f"line {node.lineno}: expected oracle(n, ...) of whole numbers")
        owners = [
            f.name
            for f in tree.body
            if isinstance(f, ast.FunctionDef)
            and f.name.startswith("test_")
            and any(d.lineno == node.lineno for d in f.decorator_list)
        ]
        if not owners:
            raise ValueError(f"line {node.lineno}: expected an oracle to be checked by a test")
        for n in numbers:
            found[n] += owners
    return dict(found)


def test_every_oracle_is_checked_by_a_test() -> None:
    """By what pytest collects from every file: `test_*.py` at the top of this folder."""
    found = defaultdict(list)
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            for n, names in marked(path.read_text(encoding="utf-8")).items():
                found[n] += [f"{path.name}::{name}" for name in names]
    assert sorted(ORACLES | ELSEWHERE) == list(range(1, 37))
    assert {n: what for n, what in ORACLES.items() if n not in found} == {}
    assert {n: names for n, names in found.items() if n not in ORACLES} == {}


def test_marks_are_read_as_pytest_reads_them() -> None:
    one = "@pytest.mark.slow\n@pytest.mark.oracle(3, 4)\ndef test_a(): ...\n"
    assert marked(one) == {3: ["test_a"], 4: ["test_a"]}
    assert marked("# @pytest.mark.oracle(3)\ndef test_a(): ...\n") == {}
    for wrong in (
        "@pytest.mark.oracle(3)\ndef helper(): ...\n",
        "@pytest.mark.oracle()\ndef test_a(): ...\n",
        "@pytest.mark.oracle('3')\ndef test_a(): ...\n",
        "pytest.mark.oracle(3)\n",
    ):
        with pytest.raises(ValueError, match="expected"):
            marked(wrong)
