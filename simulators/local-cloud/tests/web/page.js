// The page in a real browser: headless Chromium, driven by playwright-core. Pictures of every page stay in target/web.
//
// It needs LOCAL_CLOUD (the program), PICTURES (a folder), NODE_PATH with playwright-core and mqtt, Chromium, openssl.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const test = require('node:test');
const { execFileSync, spawn } = require('node:child_process');
const mqtt = require('mqtt');
const { chromium } = require('playwright-core');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'local-cloud-'));
const pictures = process.env.PICTURES;
const key = Buffer.alloc(32, 'k').toString('base64');
const patience = 20000;
let cloud, ready, browser, context, page, device;

// A shared access signature, for a device (no policy) or a back end.
function token(resource, secret, policy) {
  const text = `${encodeURIComponent(resource)}\n${Math.floor(Date.now() / 1000) + 3600}`;
  const signature = crypto.createHmac('sha256', Buffer.from(secret, 'base64')).update(text).digest('base64');
  const [sr, se] = text.split('\n');
  const skn = policy ? `&skn=${policy}` : '';
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(signature)}&se=${se}${skn}`;
}

// One request by hand: what a browser would not send.
function ask(method, where, headers = {}, body = '') {
  const { hostname, port } = new URL(ready.web);
  return new Promise((resolve, reject) => {
    const request = http.request({ method, hostname, port, path: where, headers }, (response) => {
      let text = '';
      response.on('data', (part) => { text += part; });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on('error', reject).end(body);
  });
}

const rest = async (method, where, body) => {
  const pairs = ready.hubConnectionString.split(';').map((part) => part.match(/([^=]*)=(.*)/).slice(1));
  const parts = Object.fromEntries(pairs);
  const authorization = token(parts.HostName, parts.SharedAccessKey, parts.SharedAccessKeyName);
  return ask(method, `${where}?api-version=2021-04-12`, { authorization }, body && JSON.stringify(body));
};

// A device over MQTT that answers methods and reports what it is told.
function connect(id, secret) {
  const client = mqtt.connect({
    protocol: 'mqtts', host: '127.0.0.1', port: Number(ready.hub.split(':').pop()),
    ca: fs.readFileSync(path.join(folder, 'root.pem')), protocolVersion: 4, reconnectPeriod: 0,
    clientId: id, username: `${ready.hubName}/${id}/?api-version=2021-04-12`,
    password: token(`${ready.hubName}/devices/${id}`, secret),
  });
  client.messages = [];
  client.on('message', (topic, payload) => {
    const call = topic.match(/^\$iothub\/methods\/POST\/(.*)\/\?\$rid=(.*)$/);
    if (!call) return client.messages.push([topic, payload.toString()]);
    const answer = JSON.stringify({ [call[1]]: JSON.parse(payload) });
    return client.publish(`$iothub/methods/res/200/?$rid=${call[2]}`, answer);
  });
  return client;
}

const picture = (name) => page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
const open = async (where) => {
  const response = await page.goto(new URL(where, ready.web).href);
  assert.equal(response.status(), 200, where);
};
const live = () => page.waitForFunction(() => document.documentElement.dataset.live === 'yes');
const said = () => page.locator('.said').textContent();
const until = async (what, holds) => {
  for (const end = Date.now() + patience; Date.now() < end;) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`not within ${patience} ms: ${what}`);
};

test.before(async () => {
  fs.mkdirSync(pictures, { recursive: true });
  const ports = ['--dps-port', '0', '--hub-port', '0', '--https-port', '0', '--web', '127.0.0.1:0'];
  const options = { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] };
  cloud = spawn(process.env.LOCAL_CLOUD, ['--json', '--out-ca', 'root.pem', ...ports], options);
  for await (const line of readline.createInterface({ input: cloud.stdout })) {
    ready = JSON.parse(line);
    if (ready.event === 'ready') break;
  }
  cloud.stdout.resume();
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  context = await browser.newContext({ viewport: { width: 1180, height: 800 } });
  page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.trouble = [];
  page.on('console', (message) => message.type() === 'error' && page.trouble.push(message.text()));
  page.on('pageerror', (error) => page.trouble.push(String(error)));
});

test.after(async () => {
  device?.end(true);
  await browser?.close();
  cloud.kill();
  fs.rmSync(folder, { recursive: true });
});

test('only the link opens the page', async () => {
  assert.equal((await ask('GET', '/portal')).status, 403);
  assert.equal((await ask('GET', '/?token=00000000000000000000000000000000')).status, 403);
  assert.equal((await ask('GET', '/portal/events')).status, 403);
  await page.goto(ready.web);
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, '/portal');
  const [cookie] = await context.cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict');
  const { headers } = await ask('GET', '/');
  assert.match(headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
});

test('a certificate is uploaded, a key and a group are created', async () => {
  const [keyFile, certificate] = ['key.pem', 'board-1.pem'].map((name) => path.join(folder, name));
  const files = ['-subj', '/CN=board-1', '-keyout', keyFile, '-out', certificate];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...key, '-days', '2', ...files], { stdio: 'ignore' });
  await open('/portal/enrollments');
  await page.getByLabel('Certificate (.pem)').setInputFiles(keyFile);
  await page.getByRole('button', { name: 'Upload' }).click();
  assert.match(await said(), /no certificate/);
  await page.getByLabel('Certificate (.pem)').setInputFiles(certificate);
  await page.getByRole('button', { name: 'Upload' }).click();
  assert.match(await said(), /board-1 is enrolled/);
  await page.getByLabel('Certificate (.pem)').setInputFiles(certificate);
  await page.getByLabel('Enrol it as').selectOption('group');
  await page.getByLabel('Name of the group').fill('boards');
  await page.getByRole('button', { name: 'Upload' }).click();
  assert.match(await said(), /Group boards/);
  await page.getByLabel('Registration id or name').fill('sensor-7');
  await page.getByRole('button', { name: 'Create' }).click();
  assert.match(await said(), /sensor-7 has a key/);
  await page.getByRole('row', { name: /sensor-7/ }).getByRole('button', { name: 'Disable' }).click();
  assert.match(await said(), /sensor-7 is disabled/);
  await picture('enrolments');
  await page.getByRole('row', { name: /sensor-7/ }).getByRole('button', { name: 'Delete' }).click();
  assert.equal(await page.getByRole('row', { name: /sensor-7/ }).count(), 0);
});

test('a device comes online and its telemetry is shown and plotted', async () => {
  const keys = { symmetricKey: { primaryKey: key, secondaryKey: key } };
  assert.equal((await rest('PUT', '/devices/thermo', { deviceId: 'thermo', authentication: keys })).status, 200);
  await open('/portal/device?id=thermo');
  await live();
  assert.equal(await page.locator('[data-state]').textContent(), 'offline');
  device = connect('thermo', key);
  await page.locator('[data-state]', { hasText: /^connected$/ }).waitFor();
  const twin = ['$iothub/twin/PATCH/properties/desired/#', '$iothub/twin/res/#'];
  await device.subscribeAsync(['$iothub/methods/POST/#', ...twin]);
  await device.subscribeAsync('devices/thermo/messages/devicebound/#', { qos: 1 });
  for (let n = 0; n < 24; n++) {
    const [temperature, humidity] = [Math.round(210 + 40 * Math.sin(n / 4)) / 10, Math.round(45 + 9 * Math.cos(n / 5))];
    const topic = 'devices/thermo/messages/events/%24.ct=application%2Fjson';
    await device.publishAsync(topic, JSON.stringify({ temperature, humidity }), { qos: 1 });
  }
  await page.locator('.log p', { hasText: '"humidity"' }).nth(23).waitFor();
  const label = await page.getByRole('img').getAttribute('aria-label');
  assert.match(label, /temperature .* humidity/);
  assert.equal(await page.locator('.plot path').count(), 2);
  await page.reload();
  await live();
  assert.equal(await page.locator('.log p', { hasText: '"humidity"' }).count(), 24);
});

test('twin, method and message', async () => {
  await open('/portal/device?id=thermo');
  await page.getByLabel('Name').fill('blink');
  await page.getByLabel('Payload (JSON)').fill('{"times": 3}');
  await page.getByRole('button', { name: 'Call' }).click();
  assert.match(await said(), /blink answered 200: {"blink":{"times":3}}/);
  await page.getByLabel('Payload (JSON)').fill('{times}');
  await page.getByLabel('Name').fill('blink');
  await page.getByRole('button', { name: 'Call' }).click();
  assert.match(await said(), /not JSON/);

  await page.getByLabel('Text').fill('hello, board');
  await page.getByLabel('Properties', { exact: true }).fill('colour=blue');
  await page.getByRole('button', { name: 'Send' }).click();
  assert.match(await said(), /^Message .* is on its way/);
  const arrived = ([topic, body]) => topic.includes('colour=blue') && body === 'hello, board';
  await until('the message', () => device.messages.some(arrived));
  await page.locator('.log p', { hasText: 'completed message' }).waitFor();

  await page.getByLabel(/^Desired/).fill('{"led": "green", "interval": 5}');
  await page.getByLabel('Tags').fill('{"room": "lab"}');
  const other = await context.newPage();
  await other.goto(page.url());
  await page.getByRole('button', { name: 'Save' }).click();
  assert.match(await said(), /twin is saved/);
  await until('the patch', () => device.messages.some(([, body]) => body.includes('"interval":5')));
  await other.getByLabel(/^Desired/).fill('{}');
  await other.getByRole('button', { name: 'Save' }).click();
  assert.match(await other.locator('.said').textContent(), /changed by somebody else/);
  await other.close();
  const reported = '{"led": "green", "firmware": "2.0.0"}';
  await device.publishAsync('$iothub/twin/PATCH/properties/reported/?$rid=1', reported, { qos: 1 });
  await page.locator('.log p', { hasText: '"firmware"' }).waitFor();
  await page.reload();
  await live();
  assert.match(await page.locator('pre').textContent(), /"firmware": "2.0.0"/);
  await picture('device');
});

test('what a device sends is text, whatever it is', async () => {
  const attack = '<img src=x onerror="document.title=1"></textarea><script>document.title=2</script>';
  await device.publishAsync('devices/thermo/messages/events/a=%3Cb%3E', attack, { qos: 1 });
  const reported = JSON.stringify({ name: attack });
  await device.publishAsync('$iothub/twin/PATCH/properties/reported/?$rid=2', reported, { qos: 1 });
  const stranger = connect(attack.slice(0, 60), key);
  await new Promise((resolve) => stranger.on('error', resolve));
  for (const where of ['/portal/device?id=thermo', '/portal', '/portal/refused']) {
    await open(where);
    if (where !== '/portal/refused') await live();
    await page.getByText('onerror').first().waitFor();
    assert.equal(await page.locator('main img, main script, main svg script').count(), 0, where);
    assert.match(await page.title(), /Local Cloud/, where);
  }
  const missing = await page.goto(new URL(`/portal/device?id=${encodeURIComponent(attack)}`, ready.web).href);
  assert.equal(missing.status(), 404);
  assert.equal(await page.locator('main img').count(), 0);
  assert.ok(page.trouble.every((text) => text.includes('404')), page.trouble.join('\n'));
});

test('other pages cannot use it', async () => {
  const [{ name, value }] = await context.cookies();
  const { host, origin } = new URL(ready.web);
  const cookie = `${name}=${value}`;
  const kind = { 'content-type': 'application/x-www-form-urlencoded' };
  const form = 'id=thermo&do=delete';
  const change = (headers) => ask('POST', '/portal/device/change', { ...kind, ...headers }, form);
  assert.equal((await change({ origin })).status, 403, 'no cookie');
  assert.equal((await change({ cookie, origin: 'http://evil.example' })).status, 403, 'another origin');
  assert.equal((await change({ cookie })).status, 403, 'no origin');
  const evil = { origin: 'http://evil.example', host: 'evil.example' };
  assert.equal((await change({ cookie, ...evil })).status, 403, 'another name');
  assert.equal((await change({ cookie, origin, host })).status, 303, 'no form token');
  assert.equal((await ask('GET', '/portal', { cookie, host: `evil.example:${host.split(':')[1]}` })).status, 403);
  await open('/portal/devices');
  assert.match(await said(), /not this page's/);
  await page.getByRole('link', { name: 'thermo' }).waitFor();
  // A page elsewhere that a browser with the cookie visits.
  const fields = '<input name=id value=thermo><input name=do value=delete>';
  const html = `<form method=post action="${origin}/portal/device/change">${fields}</form>`;
  const server = http.createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const elsewhere = await context.newPage();
  await elsewhere.goto(`http://127.0.0.1:${server.address().port}/`);
  await Promise.all([elsewhere.waitForNavigation(), elsewhere.evaluate(() => document.forms[0].submit())]);
  assert.match(await elsewhere.textContent('body'), /another page|Open the link/);
  await elsewhere.close();
  server.close();
  assert.equal((await rest('GET', '/devices/thermo')).status, 200, 'still there');
});

