// Home: the functions that block, as a list of issues; the one that blocked longest first.

import { useMemo, useState } from 'preact/hooks';

import type { IssueRow } from '../api';
import { count, duration, NOTHING, plural, share } from '../format';
import { CHOICES, rankOf, STATES, statesOf } from '../issues';
import { useQuery } from '../live';
import type { Window } from '../live';
import { Ago, BarredDuration, BlockedNow, CauseTag, FunctionLabel, Name } from '../parts/cells';
import { BlockedChart } from '../parts/chart';
import { FilterBar } from '../parts/filter';
import { Link } from '../parts/link';
import { MuteControl, muteInWords } from '../parts/mute';
import { Sparkline } from '../parts/sparkline';
import { Facts } from '../parts/facts';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';
import { RANGES, useRouter } from '../route';
import type { Route } from '../route';
import { matches, parseSort, sortText } from '../sort';
import { addTrends, stepOf } from '../trend';
import { NothingBlocked, NothingMatches } from './empty';
import { Waiting } from '../parts/waiting';

const LIMIT = 500;

export function FunctionsView() {
  const { route, go } = useRouter();
  // A list that does not come whole is searched where it is whole.
  const [cut, setCut] = useState(false);
  const search = cut ? route.q : '';
  const { answer, stale } = useQuery({
    name: 'issues',
    service: route.service,
    state: statesOf(route.state),
    search,
    limit: LIMIT,
  });
  if (!answer) return <Waiting title="Issues" />;
  const rows = answer.rows;
  if (rows.length === LIMIT && !cut) setCut(true);
  const shown = rows.filter((r) =>
    matches(route.q, [r.function, r.service, r.cause, r.blame_function]),
  );
  const chosen = route.service !== '' || route.q !== '' || route.state !== '';
  return (
    <div class={stale ? 'stale' : ''} aria-busy={stale}>
      <h1 class="sr-only" tabIndex={-1}>
        Issues: functions by blocked time
      </h1>
      {rows.length > 0 && <Overview rows={rows} window={answer.window} route={route} />}
      {(rows.length > 0 || chosen) && (
        <FilterBar found={shown.length} all={rows.length} what="issue">
          <StateChoice route={route} />
        </FilterBar>
      )}
      {rows.length === 0 && <Nothing route={route} />}
      {rows.length > 0 && shown.length === 0 && <NothingMatches what="issue" />}
      {shown.length > 0 && (
        <List shown={shown} all={rows} window={answer.window} route={route} go={go} />
      )}
      {rows.length === LIMIT && (
        <p class="note">
          The {LIMIT} functions with the most blocked time. A filter, a service or a shorter range
          finds the others.
        </p>
      )}
    </div>
  );
}

function StateChoice({ route }: { route: Route }) {
  return (
    <div class="ranges states" role="group" aria-label="State">
      {CHOICES.map(({ id, label }) => (
        <Link
          key={id}
          to={{ ...route, state: id }}
          current={id === route.state ? 'true' : undefined}
        >
          {label}
        </Link>
      ))}
    </div>
  );
}

function Nothing({ route }: { route: Route }) {
  if (route.q !== '') return <NothingMatches what="issue" />;
  if (route.state === '' || route.state === 'all') return <NothingBlocked />;
  const state = CHOICES.find((c) => c.id === route.state)?.label.toLowerCase() ?? route.state;
  return (
    <div class="empty">
      <h2>
        No issue is <bdi>{state}</bdi>
      </h2>
      <p class="actions">
        <Link class="button" to={{ ...route, state: '' }}>
          Open issues
        </Link>
        <Link class="button" to={{ ...route, state: 'all' }}>
          All issues
        </Link>
      </p>
    </div>
  );
}

interface OverviewProps {
  rows: IssueRow[];
  window: Window;
  route: Route;
}

