// How long slow polls took over time, and how a region of them differs from the rest.

import type { AttributeRow, Region } from '../api';
import { absolute, count, duration, share } from '../format';
import { heatOf, parsePick, pickText } from '../heat';
import { useQuery } from '../live';
import { CauseTag, Name } from '../parts/cells';
import { Heatmap } from '../parts/heatmap';
import { Table } from '../parts/table';
import { useTurn } from '../parts/turn';
import { useRouter } from '../route';

const ROWS = 12;
/** Shares that are nearer to each other tell nothing. */
const LEAST = 0.01;

interface Subject {
  function: string;
  service: string;
}

export function Durations(subject: Subject) {
  const { route, replace } = useRouter();
  const { answer, stale, settled } = useQuery({ name: 'durations', ...subject, limit: 10_000 });
  const isShown = useTurn(1, settled);
  const heat = answer && isShown ? heatOf(answer.rows, answer.window.from, answer.window.to) : null;
  if (!answer || !heat) return null;
  const region = parsePick(route.pick);
  const pick = (picked: Region | null) =>
    replace({ ...route, pick: picked ? pickText(picked) : '' });
  return (
    <section class={stale ? 'card stale' : 'card'} aria-busy={stale}>
      <h2>
        Durations <small>select a region to see what is different about it</small>
      </h2>
      <Heatmap heat={heat} window={answer.window} region={region} onPick={pick} />
      {region && <Different subject={subject} region={region} onClose={() => pick(null)} />}
    </section>
  );
}

function Value({ of: { attribute, value } }: { of: AttributeRow }) {
  return attribute === 'cause' ? <CauseTag of={value} /> : <Name of={value} class="mono" />;
}

interface DifferentProps {
  subject: Subject;
  region: Region;
  onClose: () => void;
}

function Different({ subject, region, onClose }: DifferentProps) {
  const { answer } = useQuery({ name: 'attributes', ...subject, picked: region, limit: 100 });
  const all = answer?.rows ?? [];
  const isEmpty = all.every((r) => r.picked === 0);
  const rows = all
    .filter((r) => Math.abs(r.picked_share - r.rest_share) >= LEAST)
    .slice(0, isEmpty ? 0 : ROWS);
  const longest = region.upTo > 1e15 ? '' : ` up to ${duration(region.upTo)}`;
  return (
    <div class="different">
      <p class="flame-note">
        <span>
          {absolute(region.from).slice(11, 19)} – {absolute(region.to).slice(11, 19)}, over{' '}
          {duration(region.over)}
          {longest}
        </span>{' '}
        <button type="button" class="button mute" onClick={onClose}>
          Clear
        </button>
      </p>
      {answer && rows.length === 0 && (
        <p class="none">
          {isEmpty
            ? 'No slow poll is in this region.'
            : 'Nothing is different: the same work, only slower.'}
        </p>
      )}
      {rows.length > 0 && (
        <Table
          caption="Values that are more or less frequent in the region than outside of it"
          className="attributes"
          columns={[
            { id: 'attribute', label: 'Attribute', cell: (r) => r.attribute },
            { id: 'value', label: 'Value', cell: (r) => <Value of={r} /> },
            {
              id: 'picked',
              label: 'Inside',
              hint: 'Part of the slow polls in the region',
              numeric: true,
              cell: (r) => (
                <span title={`${count(r.picked)} slow polls`}>{share(r.picked_share, 1)}</span>
              ),
            },
            {
              id: 'rest',
              label: 'Outside',
              hint: 'Part of the other slow polls of the range',
              numeric: true,
              cell: (r) => (
                <span title={`${count(r.rest)} slow polls`}>{share(r.rest_share, 1)}</span>
              ),
            },
          ]}
          rows={rows}
          rowKey={(r) => `${r.attribute}/${r.value}`}
        />
      )}
    </div>
  );
}