test('refusals and faults in words', async () => {
  const wrong = connect('thermo', Buffer.alloc(32, 'x').toString('base64'));
  await new Promise((resolve) => wrong.on('error', resolve));
  await open('/portal/refused');
  await page.getByRole('row', { name: /IoT Hub thermo/ }).first().waitFor();
  await picture('refused');
  await open('/portal/faults');
  await picture('faults');
  const card = page.locator('form', { hasText: 'Refuse connections' });
  await card.getByLabel('Code').selectOption('3');
  await card.getByRole('button').click();
  assert.match(await said(), /Done/);
  const refused = connect('thermo', key);
  const error = await new Promise((resolve) => refused.on('error', resolve));
  assert.equal(error.code, 3);
  const closed = new Promise((resolve) => device.on('close', resolve));
  await page.locator('form', { hasText: 'Drop all connections' }).getByRole('button').click();
  await closed;
});

test('with the keyboard only', async () => {
  await open('/portal/devices');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'thermo');
  await page.keyboard.press('Tab');
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  assert.match(await said(), /typed is there/);
  await page.getByRole('link', { name: 'typed' }).focus();
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid', 'what has the focus is seen');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'typed' }).waitFor();
  const unlabelled = await page.evaluate(() => {
    const fields = [...document.querySelectorAll('input:not([type=hidden]), textarea, select')];
    return fields.filter((field) => !field.labels?.length).length;
  });
  assert.equal(unlabelled, 0);
});

test('narrow and dark', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ colorScheme: 'dark' });
  const pages = { overview: '', enrolments: '/enrollments', devices: '/devices', device: '/device?id=thermo' };
  for (const [name, rest] of Object.entries({ ...pages, refused: '/refused', faults: '/faults' })) {
    const where = `/portal${rest}`;
    await open(where);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${where} is ${width} wide`);
    await picture(`narrow-${name}`);
  }
  await page.setViewportSize({ width: 1180, height: 800 });
  await open('/portal');
  await live();
  await picture('overview-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await picture('overview');
  await open('/portal/devices');
  await picture('devices');
});
