// What a user does not wish for: lost connections, errors, hostile names, an empty
// database, narrow pages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startServer } from '../dev/server.mjs';
import {
  axeFindsNothing,
  expected,
  functionsShown,
  intercept,
  openBrowser,
  openPage,
  waitForFunctions,
} from './browser.mjs';

let browser;
let home;
let close;

before(async () => ({ browser, home, close } = await openBrowser()));
after(() => close?.());

const textOf = (page, selector) => page.$eval(selector, (e) => e.textContent);

test('a lost connection is told, keeps what is shown, and is forgotten once back', async () => {
  const { page } = await openPage(browser, home);
  await page.goto(home);
  await waitForFunctions(page, expected.culprits);
  await page.setOfflineMode(true);
  await page.waitForSelector('.banner-lost');
  assert.match(await textOf(page, '.banner-lost'), /Connection lost, retrying/);
  const kept = await functionsShown(page);
  assert.deepEqual(
    expected.culprits.filter((name) => !kept.includes(name)),
    [],
  );
  await page.setOfflineMode(false);
  await page.waitForSelector('.banner-lost', { hidden: true });
  await page.close();
});

test('a live stream that a proxy refuses is asked for again', async () => {
  const { page } = await openPage(browser, home);
  let refused = 0;
  await intercept(page, ({ pathname }) => {
    if (!pathname.endsWith('/live') || refused > 0) return undefined;
    refused += 1;
    return { status: 502, error: { code: 'away', message: 'its collector is away' } };
  });
  await page.goto(`${home}?view=live`);
  await page.waitForSelector('.banner-lost');
  await page.waitForFunction(() => document.querySelector('main h1')?.textContent.includes('each'));
  await page.waitForSelector('.banner-lost', { hidden: true });
  assert.equal(refused, 1);
  await page.close();
});

test('an error of the API is shown in its own words, over the old data', async () => {
  const { page } = await openPage(browser, home);
  let failing = false;
  const message = 'ClickHouse does not answer at <b>8123</b>: start it.';
  await intercept(page, ({ pathname }) =>
    failing && pathname.includes('/query/')
      ? { status: 503, error: { code: 'unavailable', message } }
      : undefined,
  );
  await page.goto(home);
  await waitForFunctions(page);
  failing = true;
  await page.waitForSelector('.banner-error');
  assert.ok((await textOf(page, '.banner-error')).includes(message));
  assert.equal((await page.$$('.banner-error')).length, 1, 'the same message is told once');
  assert.ok((await functionsShown(page)).length > 0);
  failing = false;
  await page.waitForSelector('.banner-error', { hidden: true });
  await page.close();
});

test('hostile names are harmless and leave the layout whole', async () => {
  const names = [
    '<script>alert(1)</script>::<img src=x onerror=alert(2)>',
    'shop::\u202Ertl\u202E::\u05D0\u05D1\u05D2',
    `shop::${'x'.repeat(10_000)}`,
    'a&b"c\'d::{{e}}::`${f}`',
    '',
  ];
  const now = Date.now();
  const row = (name, i) => ({
    function: name,
    service: `${name}-service`,
    file: name,
    line: 1,
    blocked_ns: 1e9 - i,
    calls: 1,
    max_ns: 1e9,
    p50_ns: 1e9,
    p99_ns: 1e9,
    cause: name,
    blame_function: `blamed::${name}`,
    blame_crate: name,
    instances: 1,
    trend: [[now - 60_000, 1e9]],
    first_seen_ms: now,
    last_seen_ms: now,
    stalled: 3,
    state: name,
    share: 0.2,
    victims: 1,
    first_version: name,
    last_version: `${name}2`,
    muted_ms: now,
    muted_until_ms: now,
    muted_version: name,
    muted_reason: name,
  });
  for (const width of [1280, 800, 360]) {
    const { page, faults } = await openPage(browser, home, { width });
    await intercept(page, ({ pathname, searchParams }) => {
      if (!/\/query\/(top|issues)$/.test(pathname)) return undefined;
      const one = searchParams.get('function');
      return { data: names.filter((n) => !one || n === one).map(row) };
    });
    await page.goto(home);
    await waitForFunctions(page);
    assert.deepEqual(await functionsShown(page), names);
    await assertNoOverflow(page, `list at ${width}`);
    const heights = await page.$$eval('.functions tbody tr', (rows) =>
      rows.map((r) => r.offsetHeight),
    );
    assert.ok(Math.max(...heights) < 160, `rows of ${heights} px`);
    for (const name of names.slice(0, 4)) {
      await page.goto(`${home}?${new URLSearchParams({ view: 'function', function: name })}`);
      await page.waitForSelector('.facts');
      await assertNoOverflow(page, `${name.slice(0, 20)} at ${width}`);
    }
    assert.deepEqual(faults, []);
    await page.close();
  }
});

/** Nothing sticks out to the right, and nothing unseen lengthens the page. */
async function assertNoOverflow(page, where) {
  const [content, view, height, end] = await page.evaluate(() => {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement;
    const footer = document.querySelector('footer').getBoundingClientRect().bottom + scrollY;
    return [scrollWidth, clientWidth, scrollHeight, Math.max(footer, clientHeight)];
  });
  assert.ok(content <= view, `${where}: ${content} px wide in ${view}`);
  assert.ok(height <= end + 2, `${where}: ${height} px long, of which ${end} are in use`);
}

