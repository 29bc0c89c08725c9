// Order and filter of the lists, as the URL tells them.

export type SortKey = number | string;

export interface Sort {
  column: string;
  descending: boolean;
}

export function parseSort(text: string, fallback: string): Sort {
  const spec = text || fallback;
  return spec.startsWith('-')
    ? { column: spec.slice(1), descending: true }
    : { column: spec, descending: false };
}

export const sortText = (sort: Sort) => (sort.descending ? `-${sort.column}` : sort.column);

/** A column's first order: the largest number first, names from A. */
export function turned(sort: Sort, column: string, numeric: boolean): Sort {
  if (sort.column !== column) return { column, descending: numeric };
  return { column, descending: !sort.descending };
}

/** A sorted copy; rows that compare equal keep the order they came in. */
export function sorted<R>(rows: readonly R[], key: (row: R) => SortKey, descending: boolean): R[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => sign * compare(key(a), key(b)));
}

function compare(a: SortKey, b: SortKey): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const x = String(a);
  const y = String(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Whether each word of the filter is in one of the texts. */
export function matches(filter: string, texts: readonly string[]): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const all = texts.join('\n').toLowerCase();
  return words.every((word) => all.includes(word));
}

/** The order of names that end in numbers: `worker 2` before `worker 10`. */
export const byNumber = (a: string, b: string): number =>
  a.localeCompare(b, 'en', { numeric: true });
