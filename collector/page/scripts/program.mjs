// Starts the collector that HOLDUP_PROGRAM names, or else the one that cargo built last, with data of
// its own and the page on a port of its own or a given one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const TARGET = fileURLToPath(new URL('../../../target/', import.meta.url));

/** The collector to start. */
export async function program() {
  if (process.env.HOLDUP_PROGRAM) return process.env.HOLDUP_PROGRAM;
  const built = await Promise.all(
    ['release', 'debug'].map(async (profile) => {
      const path = join(TARGET, profile, 'holdup');
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
      return { path, mtimeMs };
    }),
  );
  const newest = built.reduce((a, b) => (b.mtimeMs > a.mtimeMs ? b : a));
  if (newest.mtimeMs > 0) return newest.path;
  throw new Error('there is no collector: run "cargo build -p holdup-collector --bin holdup" first');
}

export const newFolder = () => mkdtemp(join(tmpdir(), 'holdup-served-'));
export const removeFolder = (folder) => rm(folder, { recursive: true, force: true });

/** A running collector: where it listens, and a way to end it. */
export async function serve(folder, { page = '127.0.0.1:0', more = [] } = {}) {
  const any = '127.0.0.1:0';
  const listen = { grpc: any, http: any, page, engine: any };
  const addresses = Object.entries(listen).flatMap(([of, at]) => [`--${of}-listen`, at]);
  const child = spawn(await program(), ['serve', '--data-dir', folder, ...addresses, ...more], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  const [line] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    ended.then(([code]) => Promise.reject(new Error(`the collector ended with ${code}`))),
  ]);
  const end = async (signal) => {
    child.kill(signal);
    await ended;
  };
  return { ...JSON.parse(line), stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}
