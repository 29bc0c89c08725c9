// A table whose columns sort by click and by key.

import type { ComponentChildren } from 'preact';
import { useLayoutEffect } from 'preact/hooks';

import { sorted, turned } from '../sort';
import type { Sort, SortKey } from '../sort';

export interface Column<R> {
  id: string;
  label: string;
  /** What the column means, for its header's tooltip. */
  hint?: string;
  numeric?: boolean;
  /** The least width of the page that shows the column: 720, 1000, 1200 or 1500 px. */
  from?: 'medium' | 'large' | 'wide' | 'huge';
  sortBy?: (row: R) => SortKey;
  cell: (row: R) => ComponentChildren;
}

interface TableProps<R> {
  caption: string;
  className: string;
  columns: Column<R>[];
  rows: readonly R[];
  rowKey: (row: R) => string;
  sort?: Sort;
  onSort?: (sort: Sort) => void;
  onOpen?: (row: R) => void;
  mark?: (row: R) => string;
}

const classOf = <R,>(c: Column<R>) =>
  `c-${c.id}${c.numeric ? ' num' : ''}${c.from ? ` from-${c.from}` : ''}`;

export function Table<R>(props: TableProps<R>) {
  const { columns, sort, onSort, onOpen } = props;
  useKeptFocus();
  const by = columns.find((c) => c.id === sort?.column)?.sortBy;
  const rows = sort && by ? sorted(props.rows, by, sort.descending) : props.rows;
  return (
    <table class={`table ${props.className}`} onKeyDown={onOpen && moveBetweenRows}>
      <caption class="sr-only">{props.caption}</caption>
      <thead>
        <tr>
          {columns.map((c) => (
            <Head key={c.id} column={c} sort={sort} onSort={onSort} />
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr
            key={props.rowKey(row)}
            class={`${onOpen ? 'opens ' : ''}${props.mark?.(row) ?? ''}`}
            onClick={onOpen && ((event: MouseEvent) => openFromRow(event, () => onOpen(row)))}
          >
            {columns.map((c) => (
              <td key={c.id} class={classOf(c)}>
                {c.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface HeadProps<R> {
  column: Column<R>;
  sort: Sort | undefined;
  onSort: ((sort: Sort) => void) | undefined;
}

function Head<R>({ column: c, sort, onSort }: HeadProps<R>) {
  if (!sort || !onSort || !c.sortBy) {
    return (
      <th scope="col" class={classOf(c)} title={c.hint}>
        {c.label}
      </th>
    );
  }
  const active = sort.column === c.id;
  const order = sort.descending ? 'descending' : 'ascending';
  return (
    <th scope="col" class={classOf(c)} aria-sort={active ? order : undefined}>
      <button
        type="button"
        class="sort"
        title={c.hint}
        onClick={() => onSort(turned(sort, c.id, c.numeric === true))}
      >
        {c.label}
        <svg class={active ? 'arrow on' : 'arrow'} viewBox="0 0 8 8" aria-hidden="true">
          <path d={active && !sort.descending ? 'M1 5.5 4 2l3 3.5z' : 'M1 2.5 4 6l3-3.5z'} />
        </svg>
      </button>
    </th>
  );
}

/** A row that moves takes the focus in it along. */
function useKeptFocus() {
  const focused = document.activeElement;
  useLayoutEffect(() => {
    if (
      focused instanceof HTMLElement &&
      focused !== document.activeElement &&
      focused.isConnected
    ) {
      focused.focus({ preventScroll: true });
    }
  });
}

/** A click anywhere in the row opens it, unless it ends a selection or meets a control. */
function openFromRow(event: MouseEvent, open: () => void) {
  const onControl = event.target instanceof Element && event.target.closest('a, button');
  if (!onControl && !getSelection()?.toString()) open();
}

function moveBetweenRows(event: KeyboardEvent) {
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  const link = event.target;
  if (!step || !(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
  const row = link.closest('tbody tr');
  const next = step > 0 ? row?.nextElementSibling : row?.previousElementSibling;
  const target = next?.querySelector('a');
  if (!target) return;
  event.preventDefault();
  target.focus();
}
