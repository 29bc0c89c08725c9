// Bundles src/ into dist/. The output depends on the sources and the lock file only, so that a test
// can rebuild it and compare byte for byte.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const page = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = process.env.HOLDUP_PAGE_DIST ?? join(page, 'dist');

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await build({
  absWorkingDir: page,
  entryPoints: { app: 'src/main.tsx' },
  outdir: dist,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
});
await build({
  absWorkingDir: page,
  entryPoints: { app: 'src/style/app.css' },
  outdir: dist,
  bundle: true,
  minify: true,
  target: 'es2022',
});
await copyFile(join(page, 'src/index.html'), join(dist, 'index.html'));
await copyFile(join(page, 'src/favicon.svg'), join(dist, 'favicon.svg'));

// Preact's licence asks that its notice goes with every copy, and the bundle is one.
const notice = await readFile(join(page, 'node_modules/preact/LICENSE'), 'utf8');
await writeFile(join(dist, 'LICENSES.txt'), `app.js contains preact:\n\n${notice}`);

let total = 0;
for (const file of ['index.html', 'app.js', 'app.css', 'favicon.svg']) {
  const zipped = gzipSync(await readFile(join(dist, file))).length;
  total += zipped;
  process.stderr.write(`${file.padEnd(12)} ${String(zipped).padStart(6)} bytes gzipped\n`);
}
process.stderr.write(`${'all'.padEnd(12)} ${String(total).padStart(6)} bytes gzipped\n`);
