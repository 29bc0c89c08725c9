// Queries that repeat. What is shown stays until something fresher is there, whatever the
// server does.

import { createContext } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';

import { ApiError, ConnectionLost, fetchRows, fetchStatus, SessionEnded } from './api';
import type { Query, Rows, Status } from './api';
import { isTroubled, report } from './health';
import type { Trouble } from './health';
import { RANGES } from './route';
import type { Route } from './route';

export const REFRESH_MS = 5_000;
const KEPT_ANSWERS = 40;

/** The time that the page shows. A fresh object asks every query for a fresh answer. */
export interface Window {
  from: number;
  to: number;
  /** Drawn on a chart, rather than chosen from the presets. */
  drawn: boolean;
  /** The same for windows that a user would call the same. */
  key: string;
}

export interface Answer<R> {
  rows: R[];
  window: Window;
}

export interface Live<R> {
  answer: Answer<R> | undefined;
  /** The answer is to an earlier question, and the one to this is under way. */
  stale: boolean;
  /** It was answered once, or refused. */
  settled: boolean;
}

/** Asks all queries again, as after a change. */
export const RefreshContext = createContext<() => void>(() => undefined);

export const StatusContext = createContext<Status | undefined>(undefined);

export const WindowContext = createContext<Window>({ from: 0, to: 0, drawn: false, key: '' });

function windowOf(route: Route): Window {
  const to = route.to ?? Date.now();
  const from = route.from ?? to - RANGES[route.range].ms;
  return { from, to, drawn: route.from !== null, key: `${route.from ?? route.range}/${route.to ?? 'live'}` };
}

/** The window of the route, moved on every few seconds unless paused. */
export function useWindow(route: Route): [Window, () => void] {
  const [window, setWindow] = useState(() => windowOf(route));
  const paused = route.to !== null;
  useEffect(() => {
    const move = () => setWindow(windowOf(route));
    const tick = () => {
      // A paused page asks again only if it has been refused.
      if (!document.hidden && (!paused || isTroubled())) move();
    };
    const timer = setInterval(tick, REFRESH_MS);
    document.addEventListener('visibilitychange', tick);
    move();
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', tick);
    };
  }, [route.range, route.from, route.to]);
  return [window, () => setWindow(windowOf(route))];
}

const answers = new Map<string, Answer<unknown>>();

function keep(key: string, answer: Answer<unknown>) {
  answers.delete(key);
  answers.set(key, answer);
  const oldest = answers.keys().next().value;
  if (answers.size > KEPT_ANSWERS && oldest !== undefined) answers.delete(oldest);
}

interface Flight {
  key: string;
  abort: AbortController;
}

interface Shown<R> {
  subject: string;
  key: string;
  answer: Answer<R>;
}

/** The rows of a query in the page's window, asked again with each move of it. */
export function useQuery<N extends keyof Rows>(query: Query<N>): Live<Rows[N]> {
  const window = useContext(WindowContext);
  // Answers about one subject may stand in for each other while a fresh one is under way.
  const subject = `${query.name}/${query.function ?? ''}`;
  const key = JSON.stringify([query, window.key]);
  const shown = useRef<Shown<Rows[N]> | null>(null);
  const flight = useRef<Flight | null>(null);
  const [source] = useState(() => Symbol(query.name));
  const [count, setCount] = useState(0);

  useEffect(() => {
    // A slow answer is waited for, not asked for once more.
    if (flight.current?.key === key) return;
    flight.current?.abort.abort();
    const mine: Flight = { key, abort: new AbortController() };
    const { signal } = mine.abort;
    flight.current = mine;
    fetchRows(query, window.from, window.to, signal)
      .then((rows) => {
        const answer = { rows, window };
        keep(key, answer);
        shown.current = { subject, key, answer };
        report(source, 'ok');
      })
      .catch((error: unknown) => {
        if (!signal.aborted) report(source, troubleOf(error));
      })
      .finally(() => {
        if (flight.current === mine) flight.current = null;
        if (!signal.aborted) setCount((n) => n + 1);
      });
  }, [key, window]);

  useEffect(
    () => () => {
      flight.current?.abort.abort();
      report(source, 'ok');
    },
    [],
  );

  const current = shown.current;
  if (current?.key === key) return { answer: current.answer, stale: false, settled: true };
  const kept = answers.get(key) as Answer<Rows[N]> | undefined;
  if (kept) return { answer: kept, stale: false, settled: true };
  const earlier = current?.subject === subject ? current.answer : undefined;
  return { answer: earlier, stale: true, settled: count > 0 };
}

/** What is no query, asked again every few seconds, while paused too. */
export function useRepeated<T>(
  name: string,
  fetchIt: (signal: AbortSignal) => Promise<T>,
): T | undefined {
  const [answer, setAnswer] = useState<T>();
  useEffect(() => {
    const source = Symbol(name);
    const abort = new AbortController();
    const ask = () => {
      if (document.hidden) return;
      fetchIt(abort.signal)
        .then((fresh) => {
          setAnswer(fresh);
          report(source, 'ok');
        })
        .catch((error: unknown) => {
          if (!abort.signal.aborted) report(source, troubleOf(error));
        });
    };
    ask();
    const timer = setInterval(ask, REFRESH_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
      report(source, 'ok');
    };
  }, []);
  return answer;
}

/** The collector's own state. */
export const useStatus = (): Status | undefined => useRepeated('status', fetchStatus);

function troubleOf(error: unknown): Trouble {
  if (error instanceof ConnectionLost) return { kind: 'lost', message: error.message };
  if (error instanceof SessionEnded) return { kind: 'ended', message: error.message };
  if (error instanceof ApiError) return { kind: 'refused', message: error.message };
  return { kind: 'refused', message: String(error) };
}
