// Nothing to show, and what to do next.

import { useContext, useEffect, useState } from 'preact/hooks';

import { fetchRows } from '../api';
import type { ServiceRow } from '../api';
import { plural } from '../format';
import { WindowContext } from '../live';
import { Name } from '../parts/cells';
import { Link } from '../parts/link';
import { RANGES, useRouter } from '../route';
import type { Route } from '../route';

const WEEK_MS = RANGES['7d'].ms;

/** No slow poll in the range: all is well, or no service has been connected yet. */
export function NothingBlocked() {
  const { route } = useRouter();
  const services = useServicesOfWeek();
  if (!services) return null;
  return services.length === 0 ? <FirstSteps /> : <AllQuiet route={route} services={services} />;
}

function useServicesOfWeek(): ServiceRow[] | undefined {
  const window = useContext(WindowContext);
  const [rows, setRows] = useState<ServiceRow[]>();
  useEffect(() => {
    const abort = new AbortController();
    // A failure is told by the banner, from the view's own query.
    fetchRows({ name: 'services' }, window.to - WEEK_MS, window.to, abort.signal).then(
      setRows,
      () => {},
    );
    return () => abort.abort();
  }, [window]);
  return rows;
}

function AllQuiet({ route, services }: { route: Route; services: ServiceRow[] }) {
  const when = route.to === null ? `in the last ${RANGES[route.range].words}` : 'in this range';
  return (
    <div class="empty">
      <h2>Nothing blocked {when}</h2>
      <p>
        {route.service ? (
          <>
            No slow poll of <Name of={route.service} class="strong" /> came in.
          </>
        ) : (
          <>
            No poll held a runtime thread for longer than the threshold. Seen within a week:{' '}
            {plural(services.length, 'service')}.
          </>
        )}
      </p>
      <p class="actions">
        {(['1h', '24h', '7d'] as const)
          .filter((range) => RANGES[range].ms > RANGES[route.range].ms)
          .map((range) => (
            <Link key={range} class="button" to={{ ...route, range }}>
              Last {RANGES[range].words}
            </Link>
          ))}
        {route.service && (
          <Link class="button" to={{ ...route, service: '' }}>
            All services
          </Link>
        )}
      </p>
    </div>
  );
}

function endpoint(): string {
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  return `http://${local ? '127.0.0.1' : location.hostname}:4318`;
}

function FirstSteps() {
  return (
    <div class="empty">
      <h2>No service has sent a slow poll yet</h2>
      <p>Five lines connect a service that runs on tokio:</p>
      <ol class="steps">
        <Step
          where="Cargo.toml, under [dependencies]"
          code={'holdup = { path = "../holdup/instrument" }'}
        />
        <Step where="First line of main" code="let _guard = holdup::init();" />
        <Step where="Above an async function" code="#[holdup::detect_blocking]" />
        <Step
          where="Its environment"
          code={`OTEL_SERVICE_NAME=my-service\nOTEL_EXPORTER_OTLP_ENDPOINT=${endpoint()}`}
        />
      </ol>
      <p>
        A function shows up here within seconds of a poll that held its thread for 10 ms or longer.
        To see one at once: <code>cargo xtask demo</code>.
      </p>
    </div>
  );
}

function Step({ where, code }: { where: string; code: string }) {
  return (
    <li>
      <span class="where">{where}</span>
      <pre>{code}</pre>
    </li>
  );
}

export function NothingMatches({ what }: { what: string }) {
  const { route } = useRouter();
  return (
    <div class="empty">
      <h2>
        No {what} matches “<bdi>{route.q}</bdi>”
      </h2>
      <p class="actions">
        <Link class="button" to={{ ...route, q: '' }}>
          Clear the filter
        </Link>
      </p>
    </div>
  );
}
