// A Rust path in its parts, and the causes in words.

export interface FunctionName {
  /** What a person calls it: `handler`, or `Type::method`. */
  short: string;
  /** The crate and modules before it. */
  path: string;
}

/** Splits `crate::module::Type::method` at the `::` that are outside angle brackets. */
export function splitFunction(full: string): FunctionName {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < full.length; i += 1) {
    const c = full[i];
    if (c === '<') depth += 1;
    else if (c === '>' && full[i - 1] !== '-') depth = Math.max(0, depth - 1);
    else if (c === ':' && full[i + 1] === ':' && depth === 0) {
      parts.push(full.slice(start, i));
      i += 1;
      start = i + 1;
    }
  }
  parts.push(full.slice(start));
  // A type starts with a capital (or is written in brackets), a module never does.
  const owner = parts.at(-2);
  const taken = owner && /^[\p{Lu}<]/u.test(owner) ? 2 : 1;
  return {
    short: parts.slice(-taken).join('::') || full,
    path: parts.slice(0, -taken).join('::'),
  };
}

export interface Cause {
  label: string;
  meaning: string;
}

const CAUSES: Record<string, Cause> = {
  cpu: {
    label: 'CPU',
    meaning: 'The poll was computing. Move the work to spawn_blocking or a pool.',
  },
  sleep: { label: 'sleep', meaning: 'The thread slept. Use tokio::time::sleep instead.' },
  lock: { label: 'lock', meaning: 'The thread waited for a lock that another thread held.' },
  disk: { label: 'disk', meaning: 'The thread waited for the disk.' },
  net: { label: 'network', meaning: 'The thread waited for a peer in a blocking call.' },
  page_fault: { label: 'page fault', meaning: 'The thread waited for memory to be paged in.' },
  runqueue: {
    label: 'run queue',
    meaning: 'The thread was ready, but the operating system gave it no CPU: a noisy neighbour.',
  },
};

export function causeInWords(cause: string): Cause {
  if (Object.hasOwn(CAUSES, cause)) return CAUSES[cause] as Cause;
  if (cause === '' || cause === 'unknown') {
    return { label: 'unknown', meaning: 'What the thread waited for is not known.' };
  }
  return { label: cause, meaning: cause };
}
