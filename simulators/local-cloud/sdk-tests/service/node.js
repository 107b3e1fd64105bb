// Microsoft's Node service SDKs (azure-iothub, azure-iot-provisioning-service), unmodified, over REST. They dial 443
// and nothing else: what is dialled is led to the local cloud's port below them; names and certificate checks stay as
// they are.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const os = require('node:os');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const test = require('node:test');
const { spawn } = require('node:child_process');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'local-cloud-'));
const root = path.join(folder, 'root.pem');
const key = Buffer.alloc(32, 'k').toString('base64');
let cloud, ready;

test.before(async () => {
  const ports = ['--dps-port', '0', '--hub-port', '0', '--https-port', '0'];
  const options = { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] };
  cloud = spawn(process.env.LOCAL_CLOUD, ['--json', '--out-ca', root, ...ports], options);
  for await (const line of readline.createInterface({ input: cloud.stdout })) {
    ready = JSON.parse(line);
    if (ready.event === 'ready') break;
  }
  cloud.stdout.resume();
  const tls = require('node:tls');
  const context = tls.createSecureContext;
  tls.createSecureContext = (options) => context({ ...options, ca: fs.readFileSync(root) });
  const port = Number(ready.https.split(':').pop());
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (...args) {
    const options = Array.isArray(args[0]) ? args[0][0] : args[0];
    if (options.port === 443) Object.assign(options, { host: '127.0.0.1', port });
    return connect.apply(this, args);
  };
});

test.after(() => {
  cloud.kill();
  fs.rmSync(folder, { recursive: true });
});

// The same policy, under the service's own name.
const named = (connectionString, name) => connectionString.replace(/HostName=[^;]*/, `HostName=${name}`);

test('registry, twins, queries and jobs', async () => {
  const { Registry, JobClient } = require('azure-iothub');
  const connectionString = named(ready.hubConnectionString, ready.hubName);
  const registry = Registry.fromConnectionString(connectionString);
  const authentication = { symmetricKey: { primaryKey: key, secondaryKey: key } };
  const { responseBody: created } = await registry.create({ deviceId: 'node', authentication });
  assert.equal(created.authentication.symmetricKey.primaryKey, key);
  await assert.rejects(registry.create({ deviceId: 'node' }), { name: 'DeviceAlreadyExistsError' });
  await assert.rejects(registry.get('nobody'), { name: 'DeviceNotFoundError' });
  const { responseBody: updated } = await registry.update({ deviceId: 'node', status: 'disabled', authentication });
  assert.equal(updated.status, 'disabled');
  await registry.addModule({ deviceId: 'node', moduleId: 'm' });
  assert.equal((await registry.getModulesOnDevice('node')).responseBody[0].moduleId, 'm');
  const { responseBody: bulk } = await registry.addDevices([{ deviceId: 'a' }, { deviceId: 'b' }]);
  assert.equal(bulk.isSuccessful, true);

  const { responseBody: twin } = await registry.getTwin('node');
  await twin.update({ tags: { room: 1 }, properties: { desired: { led: true } } });
  assert.equal((await registry.getTwin('node')).responseBody.properties.desired.led, true);
  await assert.rejects(registry.updateTwin('node', { tags: {} }, 'AAAAAAAAAAA='), { name: 'InvalidEtagError' });

  const names = [];
  const query = registry.createQuery('SELECT * FROM devices', 2);
  while (query.hasMoreResults) names.push(...(await query.nextAsTwin()).result.map((t) => t.deviceId));
  assert.deepEqual(names, ['a', 'b', 'node']);

  const jobs = JobClient.fromConnectionString(connectionString);
  await jobs.scheduleTwinUpdate('j', "deviceId = 'a'", { etag: '*', tags: { job: 1 } }, new Date(), 60);
  for (let tries = 0; (await jobs.getJob('j')).jobStatus?.status !== 'completed' && tries < 200; tries++) {
    const { responseBody } = await jobs.getJob('j');
    if (responseBody?.status === 'completed') break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual((await registry.getTwin('a')).responseBody.tags, { job: 1 });
  await registry.delete('node');
  await assert.rejects(registry.getModule('node', 'm'));
  const wrong = Registry.fromConnectionString(connectionString.replace(/Key=[^=;]*=*$/, `Key=${key}`));
  await assert.rejects(wrong.get('a'), { name: 'UnauthorizedError' });
});

test('enrolments', async () => {
  const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
  const client = ProvisioningServiceClient.fromConnectionString(named(ready.dpsConnectionString, ready.dpsName));
  const attestation = { type: 'symmetricKey', symmetricKey: { primaryKey: key, secondaryKey: key } };
  const { responseBody: made } = await client.createOrUpdateIndividualEnrollment({ registrationId: 'n', attestation });
  assert.equal(made.provisioningStatus, 'enabled');
  await assert.rejects(client.getIndividualEnrollment('nobody'), /Not found/);
  await client.createOrUpdateEnrollmentGroup({ enrollmentGroupId: 'g', attestation });
  const query = client.createIndividualEnrollmentQuery({ query: 'SELECT * FROM enrollments' }, 10);
  const { result, responseBody } = await query.next();
  assert.equal((result ?? responseBody)[0].registrationId, 'n');
  await client.deleteIndividualEnrollment('n');
  await client.deleteEnrollmentGroup('g');
});
