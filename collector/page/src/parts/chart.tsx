// Blocked time over the range, as bars.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import type { TrendPoint } from '../api';
import { clock, duration } from '../format';
import type { Window } from '../live';
import { useRouter } from '../route';
import { durationTicks, timeTicks } from '../trend';

const LEFT = 68;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;
const DAY_MS = 86_400_000;
const BRUSH_PX_MIN = 6;

interface ChartProps {
  trend: TrendPoint[];
  step: number;
  window: Window;
  height: number;
  /** Says nothing until it is pointed at. */
  quiet?: boolean;
}

export function BlockedChart({ trend, step, window, height, quiet }: ChartProps) {
  const [box, width] = useWidth();
  const [at, setAt] = useState<number | null>(null);
  const { from, to } = window;
  const inner = Math.max(1, width - LEFT - RIGHT);
  const peak = Math.max(0, ...trend.map(([, ns]) => ns));
  const ticks = durationTicks(peak || 1e9, height > 120 ? 4 : 2);
  const top = ticks.at(-1) ?? 1;
  const x = (ms: number) =>
    LEFT + ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * inner;
  const y = (ns: number) => TOP + (1 - ns / top) * (height - TOP - BOTTOM);
  const pointed =
    at === null ? undefined : trend.find(([start]) => at >= start && at < start + step);
  const total = trend.reduce((sum, [, ns]) => sum + ns, 0);
  const sum = `${duration(total)} blocked, at most ${duration(peak)} in ${stepInWords(step)}`;
  const { route, go } = useRouter();
  const [brush, setBrush] = useState<number | null>(null);
  const timeAt = (event: PointerEvent) => {
    const left = (event.currentTarget as Element).getBoundingClientRect().left;
    const ms = from + ((event.clientX - left - LEFT) / inner) * (to - from);
    return Math.min(Math.max(ms, from), to);
  };
  const begin = (event: PointerEvent) => {
    if (event.button !== 0) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    setBrush(timeAt(event));
  };
  const end = (event: PointerEvent) => {
    const [a, b] = [brush ?? 0, timeAt(event)];
    setBrush(null);
    // Shorter is a click, which means nothing.
    if (brush === null || Math.abs(x(a) - x(b)) < BRUSH_PX_MIN) return;
    go({ ...route, from: Math.floor(Math.min(a, b)), to: Math.ceil(Math.max(a, b)) });
  };
  return (
    <div class="chart" ref={box}>
      <p class="chart-note" aria-hidden="true">
        {pointed ? (
          <Pointed point={pointed} step={step} />
        ) : (
          !quiet && `bars of ${stepInWords(step)}`
        )}
      </p>
      <svg
        width={width}
        height={height}
        role="img"
        aria-label={sum}
        onPointerMove={(event: PointerEvent) => setAt(timeAt(event))}
        onPointerLeave={() => setAt(null)}
        onPointerDown={begin}
        onPointerUp={end}
        onPointerCancel={() => setBrush(null)}
      >
        {ticks.map((ns) => (
          <g key={ns}>
            <line
              class={ns === 0 ? 'axis' : 'grid'}
              x1={LEFT}
              x2={width - RIGHT}
              y1={y(ns)}
              y2={y(ns)}
            />
            <text class="tick" x={LEFT - 8} y={y(ns) + 4} text-anchor="end">
              {roundDuration(ns)}
            </text>
          </g>
        ))}
        <TimeAxis
          window={window}
          x={x}
          y={height - 5}
          marks={Math.max(2, Math.floor(inner / 90))}
        />
        {trend.map((point) => {
          const [start, ns] = point;
          if (start + step <= from || start >= to || ns <= 0) return null;
          const left = x(start);
          const w = Math.max(1, x(start + step) - left - (step / (to - from)) * inner * 0.15);
          const className = point === pointed ? 'chart-bar on' : 'chart-bar';
          const up = Math.max(1, y(0) - y(ns));
          return (
            <rect
              key={start}
              class={className}
              x={left}
              y={y(0) - up}
              width={w}
              height={up}
              rx="1.5"
            />
          );
        })}
        {brush !== null && at !== null && (
          <rect
            class="brush"
            x={Math.min(x(brush), x(at))}
            y={TOP}
            width={Math.abs(x(at) - x(brush))}
            height={height - TOP - BOTTOM}
          />
        )}
      </svg>
    </div>
  );
}

function Pointed({ point: [start, ns], step }: { point: TrendPoint; step: number }) {
  return (
    <>
      {dayAndClock(start, step)} – {clock(start + step).slice(0, step >= 60_000 ? 5 : 8)}{' '}
      <b>{duration(ns)}</b>
    </>
  );
}

interface TimeAxisProps {
  window: Window;
  x: (ms: number) => number;
  y: number;
  marks: number;
}

/** Round times below a graph. */
export function TimeAxis({ window, x, y, marks }: TimeAxisProps) {
  // A mark next to either end would be cut off.
  const fits = (at: number) => x(at) >= x(window.from) + 4 && x(at) <= x(window.to) - 20;
  const ticks = timeTicks(window.from, window.to, marks).filter(({ at }) => fits(at));
  return (
    <g>
      {ticks.map(({ at, step }) => (
        <text key={at} class="tick" x={x(at)} y={y} text-anchor="middle">
          {dayAndClock(at, step)}
        </text>
      ))}
    </g>
  );
}

/** The time of a mark, as finely as marks of that distance need it. */
function dayAndClock(at: number, step: number): string {
  const t = new Date(at);
  const twoDigits = (n: number) => String(n).padStart(2, '0');
  const date = `${twoDigits(t.getMonth() + 1)}-${twoDigits(t.getDate())}`;
  if (step >= DAY_MS) return date;
  const time = clock(at);
  if (step >= DAY_MS / 24) return time === '00:00:00' ? date : time.slice(0, 5);
  return step >= 60_000 ? time.slice(0, 5) : time;
}

const roundDuration = (ns: number) =>
  duration(ns)
    .replace(/\.0+ /, ' ')
    .replace(/(\.\d*?)0+ /, '$1 ');

function stepInWords(step: number): string {
  return duration(Math.round(step) * 1e6).replace(/\.0+ /, ' ');
}

export function useWidth() {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    if (!box.current) return;
    setWidth(Math.floor(box.current.clientWidth));
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return [box, width] as const;
}
