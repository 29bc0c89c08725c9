// Small pieces that the tables share. Names come from outside: each is isolated from
// the text around it.

import { useEffect, useState } from 'preact/hooks';

import { absolute, duration, NOTHING, relative } from '../format';
import { causeInWords, splitFunction } from '../names';

export function Name({ of, class: className = '' }: { of: string; class?: string }) {
  return (
    <bdi class={`name ${className}`} title={of}>
      {of || NOTHING}
    </bdi>
  );
}

export function FunctionLabel({ of }: { of: string }) {
  const { short, path } = splitFunction(of);
  return (
    <>
      <bdi class="short">{short}</bdi>
      <bdi class="path">{path}</bdi>
    </>
  );
}

export function CauseTag({ of }: { of: string }) {
  const { label, meaning } = causeInWords(of);
  const kind = /^[a-z_]+$/.test(of) ? of : 'unknown';
  return (
    <span class={`cause cause-${kind}`} title={meaning}>
      <bdi>{label}</bdi>
    </span>
  );
}

export function Ago({ ms, now }: { ms: number; now: number }) {
  if (!ms) return <>{NOTHING}</>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={absolute(ms)}>
      {relative(ms, now)}
    </time>
  );
}

/** A duration with a bar of its part of the largest. */
export function BarredDuration({ ns, of }: { ns: number; of: number }) {
  const percent = of > 0 ? Math.max(1, (100 * ns) / of) : 0;
  return (
    <div class="barred">
      {duration(ns)}
      <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect class="bar-rest" width="100" height="4" />
        <rect class="bar-part" width={percent} height="4" />
      </svg>
    </div>
  );
}

export function BlockedNow({ polls }: { polls: number }) {
  if (!(polls > 0)) return null;
  const what = polls === 1 ? 'One poll has' : `${polls} polls have`;
  return (
    <span class="badge badge-hot" title={`${what} not returned yet`}>
      <i class="pulse" aria-hidden="true" />
      blocked now{polls > 1 ? ` ×${polls}` : ''}
    </span>
  );
}

/** An id of which the first digits are shown and all are copied. */
export function CopiedId({ id, what }: { id: string; what: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  if (/^0*$/.test(id)) return <>{NOTHING}</>;
  // Browsers offer the clipboard to secure origins and to loopback only.
  if (!('clipboard' in navigator)) return <Name of={id} class="mono" />;
  const copy = () =>
    void navigator.clipboard.writeText(id).then(
      () => setCopied(true),
      () => {},
    );
  return (
    <button type="button" class="id" title={`${id}\nClick to copy`} onClick={copy}>
      <span class="sr-only">Copy the {what} </span>
      {copied ? 'copied' : id.slice(0, 8)}
    </button>
  );
}
