// Who waited in an episode: what is known of it, and what is not.

import type { EpisodeRow, TaskRow } from '../api';
import { count, duration, durationMs, plural } from '../format';
import { useQuery } from '../live';
import { FunctionLabel } from '../parts/cells';
import { Link } from '../parts/link';
import { toView, useRouter } from '../route';

/** A dump from longer before or after tells nothing of an episode. */
const AROUND_MS = 120_000;
const TASKS = 500;
const SHOWN = 20;

export function Waited({ episode }: { episode: EpisodeRow }) {
  const { victims } = episode;
  return (
    <section class="card waited">
      <h2>Who waited</h2>
      <p class="none">
        {victims > 0
          ? `${plural(victims, 'task')} of the runtime had to wait for a thread: so many were in its queues when the polls were looked at.`
          : 'No task is known to have waited: none was in the runtime’s queues when the polls were looked at.'}
      </p>
      <BeforeItsEnd episode={episode} />
      <Suspects episode={episode} />
    </section>
  );
}

function useDump({ service, instance }: EpisodeRow, from: number, to: number) {
  const range = { from, to };
  return useQuery({ name: 'tasks', service, instance, range, limit: TASKS }).answer?.rows;
}

const endOf = (e: EpisodeRow) => Math.max(e.ended_ms ?? 0, e.started_ms) + 1;

/** The last dump before the episode's end; it is asked for a later one only if there is none. */
function BeforeItsEnd({ episode }: { episode: EpisodeRow }) {
  const tasks = useDump(episode, episode.started_ms - AROUND_MS, endOf(episode));
  if (!tasks) return null;
  if (tasks.length > 0) return <Dump tasks={tasks} episode={episode} />;
  return <AfterIt episode={episode} />;
}

function AfterIt({ episode }: { episode: EpisodeRow }) {
  const tasks = useDump(episode, endOf(episode), endOf(episode) + AROUND_MS);
  if (!tasks) return null;
  if (tasks.length > 0) return <Dump tasks={tasks} episode={episode} />;
  return (
    <p class="none">
      Which tasks, is not known: this instance sent no list of its tasks from two minutes before to
      two minutes after. A service sends one when a thread stalls, and on request.
    </p>
  );
}

function Dump({ tasks, episode: e }: { tasks: TaskRow[]; episode: EpisodeRow }) {
  const at = tasks[0]?.dumped_ms ?? 0;
  const when =
    at < e.started_ms
      ? `${durationMs(e.started_ms - at)} before it began`
      : at < endOf(e)
        ? 'while it lasted'
        : `${durationMs(at - endOf(e))} after it ended`;
  const of = (state: string) => tasks.filter((t) => t.state === state);
  const ready = of('ready').sort((a, b) => b.since_ns - a.since_ns);
  return (
    <>
      <p class="none">
        The list of tasks that the instance sent {when} has {count(of('running').length)} running,{' '}
        {count(ready.length)} ready and {count(of('idle').length)} idle
        {ready.length === 0 ? ': none of them waited at that moment.' : '. Those that were ready:'}
      </p>
      {ready.length > 0 && (
        <ol class="frames">
          {ready.slice(0, SHOWN).map((t) => (
            <li key={`${t.task_id}/${t.name}/${t.file}/${t.line}`}>
              <bdi class="mono">{t.name}</bdi> for {duration(t.since_ns)}
            </li>
          ))}
        </ol>
      )}
      {ready.length > SHOWN && <p class="none">And {count(ready.length - SHOWN)} more.</p>}
    </>
  );
}

/** Spans with much busy time meanwhile: no proof, and a place to look. */
function Suspects({ episode }: { episode: EpisodeRow }) {
  const { route } = useRouter();
  const range = { from: episode.started_ms, to: endOf(episode) };
  const { answer } = useQuery({ name: 'suspects', service: episode.service, range, limit: 5 });
  if (!answer || answer.rows.length === 0) return null;
  return (
    <>
      <p class="none">
        Spans of the service with much busy time meanwhile. A sum over polls proves no block:{' '}
        <Link to={toView(route, 'suspects')}>Suspects</Link> says more.
      </p>
      <ul class="frames">
        {answer.rows.map((s) => (
          <li key={s.function} title={s.function}>
            <FunctionLabel of={s.function} /> {duration(s.busy_ns)}
          </li>
        ))}
      </ul>
    </>
  );
}
