import type { ServiceRow } from '../api';
import { count, duration } from '../format';
import { useQuery } from '../live';
import { Ago, BarredDuration, Name } from '../parts/cells';
import { Link } from '../parts/link';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';
import { Waiting } from '../parts/waiting';
import { toView, useRouter } from '../route';
import type { Route } from '../route';
import { parseSort, sortText } from '../sort';
import { NothingBlocked } from './empty';

export function ServicesView() {
  const { route, go } = useRouter();
  const { answer, stale } = useQuery({ name: 'services' });
  if (!answer) return <Waiting title="Services" />;
  const most = answer.rows.reduce((max, r) => Math.max(max, r.blocked_ns), 0);
  return (
    <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
      <h1 tabIndex={-1}>Services</h1>
      {answer.rows.length === 0 && <NothingBlocked />}
      {answer.rows.length > 0 && (
        <Table
          caption="Services that sent slow polls"
          className="services"
          columns={columnsOf(most, answer.window.to, route)}
          rows={answer.rows}
          rowKey={(r) => r.service}
          sort={parseSort(route.sort, '-blocked_ns')}
          onSort={(sort) => go({ ...route, sort: sortText(sort) })}
          onOpen={(r) => go(toFunctions(route, r))}
        />
      )}
    </section>
  );
}

function toFunctions(route: Route, row: ServiceRow): Route {
  return { ...toView(route, 'functions'), service: row.service };
}

function columnsOf(most: number, now: number, route: Route): Column<ServiceRow>[] {
  return [
    {
      id: 'service',
      label: 'Service',
      sortBy: (r) => r.service,
      cell: (r) => (
        <Link to={toFunctions(route, r)} title={`Functions of ${r.service}`}>
          <Name of={r.service} class="strong" />
        </Link>
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
      id: 'versions',
      label: 'Versions',
      from: 'medium',
      sortBy: (r) => r.versions.join(),
      cell: (r) => <Name of={r.versions.filter(Boolean).join(', ')} />,
    },
    {
      id: 'first_seen_ms',
      label: 'First seen',
      numeric: true,
      from: 'medium',
      sortBy: (r) => r.first_seen_ms,
      cell: (r) => <Ago ms={r.first_seen_ms} now={now} />,
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
