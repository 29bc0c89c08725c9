import type { ComponentChildren } from 'preact';

import { routeHref, useRouter } from '../route';
import type { Route } from '../route';

interface LinkProps {
  to: Route;
  class?: string;
  title?: string;
  current?: 'page' | 'true' | undefined;
  children: ComponentChildren;
}

/** A link within the page; a click with a modifier stays the browser's. */
export function Link({ to, class: className, title, current, children }: LinkProps) {
  const { go } = useRouter();
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)
      return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={routeHref(to)} class={className} title={title} aria-current={current} onClick={follow}>
      {children}
    </a>
  );
}
