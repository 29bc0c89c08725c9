// What a user does to understand one function: durations, stacks, versions, episodes, what is live.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import {
  expected,
  intercept,
  journeyIn,
  openBrowser,
  openPage,
  waitForFunctions,
} from './browser.mjs';

let browser;
let home;
let close;

before(async () => ({ browser, home, close } = await openBrowser()));
after(() => close?.());

const journey = (run, options) => journeyIn(browser, home, run, options);

const [culprit] = expected.culprits;
const functionUrl = () => `${home}?${new URLSearchParams({ view: 'function', function: culprit })}`;
const parameter = (page, name) => new URL(page.url()).searchParams.get(name);

/** Puppeteer's own takes no SVG. */
const focus = (page, selector) => page.$eval(selector, (element) => element.focus());

async function drag(page, selector, [fromX, fromY], [toX, toY]) {
  await (await page.$(selector)).scrollIntoView();
  const { x, y, width, height } = await (await page.$(selector)).boundingBox();
  await page.mouse.move(x + width * fromX, y + height * fromY);
  await page.mouse.down();
  await page.mouse.move(x + width * toX, y + height * toY, { steps: 4 });
  await page.mouse.up();
}

test('a region of the durations is compared with the rest, by pointer and by key', () =>
  journey(async (page) => {
    await page.goto(functionUrl());
    await page.waitForSelector('.heatmap .heat');
    await drag(page, '.heatmap svg', [0.1, 0.02], [0.98, 0.3]);
    await page.waitForSelector('.different .flame-note');
    const picked = parameter(page, 'pick');
    assert.match(picked, /^\d+-\d+-\d+-\d+$/);
    await page.reload();
    await page.waitForSelector('.heat-region');
    assert.equal(parameter(page, 'pick'), picked);
    await focus(page, '.heatmap svg');
    await page.keyboard.press('Escape');
    await page.waitForSelector('.different', { hidden: true });
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.down('Shift');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.up('Shift');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.different .flame-note');
  }));

test('a region without polls, and one that is like the rest, say so', () =>
  journey(async (page) => {
    const row = { attribute: 'version', value: '1', picked: 0, picked_share: 0, rest: 1, rest_share: 1 };
    let data = [row];
    await intercept(page, ({ pathname }) =>
      pathname.endsWith('/attributes') ? { data } : undefined,
    );
    const url = `${functionUrl()}&pick=1-2-3-4`;
    const said = (words) =>
      page.waitForFunction(
        (text) => document.querySelector('.different .none')?.textContent.includes(text),
        {},
        words,
      );
    await page.goto(url);
    await said('No slow poll is in this region');
    data = [{ ...row, picked: 1, picked_share: 0.996 }];
    await page.goto(url);
    await said('Nothing is different');
    data = [{ ...row, picked: 1, picked_share: 0.98 }];
    await page.goto(url);
    await page.waitForSelector('.different .attributes tbody tr');
  }));

test('the cursor of the durations stays at its time when the columns are others', () =>
  journey(async (page) => {
    await page.goto(`${functionUrl()}&range=5m`);
    await page.waitForSelector('.heatmap .heat');
    await focus(page, '.heatmap svg');
    await page.keyboard.press('ArrowLeft');
    const compare = async () => {
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => location.search.includes('pick='));
      return parameter(page, 'pick');
    };
    const picked = await compare();
    const answered = page.waitForResponse((response) => {
      const { pathname, searchParams: asked } = new URL(response.url());
      return pathname.endsWith('/durations') && asked.get('to') - asked.get('from') > 800_000;
    });
    await page.evaluate(() => {
      const url = new URL(location);
      url.searchParams.set('range', '15m');
      url.searchParams.delete('pick');
      history.replaceState(null, '', url);
      dispatchEvent(new PopStateEvent('popstate'));
    });
    await answered;
    await page.waitForFunction(() => !document.querySelector('.stale, .different'));
    assert.equal(await compare(), picked);
  }));

test('a range drawn on the chart is the range, and back gives the old one', () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page, [culprit]);
    await drag(page, '.overview .chart svg', [0.3, 0.5], [0.95, 0.5]);
    await page.waitForFunction(() => /from=\d{13}&to=\d{13}/.test(location.search));
    assert.ok(Number(parameter(page, 'to')) > Number(parameter(page, 'from')));
    await page.waitForSelector('button.paused');
    await page.goBack();
    await page.waitForSelector('button.pause:not(.paused)');
    await waitForFunctions(page, [culprit]);
  }));