test('an empty database says what to do next', async () => {
  const { page, faults } = await openPage(browser, home);
  await intercept(page, ({ pathname }) =>
    pathname.includes('/query/') ? { data: [] } : undefined,
  );
  await page.goto(home);
  await page.waitForSelector('.steps');
  const steps = await textOf(page, '.steps');
  for (const line of [
    'holdup = {',
    'let _guard = holdup::init();',
    '#[holdup::detect_blocking]',
    'OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318',
  ]) {
    assert.ok(steps.includes(line), line);
  }
  assert.deepEqual(faults, []);
  await page.close();
});

test('spans that services dropped are a visible warning', async () => {
  const { page } = await openPage(browser, home);
  await intercept(page, ({ pathname }) =>
    pathname.endsWith('/status')
      ? {
          version: '1.2.3',
          clickhouse: { ok: false, embedded: false, version: '', message: 'wrong password' },
          received_spans: 5,
          ignored_spans: 2,
          dropped_by_services: 1234,
        }
      : undefined,
  );
  await page.goto(home);
  await page.waitForFunction(() =>
    document.querySelector('footer').textContent.includes('1,234 dropped'),
  );
  assert.ok((await textOf(page, 'footer')).includes('wrong password'));
  await page.close();
});

test('ten thousand functions are a list that is searched where it is whole', async () => {
  const { page, faults } = await openPage(browser, home);
  const now = Date.now();
  const all = Array.from({ length: 10_000 }, (_, i) => ({
    ...{ function: `many::f${i}`, service: 'many', state: 'new', cause: 'cpu', calls: 1 },
    ...{ blocked_ns: 1e9 - i, share: 1e-4, max_ns: 1e9, stalled: 0 },
    ...{ blame_function: '', blame_crate: '', victims: 0, first_version: '', last_version: '' },
    ...{ trend: [[now - 60_000, 1e9 - i]], first_seen_ms: now, last_seen_ms: now },
    ...{ muted_ms: 0, muted_until_ms: 0, muted_version: '', muted_reason: '' },
  }));
  await intercept(page, ({ pathname, searchParams }) => {
    if (!pathname.endsWith('/query/issues')) return undefined;
    const search = searchParams.get('search') ?? '';
    const found = all.filter((row) => row.function.includes(search));
    return { data: found.slice(0, Number(searchParams.get('limit'))) };
  });
  await page.goto(home);
  await waitForFunctions(page);
  assert.equal((await functionsShown(page)).length, 500);
  assert.match(await textOf(page, '.note'), /The 500 functions with the most blocked time/);
  await page.keyboard.press('/');
  await page.keyboard.type('f9999');
  await page.waitForFunction(
    () => document.querySelector('.functions tbody a.function-link')?.title === 'many::f9999',
  );
  assert.deepEqual(faults, []);
  await page.close();
});

test('the page works under a base path', async () => {
  const server = await startServer({ base: '/tools/holdup/' });
  const { page, faults } = await openPage(browser, server.url);
  await page.goto(server.url);
  await waitForFunctions(page);
  await page.locator('a.function-link').click();
  await page.waitForSelector('.episodes tbody tr');
  assert.ok(new URL(page.url()).pathname === '/tools/holdup/');
  await page.reload();
  await page.waitForSelector('.episodes tbody tr');
  assert.deepEqual(faults, []);
  await page.close();
  await server.stop();
});

test('axe finds nothing, light and dark, wide and narrow', async () => {
  const [culprit] = expected.culprits;
  const views = [
    '',
    '?state=all',
    '?state=muted',
    '?view=services',
    '?view=suspects',
    '?view=alerts',
    '?view=live',
    '?view=system',
    '?q=nothing-is-called-so',
    `?${new URLSearchParams({ view: 'function', function: culprit })}`,
    `?${new URLSearchParams({ view: 'function', function: culprit, versus: 'before' })}`,
    `?${new URLSearchParams({ view: 'function', function: culprit, frame: 'start' })}`,
  ];
  for (const [scheme, width] of [
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
  ]) {
    const { page } = await openPage(browser, home, { scheme, width });
    for (const view of views) {
      // What is live keeps a request open, which is one of the two.
      await page.goto(home + view, { waitUntil: 'networkidle2' });
      await page.waitForSelector('main h1');
      await page.waitForFunction(() => !document.querySelector('.waiting'));
      await assertNoOverflow(page, `${view} at ${width}`);
      await axeFindsNothing(page, `${view || 'home'}, ${scheme}, ${width} px`);
    }
    await page.goto(`${home}?${new URLSearchParams({ view: 'function', function: culprit })}`);
    await page.locator('.issue-line .mute').click();
    await page.waitForSelector('dialog[open]');
    await axeFindsNothing(page, `a mute, ${scheme}, ${width} px`);
    await page.keyboard.press('Escape');
    await page.locator('.episodes a.episode-link').click();
    await page.waitForSelector('.lanes .lane-bar');
    await assertNoOverflow(page, `an episode at ${width}`);
    await axeFindsNothing(page, `an episode, ${scheme}, ${width} px`);
    await page.close();
  }
});
