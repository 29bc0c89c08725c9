/** Stands until the first answer comes; it appears late: a fast answer leaves no flicker. */
export function Waiting({ title }: { title: string }) {
  return (
    <div class="waiting" aria-busy="true">
      <h1 class="sr-only" tabIndex={-1}>
        {title}
      </h1>
      <p>Asking the collector…</p>
    </div>
  );
}