test('the flame graph is walked by key, marked, and turned around a frame', () =>
  journey(async (page) => {
    await page.goto(functionUrl());
    await page.waitForSelector('.flame-frame');
    await focus(page, '.flame-frame');
    await page.keyboard.press('ArrowDown');
    const frame = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
    assert.ok(frame.includes('%'), frame);
    await page.type('.in-card input[type=search]', culprit.split('::').at(-1));
    await page.waitForSelector('.flame-frame.marked');
    await focus(page, '.flame-frame');
    await page.keyboard.press('ArrowDown');
    await page.locator('.flame .flame-note button').click();
    await page.waitForSelector('.sandwich');
    assert.ok(parameter(page, 'frame').length > 0);
    await page.locator('.sandwich .flame-note button').click();
    await page.waitForSelector('.sandwich', { hidden: true });
  }));

test('fresh rows leave focus and zoom of the flame graph at the frames that they are at', () =>
  journey(async (page) => {
    const graph = (...frames) =>
      frames.map(([level, label, value]) => ({ level, label, value, self: 0 }));
    const outer = [[0, 'all', 100], [1, 'start', 100]];
    let data = graph(...outer, [2, 'b', 60], [3, 'c', 60], [2, 'd', 40]);
    await intercept(page, ({ pathname }) => (pathname.endsWith('/flame') ? { data } : undefined));
    const answer = async (rows, shown) => {
      data = rows;
      const has = (label) =>
        [...document.querySelectorAll('.flame-frame')].some((f) => f.ariaLabel.startsWith(label));
      await page.waitForFunction(has, {}, shown);
    };
    const focused = () => page.evaluate(() => document.activeElement.ariaLabel);
    await page.goto(functionUrl());
    await page.waitForSelector('.flame-frame');
    await focus(page, '.flame-frame');
    for (const key of ['Down', 'Down', 'Down']) await page.keyboard.press(`Arrow${key}`);
    assert.match(await focused(), /^c: /);
    await answer(graph(...outer, [2, 'a', 70], [2, 'b', 30], [3, 'c', 30]), 'a: ');
    assert.match(await focused(), /^c: 30 ns/);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('.flame-frame').length === 1);
    await answer(graph(...outer, [2, 'b', 50], [3, 'c', 50], [4, 'e', 20]), 'e: ');
    assert.match(await focused(), /^c: 50 ns/);
    // Of a frame that is gone, the one above it is what is left.
    await answer(graph(...outer, [2, 'b', 80], [3, 'f', 20]), 'f: ');
    assert.match(await focused(), /^b: 80 ns/);
  }));

test('what answers late moves nothing that is shown, and what is refused holds nothing up', () =>
  journey(async (page) => {
    let release;
    const released = new Promise((resolve) => (release = resolve));
    await intercept(page, ({ pathname }) =>
      pathname.endsWith('/durations') ? released.then(() => ({ status: 200 })) : undefined,
    );
    const flame = page.waitForResponse((response) => response.url().includes('/query/flame'));
    await page.goto(functionUrl());
    await page.waitForSelector('.facts');
    await flame;
    const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
    for (let drawn = 0; drawn < 5; drawn += 1) await page.evaluate(frame);
    assert.equal(await page.$('.flame-frame'), null, 'it would move down');
    // An answer without rows is an error.
    release();
    await page.waitForSelector('.flame-frame');
    await page.waitForSelector('.polls tbody tr');
  }));

test('two ranges, and two versions, are compared', () =>
  journey(async (page) => {
    await page.goto(functionUrl());
    await page.waitForSelector('select[name=versus]');
    await page.select('select[name=versus]', 'before');
    await page.waitForFunction(() => location.search.includes('versus=before'));
    await page.waitForFunction(() => /have the same shares|changed most|no stack to compare/.test(document.body.textContent));
    const versions = await page.$$eval('select[name=version] option', (all) =>
      all.map((o) => o.value).filter(Boolean),
    );
    if (!expected.alert) return;
    assert.equal(versions.length, 2);
    await page.select('select[name=version]', versions[0]);
    await page.select('select[name=versus]', `v:${versions[1]}`);
    await page.waitForSelector('.changes tbody tr');
    await page.waitForSelector('.function-versions .chosen-row');
    await page.waitForSelector('.flame-frame.grew-much, .flame-frame.shrank-much');
  }));

