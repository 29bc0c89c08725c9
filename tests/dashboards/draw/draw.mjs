// Draws the exported dashboards in Chromium with Grafana's components, from rows of a ClickHouse.
//
//   node draw.mjs --clickhouse http://127.0.0.1:8123 --out ../../../docs/pictures
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { build } from 'esbuild';
import { launch } from 'puppeteer-core';

import { panelsOf } from './ask.mjs';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const DASHBOARDS = join(HERE, '../../../deploy/grafana/dashboards/Holdup');
const { values: options } = parseArgs({
  options: {
    clickhouse: { type: 'string', default: 'http://127.0.0.1:8123' },
    out: { type: 'string', default: join(HERE, 'pictures') },
    hours: { type: 'string', default: '24' },
    end: { type: 'string', default: new Date().toISOString() },
    service: { type: 'string', default: '' },
    function: { type: 'string', default: '' },
    dashboard: { type: 'string', multiple: true, default: ['fleet', 'service', 'function', 'holdup'] },
  },
});

// Its ES modules take a CommonJS package's exports for its default: what a bundler for browsers does not.
const scrollbars = {
  name: 'scrollbars',
  setup({ onLoad }) {
    onLoad({ filter: /react-custom-scrollbars-2\/lib\/index\.js$/ }, async ({ path }) => ({
      contents: `${await readFile(path, 'utf8')}\nmodule.exports = exports.default;`,
    }));
  },
};

const to = Date.parse(options.end);
const from = to - Number(options.hours) * 3_600_000;
await mkdir(options.out, { recursive: true });
const folder = await mkdtemp(join(tmpdir(), 'holdup-draw-'));
const browser = await launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--allow-file-access-from-files'],
});
try {
  const page = await bundled(folder);
  for (const name of options.dashboard) await picture(name, page);
} finally {
  await browser.close();
  await rm(folder, { recursive: true });
}

/** The page that draws, as a file. */
async function bundled(folder) {
  await build({
    entryPoints: [join(HERE, 'page.jsx')],
    outfile: join(folder, 'page.js'),
    bundle: true,
    jsx: 'automatic',
    alias: { '@grafana/assistant': join(HERE, 'assistant.mjs') },
    plugins: [scrollbars],
    define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'window' },
    loader: { '.svg': 'dataurl', '.woff2': 'dataurl', '.woff': 'dataurl', '.ttf': 'dataurl' },
    logLevel: 'error',
  });
  const html =
    '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><body style="margin:8px;position:relative">' +
    '<div id="dashboard"></div><script src="page.js"></script>';
  const path = join(folder, 'page.html');
  await writeFile(path, html);
  return pathToFileURL(path).href;
}

async function picture(name, url) {
  const dashboard = JSON.parse(await readFile(join(DASHBOARDS, `${name}.json`), 'utf8'));
  const one = name === 'service' || name === 'function';
  const chosen = one ? { service: options.service, function: options.function } : {};
  const panels = await panelsOf(dashboard, { clickhouse: options.clickhouse, from, to, chosen });
  const page = await browser.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (said) => said.type() === 'error' && faults.push(said.text()));
  await page.setViewport({ width: 1616, height: 900 });
  await page.goto(url);
  const height = await page.evaluate((...of) => window.draw(...of), dashboard, panels, { from, to });
  await page.setViewport({ width: 1616, height: height + 16 });
  await page.waitForNetworkIdle();
  const titles = panels.map(({ panel }) => panel.title);
  await page.waitForFunction(allDrawn, {}, titles).catch(() => {
    throw new Error(`${name}: a panel stays empty: ${faults.join('; ')}`);
  });
  const path = join(options.out, `grafana-${name}.png`);
  await page.screenshot({ path });
  await page.close();
  process.stdout.write(`${path}\n`);
  for (const fault of new Set(faults)) process.stderr.write(`${name}: ${fault.slice(0, 300)}\n`);
}

/** Whether something stands in each panel. */
function allDrawn(titles) {
  const panels = [...document.querySelectorAll('[data-panel]')];
  const filled = panels.filter((panel) =>
    panel.querySelector('canvas, [role=grid], p, svg, [data-testid*="value"], span'),
  );
  return filled.length === titles.length;
}
