import type { ComponentChildren } from 'preact';

interface WithinProps {
  x: number;
  y: number;
  width: number;
  height: number;
  children: ComponentChildren;
}

/** Shows what fits. A text that is cut here is still whole for whoever reads the page aloud. */
export function Within({ children, ...place }: WithinProps) {
  return <svg {...place}>{children}</svg>;
}
