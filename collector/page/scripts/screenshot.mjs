// Takes the pictures of the README and of docs/page.md from a page that shows the demo: HOLDUP_PAGE,
// or the development server. Each view, light and dark, or those that are named:
//
//   npm run screenshot -- services alerts
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openBrowser, openPage, waitForFunctions } from '../test/browser.mjs';

const FOLDER =
  process.env.HOLDUP_PICTURES ?? fileURLToPath(new URL('../../../docs/pictures/', import.meta.url));
const HEIGHT = 720;

/** Names of pictures, and the way to them from the list of issues. */
const VIEWS = {
  functions: async () => {},
  function: openFunction,
  durations: async (page) => {
    await openFunction(page, 'hashes_password');
    const { x, y, width, height } = await boxOf(page, '.heatmap svg');
    await page.mouse.move(x + width * 0.6, y + 2);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.97, y + height * 0.35, { steps: 4 });
    await page.mouse.up();
    await page.waitForSelector('.different td');
    await page.$eval('.heatmap', (map) => map.closest('.card').scrollIntoView());
  },
  'flame-graph': async (page) => {
    await openFunction(page);
    await page.$eval('.flame', (graph) => graph.closest('.card').scrollIntoView());
  },
  episode: async (page) => {
    await openFunction(page);
    await page.locator('.episodes a.episode-link').click();
    await page.waitForSelector('.lanes .lane-bar');
    await page.waitForNetworkIdle();
  },
  live: async (page) => {
    await openTab(page, 'Live');
    await page.waitForSelector('.lanes .lane-bar');
  },
  services: async (page) => {
    await openTab(page, 'Services');
    await page.waitForSelector('.instances tbody tr');
  },
  alerts: async (page) => {
    await openTab(page, 'Alerts');
    await page.waitForSelector('.rules tbody tr');
  },
  system: async (page) => {
    await openTab(page, 'System');
    await page.waitForSelector('.storage tbody tr');
  },
};

const { browser, home, close } = await openBrowser();
await mkdir(FOLDER, { recursive: true });
try {
  const wanted = process.argv.slice(2);
  for (const [name, goOn] of Object.entries(VIEWS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    for (const scheme of ['light', 'dark']) await picture(`${name}-${scheme}.png`, scheme, goOn);
  }
} finally {
  await close();
}

async function openFunction(page, name = '') {
  await page.locator(`.functions tbody a.function-link[title$='${name}']`).click();
  await page.waitForSelector('.facts');
  await page.waitForSelector('.polls tbody tr');
  await page.waitForSelector('.heatmap .heat');
  await page.waitForSelector('.flame-frame');
  await page.waitForNetworkIdle();
}

async function openTab(page, label) {
  for (const tab of await page.$$('.tabs a')) {
    if ((await tab.evaluate((a) => a.textContent)) === label) return tab.click();
  }
  throw new Error(`there is no tab ${label}`);
}

async function boxOf(page, selector) {
  const element = await page.$(selector);
  await element.scrollIntoView();
  return element.boundingBox();
}

async function picture(name, scheme, goOn) {
  const { page } = await openPage(browser, home, { width: 1280, height: HEIGHT, scheme });
  await page.goto(home, { waitUntil: 'networkidle2' });
  await waitForFunctions(page);
  await goOn(page);
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement?.blur());
  await page.waitForFunction(() => !document.querySelector('.waiting, .stale'));
  // A view shorter than the picture leaves no empty ground below it.
  const content = await page.$eval('main', (main) =>
    Math.ceil(main.lastElementChild.getBoundingClientRect().bottom),
  );
  const height = Math.min(HEIGHT, content + 16);
  const path = join(FOLDER, name);
  await page.setViewport({ width: 1280, height });
  await page.screenshot({ path });
  await page.close();
  const { size } = await stat(path);
  process.stderr.write(`${name} ${Math.ceil(size / 1024)} KiB\n`);
}
