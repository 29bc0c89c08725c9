// What becomes of functions: states, mutes, and the way from the list to the call that blocks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { expected, functionsShown, journeyIn, openBrowser, waitForFunctions } from './browser.mjs';

let browser;
let home;
let close;

before(async () => ({ browser, home, close } = await openBrowser()));
after(() => close?.());

const journey = (run, options) => journeyIn(browser, home, run, options);

const link = (name) => `.functions tbody a.function-link[title=${JSON.stringify(name)}]`;

test('the culprit and the call to change are three clicks from the start, at most', () =>
  journey(async (page) => {
    const [culprit] = expected.culprits;
    await page.goto(home);
    await page.waitForSelector(link(culprit));
    // One: the function. Its first stack is open, with what to write instead.
    await page.locator(link(culprit)).click();
    await page.waitForSelector('.stack[open] .frames .blamed');
    const advice = await page.waitForSelector('.stack[open] .advice');
    assert.ok((await advice.evaluate((p) => p.textContent.length)) > 20);
  }));

test('a wide list says how much, of what, whom it held up, and since when', () =>
  journey(
    async (page) => {
      const [culprit] = expected.culprits;
      await page.goto(home);
      await page.waitForSelector(link(culprit));
      const row = await page.$eval('.functions', (table, title) => {
        const labels = [...table.querySelectorAll('thead th')].map((th) => th.textContent.trim());
        const name = [...table.querySelectorAll('a.function-link')].find((a) => a.title === title);
        const cells = [...name.closest('tr').children].map((cell) => ({
          text: cell.innerText.trim(),
          marks: cell.querySelectorAll('svg *').length,
        }));
        return Object.fromEntries(labels.map((label, i) => [label.replace(/\W+$/, ''), cells[i]]));
      }, culprit);
      assert.match(row.State.text, /^(new|ongoing|regressed)$/);
      assert.match(row.Share.text, /^\d+(\.\d)? %$/);
      assert.match(row.Worst.text, /^[\d.]+ m?s$/);
      assert.match(row.Calls.text, /^[\d,]+$/);
      assert.match(row.Victims.text, /^(–|[\d,]+)$/);
      assert.match(row.Cause.text, /^\w+/);
      assert.match(row.Crate.text, /^[a-z]\w+$/);
      assert.match(row.Versions.text, /\d+\.\d+\.\d+/);
      assert.match(row['First seen'].text, /ago|just now/);
      assert.ok(row.Trend.marks > 0, 'the trend is drawn');
    },
    { width: 1700 },
  ));

/** Nothing of these is cut off, or lies under something else. */
async function allIsShown(page, selector) {
  const hidden = await page.$$eval(selector, (all) =>
    all.filter((element) => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      return ![top + 2, bottom - 2].every((y) =>
        element.contains(document.elementFromPoint((left + right) / 2, y)),
      );
    }).length,
  );
  assert.equal(hidden, 0, `${hidden} of ${selector} can't be seen`);
}

test('a function is muted with a reason, leaves the list, and comes back', () =>
  journey(async (page) => {
    const [, culprit] = expected.culprits;
    await page.goto(`${home}?${new URLSearchParams({ view: 'function', function: culprit })}`);
    await page.waitForSelector('.issue-line .mute');
    await page.locator('.issue-line .mute').click();
    await page.waitForSelector('dialog[open]');
    assert.equal(await page.evaluate(() => document.activeElement?.name), 'reason');
    await allIsShown(page, 'dialog :is(input, select, button)');
    // Without a reason, nothing is sent.
    await page.keyboard.press('Enter');
    assert.ok(await page.$('dialog[open]'));
    await page.type('dialog input[name=reason]', 'known: <b>ticket 7</b>');
    await page.select('dialog select[name=end]', '24');
    await page.keyboard.press('Tab');
    await page.locator('dialog button[type=submit]').click();
    await page.waitForSelector('.issue-line .state-muted');
    const said = await page.$eval('.issue-line', (line) => line.textContent);
    assert.ok(said.includes('known: <b>ticket 7</b>'), said);

    await page.goto(home);
    await waitForFunctions(page, [expected.culprits[0]]);
    assert.ok(!(await functionsShown(page)).includes(culprit), 'it has left the list');
    await page.goto(`${home}?state=muted`);
    await page.waitForSelector(link(culprit));
    await page.locator('.functions .mute').click();
    await page.waitForSelector(link(culprit), { hidden: true });
    await page.goto(home);
    await waitForFunctions(page, [culprit]);
  }));

test('Escape closes the dialog, and the focus is where it was', () =>
  journey(async (page) => {
    await page.goto(home);
    await waitForFunctions(page);
    await page.focus('.functions .mute');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { hidden: true });
    assert.ok(await page.evaluate(() => document.activeElement?.matches('.mute')));
    assert.ok(!page.url().includes('view=function'));
  }));

test('states choose what is listed, and are in the URL', () =>
  journey(async (page) => {
    await page.goto(`${home}?state=all`);
    await waitForFunctions(page, expected.culprits);
    const shown = await page.$$eval('.functions td.c-state', (cells) =>
      cells.map((cell) => cell.textContent),
    );
    const [state] = shown;
    for (const choice of await page.$$('.states a')) {
      const label = await choice.evaluate((a) => a.textContent.toLowerCase());
      if (label === state) await choice.click();
    }
    await page.waitForFunction((s) => location.search.includes(`state=${s}`), {}, state);
    await page.waitForFunction(
      (s) =>
        [...document.querySelectorAll('.functions td.c-state')].every((c) => c.textContent === s),
      {},
      state,
    );
    await page.goBack();
    await page.waitForFunction(() => location.search.includes('state=all'));
  }));
