// What a user does. Runs against any collector: see test/browser.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { expected, functionsShown, journeyIn, openBrowser, waitForFunctions } from './browser.mjs';

let browser;
let home;
let close;

before(async () => ({ browser, home, close } = await openBrowser()));
after(() => close?.());

const journey = (run, options) => journeyIn(browser, home, run, options);

const parameter = (page, name) => new URL(page.url()).searchParams.get(name);
const shortName = (full) => full.split('::').at(-1);

async function clickFunction(page, name) {
  const link = await page.waitForFunction(
    (wanted) => [...document.querySelectorAll('a.function-link')].find((a) => a.title === wanted),
    {},
    name,
  );
  await link.click();
  await page.waitForFunction((short) => document.title.startsWith(short), {}, shortName(name));
}

test('the list names every culprit and no innocent', () =>
  journey(async (page) => {
    assert.ok(expected.culprits.length > 0, 'EXPECT_CULPRITS names the functions that block');
    const response = await page.goto(home);
    assert.match(response.headers()['content-security-policy'] ?? '', /default-src 'self'/);
    await waitForFunctions(page, expected.culprits);
    const shown = await functionsShown(page);
    assert.deepEqual(
      shown.filter((name) => expected.innocents.includes(name)),
      [],
    );
  }));

test('a culprit leads to its episodes and polls, and back leads to the list as it was', () =>
  journey(async (page) => {
    const [culprit] = expected.culprits;
    await page.goto(`${home}?sort=function`);
    await waitForFunctions(page, [culprit]);
    await clickFunction(page, culprit);
    await page.waitForSelector('.episodes tbody tr');
    await page.waitForSelector('.polls tbody tr');
    await page.waitForSelector('.stack .frames .blamed');
    // Each way to block in the demo is one that there is advice for.
    const advice = await page.waitForSelector('.stack .advice a');
    assert.match(await advice.evaluate((a) => a.href), /\/advice\.md#:~:text=%23%23%20[\w%]+$/);
    assert.equal(parameter(page, 'function'), culprit);
    assert.equal(await page.$eval('h1', (h) => h.title), culprit);
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
    await page.waitForSelector('.chart .chart-bar');
    await page.goBack();
    await waitForFunctions(page, [culprit]);
    assert.equal(parameter(page, 'sort'), 'function');
    const shown = await functionsShown(page);
    assert.deepEqual(
      shown,
      shown.toSorted((a, b) => (a < b ? -1 : Number(a > b))),
    );
    await page.goForward();
    await page.waitForSelector('.episodes tbody tr');
  }));

test('a poll that waited for a lock tells who held it', { skip: !expected.holder }, () =>
  journey(async (page) => {
    const { culprit, holder } = expected.holder;
    await page.goto(home);
    await waitForFunctions(page, [culprit]);
    await clickFunction(page, culprit);
    await page.waitForSelector('.polls td.c-holder');
    assert.equal(await page.$eval('.polls td.c-holder', (cell) => cell.textContent), holder);
  }));

test('filter and order work from the keyboard, and a reload restores them', () =>
  journey(async (page) => {
    const [culprit] = expected.culprits;
    await page.goto(home);
    await waitForFunctions(page, [culprit]);
    await page.keyboard.press('/');
    await page.keyboard.type(shortName(culprit));
    await page.waitForFunction(
      (name) =>
        [...document.querySelectorAll('a.function-link')].every((a) => a.title.includes(name)),
      {},
      shortName(culprit),
    );
    assert.equal(parameter(page, 'q'), shortName(culprit));
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !location.search.includes('q='));

    await tabTo(page, 'th.c-calls button');
    await page.keyboard.press('Enter');
    await page.waitForSelector('th.c-calls[aria-sort=descending]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('th.c-calls[aria-sort=ascending]');
    const calls = () =>
      page.$$eval('td.c-calls', (cells) =>
        cells.map((c) => Number(c.textContent.replaceAll(',', ''))),
      );
    const shown = await calls();
    assert.deepEqual(
      shown,
      shown.toSorted((a, b) => a - b),
    );

    await page.reload();
    await page.waitForSelector('th.c-calls[aria-sort=ascending]');
    await waitForFunctions(page, [culprit]);
  }));

async function tabTo(page, selector) {
  for (let i = 0; i < 60; i += 1) {
    if (await page.evaluate((s) => document.activeElement?.matches(s), selector)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`the keyboard does not reach ${selector}`);
}

test('arrow keys walk the rows, and Enter opens one', () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page, expected.culprits);
    // Paused, so that no fresh answer changes the order in between.
    await page.locator('button.pause').click();
    await page.waitForSelector('button.paused');
    await waitForFunctions(page, expected.culprits);
    const [first, second] = await functionsShown(page);
    await page.focus('.functions tbody a.function-link');
    assert.ok(second, `more than ${first} is listed`);
    await page.keyboard.press('ArrowDown');
    assert.equal(await page.evaluate(() => document.activeElement?.title), second);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.search.includes('view=function'));
    assert.equal(parameter(page, 'function'), second);
  }));

