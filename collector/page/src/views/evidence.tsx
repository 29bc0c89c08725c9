// The episodes and polls of one function.

import type { EpisodeRow, PollRow } from '../api';
import { absolute, count, duration, durationMs, NOTHING, timeOfDay } from '../format';
import { useQuery } from '../live';
import type { Live } from '../live';
import { CauseTag, Name } from '../parts/cells';
import { Link } from '../parts/link';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';
import { useTurn } from '../parts/turn';
import { useRouter } from '../route';
import { TraceLink } from './episode';

const LIMIT = 100;

interface Subject {
  function: string;
  service: string;
}

export function Episodes(subject: Subject) {
  const live = useQuery({ name: 'episodes', ...subject, limit: LIMIT });
  return (
    <Section place={4} id="episodes" title="Episodes" live={live} none="No episode in this range.">
      {(rows, now) => (
        <Table
          caption="Episodes, the newest first"
          className="episodes"
          columns={episodeColumns(now)}
          rows={rows}
          rowKey={(r) => r.episode_id}
          mark={(r) => (r.state === 'open' ? 'hot-row' : '')}
        />
      )}
    </Section>
  );
}

export function Polls(subject: Subject) {
  const live = useQuery({ name: 'polls', ...subject, limit: LIMIT });
  return (
    <Section place={5} id="polls" title="Slow polls" live={live} none="No slow poll in this range.">
      {(rows, now) => (
        <Table
          caption="Slow polls, the newest first"
          className="polls"
          columns={pollColumns(rows, now)}
          rows={rows}
          rowKey={(r) => `${r.instance}/${r.span_id}/${r.start_ms}`}
          mark={(r) => (r.stall ? 'hot-row' : '')}
        />
      )}
    </Section>
  );
}

interface SectionProps<R> {
  place: number;
  id: string;
  title: string;
  live: Live<R>;
  none: string;
  children: (rows: R[], now: number) => preact.JSX.Element;
}

function Section<R>({ place, id, title, live, none, children }: SectionProps<R>) {
  const { answer, stale, settled } = live;
  const isShown = useTurn(place, settled);
  if (!isShown) return null;
  const rows = answer?.rows;
  return (
    <section class={stale && rows ? 'card stale' : 'card'} aria-busy={stale}>
      <h2 id={id}>
        {title} {rows && rows.length > 0 && <Amount of={rows.length} />}
      </h2>
      {rows?.length === 0 && <p class="none">{none}</p>}
      {answer && rows && rows.length > 0 && (
        <div class="scroll" role="region" aria-labelledby={id} tabIndex={0}>
          {children(rows, answer.window.to)}
        </div>
      )}
    </section>
  );
}

function Amount({ of }: { of: number }) {
  return <small>{of === LIMIT ? `the newest ${LIMIT}` : count(of)}</small>;
}

function Moment({ ms, now }: { ms: number; now: number }) {
  return (
    <time dateTime={new Date(ms).toISOString()} title={absolute(ms)}>
      {timeOfDay(ms, now)}
    </time>
  );
}

function EpisodeLink({ row, now }: { row: EpisodeRow; now: number }) {
  const { route } = useRouter();
  const to = {
    ...route,
    view: 'episode' as const,
    episode: row.episode_id,
    function: row.function,
    in: row.service,
    instance: row.instance,
    from: row.started_ms,
    to: Math.max(row.ended_ms ?? 0, row.started_ms + 1),
  };
  return (
    <Link to={to} class="episode-link">
      <Moment ms={row.started_ms} now={now} />
    </Link>
  );
}

function State({ of }: { of: EpisodeRow['state'] }) {
  if (of !== 'open') return <span class="badge">closed</span>;
  return (
    <span class="badge badge-hot">
      <i class="pulse" aria-hidden="true" />
      open
    </span>
  );
}

