/** Numbers and values as people read them. */
import type { Column } from "./types";

const MINUS = "\u2212";

/** A number with about `digits` figures that count. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
  if (!Number.isFinite(value)) return value > 0 ? "\u221e" : MINUS + "\u221e";
  const size = Math.abs(value);
  let text: string;
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-4) text = value.toExponential(Math.max(0, digits - 2));
  else {
    const whole = Math.floor(Math.log10(size)) + 1; // figures before the point; noughts behind it count as less than none
    text = value.toFixed(Math.max(0, digits - whole));
    if (text.includes(".") && digits > 4) text = text.replace(/\.?0+$/, "");
  }
  return text.replace("-", MINUS);
}

/** A number of nats; what is below the error of its sum is nothing. */
export function nats(value: number | null | undefined): string {
  return number(typeof value === "number" && Math.abs(value) < 1e-6 ? 0 : value);
}

export function percent(share: number): string {
  if (Number.isNaN(share)) return "\u2013";
  const p = 100 * share;
  return p > 0 && p < 1 ? "less than 1 %" : p > 99 && p < 100 ? "more than 99 %" : `${Math.round(p)} %`;
}

/** A cell of a table as text; dates are days from the one that their unit names. */
export function cell(value: number, column: Column): string {
  if (Number.isNaN(value)) return "";
  if (column.kind === "levels" && column.levels)
    return column.levels[Math.max(0, Math.min(column.levels.length - 1, Math.round(value)))];
  if (column.kind === "boolean") return column.levels?.[Math.round(value)] ?? (value >= 0.5 ? "yes" : "no");
  if (column.kind === "date") return dateText(column.step ? Math.round(value) : value, column);
  const rounded = column.step ? Math.round(value / column.step) * column.step : value;
  return number(rounded, 5);
}

/** The shortest decimal number that is the same float32. */
export function exact(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

/** A cell of a file: as people read it, but for numbers, of which all digits are told. */
export function written(value: number, column: Column): string {
  if (column.kind !== "number" || Number.isNaN(value)) return cell(value, column);
  return exact(column.step ? Math.round(value / column.step) * column.step : value);
}

/** The standard deviation of a cell; that of a truth value tells nothing beside it. */
export function spreadText(sd: number, column: Column): string {
  return column.kind === "boolean" ? "" : `± ${number(sd, 3)}${column.kind === "date" ? " days" : ""}`;
}

/** Milliseconds of the day that a column of dates counts from: its unit is "days from 2019-03-01". */
function origin(column: Column): number {
  const told = /\d{4}-\d{2}-\d{2}/.exec(column.unit ?? "");
  return told ? Date.parse(`${told[0]}T00:00:00Z`) : 0;
}

function dateText(days: number, column: Column): string {
  const date = new Date(origin(column) + Math.round(days * 864e5));
  if (Number.isNaN(date.getTime())) return number(days);
  const text = date.toISOString();
  return column.step === null ? text.slice(0, 16).replace("T", " ") : text.slice(0, 10);
}

/** The number that a text stands for in a column; NaN for an empty one, null where it cannot be read. */
export function readCell(text: string, column: Column): number | null {
  const clean = text.trim();
  if (clean === "") return NaN;
  if (column.levels) {
    const at = column.levels.indexOf(clean);
    return at < 0 ? null : at;
  }
  if (column.kind === "boolean") return /^(1|yes|true)$/i.test(clean) ? 1 : /^(0|no|false)$/i.test(clean) ? 0 : null;
  if (column.kind === "date") {
    const time = Date.parse(clean.length > 10 ? `${clean.replace(" ", "T")}Z` : `${clean}T00:00:00Z`);
    return Number.isNaN(time) ? null : (time - origin(column)) / 864e5;
  }
  const value = Number(clean.replace(MINUS, "-"));
  return Number.isNaN(value) ? null : value;
}

export function count(n: number): string {
  return n.toLocaleString("en");
}
