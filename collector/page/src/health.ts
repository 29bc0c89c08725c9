// What went wrong with each request last, for the banner on top of the page.

import { useEffect, useState } from 'preact/hooks';

export interface Trouble {
  /** No answer at all, none without a login, or one that says what is wrong. */
  kind: 'lost' | 'ended' | 'refused';
  message: string;
}

const troubles = new Map<symbol, Trouble>();
const listeners = new Set<() => void>();

/** The outcome of a source's last request; `ok` also when nobody looks at it. */
export function report(source: symbol, outcome: 'ok' | Trouble) {
  if (outcome === 'ok') {
    if (!troubles.delete(source)) return;
  } else {
    troubles.set(source, outcome);
  }
  for (const listener of listeners) listener();
}

export const isTroubled = () => troubles.size > 0;

/** A session that has ended, a lost connection, or else the distinct messages. */
export function useTroubles(): { ended: boolean; lost: boolean; messages: string[] } {
  const [, setCount] = useState(0);
  useEffect(() => {
    const listener = () => setCount((n) => n + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  const all = [...troubles.values()];
  const ended = all.some((t) => t.kind === 'ended');
  const lost = !ended && all.some((t) => t.kind === 'lost');
  const messages = all.filter((t) => t.kind === 'refused').map((t) => t.message);
  return { ended, lost, messages: ended || lost ? [] : [...new Set(messages)] };
}
