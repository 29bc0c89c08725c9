// What each panel of a dashboard asks of ClickHouse, expanded as the data source does, and its answer.

const LENGTHS_S = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** The panels that ask something, with their answers. */
export async function panelsOf(dashboard, view) {
  const panels = dashboard.panels.filter((panel) => panel.type !== 'row');
  const answered = [];
  for (const panel of panels) {
    const sql = expanded(panel, view);
    answered.push({ panel, answer: await ask(view.clickhouse, sql) });
  }
  return answered;
}

/** The statement with its macros and variables. */
function expanded(panel, view) {
  const [from, to] = [view.from, view.to].map((ms) => `fromUnixTimestamp64Milli(${ms})`);
  const wanted = (view.to - view.from) / 1000 / panel.maxDataPoints;
  const interval = LENGTHS_S.find((length) => length >= wanted) ?? 604800;
  return panel.targets[0].rawSql
    .replaceAll('$__fromTime_ms', from)
    .replaceAll('$__toTime_ms', to)
    .replaceAll('$__interval_s', interval)
    .replaceAll(/\$\{(\w+):singlequote\}/g, (_, name) => quoted(view.chosen[name] ?? ''));
}

const quoted = (text) => `'${text.replaceAll("'", "\\'")}'`;

async function ask(clickhouse, sql) {
  const url = new URL(clickhouse);
  url.searchParams.set('database', 'holdup');
  url.searchParams.set('output_format_json_quote_64bit_integers', '0');
  url.searchParams.set('date_time_output_format', 'iso');
  const body = `${sql}\nFORMAT JSONCompact`;
  const response = await fetch(url, { method: 'POST', body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${text}\n${sql}`);
  const { meta, data } = JSON.parse(text);
  return { meta, data };
}
