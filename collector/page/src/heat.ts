// The heatmap of durations: columns of time, rows of durations that double.

import type { DurationsRow, Region } from './api';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const STEPS = 40;

/** The collector's step of a range: a 40th of it, in whole minutes or whole hours, as its rollups are. */
export function stepOfRange(from: number, to: number): number {
  const wanted = (to - from) / STEPS;
  const unit = wanted > HOUR / 2 ? HOUR : MINUTE;
  return Math.max(1, Math.ceil(wanted / unit)) * unit;
}

/** The first row is of up to 2^20 ns; each further one of up to twice as long. */
const FIRST = 20;

export interface Heat {
  /** Starts of the columns, Unix ms: all of the range, also those in which nothing was. */
  times: number[];
  step: number;
  /** Upper bounds of the rows, ns; the last has none. */
  bounds: number[];
  /** Counts by column, then row. */
  counts: number[][];
  /** The rows that have any. */
  first: number;
  last: number;
  most: number;
}

export function heatOf(rows: readonly DurationsRow[], from: number, to: number): Heat | null {
  const names = Object.keys(rows[0] ?? {}).filter((key) => key !== 'time');
  const step = stepOfRange(from, to);
  // Answers have no row for a step in which nothing was.
  const known = new Map(rows.map((row) => [Date.parse(`${row.time.replace(' ', 'T')}Z`), row]));
  const [anchor = 0] = known.keys();
  const begin = anchor - Math.ceil((anchor - from) / step) * step;
  const times = Array.from({ length: Math.ceil((to - begin) / step) }, (_, i) => begin + i * step);
  const counts = times.map((at) => names.map((name) => Number(known.get(at)?.[name]) || 0));
  const used = names.flatMap((_, i) => (counts.some((c) => (c[i] ?? 0) > 0) ? [i] : []));
  if (used.length === 0) return null;
  return {
    times,
    step,
    bounds: names.map((_, i) => (i === names.length - 1 ? Infinity : 2 ** (FIRST + i))),
    counts,
    first: Math.min(...used),
    last: Math.max(...used),
    most: Math.max(...counts.flat()),
  };
}

/** The column that holds this time, or the one next to it. */
export const columnAt = ({ times, step }: Heat, at: number): number =>
  Math.max(0, Math.min(times.length - 1, Math.floor((at - (times[0] ?? 0)) / step)));

/** Cells from one corner to another. */
export interface Cells {
  left: number;
  right: number;
  low: number;
  high: number;
}

const LONGEST = 2 ** 62;

export function regionOf({ times, step, bounds }: Heat, cells: Cells): Region {
  const up = bounds[cells.high] ?? Infinity;
  return {
    from: times[cells.left] ?? 0,
    to: (times[cells.right] ?? 0) + step,
    over: cells.low === 0 ? 0 : (bounds[cells.low - 1] ?? 0),
    upTo: Number.isFinite(up) ? up : LONGEST,
  };
}

export const pickText = ({ from, to, over, upTo }: Region) => [from, to, over, upTo].join('-');

export function parsePick(text: string): Region | null {
  const parts = text.split('-').map(Number);
  const [from, to, over, upTo] = parts;
  if (parts.length !== 4 || parts.some((n) => !Number.isFinite(n) || n < 0)) return null;
  return { from: from ?? 0, to: to ?? 0, over: over ?? 0, upTo: upTo ?? 0 };
}
