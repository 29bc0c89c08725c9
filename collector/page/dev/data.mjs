// Made-up answers for dev/server.mjs. The same function at the same minute costs the
// same in every query.

const MINUTE = 60_000;

/** [function, service, calls a minute, typical ms, cause, blame, from and until minutes ago] */
const FUNCTIONS = [
  [
    'holdup_demo::faults::sleeps_in_handler',
    'demo',
    14,
    120,
    'sleep',
    'std::thread::sleep',
    9000,
    0,
  ],
  [
    'holdup_demo::faults::hashes_password',
    'demo',
    9,
    310,
    'cpu',
    'argon2::Argon2::hash_password_into',
    9000,
    0,
  ],
  [
    'holdup_demo::faults::reads_large_file',
    'demo',
    6,
    85,
    'disk',
    'holdup_demo::faults::reads_large_file',
    9000,
    0,
  ],
  [
    'holdup_demo::faults::waits_for_mutex',
    'demo',
    4,
    220,
    'lock',
    'holdup_demo::faults::waits_for_mutex',
    9000,
    0,
  ],
  [
    'holdup_demo::faults::reads_slow_peer',
    'demo',
    3,
    400,
    'net',
    'std::net::TcpStream::read',
    9000,
    0,
  ],
  [
    'holdup_demo::faults::blocks_in_other_crate',
    'demo',
    5,
    60,
    'unknown',
    'legacy_client::fetch_sync',
    9000,
    0,
  ],
  [
    'checkout::cart::Cart::recalculate',
    'checkout',
    22,
    24,
    'cpu',
    'rust_decimal::Decimal::div',
    7000,
    0,
  ],
  [
    'checkout::payments::psp::Client::authorise',
    'checkout',
    1.2,
    900,
    'net',
    'native_tls::TlsStream::read',
    130,
    0,
  ],
  [
    'checkout::receipts::render_pdf',
    'checkout',
    0.6,
    1400,
    'cpu',
    'printpdf::PdfDocument::save',
    9000,
    4,
  ],
  ['search_api::index::merge_segments', 'search-api', 0.4, 2600, 'disk', 'tantivy::merge', 9000, 7],
  ['search_api::query::parse', 'search-api', 3, 14, 'cpu', 'regex::Regex::new', 6000, 2],
  [
    '<search_api::query::Filter<T> as search_api::Matcher>::matches',
    'search-api',
    2,
    12,
    'cpu',
    '',
    600,
    1,
  ],
  ['gateway::session::Store::get', 'gateway', 8, 17, 'lock', 'std::sync::Mutex::lock', 9000, 0],
  ['gateway::config::reload', 'gateway', 0.2, 35, 'disk', 'std::fs::read_to_string', 9000, 9],
  ['gateway::accept', 'gateway', 1, 12, 'runqueue', '', 9000, 3],
  [
    '<script>alert(1)</script>::"><img src=x onerror=alert(2)>',
    'gateway',
    0.5,
    20,
    'unknown',
    '',
    40,
    1,
  ],
  [
    'gateway::\u202Ertl::\u05D0\u05D1\u05D2::\u0645\u0631\u062D\u0628\u0627',
    'gateway',
    0.5,
    16,
    'page_fault',
    '',
    40,
    1,
  ],
  [`gateway::${'very_long_'.repeat(1024)}name`, 'gateway', 0.4, 15, 'cpu', '', 40, 1],
].map(([name, service, rate, ms, cause, blame, since, until]) => ({
  name,
  service,
  rate,
  ms,
  cause,
  blame,
  since,
  until,
}));

