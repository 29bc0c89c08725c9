// The whole state of the page lives in the URL's query, so that a link shows a colleague the
// same thing.

import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';

export const VIEWS = [
  'functions',
  'function',
  'episode',
  'live',
  'services',
  'suspects',
  'alerts',
  'system',
] as const;
export type View = (typeof VIEWS)[number];

const MINUTE = 60_000;
export const RANGES = {
  '5m': { label: '5 m', words: '5 minutes', ms: 5 * MINUTE },
  '15m': { label: '15 m', words: '15 minutes', ms: 15 * MINUTE },
  '1h': { label: '1 h', words: 'hour', ms: 60 * MINUTE },
  '6h': { label: '6 h', words: '6 hours', ms: 360 * MINUTE },
  '24h': { label: '24 h', words: '24 hours', ms: 1440 * MINUTE },
  '7d': { label: '7 d', words: '7 days', ms: 10_080 * MINUTE },
} as const;
export type Range = keyof typeof RANGES;

export interface Route {
  view: View;
  /** The function that the view is about. */
  function: string;
  /** The service of that function; `service` is the list's filter, which a way back restores. */
  in: string;
  service: string;
  /** The filter text. */
  q: string;
  /** Which issues: a state, `all`, or empty for those that are open. */
  state: string;
  /** A column's id, with `-` before it for descending. Empty: the view's own order. */
  sort: string;
  range: Range;
  /** Where the range begins when it was drawn rather than chosen; `to` is its end then. */
  from: number | null;
  /** Where the range ends when the page is paused. */
  to: number | null;
  /** What the flame graph is compared with: `before`, or `v:` and a version. */
  versus: string;
  /** The version that the flame graph shows; empty for all. */
  version: string;
  /** The frame that the flame graph is turned around. */
  frame: string;
  /** A region of the heatmap: two times and two durations. */
  pick: string;
  /** An episode's id, and its instance. */
  episode: string;
  instance: string;
}

const START: Route = {
  view: 'functions',
  function: '',
  in: '',
  service: '',
  q: '',
  state: '',
  sort: '',
  range: '15m',
  from: null,
  to: null,
  versus: '',
  version: '',
  frame: '',
  pick: '',
  episode: '',
  instance: '',
};

export function parseRoute(search: string): Route {
  const p = new URLSearchParams(search);
  const text = (key: string) => p.get(key) ?? '';
  const range = text('range');
  const to = moment(p.get('to'));
  const from = moment(p.get('from'));
  const view = VIEWS.find((v) => v === text('view')) ?? START.view;
  return {
    view: (view === 'function' || view === 'episode') && !text('function') ? START.view : view,
    function: text('function'),
    in: text('in'),
    service: text('service'),
    q: text('q'),
    state: text('state'),
    sort: text('sort'),
    range: Object.hasOwn(RANGES, range) ? (range as Range) : START.range,
    from: from !== null && to !== null && from < to ? from : null,
    to,
    versus: text('versus'),
    version: text('version'),
    frame: text('frame'),
    pick: text('pick'),
    episode: text('episode'),
    instance: text('instance'),
  };
}

function moment(text: string | null): number | null {
  const ms = Number(text);
  return Number.isSafeInteger(ms) && ms > 0 ? ms : null;
}

export function routeHref(route: Route): string {
  const p = new URLSearchParams();
  for (const key of Object.keys(START) as (keyof Route)[]) {
    const value = route[key];
    if (value !== START[key] && value !== null) p.set(key, String(value));
  }
  return `?${p.toString()}`;
}

/** The way to another view: the time stays, the list's filters belong to the list. */
export function toView(route: Route, view: View): Route {
  return { ...START, view, range: route.range, from: route.from, to: route.to };
}

export interface Router {
  route: Route;
  /** A step that "back" undoes. */
  go: (route: Route) => void;
  /** A change in place, as with each letter of a filter. */
  replace: (route: Route) => void;
}

export const RouterContext = createContext<Router>({
  route: START,
  go: () => undefined,
  replace: () => undefined,
});

export const useRouter = () => useContext(RouterContext);

export function useLocation(): Router {
  const [route, setRoute] = useState(() => parseRoute(location.search));
  useEffect(() => {
    const read = () => setRoute(parseRoute(location.search));
    addEventListener('popstate', read);
    return () => removeEventListener('popstate', read);
  }, []);
  const write = (method: 'pushState' | 'replaceState') => (to: Route) => {
    const href = routeHref(to);
    history[method](null, '', href === '?' ? location.pathname : href);
    // A view that is gone to begins at its top; on the way back the browser finds the old place.
    if (to.view !== route.view || to.function !== route.function) scrollTo(0, 0);
    setRoute(to);
  };
  return { route, go: write('pushState'), replace: write('replaceState') };
}
