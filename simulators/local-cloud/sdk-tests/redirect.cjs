// SDKs dial 8883 and 443 of the names they are given. Below them, every name leads to the local cloud, and 443 to a port
// that needs no rights.
"use strict";
const net = require("node:net");

// An address of the loopback network that no other process uses.
const address = `127.67.${Math.floor(process.pid / 250) % 250}.${(process.pid % 250) + 1}`;
process.env.LOCAL_CLOUD_ADDRESS = address;
const real = net.Socket.prototype.connect;
net.Socket.prototype.connect = function connect(...args) {
  const [options, callback] = Array.isArray(args[0]) ? args[0] : args;
  if (options === null || typeof options !== "object" || !options.port || !options.host) return real.apply(this, args);
  const port = Number(options.port) === 443 ? 8443 : options.port;
  return real.call(this, { ...options, host: address, port, lookup: undefined }, callback);
};
