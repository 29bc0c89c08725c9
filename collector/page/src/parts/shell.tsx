// What stands around every view: the bar on top, the banner, the footer.

import { LOGOUT_URL } from '../api';
import type { Status } from '../api';
import { clock, count, plural } from '../format';
import { useTroubles } from '../health';
import type { Window } from '../live';
import { RANGES, toView, useRouter } from '../route';
import type { Range, Route, View } from '../route';
import { Link } from './link';

const TABS: [View, string][] = [
  ['functions', 'Issues'],
  ['live', 'Live'],
  ['services', 'Services'],
  ['suspects', 'Suspects'],
  ['alerts', 'Alerts'],
  ['system', 'System'],
];

export function TopBar({ window }: { window: Window }) {
  const { route } = useRouter();
  const within = route.view === 'function' || route.view === 'episode';
  const tab = within ? 'functions' : route.view;
  return (
    <header class="topbar">
      <Link class="brand" to={toView(route, 'functions')}>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect class="brand-box" width="32" height="32" rx="8" />
          <path class="brand-line" d="M6 16h6M20 16h6" />
          <rect class="brand-stop" x="12.5" y="8" width="7" height="16" rx="2" />
        </svg>
        Holdup
      </Link>
      <nav class="tabs" aria-label="Views">
        {TABS.map(([view, label]) => (
          <Link key={view} to={toView(route, view)} current={view === tab ? 'page' : undefined}>
            {label}
          </Link>
        ))}
      </nav>
      {hasRange(route) && <TimeControls window={window} />}
    </header>
  );
}

/** What is live is of this moment, whatever range the other views show. */
const hasRange = ({ view }: Route) => view !== 'live';

function TimeControls({ window }: { window: Window }) {
  const { route, go } = useRouter();
  const paused = route.to !== null;
  return (
    <div class="time">
      <div class="ranges" role="group" aria-label="Time range">
        {(Object.keys(RANGES) as Range[]).map((range) => (
          <Link
            key={range}
            to={{ ...route, range, from: null, to: route.from === null ? route.to : null }}
            title={`The last ${RANGES[range].words}`}
            current={range === route.range && route.from === null ? 'true' : undefined}
          >
            {RANGES[range].label}
          </Link>
        ))}
      </div>
      <button
        type="button"
        class={paused ? 'pause paused' : 'pause'}
        title={paused ? `Shows the time until ${clock(window.to)}` : 'Refreshes every 5 seconds'}
        onClick={() => go({ ...route, from: null, to: paused ? null : Math.floor(window.to) })}
      >
        <svg viewBox="0 0 12 12" aria-hidden="true">
          <path d={paused ? 'M3 1.5v9l7.5-4.5z' : 'M2.5 1.5h2.5v9H2.5zM7 1.5h2.5v9H7z'} />
        </svg>
        {paused ? 'Resume' : 'Pause'}
      </button>
    </div>
  );
}

export function Banner({ window }: { window: Window }) {
  const { ended, lost, messages } = useTroubles();
  const { route } = useRouter();
  const paused = hasRange(route) && !window.key.endsWith('live');
  return (
    <div class="banners" aria-live="polite">
      {ended && (
        <p class="banner banner-ended">
          <b>Your session has ended.</b> What is shown stays.{' '}
          {/* The form comes in place of this page, and leads back to the same address. */}
          <button type="button" class="button" onClick={() => location.reload()}>
            Log in again
          </button>
        </p>
      )}
      {lost && (
        <p class="banner banner-lost">
          <b>Connection lost, retrying.</b> The collector does not answer; what is shown stays until
          it does.
        </p>
      )}
      {messages.map((message) => (
        <p key={message} class="banner banner-error">
          <b>The collector says:</b> <bdi>{message}</bdi>
        </p>
      ))}
      {!ended && !lost && messages.length === 0 && paused && (
        <p class="banner banner-paused">
          <b>Paused.</b> Shows the time {window.drawn && `from ${clock(window.from)} `}until{' '}
          {clock(window.to)}.
        </p>
      )}
    </div>
  );
}

export function Footer({ status }: { status: Status | undefined }) {
  if (!status) return <footer class="footer" />;
  const { clickhouse: engine, dropped_by_services: dropped } = status;
  const name = engine.embedded ? 'embedded ClickHouse' : 'ClickHouse';
  return (
    <footer class="footer">
      <span>Holdup {status.version}</span>
      {engine.ok ? (
        <span class="state ok">
          {name} {engine.version} ok
        </span>
      ) : (
        <span class="state bad" title={engine.message}>
          {name} fails: <bdi>{engine.message}</bdi>
        </span>
      )}
      <span title="Spans that this collector took since it started">
        {plural(status.received_spans, 'span')} received
      </span>
      <span title="Spans that are not Holdup's">{count(status.ignored_spans)} ignored</span>
      {dropped > 0 ? (
        <span
          class="state bad"
          title="Their queues were full: the numbers on this page are too low"
        >
          {count(dropped)} dropped by services
        </span>
      ) : (
        <span title="No service's queue was full: the numbers are complete">none dropped</span>
      )}
      {typeof status.token === 'string' && (
        <span class="session">
          Logged in as <bdi>{status.token}</bdi> <a href={LOGOUT_URL}>Log out</a>
        </span>
      )}
    </footer>
  );
}
