// One episode: its polls on their threads, the stacks over time, who waited, and the trace.

import { useContext, useState } from 'preact/hooks';

import type { EpisodeRow, PollRow, StackRow } from '../api';
import { absolute, count, duration, durationMs, NOTHING, plural } from '../format';
import { StatusContext, useQuery } from '../live';
import { splitFunction } from '../names';
import { CauseTag, CopiedId, Name } from '../parts/cells';
import { Facts } from '../parts/facts';
import { Lanes } from '../parts/lanes';
import { Link } from '../parts/link';
import { Waiting } from '../parts/waiting';
import { useRouter } from '../route';
import { Frames } from './stacks';
import { Waited } from './waited';

const POLLS = 1000;

export function EpisodeView() {
  const { route } = useRouter();
  const subject = {
    function: route.function,
    service: route.in || route.service,
    ...(route.instance && { instance: route.instance }),
  };
  const range = { from: (route.from ?? 0) - 1, to: (route.to ?? Date.now()) + 1 };
  const { answer } = useQuery({ name: 'episodes', ...subject, range, limit: 100 });
  const episode = answer?.rows.find((e) => e.episode_id === route.episode);
  const { short } = splitFunction(route.function);
  return (
    <>
      <header class="subject">
        <nav class="crumb" aria-label="Way back">
          <Link
            to={{ ...route, view: 'function', episode: '', instance: '', from: null, to: null }}
          >
            ← <bdi>{short}</bdi>
          </Link>
        </nav>
        <h1 tabIndex={-1} title={route.function}>
          Episode of <bdi>{short}</bdi>
        </h1>
      </header>
      {!answer && <Waiting title="" />}
      {answer && !episode && (
        <p class="card none quiet">
          This episode is not there: it may be older than what is kept, or joined another.
        </p>
      )}
      {episode && <Episode episode={episode} />}
    </>
  );
}

function Episode({ episode }: { episode: EpisodeRow }) {
  const to = Math.max(episode.ended_ms ?? 0, episode.started_ms + 1);
  const of = { function: episode.function, service: episode.service, instance: episode.instance };
  const range = { from: episode.started_ms - 1, to: to + 1 };
  const ofPolls = useQuery({ name: 'polls', ...of, range, limit: POLLS });
  const ofStacks = useQuery({ name: 'stacks', ...of, range, limit: 50 });
  const { service, instance } = episode;
  const ofThreads = useQuery({ name: 'polls', service, instance, range, limit: POLLS });
  const polls = ofPolls.answer?.rows ?? [];
  const stacks = ofStacks.answer?.rows;
  const around = ofThreads.answer?.rows;
  const areKnown = ofPolls.settled && ofStacks.settled && ofThreads.settled;
  const [chosen, setChosen] = useState('');
  // Of those with a stack, if there are any: that is what one came for.
  const taken = polls.filter((p) => p.stack_id !== '');
  const worst = (taken.length > 0 ? taken : polls).reduce<PollRow | undefined>(
    (most, p) => (most && most.self_ns >= p.self_ns ? most : p),
    undefined,
  );
  const shown = polls.find((p) => p.span_id === chosen) ?? worst;
  return (
    <>
      <section class="card" aria-label="Cost">
        <EpisodeFacts episode={episode} />
      </section>
      {!areKnown && <Waiting title="" />}
      {areKnown && (
        <section class="card">
          <h2>
            Threads of the instance meanwhile{' '}
            {around?.length === POLLS && <small>the last {count(POLLS)} slow polls of it</small>}
          </h2>
          <Lanes
            polls={around ?? polls}
            from={range.from}
            to={range.to}
            now={to}
            label="Slow polls by thread"
            {...(shown && { chosen: shown.span_id })}
            onChoose={(poll) => setChosen(poll.span_id)}
          />
        </section>
      )}
      {areKnown && shown && (
        <Poll poll={shown} stacks={stacks} polls={polls} onChoose={setChosen} />
      )}
      {areKnown && <Waited episode={episode} />}
    </>
  );
}

function EpisodeFacts({ episode: e }: { episode: EpisodeRow }) {
  return (
    <Facts
      facts={[
        { label: 'Began', value: absolute(e.started_ms).slice(0, 23) },
        { label: 'Lasted', value: durationMs(e.ended_ms ? e.ended_ms - e.started_ms : null) },
        { label: 'State', value: e.state },
        { label: 'Slow polls', value: count(e.polls) },
        { label: 'Blocked', value: duration(e.blocked_ns) },
        { label: 'Worst', value: duration(e.max_ns) },
        { label: 'Cause', value: <CauseTag of={e.cause} /> },
        { label: 'Instance', value: <Name of={e.instance} class="mono" /> },
        { label: 'Version', value: <Name of={e.version} /> },
        { label: 'Trace', value: <TraceLink id={e.worst_trace_id} /> },
      ]}
    />
  );
}

/** To where traces are shown, if the collector knows that; else the id to copy. */
export function TraceLink({ id }: { id: string }) {
  const template = useContext(StatusContext)?.trace_url ?? '';
  if (/^0*$/.test(id)) return <>{NOTHING}</>;
  if (!/^https?:/.test(template)) return <CopiedId id={id} what="trace id" />;
  return (
    <a href={template.replaceAll('{trace_id}', id)} rel="noreferrer" title={id}>
      {id.slice(0, 8)} ↗
    </a>
  );
}

interface PollProps {
  poll: PollRow;
  polls: PollRow[];
  stacks: StackRow[] | undefined;
  onChoose: (span: string) => void;
}

function Poll({ poll, polls, stacks, onChoose }: PollProps) {
  const inOrder = [...polls].sort((a, b) => a.start_ms - b.start_ms);
  const at = inOrder.findIndex((p) => p.span_id === poll.span_id);
  const stack = stacks?.find((s) => s.stack_id === poll.stack_id);
  const step = (by: number) => {
    const to = inOrder[at + by];
    return (
      <button
        type="button"
        class="button mute"
        disabled={!to}
        onClick={() => to && onChoose(to.span_id)}
      >
        {by < 0 ? '← Before' : 'After →'}
      </button>
    );
  };
  return (
    <section class="card">
      <h2>
        Stack of a poll{' '}
        {at >= 0 && (
          <small>
            {at + 1} of {inOrder.length} slow polls of the function
          </small>
        )}
      </h2>
      <p class="flame-note">
        {at >= 0 && step(-1)} {at >= 0 && step(1)}
        <span>{absolute(poll.start_ms).slice(11, 23)}</span>
        <strong>{duration(poll.self_ns)}</strong> <CauseTag of={poll.cause} />
        <bdi class="mono">{poll.thread_name}</bdi>
        {poll.victims > 0 && <span>{plural(poll.victims, 'task')} had to wait</span>}
        <TraceLink id={poll.trace_id} />
      </p>
      {stack && <Frames row={stack} />}
      {stacks && !stack && (
        <p class="none">{poll.stack_id ? 'Its frames are not stored.' : 'No stack was taken.'}</p>
      )}
    </section>
  );
}