test('stacks are there as files for other tools', () =>
  journey(async (page) => {
    await page.goto(functionUrl());
    await page.waitForSelector('.exports summary');
    await page.locator('.exports summary').click();
    const links = await page.$$eval('.exports a', (all) => all.map((a) => a.href));
    for (const format of ['svg', 'speedscope', 'firefox', 'pprof', 'folded']) {
      const href = links.find((link) => link.includes(`/export/${format}?`));
      assert.ok(href?.includes(encodeURIComponent(culprit)), format);
    }
    assert.ok(links.at(-1).endsWith('format=csv'), links.at(-1));
    if (!process.env.HOLDUP_PAGE) return;
    for (const link of links) {
      const answer = await fetch(link);
      assert.ok(answer.ok, `${link}: ${answer.status} ${await answer.text()}`);
    }
  }));

test('an episode shows its threads and stacks, and leads back', () =>
  journey(async (page) => {
    await page.goto(functionUrl());
    await page.waitForSelector('.episodes a.episode-link');
    await page.locator('.episodes a.episode-link').click();
    await page.waitForSelector('.lanes .lane-bar');
    await page.waitForSelector(expected.alert ? '.frames .blamed' : '.frames li, .card .none');
    assert.match(await page.title(), /^Episode of /);
    await focus(page, '.lane-bar');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.lane-bar.chosen');
    await page.locator('.crumb a').click();
    await page.waitForSelector('.episodes a.episode-link');
    assert.equal(parameter(page, 'episode'), null);
  }));

test('a trace leads to where traces are shown', { skip: !expected.alert }, () =>
  journey(async (page) => {
    await page.goto(functionUrl());
    const link = await page.waitForSelector('.polls td.c-trace a');
    const href = await link.evaluate((a) => a.href);
    assert.match(href, /^https:\/\/traces\.example\/trace\/[0-9a-f]{32}$/);
  }));

test('what is live moves by itself', { skip: !expected.alert }, async () => {
  const { page } = await openPage(browser, home);
  await page.goto(`${home}?view=live`);
  await page.waitForSelector('.stalls tbody tr.hot-row');
  await page.waitForSelector('.lanes .lane-bar');
  await page.waitForSelector('.tasks tbody tr');
  await page.waitForSelector('.lanes .legend li');
  assert.equal(await page.$('.ranges, .pause'), null, 'what is live has no range');
  const clock = () => page.$eval('.lanes svg', (svg) => svg.textContent);
  const first = await clock();
  await page.waitForFunction(
    (text) => document.querySelector('.lanes svg').textContent !== text,
    {},
    first,
  );
  await page.close();
});

test('the system says that nothing is lost, or what is', () =>
  journey(async (page) => {
    await page.goto(`${home}?view=system`);
    await page.waitForSelector('.storage tbody tr');
    await page.waitForSelector('.lead, .verdicts li');
  }));

test('who waited in an episode is told from the nearest list of tasks, or said not to be known', async () => {
  const { page, faults } = await openPage(browser, home);
  let episode;
  const ranges = [];
  const task = (state, name, since_ns) => ({
    ...{ state, name, since_ns, task_id: since_ns, file: 'a.rs', line: 1, polls: 1, busy_ns: 1 },
    ...{ service: 's', instance: 'i', dumped_ms: episode.started_ms - 3_000, reason: 'stall' },
  });
  let tasks = () => [];
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const { pathname, searchParams } = new URL(request.url());
    if (!pathname.endsWith('/query/tasks')) return void request.continue();
    ranges.push(['from', 'to'].map((name) => Number(searchParams.get(name))));
    return void request.respond({
      contentType: 'application/json',
      body: JSON.stringify({ data: tasks() }),
    });
  });
  await page.goto(functionUrl());
  const link = await page.waitForSelector('.episodes a.episode-link');
  await link.click();
  await page.waitForFunction(() =>
    document.querySelector('.waited')?.textContent.includes('Which tasks, is not known'),
  );
  // Before its end was asked first, and then after it.
  const [before, later] = ranges;
  assert.ok(later[0] === before[1] && later[1] - later[0] === 120_000, JSON.stringify(ranges));

  episode = { started_ms: before[0] + 120_000 };
  tasks = () => [task('ready', 'shop::short', 1e6), task('ready', 'shop::long', 5e7), task('idle', 'x', 1)];
  await page.reload();
  await page.waitForSelector('.waited ol li');
  const text = await page.$eval('.waited', (card) => card.textContent);
  assert.match(text, /sent 3\.00 s before it began has 0 running, 2 ready and 1 idle/);
  const waited = await page.$$eval('.waited ol li', (all) => all.map((li) => li.textContent));
  assert.deepEqual(waited, ['shop::long for 50.0 ms', 'shop::short for 1.00 ms']);
  assert.deepEqual(faults, []);
  await page.close();
});