test('range, service and pause are in the URL and come back with it', () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page, expected.culprits);
    await clickText(page, '.ranges a', '1 h');
    await page.waitForFunction(() => location.search.includes('range=1h'));
    const service = await page.$eval('.functions td.c-service', (cell) => cell.textContent);
    await page.waitForFunction(
      (name) =>
        [...document.querySelectorAll('select[name=service] option')].some((o) => o.value === name),
      {},
      service,
    );
    await page.select('select[name=service]', service);
    await page.locator('button.pause').click();
    await page.waitForSelector('button.paused');
    assert.equal(parameter(page, 'service'), service);
    assert.match(parameter(page, 'to'), /^\d{13}$/);
    await page.reload();
    await page.waitForSelector('button.paused');
    await waitForFunctions(page);
    assert.equal(await page.$eval('select[name=service]', (s) => s.value), service);
    assert.equal(await page.$eval('.ranges [aria-current]', (a) => a.textContent), '1 h');
    const services = await page.$$eval('.functions td.c-service', (cells) =>
      cells.map((c) => c.textContent),
    );
    assert.deepEqual([...new Set(services)], [service]);
    await page.locator('button.pause').click();
    await page.waitForSelector('button.pause:not(.paused)');
    assert.equal(parameter(page, 'to'), null);
  }));

async function clickText(page, selector, text) {
  for (const element of await page.$$(selector)) {
    if ((await element.evaluate((e) => e.textContent)) === text) return element.click();
  }
  return assert.fail(`there is no ${selector} "${text}"`);
}

test('services lead to their functions, and suspects say why they are none', () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page);
    await clickText(page, '.tabs a', 'Services');
    const link = await page.waitForSelector('.services tbody a');
    const service = await link.evaluate((a) => a.textContent);
    await link.click();
    await waitForFunctions(page);
    assert.equal(parameter(page, 'service'), service);
    await clickText(page, '.tabs a', 'Suspects');
    await page.waitForFunction(() => document.body.textContent.includes('sum over all polls'));
  }));

test('services show versions, trends and runtimes, and who fell silent', { skip: !expected.alert }, () =>
  journey(async (page) => {
    await page.goto(`${home}?view=services`);
    await page.waitForSelector('.instances tbody tr');
    await page.waitForSelector('.services .spark-bar');
    const rows = await page.$$eval('.services tbody tr', (all) =>
      all.map((row) => {
        const text = (column) => row.querySelector(`.c-${column}`).textContent;
        const bars = row.querySelectorAll('.spark-bar').length;
        return { service: text('service'), busy: text('busy'), queue: text('queue'), bars };
      }),
    );
    const of = (name) => rows.find(({ service }) => service.startsWith(name));
    assert.match(of('checkout').service, /2\.14\.0, 2\.14\.1$/);
    assert.deepEqual([of('checkout').busy, of('checkout').queue], ['31 %', '3']);
    assert.ok(of('demo').bars > 5, 'its trend is drawn');
    assert.match(of('search-api').service, /silent/);
    assert.deepEqual([of('search-api').busy, of('search-api').queue], ['–', '–']);
    assert.equal(rows.filter(({ service }) => service.includes('silent')).length, 1);
    const link = await page.waitForSelector('.services a');
    const service = await link.evaluate((a) => a.textContent);
    await link.click();
    await waitForFunctions(page);
    assert.equal(parameter(page, 'service'), service);
  }));

