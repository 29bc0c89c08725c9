// Sections below each other come from top to bottom, whichever answer comes first: what is shown stays
// where it is, so that a click that is on its way arrives.

import { createContext } from 'preact';
import type { ComponentChildren } from 'preact';
import { useContext, useLayoutEffect, useState } from 'preact/hooks';

interface Turns {
  settled: ReadonlySet<number>;
  settle: (place: number) => void;
}

const TurnContext = createContext<Turns>({ settled: new Set(), settle: () => undefined });

export function InTurn({ children }: { children: ComponentChildren }) {
  const [settled, setSettled] = useState<ReadonlySet<number>>(new Set());
  const settle = (place: number) =>
    setSettled((before) => (before.has(place) ? before : new Set(before).add(place)));
  return <TurnContext.Provider value={{ settled, settle }}>{children}</TurnContext.Provider>;
}

/** Whether all in the places above have been answered, or refused. Those below are told of this. */
export function useTurn(place: number, isSettled: boolean): boolean {
  const { settled, settle } = useContext(TurnContext);
  useLayoutEffect(() => {
    if (isSettled) settle(place);
  }, [isSettled]);
  return isSettled && Array.from({ length: place }, (_, above) => above).every((n) => settled.has(n));
}
