// Numbers and times as people read them. The forms are fixed rather than the browser's locale's, so
// that a picture in a ticket reads the same for everybody.

const MS = 1e6;
const SECOND = 1e9;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const NOTHING = '–';

/** `1.23 s`, `45.6 ms`, `2 min 5 s`: three significant digits, or two units. */
export function duration(ns: number | null | undefined): string {
  if (ns == null || !Number.isFinite(ns)) return NOTHING;
  if (ns <= 0) return '0';
  // Rounding comes before the choice of the unit: 999.6 ms is 1.00 s.
  const rounded = Number(ns.toPrecision(3));
  if (rounded < 1e3) return `${Math.round(ns)} ns`;
  if (rounded < MS) return `${digits(rounded / 1e3)} µs`;
  if (rounded < SECOND) return `${digits(rounded / MS)} ms`;
  if (rounded < MINUTE) return `${digits(rounded / SECOND)} s`;
  if (ns < HOUR - SECOND / 2) return twoUnits(ns, MINUTE, 'min', SECOND, 's');
  if (ns < DAY - MINUTE / 2) return twoUnits(ns, HOUR, 'h', MINUTE, 'min');
  return twoUnits(ns, DAY, 'd', HOUR, 'h');
}

/** The same for milliseconds. */
export function durationMs(ms: number | null | undefined): string {
  return duration(ms == null ? ms : ms * MS);
}

function digits(value: number): string {
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : value.toFixed(0);
}

function twoUnits(ns: number, big: number, bigName: string, small: number, smallName: string) {
  const smalls = Math.round(ns / small);
  const perBig = big / small;
  const rest = smalls % perBig;
  const head = `${Math.floor(smalls / perBig)} ${bigName}`;
  return rest === 0 ? head : `${head} ${rest} ${smallName}`;
}

/** `12 s ago`. A time ahead of this clock, as another host's may be, is `just now`. */
export function relative(ms: number | null | undefined, now: number): string {
  if (!ms) return NOTHING;
  const seconds = Math.floor((now - ms) / 1000);
  if (seconds < 2) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

const two = (n: number) => String(n).padStart(2, '0');

/** `2026-03-01 14:03:21.532 +01:00`, in the browser's time zone. */
export function absolute(ms: number | null | undefined): string {
  if (!ms) return NOTHING;
  const t = new Date(ms);
  const offset = -t.getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = `${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${day(t)} ${clock(ms, true)} ${sign}${zone}`;
}

/** `14:03:21`, with the date before it when it is another day than `now`'s. */
export function timeOfDay(ms: number | null | undefined, now: number, millis = true): string {
  if (!ms) return NOTHING;
  const t = new Date(ms);
  const sameDay = day(t) === day(new Date(now));
  return sameDay ? clock(ms, millis) : `${day(t).slice(5)} ${clock(ms, millis)}`;
}

/** `14:03:21`, or `14:03:21.532`. */
export function clock(ms: number, millis = false): string {
  const t = new Date(ms);
  const base = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
  return millis ? `${base}.${String(t.getMilliseconds()).padStart(3, '0')}` : base;
}

function day(t: Date): string {
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
}

/** `12,345`, and `1.23 M` where the digits would not fit a column. */
export function count(n: number | null | undefined): string {
  if (n == null) return NOTHING;
  if (n < 1e6) return n.toLocaleString('en-US');
  return n < 999.5e6 ? `${digits(n / 1e6)} M` : `${digits(n / 1e9)} G`;
}

/** `1 poll`, `12 polls`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A part of a whole in percent. */
export function share(part: number, whole: number): string {
  if (whole <= 0) return NOTHING;
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return '<0.1 %';
  return `${percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}
