// What is under way, told by the collector each second.

import { useEffect, useState } from 'preact/hooks';

import { liveUrl } from '../api';
import type { Seen, StalledRow, TaskRow } from '../api';
import { count, duration } from '../format';
import { report } from '../health';
import { REFRESH_MS } from '../live';
import { CauseTag, FunctionLabel, Name } from '../parts/cells';
import { Lanes } from '../parts/lanes';
import { Link } from '../parts/link';
import { Table } from '../parts/table';
import { Waiting } from '../parts/waiting';
import { useRouter } from '../route';

const LANES_MS = 30_000;
const TASKS = 200;

export function LiveView() {
  const { route } = useRouter();
  const seen = useSeen(route.service);
  if (!seen) return <Waiting title="Live" />;
  const { at_ms: now, stalled, tasks } = seen;
  // Which of them block now, the collector says; the end of any other is on its way.
  const blocks = new Set(stalled.map((row) => row.span_id));
  const polls = seen.polls.filter((poll) => !poll.stall || blocks.has(poll.span_id));
  return (
    <>
      <section class="card">
        <h1 tabIndex={-1}>
          Live <small class="dim">each second</small>
        </h1>
        {stalled.length === 0 ? (
          <p class="none">No poll has held a thread for half a second and goes on.</p>
        ) : (
          <Stalls rows={stalled} now={now} />
        )}
      </section>
      <section class="card">
        <h2>Workers, the last {LANES_MS / 1000} s</h2>
        {polls.length === 0 ? (
          <p class="none">No slow poll came in within a minute.</p>
        ) : (
          <Lanes
            polls={polls}
            from={now - LANES_MS}
            to={now}
            now={now}
            label="Slow polls of the last seconds by thread"
          />
        )}
      </section>
      <Tasks tasks={tasks} />
    </>
  );
}

/**
 * The last that was told; it stays until more is. The browser connects again by itself where nobody
 * answers, and gives up where somebody refuses, as a proxy does whose collector is away.
 */
function useSeen(service: string): Seen | undefined {
  const [seen, setSeen] = useState<Seen>();
  useEffect(() => {
    const source = Symbol('live');
    let events: EventSource;
    let again: ReturnType<typeof setTimeout>;
    const connect = () => {
      events = new EventSource(liveUrl(service));
      events.addEventListener('seen', (event) => {
        setSeen(JSON.parse(event.data) as Seen);
        report(source, 'ok');
      });
      events.addEventListener('trouble', (event) =>
        report(source, { kind: 'refused', message: String(event.data) }),
      );
      events.addEventListener('ended', () => {
        report(source, { kind: 'ended', message: 'Your session has ended: log in again.' });
        events.close();
        // Somebody may log in again elsewhere.
        again = setTimeout(connect, REFRESH_MS);
      });
      events.addEventListener('error', () => {
        report(source, { kind: 'lost', message: 'The collector does not answer.' });
        if (events.readyState === EventSource.CLOSED) again = setTimeout(connect, REFRESH_MS);
      });
    };
    connect();
    return () => {
      clearTimeout(again);
      events.close();
      report(source, 'ok');
    };
  }, [service]);
  return seen;
}

function Stalls({ rows, now }: { rows: StalledRow[]; now: number }) {
  const { route } = useRouter();
  return (
    <Table
      caption="Polls that have not returned, the longest first"
      className="stalls"
      columns={[
        {
          id: 'function',
          label: 'Blocks now',
          cell: (r) => (
            <Link
              to={{ ...route, view: 'function', function: r.function, in: r.service }}
              title={r.function}
              class="function-link"
            >
              <FunctionLabel of={r.function} />
            </Link>
          ),
        },
        { id: 'service', label: 'Service', from: 'medium', cell: (r) => <Name of={r.service} /> },
        {
          id: 'since',
          label: 'Since',
          numeric: true,
          cell: (r) => (
            <strong class="hot">
              {duration(Math.max(r.blocked_ns, (now - r.started_ms) * 1e6))}
            </strong>
          ),
        },
        { id: 'cause', label: 'Cause', cell: (r) => <CauseTag of={r.cause} /> },
        {
          id: 'blamed',
          label: 'In',
          from: 'medium',
          cell: (r) => <Name of={r.blame_function} class="mono" />,
        },
        {
          id: 'victims',
          label: 'Victims',
          numeric: true,
          from: 'medium',
          cell: (r) => count(r.victims),
        },
        {
          id: 'instance',
          label: 'Instance',
          from: 'large',
          cell: (r) => <Name of={r.instance} class="mono" />,
        },
      ]}
      rows={rows}
      rowKey={(r) => `${r.instance}/${r.function}/${r.started_ms}/${r.thread_name}/${r.worker}`}
      mark={() => 'hot-row'}
    />
  );
}

function Tasks({ tasks }: { tasks: TaskRow[] }) {
  const states = ['running', 'ready', 'idle'].map(
    (state) => `${count(tasks.filter((t) => t.state === state).length)} ${state}`,
  );
  return (
    <section class="card">
      <h2 id="tasks">
        Tasks {tasks.length > 0 && <small>{states.join(', ')}, as of their last dump</small>}
      </h2>
      {tasks.length === 0 && (
        <p class="none">
          No service has sent a list of its tasks within ten minutes. It does so when a thread
          stalls, and on request: see “tasks” in the documentation of the crate.
        </p>
      )}
      {tasks.length > 0 && (
        <div class="scroll" role="region" aria-labelledby="tasks" tabIndex={0}>
          <Table
            caption="Tasks: those that run, those that are ready, then the longest idle"
            className="tasks"
            columns={[
              { id: 'state', label: 'State', cell: (t) => <span class="badge">{t.state}</span> },
              { id: 'name', label: 'Task', cell: (t) => <Name of={t.name} class="mono" /> },
              { id: 'since', label: 'For', numeric: true, cell: (t) => duration(t.since_ns) },
              {
                id: 'polls',
                label: 'Polls',
                numeric: true,
                from: 'medium',
                cell: (t) => count(t.polls),
              },
              {
                id: 'busy',
                label: 'Busy',
                numeric: true,
                from: 'medium',
                cell: (t) => duration(t.busy_ns),
              },
              {
                id: 'service',
                label: 'Service',
                from: 'large',
                cell: (t) => <Name of={t.service} />,
              },
            ]}
            rows={tasks.slice(0, TASKS)}
            rowKey={(t) => `${t.instance}/${t.task_id}/${t.name}/${t.file}/${t.line}`}
          />
        </div>
      )}
    </section>
  );
}
