"""Whether a conditional model draws the label that it is asked for.

python benchmarks/label_fidelity.py RUN --data-dir DATA --out docs/results/label_fidelity.json

RUN is a `cvae` of a named set of grey images with labels. The judge is a classifier that has
nothing to do with the model: scikit-learn's perceptron, trained on the set's own images (bits or
grey, as the model saw them), whose accuracy on the test images is printed beside. Two questions:
do samples for a label look like it, and does a test image decoded under another label change?
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier

import diabolo
from diabolo.data import Data


def images(data: Data, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns n images (n, pixels) in [0, 1] as the model sees them, and their labels."""
    rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:n]
    assert data.labels is not None
    return data.batch(rows).x.flatten(1).numpy(), data.labels[rows].numpy()


def main() -> None:
    """Reads the run, trains the judge, prints and writes the agreement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--per-label", type=int, default=200)
    parser.add_argument("--judge-images", type=int, default=30_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    run = diabolo.load(args.run)
    loaded = diabolo.data.load(
        run.config.data.source, diabolo.DataConfig(binarize="dynamic", data_dir=args.data_dir)
    )
    train, test = loaded.splits.train, loaded.splits.test
    assert test is not None
    judge = MLPClassifier((256,), batch_size=256, max_iter=12, random_state=0, tol=0.0)
    judge.fit(*images(train, args.judge_images))
    x, y = images(test, 2000)
    accuracy = float(judge.score(x, y))

    classes = run.schema.classes
    samples, asked = [], []
    for code, name in enumerate(classes):
        drawn = run.sample(args.per_label, label=name, seed=code)
        samples.append(drawn.reshape(len(drawn), -1) / 255.0)
        asked.append(np.full(len(drawn), code))
    agreement = judge.predict(np.concatenate(samples)) == np.concatenate(asked)

    # The same codes under another label: the digit must follow the label, not the code.
    with torch.no_grad():
        c = torch.eye(len(classes))
        z, _ = run.model.encode(torch.from_numpy(x).view(-1, *run.spec.event), c[y])
        other = torch.from_numpy((y + 1) % len(classes))
        swapped = run.model.decode(z, c[other]).sample().flatten(1).numpy()
        kept = run.model.decode(z, c[y]).sample().flatten(1).numpy()
    found = {
        "run": {"recipe": run.config.recipe, "source": run.config.data.source},
        "judge_accuracy_on_test": accuracy,
        "samples": len(agreement),
        "agreement": float(agreement.mean()),
        "agreement_stderr": float(agreement.std() / np.sqrt(len(agreement))),
        "agreement_per_label": {
            name: float(agreement[np.concatenate(asked) == i].mean())
            for i, name in enumerate(classes)
        },
        "swapped_agrees_with_new_label": float((judge.predict(swapped) == other.numpy()).mean()),
        "kept_agrees_with_own_label": float((judge.predict(kept) == y).mean()),
    }
    print(json.dumps(found, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
