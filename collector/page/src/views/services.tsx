import type { BlockedRateRow, RuntimeRow, ServiceRow, TrendPoint } from '../api';
import { count, duration, share } from '../format';
import { useQuery } from '../live';
import type { Window } from '../live';
import { Ago, BarredDuration, Name } from '../parts/cells';
import { Link } from '../parts/link';
import { Sparkline } from '../parts/sparkline';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';
import { Waiting } from '../parts/waiting';
import { toView, useRouter } from '../route';
import type { Route } from '../route';
import { parseSort, sortText } from '../sort';
import { stepOf } from '../trend';
import { NothingBlocked } from './empty';

/** What has not reported for so long may be gone. */
const SILENT_MS = 300_000;
const RUNTIMES = 500;

export function ServicesView() {
  const { route, go } = useRouter();
  const { answer, stale } = useQuery({ name: 'services' });
  const runtimes = useQuery({ name: 'runtimes', limit: RUNTIMES }).answer?.rows ?? [];
  const rates = useQuery({ name: 'blocked_rate' }).answer?.rows ?? [];
  if (!answer) return <Waiting title="Services" />;
  const of = new Map<string, RuntimeRow[]>();
  for (const r of runtimes) of.set(r.service, [...(of.get(r.service) ?? []), r]);
  return (
    <>
      <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
        <h1 tabIndex={-1}>Services</h1>
        {answer.rows.length === 0 && <NothingBlocked />}
        {answer.rows.length > 0 && (
          <Table
            caption="Services that report"
            className="services"
            columns={columnsOf(answer.rows, of, trendsOf(rates), answer.window, route)}
            rows={answer.rows}
            rowKey={(r) => r.service}
            sort={parseSort(route.sort, '-blocked_ns')}
            onSort={(sort) => go({ ...route, sort: sortText(sort) })}
            onOpen={(r) => go(toFunctions(route, r))}
          />
        )}
      </section>
      {runtimes.length > 0 && <Runtimes rows={runtimes} now={answer.window.to} />}
    </>
  );
}

/** The runtimes of each instance, those first whose workers have least to spare. */
function Runtimes({ rows, now }: { rows: RuntimeRow[]; now: number }) {
  const inOrder = [...rows].sort((a, b) => b.busy - a.busy);
  return (
    <section class="card">
      <h2 id="instances">
        Instances and their runtimes{' '}
        {rows.length === RUNTIMES && <small>the first {count(RUNTIMES)}</small>}
      </h2>
      <div class="scroll" role="region" aria-labelledby="instances" tabIndex={0}>
        <Table
          caption="Runtimes of instances, the busiest first"
          className="instances"
          columns={runtimeColumns(now)}
          rows={inOrder}
          rowKey={(r) => `${r.service}/${r.instance}/${r.runtime}`}
        />
      </div>
    </section>
  );
}

function runtimeColumns(now: number): Column<RuntimeRow>[] {
  return [
    {
      id: 'instance',
      label: 'Instance',
      cell: (r) => (
        <>
          <Name of={r.instance} class="mono" />
          <p class="narrow-facts always">
            <bdi>{r.service}</bdi> {r.version && <bdi>{r.version}</bdi>} <bdi>{r.runtime}</bdi>
            {now - r.last_seen_ms > SILENT_MS && <span class="badge badge-hot">silent</span>}
          </p>
        </>
      ),
    },
    {
      id: 'busy',
      label: 'Busy',
      hint: 'Part of the workers’ time that they were not parked',
      numeric: true,
      cell: (r) => <Busy of={r.busy} />,
    },
    {
      id: 'workers',
      label: 'Workers',
      numeric: true,
      from: 'medium',
      cell: (r) => count(r.workers),
    },
    {
      id: 'queue',
      label: 'Queue',
      hint: 'Tasks in the queue that all workers share, as of the last report',
      numeric: true,
      cell: (r) => count(r.queue),
    },
    { id: 'tasks', label: 'Tasks', numeric: true, from: 'medium', cell: (r) => count(r.tasks) },
    {
      id: 'seen',
      label: 'Last report',
      numeric: true,
      from: 'medium',
      cell: (r) => <Ago ms={r.last_seen_ms} now={now} />,
    },
  ];
}