function Overview({ rows, window, route }: OverviewProps) {
  const sum = (of: (row: IssueRow) => number) => rows.reduce((total, row) => total + of(row), 0);
  const stalled = sum((r) => r.stalled);
  const blocked = sum((r) => r.blocked_ns);
  const trends = rows.map((r) => r.trend);
  const range = RANGES[route.range].words;
  return (
    <section class="overview" aria-label={`The last ${range}`}>
      <Facts
        facts={[
          {
            label: 'Blocked',
            value: duration(blocked),
            hint: 'Time that slow polls held runtime threads',
          },
          {
            label: 'Slow polls',
            value: count(sum((r) => r.calls)),
            hint: 'Polls at or over the threshold',
          },
          {
            label: 'Issues',
            value: <IssueCount rows={rows} />,
            hint: 'Functions in the list, and those that a change brought',
          },
          {
            label: 'Blocked now',
            value: stalled > 0 ? <span class="hot">{plural(stalled, 'poll')}</span> : 'none',
            hint: 'Polls that have not returned yet',
          },
        ]}
      />
      <BlockedChart
        trend={addTrends(trends)}
        step={stepOf(trends, window.from, window.to)}
        window={window}
        height={104}
        quiet
      />
    </section>
  );
}

function IssueCount({ rows }: { rows: IssueRow[] }) {
  const fresh = rows.filter((r) => r.state === 'new' || r.state === 'regressed').length;
  return (
    <>
      {count(rows.length)}
      {fresh > 0 && fresh < rows.length && <small> {count(fresh)} new</small>}
    </>
  );
}

interface ListProps {
  shown: IssueRow[];
  all: IssueRow[];
  window: Window;
  route: Route;
  go: (route: Route) => void;
}

function List({ shown, all, window, route, go }: ListProps) {
  const columns = useMemo(() => columnsOf(all, window, route), [all, window, route]);
  const sort = parseSort(route.sort, '-blocked_ns');
  return (
    <Table
      caption="Functions that blocked runtime threads"
      className="functions"
      columns={columns}
      rows={shown}
      rowKey={(r) => `${r.service}\n${r.function}`}
      sort={sort}
      onSort={(to) => go({ ...route, sort: sortText(to) })}
      onOpen={(r) => go(toFunction(route, r))}
      mark={(r) => (r.stalled > 0 ? 'hot-row' : '')}
    />
  );
}

function toFunction(route: Route, row: IssueRow): Route {
  return { ...route, view: 'function', function: row.function, in: row.service };
}

function columnsOf(all: IssueRow[], window: Window, route: Route): Column<IssueRow>[] {
  return [
    {
      id: 'state',
      label: 'State',
      hint: 'New, regressed, ongoing, quiet or muted',
      from: 'medium',
      sortBy: (r) => rankOf(r.state),
      cell: (r) => <StateBadge row={r} />,
    },
    {
      id: 'function',
      label: 'Function',
      sortBy: (r) => r.function,
      cell: (r) => <FunctionCell row={r} route={route} />,
    },
    {
      id: 'service',
      label: 'Service',
      from: 'medium',
      sortBy: (r) => r.service,
      cell: (r) => <Name of={r.service} />,
    },
    ...costColumns(all),
    ...blameColumns(),
    trendColumn(all, window),
    ...historyColumns(window.to),
  ];
}

function blameColumns(): Column<IssueRow>[] {
  return [
    {
      id: 'cause',
      label: 'Cause',
      from: 'medium',
      sortBy: (r) => r.cause,
      cell: (r) => (r.calls > 0 ? <CauseTag of={r.cause} /> : NOTHING),
    },
    {
      id: 'crate',
      label: 'Crate',
      hint: 'The crate to blame: that of the first frame outside std, libc and the runtime',
      from: 'wide',
      sortBy: (r) => r.blame_crate,
      cell: (r) => <Name of={r.blame_crate} class="mono" />,
    },
    {
      id: 'victims',
      label: 'Victims',
      hint: 'Tasks that had to wait meanwhile',
      numeric: true,
      from: 'wide',
      sortBy: (r) => r.victims,
      cell: (r) => (r.victims > 0 ? count(r.victims) : NOTHING),
    },
  ];
}

