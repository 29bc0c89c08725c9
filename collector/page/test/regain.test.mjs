// A collector that is killed, and comes back on the same address: a page that is open says so, keeps
// what it shows, and goes on by itself.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { newFolder, removeFolder, serve } from '../scripts/program.mjs';
import { openBrowser, openPage } from './browser.mjs';

// In place of the development server: what is killed here is the program itself.
const skip = !process.env.HOLDUP_PROGRAM;
const FUNCTION = 'shop::pay::takes_long';

let browser;
let close;
let folder;

before(async () => {
  if (skip) return;
  ({ browser, close } = await openBrowser());
  folder = await newFolder();
});
after(async () => {
  await close?.();
  if (folder) await removeFolder(folder);
});

/** A poll of 700 ms that has ended, or one that goes on. */
async function send({ http }, id, stall) {
  const start = Date.now() - 800;
  const text = (key, value) => ({ key, value: { stringValue: value } });
  const span = {
    ...{ traceId: id.repeat(32), spanId: id.repeat(16), name: `poll ${FUNCTION}` },
    ...{ startTimeUnixNano: `${start}000000`, endTimeUnixNano: `${start + 700}000000` },
    attributes: [{ key: 'holdup.stall', value: { boolValue: stall } }],
  };
  const resource = { attributes: [text('service.name', 'shop'), text('service.version', '1')] };
  const scopeSpans = [{ scope: { name: 'holdup' }, spans: [span] }];
  const sent = await fetch(`http://${http}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] }),
  });
  assert.equal(sent.status, 200);
}

const isLost = (page) => page.waitForSelector('.banner-lost', { timeout: 30_000 });
const isBack = (page) =>
  page.waitForSelector('.banner-lost', { hidden: true, timeout: 60_000 });

/** Opens a view, has the collector go away and come back, and sees what the page makes of it. */
async function regained(search, shows, { id, stall, changes }) {
  let collector = await serve(folder);
  const at = collector.page;
  try {
    const { page } = await openPage(browser, `http://${at}/`);
    await send(collector, id, stall);
    await page.goto(`http://${at}/${search}`);
    await page.waitForSelector(shows, { timeout: 30_000 });
    await page.evaluate(() => {
      globalThis.sameDocument = true;
    });
    await collector.kill();
    await isLost(page);
    assert.match(await page.$eval('.banner-lost', (e) => e.textContent), /retrying/);
    assert.ok(await page.$(shows), 'what was shown stays');
    collector = await serve(folder, { page: at });
    await isBack(page);
    await changes(page, collector);
    assert.ok(await page.evaluate(() => globalThis.sameDocument), 'without a reload');
    assert.equal(new URL(page.url()).search, search);
    await page.close();
  } finally {
    await collector.kill();
  }
}

test('the live view is lost with its collector and comes back with it', { skip }, () =>
  regained('?view=live', '.stalls tbody tr', {
    id: 'a',
    stall: true,
    // The stream tells of what came after the collector did.
    changes: async (page, collector) => {
      await send(collector, 'b', true);
      await page.waitForFunction(
        () => document.querySelectorAll('.stalls tbody tr').length === 2,
        { timeout: 30_000 },
      );
    },
  }),
);

test('a list is lost with its collector and comes back with it', { skip }, () =>
  regained('?range=1h', '.functions tbody tr', {
    id: 'c',
    stall: false,
    changes: async (page, collector) => {
      const calls = () => page.$eval('.functions tbody td.c-calls', (cell) => cell.textContent);
      const before = await calls();
      await send(collector, 'd', false);
      await page.waitForFunction(
        (old) => document.querySelector('.functions tbody td.c-calls').textContent !== old,
        { timeout: 30_000 },
        before,
      );
    },
  }),
);
