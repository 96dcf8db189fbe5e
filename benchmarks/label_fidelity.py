"""Whether a conditional model draws the label that it is asked for.

python benchmarks/label_fidelity.py RUN --data-dir DATA --out docs/results/label_fidelity.json

RUN is a `cvae` of a named set of grey images with labels, read as its own configuration says
(binarised or not). The judge is a classifier that has nothing to do with the model: scikit-learn's
perceptron, trained on the set's own images as the model saw them, whose accuracy on the test
images is printed beside. Two questions: do samples for a label look like it, and does a test image
decoded under another label change? All noise follows `--seed`, so that the figures repeat.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier

import diabolo
from diabolo.data import Data, Loaded


def some(data: Data, n: int, seed: int) -> Data:
    """Returns n of the data, by the seed."""
    return data.take(torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:n])


def seen(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Returns images (n, pixels) in [0, 1] as the model sees them, and their labels."""
    assert data.labels is not None
    return data.batch(torch.arange(len(data))).x.flatten(1).numpy(), data.labels.numpy()


def scaled(run: diabolo.Run, x: np.ndarray) -> np.ndarray:
    """Returns images of the user's own levels as (n, pixels) in [0, 1]."""
    low, high = run.schema.span or (0.0, 1.0)
    return (x.reshape(len(x), -1).astype(np.float32) - low) / (high - low)


def fidelity(
    run: diabolo.Run,
    loaded: Loaded,
    *,
    per_label: int = 200,
    judge_images: int = 30_000,
    test_images: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns how often the judge sees the label that was asked for.

    Arguments:
        run: A run conditional on labels.
        loaded: Its data, read as the run reads them.
        per_label: How many samples of each label.
        judge_images: How many training images the judge sees, at most.
        test_images: How many test images are judged and decoded, at most.
        seed: Keys the choice of images and all draws.
    """
    judge = MLPClassifier((512,), batch_size=256, max_iter=20, random_state=seed, tol=0.0)
    judge.fit(*seen(some(loaded.splits.train, judge_images, seed)))
    held = some(loaded.splits.test or loaded.splits.valid, test_images, seed)
    x, y = seen(held)

    classes = run.schema.classes
    drawn = [
        run.sample(per_label, label=name, seed=seed * len(classes) + code)
        for code, name in enumerate(classes)
    ]
    asked = np.arange(len(classes)).repeat(per_label)
    agreement = judge.predict(scaled(run, np.concatenate(drawn))) == asked

    # The same codes under another label: the digit must follow the label, not the code.
    z = run.encode(held)
    other = (y + 1) % len(classes)

    def decoded(codes: np.ndarray) -> np.ndarray:
        found = run.decode(z, label=[classes[i] for i in codes], mean=False, seed=seed)
        return judge.predict(scaled(run, found))

    return {
        "run": {
            "recipe": run.config.recipe,
            "source": run.config.data.source,
            "binarize": run.config.data.binarize,
        },
        "seed": seed,
        "judge_accuracy_on_test": float(judge.score(x, y)),
        "samples": len(agreement),
        "agreement": float(agreement.mean()),
        "agreement_stderr": float(agreement.std() / np.sqrt(len(agreement))),
        "agreement_per_label": {
            name: float(agreement[asked == i].mean()) for i, name in enumerate(classes)
        },
        "swapped_agrees_with_new_label": float((decoded(other) == other).mean()),
        "kept_agrees_with_own_label": float((decoded(y) == y).mean()),
    }


def main() -> None:
    """Reads the run, trains the judge, prints and writes the agreement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--per-label", type=int, default=200)
    parser.add_argument("--judge-images", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    run = diabolo.load(args.run)
    config = run.config.data
    if args.data_dir is not None:
        config = replace(config, data_dir=args.data_dir)
    loaded = diabolo.data.load(config.source, config)
    found = fidelity(
        run, loaded, per_label=args.per_label, judge_images=args.judge_images, seed=args.seed
    )
    print(json.dumps(found, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
