import { expect, test } from "vitest";
import { cell, nats, number, percent, readCell, spreadText, written } from "./format";
import { read, write } from "./hash";
import { field } from "./sheet";
import type { Column } from "./types";

const column = (over: Partial<Column>): Column => ({ name: "a", kind: "number", levels: null, low: 0, high: 1, step: null, unit: null, ...over });

test("numbers keep about four figures and a true minus", () => {
  expect(number(-123.456)).toBe("\u2212123.5");
  expect(number(0.01234)).toBe("0.01234");
  expect(number(0.0675, 3)).toBe("0.0675");
  expect(number(0.314159, 2)).toBe("0.31");
  expect(number(0)).toBe("0");
  expect(number(1234567)).toBe("1.23e+6");
  expect(number(NaN)).toBe("\u2013");
  expect(percent(0.004)).toBe("less than 1 %");
});

test("a rate of nothing is nought, and a spread has its unit where it has a meaning", () => {
  expect(nats(-1.81e-8)).toBe("0");
  expect(nats(-0.01676)).toBe("\u22120.01676");
  expect(spreadText(31.46, column({}))).toBe("\u00b1 31.5");
  expect(spreadText(0.49, column({ kind: "boolean" }))).toBe("");
  expect(spreadText(994.2, column({ kind: "date" }))).toBe("\u00b1 994 days");
});

test("cells are read as they are written", () => {
  const date = column({ kind: "date", step: 1, unit: "days from 2019-03-01" });
  expect(cell(31, date)).toBe("2019-04-01");
  expect(readCell("2019-04-01", date)).toBe(31);
  const levels = column({ kind: "levels", levels: ["no", "some"] });
  expect(cell(1, levels)).toBe("some");
  expect(readCell("some", levels)).toBe(1);
  expect(readCell("none", levels)).toBeNull();
  expect(readCell("", column({}))).toBeNaN();
  expect(readCell("abc", column({}))).toBeNull();
  expect(readCell("\u22122.5", column({}))).toBe(-2.5);
});

test("files hold all digits of a number", () => {
  const texts = [0.1, -123456.789, 1234567, 1e-7, 16777217].map((v) => written(Math.fround(v), column({})));
  expect(texts).toEqual(["0.1", "-123456.79", "1234567", "1e-7", "16777216"]);
  expect(texts.map((t) => Math.fround(Number(t)))).toEqual([0.1, -123456.789, 1234567, 1e-7, 16777217].map(Math.fround));
  expect(written(2.7, column({ step: 1 }))).toBe("3");
  expect(written(1, column({ kind: "levels", levels: ["no", "some"] }))).toBe("some");
  expect(written(NaN, column({}))).toBe("");
});

test("a link restores its view", () => {
  const view = { map: "pca", colour: "column 3", tab: "between", row: 12, z: [0.5, -1.25], condition: 4, by: "server" as const, a: 3, b: 4 };
  expect(read(write(view))).toEqual(view);
});

test("a hash from a stranger gives only what it may hold", () => {
  expect(read("#z=1e39,0&c=1e39")).toEqual({}); // no float32
  expect(read("#map=<img>&row=-1&z=1,x&by=elsewhere&c=NaN&a=1e9")).toEqual({});
});

test("fields of CSV are quoted and no formula is left", () => {
  expect(field('say "a, b"')).toBe('"say ""a, b"""');
  expect(field("=HYPERLINK(1)")).toBe("'=HYPERLINK(1)");
  expect(field("-1.5")).toBe("-1.5");
  expect(field("-x")).toBe("'-x");
});
