import assert from 'node:assert/strict';
import { test } from 'node:test';

import { source } from './source.mjs';

const flame = await source('flame.ts');
const heat = await source('heat.ts');

const row = (level, label, value, self = 0) => ({ level, label, value, self });
const ROWS = [
  row(0, 'all', 100),
  row(1, 'start', 100),
  row(2, 'shop::pay', 70),
  row(3, 'sleep', 40, 40),
  row(3, 'shop::pay', 30),
  row(4, 'sleep', 30, 30),
  row(2, 'other', 30, 30),
];
const outline = ({ label, value, children }) => [label, value, ...children.map(outline)];

test('rows become a tree, and a tree boxes side by side', () => {
  const root = flame.treeOf(ROWS);
  assert.deepEqual(outline(root), [
    'all',
    100,
    [
      'start',
      100,
      ['shop::pay', 70, ['sleep', 40], ['shop::pay', 30, ['sleep', 30]]],
      ['other', 30],
    ],
  ]);
  const boxes = flame.boxesOf(root, 0.35).map((b) => [b.node.label, b.left, b.width]);
  assert.deepEqual(boxes, [
    ['all', 0, 1],
    ['start', 0, 1],
    ['shop::pay', 0, 0.7],
    ['sleep', 0, 0.4],
  ]);
  assert.equal(flame.treeOf([]).value, 0);
});

test('a frame is found by its path, and in its place the nearest above it', () => {
  const root = flame.treeOf(ROWS);
  const there = ['start', 'shop::pay', 'shop::pay'];
  assert.equal(flame.nearest(root, there).node.value, 30);
  const gone = flame.nearest(root, ['start', 'other', 'gone']);
  assert.deepEqual([gone.node.label, gone.path], ['other', ['start', 'other']]);
  const boxes = flame.boxesOf(root, 0.35);
  const labelAt = (path) => boxes[flame.boxAt(boxes, path)].node.label;
  assert.equal(labelAt(['start', 'shop::pay', 'sleep']), 'sleep');
  // It is too narrow to be drawn.
  assert.equal(labelAt(['start', 'other']), 'start');
  assert.equal(labelAt(['elsewhere']), 'all');
  const zoomed = flame.nearest(root, ['start', 'shop::pay']);
  assert.deepEqual(
    flame.boxesOf(zoomed.node, 0, zoomed.path).map((b) => b.path.join(' > ')),
    [
      'start > shop::pay',
      'start > shop::pay > sleep',
      'start > shop::pay > shop::pay',
      'start > shop::pay > shop::pay > sleep',
    ],
  );
});

test('a sandwich counts a recursion once', () => {
  const { callers, callees } = flame.sandwich(flame.treeOf(ROWS), 'shop::pay');
  assert.equal(callees.value, 70);
  assert.deepEqual(outline(callers), ['shop::pay', 70, ['start', 70]]);
  const sleep = flame.sandwich(flame.treeOf(ROWS), 'sleep');
  assert.equal(sleep.callees.value, 70);
  assert.deepEqual(outline(sleep.callers)[2], [
    'shop::pay',
    70,
    ['start', 40],
    ['shop::pay', 30, ['start', 30]],
  ]);
});

test('what is further out than the function is left out', () => {
  const inner = flame.trimmed(flame.treeOf(ROWS), 'shop::pay');
  assert.deepEqual(outline(inner).slice(0, 2), ['all', 100]);
  assert.deepEqual(
    inner.children.map((c) => [c.label, c.value]),
    [
      ['shop::pay', 70],
      ['other', 30],
    ],
  );
});

test('frames that changed most come first, as parts of the whole', () => {
  const before = flame.treeOf([row(0, 'all', 10), row(1, 'start', 10), row(2, 'other', 10, 10)]);
  const [first, ...rest] = flame.changes(flame.treeOf(ROWS), before);
  assert.equal(Math.abs(first.after - first.before).toFixed(2), '0.70');
  assert.ok(!rest.some((c) => c.frame === 'start'), 'what is the same is not told');
});

test('a region of the heatmap is what its cells hold', () => {
  const begin = Date.UTC(2026, 0, 1);
  const rows = [
    { time: '2026-01-01 00:00:00', 0.001: 0, 0.0021: 4, '+Inf': 0 },
    { time: '2026-01-01 00:01:00', 0.001: 0, 0.0021: 0, '+Inf': 1 },
  ];
  const one = heat.heatOf(rows, begin, begin + 120_000);
  assert.deepEqual([one.first, one.last, one.most, one.step], [1, 2, 4, 60_000]);
  const region = heat.regionOf(one, { left: 1, right: 1, low: 1, high: 1 });
  const at = Date.UTC(2026, 0, 1, 0, 1);
  assert.deepEqual(region, { from: at, to: at + 60_000, over: 2 ** 20, upTo: 2 ** 21 });
  assert.deepEqual(heat.parsePick(heat.pickText(region)), region);
  const longest = heat.regionOf(one, { left: 0, right: 1, low: 2, high: 2 });
  assert.deepEqual(heat.parsePick(heat.pickText(longest)), longest);
  assert.equal(heat.parsePick('1-2-x-4'), null);
  assert.equal(heat.heatOf([], begin, begin + 120_000), null);
});

test('the heatmap has a column for each step of the range, whether anything was in it or not', () => {
  const at = (minutes) => Date.UTC(2026, 0, 1) + minutes * 60_000;
  const rows = [
    { time: '2026-01-01 00:04:00', 0.001: 2 },
    { time: '2026-01-01 00:09:00', 0.001: 3 },
  ];
  const whole = heat.heatOf(rows, at(1.5), at(11.5));
  assert.deepEqual(whole.times, Array.from({ length: 11 }, (_, i) => at(i + 1)));
  assert.deepEqual(whole.counts.flat(), [0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0]);
  const region = heat.regionOf(whole, { left: 3, right: 3, low: 0, high: 0 });
  assert.deepEqual([region.from, region.to], [at(4), at(5)]);
  // The first may have begun before the range.
  assert.equal(heat.heatOf(rows, at(4.5), at(9.5)).times[0], at(4));
  const held = [at(0), at(3.9), at(4), at(99)].map((ms) => heat.columnAt(whole, ms));
  assert.deepEqual(held, [0, 2, 3, 10]);
});

test('steps of the heatmap are those that the collector answers in', () => {
  const hour = 3_600_000;
  const steps = [1, 12, 24, 30 * 24].map((hours) => heat.stepOfRange(0, hours * hour) / 60_000);
  assert.deepEqual(steps, [2, 18, 60, 18 * 60]);
});
