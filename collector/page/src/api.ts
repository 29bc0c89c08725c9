// The collector's API as the page sees it. Times are Unix milliseconds, durations nanoseconds.

export type TrendPoint = [atMs: number, blockedNs: number];

export interface TopRow {
  function: string;
  service: string;
  file: string;
  line: number;
  blocked_ns: number;
  calls: number;
  max_ns: number;
  p50_ns: number;
  p99_ns: number;
  cause: string;
  blame_function: string;
  blame_crate: string;
  instances: number;
  trend: TrendPoint[];
  first_seen_ms: number;
  last_seen_ms: number;
  stalled: number;
}

export type IssueState = 'new' | 'ongoing' | 'regressed' | 'quiet' | 'muted';

/** A function, and what became of it. */
export interface IssueRow {
  function: string;
  service: string;
  state: IssueState;
  blocked_ns: number;
  share: number;
  calls: number;
  max_ns: number;
  p99_ns: number;
  cause: string;
  blame_function: string;
  blame_crate: string;
  victims: number;
  instances: number;
  trend: TrendPoint[];
  stalled: number;
  first_seen_ms: number;
  last_seen_ms: number;
  first_version: string;
  last_version: string;
  muted_ms: number;
  muted_until_ms: number;
  muted_version: string;
  muted_reason: string;
}

export interface EpisodeRow {
  episode_id: string;
  service: string;
  instance: string;
  version: string;
  function: string;
  state: 'open' | 'closed';
  started_ms: number;
  ended_ms: number | null;
  polls: number;
  blocked_ns: number;
  max_ns: number;
  cause: string;
  worst_trace_id: string;
}

export interface PollRow {
  start_ms: number;
  duration_ns: number;
  self_ns: number;
  cpu_ns: number | null;
  runqueue_ns: number | null;
  threshold_ns: number;
  cause: string;
  thread_name: string;
  worker: number | null;
  trace_id: string;
  span_id: string;
  instance: string;
  stall: boolean | number;
  throttled_ns: number | null;
  runtime_stalled: boolean | number;
  driver_idle: boolean | number;
  holder_thread_name: string;
  holder_function: string;
  holder_evidence: string;
}

/** What to write instead: a sentence, and the heading of `advice.md` that says more. */
export interface Advice {
  id: string;
  sentence: string;
}

export interface StackRow {
  stack_id: string;
  function: string;
  service: string;
  frames: string[];
  blame_function: string;
  blame_crate: string;
  cause: string;
  calls: number;
  blocked_ns: number;
  last_seen_ms: number;
  advice?: Advice | null;
}

export interface ServiceRow {
  service: string;
  instances: number;
  versions: string[];
  first_seen_ms: number;
  last_seen_ms: number;
  polls: number;
  blocked_ns: number;
}

export interface SuspectRow {
  function: string;
  service: string;
  spans: number;
  busy_ns: number;
  max_busy_ns: number;
  last_seen_ms: number;
}

export interface Status {
  version: string;
  clickhouse: { ok: boolean; embedded: boolean; version: string; message: string };
  received_spans: number;
  ignored_spans: number;
  dropped_by_services: number;
}

export interface AlertRow {
  alert: string;
  state: 'pending' | 'firing' | 'resolved';
  severity: string;
  service: string;
  function: string;
  summary: string;
  since_ms: number;
  flaps: boolean | number;
  fingerprint: string;
}

/** What became of an alert, or of a notification. */
export interface AlertEventRow {
  time_ms: number;
  event: string;
  alert: string;
  severity: string;
  service: string;
  function: string;
  summary: string;
  receiver: string;
  reason: string;
}

/** The rows that each query of the API answers with. */
export interface Rows {
  top: TopRow;
  issues: IssueRow;
  episodes: EpisodeRow;
  polls: PollRow;
  stacks: StackRow;
  services: ServiceRow;
  suspects: SuspectRow;
  alerts: AlertRow;
  alert_history: AlertEventRow;
}

export interface Query<N extends keyof Rows = keyof Rows> {
  name: N;
  function?: string;
  service?: string;
  /** States of issues; none means all. */
  state?: readonly string[];
  /** Words of names, for lists that are too long to come whole. */
  search?: string;
  limit?: number;
}

/** The collector answered, with a message for the user. */
export class ApiError extends Error {}

/** The collector did not answer. */
export class ConnectionLost extends Error {}

// The script's own address is the base: the page works wherever it is mounted.
const BASE = new URL('api/v1/', import.meta.url);
const TIMEOUT_MS = 30_000;

/** The collector serves the text; browsers scroll to the words after `:~:text=`. */
export function adviceUrl({ id }: Advice): string {
  const words = encodeURIComponent(`## ${id}`).replaceAll('-', '%2D');
  return new URL(`advice.md#:~:text=${words}`, import.meta.url).href;
}

export function queryUrl(query: Query, from: number, to: number): string {
  const url = new URL(`query/${query.name}`, BASE);
  url.searchParams.set('from', String(Math.floor(from)));
  url.searchParams.set('to', String(Math.ceil(to)));
  if (query.service) url.searchParams.set('service', query.service);
  if (query.function) url.searchParams.set('function', query.function);
  for (const state of query.state ?? []) url.searchParams.append('state', state);
  if (query.search) url.searchParams.set('search', query.search);
  if (query.limit) url.searchParams.set('limit', String(query.limit));
  return url.href;
}

export async function fetchRows<N extends keyof Rows>(
  query: Query<N>,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<Rows[N][]> {
  const body = await fetchJson(queryUrl(query, from, to), signal);
  const data = (body as { data?: unknown }).data;
  if (!Array.isArray(data)) throw new ApiError(`The answer to "${query.name}" holds no rows.`);
  return data as Rows[N][];
}

export async function fetchStatus(signal: AbortSignal): Promise<Status> {
  return (await fetchJson(new URL('status', BASE).href, signal)) as Status;
}

export interface Mute {
  service: string;
  function: string;
  reason: string;
  until_ms?: number;
  /** It ends when the function is seen in another version. */
  version?: string;
}

export const mute = (what: Mute) => change('POST', what);
export const unmute = ({ service, function: name }: IssueRow) =>
  change('DELETE', { service, function: name });

async function change(method: string, body: object): Promise<void> {
  await fetchJson(new URL('mutes', BASE).href, new AbortController().signal, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
}

async function fetchJson(
  url: string,
  signal: AbortSignal,
  options: RequestInit = { headers: { accept: 'application/json' } },
): Promise<unknown> {
  let response: Response;
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    response = await fetch(url, { signal: bounded, ...options });
  } catch (cause) {
    throw new ConnectionLost('The collector does not answer.', { cause });
  }
  // A proxy in between may answer with a text of its own.
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null && typeof body === 'object') return body;
  const message = (body as { error?: { message?: unknown } } | null)?.error?.message;
  throw new ApiError(
    typeof message === 'string'
      ? message
      : `The collector answered with status ${response.status}.`,
  );
}
