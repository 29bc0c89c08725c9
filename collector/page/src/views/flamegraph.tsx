// The flame graph of a function while it blocked: filter, callers and callees of a frame, what
// differs from another version or range, and files for other tools.

import { useContext, useState } from 'preact/hooks';

import { csvUrl, exportUrl } from '../api';
import type { Query, VersionRow } from '../api';
import { changes, sandwich, sharesOf, treeOf, trimmed } from '../flame';
import type { Node } from '../flame';
import { count, duration, share } from '../format';
import { useQuery, WindowContext } from '../live';
import { Name } from '../parts/cells';
import { Flame } from '../parts/flame';
import { Table } from '../parts/table';
import { useTurn } from '../parts/turn';
import { useRouter } from '../route';

const STACKS = 500;
const ROWS = 12;

interface Subject {
  function: string;
  service: string;
}

export function FlameGraph(subject: Subject) {
  const { route, replace } = useRouter();
  const [filter, setFilter] = useState('');
  const [outer, setOuter] = useState(false);
  const { version, versus, frame } = route;
  const choice = version ? { ...subject, version } : subject;
  const { answer, stale, settled } = useQuery({ name: 'flame', ...choice, limit: STACKS });
  const base = useQuery({ name: 'flame', ...subject, ...baseOf(versus), limit: STACKS });
  const ofVersions = useQuery({ name: 'function_versions', ...subject });
  const versions = ofVersions.answer?.rows ?? [];
  const isShown = useTurn(2, settled && ofVersions.settled);
  if (!answer || !isShown || (answer.rows.length === 0 && !version)) return null;
  const whole = treeOf(answer.rows);
  const inner = trimmed(whole, subject.function);
  const root = outer ? whole : inner;
  const based = versus && base.answer ? treeOf(base.answer.rows) : null;
  const comparable = based && based.value > 0 && root.value > 0 ? based : null;
  const other = comparable && !outer ? trimmed(comparable, subject.function) : comparable;
  const [now, before] = other ? [sharesOf(root), sharesOf(other)] : [];
  const changeOf = now && ((f: string) => (now.get(f) ?? 0) - (before?.get(f) ?? 0));
  return (
    <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
      <h2 id="flame">Flame graph of blocked time</h2>
      <div class="filters in-card">
        <label class="filter">
          <span class="sr-only">Mark frames</span>
          <input
            type="search"
            placeholder="Mark frames …"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value.toLowerCase())}
          />
        </label>
        <Choices versions={versions} />
        <label>
          <input
            type="checkbox"
            checked={outer}
            onChange={(event) => setOuter(event.currentTarget.checked)}
          />{' '}
          Outer frames
        </label>
        <Exports query={{ name: 'stacks', ...choice }} />
      </div>
      {root.value === 0 && <p class="none">No stack of this version in this range.</p>}
      {based?.value === 0 && <p class="none">There is no stack to compare these with.</p>}
      {frame ? (
        <Sandwich root={root} frame={frame} onClose={() => replace({ ...route, frame: '' })} />
      ) : (
        <Flame
          root={root}
          label="Flame graph, root on top"
          marked={filter}
          changeOf={changeOf}
          onChoose={(f) => replace({ ...route, frame: f })}
        />
      )}
      {other && <Changes after={root} before={other} />}
      {versus && <VersionTable versions={versions} chosen={[version, versus.slice(2)]} />}
    </section>
  );
}

function baseOf(versus: string): Pick<Query, 'before' | 'version'> {
  if (versus.startsWith('v:')) return { version: versus.slice(2) };
  return versus === 'before' ? { before: true } : {};
}

