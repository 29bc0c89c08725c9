// A page that is behind tokens: logging in, a session that ends while the page is open, logging out.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { newFolder, program, removeFolder, serve } from '../scripts/program.mjs';
import { axeFindsNothing, openBrowser, openPage } from './browser.mjs';

// The development server asks nobody who they are.
const skip = !process.env.HOLDUP_PROGRAM;

let browser;
let close;
let folder;
let collector;
let token;

before(async () => {
  if (skip) return;
  ({ browser, close } = await openBrowser());
  folder = await newFolder();
  const file = join(folder, 'tokens.toml');
  const made = ['token', 'new', 'ops <b>', '--role', 'read', '--tokens-file', file];
  token = execFileSync(await program(), made, { encoding: 'utf8' }).trim();
  collector = await serve(folder, { more: ['--tokens-file', file] });
});
after(async () => {
  await close?.();
  await collector?.stop();
  if (folder) await removeFolder(folder);
});

async function logIn(page) {
  await page.waitForSelector('form input[name=token]');
  await page.type('input[name=token]', token);
  const [answer] = await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  assert.equal(answer.status(), 200);
}

test('a session that ends leads to the form, and back to where one was', { skip }, async () => {
  const home = `http://${collector.page}/`;
  const at = `${home}?view=services&range=24h`;
  const { page } = await openPage(browser, home, { width: 360 });
  await page.goto(at);
  await page.waitForSelector('form input[name=token]');
  await axeFindsNothing(page, 'the form');
  await logIn(page);
  await page.waitForSelector('.footer .session');
  assert.match(await page.$eval('.session', (e) => e.textContent), /Logged in as ops <b>/);
  assert.equal(page.url(), at);

  // It ends elsewhere: here the page stands, says so, and asks for nothing by itself.
  const endIt = () => page.evaluate(() => fetch('logout').then(() => undefined));
  await endIt();
  await page.waitForSelector('.banner-ended');
  assert.equal(await page.$('.banner-error, .banner-lost'), null);
  assert.equal(await page.$eval('main h1', (e) => e.textContent), 'Services');
  const leaving = page.waitForNavigation();
  await page.locator('.banner-ended button').click();
  await leaving;
  await logIn(page);
  await page.waitForSelector('.footer .session');
  assert.equal(page.url(), at);

  // What is live is told by a stream, and so is that it ended: nothing else is answered here.
  const allButStatus = (request) => {
    if (!request.url().endsWith('/status')) void request.continue();
  };
  await page.setRequestInterception(true);
  page.on('request', allButStatus);
  await page.goto(`${home}?view=live`);
  await page.waitForSelector('main h1');
  await endIt();
  await page.waitForSelector('.banner-ended');
  page.off('request', allButStatus);
  await page.setRequestInterception(false);
  await page.reload();
  await logIn(page);

  await page.waitForSelector('.footer .session');
  await Promise.all([page.waitForNavigation(), page.locator('.session a').click()]);
  await page.waitForSelector('form input[name=token]');
  assert.equal((await page.goto(home)).status(), 401);
});