test('an alert leads to the function that it is about', { skip: !expected.alert }, () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page);
    await clickText(page, '.tabs a', 'Alerts');
    await page.waitForSelector('.alert-events tbody tr');
    const states = await page.$$eval('.alerts td.c-state', (all) => all.map((s) => s.textContent));
    assert.deepEqual(states, [
      'firing',
      'firing, silenced',
      'pending',
      'resolved, flapping',
      'firing',
    ]);
    const silences = await page.$$eval('.alerts .silence', (all) => all.map((s) => s.textContent));
    assert.deepEqual(silences.length, 1);
    assert.match(silences[0], /^silenced until .*, by Ann: /);
    const link = await page.waitForSelector('.alerts a.function-link');
    await link.click();
    await page.waitForSelector('.episodes tbody tr');
    assert.equal(parameter(page, 'function'), expected.alert);
  }));

test('on a phone, no tab and no name or summary of an alert is cut off', () =>
  journey(
    async (page) => {
      await page.goto(`${home}?view=alerts`);
      await page.waitForSelector('.rules tbody tr');
      await page.waitForSelector('.alerts tbody tr');
      const cut = await page.$$eval('.tabs, .alerts td *, .rules td > .name', (all) =>
        all.filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map((e) => e.textContent),
      );
      assert.deepEqual(cut, []);
      const seen = await page.$$eval('.alerts .narrow-facts', (all) => all.map((e) => e.offsetHeight));
      assert.ok(seen.length > 0 && seen.every((height) => height > 0), `${seen}`);
    },
    { width: 360 },
  ));

test('rules and silences are listed, those that fail first and those that ended apart', {
  skip: !expected.alert,
}, () =>
  journey(async (page) => {
    await page.goto(`${home}?view=alerts`);
    await page.waitForSelector('.rules tbody tr');
    const texts = (selector) => page.$$eval(selector, (all) => all.map((e) => e.textContent));
    const states = ['fails', 'firing ×2', 'firing', 'pending', 'inactive', 'inactive', 'off'];
    assert.deepEqual(await texts('.rules td.c-state'), states);
    assert.match((await texts('.rule-error'))[0], /Unknown table .* <b>here<\/b>$/);
    assert.ok((await texts('.rules td.c-evaluated')).includes('waits'));
    // Only what the collector serves, or an address, is a link.
    const runbooks = await page.$$eval('.rule-more a', (all) => all.map((a) => a.href));
    assert.equal(runbooks.length, states.length - 1);
    assert.ok(runbooks.every((url) => url === `${home}docs/runbooks/poll-stalled.md`), runbooks);
    const query = await page.$('.rule-more');
    await query.$eval('summary', (summary) => summary.focus());
    await page.keyboard.press('Enter');
    await page.waitForFunction((of) => of.open, {}, query);
    assert.match(await query.$eval('pre', (pre) => pre.innerText), /FROM poll_spans/);

    const ended = await page.waitForSelector('.ended');
    assert.deepEqual(await texts('.card > .silences td.c-state'), ['active', 'not now', 'active']);
    assert.match((await texts('.silence-why'))[1], /sat, sun 23:00–04:00 Europe\/Berlin: backups/);
    assert.ok((await texts('.silences td.c-by')).includes('Ann'));
    assert.equal(await ended.$eval('summary', (summary) => summary.textContent), 'Ended: 1');
    const told = await texts('.card > p.none');
    assert.ok(told.some((text) => text === 'Told: on-call, team-checkout'), told);
  }));

test('the page asks again by itself, and the footer tells the state', () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page);
    await page.waitForResponse((r) => r.url().includes('/query/issues') && r.ok(), {
      timeout: 15_000,
    });
    await page.waitForFunction(() =>
      /ClickHouse.* ok/.test(document.querySelector('footer').textContent),
    );
  }));
