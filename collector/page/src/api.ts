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
  cause: string;
  blame_function: string;
  blame_crate: string;
  victims: number;
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
  blame_function: string;
  stack_id: string;
  victims: number;
  worst_trace_id: string;
}

export interface PollRow {
  function: string;
  service: string;
  start_ms: number;
  duration_ns: number;
  self_ns: number;
  cpu_ns: number | null;
  runqueue_ns: number | null;
  threshold_ns: number;
  cause: string;
  thread_id: number;
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
  stack_id: string;
  blame_function: string;
  victims: number;
  task_name: string;
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

/** Blocked time a minute in the step that begins then. */
export interface BlockedRateRow {
  time: string;
  service: string;
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
  /** Where a trace is shown, with `{trace_id}` in its place; empty when that is not known. */
  trace_url?: string;
  log?: { refusing: string | null; all_stored: boolean; oldest_age_ms: number };
  /** The name of the token that this browser logged in with; null where none is needed. */
  token?: string | null;
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
  /** Until when, by whom and why nobody is told; empty where somebody is. */
  silenced: string;
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

/** An alert rule as the collector runs it. */
export interface RuleRow {
  alert: string;
  group: string;
  severity: string;
  labels: Record<string, string>;
  question: { expr?: string; measure?: string };
  threshold: number | null;
  interval_s: number;
  for_s: number;
  file: string;
  runbook_url: string | null;
  state: 'inactive' | 'pending' | 'firing' | 'off';
  pending?: number;
  firing?: number;
  left_out?: number;
  last_evaluation_ms?: number | null;
  took_ms?: number;
  /** It is not asked while rows are late. */
  waits?: boolean;
  error?: string;
  failing_since_ms?: number | null;
}

export interface AlertRules {
  rules: RuleRow[];
  receivers: string[];
  /** Whether this collector tells them. */
  leads: boolean;
}

export interface SilenceRow {
  kind: 'silence' | 'maintenance';
  state: 'active' | 'waiting' | 'ended';
  matchers: string[];
  from_ms: number | null;
  until_ms: number | null;
  ends_ms: number | null;
  weekly: string[];
  timezone: string;
  created_by: string | null;
  comment: string;
}

/** Counts of slow polls by duration: each key but the time is an upper bound in seconds. */
export type DurationsRow = { time: string } & Record<string, number | string>;

export interface AttributeRow {
  attribute: string;
  value: string;
  picked: number;
  rest: number;
  picked_share: number;
  rest_share: number;
}

/** A frame of a flame graph; they come depth first. */
export interface FlameRow {
  level: number;
  value: number;
  self: number;
  label: string;
}

export interface VersionRow {
  service: string;
  version: string;
  first_seen_ms: number;
  last_seen_ms: number;
  calls: number;
  blocked_ns: number;
  p50_ns: number;
  p99_ns: number;
  max_ns: number;
  victims: number;
}

export interface StalledRow {
  service: string;
  function: string;
  blocked_ns: number;
  cause: string;
  blame_function: string;
  victims: number;
  instance: string;
  thread_name: string;
  worker: number;
  started_ms: number;
  trace_id: string;
  span_id: string;
}

export interface TaskRow {
  state: string;
  since_ns: number;
  name: string;
  file: string;
  line: number;
  task_id: number;
  polls: number;
  busy_ns: number;
  service: string;
  instance: string;
  dumped_ms: number;
  reason: string;
}

export interface RuntimeRow {
  service: string;
  instance: string;
  version: string;
  runtime: string;
  workers: number;
  busy: number;
  tasks: number;
  queue: number;
  lag_ns: number;
  coverage: number;
  last_seen_ms: number;
}

export interface StorageRow {
  table: string;
  rows: number;
  bytes: number;
  bytes_a_row: number;
  parts: number;
  oldest_ms: number;
}

/** What the live view is told each second. */
export interface Seen {
  at_ms: number;
  stalled: StalledRow[];
  polls: PollRow[];
  tasks: TaskRow[];
}

/** The rows that each query of the API answers with. */
export interface Rows {
  top: TopRow;
  issues: IssueRow;
  episodes: EpisodeRow;
  polls: PollRow;
  stacks: StackRow;
  services: ServiceRow;
  blocked_rate: BlockedRateRow;
  suspects: SuspectRow;
  durations: DurationsRow;
  attributes: AttributeRow;
  flame: FlameRow;
  function_versions: VersionRow;
  tasks: TaskRow;
  runtimes: RuntimeRow;
  storage: StorageRow;
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
  version?: string;
  instance?: string;
  /** A region of the heatmap. */
  picked?: Region;
  /** The range before the page's, as long as that. */
  before?: boolean;
  /** Another range than the page's. */
  range?: { from: number; to: number };
}

export interface Region {
  from: number;
  to: number;
  over: number;
  upTo: number;
}

/** The collector answered, with a message for the user. */
export class ApiError extends Error {}

/** The session has ended: whoever looks has to log in again. */
export class SessionEnded extends Error {}

/** The collector did not answer. */
export class ConnectionLost extends Error {}

// The script's own address is the base: the page works wherever it is mounted.
const BASE = new URL('api/v1/', import.meta.url);
const TIMEOUT_MS = 30_000;

/** Ends the session. */
export const LOGOUT_URL = new URL('logout', import.meta.url).href;

/** The collector serves the text; browsers scroll to the words after `:~:text=`. */
export function adviceUrl({ id }: Advice): string {
  const words = encodeURIComponent(`## ${id}`).replaceAll('-', '%2D');
  return new URL(`advice.md#:~:text=${words}`, import.meta.url).href;
}

export function queryUrl(query: Query, from: number, to: number): string {
  const url = new URL(`query/${query.name}`, BASE);
  setChoice(url, query, from, to);
  if (query.limit) url.searchParams.set('limit', String(query.limit));
  return url.href;
}

export type ExportFormat = 'folded' | 'speedscope' | 'firefox' | 'pprof' | 'svg';

/** Where the stacks are, as a file for another tool. */
export function exportUrl(format: ExportFormat, query: Query, from: number, to: number): string {
  const url = new URL(`export/${format}`, BASE);
  setChoice(url, query, from, to);
  return url.href;
}

export const csvUrl = (query: Query, from: number, to: number) =>
  `${queryUrl(query, from, to)}&format=csv`;

export const liveUrl = (service: string) => {
  const url = new URL('live', BASE);
  if (service) url.searchParams.set('service', service);
  return url.href;
};

function setChoice(url: URL, query: Query, pageFrom: number, pageTo: number) {
  const before = { from: 2 * pageFrom - pageTo, to: pageFrom };
  const { from, to } = query.range ?? (query.before ? before : { from: pageFrom, to: pageTo });
  url.searchParams.set('from', String(Math.floor(from)));
  url.searchParams.set('to', String(Math.ceil(to)));
  if (query.version) url.searchParams.set('version', query.version);
  if (query.instance) url.searchParams.set('instance', query.instance);
  if (query.picked) {
    url.searchParams.set('picked_from', String(Math.floor(query.picked.from)));
    url.searchParams.set('picked_to', String(Math.ceil(query.picked.to)));
    url.searchParams.set('picked_over', String(query.picked.over));
    url.searchParams.set('picked_up_to', String(query.picked.upTo));
  }
  if (query.service) url.searchParams.set('service', query.service);
  if (query.function) url.searchParams.set('function', query.function);
  for (const state of query.state ?? []) url.searchParams.append('state', state);
  if (query.search) url.searchParams.set('search', query.search);
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

export async function fetchRules(signal: AbortSignal): Promise<AlertRules> {
  return (await fetchJson(new URL('rules', BASE).href, signal)) as AlertRules;
}

export async function fetchSilences(signal: AbortSignal): Promise<SilenceRow[]> {
  const body = await fetchJson(new URL('silences', BASE).href, signal);
  return (body as { silences: SilenceRow[] }).silences;
}

/** Where a rule's runbook is: one that the collector serves, or an address; no other scheme. */
export function runbookUrl(written: string | null): string | null {
  if (!written) return null;
  if (/^docs\/runbooks\/[\w.-]+$/.test(written)) return new URL(`../../${written}`, BASE).href;
  return /^https?:\/\//.test(written) ? written : null;
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
  if (response.status === 401) throw new SessionEnded('Your session has ended: log in again.');
  const message = (body as { error?: { message?: unknown } } | null)?.error?.message;
  throw new ApiError(
    typeof message === 'string'
      ? message
      : `The collector answered with status ${response.status}.`,
  );
}