function episodeColumns(now: number): Column<EpisodeRow>[] {
  return [
    { id: 'state', label: 'State', cell: (r) => <State of={r.state} /> },
    { id: 'started', label: 'Started', cell: (r) => <EpisodeLink row={r} now={now} /> },
    {
      id: 'duration',
      label: 'Duration',
      hint: 'From the start of its first slow poll to the end of its last',
      numeric: true,
      cell: (r) => durationMs(r.ended_ms ? r.ended_ms - r.started_ms : null),
    },
    { id: 'polls', label: 'Polls', numeric: true, from: 'medium', cell: (r) => count(r.polls) },
    { id: 'blocked', label: 'Blocked', numeric: true, cell: (r) => duration(r.blocked_ns) },
    { id: 'max', label: 'Max', numeric: true, from: 'medium', cell: (r) => duration(r.max_ns) },
    { id: 'cause', label: 'Cause', from: 'medium', cell: (r) => <CauseTag of={r.cause} /> },
    {
      id: 'instance',
      label: 'Instance',
      from: 'large',
      cell: (r) => <Name of={r.instance} class="mono" />,
    },
    { id: 'version', label: 'Version', from: 'large', cell: (r) => <Name of={r.version} /> },
    {
      id: 'trace',
      label: 'Trace',
      hint: 'Trace of the longest poll',
      from: 'medium',
      cell: (r) => <TraceLink id={r.worst_trace_id} />,
    },
  ];
}

/** What was not measured is 0, and a column of nothing else is left out. */
function pollColumns(rows: PollRow[], now: number): Column<PollRow>[] {
  const measured = (
    id: 'cpu_ns' | 'runqueue_ns' | 'throttled_ns',
    label: string,
    hint: string,
  ): Column<PollRow>[] => {
    if (!rows.some((r) => r[id])) return [];
    return [{ id, label, hint, numeric: true, from: 'large', cell: (r) => duration(r[id]) }];
  };
  return [
    { id: 'started', label: 'Started', cell: (r) => <Moment ms={r.start_ms} now={now} /> },
    { id: 'duration', label: 'Duration', numeric: true, cell: (r) => <PollDuration row={r} /> },
    {
      id: 'self',
      label: 'Self',
      hint: 'Its duration less that of instrumented polls nested in it',
      numeric: true,
      cell: (r) => duration(r.self_ns),
    },
    ...measured('cpu_ns', 'CPU', 'Of it on a CPU'),
    ...measured('runqueue_ns', 'Run queue', 'Of it ready, without a CPU'),
    ...measured('throttled_ns', 'Throttled', "Of it kept from a CPU by the container's quota"),
    { id: 'cause', label: 'Cause', from: 'medium', cell: (r) => <CauseTag of={r.cause} /> },
    ...held(rows),
    { id: 'thread', label: 'Thread', from: 'medium', cell: (r) => <Thread row={r} /> },
    {
      id: 'instance',
      label: 'Instance',
      from: 'large',
      cell: (r) => <Name of={r.instance} class="mono" />,
    },
    {
      id: 'trace',
      label: 'Trace',
      from: 'medium',
      cell: (r) => <TraceLink id={r.trace_id} />,
    },
  ];
}

/** Left out where no lock's holder is known. */
function held(rows: PollRow[]): Column<PollRow>[] {
  if (!rows.some((r) => r.holder_thread_name)) return [];
  const hint = 'Who held the lock that the poll waited for';
  return [{ id: 'holder', label: 'Held by', hint, from: 'medium', cell: (r) => <Holder row={r} /> }];
}

const EVIDENCE: Record<string, string> = {
  owner: 'The lock names its owner',
  address: 'The lock is on the stack of this thread alone',
};

function Holder({ row }: { row: PollRow }) {
  if (!row.holder_thread_name) return <>{NOTHING}</>;
  return (
    <span title={EVIDENCE[row.holder_evidence]}>
      <Name of={row.holder_function || row.holder_thread_name} class="mono" />
    </span>
  );
}

function PollDuration({ row }: { row: PollRow }) {
  if (!row.stall) return <>{duration(row.duration_ns)}</>;
  return (
    <span class="hot" title="It has not returned yet">
      {duration(row.duration_ns)} so far
    </span>
  );
}

function Thread({ row }: { row: PollRow }) {
  const worker = row.worker !== null && row.worker >= 0 ? ` #${row.worker}` : '';
  return (
    <Name of={row.thread_name ? `${row.thread_name}${worker}` : worker || NOTHING} class="mono" />
  );
}
