"""Scenes and answers: of any run a page is told what is there, and every question is answered."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import diabolo
from diabolo.explore import Scene, answers, parts
from diabolo.explore.answers import ASKS, answer
from diabolo.explore.server import reply
from diabolo.explore.wire import Query, pack, parse
from diabolo.panels._rows import plane, rows
from diabolo.recipes import RECIPES
from diabolo.registry import keywords
from diabolo.tasks.impute import method_for

SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 3}
N = 40


def fit(x: Any, recipe: str, **options: Any) -> Any:
    known = keywords(RECIPES.load(recipe))
    own = {k: v for k, v in SMALL.items() if k in known} | options
    return diabolo.fit(x, recipe, epochs=1, batch_size=18, device="cpu", **own)


def names() -> list[str]:
    return [("left", "right")[i % 2] for i in range(N)]


def bits(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (N, *shape), dtype=np.uint8)


def greys(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (N, *shape), dtype=np.uint8)


def people() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, N),
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], N),
            "smokes": rng.random(N) < 0.5,
            "born": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 900, N), "D"),
            "children": rng.integers(0, 4, N),
        }
    )


def recipe(name: str) -> Any:
    needs = {"labels": names(), "condition": "labels"} if name in ("cvae", "m2") else {}
    return fit(bits(6), name, **needs)


OTHERS = {
    "grey": lambda: fit(greys(6, 5), "vae", labels=names()),
    "colour": lambda: fit(greys(6, 5, 3), "vae"),
    "first": lambda: fit(greys(3, 6, 5), "ae"),
    "real": lambda: fit(np.random.default_rng(3).normal(size=(N, 6, 5)), "vae"),
    "grid": lambda: fit(greys(6, 5) / 255.0, "vae"),
    "dequantized": lambda: fit(greys(6, 5), "vae", dequantize=True),
    "two channels": lambda: fit(greys(2, 6, 5), "vae"),
    "table": lambda: fit(people(), "vae"),
    "numbers": lambda: fit(people()[["age", "children"]], "vae"),
    "counts": lambda: fit(np.random.default_rng(4).poisson(3.0, (N, 5)), "vae"),
    "dropped": lambda: fit(bits(6), "cvae", labels=names(), condition="labels", dropout=0.2),
    "by number": lambda: fit(people(), "cvae", condition="age"),
    "by both": lambda: fit(people(), "cvae", condition=["age", "town"]),
    "class": lambda: fit(greys(6, 5), "cvae", labels=names(), condition="labels"),
    "line": lambda: fit(bits(6), "vae", latent=1),
}


MADE: dict[str, Scene] = {}


def scene(kind: str) -> Scene:
    if kind not in MADE:
        MADE[kind] = Scene(OTHERS[kind]() if kind in OTHERS else recipe(kind))
    return MADE[kind]


def ask(s: Scene, name: str, arrays: dict[str, np.ndarray] | None = None, **options: Any) -> Any:
    return answer(s, Query(1, name, options, arrays or {}))


def text(table: str) -> dict[str, np.ndarray]:
    """The array that a page sends of a table of text."""
    return {"text": np.frombuffer(table.encode(), np.uint8)}


def given(s: Scene) -> dict[str, Any]:
    """The condition that a page would send with a question."""
    told = s.conditions.describe()
    if told is None:
        return {}
    if told["kind"] == "label":
        return {"condition": 0}
    return {"condition": [c["start"] if c["levels"] else c["high"] for c in told["columns"]]}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of a few steps, which have the same shapes."""
    methods = {"gibbs": "gibbs(chains=2, sweeps=4)", "importance": "importance(k=20)"}
    monkeypatch.setattr(answers, "method_for", lambda run: methods[method_for(run)])


KINDS = (*RECIPES.names(), *OTHERS)
every = pytest.mark.parametrize("kind", KINDS)


