// The WebSocket of the example `pipe` against Node's `ws`, which judges its handshake and its frames.
"use strict";
const assert = require("node:assert");
const { spawn } = require("node:child_process");
const { randomBytes } = require("node:crypto");
const { once } = require("node:events");
const { test } = require("node:test");
const { Server } = require("ws");

// A server for one client, which is given `input`; `serve` has the server's side.
async function run(input, serve) {
  const server = new Server({
    host: "127.0.0.1",
    port: 0,
    path: "/$iothub/websocket",
    perMessageDeflate: true,
    handleProtocols: (offered) => ([...offered].includes("mqtt") ? "mqtt" : false),
  });
  await once(server, "listening");
  const client = spawn(process.env.PIPE, [`127.0.0.1:${server.address().port}`]);
  const output = [];
  let said = "";
  client.stdout.on("data", (chunk) => output.push(chunk));
  client.stderr.on("data", (chunk) => (said += chunk));
  client.stdin.end(input);
  const [socket] = await once(server, "connection");
  socket.on("error", (error) => assert.fail(error));
  serve(socket);
  const [[status], [code]] = await Promise.all([once(client, "close"), once(socket, "close")]);
  server.close();
  return { output: Buffer.concat(output), said, status, code };
}

test("data there and back, with fragments and pings between them", async () => {
  const input = randomBytes(300_000);
  let [received, pings, pongs] = [0, 0, 0];
  const { output, status, code } = await run(input, (socket) => {
    socket.on("pong", (payload) => (pongs += payload.equals(Buffer.alloc(125, 7)) ? 1 : 0));
    socket.on("message", (data) => {
      assert(Buffer.isBuffer(data));
      received += data.length;
      for (let at = 0; at < data.length; at += 400) {
        socket.send(data.subarray(at, at + 400), { binary: true, fin: at + 400 >= data.length });
        if (at === 0 && pings++ < 100) socket.ping(Buffer.alloc(125, 7));
      }
      if (received === input.length) socket.close(1000);
    });
  });
  assert(output.equals(input));
  assert.deepEqual([status, code], [0, 1000]);
  assert(pongs > 0);
});

test("closed with a reason", async () => {
  const { said, status, code } = await run(Buffer.from("x"), (socket) => socket.close(4001, "enough"));
  assert.match(said, /4001/);
  assert.deepEqual([status, code], [1, 4001]);
});
