import assert from 'node:assert/strict';
import { test } from 'node:test';

import { source } from './source.mjs';

const { parseRoute, routeHref, toView } = await source('route.ts');
const sort = await source('sort.ts');
const trend = await source('trend.ts');

test('a route survives its own URL', () => {
  const search =
    '?view=function&function=a%3A%3A%3Cb%3E%26c&in=x+y&service=s&q=%25' +
    '&sort=-calls&range=7d&to=1700000000000';
  assert.equal(routeHref(parseRoute(search)), search);
  assert.equal(parseRoute(search).function, 'a::<b>&c');
  assert.equal(routeHref(parseRoute('')), '?');
});

test('what a URL may not say falls back to the start', () => {
  const route = parseRoute('?view=constructor&range=toString&to=-5');
  assert.deepEqual([route.view, route.range, route.to], ['functions', '15m', null]);
  assert.equal(parseRoute('?view=function').view, 'functions');
});

test('another view keeps the time and drops the filters', () => {
  const route = toView(parseRoute('?q=a&service=b&range=1h&to=5'), 'services');
  assert.equal(routeHref(route), '?view=services&range=1h&to=5');
});

test('a column turns from its natural order to the other', () => {
  const start = sort.parseSort('', '-blocked_ns');
  assert.deepEqual(start, { column: 'blocked_ns', descending: true });
  assert.equal(sort.sortText(sort.turned(start, 'blocked_ns', true)), 'blocked_ns');
  assert.equal(sort.sortText(sort.turned(start, 'function', false)), 'function');
  assert.equal(sort.sortText(sort.turned(start, 'calls', true)), '-calls');
});

test('sorting is stable both ways', () => {
  const rows = [
    ['a', 1],
    ['b', 2],
    ['c', 1],
  ];
  const names = (descending) =>
    sort
      .sorted(rows, (r) => r[1], descending)
      .map((r) => r[0])
      .join('');
  assert.equal(names(false), 'acb');
  assert.equal(names(true), 'bac');
});

test('numbers in names are in order', () => {
  const names = ['worker 10', 'worker 2', 'thread 7'];
  assert.deepEqual(names.sort(sort.byNumber), ['thread 7', 'worker 2', 'worker 10']);
});

test('each word of a filter has to be somewhere', () => {
  assert.ok(sort.matches('CART  shop', ['shop::cart', 'demo']));
  assert.ok(sort.matches('', ['x']));
  assert.ok(!sort.matches('cart other', ['shop::cart', 'demo']));
});

test('bins keep the sum of what is in the range', () => {
  const bins = trend.binned(
    [
      [0, 60],
      [60, 30],
    ],
    60,
    0,
    120,
    7,
  );
  assert.ok(Math.abs(bins.reduce((a, b) => a + b, 0) - 90) < 1e-9);
  assert.deepEqual(
    trend.binned([[0, 60]], 60, 30, 60, 1),
    [60],
    'a step that is cut keeps its time',
  );
  assert.deepEqual(trend.binned([[500, 60]], 60, 0, 120, 2), [0, 0]);
});

test('the step is what all distances are multiples of, within bounds', () => {
  const minutes = (...list) => list.map((m) => [m * 60_000, 1]);
  const quarter = 15 * 60_000;
  const day = 96 * quarter;
  assert.equal(trend.stepOf([minutes(0, 36), minutes(108)], 0, day), 36 * 60_000);
  assert.equal(trend.stepOf([minutes(0, 4), minutes(6)], 0, day), 2 * 60_000);
  assert.equal(trend.stepOf([minutes(3, 13)], 0, quarter), 60_000, 'far apart in a short range');
  assert.equal(trend.stepOf([minutes(3)], 0, quarter), 60_000, 'one point');
  assert.equal(trend.stepOf([], 0, day), 36 * 60_000, 'none');
});

test('trends add up by step', () => {
  const sum = trend.addTrends([
    [[60, 1]],
    [
      [0, 5],
      [60, 2],
    ],
  ]);
  assert.deepEqual(sum, [
    [0, 5],
    [60, 3],
  ]);
});

test('marks of the scales are round and hold the largest value', () => {
  assert.deepEqual(trend.durationTicks(2.5e9, 4), [0, 1e9, 2e9, 3e9]);
  assert.ok(trend.durationTicks(9e15, 4).at(-1) >= 9e15);
  const ticks = trend.timeTicks(0, 900_000, 8);
  assert.ok(ticks.length <= 8 && ticks.every(({ at, step }) => at % step === 0));
});
