// The heatmap of durations: columns of time, rows of durations that double.

import type { DurationsRow, Region } from './api';

/** The first row is of up to 2^20 ns; each further one of up to twice as long. */
const FIRST = 20;

export interface Heat {
  /** Starts of the columns, Unix ms. */
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

export function heatOf(rows: readonly DurationsRow[]): Heat | null {
  const names = Object.keys(rows[0] ?? {}).filter((key) => key !== 'time');
  const counts = rows.map((row) => names.map((name) => Number(row[name]) || 0));
  const used = names.flatMap((_, i) => (counts.some((c) => (c[i] ?? 0) > 0) ? [i] : []));
  const times = rows.map((row) => Date.parse(`${row.time.replace(' ', 'T')}Z`));
  if (used.length === 0) return null;
  return {
    times,
    step: (times[1] ?? (times[0] ?? 0) + 60_000) - (times[0] ?? 0),
    bounds: names.map((_, i) => (i === names.length - 1 ? Infinity : 2 ** (FIRST + i))),
    counts,
    first: Math.min(...used),
    last: Math.max(...used),
    most: Math.max(...counts.flat()),
  };
}

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
