// One function: what it cost, when, in which episodes, and the single polls behind them.

import type { IssueRow, TopRow } from '../api';
import { absolute, count, duration, NOTHING, plural, share } from '../format';
import { useQuery } from '../live';
import type { Window } from '../live';
import { splitFunction } from '../names';
import { Ago, BlockedNow, CauseTag, Name } from '../parts/cells';
import { BlockedChart } from '../parts/chart';
import { Facts } from '../parts/facts';
import { Link } from '../parts/link';
import { MuteControl, muteInWords } from '../parts/mute';
import { InTurn, useTurn } from '../parts/turn';
import { Waiting } from '../parts/waiting';
import { RANGES, useRouter } from '../route';
import type { Route } from '../route';
import { addTrends, stepOf } from '../trend';
import { Durations } from './durations';
import { Episodes, Polls } from './evidence';
import { FlameGraph } from './flamegraph';
import { StateBadge } from './functions';
import { Stacks } from './stacks';

export function FunctionView() {
  return (
    <InTurn>
      <Sections />
    </InTurn>
  );
}

function Sections() {
  const { route } = useRouter();
  const service = route.in || route.service;
  const subject = { function: route.function, service };
  const top = useQuery({ name: 'top', ...subject });
  const everything = useQuery({ name: 'top', service: '', limit: 500 });
  const total = everything.answer?.rows.reduce((sum, r) => sum + r.blocked_ns, 0);
  const issues = useQuery({ name: 'issues', ...subject });
  const { answer, stale } = top;
  const shown = useTurn(0, top.settled && issues.settled) ? answer : undefined;
  return (
    <div class={stale && shown ? 'stale' : ''} aria-busy={stale}>
      <Heading
        route={route}
        rows={shown?.rows ?? []}
        issues={(shown && issues.answer?.rows) ?? []}
        service={service}
      />
      {!shown && <Waiting title="" />}
      {shown && shown.rows.length === 0 && <Quiet route={route} />}
      {shown && shown.rows.length > 0 && (
        <Cost rows={shown.rows} window={shown.window} total={total} />
      )}
      <Durations {...subject} />
      <FlameGraph {...subject} />
      <Stacks {...subject} />
      <Episodes {...subject} />
      <Polls {...subject} />
    </div>
  );
}

interface HeadingProps {
  route: Route;
  rows: TopRow[];
  issues: IssueRow[];
  service: string;
}

function Heading({ route, rows, issues, service }: HeadingProps) {
  const { short, path } = splitFunction(route.function);
  const row = rows[0];
  const stalled = rows.reduce((sum, r) => sum + r.stalled, 0);
  const services = service ? [service] : [...new Set(rows.map((r) => r.service))];
  return (
    <header class="subject">
      <nav class="crumb" aria-label="Way back">
        <Link to={{ ...route, view: 'functions', function: '', in: '' }}>← Issues</Link>
      </nav>
      <h1 tabIndex={-1} title={route.function}>
        <bdi>{short}</bdi> <BlockedNow polls={stalled} />
      </h1>
      <p class="subject-path">
        {path && <bdi class="mono">{path}</bdi>}
        {services.map((name) => (
          <span key={name} class="in">
            in <Name of={name} class="strong" />
          </span>
        ))}
        {row?.file && (
          <bdi class="mono" title={`${row.file}:${row.line}`}>
            {row.file}:{row.line}
          </bdi>
        )}
      </p>
      {issues.map((issue) => (
        <IssueLine key={issue.service} issue={issue} alone={issues.length === 1} />
      ))}
    </header>
  );
}

/** What became of it in one service, since which version, and whom it made wait. */
function IssueLine({ issue, alone }: { issue: IssueRow; alone: boolean }) {
  return (
    <p class="issue-line">
      {!alone && <Name of={issue.service} class="strong" />}
      <StateBadge row={issue} />
      {issue.first_version && (
        <span>
          first in version <Name of={issue.first_version} class="strong" />, last in{' '}
          <Name of={issue.last_version} class="strong" />
        </span>
      )}
      {issue.victims > 0 && <span>{plural(issue.victims, 'task')} had to wait</span>}
      {issue.state === 'muted' && <span class="dim">{muteInWords(issue)}</span>}
      <MuteControl row={issue} />
    </p>
  );
}

interface CostProps {
  rows: TopRow[];
  window: Window;
  total: number | undefined;
}

function Cost({ rows, window, total }: CostProps) {
  const sum = (of: (row: TopRow) => number) => rows.reduce((all, r) => all + of(r), 0);
  const blocked = sum((r) => r.blocked_ns);
  const first = Math.min(...rows.map((r) => r.first_seen_ms));
  const last = Math.max(...rows.map((r) => r.last_seen_ms));
  const now = window.to;
  // Percentiles of several services can't be joined.
  const only = rows.length === 1 ? rows[0] : undefined;
  const causes = [...new Set(rows.map((r) => r.cause))];
  const trends = rows.map((r) => r.trend);
  return (
    <section class="card" aria-label="Cost">
      <Facts
        facts={[
          {
            label: 'Blocked',
            value: duration(blocked),
            hint: 'Time that its slow polls held a runtime thread',
          },
          {
            label: 'Share',
            value: total ? share(blocked, total) : NOTHING,
            hint: 'Part of all blocked time',
          },
          {
            label: 'Calls',
            value: count(sum((r) => r.calls)),
            hint: 'Polls at or over the threshold',
          },
          { label: 'Max', value: duration(Math.max(...rows.map((r) => r.max_ns))) },
          { label: 'p50', value: duration(only?.p50_ns) },
          { label: 'p99', value: duration(only?.p99_ns) },
          { label: 'Cause', value: causes.map((cause) => <CauseTag key={cause} of={cause} />) },
          { label: 'Instances', value: count(sum((r) => r.instances)) },
          { label: 'First seen', value: <Ago ms={first} now={now} />, hint: absolute(first) },
          { label: 'Last seen', value: <Ago ms={last} now={now} />, hint: absolute(last) },
        ]}
      />
      <Blame rows={rows} />
      <h2>Blocked time</h2>
      <BlockedChart
        trend={addTrends(trends)}
        step={stepOf(trends, window.from, window.to)}
        window={window}
        height={180}
      />
    </section>
  );
}

function Blame({ rows }: { rows: TopRow[] }) {
  const row = rows.find((r) => r.blame_function);
  if (!row || row.blame_function === row.function) return null;
  return (
    <p class="blame">
      The blocking call is in <Name of={row.blame_function} class="mono strong" />
      {row.blame_crate && (
        <>
          {' '}
          of the crate <Name of={row.blame_crate} class="mono strong" />
        </>
      )}
      .
    </p>
  );
}

function Quiet({ route }: { route: Route }) {
  return (
    <div class="card quiet">
      <p>
        No poll of this function blocked a thread{' '}
        {route.to === null ? `in the last ${RANGES[route.range].words}` : 'in this range'}.
      </p>
      <p>
        <Link class="button" to={{ ...route, range: '24h' }}>
          Last 24 hours
        </Link>{' '}
        <Link class="button" to={{ ...route, range: '7d' }}>
          Last 7 days
        </Link>
      </p>
    </div>
  );
}
