// Trends: blocked time by step of time, as pairs of the step's start and the time blocked in it.

import type { TrendPoint } from './api';

const MINUTE = 60_000;
const STEPS = 40;

/**
 * The step of trends that were answered together: what all distances are multiples of. Few points
 * may be further apart; a step is a 40th of the range, in whole minutes, at most.
 */
export function stepOf(trends: readonly TrendPoint[][], from: number, to: number): number {
  const most = Math.max(1, Math.ceil((to - from) / STEPS / MINUTE)) * MINUTE;
  const times = trends.flatMap((trend) => trend.map(([at]) => at));
  const first = times[0] ?? 0;
  const shared = times.reduce((step, at) => divisor(step, Math.abs(at - first)), 0);
  return shared > 0 ? Math.min(most, shared) : most;
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** One trend out of several: points of the same step are added. */
export function addTrends(trends: readonly TrendPoint[][]): TrendPoint[] {
  const sums = new Map<number, number>();
  for (const trend of trends) {
    for (const [at, ns] of trend) sums.set(at, (sums.get(at) ?? 0) + ns);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/**
 * The trend in a fixed number of bins. A point is spread over the bins that its step covers, so
 * that steps and bins of unlike width leave no false peaks.
 */
export function binned(
  trend: readonly TrendPoint[],
  step: number,
  from: number,
  to: number,
  bins: number,
): number[] {
  const out = new Array<number>(bins).fill(0);
  const width = (to - from) / bins;
  if (!(width > 0)) return out;
  for (const [at, ns] of trend) {
    const start = Math.max(at, from);
    const end = Math.min(at + step, to);
    if (end <= start) continue;
    const last = Math.min(bins - 1, Math.ceil((end - from) / width) - 1);
    for (let bin = Math.floor((start - from) / width); bin <= last; bin += 1) {
      const low = Math.max(start, from + bin * width);
      const high = Math.min(end, from + (bin + 1) * width);
      out[bin] = (out[bin] ?? 0) + (ns * Math.max(0, high - low)) / (end - start);
    }
  }
  return out;
}

const SECOND = 1e9;
const STEPS_NS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => n * 1e6),
  ...[1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800].map((n) => n * SECOND),
  ...[1, 2, 4, 6, 12, 24].map((n) => n * 3600 * SECOND),
];

/** Round marks of a scale from 0 that has to hold `max`; the last mark is its end. */
export function durationTicks(max: number, marks: number): number[] {
  const step = STEPS_NS.find((s) => s * marks >= max) ?? Math.ceil(max / marks / 864e11) * 864e11;
  const count = Math.max(1, Math.ceil(max / step));
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

const STEPS_MS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
]
  .map((s) => s * 1000)
  .concat([86_400_000, 172_800_000]);

/** Round times between `from` and `to`, at most `marks` of them, in the browser's time zone. */
export function timeTicks(from: number, to: number, marks: number): { at: number; step: number }[] {
  const step = STEPS_MS.find((s) => (to - from) / s <= marks) ?? 604_800_000;
  const zone = new Date(from).getTimezoneOffset() * 60_000;
  const out = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) {
    out.push({ at, step });
  }
  return out;
}