@every
def test_a_scene_is_json_and_its_arrays_are_as_told(kind: str) -> None:
    s = scene(kind)
    told = json.loads(json.dumps(s.document(live=True), allow_nan=False))
    n, d = told["n"], told["code"]
    assert told["version"] == 1
    assert (n, d) == (len(s.rows), s.run.latent)
    assert {"codes", "items"} <= set(told["arrays"])
    states = {f"{k}.{p['name']}": p["state"] for k in ("map", "colour") for p in told[k + "s"]}
    for key, facts in told["arrays"].items():
        found = s.array(key)
        if states.get(key.replace("error.", "colour.")) == "later":
            assert found is None
            continue
        assert found is not None
        assert found.dtype == {"f4": "<f4", "u1": "u1", "i4": "<i4"}[facts["dtype"]]
        assert list(found.shape) == facts["shape"]
    assert sorted(e["index"] for e in told["latents"]) == list(range(d))
    rates = [e["rate"] for e in told["latents"]]
    assert told["order"] == ("spread" if None in rates else "rate")
    assert dict(told["facts"])["Sliders"].startswith(f"by {told['order']}, ")
    key = rates
    if None in rates:
        key = s.latents.activity[[e["index"] for e in told["latents"]]].tolist()
        key = [v for v in key if not math.isnan(v)]  # names, which come last
    assert key == sorted(key, reverse=True)
    for e in told["latents"]:
        assert e["low"] < e["high"]
        assert e["low"] <= e["start"] <= e["high"]
    assert told["colours"][0]["state"] == "ready"
    for c in told["colours"]:
        assert (c["levels"] is not None) == (c["kind"] == "levels")
        assert c["about"].endswith(".")
    assert set(told["can"]) == {"decode", "encode", "sample", "score", "impute", "uncertainty"}
    assert all(v is True or v.endswith(".") for v in told["can"].values())
    assert all(v.endswith(".") for v in told["verdict"])
    saved = s.can(False)
    for name, reason in told["can"].items():  # what no server can do none is asked for
        assert reason is True or saved[name] == reason


