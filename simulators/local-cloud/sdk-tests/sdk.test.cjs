// Microsoft's Node SDKs, unmodified, against the local cloud. NODE_EXTRA_CA_CERTS names its root certificate.
"use strict";
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test: unlimited } = require("node:test");
const { Client, Message, ModuleClient } = require("azure-iot-device");
const { Mqtt, MqttWs } = require("azure-iot-device-mqtt");
const { Http } = require("azure-iot-device-http");
const { ProvisioningDeviceClient } = require("azure-iot-provisioning-device");
const dpsMqtt = require("azure-iot-provisioning-device-mqtt");
const dpsHttp = require("azure-iot-provisioning-device-http");
const { SymmetricKeySecurityClient } = require("azure-iot-security-symmetric-key");
const { X509Security } = require("azure-iot-security-x509");
const { Cloud, KEY } = require("./cloud.cjs");

const SCOPE = "0ne00000000";
const TRANSPORTS = { Mqtt: dpsMqtt.Mqtt, MqttWs: dpsMqtt.MqttWs, Http: dpsHttp.Http };
const test = (name, body) => unlimited(name, { timeout: 30_000 }, body);
let cloud;

before(async () => {
  cloud = await Cloud.start();
  cloud.keys([
    { registrationId: "one", primaryKey: KEY, allocation: "custom", payload: { plan: 1 } },
    { registrationId: "off", primaryKey: KEY, disabled: true },
    { registrationId: "tpm", endorsementKey: Buffer.from("endorsement").toString("base64") },
  ]);
});

after(() => cloud.stop());

function provisioning(security, Transport = dpsMqtt.Mqtt, scope = SCOPE) {
  return ProvisioningDeviceClient.create("localhost", scope, new Transport(), security);
}

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  test(`DPS by key over ${name}`, async () => {
    const client = provisioning(new SymmetricKeySecurityClient("one", KEY), Transport);
    client.setProvisioningPayload({ modelId: "dtmi:a:b;1" });
    const state = await client.register();
    assert.deepEqual([state.status, state.assignedHub, state.deviceId, state.substatus],
      ["assigned", "localhost", "one", "initialAssignment"]);
    assert.deepEqual(state.payload, { plan: 1 });
    await cloud.expect("registered", { registrationId: "one" });
  });

  test(`DPS refuses over ${name}`, async () => {
    const wrong = Buffer.alloc(32, "w").toString("base64");
    for (const [id, key, scope, reason] of [
      ["one", wrong, SCOPE, /^401002 /],
      ["nobody", KEY, SCOPE, /^404201 /],
      ["one", KEY, "0neFFFFFFFF", /unknown id scope|^404201 /],
      ["off", KEY, SCOPE, /disabled/],
    ]) {
      await assert.rejects(provisioning(new SymmetricKeySecurityClient(id, key), Transport, scope).register(),
        (error) => error instanceof Error, `${id} ${scope}`);
      assert.match((await cloud.expect("refused")).reason, reason);
    }
  });
}

