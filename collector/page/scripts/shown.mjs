// Prints what a browser has made of a page once a text is there: node shown.mjs URL PATTERN
import { chromium } from './chromium.mjs';

const [url, pattern] = process.argv.slice(2);
const browser = await chromium();
try {
  const page = await browser.newPage();
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  const isThere = (text) => new RegExp(text).test(document.body.textContent);
  // Whoever asked tells from the page what it lacks.
  await page.waitForFunction(isThere, { timeout: 30_000 }, pattern).catch(() => {});
  console.log(await page.content());
} finally {
  await browser.close();
}
