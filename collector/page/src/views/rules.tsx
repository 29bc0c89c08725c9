// The alert rules that the collector goes by, and who is told of nothing meanwhile.

import { fetchSilences, runbookUrl } from '../api';
import type { RuleRow, SilenceRow } from '../api';
import { absolute, count, durationMs, NOTHING } from '../format';
import { useRepeated } from '../live';
import { Ago, Name } from '../parts/cells';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';

/** What needs somebody comes first. */
const ORDER = ['fails', 'firing', 'pending', 'inactive', 'off'];
const rank = (r: RuleRow) => ORDER.indexOf(r.error ? 'fails' : r.state);

export function Rules({ rules, now }: { rules: RuleRow[]; now: number }) {
  const inOrder = [...rules].sort((a, b) => rank(a) - rank(b));
  const failing = rules.filter((r) => r.error).length;
  return (
    <section class="card">
      <h2 id="rules">
        Rules{' '}
        <small>
          {count(rules.length)}
          {failing > 0 && `, of which ${count(failing)} can’t be evaluated`}
        </small>
      </h2>
      <div class="scroll" role="region" aria-labelledby="rules" tabIndex={0}>
        <Table
          caption="Alert rules, those that fail or fire first"
          className="rules"
          columns={ruleColumns(now)}
          rows={inOrder}
          rowKey={(r) => r.alert}
          mark={(r) => (r.error ? 'hot-row' : '')}
        />
      </div>
    </section>
  );
}

function ruleColumns(now: number): Column<RuleRow>[] {
  return [
    { id: 'state', label: 'State', cell: (r) => <State of={r} /> },
    { id: 'rule', label: 'Rule', cell: (r) => <Rule of={r} /> },
    { id: 'severity', label: 'Severity', from: 'medium', cell: (r) => <Name of={r.severity} /> },
    {
      id: 'for',
      label: 'For',
      hint: 'How long its condition holds before it fires',
      numeric: true,
      from: 'medium',
      cell: (r) => (r.for_s > 0 ? seconds(r.for_s) : 'at once'),
    },
    {
      id: 'every',
      label: 'Every',
      hint: 'The time between two evaluations',
      numeric: true,
      from: 'large',
      cell: (r) => seconds(r.interval_s),
    },
    {
      id: 'evaluated',
      label: 'Evaluated',
      numeric: true,
      from: 'medium',
      cell: (r) => <Evaluated of={r} now={now} />,
    },
  ];
}

/** A time that somebody wrote: 30 s rather than 30.0 s. */
const seconds = (s: number) => durationMs(s * 1e3).replace(/\.0+ /, ' ');

function State({ of: r }: { of: RuleRow }) {
  if (r.error) return <span class="badge badge-hot">fails</span>;
  const times = r.state === 'firing' ? r.firing : r.state === 'pending' ? r.pending : 0;
  const class_ = r.state === 'firing' && r.severity !== 'none' ? 'badge badge-hot' : 'badge';
  return (
    <span class={class_}>
      {r.state}
      {times && times > 1 ? ` ×${count(times)}` : ''}
    </span>
  );
}

function Evaluated({ of: r, now }: { of: RuleRow; now: number }) {
  if (r.state === 'off') return <>{NOTHING}</>;
  if (r.waits) return <span title="Rows are late, or were until lately">waits</span>;
  return <Ago ms={r.last_evaluation_ms ?? 0} now={now} />;
}

function Rule({ of: r }: { of: RuleRow }) {
  const runbook = runbookUrl(r.runbook_url);
  const labels = Object.entries(r.labels).map(([name, value]) => `${name}="${value}"`);
  return (
    <>
      <Name of={r.alert} class="strong wrapped" />
      {r.error && (
        <p class="rule-error">
          <bdi>{r.error}</bdi>
        </p>
      )}
      {r.left_out ? <p class="rule-error">{count(r.left_out)} alerts are past the bound.</p> : null}
      <details class="rule-more">
        <summary>
          Query<span class="sr-only"> of {r.alert}</span>
        </summary>
        <pre tabIndex={0} role="region" aria-label={`Query of ${r.alert}`}>
          {r.question.expr ?? `measure: ${r.question.measure}`}
        </pre>
        <p>
          {r.threshold !== null && `Over ${r.threshold}. `}
          {labels.length > 0 && (
            <>
              Labels: <bdi>{labels.join(', ')}</bdi>.{' '}
            </>
          )}
          Group <bdi>{r.group}</bdi>, in <bdi>{r.file}</bdi>.
          {r.took_ms ? ` Its last evaluation took ${durationMs(r.took_ms)}.` : ''}
        </p>
        {runbook && (
          <p>
            <a href={runbook} rel="noreferrer">
              Runbook<span class="sr-only"> of {r.alert}</span>
            </a>
          </p>
        )}
      </details>
    </>
  );
}

export function Silences() {
  const silences = useRepeated('silences', fetchSilences);
  if (!silences) return null;
  const over = silences.filter((s) => s.state === 'ended');
  const others = silences.filter((s) => s.state !== 'ended');
  return (
    <section class="card">
      <h2>Silences</h2>
      {others.length === 0 && (
        <p class="none">
          Nothing is silenced. <code>[[silences]]</code> and <code>[[maintenance]]</code> are part of
          the collector’s configuration, which it reads again on SIGHUP.
        </p>
      )}
      {others.length > 0 && <SilenceTable rows={others} caption="Silences and maintenance" />}
      {over.length > 0 && (
        <details class="ended">
          <summary>Ended: {count(over.length)}</summary>
          <SilenceTable rows={over} caption="Silences that are over" />
        </details>
      )}
    </section>
  );
}

interface SilenceTableProps {
  rows: SilenceRow[];
  caption: string;
}

function SilenceTable({ rows, caption }: SilenceTableProps) {
  return (
    <Table
      caption={caption}
      className="silences"
      columns={SILENCE_COLUMNS}
      rows={rows}
      rowKey={(s) => JSON.stringify(s)}
    />
  );
}

const SILENCE_COLUMNS: Column<SilenceRow>[] = [
  {
    id: 'state',
    label: 'State',
    cell: (s) => <span class="badge">{s.state === 'waiting' ? 'not now' : s.state}</span>,
  },
  {
    id: 'matchers',
    label: 'Alerts with',
    cell: (s) => (
      <>
        <bdi class="mono matchers" title={s.matchers.join(' ')}>
          {s.matchers.join(' ') || 'any label'}
        </bdi>
        <p class="silence-why">
          {s.kind === 'maintenance' && 'Maintenance'}
          {s.weekly.length > 0 && ` ${s.weekly.join('; ')} ${s.timezone}`}
          {s.kind === 'maintenance' && s.comment && ': '}
          <bdi>{s.comment}</bdi>
        </p>
      </>
    ),
  },
  { id: 'by', label: 'By', from: 'medium', cell: (s) => <Name of={s.created_by ?? ''} /> },
  { id: 'until', label: 'Until', cell: (s) => <Until of={s} /> },
];

function Until({ of: { ends_ms, until_ms, from_ms, state } }: { of: SilenceRow }) {
  const until = state === 'active' ? ends_ms : until_ms;
  const begins = state === 'waiting' && from_ms ? ` from ${absolute(from_ms).slice(0, 16)}` : '';
  return <>{(until ? absolute(until).slice(0, 16) : NOTHING) + begins}</>;
}
