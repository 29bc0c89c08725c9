// Muting an issue: why, and for how long. The dialog is the browser's own: it keeps the focus, and
// Escape closes it.

import { useContext, useEffect, useRef, useState } from 'preact/hooks';

import { mute, unmute } from '../api';
import type { IssueRow } from '../api';
import { absolute } from '../format';
import { RefreshContext } from '../live';
import { splitFunction } from '../names';

const HOUR_MS = 3_600_000;
const ENDS = [
  ['1', '1 hour'],
  ['24', '24 hours'],
  ['168', '7 days'],
  ['720', '30 days'],
] as const;
const WITH_VERSION = 'version';

export function muteInWords(row: IssueRow): string {
  const ends = [
    row.muted_until_ms > 0 && `until ${absolute(row.muted_until_ms)}`,
    row.muted_version && `while its version is ${row.muted_version}`,
  ].filter(Boolean);
  return `Muted ${ends.join(', or ')}: ${row.muted_reason}`;
}

export function MuteControl({ row }: { row: IssueRow }) {
  const refresh = useContext(RefreshContext);
  const [open, setOpen] = useState(false);
  const [error, setError] = useState('');
  const { short } = splitFunction(row.function);
  if (row.state === 'muted') {
    const end = () =>
      void unmute(row).then(refresh, (e: unknown) => setError(e instanceof Error ? e.message : ''));
    return (
      <button type="button" class="button mute" title={error || muteInWords(row)} onClick={end}>
        Unmute<span class="sr-only"> {short.slice(0, 100)}</span>
      </button>
    );
  }
  return (
    <>
      <button type="button" class="button mute" onClick={() => setOpen(true)}>
        Mute…<span class="sr-only"> {short.slice(0, 100)}</span>
      </button>
      {open && <MuteDialog row={row} onClose={() => setOpen(false)} />}
    </>
  );
}

function MuteDialog({ row, onClose }: { row: IssueRow; onClose: () => void }) {
  const refresh = useContext(RefreshContext);
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState('');
  const [end, setEnd] = useState<string>('168');
  const [error, setError] = useState('');
  useEffect(() => dialog.current?.showModal(), []);
  const send = (event: Event) => {
    event.preventDefault();
    const { service, function: name } = row;
    const until =
      end === WITH_VERSION
        ? { version: row.last_version }
        : { until_ms: Date.now() + Number(end) * HOUR_MS };
    mute({ service, function: name, reason, ...until }).then(
      () => {
        dialog.current?.close();
        refresh();
      },
      (e: unknown) => setError(e instanceof Error ? e.message : String(e)),
    );
  };
  return (
    // A click or a key in it is not one on the row behind it.
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="mute-title"
      onClose={onClose}
      onClick={(event: Event) => event.stopPropagation()}
      onKeyDown={(event: Event) => event.stopPropagation()}
    >
      <form onSubmit={send}>
        <h2 id="mute-title">
          Mute <bdi>{splitFunction(row.function).short}</bdi>
        </h2>
        <label>
          Why?
          <input
            name="reason"
            required
            maxLength={500}
            value={reason}
            placeholder="A ticket, or what is known"
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <label>
          For how long?
          <select name="end" value={end} onChange={(event) => setEnd(event.currentTarget.value)}>
            {ENDS.map(([hours, words]) => (
              <option key={hours} value={hours}>
                {words}
              </option>
            ))}
            {row.last_version && (
              <option value={WITH_VERSION}>until its version is not {row.last_version.slice(0, 40)}</option>
            )}
          </select>
        </label>
        <p class="dim">It leaves the list, for everybody. Alerts are not muted.</p>
        {error && (
          <p class="dialog-error" role="alert">
            {error}
          </p>
        )}
        <p class="actions">
          <button type="submit" class="button primary">
            Mute
          </button>
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
        </p>
      </form>
    </dialog>
  );
}
