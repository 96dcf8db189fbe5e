"""Adult: 48,842 people of the United States' census of 1994, and whether they earn over 50,000.

The label is `income`. 7.4 % of the rows lack a value, written `?`. The set's own test part is kept.

References:
    | Scaling up the accuracy of naive-Bayes classifiers: a decision-tree hybrid (Kohavi, 1996)
    | https://doi.org/10.24432/C5XW20
"""

from __future__ import annotations

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv

from ..fetch import File, Store
from ..found import Found
from ..memory import from_frame

__all__ = ["adult"]

FILES = {
    "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
NAMES = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)


def adult(store: Store) -> Found:
    """Returns six columns of numbers and eight of categories, labelled by income."""
    train, test = (_part(store, name) for name in FILES)
    return replace(train, test=test.train)


def _part(store: Store, name: str) -> Found:
    text = store.read("adult", File(name=name, sha256=(FILES[name],))).decode("ascii")
    # The test part begins with a line that is no row, and its labels end in full stops.
    lines = [line.rstrip(".").replace(", ", ",") for line in text.splitlines() if "," in line]
    read = pyarrow.csv.ReadOptions(column_names=list(NAMES))
    convert = pyarrow.csv.ConvertOptions(null_values=["?"], strings_can_be_null=True)
    table: pa.Table = pyarrow.csv.read_csv(
        io.BytesIO("\n".join(lines).encode()), read, convert_options=convert
    )
    return from_frame(table, label="income", library="file")
