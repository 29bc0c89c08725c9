// Takes the pictures of docs/terminal.md from `holdup top` as it runs in tmux, against a collector
// that has the demo's data: HOLDUP_PAGE. The command is HOLDUP, or else `holdup`.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from './chromium.mjs';

const FOLDER =
  process.env.HOLDUP_PICTURES ?? fileURLToPath(new URL('../../../docs/pictures/', import.meta.url));
const COLUMNS = 80;
const ROWS = 24;
const PATIENCE_MS = 60_000;

/** Names of pictures, and the keys that lead there, each with what the terminal shows after it. */
const VIEWS = [
  ['functions', [['1', 'FUNCTION']]],
  ['workers', [['3', 'LAST MINUTE']]],
  ['function', [['1', 'FUNCTION'], ['Enter', 'EPISODES']]],
];

/** Colours by number, and what the styles of SGR 1 and 2 are; 7 turns colour and background around. */
const COLOURS = { 31: '#f38ba8' };
const STYLES = { 1: 'font-weight:bold', 2: 'opacity:.6' };
const [PAPER, INK] = ['#1e1e2e', '#cdd6f4'];

const home = mkdtempSync(join(tmpdir(), 'holdup-terminal-'));
const tmux = (...words) =>
  execFileSync('tmux', ['-S', join(home, 'socket'), '-u', ...words], { encoding: 'utf8' });
const browser = await chromium();
try {
  const command = `${process.env.HOLDUP ?? 'holdup'} top`;
  const size = ['-x', `${COLUMNS}`, '-y', `${ROWS}`];
  tmux('-f', '/dev/null', 'new-session', '-d', ...size, command);
  for (const [name, steps] of VIEWS) {
    for (const [key, shown] of steps) {
      tmux('send-keys', key);
      await shows(shown);
    }
    await picture(`terminal-${name}.png`, tmux('capture-pane', '-p', '-e'));
  }
} finally {
  await browser.close();
  tmux('kill-server');
  rmSync(home, { recursive: true });
}

async function shows(text) {
  const end = Date.now() + PATIENCE_MS;
  while (!tmux('capture-pane', '-p').includes(text)) {
    if (Date.now() > end) throw new Error(`no ${text} in\n${tmux('capture-pane', '-p')}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function picture(name, captured) {
  const page = await browser.newPage();
  await page.setViewport({ width: 800, height: 600, deviceScaleFactor: 1.5 });
  const style =
    `margin:0;padding:12px;display:inline-block;background:${PAPER};color:${INK};` +
    'font:14px/1.25 "DejaVu Sans Mono",monospace';
  await page.setContent(`<body style="margin:0"><pre style='${style}'>${html(captured)}</pre>`);
  const screen = await page.$('pre');
  await screen.screenshot({ path: join(FOLDER, name) });
  await page.close();
  process.stderr.write(`${name}\n`);
}

/** Text with its colours and styles. */
function html(captured) {
  const styles = new Map();
  let colour = INK;
  let turned = false;
  const style = () => {
    const drawn = turned ? `background:${colour};color:${PAPER}` : `color:${colour}`;
    return [drawn, ...styles.values()].join(';');
  };
  return captured
    .split(/\x1b\[([\d;]*)m/)
    .map((part, at) => {
      if (at % 2 === 0) return span(part, style());
      for (const code of part.replace('38;5;1', '31').split(';').map(Number)) {
        if (code === 0) {
          styles.clear();
          [colour, turned] = [INK, false];
        } else if (code === 39) colour = INK;
        else if (code === 7) turned = true;
        else if (COLOURS[code]) colour = COLOURS[code];
        else if (STYLES[code]) styles.set(code, STYLES[code]);
      }
      return '';
    })
    .join('');
}

function span(text, style) {
  const escaped = text.replace(/[&<]/g, (c) => (c === '&' ? '&amp;' : '&lt;'));
  return style && text ? `<span style="${style}">${escaped}</span>` : escaped;
}
