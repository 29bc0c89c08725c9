// The list's filter text, its service, and on narrow pages its order.

import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

import { plural } from '../format';
import { useQuery } from '../live';
import { useRouter } from '../route';

interface FilterBarProps {
  found: number;
  all: number;
  what: string;
  children?: ComponentChildren;
}

const ORDERS = [
  ['', 'Blocked time'],
  ['-calls', 'Calls'],
  ['-max_ns', 'Worst'],
  ['state', 'State'],
  ['-victims', 'Victims'],
  ['-last_seen_ms', 'Last seen'],
  ['-first_seen_ms', 'First seen'],
  ['function', 'Name'],
] as const;

export function FilterBar({ found, all, what, children }: FilterBarProps) {
  const { route, go, replace } = useRouter();
  const input = useSlashKey();
  const clear = (event: KeyboardEvent) => {
    if (event.key === 'Escape') replace({ ...route, q: '' });
  };
  const order = ORDERS.some(([id]) => id === route.sort) ? route.sort : '';
  return (
    <form class="filters" role="search" onSubmit={(event: Event) => event.preventDefault()}>
      <label class="filter">
        <span class="sr-only">Filter by text</span>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <circle cx="7" cy="7" r="4.5" />
          <path d="m10.5 10.5 3 3" />
        </svg>
        <input
          ref={input}
          type="search"
          name="q"
          placeholder="Filter by function, cause …"
          value={route.q}
          maxLength={200}
          autoComplete="off"
          spellcheck={false}
          onInput={(event) => replace({ ...route, q: event.currentTarget.value })}
          onKeyDown={clear}
        />
        <kbd aria-hidden="true">/</kbd>
      </label>
      {children}
      <ServiceSelect />
      <label class="order">
        <span class="sr-only">Order</span>
        <select
          value={order}
          onChange={(event) => go({ ...route, sort: event.currentTarget.value })}
        >
          {ORDERS.map(([id, label]) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <output class="found">
        {found === all ? plural(all, what) : `${found} of ${plural(all, what)}`}
      </output>
    </form>
  );
}

function ServiceSelect() {
  const { route, go } = useRouter();
  const { answer } = useQuery({ name: 'services' });
  const names = new Set(answer?.rows.map((r) => r.service));
  if (route.service) names.add(route.service);
  return (
    <label class="service">
      <span class="sr-only">Service</span>
      <select
        name="service"
        value={route.service}
        onChange={(event) => go({ ...route, service: event.currentTarget.value })}
      >
        <option value="">All services</option>
        {[...names].sort().map((name) => (
          <option key={name} value={name}>
            {name.length > 60 ? `${name.slice(0, 60)}…` : name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** `/` goes to the filter, as in the tools around. */
function useSlashKey() {
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const typing =
        event.target instanceof Element && event.target.closest('input, select, textarea');
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    addEventListener('keydown', focus);
    return () => removeEventListener('keydown', focus);
  }, []);
  return input;
}