function historyColumns(now: number): Column<IssueRow>[] {
  return [
    {
      id: 'versions',
      label: 'Versions',
      hint: 'Versions of the service that it was first and last seen in',
      from: 'huge',
      sortBy: (r) => r.last_version,
      cell: (r) => <Name of={versionsInWords(r)} />,
    },
    { ...seenColumn('first_seen_ms', 'First seen', now), from: 'huge' },
    {
      ...seenColumn('last_seen_ms', 'Last seen', now),
      from: 'large',
      cell: (r) => (
        <span class="with-action">
          <Ago ms={r.last_seen_ms} now={now} />
          <MuteControl row={r} />
        </span>
      ),
    },
  ];
}

function versionsInWords({ first_version: first, last_version: last }: IssueRow): string {
  return first === last ? last : `${first || NOTHING} … ${last || NOTHING}`;
}

export function StateBadge({ row }: { row: IssueRow }) {
  const { label, meaning } = STATES[row.state] ?? { label: row.state, meaning: '' };
  const title = row.state === 'muted' ? muteInWords(row) : meaning;
  return (
    <span class={`badge state-${label}`} title={title}>
      {label}
    </span>
  );
}

function costColumns(all: IssueRow[]): Column<IssueRow>[] {
  const most = all.reduce((max, r) => Math.max(max, r.blocked_ns), 0);
  const time = (id: 'max_ns', label: string, hint: string) => ({
    ...{ id, label, hint, numeric: true },
    sortBy: (r: IssueRow) => r[id],
    cell: (r: IssueRow) => duration(r[id]),
  });
  return [
    {
      id: 'blocked_ns',
      label: 'Blocked',
      hint: 'Time that slow polls of the function held a runtime thread',
      numeric: true,
      sortBy: (r) => r.blocked_ns,
      cell: (r) =>
        r.calls > 0 ? (
          <span title={`${share(r.share, 1)} of all blocked time`}>
            <BarredDuration ns={r.blocked_ns} of={most} />
          </span>
        ) : (
          duration(0)
        ),
    },
    {
      id: 'share',
      label: 'Share',
      hint: 'Part of all blocked time',
      numeric: true,
      from: 'huge',
      sortBy: (r) => r.blocked_ns,
      cell: (r) => (r.calls > 0 ? share(r.share, 1) : NOTHING),
    },
    {
      id: 'calls',
      label: 'Calls',
      hint: 'Polls at or over the threshold',
      numeric: true,
      from: 'medium',
      sortBy: (r) => r.calls,
      cell: (r) => count(r.calls),
    },
    time('max_ns', 'Worst', 'The longest poll'),
  ];
}

function trendColumn(all: IssueRow[], { from, to }: Window): Column<IssueRow> {
  const step = stepOf(
    all.map((r) => r.trend),
    from,
    to,
  );
  return {
    id: 'trend',
    label: 'Trend',
    hint: 'Blocked time over the range, each function to its own scale; sorts by the latest step',
    from: 'large',
    numeric: true,
    sortBy: (r) => r.trend.findLast(([at]) => at + 2 * step > to)?.[1] ?? 0,
    cell: (r) => <Sparkline trend={r.trend} step={step} from={from} to={to} />,
  };
}

function seenColumn(id: 'first_seen_ms' | 'last_seen_ms', label: string, now: number) {
  return {
    ...{ id, label, numeric: true },
    sortBy: (r: IssueRow) => r[id],
    cell: (r: IssueRow) => <Ago ms={r[id]} now={now} />,
  };
}

function FunctionCell({ row, route }: { row: IssueRow; route: Route }) {
  return (
    <div class="function-cell">
      <Link to={toFunction(route, row)} title={row.function} class="function-link">
        <FunctionLabel of={row.function} />
      </Link>
      <BlockedNow polls={row.stalled} />
      <p class="narrow-facts">
        <StateBadge row={row} /> <Name of={row.service} /> <CauseTag of={row.cause} />{' '}
        <span>{plural(row.calls, 'call')}</span>
      </p>
    </div>
  );
}
