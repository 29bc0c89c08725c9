import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const LARGEST = 120 * 1024;

test('dist/ is what the sources build, byte for byte, and small', async () => {
  const fresh = await mkdtemp(join(tmpdir(), 'holdup-page-'));
  try {
    await promisify(execFile)(process.execPath, [path('scripts/build.mjs')], {
      env: { ...process.env, HOLDUP_PAGE_DIST: fresh },
    });
    const files = (await readdir(fresh)).sort();
    assert.deepEqual((await readdir(path('dist'))).sort(), files);
    let zipped = 0;
    for (const file of files) {
      const built = await readFile(join(fresh, file));
      zipped += gzipSync(built).length;
      assert.ok(
        built.equals(await readFile(path(`dist/${file}`))),
        `run "npm run build": ${file} is stale`,
      );
    }
    assert.ok(zipped <= LARGEST, `${zipped} bytes gzipped`);
  } finally {
    await rm(fresh, { recursive: true });
  }
});
