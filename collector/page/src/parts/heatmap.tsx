// A heatmap of which a region can be drawn, with the pointer or with Shift and the arrow keys.

import { useState } from 'preact/hooks';

import type { Region } from '../api';
import { clock, count, duration, plural } from '../format';
import { regionOf } from '../heat';
import type { Cells, Heat } from '../heat';
import { useWidth } from './chart';

const LEFT = 58;
const RIGHT = 8;
const ROW = 20;
const BOTTOM = 20;
const SHADES = 6;

interface HeatmapProps {
  heat: Heat;
  region: Region | null;
  onPick: (region: Region | null) => void;
}

interface Corner {
  column: number;
  row: number;
}

export function Heatmap({ heat, region, onPick }: HeatmapProps) {
  const [box, width] = useWidth();
  const [drawn, setDrawn] = useState<[Corner, Corner] | null>(null);
  const [cursor, setCursor] = useState<[Corner, Corner] | null>(null);
  const { times, bounds, counts, first, last, step } = heat;
  const columns = times.length;
  const rows = last - first + 1;
  const w = Math.max(1, width - LEFT - RIGHT) / columns;
  const height = rows * ROW + BOTTOM;
  const y = (row: number) => (last - row) * ROW;
  const cornerAt = (event: PointerEvent): Corner => {
    const { left, top } = (event.currentTarget as Element).getBoundingClientRect();
    return {
      column: bound(Math.floor((event.clientX - left - LEFT) / w), columns - 1),
      row: last - bound(Math.floor((event.clientY - top) / ROW), rows - 1),
    };
  };
  const begin = (event: PointerEvent) => {
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const corner = cornerAt(event);
    setDrawn([corner, corner]);
  };
  const end = () => {
    if (drawn) onPick(regionOf(heat, cellsOf(drawn)));
    setDrawn(null);
  };
  const key = (event: KeyboardEvent) => {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    const [from, to] = cursor ?? [start(heat), start(heat)];
    if (event.key === 'Enter') onPick(regionOf(heat, cellsOf([from, to])));
    else if (event.key === 'Escape') onPick(null);
    else if (dx === 0 && dy === 0) return;
    else {
      const moved = {
        column: bound(to.column + dx, columns - 1),
        row: Math.max(first, Math.min(last, to.row + dy)),
      };
      setCursor([event.shiftKey ? from : moved, moved]);
    }
    event.preventDefault();
  };
  const marked = drawn ?? cursor;
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
            n > 0 ? (
              <rect
                key={`${c}/${r}`}
                class={`heat heat-${shade(n, heat.most)}`}
                x={LEFT + c * w}
                y={y(r)}
                width={Math.max(1, w - 1)}
                height={ROW - 1}
              >
                <title>{`${clock(times[c] ?? 0)}, up to ${duration(bounds[r] ?? 0)}: ${count(n)}`}</title>
              </rect>
            ) : null,
          ),
        )}
        {Array.from({ length: rows }, (_, i) => first + i).map((r) => (
          <text key={r} class="tick" x={LEFT - 8} y={y(r) + 14} text-anchor="end">
            {Number.isFinite(bounds[r]) ? roughly(bounds[r] ?? 0) : 'longer'}
          </text>
        ))}
        {[0, Math.floor(columns / 2)].map((c) => (
          <text key={c} class="tick" x={LEFT + c * w} y={height - 4}>
            {clock(times[c] ?? 0).slice(0, 5)}
          </text>
        ))}
        {marked && <Marked cells={cellsOf(marked)} {...{ w, y }} />}
        {!marked && region && <Marked cells={cellsFor(heat, region, step)} {...{ w, y }} />}
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

function Marked({ cells, w, y }: { cells: Cells; w: number; y: (row: number) => number }) {
  return (
    <rect
      class="heat-region"
      x={LEFT + cells.left * w}
      y={y(cells.high)}
      width={(cells.right - cells.left + 1) * w}
      height={(cells.high - cells.low + 1) * ROW}
    />
  );
}

const bound = (n: number, most: number) => Math.max(0, Math.min(most, n));
const sum = (counts: number[][]) => counts.flat().reduce((a, b) => a + b, 0);
const start = ({ times, last }: Heat): Corner => ({ column: times.length - 1, row: last });
const shade = (n: number, most: number) =>
  Math.max(1, Math.ceil((Math.log(n + 1) / Math.log(most + 1)) * SHADES));
const roughly = (ns: number) => duration(ns).replace(/\.\d+ /, ' ');

function cellsOf([a, b]: [Corner, Corner]): Cells {
  return {
    left: Math.min(a.column, b.column),
    right: Math.max(a.column, b.column),
    low: Math.min(a.row, b.row),
    high: Math.max(a.row, b.row),
  };
}

function cellsFor({ times, bounds, first, last }: Heat, region: Region, step: number): Cells {
  const inside = times.flatMap((t, i) => (t + step > region.from && t < region.to ? [i] : []));
  const rows = bounds.flatMap((b, i) =>
    b > region.over && (bounds[i - 1] ?? 0) < region.upTo ? [i] : [],
  );
  return {
    left: inside[0] ?? 0,
    right: inside.at(-1) ?? 0,
    low: Math.max(first, rows[0] ?? first),
    high: Math.min(last, rows.at(-1) ?? last),
  };
}
