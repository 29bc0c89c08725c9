// A stand-in for `holdup serve` while the page is worked on: serves dist/ under the same policy and
// answers the API with made-up data. Never part of the product. See README.md.
//
//   node dev/server.mjs [--port 4381] [--base /some/path/] [--empty] [--api http://127.0.0.1:4380]
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { answer, mute, rules, seen, silences, status } from './data.mjs';

const DIST = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist');
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export function startServer({ port = 0, base = '/', empty = false, api = '' } = {}) {
  const server = createServer({ maxHeaderSize: 1 << 18 }, (request, response) => {
    const url = new URL(request.url, 'http://page');
    respond(url, request, response, { base, empty, api }).catch((error) => {
      response.writeHead(500).end(String(error));
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const stop = () => {
        server.closeAllConnections();
        return new Promise((done) => server.close(done));
      };
      resolve({ url: `http://127.0.0.1:${server.address().port}${base}`, stop });
    });
  });
}

async function respond(url, request, response, { base, empty, api }) {
  const json = (code, body) => {
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (!url.pathname.startsWith(base))
    return json(404, { error: { code: 'not_found', message: 'Not here.' } });
  const path = url.pathname.slice(base.length);
  if (api && path.startsWith('api/')) {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const real = await fetch(new URL(`${path}${url.search}`, api), {
      method: request.method,
      signal: gone.signal,
      ...(request.method !== 'GET' && {
        headers: { 'content-type': 'application/json' },
        body: await new Response(Readable.toWeb(request)).text(),
      }),
    });
    response.writeHead(real.status, { 'content-type': real.headers.get('content-type') });
    // A client that goes ends it, which is no fault.
    return Readable.fromWeb(real.body).on('error', () => {}).pipe(response);
  }
  if (path === 'api/v1/status') return json(200, status(empty));
  if (path === 'api/v1/rules') return json(200, rules(empty));
  if (path === 'api/v1/silences') return json(200, silences(empty));
  if (path === 'api/v1/mutes') {
    mute(request.method, await new Response(Readable.toWeb(request)).json());
    return json(200, { muted: request.method === 'POST' });
  }
  if (path === 'api/v1/live') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const tell = () => response.write(`event: seen\ndata: ${JSON.stringify(seen())}\n\n`);
    const timer = setInterval(tell, 1000);
    response.on('close', () => clearInterval(timer));
    return tell();
  }
  const query = path.match(/^api\/v1\/query\/(\w+)$/);
  if (query) {
    const rows = answer(query[1], url.searchParams, empty);
    if (!rows) {
      const message = `There is no query "${query[1]}".`;
      return json(404, { error: { code: 'not_found', message } });
    }
    return json(200, { meta: [], data: rows, rows: rows.length, statistics: {} });
  }
  const file = normalize(join(DIST, extname(path) ? path : 'index.html'));
  if (!file.startsWith(DIST)) return json(404, {});
  const body = await readFile(file).catch(() => null);
  if (!body)
    return json(404, { error: { code: 'not_found', message: `There is no file ${path}.` } });
  response.writeHead(200, {
    'content-type': TYPES[extname(file)] ?? 'text/plain',
    'content-security-policy': POLICY,
    'cache-control': 'no-cache',
  });
  return response.end(body);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4381' },
      base: { type: 'string', default: '/' },
      empty: { type: 'boolean' },
      api: { type: 'string' },
    },
  });
  const { url } = await startServer({
    port: Number(values.port),
    base: values.base,
    empty: values.empty,
    api: values.api,
  });
  process.stdout.write(`${url}\n`);
}