function Busy({ of }: { of: number }) {
  return (
    <div class="barred">
      {share(of, 1)}
      <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect class="bar-rest" width="100" height="4" />
        <rect class="bar-part" width={100 * Math.min(1, Math.max(0, of))} height="4" />
      </svg>
    </div>
  );
}

/** Of all workers of a service, by their number; nothing where no runtime reports. */
function busyOf(runtimes: readonly RuntimeRow[] | undefined): number | null {
  const workers = (runtimes ?? []).reduce((sum, r) => sum + r.workers, 0);
  const busy = (runtimes ?? []).reduce((sum, r) => sum + r.busy * r.workers, 0);
  return workers > 0 ? busy / workers : null;
}

/** Blocked time a minute, by service. */
function trendsOf(rates: readonly BlockedRateRow[]): Map<string, TrendPoint[]> {
  const trends = new Map<string, TrendPoint[]>();
  for (const { time, service, blocked_ns } of rates) {
    const trend = trends.get(service) ?? [];
    trend.push([Date.parse(`${time.replace(' ', 'T')}Z`), blocked_ns]);
    trends.set(service, trend);
  }
  return trends;
}

function toFunctions(route: Route, row: ServiceRow): Route {
  return { ...toView(route, 'functions'), service: row.service };
}

function columnsOf(
  rows: readonly ServiceRow[],
  runtimes: Map<string, RuntimeRow[]>,
  trends: Map<string, TrendPoint[]>,
  { from, to }: Window,
  route: Route,
): Column<ServiceRow>[] {
  const most = rows.reduce((max, r) => Math.max(max, r.blocked_ns), 0);
  const step = stepOf([...trends.values()], from, to);
  const busy = (r: ServiceRow) => busyOf(runtimes.get(r.service));
  const queue = (r: ServiceRow) =>
    runtimes.get(r.service)?.reduce((sum, runtime) => sum + runtime.queue, 0);
  return [
    {
      id: 'service',
      label: 'Service',
      sortBy: (r) => r.service,
      cell: (r) => (
        <>
          <Link to={toFunctions(route, r)} title={`Issues of ${r.service}`}>
            <Name of={r.service} class="strong" />
          </Link>
          <p class="narrow-facts always">
            {to - r.last_seen_ms > SILENT_MS ? <span class="badge badge-hot">silent</span> : null}
            <Name of={r.versions.filter(Boolean).slice(-3).join(', ') || 'no version'} />
            {r.versions.length > 3 && <span>and {r.versions.length - 3} before</span>}
          </p>
        </>
      ),
    },
    {
      id: 'blocked_ns',
      label: 'Blocked',
      numeric: true,
      sortBy: (r) => r.blocked_ns,
      cell: (r) => (r.polls > 0 ? <BarredDuration ns={r.blocked_ns} of={most} /> : duration(0)),
    },
    {
      id: 'trend',
      label: 'Trend',
      hint: 'Blocked time a minute, over the range',
      numeric: true,
      from: 'medium',
      cell: (r) => <Sparkline trend={trends.get(r.service) ?? []} step={step} from={from} to={to} />,
    },
    {
      id: 'polls',
      label: 'Slow polls',
      numeric: true,
      sortBy: (r) => r.polls,
      cell: (r) => count(r.polls),
    },
    {
      id: 'instances',
      label: 'Instances',
      numeric: true,
      from: 'medium',
      sortBy: (r) => r.instances,
      cell: (r) => count(r.instances),
    },
    {
      id: 'busy',
      label: 'Busy',
      hint: 'Part of the time of all its workers that they were not parked',
      numeric: true,
      from: 'medium',
      sortBy: (r) => busy(r) ?? -1,
      cell: (r) => <Name of={share(busy(r) ?? 0, busy(r) === null ? 0 : 1)} />,
    },
    {
      id: 'queue',
      label: 'Queue',
      hint: 'Tasks in the queues that workers share, as of the last reports',
      numeric: true,
      from: 'large',
      sortBy: (r) => queue(r) ?? -1,
      cell: (r) => count(queue(r)),
    },
    {
      id: 'last_seen_ms',
      label: 'Last seen',
      numeric: true,
      from: 'medium',
      sortBy: (r) => r.last_seen_ms,
      cell: (r) => <Ago ms={r.last_seen_ms} now={to} />,
    },
  ];
}
