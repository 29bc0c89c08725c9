// Measures the page as the program serves it: the time to the first contentful paint of each view, with
// nothing kept from the visit before, and the bytes that a visit takes.
//
//   npm run paint            each view 20 times
//   VISITS=5 npm run paint   fewer
import { readFile, readdir } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';

import { chromium } from './chromium.mjs';
import { newFolder, program, removeFolder, serve } from './program.mjs';

const VISITS = Number(process.env.VISITS ?? 20);
const MS_MAX = 200;
const VIEWS = ['functions', 'function', 'episode', 'live', 'services', 'suspects', 'alerts', 'system'];
const DIST = new URL('../dist/', import.meta.url);

const median = (sorted) => sorted[Math.floor(sorted.length / 2)];
const percentile95 = (sorted) => sorted[Math.ceil(0.95 * sorted.length) - 1];

const folder = await newFolder();
const collector = await serve(folder);
const browser = await chromium();
let slow = false;
try {
  process.stdout.write(`${(await program()).split('/').slice(-2).join('/')}, ${VISITS} visits each\n`);
  process.stdout.write('view         median     p95   first contentful paint, ms\n');
  // The first visit is the browser's start rather than the page's.
  await paint('functions');
  for (const view of VIEWS) {
    const times = [];
    for (let visit = 0; visit < VISITS; visit += 1) times.push(await paint(view));
    times.sort((a, b) => a - b);
    const [half, most] = [median(times), percentile95(times)];
    slow ||= half > MS_MAX;
    const columns = [view.padEnd(10), ...[half, most].map((ms) => ms.toFixed(0).padStart(8))];
    process.stdout.write(`${columns.join('')}\n`);
  }
  let bytes = 0;
  for (const name of (await readdir(DIST)).filter((file) => file !== 'LICENSES.txt'))
    bytes += gzipSync(await readFile(new URL(name, DIST))).length;
  process.stdout.write(`${bytes} bytes gzipped\n`);
} finally {
  await browser.close();
  await collector.stop();
  await removeFolder(folder);
}
if (slow) throw new Error(`a view takes more than ${MS_MAX} ms`);

/** One visit, in a browser context that knows nothing. */
async function paint(view) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport({ width: 1280, height: 720 });
  const now = Date.now();
  const query = new URLSearchParams({ view, function: 'shop::pay', from: now - 9e5, to: now });
  await page.goto(`http://${collector.page}/?${query}`);
  const time = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const seen = (entries) => {
          const first = entries.find((entry) => entry.name === 'first-contentful-paint');
          if (first) resolve(first.startTime);
        };
        new PerformanceObserver((list) => seen(list.getEntries())).observe({
          type: 'paint',
          buffered: true,
        });
      }),
  );
  await context.close();
  return time;
}
