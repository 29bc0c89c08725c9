// Threads as lanes of time: what held each, from when to when.

import type { PollRow } from '../api';
import { clock, duration } from '../format';
import { causeInWords, splitFunction } from '../names';
import { byNumber } from '../sort';
import { CauseTag } from './cells';
import { useWidth } from './chart';
import { Within } from './within';

/** The widest label, and a letter of it. */
const LABEL_MAX = 150;
const LETTER = 6.5;
const LANE = 26;
const BAR = 18;
const LEAST_PX = 2;
const BOTTOM = 20;
const LANES_MAX = 64;

interface LanesProps {
  polls: readonly PollRow[];
  from: number;
  to: number;
  /** Stalls last until here. */
  now: number;
  label: string;
  /** One poll is looked at. */
  chosen?: string;
  onChoose?: (poll: PollRow) => void;
}

/**
 * A worker by its number; other threads by name and number. What is told of a poll while it lasts
 * names its thread only: its worker is that of the polls which the thread finished.
 */
function lanesBy(polls: readonly PollRow[]): (poll: PollRow) => string {
  const workers = new Map<string, number>();
  const thread = (p: PollRow) => `${p.instance}\n${p.thread_id}`;
  for (const poll of polls)
    if (poll.worker !== null && poll.worker >= 0) workers.set(thread(poll), poll.worker);
  return (poll) => {
    const known = poll.worker !== null && poll.worker >= 0;
    const worker = known ? poll.worker : workers.get(thread(poll));
    const other = `${poll.thread_name || 'thread'} ${poll.thread_id}`;
    return `${poll.instance}\n${worker === undefined ? other : `worker ${worker}`}`;
  };
}

export function Lanes({ polls, from, to, now, label, chosen, onChoose }: LanesProps) {
  const [box, width] = useWidth();
  const laneOf = lanesBy(polls);
  const all = [...new Set(polls.map(laneOf))].sort(byNumber);
  const lanes = all.slice(0, LANES_MAX);
  const several = new Set(lanes.map((lane) => lane.split('\n')[0])).size > 1;
  const height = lanes.length * LANE + BOTTOM;
  const labels = lanes.map((lane) => nameOf(lane, several));
  const left = Math.min(LABEL_MAX, Math.max(...labels.map((text) => text.length), 0) * LETTER + 14);
  const inner = Math.max(1, width - left - 8);
  const x = (ms: number) =>
    left + ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * inner;
  return (
    <div class="lanes" ref={box}>
      <svg width={width} height={height} role="group" aria-label={label}>
        {lanes.map((lane, i) => (
          <g key={lane}>
            <line class="grid" x1={left} x2={width - 8} y1={i * LANE + 13} y2={i * LANE + 13} />
            <text class="tick" x={0} y={i * LANE + 17}>
              <title>{lane}</title>
              {labels[i]}
            </text>
          </g>
        ))}
        {polls.map((poll) => {
          const lane = lanes.indexOf(laneOf(poll));
          const end = poll.stall ? now : poll.start_ms + poll.duration_ns / 1e6;
          if (lane < 0 || end < from || poll.start_ms > to) return null;
          const id = `${poll.instance}/${poll.span_id}`;
          return (
            <Bar
              key={id}
              poll={poll}
              left={x(poll.start_ms)}
              width={Math.max(LEAST_PX, x(end) - x(poll.start_ms))}
              y={lane * LANE + (LANE - BAR) / 2}
              chosen={chosen === poll.span_id}
              onChoose={onChoose}
            />
          );
        })}
        {[from, (from + to) / 2].map((ms) => (
          <text key={ms} class="tick" x={x(ms)} y={height - 4}>
            {clock(ms)}
          </text>
        ))}
      </svg>
      <Legend polls={polls} />
      {all.length > LANES_MAX && (
        <p class="note">The first {LANES_MAX} of {all.length} threads. A service narrows it.</p>
      )}
    </div>
  );
}

/** What the colours mean that are in use. */
function Legend({ polls }: { polls: readonly PollRow[] }) {
  const causes = [...new Set(polls.map((poll) => poll.cause))].sort();
  return (
    <ul class="legend" aria-label="Causes">
      {causes.map((cause) => (
        <li key={cause}>
          <CauseTag of={cause} />
        </li>
      ))}
    </ul>
  );
}

function nameOf(lane: string, several: boolean): string {
  const [instance = '', who = ''] = lane.split('\n');
  // Instances of a service differ at their end, those of others at their beginning.
  const which =
    instance.length > 12 ? `${instance.slice(0, 5)}…${instance.slice(-6)}` : instance;
  const text = several ? `${which} ${who}` : who;
  return text.length > 22 ? `${text.slice(0, 21)}…` : text;
}

interface BarProps {
  poll: PollRow;
  left: number;
  width: number;
  y: number;
  chosen: boolean;
  onChoose: ((poll: PollRow) => void) | undefined;
}

function Bar({ poll, left, width, y, chosen, onChoose }: BarProps) {
  const { short } = splitFunction(poll.function);
  const state = poll.stall ? 'has not returned' : duration(poll.duration_ns);
  const words = `${short}, ${causeInWords(poll.cause).label}, ${clock(poll.start_ms)}, ${state}`;
  const kind = /^[a-z_]+$/.test(poll.cause) ? poll.cause : 'unknown';
  const letters = Math.floor((width - 8) / 6.6);
  const choose = onChoose && {
    tabIndex: 0,
    role: 'button' as const,
    onClick: () => onChoose(poll),
    onKeyDown: (event: KeyboardEvent) => event.key === 'Enter' && onChoose(poll),
  };
  return (
    <g
      class={`lane-bar cause-${kind}${poll.stall ? ' stalls' : ''}${chosen ? ' chosen' : ''}`}
      role="img"
      aria-label={words}
      {...choose}
    >
      <title>{words}</title>
      <rect x={left} y={y} width={width} height={BAR} rx="2" />
      {letters > 3 && (
        <Within x={left + 4} y={y} width={width - 6} height={BAR}>
          <text y="13">{short}</text>
        </Within>
      )}
    </g>
  );
}