function certificate(name, enrol = true) {
  const [cert, key] = [".pem", ".key"].map((end) => path.join(cloud.folder, name + end));
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${name}`,
    "-keyout", key, "-out", cert], { stdio: "ignore" });
  if (enrol) fs.copyFileSync(cert, path.join(cloud.enrollments, `${name}.pem`));
  return { cert: fs.readFileSync(cert, "utf8"), key: fs.readFileSync(key, "utf8") };
}

test("DPS and hub by certificate", async () => {
  const identity = certificate("x509-node");
  for (const Transport of Object.values(TRANSPORTS)) {
    const state = await provisioning(new X509Security("x509-node", identity), Transport).register();
    assert.equal(state.deviceId, "x509-node");
  }
  for (const Transport of [Mqtt, MqttWs, Http]) {
    const client = Client.fromConnectionString("HostName=localhost;DeviceId=x509-node;x509=true", Transport);
    await client.setOptions({ ...identity, ...options(Transport) });
    await client.open();
    await client.sendEvent(new Message("hi"));
    assert.equal((await cloud.expect("telemetry", { device: "x509-node" })).body, "hi");
    await client.close();
  }
  const stranger = certificate("stranger", false);
  await assert.rejects(provisioning(new X509Security("stranger", stranger)).register(), { name: "UnauthorizedError" });
});

test("DPS by TPM", async () => {
  // The part of a TPM that the SDK asks for; the local cloud's blob is the bare key.
  let key;
  const security = {
    getRegistrationId: (callback) => callback(null, "tpm"),
    getEndorsementKey: (callback) => callback(null, Buffer.from("endorsement")),
    getStorageRootKey: (callback) => callback(null, Buffer.from("storage root")),
    activateIdentityKey: (blob, callback) => {
      key = Buffer.from(blob);
      callback(null);
    },
    signWithIdentity: (data, callback) => callback(null, crypto.createHmac("sha256", key).update(data).digest()),
  };
  const { registrationState: state } = await provisioning(security, dpsHttp.Http).register();
  assert.equal(state.deviceId, "tpm");
  const text = `HostName=localhost;DeviceId=tpm;SharedAccessKey=${key.toString("base64")}`;
  const client = Client.fromConnectionString(text, Mqtt);
  await client.open();
  await client.close();
  const other = { ...security, getEndorsementKey: (callback) => callback(null, Buffer.from("another")) };
  await assert.rejects(provisioning(other, dpsHttp.Http).register());
});

// The HTTPS transport never says that its options are set unless there is one of its own.
function options(Transport) {
  return Transport === Http ? { http: { receivePolicy: { interval: 1 } } } : {};
}

async function connected(device, Transport = Mqtt, Kind = Client) {
  const client = Kind.fromConnectionString(await cloud.add(device), Transport);
  if (Kind === Client) await client.setOptions(options(Transport));
  await client.open();
  return client;
}

for (const [name, Transport] of Object.entries({ Mqtt, MqttWs })) {
  test(`hub over ${name}: telemetry, messages, methods, twin`, async () => {
    const device = `node-${name}`;
    const client = await connected(device, Transport);
    const message = new Message(JSON.stringify({ t: 1 }));
    message.contentType = "application/json";
    message.contentEncoding = "utf-8";
    message.messageId = "m 1";
    message.properties.add("sp ace", "a=b&c");
    await client.sendEvent(message);
    const seen = await cloud.expect("telemetry", { device });
    assert.deepEqual(seen.properties, { "$.mid": "m 1", "$.ct": "application/json", "$.ce": "utf-8", "sp ace": "a=b&c" });

    const got = new Promise((resolve) => client.once("message", resolve));
    await cloud.type(`c2d ${device} ?k=v hello`);
    const c2d = await got;
    assert.equal(c2d.getData().toString(), "hello");
    assert.equal(c2d.properties.getValue("k"), "v");
    await client.complete(c2d);
    await cloud.expect("c2dCompleted", { device });

    client.onDeviceMethod("blink", (request, response) => response.send(207, { echo: request.payload }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const answer = await cloud.type(`method ${device} blink {"n":1}`);
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [207, { echo: { n: 1 } }]);

    const twin = await client.getTwin();
    const desired = new Promise((resolve) => twin.on("properties.desired.led", resolve));
    await new Promise((resolve, reject) => twin.properties.reported.update({ fw: "1", gone: null },
      (error) => error ? reject(error) : resolve()));
    assert.deepEqual((await cloud.expect("twinReported", { device })).patch, { fw: "1", gone: null });
    await cloud.type(`twin ${device} {"led":true}`);
    assert.equal(await desired, true);
    await client.close();
  });
}

test("hub over HTTPS: telemetry, messages", async () => {
  const client = await connected("node-http", Http);
  const message = new Message("one");
  message.properties.add("k", "v");
  await client.sendEvent(message);
  const seen = await cloud.expect("telemetry", { device: "node-http" });
  assert.deepEqual([seen.body, seen.properties.k], ["one", "v"]);
  await client.sendEventBatch([new Message("two"), new Message("three")]);
  for (const body of ["two", "three"]) assert.equal((await cloud.expect("telemetry")).body, body);
  const got = new Promise((resolve) => client.on("message", resolve));
  await cloud.type("c2d node-http ?k=v hello");
  const c2d = await got;
  assert.equal(c2d.getData().toString(), "hello");
  await client.complete(c2d);
  await cloud.expect("c2dCompleted", { device: "node-http" });
  await client.close();
});

test("module", async () => {
  await cloud.add("node-edge");
  const client = await connected("node-edge/mod", Mqtt, ModuleClient);
  await client.sendOutputEvent("output1", new Message("out"));
  const seen = await cloud.expect("telemetry", { device: "node-edge/mod" });
  assert.equal(seen.properties["$.on"], "output1");
  const got = new Promise((resolve) => client.on("inputMessage", (name, message) => resolve([name, message])));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await cloud.type("input node-edge/mod input1 in");
  const [name, message] = await got;
  assert.deepEqual([name, message.getData().toString()], ["input1", "in"]);
  await client.close();
});

test("file upload", async () => {
  const client = await connected("node-files");
  const info = await client.getBlobSharedAccessSignature("a/b.txt");
  const { hostName, containerName, blobName, sasToken, correlationId } = info;
  assert.deepEqual([containerName, blobName], ["uploads", "node-files/a/b.txt"]);
  const { BlockBlobClient } = require("@azure/storage-blob");
  const blob = new BlockBlobClient(`https://${hostName}/${containerName}/${blobName}${sasToken}`, undefined,
    { retryOptions: { maxTries: 1 } });
  const text = "x".repeat(1000);
  await blob.upload(text, text.length);
  await client.notifyBlobUploadStatus(correlationId, true, 200, "ok");
  const seen = await cloud.expect("fileUploaded", { device: "node-files" });
  assert.deepEqual([seen.success, seen.size], [true, 1000]);
  await client.close();
});

test("hub refuses", async () => {
  const good = await cloud.add("good");
  for (const Transport of [Mqtt, MqttWs, Http]) {
    for (const [text, reason] of [
      [good.replace(KEY, Buffer.alloc(32, "w").toString("base64")), /signature is wrong/],
      [good.replace("DeviceId=good", "DeviceId=nobody"), /unknown device/],
    ]) {
      const client = Client.fromConnectionString(text, Transport);
      await assert.rejects(client.open().then(() => client.sendEvent(new Message("x"))), { name: "UnauthorizedError" });
      assert.match((await cloud.expect("refused")).reason, reason);
    }
  }
});

test("comes back after a drop", async () => {
  const client = await connected("node-back");
  await cloud.expect("connected", { device: "node-back" });
  client.on("message", () => {});
  await new Promise((resolve) => setTimeout(resolve, 300));
  await cloud.type("drop");
  await cloud.expect("connected", { device: "node-back" });
  await client.close();
});
