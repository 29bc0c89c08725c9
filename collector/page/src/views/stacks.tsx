// What the threads were doing while one function blocked them.

import { adviceUrl } from '../api';
import type { StackRow } from '../api';
import { count, duration, share } from '../format';
import { useQuery } from '../live';
import { CauseTag, CopiedId, Name } from '../parts/cells';
import { useTurn } from '../parts/turn';

const LIMIT = 5;

interface Subject {
  function: string;
  service: string;
}

export function Stacks(subject: Subject) {
  const { answer, stale, settled } = useQuery({ name: 'stacks', ...subject, limit: LIMIT });
  const rows = answer?.rows ?? [];
  const isShown = useTurn(3, settled);
  // A sender without stacks has none to show, and needs no word about it.
  if (!isShown || rows.length === 0) return null;
  const total = rows.reduce((sum, row) => sum + row.blocked_ns, 0);
  return (
    <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
      <h2 id="stacks">Stacks while blocked</h2>
      {rows.map((row, index) => (
        <Stack key={row.stack_id} row={row} total={total} open={index === 0} />
      ))}
    </section>
  );
}

function Stack({ row, total, open }: { row: StackRow; total: number; open: boolean }) {
  return (
    <details class="stack" open={open}>
      <summary>
        <strong>{duration(row.blocked_ns)}</strong> <span>{share(row.blocked_ns, total)}</span>{' '}
        <span>{count(row.calls)} polls</span> <CauseTag of={row.cause} />{' '}
        {row.blame_function && <Name of={row.blame_function} class="mono" />}
      </summary>
      <Frames row={row} />
    </details>
  );
}

/** A stack with what to write instead. */
export function Frames({ row }: { row: StackRow }) {
  // Further out the same name may stand again, as what called it.
  const blamed = row.frames.findIndex((frame) => isBlamed(frame, row));
  return (
    <>
      {row.advice && (
        <p class="advice">
          {row.advice.sentence} <a href={adviceUrl(row.advice)}>About {row.advice.id}</a>
        </p>
      )}
      {row.frames.length === 0 ? (
        <p class="none">Its frames are not stored.</p>
      ) : (
        <ol class="frames" tabIndex={0} aria-label="Frames, leaf first">
          {row.frames.map((frame, index) => (
            // Frames of a recursion are equal: only their place tells them apart.
            <li key={index} class={index === blamed ? 'blamed' : ''}>
              <bdi class="mono">{frame}</bdi>
              {index === blamed && <span class="badge badge-hot">blamed</span>}
            </li>
          ))}
        </ol>
      )}
      <p class="stack-id">
        stack <CopiedId id={row.stack_id} what="stack's id" />
      </p>
    </>
  );
}

/** A frame may have its file and line behind its name. */
function isBlamed(frame: string, row: StackRow): boolean {
  const name = row.blame_function;
  return name !== '' && (frame === name || frame.startsWith(`${name} `));
}
