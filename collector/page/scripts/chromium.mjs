// The browser of the tests and the scripts: CHROMIUM, or else /usr/bin/chromium.
import { launch } from 'puppeteer-core';

/** A browser without a window, and with nothing kept from before. */
export const chromium = () =>
  launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
