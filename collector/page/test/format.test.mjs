import assert from 'node:assert/strict';
import { test } from 'node:test';

import { source } from './source.mjs';

// Read by Date, in this process only.
process.env.TZ = 'Asia/Kolkata';
const format = await source('format.ts');
const { splitFunction, causeInWords } = await source('names.ts');

test('durations keep three digits and change their unit after rounding', () => {
  const cases = [
    [null, '–'],
    [undefined, '–'],
    [NaN, '–'],
    [0, '0'],
    [850, '850 ns'],
    [1_234, '1.23 µs'],
    [45_600_000, '45.6 ms'],
    [999_400_000, '999 ms'],
    [999_600_000, '1.00 s'],
    [59_940_000_000, '59.9 s'],
    [59_960_000_000, '1 min'],
    [125e9, '2 min 5 s'],
    [3599.6e9, '1 h'],
    [5400e9, '1 h 30 min'],
    [90_000e9, '1 d 1 h'],
    [86_399.9e9, '1 d'],
  ];
  for (const [ns, text] of cases) assert.equal(format.duration(ns), text, `of ${ns}`);
  assert.equal(format.durationMs(1500), '1.50 s');
  assert.equal(format.durationMs(null), '–');
});

test('relative times count down to "just now", also for clocks that run ahead', () => {
  const now = 1_700_000_000_000;
  const cases = [
    [0, 'just now'],
    [-5_000, 'just now'],
    [12_000, '12 s ago'],
    [59_999, '59 s ago'],
    [60_000, '1 min ago'],
    [3_600_000, '1 h ago'],
    [200_000_000, '2 d ago'],
  ];
  for (const [age, text] of cases) assert.equal(format.relative(now - age, now), text, `of ${age}`);
  assert.equal(format.relative(0, now), '–');
});

test('absolute times tell their zone', () => {
  const at = Date.UTC(2026, 2, 1, 8, 33, 21, 7);
  assert.equal(format.absolute(at), '2026-03-01 14:03:21.007 +05:30');
  assert.equal(format.timeOfDay(at, at), '14:03:21.007');
  assert.equal(format.timeOfDay(at, at + 86_400_000), '03-01 14:03:21.007');
  assert.equal(format.clock(at), '14:03:21');
});

test('counts and shares', () => {
  assert.equal(format.count(999_999), '999,999');
  assert.equal(format.count(1_234_567), '1.23 M');
  assert.equal(format.count(999_600_000), '1.00 G');
  assert.equal(format.plural(1, 'poll'), '1 poll');
  assert.equal(format.plural(0, 'poll'), '0 polls');
  assert.equal(format.share(1, 0), '–');
  assert.equal(format.share(0, 10), '0.0 %');
  assert.equal(format.share(1, 100_000), '<0.1 %');
  assert.equal(format.share(996, 10_000), '10 %');
  assert.equal(format.share(10, 10), '100 %');
});

test('a function keeps its type, and loses its modules to the path', () => {
  const cases = [
    ['main', 'main', ''],
    ['shop::cart::add', 'add', 'shop::cart'],
    ['shop::cart::Cart::add', 'Cart::add', 'shop::cart'],
    ['<a::B<c::D> as e::F>::run', '<a::B<c::D> as e::F>::run', ''],
    ['shop::call<fn(a::B) -> c::D>', 'call<fn(a::B) -> c::D>', 'shop'],
    ['', '', ''],
    ['::', '::', ''],
  ];
  for (const [full, short, path] of cases)
    assert.deepEqual(splitFunction(full), { short, path }, full);
});

test('every cause has words, and what is not a cause is shown as it is', () => {
  assert.equal(causeInWords('net').label, 'network');
  assert.equal(causeInWords('').label, 'unknown');
  assert.equal(causeInWords('constructor').label, 'constructor');
});
