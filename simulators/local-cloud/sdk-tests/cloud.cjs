// A local cloud for tests: the program, its console, and its events.
"use strict";
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");

const KEY = Buffer.alloc(32, "k").toString("base64");

class Cloud {
  static async start() {
    const cloud = new Cloud();
    cloud.folder = fs.mkdtempSync(path.join(os.tmpdir(), "local-cloud-"));
    cloud.enrollments = path.join(cloud.folder, "enrollments");
    fs.mkdirSync(cloud.enrollments);
    const root = path.join(cloud.folder, "root.pem");
    cloud.program = spawn(process.env.LOCAL_CLOUD ?? "local-cloud", [
      "--json", `--listen=${process.env.LOCAL_CLOUD_ADDRESS}`, "--https-port=8443", "--retry-after=1",
      `--enrollments=${cloud.enrollments}`, `--out-ca=${root}`, `--state=${process.env.LOCAL_CLOUD_STATE ?? path.join(cloud.folder, "state")}`,
    ], { stdio: ["pipe", "pipe", "inherit"] });
    cloud.events = [];
    cloud.waiting = [];
    readline.createInterface({ input: cloud.program.stdout }).on("line", (line) => {
      cloud.events.push(JSON.parse(line));
      for (const look of cloud.waiting.splice(0)) look();
    });
    await cloud.expect("ready");
    cloud.root = fs.readFileSync(root, "utf8");
    return cloud;
  }

  async stop() {
    this.program.stdin.write("quit\n");
    if (this.program.exitCode === null) await once(this.program, "exit");
    fs.rmSync(this.folder, { recursive: true });
  }

  // The next event of this name with these members.
  async expect(event, members = {}) {
    const end = Date.now() + 20_000;
    for (;;) {
      const fits = (e) => e.event === event && Object.entries(members).every(([name, value]) => e[name] === value);
      const index = this.events.findIndex(fits);
      if (index >= 0) return this.events.splice(0, index + 1).at(-1);
      if (Date.now() > end) throw new Error(`no ${event} ${JSON.stringify(members)}: ${JSON.stringify(this.events)}`);
      await new Promise((resolve) => {
        this.waiting.push(resolve);
        setTimeout(resolve, 1000).unref();
      });
    }
  }

  // Types a line; gives the answer.
  async type(line) {
    this.program.stdin.write(line + "\n");
    return this.expect("answer", { command: line });
  }

  // Creates a device with a key; gives its connection string.
  async add(device) {
    const { connectionString } = await this.type(`add ${device} ${KEY}`);
    return connectionString.replace("HostName=local-hub.azure-devices.net", "HostName=localhost");
  }

  keys(individual, groups = []) {
    fs.writeFileSync(path.join(this.enrollments, "keys.json"), JSON.stringify({ individual, groups }));
  }
}

module.exports = { Cloud, KEY };
