import { useEffect, useRef } from 'preact/hooks';

import { RefreshContext, StatusContext, useStatus, useWindow, WindowContext } from './live';
import { splitFunction } from './names';
import { Banner, Footer, TopBar } from './parts/shell';
import { RouterContext, useLocation } from './route';
import type { Route, View } from './route';
import { AlertsView } from './views/alerts';
import { EpisodeView } from './views/episode';
import { FunctionView } from './views/function';
import { FunctionsView } from './views/functions';
import { LiveView } from './views/live';
import { ServicesView } from './views/services';
import { SuspectsView } from './views/suspects';
import { SystemView } from './views/system';

const VIEWS: Record<View, { title: (route: Route) => string; show: () => preact.JSX.Element }> = {
  functions: { title: () => 'Issues', show: FunctionsView },
  function: { title: (route) => splitFunction(route.function).short, show: FunctionView },
  episode: {
    title: (route) => `Episode of ${splitFunction(route.function).short}`,
    show: EpisodeView,
  },
  live: { title: () => 'Live', show: LiveView },
  services: { title: () => 'Services', show: ServicesView },
  suspects: { title: () => 'Suspects', show: SuspectsView },
  alerts: { title: () => 'Alerts', show: AlertsView },
  system: { title: () => 'System', show: SystemView },
};

export function App() {
  const router = useLocation();
  const { route } = router;
  const [window, refresh] = useWindow(route);
  const status = useStatus();
  const { title, show: View } = VIEWS[route.view];
  const place = `${route.view}/${route.function}/${route.episode}`;
  const main = useArrival(place, `${title(route)} · Holdup`);
  return (
    <RouterContext.Provider value={router}>
      <WindowContext.Provider value={window}>
        <RefreshContext.Provider value={refresh}>
          <StatusContext.Provider value={status}>
            <TopBar window={window} />
            <Banner window={window} />
            <main ref={main}>
              <View key={place} />
            </main>
            <Footer status={status} />
          </StatusContext.Provider>
        </RefreshContext.Provider>
      </WindowContext.Provider>
    </RouterContext.Provider>
  );
}

/** Tells a screen reader, and the keyboard, that another view has come. */
function useArrival(place: string, title: string) {
  const main = useRef<HTMLElement>(null);
  const before = useRef(place);
  useEffect(() => {
    document.title = title.slice(0, 200);
    if (before.current === place) return;
    before.current = place;
    main.current?.querySelector('h1')?.focus({ preventScroll: true });
  }, [place, title]);
  return main;
}
