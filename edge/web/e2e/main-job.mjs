// The main job in a real browser, at the width of a small phone. Fails loudly at the first thing
// that is not as it should be.
//
//   MELA_URL      the shop, e.g. http://127.0.0.1:8080
//   MELA_SIM_URL  the simulators, e.g. http://127.0.0.1:8090
//   MELA_SHOTS    folder for screenshots (optional)
//   MELA_BROWSER  path of Chromium (optional)
//   MELA_SEARCH   misspelt words to search, with | between (optional)
//   MELA_PHONE    number to log in with (optional, else a random one)

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const SHOP = required('MELA_URL').replace(/\/$/, '');
const SIM = required('MELA_SIM_URL').replace(/\/$/, '');
const SHOTS = process.env.MELA_SHOTS;
const SEARCHES = (process.env.MELA_SEARCH ?? 'kruta|jaket').split('|');
const PHONE = process.env.MELA_PHONE ?? `9${String(Math.floor(Math.random() * 1e9)).padStart(9, '0')}`;
const FIRST_LOAD_BYTES = 100 * 1024;
const WIDTH = 360;
const PATIENCE = 30_000;

function required(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`set ${name}; see the top of this file`);
    process.exit(2);
  }
  return value;
}

function browserPath() {
  const usual = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  const found = process.env.MELA_BROWSER
    ?? usual.flatMap((n) => (process.env.PATH ?? '').split(':').map((d) => path.join(d, n))).find((p) => existsSync(p));
  assert.ok(found, 'no Chromium found; install it or name it in MELA_BROWSER');
  return found;
}

/** The demo's questions, to win for certain; without them the first choice is taken. */
function answers() {
  const file = new URL('../../../app/mela/demo-shop/quiz.json', import.meta.url);
  if (!existsSync(file)) return new Map();
  return new Map(JSON.parse(readFileSync(file, 'utf8')).map((q) => [q.text, q.choices[q.answer]]));
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function until(what, look, ms = PATIENCE) {
  const end = Date.now() + ms;
  let last;
  while (Date.now() < end) {
    last = await look();
    if (last) return last;
    await pause(200);
  }
  throw new Error(`waited ${ms} ms in vain: ${what}`);
}

async function sim(at, body) {
  const init = body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(`${SIM}/_sim${at}`, init);
  return { ok: response.ok, status: response.status, data: await response.json().catch(() => null) };
}

const browser = await chromium.launch({ executablePath: browserPath(), args: ['--no-sandbox', '--disable-gpu'] });
const context = await browser.newContext({ viewport: { width: WIDTH, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, locale: 'en-IN', reducedMotion: 'reduce' });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE);

const complaints = [];
page.on('console', (m) => { if (m.type() === 'error' && page.url().startsWith(SHOP)) complaints.push(m.text()); });
page.on('pageerror', (e) => complaints.push(String(e)));
page.on('response', (r) => { if (r.url().startsWith(SHOP) && r.status() >= 400) complaints.push(`${r.status()} ${r.url()}`); });
page.on('request', (r) => {
  const known = [SHOP, SIM, 'data:', SHOP.replace(/^http/, 'ws')].some((p) => r.url().startsWith(p));
  if (!known) complaints.push(`asks a foreign host: ${r.url()}`);
});

let steps = 0;
let now = 'start';

/** What every screen must keep: no sideways scrolling, names for all controls. */
async function check(name) {
  const wrong = await page.evaluate((width) => {
    const seen = (el) => el.getClientRects().length > 0;
    const named = (el) => (el.getAttribute('aria-label') ?? el.textContent).trim() || el.querySelector('img[alt]:not([alt=""])');
    const list = [];
    if (document.documentElement.scrollWidth > width) list.push(`is ${document.documentElement.scrollWidth} px wide`);
    for (const el of document.querySelectorAll('a[href]:not([aria-hidden]), button')) if (seen(el) && !named(el)) list.push(`no name: ${el.outerHTML.slice(0, 120)}`);
    for (const el of document.querySelectorAll('input:not([type=hidden]), select')) if (seen(el) && !el.labels?.length && !el.getAttribute('aria-label')) list.push(`no label: ${el.outerHTML.slice(0, 120)}`);
    for (const el of document.querySelectorAll('img')) if (!el.hasAttribute('alt') || !el.getAttribute('width')) list.push(`picture without alt or size: ${el.outerHTML.slice(0, 120)}`);
    if (document.querySelectorAll('h1').length !== 1) list.push(`${document.querySelectorAll('h1').length} h1`);
    if (!document.documentElement.lang) list.push('no language');
    return list;
  }, WIDTH);
  assert.deepEqual(wrong, [], `${name}: ${wrong.join('; ')}`);
}

async function step(name, work) {
  now = name;
  const began = Date.now();
  const seen = await work();
  steps += 1;
  if (page.url().startsWith(SHOP)) await check(name);
  if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `${String(steps).padStart(2, '0')}-${name.replace(/\W+/g, '-')}.png`) });
  console.log(`ok ${String(steps).padStart(2)} ${name}${seen ? `: ${seen}` : ''} (${Date.now() - began} ms)`);
}

