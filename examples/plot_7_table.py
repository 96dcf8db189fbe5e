"""
A table with words, dates and holes
===================================

A data frame is read column by column: each has a kind, a density of its own, and what is missing
is not seen. What comes out is a data frame again.
"""

import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

import diabolo
from diabolo import panels

# %%
# The wines of scikit-learn, with a few columns as people have them: the cultivar in words, a mark
# in three levels, a date of bottling, a number of each bottle, and holes.

found = load_wine(as_frame=True)
rng = np.random.default_rng(0)
columns = ["alcohol", "malic_acid", "color_intensity", "proline"]
wine = (
    found.data[columns]
    .round(2)
    .assign(
        cultivar=np.array(["Barolo", "Grignolino", "Barbera"])[found.target],
        mark=pd.cut(found.data["flavanoids"], 3, labels=["low", "mid", "high"]),
        bottled=pd.Timestamp("1990-03-01")
        + pd.to_timedelta(rng.integers(0, 900, len(found.data)), "D"),
        bottle=[f"no. {i}" for i in range(len(found.data))],
    )
)
wine = wine.mask(rng.random(wine.shape) < 0.1)
print(wine.head())

# %%
# One call fits it. The notes say what each column was taken for, and what is odd.

run = diabolo.fit(
    wine, latent=3, net="mlp(hidden=(64,))", epochs=300, batch_size=32, learning_rate=2e-3
)
for note in run.notes:
    print("-", note)

# %%
# New rows are complete, and have the columns, levels and types of the table.

more = run.sample(500)
print(more.head())
assert (more.dtypes == wine.dtypes[more.columns]).all()
assert not more.isna().any().any()

# %%
# What goes together in the data goes together in them: the strongest wines are Barolo.

both = pd.DataFrame(
    {
        "data": wine.groupby("cultivar")["alcohol"].mean(),
        "samples": more.groupby("cultivar")["alcohol"].mean(),
    }
)
print(both.round(2))
assert both["samples"].idxmax() == both["data"].idxmax() == "Barolo"

# %%
# Rows with holes have a code and a likelihood like any others; their holes stay what they are
# until somebody asks for them to be filled in.

holes = wine[wine["cultivar"].isna()].drop(columns="bottle")
guess = run.reconstruct(holes)["cultivar"]
right = np.array(["Barolo", "Grignolino", "Barbera"])[found.target][holes.index]
print(f"{(guess == right).mean():.0%} of {len(holes)} missing cultivars are told by the rest.")
assert (guess == right).mean() > 0.6

# %%
# The figure of the samples, by column, beside data that were not trained on.

samples = panels.PANELS.load("samples")(run)
