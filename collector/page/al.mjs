import { chromium } from './scripts/chromium.mjs';
const b = await chromium(); const p = await b.newPage(); await p.setViewport({width:1280,height:800});
await p.goto('http://127.0.0.1:24381/?view=function&function=holdup_demo::faults::sleeps_in_handler&in=demo'); await p.waitForSelector('.heatmap .heat'); 
console.log(await p.evaluate(() => JSON.stringify(['.chart svg','.heatmap svg'].map((s) => { const r = document.querySelector(s).getBoundingClientRect(); return [r.left, r.right]; }))));
await b.close();
