// Holds the exported dashboards against the types that Grafana publishes of its classic format.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const DASHBOARDS = join(HERE, '../../../deploy/grafana/dashboards/Holdup');
/** Where those types lack what Grafana takes: an annotation's target has the fields of its data source. */
const LACKING = [`'"editorType"' does not exist in type`];
/** Enumerations are texts in JSON. */
const AS_JSON =
  'type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;\n';

// Beside the packages, so that the compiler finds them.
const folder = await mkdtemp(join(HERE, 'checked-'));
try {
  const files = [];
  for (const name of await readdir(DASHBOARDS)) {
    const json = await readFile(join(DASHBOARDS, name), 'utf8');
    const path = join(folder, name.replace('.json', '.ts'));
    const text =
      "import type { Dashboard } from '@grafana/schema';\n" +
      AS_JSON +
      `export const dashboard = ${json.trim()} satisfies Json<Dashboard>;\n`;
    await writeFile(path, text);
    files.push(path);
  }
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    types: [],
  });
  let faults = 0;
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n');
    if (LACKING.some((known) => text.includes(known))) continue;
    faults += 1;
    const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start).line;
    process.stderr.write(`${diagnostic.file?.fileName}:${line}: ${text}\n`);
  }
  process.stdout.write(`${files.length} dashboards, ${faults} faults\n`);
  process.exitCode = faults > 0 ? 1 : 0;
} finally {
  await rm(folder, { recursive: true });
}
