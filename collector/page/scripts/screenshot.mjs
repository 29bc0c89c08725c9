// Takes the pictures of the README from a page that shows the demo: HOLDUP_PAGE, or the
// development server.
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openBrowser, openPage, waitForFunctions } from '../test/browser.mjs';

const FOLDER =
  process.env.HOLDUP_PICTURES ?? fileURLToPath(new URL('../../../docs/pictures/', import.meta.url));
const LIST_HEIGHT = 720;

const { browser, home, close } = await openBrowser();
await mkdir(FOLDER, { recursive: true });
try {
  await picture('functions-light.png', { scheme: 'light', height: LIST_HEIGHT });
  await picture('functions-dark.png', { scheme: 'dark', height: LIST_HEIGHT });
  await picture('function.png', { scheme: 'light', height: 860 }, async (page) => {
    await page.click('.functions tbody a.function-link');
    await page.waitForSelector('.polls tbody tr');
    await page.mouse.move(0, 0);
  });
} finally {
  await close();
}

async function picture(name, look, goOn = async () => {}) {
  const { page } = await openPage(browser, home, { width: 1280, ...look });
  await page.goto(home, { waitUntil: 'networkidle2' });
  await waitForFunctions(page);
  await goOn(page);
  await page.evaluate(() => document.activeElement?.blur());
  // A list shorter than the picture leaves no empty ground below it.
  const content = await page.$eval('main', (main) =>
    Math.ceil(main.lastElementChild.getBoundingClientRect().bottom),
  );
  const height = Math.min(look.height, content + 16);
  const path = join(FOLDER, name);
  await page.screenshot({ path, clip: { x: 0, y: 0, width: 1280, height } });
  await page.close();
  const { size } = await stat(path);
  process.stderr.write(`${name} ${Math.ceil(size / 1024)} KiB\n`);
}
