// Home: the functions of the range, the one that blocked longest first.

import { useMemo } from 'preact/hooks';

import type { TopRow } from '../api';
import { count, duration, plural, share } from '../format';
import { useQuery } from '../live';
import type { Window } from '../live';
import { Ago, BarredDuration, BlockedNow, CauseTag, FunctionLabel, Name } from '../parts/cells';
import { BlockedChart } from '../parts/chart';
import { FilterBar } from '../parts/filter';
import { Link } from '../parts/link';
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
  const { answer, stale } = useQuery({ name: 'top', service: route.service, limit: LIMIT });
  if (!answer) return <Waiting title="Functions" />;
  const shown = answer.rows.filter((r) =>
    matches(route.q, [r.function, r.service, r.cause, r.blame_function]),
  );
  const filters = answer.rows.length > 0 || route.service !== '' || route.q !== '';
  return (
    <div class={stale ? 'stale' : ''} aria-busy={stale}>
      <h1 class="sr-only" tabIndex={-1}>
        Functions by blocked time
      </h1>
      {answer.rows.length > 0 && (
        <Overview rows={answer.rows} window={answer.window} route={route} />
      )}
      {filters && <FilterBar found={shown.length} all={answer.rows.length} what="function" />}
      {answer.rows.length === 0 && <NothingBlocked />}
      {answer.rows.length > 0 && shown.length === 0 && <NothingMatches what="function" />}
      {shown.length > 0 && (
        <List shown={shown} all={answer.rows} window={answer.window} route={route} go={go} />
      )}
      {answer.rows.length === LIMIT && (
        <p class="note">
          The {LIMIT} functions with the most blocked time. A service or a shorter range narrows it.
        </p>
      )}
    </div>
  );
}

interface OverviewProps {
  rows: TopRow[];
  window: Window;
  route: Route;
}

function Overview({ rows, window, route }: OverviewProps) {
  const sum = (of: (row: TopRow) => number) => rows.reduce((total, row) => total + of(row), 0);
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
          { label: 'Functions', value: count(rows.length) },
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

interface ListProps {
  shown: TopRow[];
  all: TopRow[];
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

function toFunction(route: Route, row: TopRow): Route {
  return { ...route, view: 'function', function: row.function, in: row.service };
}

function columnsOf(all: TopRow[], window: Window, route: Route): Column<TopRow>[] {
  return [
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
    {
      id: 'cause',
      label: 'Cause',
      from: 'medium',
      sortBy: (r) => r.cause,
      cell: (r) => <CauseTag of={r.cause} />,
    },
    trendColumn(all, window),
    { ...seenColumn('first_seen_ms', 'First seen', window.to), from: 'wide' },
    { ...seenColumn('last_seen_ms', 'Last seen', window.to), from: 'large' },
  ];
}

function costColumns(all: TopRow[]): Column<TopRow>[] {
  const total = all.reduce((sum, r) => sum + r.blocked_ns, 0);
  const most = all.reduce((max, r) => Math.max(max, r.blocked_ns), 0);
  const time = (id: 'max_ns' | 'p50_ns' | 'p99_ns', label: string, hint: string) => ({
    ...{ id, label, hint, numeric: true },
    sortBy: (r: TopRow) => r[id],
    cell: (r: TopRow) => duration(r[id]),
  });
  return [
    {
      id: 'blocked_ns',
      label: 'Blocked',
      hint: 'Time that slow polls of the function held a runtime thread',
      numeric: true,
      sortBy: (r) => r.blocked_ns,
      cell: (r) => <BarredDuration ns={r.blocked_ns} of={most} />,
    },
    {
      id: 'share',
      label: 'Share',
      hint: 'Part of all blocked time in the list',
      numeric: true,
      from: 'wide',
      sortBy: (r) => r.blocked_ns,
      cell: (r) => share(r.blocked_ns, total),
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
    time('max_ns', 'Max', 'The longest poll'),
    { ...time('p50_ns', 'p50', 'Median of the polls over the threshold'), from: 'wide' },
    { ...time('p99_ns', 'p99', '99th percentile of the polls over the threshold'), from: 'large' },
  ];
}

function trendColumn(all: TopRow[], { from, to }: Window): Column<TopRow> {
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
    sortBy: (r: TopRow) => r[id],
    cell: (r: TopRow) => <Ago ms={r[id]} now={now} />,
  };
}

function FunctionCell({ row, route }: { row: TopRow; route: Route }) {
  return (
    <div class="function-cell">
      <Link to={toFunction(route, row)} title={row.function} class="function-link">
        <FunctionLabel of={row.function} />
      </Link>
      <BlockedNow polls={row.stalled} />
      <p class="narrow-facts">
        <Name of={row.service} /> <CauseTag of={row.cause} />{' '}
        <span>{plural(row.calls, 'call')}</span>
      </p>
    </div>
  );
}