/** A number in [0, 1) that depends on the arguments only. */
function chance(...parts) {
  let h = 2166136261;
  for (const c of parts.join('/')) h = Math.imul(h ^ c.charCodeAt(0), 16777619);
  h = Math.imul(h ^ (h >>> 15), 2246822507);
  h = Math.imul(h ^ (h >>> 13), 3266489909);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

/** The slow polls of a function in one minute: how many, and how long each is. */
function pollsOf(f, minute, now) {
  const age = (now - minute) / MINUTE;
  if (age > f.since || age < f.until - 1) return [];
  const busy =
    0.35 + 1.3 * chance(f.name, Math.floor(minute / (4 * MINUTE))) + 0.6 * chance(f.name, minute);
  const calls = Math.floor(f.rate * busy + chance(f.name, minute, 'n'));
  const polls = [];
  for (let i = 0; i < calls; i += 1) {
    const long = chance(f.name, minute, i) ** 3;
    const start = minute + Math.floor(MINUTE * chance(f.name, minute, i, 'at'));
    if (start < now)
      polls.push({ start, ns: Math.round(f.ms * 1e6 * (0.8 + 1.5 * long) + 1e5 * i) });
  }
  return polls.sort((a, b) => a.start - b.start);
}

function* minutes(from, to) {
  for (let m = Math.floor(from / MINUTE) * MINUTE; m < to; m += MINUTE) yield m;
}

function top(f, from, to, now) {
  const step = Math.max(1, Math.ceil((to - from) / MINUTE / 60)) * MINUTE;
  const trend = new Map();
  const all = [];
  let last = 0;
  for (const minute of minutes(from, to)) {
    for (const { start, ns } of pollsOf(f, minute, now)) {
      if (start < from || start >= to) continue;
      const at = Math.floor(start / step) * step;
      trend.set(at, (trend.get(at) ?? 0) + ns);
      all.push(ns);
      last = start;
    }
  }
  if (all.length === 0) return null;
  all.sort((a, b) => a - b);
  return {
    function: f.name,
    service: f.service,
    file: `src/${f.name.split('::').at(-2) ?? 'main'}.rs`.slice(0, 60),
    line: 12 + Math.floor(300 * chance(f.name)),
    blocked_ns: all.reduce((sum, ns) => sum + ns, 0),
    calls: all.length,
    max_ns: all.at(-1),
    p50_ns: all[Math.floor(all.length / 2)],
    p99_ns: all[Math.floor(all.length * 0.99)],
    cause: f.cause,
    blame_function: f.blame,
    blame_crate: f.blame.split('::')[0],
    instances: f.service === 'demo' ? 1 : 3,
    trend: [...trend],
    first_seen_ms: now - f.since * MINUTE,
    last_seen_ms: last,
    stalled: f.name.endsWith('reads_slow_peer') ? 1 : 0,
  };
}

const mutes = new Map();
const muteKey = (service, name) => `${service}\n${name}`;

/** Takes what the page sends to `mutes`. */
export function mute(method, body) {
  const key = muteKey(body.service, body.function);
  if (method === 'POST') mutes.set(key, { ...body, muted_ms: Date.now() });
  else mutes.delete(key);
}

const VERSIONS = ['2.13.1', '2.14.0'];

function issue(f, from, to, now, all) {
  const found = top(f, from, to, now);
  const began = now - f.since * MINUTE;
  if (!found && began >= to) return null;
  const muted = mutes.get(muteKey(f.service, f.name));
  const back = f.name.endsWith('render_pdf');
  const open = began >= from ? 'new' : back ? 'regressed' : 'ongoing';
  const quiet = { blocked_ns: 0, calls: 0, max_ns: 0, stalled: 0, trend: [] };
  return {
    ...(found ?? { ...quiet, function: f.name, service: f.service, cause: '' }),
    blame_function: f.blame,
    blame_crate: f.blame.split('::')[0],
    state: muted ? 'muted' : found ? open : 'quiet',
    share: (found?.blocked_ns ?? 0) / all,
    victims: Math.round((found?.calls ?? 0) * chance(f.name, 'victims') * 3),
    first_seen_ms: began,
    last_seen_ms: found?.last_seen_ms ?? now - f.until * MINUTE,
    first_version: open === 'new' ? VERSIONS[1] : VERSIONS[0],
    last_version: found ? VERSIONS[1] : VERSIONS[0],
    muted_ms: muted?.muted_ms ?? 0,
    muted_until_ms: muted?.until_ms ?? 0,
    muted_version: muted?.version ?? '',
    muted_reason: muted?.reason ?? '',
  };
}

function issues(functions, params, from, to, now) {
  const states = params.getAll('state');
  const words = (params.get('search') ?? '').toLowerCase().split(/\s+/);
  const all = functions.reduce((sum, f) => sum + (top(f, from, to, now)?.blocked_ns ?? 0), 0);
  return functions
    .filter((f) => words.every((w) => `${f.name} ${f.service}`.toLowerCase().includes(w)))
    .map((f) => issue(f, from, to, now, all || 1))
    .filter((row) => row && (states.length === 0 || states.includes(row.state)))
    .sort((a, b) => b.blocked_ns - a.blocked_ns);
}

function durations(functions, from, to, now) {
  const bounds = Array.from({ length: 17 }, (_, i) => 2 ** (20 + i));
  const names = bounds.map((ns) => String(Number((ns / 1e9).toPrecision(4))));
  const step = Math.max(1, Math.ceil((to - from) / MINUTE / 40)) * MINUTE;
  const rows = new Map();
  for (const f of functions) {
    for (const { start, ns } of recentPolls(f, from, to, now)) {
      const at = Math.floor(start / step) * step;
      if (!rows.has(at)) rows.set(at, [...names, '+Inf'].map(() => 0));
      const row = bounds.findIndex((b) => ns <= b);
      rows.get(at)[row < 0 ? names.length : row] += 1;
    }
  }
  return [...rows]
    .sort(([a], [b]) => a - b)
    .map(([at, counts]) => ({
      time: new Date(at).toISOString().slice(0, 19).replace('T', ' '),
      ...Object.fromEntries([...names, '+Inf'].map((name, i) => [name, counts[i]])),
    }));
}

function attributes(functions, params, from, to, now) {
  const [since, until, over, upTo] = ['from', 'to', 'over', 'up_to'].map((key) =>
    Number(params.get(`picked_${key}`)),
  );
  const found = functions.flatMap((f) =>
    recentPolls(f, from, to, now).map((p) => ({ ...p, instance: instanceOf(f, p.start) })),
  );
  const inside = (p) => p.start >= since && p.start < until && p.ns > over && p.ns <= upTo;
  const part = (all, value) => all.filter((p) => p.instance === value).length;
  const [picked, rest] = [found.filter(inside), found.filter((p) => !inside(p))];
  return [...new Set(found.map((p) => p.instance))].map((value) => ({
    attribute: 'instance',
    value,
    picked: part(picked, value),
    rest: part(rest, value),
    picked_share: part(picked, value) / Math.max(1, picked.length),
    rest_share: part(rest, value) / Math.max(1, rest.length),
  }));
}

/** Depth first, the widest child first. */
function flame(functions, params, from, to, now) {
  const all = functions.reduce((sum, f) => sum + (top(f, from, to, now)?.blocked_ns ?? 0), 0);
  const frames = ['all', 'tokio::runtime::task::raw::poll'];
  const rows = frames.map((label, level) => ({ level, label, value: all, self: 0 }));
  for (const f of functions) {
    const ns = top(f, from, to, now)?.blocked_ns ?? 0;
    const slower = params.get('version') === VERSIONS[0] ? 0.4 : 0.8;
    rows.push({ level: 2, label: f.name, value: ns, self: 0 });
    rows.push({ level: 3, label: f.blame || f.name, value: ns * slower, self: ns * slower });
    rows.push({ level: 3, label: 'serde_json::to_vec', value: ns * (1 - slower), self: ns / 10 });
  }
  return all > 0 ? rows : [];
}

function functionVersions(functions, from, to, now) {
  return functions.flatMap((f) => {
    const found = top(f, from, to, now);
    if (!found) return [];
    return VERSIONS.toReversed().map((version, i) => ({
      ...found,
      version,
      p50_ns: found.p50_ns / (i + 1),
      p99_ns: found.p99_ns / (i + 1),
      victims: 3,
    }));
  });
}

function tasks(now) {
  const task = (state, name, since_ns, task_id) => ({
    ...{ state, name, since_ns, task_id, file: 'src/main.rs', line: 7, polls: 42, busy_ns: 3e9 },
    ...{ service: 'demo', instance: 'demo-1', dumped_ms: now - 4000, reason: 'stall' },
  });
  return [
    task('running', FUNCTIONS[0].name, 2e8, 4),
    task('ready', FUNCTIONS[6].name, 9e7, 9),
    task('idle', FUNCTIONS[1].name, 8e9, 5),
  ];
}

function stalled(now) {
  return FUNCTIONS.filter((f) => f.name.endsWith('reads_slow_peer')).map((f) => ({
    ...{ service: f.service, function: f.name, blocked_ns: 4.2e9, cause: f.cause, victims: 3 },
    ...{ blame_function: f.blame, instance: 'demo-1', thread_name: 'tokio-rt-worker', worker: 2 },
    ...{ started_ms: now - 4200, trace_id: hex(32, f.name) },
  }));
}

/** What the live view is told. */
export function seen() {
  const now = Date.now();
  const recent = FUNCTIONS.flatMap((f) => polls(f, now - MINUTE, now, now));
  const { span_id } = recent.find((poll) => poll.stall) ?? { span_id: '' };
  const blocked = stalled(now).map((row) => ({ ...row, span_id }));
  return { at_ms: now, stalled: blocked, polls: recent, tasks: tasks(now) };
}

function runtimes(now) {
  return ['demo', 'checkout'].map((service, i) => ({
    ...{ service, instance: `${service}-1`, version: VERSIONS[1], runtime: 'main', workers: 4, busy: 0.31, tasks: 212 },
    ...{ queue: 3 * i, lag_ns: 4e8, coverage: 0.83, last_seen_ms: now - 9000 },
  }));
}

const STORAGE = [
  { table: 'poll_spans', rows: 12_500_000, bytes: 7.5e8, bytes_a_row: 60, parts: 12, oldest_ms: 1 },
  { table: 'mutes', rows: 2, bytes: 2200, bytes_a_row: 1100, parts: 1, oldest_ms: 0 },
];

const hex = (digits, ...parts) =>
  Array.from({ length: digits / 8 }, (_, i) =>
    Math.floor(chance(...parts, i) * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('');

const instanceOf = (f, at) =>
  f.service === 'demo'
    ? 'demo-1'
    : `${f.service}-7d9f8b6c5-x${Math.floor(3 * chance(f.name, at))}k2p`;

function recentPolls(f, from, to, now) {
  const polls = [...minutes(Math.max(from, to - 120 * MINUTE), to)].flatMap((m) =>
    pollsOf(f, m, now),
  );
  return polls.filter((p) => p.start >= from && p.start < to).reverse();
}

function polls(f, from, to, now) {
  return recentPolls(f, from, to, now).map(({ start, ns }, i) => ({
    function: f.name,
    service: f.service,
    thread_id: 4000 + Math.floor(4 * chance(start)),
    stack_id: hex(16, f.name),
    blame_function: f.blame,
    victims: Math.floor(3 * chance(start, 'victims')),
    task_name: '',
    start_ms: start,
    duration_ns: Math.round(ns * 1.004),
    self_ns: ns,
    cpu_ns: f.cause === 'cpu' ? Math.round(ns * 0.97) : Math.round(ns * 0.01),
    runqueue_ns: Math.round(ns * 0.002),
    threshold_ns: 10_000_000,
    cause: f.cause,
    thread_name: 'tokio-runtime-worker',
    worker: Math.floor(4 * chance(start)),
    trace_id: hex(32, f.name, start),
    span_id: hex(16, f.name, start),
    instance: instanceOf(f, start),
    stall: i === 0 && f.name.endsWith('reads_slow_peer'),
    throttled_ns: 0,
    runtime_stalled: false,
    driver_idle: false,
    sampled: false,
    holder_thread_name: f.cause === 'lock' ? 'ledger-writer' : '',
    holder_function: f.cause === 'lock' ? 'ledger::journal::flush' : '',
    holder_evidence: f.cause === 'lock' ? 'owner' : '',
  }));
}

function episodes(f, from, to, now) {
  const out = [];
  for (const { start, ns } of recentPolls(f, from, to, now)) {
    const end = start + Math.ceil(ns / 1e6);
    const newest = out.at(-1);
    if (newest && newest.started_ms - end < 1000 + f.ms * 4) {
      Object.assign(newest, {
        started_ms: start,
        polls: newest.polls + 1,
        blocked_ns: newest.blocked_ns + ns,
      });
      newest.max_ns = Math.max(newest.max_ns, ns);
      continue;
    }
    out.push({
      episode_id: hex(16, f.name, start),
      service: f.service,
      instance: instanceOf(f, start),
      version: f.service === 'demo' ? '0.1.0' : '2.14.1',
      function: f.name,
      state: now - end < 15_000 ? 'open' : 'closed',
      started_ms: start,
      ended_ms: end,
      polls: 1,
      blocked_ns: ns,
      max_ns: ns,
      cause: f.cause,
      blame_function: f.blame,
      stack_id: '',
      victims: 0,
      worst_trace_id: chance(start) < 0.2 ? '' : hex(32, f.name, start),
      worst_span_id: hex(16, f.name, start),
    });
  }
  return out;
}

function stacks(f, from, to, now) {
  const of = recentPolls(f, from, to, now);
  const below = ['tokio::runtime::task::harness::poll_future', 'std::sys::thread::start'];
  const frames = ['libc::syscall', 'std::sys::pal::unix::block', `${f.blame} (src/lib.rs:42)`];
  return [{
    stack_id: hex(16, f.name),
    function: f.name,
    service: f.service,
    frames: [...frames, f.name, ...below],
    blame_function: f.blame,
    blame_crate: f.blame.split('::')[0],
    cause: f.cause,
    calls: of.length,
    blocked_ns: of.reduce((sum, { ns }) => sum + ns, 0),
    last_seen_ms: of[0]?.start ?? from,
    advice: {
      id: 'thread-sleep',
      sentence: 'Write tokio::time::sleep(…).await: the thread is free meanwhile.',
      link: 'docs/advice.md#thread-sleep',
    },
  }];
}

function services(rows) {
  const byName = Map.groupBy ? Map.groupBy(rows, (r) => r.service) : new Map();
  if (!Map.groupBy)
    for (const r of rows) byName.set(r.service, [...(byName.get(r.service) ?? []), r]);
  return [...byName].map(([service, of]) => ({
    service,
    instances: of[0].instances,
    versions: service === 'demo' ? ['0.1.0'] : ['2.14.0', '2.14.1'],
    first_seen_ms: Math.min(...of.map((r) => r.first_seen_ms)),
    // One fell silent.
    last_seen_ms: Math.max(...of.map((r) => r.last_seen_ms)) - (service === 'search-api' ? 4e5 : 0),
    polls: of.reduce((sum, r) => sum + r.calls, 0),
    blocked_ns: of.reduce((sum, r) => sum + r.blocked_ns, 0),
  }));
}

function blockedRate(rows) {
  return rows.flatMap(({ service, trend }) =>
    trend.map(([at, blocked_ns]) => {
      const time = new Date(at).toISOString().slice(0, 19).replace('T', ' ');
      return { time, service, blocked_ns };
    }),
  );
}

function suspects(now) {
  return [
    ['holdup_demo::innocents::yields_thirty_times', 'demo', 42, 6.5e9, 1.7e8],
    ['orders::import::import_batch', 'orders', 7, 3.1e9, 9.2e8],
  ].map(([name, service, spans, busy, max]) => ({
    function: name,
    service,
    spans,
    busy_ns: busy,
    max_busy_ns: max,
    last_seen_ms: now - 14_000,
  }));
}

function alerts(now) {
  const alert = (name, state, severity, f, summary, ago, flaps = 0, silenced = '') => ({
    alert: name,
    state,
    severity,
    service: f.service ?? '',
    function: f.name ?? '',
    summary,
    since_ms: now - ago,
    flaps,
    silenced,
    fingerprint: hex(16, name, state),
  });
  const [sleeps] = FUNCTIONS;
  return [
    alert('HoldupRuntimeStalled', 'firing', 'critical', sleeps, 'A poll has not returned', 42_000),
    alert(
      'HoldupBlockedTimeHigh',
      'firing',
      'critical',
      sleeps,
      'It blocks a tenth of a thread',
      6e5,
      0,
      'until 2027-03-02 08:00 UTC, by Ann: the provider moves, see OPS-1234',
    ),
    alert('HoldupBlockedTimeSteady', 'pending', 'warning', sleeps, 'It blocks a tenth of a thread', 5e3),
    alert('HoldupServiceSilent', 'resolved', 'warning', { service: 'gateway' }, 'It is back', 3e5, 1),
    alert('HoldupWatchdog', 'firing', 'none', {}, 'Alerts work', 9e6),
  ];
}

/** The rules that the collector goes by, of which one has a hostile name. */
export function rules(empty) {
  const now = Date.now();
  const rule = (alert, state, severity, more = {}) => ({
    ...{ alert, state, severity, group: 'stalls', labels: { severity }, threshold: 1e9 },
    ...{ interval_s: 5, for_s: 0, keep_firing_for_s: 0, file: 'queries/alerts/stalls.yaml:12' },
    ...{ built_in: true, enabled: state !== 'off', pending: 0, firing: 0, left_out: 0 },
    ...{ question: { expr: 'SELECT service, function, max(self_ns) AS value\nFROM poll_spans' } },
    ...{ runbook_url: 'docs/runbooks/poll-stalled.md', error: '', failing_since_ms: null },
    ...{ last_evaluation_ms: now - 3_000, took_ms: 12, waits: false, ...more },
  });
  const error = "ClickHouse: Code: 60. Unknown table expression identifier 'sales' <b>here</b>";
  const hostile = '<img src=x onerror=alert(3)>'.repeat(12);
  const all = [
    rule('HoldupRuntimeStalled', 'firing', 'critical', { firing: 2, for_s: 5 }),
    rule('HoldupBlockedTimeSteady', 'pending', 'warning', { pending: 1, for_s: 300 }),
    rule('HoldupServiceSilent', 'inactive', 'warning', { waits: true }),
    rule('HoldupWatchdog', 'firing', 'none', { firing: 1, question: { measure: 'always' } }),
    rule(hostile, 'inactive', hostile, { labels: { a: hostile }, runbook_url: 'javascript:alert(4)' }),
    rule('SalesStopped', 'inactive', 'critical', { error, failing_since_ms: now - 60_000 }),
    rule('HoldupNewFunction', 'off', 'info', { last_evaluation_ms: null }),
  ];
  return { rules: all, receivers: empty ? [] : ['on-call', 'team-checkout'], leads: true };
}

export function silences(empty) {
  const silence = (state, matchers, until_ms, comment, created_by, more = {}) => ({
    ...{ kind: 'silence', state, matchers, from_ms: null, until_ms, ends_ms: until_ms },
    ...{ weekly: [], timezone: 'UTC', created_by, comment, ...more },
  });
  const weekly = { kind: 'maintenance', weekly: ['sat, sun 23:00–04:00'], timezone: 'Europe/Berlin' };
  const end = Date.UTC(2027, 2, 2, 8);
  const all = [
    silence('active', ['service="demo"'], end, 'the provider moves, see OPS-1234', 'Ann'),
    silence('waiting', ['team=~"check.*"', 'severity!="critical"'], null, 'backups', null, weekly),
    silence('active', [`service="${'<b>x</b>'.repeat(60)}"`], end, '<script>alert(5)</script>', ''),
    silence('ended', ['service="gateway"'], Date.UTC(2026, 1, 1), 'the move', 'Bo'),
  ];
  return { silences: empty ? [] : all };
}

function alertHistory(now) {
  const events = alerts(now).flatMap((alert) => [
    { ...alert, time_ms: alert.since_ms + 2_000, event: 'notified: sent', receiver: 'on-call', reason: '' },
    { ...alert, time_ms: alert.since_ms, event: alert.state, receiver: '', reason: '' },
  ]);
  return events.sort((a, b) => b.time_ms - a.time_ms);
}

export function answer(name, params, empty) {
  const now = Date.now();
  const to = Number(params.get('to') ?? now);
  const from = Number(params.get('from') ?? to - 15 * MINUTE);
  const wanted = params.getAll('service');
  const named = params.get('function');
  const limit = Number(params.get('limit') ?? 200);
  const functions = empty
    ? []
    : FUNCTIONS.filter(
        (f) => (wanted.length === 0 || wanted.includes(f.service)) && (!named || f.name === named),
      );
  const ranked = () =>
    functions
      .map((f) => top(f, from, to, now))
      .filter(Boolean)
      .sort((a, b) => b.blocked_ns - a.blocked_ns);
  const queries = {
    top: ranked,
    durations: () => durations(functions, from, to, now),
    attributes: () => attributes(functions, params, from, to, now),
    flame: () => flame(functions, params, from, to, now),
    function_versions: () => functionVersions(functions, from, to, now),
    tasks: () => (empty ? [] : tasks(now)),
    runtimes: () => (empty ? [] : runtimes(now)),
    storage: () => STORAGE,
    issues: () => issues(functions, params, from, to, now),
    episodes: () => functions.flatMap((f) => episodes(f, from, to, now)),
    polls: () => functions.flatMap((f) => polls(f, from, to, now)),
    stacks: () => functions.flatMap((f) => stacks(f, from, to, now)),
    services: () => services(ranked()),
    blocked_rate: () => blockedRate(ranked()),
    suspects: () => (empty ? [] : suspects(now)),
    alerts: () => (empty ? [] : alerts(now)),
    alert_history: () => (empty ? [] : alertHistory(now)),
  };
  return Object.hasOwn(queries, name) ? queries[name]().slice(0, limit) : null;
}

export function status(empty) {
  return {
    version: '0.1.0',
    clickhouse: { ok: true, embedded: true, version: '26.7.3.1', message: '' },
    received_spans: empty ? 0 : 128_431,
    ignored_spans: empty ? 0 : 312,
    dropped_by_services: empty ? 0 : 17,
    trace_url: 'https://traces.example/trace/{trace_id}',
    log: { refusing: null, all_stored: true, oldest_age_ms: 0 },
  };
}