@every
def test_every_question_has_an_answer_or_a_sentence(kind: str) -> None:
    s = scene(kind)
    item = s.items.array() if s.items.kind == "image" else s.items.values
    m, shape = min(3, s.limits.batch), s.items.shape
    z = s.codes[:m]
    x = item[:1].astype(item.dtype)
    mask = np.ones((1, *shape), np.uint8)
    mask.reshape(-1)[: mask.size // 2] = 0
    asked = {
        "decode": ({"z": z}, {"sd": True, **given(s)}),
        "row": ({}, {"index": 2}),
        "encode": ({"x": x}, given(s)),
        "impute": ({"x": x, "mask": mask}, {"draws": 2, **given(s)}),
        "sample": ({}, {"n": m, **given(s)}),
        "parse": (text(_csv(s)), {}),
    }
    assert set(asked) == set(ASKS)
    can = s.can(True)
    if s.items.kind == "image":
        can["parse"] = "This run is of pictures: send one, not a table."
    found = {}
    for name, (arrays, options) in asked.items():
        if can.get(name, True) is not True:
            with pytest.raises(diabolo.DiaboloError, match=re.escape(can[name])):
                ask(s, name, arrays, **options)
            continue
        found[name] = ask(s, name, arrays, **options)
        pack({"id": 1, "ok": True, **found[name].facts}, found[name].arrays)
    assert found["decode"].arrays["mean"].shape == (m, *shape)
    for name in ("row", "encode"):
        assert found[name].arrays["code"].shape == (1, s.run.latent)
        assert found[name].arrays["mean"].shape == (1, *shape)
        assert math.isfinite(found[name].facts["distortion"])
    if "impute" in found:
        assert found["impute"].arrays["best"].shape == (1, *shape)
        assert found["impute"].arrays["draws"].shape == (2, *shape)
    if "sample" in found:
        assert found["sample"].arrays["z"].shape == (m, s.run.latent)
        assert found["sample"].arrays["mean"].shape == (m, *shape)


def _csv(s: Scene) -> str:
    if s.items.kind == "table":
        return people().to_csv(index=False)
    return "\n".join(",".join("1" for _ in range(s.items.size)) for _ in range(3))


@every
def test_decoding_is_that_of_the_run(kind: str) -> None:
    s = scene(kind)
    z, told = s.codes[:2], s.conditions.describe()
    c: dict[str, Any] = {}
    if told is not None and told["kind"] == "label":
        c = {"label": told["levels"][0]}
    elif told is not None:
        c = {"condition": _values(told)}
    mine = ask(s, "decode", {"z": z}, **given(s)).arrays["mean"]
    theirs = s.run.decode(z, **c)
    if s.run.schema.table is not None:
        theirs = s.run.schema.numbered(_rows_of(theirs, s)).x
        mine = s.run.schema.numbered(_rows_of(s.run.schema.table.decode(mine), s)).x
    grain = 1.0 if s.run.schema.units == "levels" or s.run.schema.dequantize else 1e-5
    assert_allclose(mine, np.asarray(theirs, dtype=np.float32).reshape(mine.shape), atol=grain)


def test_a_page_can_make_the_condition_that_networks_read() -> None:
    s = scene("by both")
    told = s.conditions.describe()
    assert told is not None
    mine: list[float] = []
    for c, value in zip(told["columns"], s.conditions.rows[3].tolist(), strict=True):
        if c["levels"]:
            mine += [float(i == value) for i in range(len(c["levels"]))]
        else:
            mine.append((value - c["mean"]) / c["scale"])
    assert_allclose(mine, s.rows.data.c[3].numpy(), atol=1e-5)


def _values(told: dict[str, Any]) -> dict[str, Any]:
    each = {c["name"]: c["levels"][0] if c["levels"] else c["high"] for c in told["columns"]}
    return {k: [v] for k, v in each.items()}


def _rows_of(frame: Any, s: Scene) -> Any:
    from diabolo.data.memory import from_memory

    return from_memory(frame, columns=s.run.schema.columns).train


@pytest.mark.parametrize("kind", ["vae", "ae", "table", "class", "hierarchical"])
def test_numbers_of_the_page_are_those_of_the_report(kind: str) -> None:
    s = scene(kind)
    found = rows(s.run)
    assert_array_equal(s.array("codes"), found.codes)
    assert_array_equal(s.array("map.pca"), plane(found).points)
    names = ["distortion"] if s.run.model.deterministic else ["rate", "distortion", "bound"]
    for name in names:
        assert_array_equal(s.array(f"colour.{name}"), getattr(found, name).astype(np.float32))
    seen = ask(s, "row", index=1).facts
    for name in names:
        assert seen[name] == pytest.approx(getattr(found, name)[1], rel=1e-4, abs=1e-4)
        each = found.estimate(name)
        assert each is not None
        assert each.per_datum_stderr is not None
        error = each.per_datum_stderr.numpy()
        exact = kind == "ae" or (name == "rate" and kind != "hierarchical")
        assert (error == 0).all() == exact
        assert_array_equal(s.array(f"error.{name}"), error.astype(np.float32))
        assert seen[f"{name}_stderr"] == pytest.approx(error[1], rel=1e-3, abs=1e-4)


def test_slow_parts_are_made_later_and_told() -> None:
    s = Scene(fit(bits(6), "vae", latent=4), bits(6))
    later = [("colour", "latent_distance"), ("colour", "log_likelihood"), ("map", "tsne")]
    assert s.array("map.tsne") is None
    told: list[Any] = []
    s.begin(lambda *event: told.append(event)).join(60)
    assert told == [(kind, name, "ready") for kind, name in later]
    found = rows(s.run, bits(6), likelihood=50).log_likelihood
    assert_allclose(s.array("colour.log_likelihood"), found, rtol=1e-4)
    assert s.array("map.tsne").shape == (len(s), 2)
    seen = ask(s, "row", index=0).facts
    assert seen["below_of"] == "log_likelihood"
    assert seen["log_likelihood"] == pytest.approx(found[0], abs=1e-3)
    assert seen["below"] == pytest.approx((found < found[0]).mean(), abs=2 / len(s))


def test_a_map_that_takes_too_many_rows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SPREAD", 20)
    s = Scene(scene("vae").run, bits(6))
    assert s.maps[1].fill() == "failed"
    told = s.document(live=True)
    assert "20 rows at most" in told["maps"][1]["about"]
    assert "map.tsne" not in told["arrays"]


def test_a_picture_is_read_in_bytes_as_it_was_shown() -> None:
    for kind in ("grey", "colour", "first", "grid", "dequantized"):
        s = scene(kind)
        shown = s.array("items")[:1]
        same = ask(s, "encode", {"x": shown}).arrays["code"]
        mine = ask(s, "encode", {"x": s.items.values[:1].astype(np.float32)}).arrays["code"]
        assert_allclose(same, mine, atol=1e-5)


def test_what_is_seen_stays_and_what_is_hidden_is_filled() -> None:
    s = scene("table")
    x = s.items.values[:1]
    mask = np.array([[1, 0, 1, 1, 0]], np.uint8)
    found = ask(s, "impute", {"x": x, "mask": mask}, draws=3).arrays
    seen = mask[0] == 1
    assert_allclose(found["best"][:, seen], x[:, seen], rtol=1e-6)
    assert_allclose(found["draws"][:, seen], np.repeat(x[:, seen], 3, 0), rtol=1e-6)
    assert set(found["draws"][:, 1]) <= {0.0, 1.0, 2.0}


def test_a_table_is_read_as_it_is_shown() -> None:
    s = scene("table")
    told = s.document(live=True)["item"]
    assert [c["kind"] for c in told["columns"]][:4] == ["number", "levels", "boolean", "date"]
    found = ask(s, "parse", text("age,town,smokes,born,children\n41,Kiel,true,2000-01-31,2\n"))
    x = found.arrays["x"]
    assert told["columns"][1]["levels"][int(x[0, 1])] == "Kiel"
    first = np.datetime64(told["columns"][3]["unit"].removeprefix("days from "))
    assert first + np.timedelta64(int(x[0, 3]), "D") == np.datetime64("2000-01-31")
    assert math.isfinite(ask(s, "encode", {"x": x}).facts["bound"])


def test_a_condition_moves_what_is_decoded() -> None:
    s = scene("class")
    z = s.codes[:1]
    one, two = (ask(s, "decode", {"z": z}, condition=i).arrays["mean"] for i in (0, 1))
    both = ask(s, "decode", {"z": np.repeat(z, 2, 0), "condition": np.array([0, 1], np.int32)})
    assert not np.allclose(one, two)
    assert_allclose(both.arrays["mean"], np.concatenate([one, two]), atol=1e-4)
    assert_array_equal(s.array("condition"), s.rows.labels)


REFUSED = {
    "unknown ask": ("vae", "decod", {}, {}, "Did you mean 'decode'"),
    "no codes": ("vae", "decode", {}, {}, "needs the array 'z'"),
    "wide codes": ("vae", "decode", {"z": np.zeros((1, 9), np.float32)}, {}, "shape"),
    "no rows": ("vae", "decode", {"z": np.zeros((0, 3), np.float32)}, {}, "m from 1"),
    "flat codes": ("vae", "decode", {"z": np.zeros(3, np.float32)}, {}, "shape"),
    "codes of bytes": ("vae", "decode", {"z": np.zeros((1, 3), np.uint8)}, {}, "f4"),
    "nan": ("vae", "decode", {"z": np.full((1, 3), np.nan, np.float32)}, {}, "finite"),
    "inf": ("vae", "decode", {"z": np.full((1, 3), np.inf, np.float32)}, {}, "finite"),
    "many": ("vae", "decode", {"z": np.zeros((513, 3), np.float32)}, {}, "512"),
    "condition": ("vae", "decode", {"z": np.zeros((1, 3), np.float32)}, {"condition": 0}, "no c"),
    "lacking": ("class", "decode", {"z": np.zeros((1, 3), np.float32)}, {}, "give a condition"),
    "far class": ("class", "sample", {}, {"condition": 2}, "from 0 to 1"),
    "half class": ("class", "sample", {}, {"condition": 0.5}, "from 0 to 1"),
    "text class": ("class", "sample", {}, {"condition": "left"}, "codes of levels"),
    "true class": ("class", "sample", {}, {"condition": True}, "codes of levels"),
    "huge number": ("by number", "sample", {}, {"condition": [1e300]}, "finite"),
    "below 0": ("vae", "row", {}, {"index": -1}, "from 0"),
    "behind": ("vae", "row", {}, {"index": 10**9}, "from 0"),
    "no index": ("vae", "row", {}, {}, "from 0"),
    "true index": ("vae", "row", {}, {"index": True}, "from 0"),
    "text index": ("vae", "row", {}, {"index": "1"}, "from 0"),
    "two items": ("grey", "encode", {"x": np.zeros((2, 6, 5), np.uint8)}, {}, "one item"),
    "small item": ("grey", "encode", {"x": np.zeros((1, 5, 5), np.uint8)}, {}, "6 x 5"),
    "one number": ("grey", "encode", {"x": np.zeros((), np.float32)}, {}, "one item"),
    "bytes": ("vae", "encode", {"x": np.zeros((1, 6), np.uint8)}, {}, "pictures"),
    "not a bit": ("vae", "encode", {"x": np.full((1, 6), 7, np.float32)}, {}, "0 and 1|binary"),
    "infinite": ("grey", "encode", {"x": np.full((1, 6, 5), np.inf, np.float32)}, {}, "finite"),
    "level": ("table", "encode", {"x": np.full((1, 5), 1e9, np.float32)}, {}, "categor|column"),
    "no mask": ("vae", "impute", {"x": np.zeros((1, 6), np.float32)}, {}, "'mask'"),
    "draws": ("vae", "impute", {}, {"draws": 10**6}, "64"),
    "samples": ("vae", "sample", {}, {"n": 10**9}, "512"),
    "seed": ("vae", "sample", {}, {"seed": -1}, "seed"),
    "no samples": ("ae", "sample", {}, {}, "no density"),
    "no table": ("table", "parse", {}, {}, "text"),
    "empty table": ("table", "parse", text(" "), {}, "empty"),
    "odd table": ("table", "parse", text('a,"b\n1'), {}, "."),
    "other table": ("table", "parse", text("a,b\n1,2\n3,4\n"), {}, "lacks the columns"),
    "picture": ("grey", "parse", text("a,b\n1,2\n3,4\n"), {}, "pictures"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_told_in_a_sentence(case: str) -> None:
    kind, name, arrays, options, words = REFUSED[case]
    s = scene(kind)
    with pytest.raises(diabolo.DiaboloError, match=words):
        ask(s, name, arrays, **options)
    raw = reply(s, parse(pack({"id": 7, "ask": name, **options}, arrays)))
    told = json.loads(raw[4:])
    assert (told["id"], told["ok"]) == (7, False)
    assert "Traceback" not in told["error"]
    assert "/" not in told["error"].replace("and/or", "")


def test_a_bomb_of_text_is_read_to_its_limit() -> None:
    s = scene("numbers")
    found = ask(s, "parse", text("age,children\n" + "41.5,2\n" * 20_000))
    assert found.arrays["x"].shape == (s.limits.rows, 2)
    assert found.facts["rows"] == 20_000
    for count, words in ((5000, "5000 columns"), (30_000, "field larger than field limit")):
        wide = ",".join(f"c{i}" for i in range(count))
        with pytest.raises(diabolo.DiaboloError, match=words):
            ask(s, "parse", text(f"{wide}\n{wide}\n"))


def test_statistics_of_a_stranger_that_are_none_are_made_anew() -> None:
    run = fit(bits(6), "vae")
    good = Scene(run).document(live=True)["latents"]
    for bad in ([float("nan")] * 3, [0.0] * 5, "text", [[1.0]] * 3):
        run.metrics["latents"] = {f: bad for f in ("rate", "mean", "scale", "activity")}
        told = Scene(run).document(live=True)["latents"]
        assert sorted(e["index"] for e in told) == [0, 1, 2]
        assert [e["low"] < e["high"] for e in told] == [True] * 3
    assert len(good) == 3


def test_a_code_of_names_has_a_map_of_what_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its distances on all axes count the elements that differ, not how far their numbers are."""
    run = recipe("discrete_vae")
    levels = run.model.levels
    assert all(levels)
    s = Scene(run)
    (told,) = s.document(live=True)["maps"]
    assert (told["state"], told["linear"], told["title"]) == ("ready", None, "Principal components")
    points = s.array("map.pca")
    codes = s.codes.astype(int)
    assert points is not None
    assert points.shape == (len(s), 2)
    same = (codes[:, None] == codes[None]).all(-1)
    gap = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert gap[same] == pytest.approx(0, abs=1e-5)
    differ = (codes[:, None] != codes[None]).sum(-1)
    assert (gap <= np.sqrt(2 * differ) + 1e-5).all()  # a projection of the indicators
    assert dict(s.document(live=True)["facts"])["Latent"] == (
        f"{run.latent} elements, discrete ones with {levels[0]} values"
    )
    monkeypatch.setattr(parts, "INDICATORS", 1)
    (told,) = Scene(run).document(live=True)["maps"]
    assert told["state"] == "failed"
