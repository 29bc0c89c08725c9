// Holdup itself: what is dropped, what is late, and what fills up.

import { useContext } from 'preact/hooks';

import type { Status } from '../api';
import { count, duration, durationMs, plural, share } from '../format';
import { StatusContext, useQuery } from '../live';
import { Ago, Name } from '../parts/cells';
import { Facts } from '../parts/facts';
import { Table } from '../parts/table';
import { Waiting } from '../parts/waiting';

export function SystemView() {
  const status = useContext(StatusContext);
  if (!status) return <Waiting title="System" />;
  return (
    <>
      <section class="card">
        <h1 tabIndex={-1}>System</h1>
        <Verdicts status={status} />
        <Facts
          facts={[
            { label: 'Received', value: count(status.received_spans), hint: 'Spans of Holdup' },
            { label: 'Ignored', value: count(status.ignored_spans), hint: 'Spans of others' },
            {
              label: 'Dropped by services',
              value: count(status.dropped_by_services),
              hint: 'Their queues were full',
            },
            {
              label: 'Not yet stored',
              value: status.log?.all_stored ? 'nothing' : durationMs(status.log?.oldest_age_ms),
              hint: 'Age of the oldest request that ClickHouse does not have yet',
            },
            { label: 'ClickHouse', value: status.clickhouse.version || 'away' },
            { label: 'Holdup', value: status.version },
          ]}
        />
      </section>
      <Runtimes />
      <Storage />
    </>
  );
}

/** What is wrong, in words; or that nothing is. */
function Verdicts({ status }: { status: Status }) {
  const { clickhouse, log, dropped_by_services: dropped } = status;
  const late = log && !log.all_stored && log.oldest_age_ms > 60_000;
  const verdicts = [
    !clickhouse.ok && `ClickHouse fails: ${clickhouse.message}`,
    log?.refusing && `The log is full, and requests are refused: ${log.refusing}`,
    late && `ClickHouse is ${durationMs(log.oldest_age_ms)} behind what services sent.`,
    dropped > 0 &&
      `Services dropped ${plural(dropped, 'record')}: their queues were full, and the numbers here are too low.`,
  ].filter((verdict) => typeof verdict === 'string');
  if (verdicts.length === 0)
    return <p class="lead">Nothing is dropped, late or full: the numbers are complete.</p>;
  return (
    <ul class="verdicts">
      {verdicts.map((verdict) => (
        <li key={verdict} class="hot">
          <bdi>{verdict}</bdi>
        </li>
      ))}
    </ul>
  );
}

function Runtimes() {
  const { answer } = useQuery({ name: 'runtimes', limit: 200 });
  if (!answer || answer.rows.length === 0) return null;
  return (
    <section class="card">
      <h2 id="runtimes">Runtimes that report</h2>
      <div class="scroll" role="region" aria-labelledby="runtimes" tabIndex={0}>
        <Table
          caption="Runtimes, those first in which a ready task waited longest"
          className="runtimes"
          columns={[
            { id: 'service', label: 'Service', cell: (r) => <Name of={r.service} class="strong" /> },
            {
              id: 'instance',
              label: 'Instance',
              from: 'large',
              cell: (r) => <Name of={r.instance} class="mono" />,
            },
            { id: 'runtime', label: 'Runtime', from: 'medium', cell: (r) => <Name of={r.runtime} /> },
            { id: 'busy', label: 'Busy', numeric: true, cell: (r) => share(r.busy, 1) },
            {
              id: 'lag',
              label: 'Worst lag',
              hint: 'The longest that a ready task waited for its poll',
              numeric: true,
              cell: (r) => duration(r.lag_ns),
            },
            {
              id: 'tasks',
              label: 'Tasks',
              numeric: true,
              from: 'medium',
              cell: (r) => count(r.tasks),
            },
            {
              id: 'queue',
              label: 'Queue',
              numeric: true,
              from: 'medium',
              cell: (r) => count(r.queue),
            },
            {
              id: 'coverage',
              label: 'Watched',
              hint: 'Part of the busy time inside of watched polls: what is outside, Holdup does not see',
              numeric: true,
              from: 'medium',
              cell: (r) => share(r.coverage, 1),
            },
            {
              id: 'seen',
              label: 'Last report',
              numeric: true,
              from: 'large',
              cell: (r) => <Ago ms={r.last_seen_ms} now={answer.window.to} />,
            },
          ]}
          rows={answer.rows}
          rowKey={(r) => `${r.service}/${r.instance}/${r.runtime}`}
        />
      </div>
    </section>
  );
}

function Storage() {
  const { answer } = useQuery({ name: 'storage', limit: 100 });
  if (!answer || answer.rows.length === 0) return null;
  return (
    <section class="card">
      <h2>Tables</h2>
      <Table
        caption="What is kept, and what it takes on disk"
        className="storage"
        columns={[
          { id: 'table', label: 'Table', cell: (r) => <Name of={r.table} class="mono" /> },
          { id: 'rows', label: 'Rows', numeric: true, cell: (r) => count(r.rows) },
          { id: 'bytes', label: 'On disk', numeric: true, cell: (r) => bytes(r.bytes) },
          {
            id: 'row',
            label: 'A row',
            numeric: true,
            from: 'medium',
            cell: (r) => bytes(r.bytes_a_row),
          },
          { id: 'parts', label: 'Parts', numeric: true, from: 'medium', cell: (r) => count(r.parts) },
        ]}
        rows={answer.rows}
        rowKey={(r) => r.table}
      />
    </section>
  );
}

function bytes(n: number): string {
  const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = n < 1 ? 0 : Math.min(unit.length - 1, Math.floor(Math.log2(n) / 10));
  const scaled = n / 1024 ** power;
  return `${scaled.toFixed(power > 0 && scaled < 10 ? 1 : 0)} ${unit[power]}`;
}
