// Alerts that are pending or fire, what became of others, and who was told.

import { fetchRules } from '../api';
import type { AlertEventRow, AlertRow, AlertRules } from '../api';
import { absolute, timeOfDay } from '../format';
import { useQuery, useRepeated } from '../live';
import { splitFunction } from '../names';
import { Ago, FunctionLabel, Name } from '../parts/cells';
import { Link } from '../parts/link';
import { Table } from '../parts/table';
import type { Column } from '../parts/table';
import { Waiting } from '../parts/waiting';
import { useRouter } from '../route';
import { Rules, Silences } from './rules';

const LIMIT = 200;

export function AlertsView() {
  const { answer, stale } = useQuery({ name: 'alerts', limit: LIMIT });
  const history = useQuery({ name: 'alert_history', limit: LIMIT });
  const rules = useRepeated('rules', fetchRules);
  if (!answer) return <Waiting title="Alerts" />;
  const events = history.answer;
  return (
    <>
      <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
        <h1 tabIndex={-1}>Alerts</h1>
        {answer.rows.length === 0 && (
          <p class="none">No alert is pending or fires, and none was resolved in this range.</p>
        )}
        {answer.rows.length > 0 && (
          <Table
            caption="Alerts"
            className="alerts"
            columns={alertColumns(answer.window.to)}
            rows={answer.rows}
            rowKey={(r) => r.fingerprint}
            mark={(r) => (wakes(r) ? 'hot-row' : '')}
          />
        )}
        {rules && <Told rules={rules} />}
      </section>
      {rules && <Rules rules={rules.rules} now={answer.window.to} />}
      <Silences />
      {events && (
        <section class={history.stale ? 'card stale' : 'card'} aria-busy={history.stale}>
          <h2 id="alert-history">History</h2>
          {events.rows.length === 0 && <p class="none">Nothing happened in this range.</p>}
          {events.rows.length > 0 && (
            <div class="scroll" role="region" aria-labelledby="alert-history" tabIndex={0}>
              <Table
                caption="What became of alerts, and who was told, the newest first"
                className="alert-events"
                columns={eventColumns(events.window.to)}
                rows={events.rows}
                rowKey={(r) => `${r.time_ms}/${r.event}/${r.alert}/${r.receiver}/${r.summary}`}
              />
            </div>
          )}
        </section>
      )}
    </>
  );
}

/** Who is told of what fires. */
function Told({ rules: { receivers, leads } }: { rules: AlertRules }) {
  if (receivers.length === 0)
    return (
      <p class="none told">
        Nobody is told of alerts: add <code>[[receivers]]</code> to the collector’s configuration.
      </p>
    );
  return (
    <p class="none told">
      {leads ? 'Told: ' : 'Another collector tells '}
      <bdi>{receivers.join(', ')}</bdi>
    </p>
  );
}

/** A notification that was sent has told somebody; what became of others is a word of its own. */
function eventInWords(event: string) {
  return event.replace(/^notified: /, '').replace(/^sent$/, 'told');
}

/** Whether somebody is to do something about it. */
function wakes({ state, severity, silenced }: AlertRow) {
  return state === 'firing' && severity !== 'none' && !silenced;
}

function alertColumns(now: number): Column<AlertRow>[] {
  return [
    { id: 'state', label: 'State', cell: (r) => <State of={r} /> },
    { id: 'alert', label: 'Alert', cell: (r) => <Alert of={r} now={now} /> },
    { id: 'severity', label: 'Severity', from: 'medium', cell: (r) => <Name of={r.severity} /> },
    { id: 'about', label: 'About', from: 'medium', cell: (r) => <About of={r} /> },
    { id: 'summary', label: 'Summary', from: 'medium', cell: (r) => <Name of={r.summary} class="wrapped" /> },
    {
      id: 'since_ms',
      label: 'Since',
      numeric: true,
      from: 'medium',
      cell: (r) => <Ago ms={r.since_ms} now={now} />,
    },
  ];
}

function eventColumns(now: number): Column<AlertEventRow>[] {
  return [
    {
      id: 'time',
      label: 'Time',
      cell: (r) => (
        <time dateTime={new Date(r.time_ms).toISOString()} title={absolute(r.time_ms)}>
          {timeOfDay(r.time_ms, now)}
        </time>
      ),
    },
    { id: 'event', label: 'Event', from: 'medium', cell: (r) => <Name of={eventInWords(r.event)} /> },
    { id: 'alert', label: 'Alert', cell: (r) => <Happened of={r} /> },
    { id: 'receiver', label: 'Told', from: 'medium', cell: (r) => <Name of={r.receiver} /> },
    {
      id: 'summary',
      label: 'Summary',
      from: 'medium',
      cell: (r) => <Name of={r.reason || r.summary} class="wrapped" />,
    },
  ];
}

function State({ of }: { of: AlertRow }) {
  const flaps = of.flaps ? ', flapping' : '';
  if (of.silenced) return <span class="badge">firing, silenced{flaps}</span>;
  if (of.state !== 'firing' || of.severity === 'none')
    return <span class="badge">{of.state + flaps}</span>;
  return (
    <span class="badge badge-hot">
      <i class="pulse" aria-hidden="true" />
      firing{flaps}
    </span>
  );
}

/** The way to the function that it is about, if it is about one. */
function useSubject({ function: name, service }: AlertRow) {
  const { route } = useRouter();
  return name ? { ...route, view: 'function' as const, function: name, in: service } : null;
}

/** Where there is no room for columns of them, what it is about and since when stand below the name. */
function Alert({ of, now }: { of: AlertRow; now: number }) {
  const subject = useSubject(of);
  const name = <Name of={of.alert} class="strong wrapped" />;
  const about = [of.service, splitFunction(of.function).short].filter(Boolean).join(': ');
  return (
    <>
      {subject ? <Link to={subject}>{name}</Link> : name}
      <p class="narrow-facts">
        <bdi class="wrapped">{of.summary || about}</bdi> <Ago ms={of.since_ms} now={now} />
      </p>
      {of.silenced && (
        <div class="silence">
          silenced <bdi>{of.silenced}</bdi>
        </div>
      )}
    </>
  );
}

/** Likewise what happened, to whom it was told, and why. */
function Happened({ of }: { of: AlertEventRow }) {
  const parts = [eventInWords(of.event), of.receiver, of.reason || of.summary];
  const more = parts.filter(Boolean).join(': ');
  return (
    <>
      <Name of={of.alert} class="strong wrapped" />
      <p class="narrow-facts">
        <bdi class="wrapped">{more}</bdi>
      </p>
    </>
  );
}

function About({ of }: { of: AlertRow }) {
  const subject = useSubject(of);
  if (!subject) return <Name of={of.service} />;
  return (
    <Link to={subject} title={of.function} class="function-link">
      <FunctionLabel of={of.function} />
    </Link>
  );
}
