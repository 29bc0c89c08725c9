// What went wrong with each request last, for the banner on top of the page.

import { useEffect, useState } from 'preact/hooks';

export interface Trouble {
  /** No answer at all, rather than one that says what is wrong. */
  lost: boolean;
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

/** A lost connection, or else the distinct messages. */
export function useTroubles(): { lost: boolean; messages: string[] } {
  const [, setCount] = useState(0);
  useEffect(() => {
    const listener = () => setCount((n) => n + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  const all = [...troubles.values()];
  const messages = all.filter((t) => !t.lost).map((t) => t.message);
  return { lost: all.some((t) => t.lost), messages: [...new Set(messages)] };
}