function Choices({ versions }: { versions: VersionRow[] }) {
  const { route, go } = useRouter();
  const names = [...new Set(versions.map((v) => v.version).filter(Boolean))];
  const short = (name: string) => (name.length > 40 ? `${name.slice(0, 40)}…` : name);
  return (
    <>
      {names.length > 1 && (
        <label>
          Version{' '}
          <select
            name="version"
            value={route.version}
            onChange={(event) => go({ ...route, version: event.currentTarget.value })}
          >
            <option value="">all</option>
            {names.map((name) => (
              <option key={name} value={name}>
                {short(name)}
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        Compare with{' '}
        <select
          name="versus"
          value={route.versus}
          onChange={(event) => go({ ...route, versus: event.currentTarget.value })}
        >
          <option value="">nothing</option>
          <option value="before">the range before</option>
          {names.map((name) => (
            <option key={name} value={`v:${name}`}>
              version {short(name)}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

const FORMATS = [
  ['svg', 'SVG'],
  ['speedscope', 'speedscope'],
  ['firefox', 'Firefox Profiler'],
  ['pprof', 'pprof'],
  ['folded', 'folded stacks'],
] as const;

function Exports({ query }: { query: Query }) {
  const { from, to } = useContext(WindowContext);
  return (
    <details class="exports">
      <summary class="button">Export</summary>
      <ul>
        {FORMATS.map(([format, label]) => (
          <li key={format}>
            <a href={exportUrl(format, query, from, to)} download>
              {label}
            </a>
          </li>
        ))}
        <li>
          <a href={csvUrl({ ...query, limit: 10_000 }, from, to)} download>
            CSV
          </a>
        </li>
      </ul>
    </details>
  );
}

interface SandwichProps {
  root: Node;
  frame: string;
  onClose: () => void;
}

function Sandwich({ root, frame, onClose }: SandwichProps) {
  const { callers, callees } = sandwich(root, frame);
  return (
    <div class="sandwich">
      <p class="flame-note">
        <bdi class="mono strong name">{frame}</bdi> {duration(callees.value)},{' '}
        {share(callees.value, root.value)}{' '}
        <button type="button" class="button mute" onClick={onClose}>
          Whole graph
        </button>
      </p>
      <h3>Who called it</h3>
      <Flame root={callers} label="Callers, from the frame outwards" />
      <h3>What it called</h3>
      <Flame root={callees} label="Callees" />
    </div>
  );
}

function Changes({ after, before }: { after: Node; before: Node }) {
  const rows = changes(after, before).slice(0, ROWS);
  if (rows.length === 0) return <p class="none">The stacks have the same shares of the time.</p>;
  return (
    <Table
      caption="Frames whose share of the blocked time changed most"
      className="changes"
      columns={[
        {
          id: 'frame',
          label: 'Frames that changed most',
          cell: (r) => <Name of={r.frame} class="mono" />,
        },
        { id: 'before', label: 'Before', numeric: true, cell: (r) => share(r.before, 1) },
        { id: 'after', label: 'Now', numeric: true, cell: (r) => share(r.after, 1) },
        {
          id: 'change',
          label: 'Change',
          numeric: true,
          cell: (r) =>
            `${r.after >= r.before ? '+' : '−'}${share(Math.abs(r.after - r.before), 1)}`,
        },
      ]}
      rows={rows}
      rowKey={(r) => r.frame}
    />
  );
}

function VersionTable({ versions, chosen }: { versions: VersionRow[]; chosen: string[] }) {
  if (versions.length < 2) return null;
  return (
    <Table
      caption="What each version blocked in the range"
      className="function-versions"
      columns={[
        { id: 'version', label: 'Version', cell: (r) => <Name of={r.version} class="strong" /> },
        { id: 'calls', label: 'Calls', numeric: true, cell: (r) => count(r.calls) },
        { id: 'blocked', label: 'Blocked', numeric: true, cell: (r) => duration(r.blocked_ns) },
        { id: 'p50_ns', label: 'p50', numeric: true, cell: (r) => duration(r.p50_ns) },
        { id: 'p99_ns', label: 'p99', numeric: true, cell: (r) => duration(r.p99_ns) },
        { id: 'max_ns', label: 'Worst', numeric: true, from: 'medium', cell: (r) => duration(r.max_ns) },
      ]}
      rows={versions}
      rowKey={(r) => `${r.service}/${r.version}`}
      mark={(r) => (chosen.includes(r.version) ? 'chosen-row' : '')}
    />
  );
}
