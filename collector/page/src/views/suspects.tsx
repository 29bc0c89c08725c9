import type { SuspectRow } from '../api';
import { count, duration } from '../format';
import { useQuery } from '../live';
import { Ago, FunctionLabel, Name } from '../parts/cells';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';
import { Waiting } from '../parts/waiting';
import { useRouter } from '../route';
import { parseSort, sortText } from '../sort';

export function SuspectsView() {
  const { route, go } = useRouter();
  const { answer, stale } = useQuery({ name: 'suspects' });
  if (!answer) return <Waiting title="Suspects" />;
  return (
    <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
      <h1 tabIndex={-1}>Suspects</h1>
      <p class="lead">
        A suspect is not a culprit: its <code>busy_ns</code> is a sum over all polls of a span, so
        many short polls with yields in between look just like one that blocks.{' '}
        <code>#[holdup::detect_blocking]</code> on the function tells them apart.
      </p>
      {answer.rows.length === 0 && (
        <p class="none">No span of tracing-opentelemetry was busy for long in this range.</p>
      )}
      {answer.rows.length > 0 && (
        <Table
          caption="Spans with a large busy time"
          className="suspects"
          columns={columnsOf(answer.window.to)}
          rows={answer.rows}
          rowKey={(r) => `${r.service}\n${r.function}`}
          sort={parseSort(route.sort, '-busy_ns')}
          onSort={(sort) => go({ ...route, sort: sortText(sort) })}
        />
      )}
    </section>
  );
}

function columnsOf(now: number): Column<SuspectRow>[] {
  return [
    {
      id: 'function',
      label: 'Function',
      sortBy: (r) => r.function,
      cell: (r) => (
        <div class="function-cell" title={r.function}>
          <span class="function-link">
            <FunctionLabel of={r.function} />
          </span>
        </div>
      ),
    },
    {
      id: 'service',
      label: 'Service',
      from: 'medium',
      sortBy: (r) => r.service,
      cell: (r) => <Name of={r.service} />,
    },
    {
      id: 'spans',
      label: 'Spans',
      numeric: true,
      from: 'medium',
      sortBy: (r) => r.spans,
      cell: (r) => count(r.spans),
    },
    {
      id: 'busy_ns',
      label: 'Busy',
      hint: 'Busy time of all its spans',
      numeric: true,
      sortBy: (r) => r.busy_ns,
      cell: (r) => duration(r.busy_ns),
    },
    {
      id: 'max_busy_ns',
      label: 'Busiest span',
      numeric: true,
      sortBy: (r) => r.max_busy_ns,
      cell: (r) => duration(r.max_busy_ns),
    },
    {
      id: 'last_seen_ms',
      label: 'Last seen',
      numeric: true,
      from: 'medium',
      sortBy: (r) => r.last_seen_ms,
      cell: (r) => <Ago ms={r.last_seen_ms} now={now} />,
    },
  ];
}
