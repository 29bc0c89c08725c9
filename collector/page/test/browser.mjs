// A real browser on the page under test: HOLDUP_PAGE, or else the development server.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { startServer } from '../dev/server.mjs';
import { chromium } from '../scripts/chromium.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const DEMO = 'holdup_demo::faults::';
const list = (text) =>
  (text ?? '')
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean);

export async function openBrowser() {
  const given = process.env.HOLDUP_PAGE;
  const server = given ? null : await startServer();
  const browser = await chromium();
  const close = async () => {
    await browser.close();
    await server?.stop();
  };
  const home = new URL('./', given ?? server.url).href;
  return { browser, home, close };
}

/** What the service under test is known to do. */
export const expected = process.env.HOLDUP_PAGE
  ? { culprits: list(process.env.EXPECT_CULPRITS), innocents: list(process.env.EXPECT_INNOCENTS) }
  : {
      culprits: ['sleeps_in_handler', 'hashes_password', 'reads_slow_peer'].map((f) => DEMO + f),
      innocents: ['holdup_demo::innocents::yields_thirty_times'],
      alert: DEMO + 'sleeps_in_handler',
      holder: { culprit: DEMO + 'waits_for_mutex', holder: 'ledger::journal::flush' },
    };

/** A page, and what it did that it must not do. */
export async function openPage(
  browser,
  home,
  { width = 1280, height = 900, scheme = 'light' } = {},
) {
  const page = await browser.newPage();
  const faults = [];
  page.setDefaultTimeout(30_000);
  page.on(
    'console',
    (m) => ['error', 'warn'].includes(m.type()) && faults.push(`console: ${m.text()}`),
  );
  page.on('pageerror', (error) => faults.push(`uncaught: ${error}`));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const { origin } = new URL(request.url());
    if (origin !== new URL(home).origin) faults.push(`request to ${origin}`);
  });
  await page.evaluateOnNewDocument(() => {
    addEventListener('securitypolicyviolation', (e) =>
      console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`),
    );
  });
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  return { page, faults };
}

/** Runs a journey in a page of its own, which must leave no error behind. */
export async function journeyIn(browser, home, run, options) {
  const { page, faults } = await openPage(browser, home, options);
  await run(page);
  assert.deepEqual(faults, []);
  await page.close();
}

/** What axe-core finds on the page as it is. */
export async function axeFindsNothing(page, where) {
  await page.evaluate(await readFile(AXE, 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const found = violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 3).map((n) => n.html)]);
  assert.deepEqual(found, [], where);
}

/**
 * Answers some requests in the collector's place. `answer` returns undefined for the others, or a promise
 * of either.
 */
export async function intercept(page, answer) {
  await page.setRequestInterception(true);
  page.on('request', async (request) => {
    const body = await answer(new URL(request.url()));
    if (!body) return void request.continue();
    const { status = 200, ...rest } = body;
    return void request.respond({
      status,
      contentType: 'application/json',
      body: JSON.stringify(rest),
    });
  });
}

/** The full names of the functions in the list, from top to bottom. */
export const functionsShown = (page) =>
  page.$$eval('.functions tbody a.function-link', (links) => links.map((a) => a.title));

export const waitForFunctions = (page, names = []) =>
  page.waitForFunction(
    (wanted) => {
      const shown = [...document.querySelectorAll('.functions tbody a.function-link')].map(
        (a) => a.title,
      );
      return shown.length > 0 && wanted.every((name) => shown.includes(name));
    },
    { timeout: 60_000 },
    names,
  );