const text = (selector) => page.locator(selector).first().innerText();
const rupees = (s) => Math.round(Number(s.replace(/[^\d.]/g, '')) * 100);

async function mainJob() {
  await step('open the shop', async () => {
    const cdp = await context.newCDPSession(page);
    await cdp.send('Network.enable');
    const kinds = new Map();
    let bytes = 0;
    let pictures = 0;
    cdp.on('Network.responseReceived', (e) => kinds.set(e.requestId, e.type));
    cdp.on('Network.loadingFinished', (e) => {
      if (kinds.get(e.requestId) === 'Image') pictures += e.encodedDataLength;
      else bytes += e.encodedDataLength;
    });
    const response = await page.goto(`${SHOP}/`);
    assert.ok(response.headers()['content-security-policy']?.includes("script-src 'self'"), 'no strict policy');
    await page.waitForSelector('.card a');
    await page.waitForLoadState('networkidle');
    assert.ok(bytes > 1000 && bytes <= FIRST_LOAD_BYTES, `the first load takes ${bytes} bytes without pictures`);
    await cdp.detach();
    return `${(bytes / 1024).toFixed(1)} KB, pictures ${(pictures / 1024).toFixed(1)} KB`;
  });

  await step('reach the content by keyboard', async () => {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  });

  await step('search with a typo', async () => {
    for (const words of SEARCHES) {
      await page.fill('#search input', words);
      await page.keyboard.press('Enter');
      await page.waitForFunction((w) => new URLSearchParams(location.hash.split('?')[1]).get('q') === w, words);
      await page.waitForSelector('.p-search [role=status]:not(:empty)');
      await page.waitForSelector('.p-search .side-main .card a, .p-search .side-main .empty');
      if (await page.locator('.side-main .card').count()) return `“${words}”: ${await text('.p-search [role=status]')}`;
    }
    throw new Error(`nothing found for ${SEARCHES.join(', ')}`);
  });

  await step('filter', async () => {
    const before = Number((await text('.p-search [role=status]')).replace(/\D/g, '') || 1);
    if (!(await page.locator('details.filters').getAttribute('open'))) await page.click('details.filters summary');
    const tick = page.locator('fieldset[data-facet=size] .tick, fieldset[data-facet=color] .tick').first();
    const label = (await tick.innerText()).split('\n')[0];
    await tick.locator('input').check();
    await page.waitForSelector('.chosen .chip.on');
    await page.waitForSelector('.side-main [aria-busy]', { state: 'detached' });
    const after = Number((await text('.p-search [role=status]')).replace(/\D/g, '') || 1);
    assert.ok(after > 0 && after <= before, `${before} products became ${after}`);
    return `${label}: ${before} → ${after}`;
  });

  await step('open a product and choose options', async () => {
    await page.locator('.side-main .card a').first().click();
    await page.waitForSelector('#add');
    const sets = page.locator('fieldset[data-option]');
    for (let i = 0; i < await sets.count(); i += 1) await sets.nth(i).locator('.pick:not(.none) input').first().check();
    return `${await text('h1')}, ${await text('.cost b')}`;
  });

  await step('put it into the cart', async () => {
    await page.click('#add');
    await page.waitForSelector('.toast');
    await until('badge', async () => (await page.locator('#cart .badge').count()) > 0);
    assert.equal(await page.locator('.buy .wrong:not(:empty)').count(), 0);
  });

  await step('log in by OTP', async () => {
    await page.goto(`${SHOP}/#/login?next=/cart`);
    await page.fill('#f-phone', PHONE);
    await page.click('form.narrow button[type=submit]');
    await page.waitForSelector('#f-code');
    const message = await until('the SMS', async () => (await sim(`/sms?to=${encodeURIComponent(`+91${PHONE}`)}`)).data?.messages?.[0]);
    const [code] = message.text.match(/\b\d{6}\b/);
    await page.locator('#f-code').pressSequentially(code);
    await page.waitForSelector('#checkout');
    assert.equal(await page.locator('.line').count(), 1, 'the cart did not follow');
  });

  await step('play the quiz to the end', async () => {
    const right = answers();
    await page.goto(`${SHOP}/#/play`);
    await page.click('#start');
    for (let round = 0; round < 3; round += 1) {
      for (let last = '';;) {
        await page.waitForFunction((l) => document.querySelector('#prize') || (document.querySelector('.stage .choice:not([aria-disabled])') && document.querySelector('#quiz').textContent !== l), last, { timeout: 90_000 });
        if (await page.locator('#prize').count()) break;
        last = await page.locator('#quiz').textContent();
        const wanted = right.get(last);
        const choice = wanted ? page.locator('.stage .choice', { hasText: wanted }) : page.locator('.stage .choice');
        await choice.first().click();
      }
      const coins = Number(await page.locator('#prize').getAttribute('data-coins'));
      if (coins > 0) return `${await text('#quiz')} ${coins} coins`;
      await page.click('#again');
      await page.waitForSelector('#prize', { state: 'detached' });
    }
    throw new Error('three rounds without a coin');
  });

  await step('use coins', async () => {
    await page.goto(`${SHOP}/#/cart`);
    // The coins are written with the result; the wallet may be asked an instant earlier.
    await until('coins in the wallet', async () => {
      await page.reload();
      await page.waitForSelector('#checkout');
      return page.locator('#coin-range').count();
    });
    const before = rupees(await text('.sum .due dd'));
    const max = await page.locator('#coin-range').getAttribute('max');
    await page.locator('#coin-range').fill(String(Math.min(10, Number(max))));
    await until('a smaller sum', async () => rupees(await text('.sum .due dd')) < before);
    return `${before / 100} → ${await text('.sum .due dd')}`;
  });

  let toPay;
  await step('give the address', async () => {
    await page.click('#checkout');
    await page.waitForSelector('#use-address');
    await page.fill('#f-name', 'Asha Devi');
    await page.fill('#f-phone', PHONE);
    await page.fill('#f-pincode', '560001');
    await until('the state', async () => /Karnataka/i.test(await text('.place')));
    await page.fill('#f-line1', '12 MG Road');
    await page.fill('#f-city', 'Bengaluru');
    await page.fill('#f-email', 'asha@example.com');
    await page.click('#use-address');
    await page.waitForSelector('#pay');
    toPay = await text('.sum .due dd');
    return `${await text('#state')}, to pay ${toPay}`;
  });

  await step('pay on the page of the gateway', async () => {
    await page.locator('input[name=method][value=RAZORPAY]').check();
    await page.click('#pay');
    await page.waitForURL((url) => url.href.startsWith(SIM));
    if (SHOTS) await page.screenshot({ path: path.join(SHOTS, 'gateway.png') });
    await page.locator('button[name=outcome][value=success]').first().click();
    await page.waitForURL((url) => url.href.startsWith(SHOP) && url.hash.startsWith('#/orders/'));
    await page.waitForSelector('h1');
  });

  let number;
  await step('see the order confirmed', async () => {
    await page.waitForSelector('#state[data-state=CONFIRMED]');
    number = await page.locator('h1').getAttribute('data-number');
    await page.waitForSelector('.live.on');
    await page.evaluate(() => { window.sameDocument = true; });
    return number;
  });

  await step('see the order move live', async () => {
    const seen = ['CONFIRMED'];
    await until('the parcel at the courier', async () => (await sim('/shipway/advance', { order_id: number })).ok);
    for (let i = 0; i < 8 && seen.at(-1) !== 'DELIVERED'; i += 1) {
      const from = seen.at(-1);
      await page.waitForFunction((s) => document.querySelector('#state')?.dataset.state !== s, from, { timeout: 4000 }).catch(() => null);
      const state = await page.locator('#state').getAttribute('data-state');
      if (state !== from) seen.push(state);
      if (state !== 'DELIVERED') await sim('/shipway/advance', { order_id: number });
    }
    await page.waitForSelector('#state[data-state=DELIVERED]');
    if (seen.at(-1) !== 'DELIVERED') seen.push('DELIVERED');
    assert.ok(seen.includes('SHIPPED'), `went ${seen.join(' → ')}`);
    assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was loaded again');
    assert.ok((await page.locator('.trail li').count()) > 3);
    return seen.join(' → ');
  });

  await step('open the invoice', async () => {
    const link = page.locator('#invoice');
    await link.waitFor();
    const href = new URL(await link.getAttribute('href'), SHOP).href;
    const pdf = await until('the invoice', async () => {
      const response = await context.request.get(href);
      return response.ok() && response;
    });
    const body = await pdf.body();
    assert.match(pdf.headers()['content-type'], /application\/pdf/);
    assert.equal(body.subarray(0, 5).toString(), '%PDF-');
    return `${await link.innerText()}, ${body.length} bytes`;
  });

  await step('find the news in the inbox', async () => {
    await page.goto(`${SHOP}/#/inbox`);
    await page.waitForSelector('.message');
    return `${await page.locator('.message').count()} messages`;
  });

  await step('read the shop in Hindi', async () => {
    await page.goto(`${SHOP}/#/orders`);
    await page.waitForSelector('.rowlink');
    await page.locator('#tools button[lang=hi]').click();
    await page.waitForFunction(() => document.documentElement.lang === 'hi');
    await page.waitForSelector('.rowlink');
    return text('h1');
  });
}

if (SHOTS) mkdirSync(SHOTS, { recursive: true });
let failed = null;
try {
  await mainJob();
  assert.deepEqual(complaints, [], 'the browser complained');
} catch (error) {
  failed = error;
  console.error(`FAILED at “${now}” on ${page.url()}\n${error.stack}`);
  if (complaints.length) console.error(`the browser said:\n  ${complaints.join('\n  ')}`);
  if (SHOTS) await page.screenshot({ path: path.join(SHOTS, 'failed.png') }).catch(() => null);
}
await browser.close();
if (!failed) console.log(`the main job holds: ${steps} steps, no complaint of the browser`);
process.exit(failed ? 1 : 0);
