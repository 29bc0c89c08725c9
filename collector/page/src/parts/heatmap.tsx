// A heatmap of which a region can be drawn, with the pointer or with Shift and the arrow keys.

import { useState } from 'preact/hooks';

import type { Region } from '../api';
import { clock, count, duration, plural } from '../format';
import { columnAt, regionOf } from '../heat';
import type { Cells, Heat } from '../heat';
import type { Window } from '../live';
import { TimeAxis, useWidth } from './chart';

/** With the margins of the card, as far from the edges as the bars above it. */
const LEFT = 60;
const RIGHT = 0;
const ROW = 20;
const BOTTOM = 20;
const SHADES = 6;

interface HeatmapProps {
  heat: Heat;
  window: Window;
  region: Region | null;
  onPick: (region: Region | null) => void;
}

/** A cell by what it holds: columns move on, and a row comes with its first poll. */
interface Corner {
  at: number;
  row: number;
}

export function Heatmap({ heat, window, region, onPick }: HeatmapProps) {
  const [box, width] = useWidth();
  const [drawn, setDrawn] = useState<[Corner, Corner] | null>(null);
  const [cursor, setCursor] = useState<[Corner, Corner] | null>(null);
  const { times, bounds, counts, first, last } = heat;
  const { from: begins, to: ends } = window;
  const rows = last - first + 1;
  const inner = Math.max(1, width - LEFT - RIGHT);
  const height = rows * ROW + BOTTOM;
  const x = (ms: number) =>
    LEFT + ((Math.min(Math.max(ms, begins), ends) - begins) / (ends - begins)) * inner;
  const y = (row: number) => (last - row) * ROW;
  const cornerAt = (event: PointerEvent): Corner => {
    const { left, top } = (event.currentTarget as Element).getBoundingClientRect();
    const ms = begins + ((event.clientX - left - LEFT) / inner) * (ends - begins);
    return {
      at: times[columnAt(heat, ms)] ?? 0,
      row: last - bound(Math.floor((event.clientY - top) / ROW), rows - 1),
    };
  };
  const begin = (event: PointerEvent) => {
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const corner = cornerAt(event);
    setDrawn([corner, corner]);
  };
  const end = () => {
    if (drawn) onPick(regionOf(heat, cellsOf(heat, drawn)));
    setDrawn(null);
  };
  const key = (event: KeyboardEvent) => {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    const [from, to] = cursor ?? [start(heat), start(heat)];
    if (event.key === 'Enter') onPick(regionOf(heat, cellsOf(heat, [from, to])));
    else if (event.key === 'Escape') onPick(null);
    else if (dx === 0 && dy === 0) return;
    else {
      const moved = {
        at: times[bound(columnAt(heat, to.at) + dx, times.length - 1)] ?? 0,
        row: Math.max(first, Math.min(last, to.row + dy)),
      };
      setCursor([event.shiftKey ? from : moved, moved]);
    }
    event.preventDefault();
  };
  const held = drawn ?? cursor;
  const marked = held ? cellsOf(heat, held) : region && cellsFor(heat, region);
  return (
    <div class="heatmap" ref={box}>
      <svg
        width={width}
        height={height}
        role="application"
        tabIndex={0}
        aria-label={`Slow polls by time and duration, ${plural(sum(counts), 'poll')}. Arrow keys move, with Shift they select, Enter compares the selection.`}
        onPointerDown={begin}
        onPointerMove={(event: PointerEvent) => drawn && setDrawn([drawn[0], cornerAt(event)])}
        onPointerUp={end}
        onPointerCancel={() => setDrawn(null)}
        onKeyDown={key}
        onBlur={() => setCursor(null)}
      >
        {counts.map((column, c) =>
          column.map((n, r) =>
            n > 0 ? <Cell key={`${times[c]}/${r}`} {...{ heat, n, c, r, x }} y={y(r)} /> : null,
          ),
        )}
        {Array.from({ length: rows }, (_, i) => first + i).map((r) => (
          <text key={r} class="tick" x={LEFT - 8} y={y(r) + 14} text-anchor="end">
            {Number.isFinite(bounds[r]) ? roughly(bounds[r] ?? 0) : 'longer'}
          </text>
        ))}
        <TimeAxis window={window} x={x} y={height - 4} marks={Math.max(2, Math.floor(inner / 90))} />
        {marked && <Marked cells={marked} {...{ heat, x, y }} />}
      </svg>
    </div>
  );
}

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

interface CellProps {
  heat: Heat;
  n: number;
  c: number;
  r: number;
  x: (ms: number) => number;
  y: number;
}

function Cell({ heat: { times, bounds, step, most }, n, c, r, x, y }: CellProps) {
  const at = times[c] ?? 0;
  return (
    <rect
      class={`heat heat-${shade(n, most)}`}
      x={x(at)}
      y={y}
      width={Math.max(1, x(at + step) - x(at) - 1)}
      height={ROW - 1}
    >
      <title>{`${clock(at)}, up to ${duration(bounds[r] ?? 0)}: ${count(n)}`}</title>
    </rect>
  );
}

interface MarkedProps {
  cells: Cells;
  heat: Heat;
  x: (ms: number) => number;
  y: (row: number) => number;
}

function Marked({ cells, heat: { times, step }, x, y }: MarkedProps) {
  const [left, right] = [x(times[cells.left] ?? 0), x((times[cells.right] ?? 0) + step)];
  return (
    <rect
      class="heat-region"
      x={left}
      y={y(cells.high)}
      width={Math.max(1, right - left)}
      height={(cells.high - cells.low + 1) * ROW}
    />
  );
}

const bound = (n: number, most: number) => Math.max(0, Math.min(most, n));
const sum = (counts: number[][]) => counts.flat().reduce((a, b) => a + b, 0);
const start = ({ times, counts, last }: Heat): Corner => ({
  at: times[counts.findLastIndex((column) => column.some((n) => n > 0))] ?? 0,
  row: last,
});
const shade = (n: number, most: number) =>
  Math.max(1, Math.ceil((Math.log(n + 1) / Math.log(most + 1)) * SHADES));
const roughly = (ns: number) => duration(ns).replace(/\.\d+ /, ' ');

function cellsOf(heat: Heat, [a, b]: [Corner, Corner]): Cells {
  const [one, other] = [columnAt(heat, a.at), columnAt(heat, b.at)];
  return {
    left: Math.min(one, other),
    right: Math.max(one, other),
    low: Math.min(a.row, b.row),
    high: Math.max(a.row, b.row),
  };
}

/** The cells of a region; none when the range has moved past it. */
function cellsFor({ times, bounds, first, last, step }: Heat, region: Region): Cells | null {
  const inside = times.flatMap((t, i) => (t + step > region.from && t < region.to ? [i] : []));
  const rows = bounds.flatMap((b, i) =>
    i >= first && i <= last && b > region.over && (bounds[i - 1] ?? 0) < region.upTo ? [i] : [],
  );
  const [left, right, low, high] = [inside[0], inside.at(-1), rows[0], rows.at(-1)];
  if (left === undefined || right === undefined || low === undefined || high === undefined)
    return null;
  return { left, right, low, high };
}
