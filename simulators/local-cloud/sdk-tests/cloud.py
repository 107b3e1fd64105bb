"""A local cloud for tests: the program, its console, and its events."""

import base64
import hashlib
import hmac
import json
import os
import queue
import socket
import subprocess
import threading
import time

PROGRAM = os.environ.get("LOCAL_CLOUD", "local-cloud")
# An address of the loopback network that no other process uses.
ADDRESS = f"127.66.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
SCOPE = "0ne00000000"
GROUP_KEY = base64.b64encode(bytes(range(32))).decode()
KEY = base64.b64encode(b"k" * 32).decode()


def redirect():
    """SDKs dial 8883 and 443 of the names they are given. Below them, every name leads to the local cloud, and 443 to
    a port that needs no rights."""
    import urllib3.util.connection

    for module in (socket, urllib3.util.connection):
        def dial(address, *args, real=module.create_connection, **kwargs):
            port = {443: 8443}.get(address[1], address[1])
            return real((ADDRESS, port), *args, **kwargs)

        module.create_connection = dial


def derive(key, registration_id):
    """The key of a device in a group."""
    digest = hmac.new(base64.b64decode(key), registration_id.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stderr=subprocess.DEVNULL)


class Cloud:
    """The program `local-cloud` in a folder that keeps its state."""

    def __init__(self, folder):
        self.folder = folder
        self.enrollments = folder / "enrollments"
        (self.enrollments / "groups").mkdir(parents=True)
        self.events = queue.Queue()
        self.start()

    def start(self, *options):
        self.program = subprocess.Popen(
            [PROGRAM, "--json", f"--listen={ADDRESS}", "--https-port=8443", "--retry-after=1", *options,
             f"--enrollments={self.enrollments}", f"--out-ca={self.root_file}", f"--state={self.folder / 'state'}",
             f"--ready-file={self.folder / 'ready'}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(self.program.stdout,), daemon=True).start()
        try:
            self.expect("ready")
            assert (self.folder / "ready").exists()
        except AssertionError:
            self.program.kill()
            raise

    def stop(self):
        self.program.terminate()
        assert self.program.wait(20) == 0
        assert not (self.folder / "ready").exists()

    def _read(self, output):
        for line in output:
            self.events.put(json.loads(line))

    @property
    def root_file(self):
        return self.folder / "root.pem"

    @property
    def root(self):
        return self.root_file.read_text()

    def expect(self, event, timeout=20, **members):
        """The next event of this name with these members."""
        end = time.monotonic() + timeout
        seen = []
        while (left := end - time.monotonic()) > 0:
            try:
                found = self.events.get(timeout=left)
            except queue.Empty:
                break
            if found["event"] == event and all(found.get(name) == value for name, value in members.items()):
                return found
            seen.append(found)
        raise AssertionError(f"no {event} {members}; but {seen[-5:]}")

    def type(self, line):
        """Types a line; gives the answer."""
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = self.events.get(timeout=20)
            if found["event"] in ("answer", "error") and found["command"] == line:
                assert found["event"] == "answer", found
                return found
        raise AssertionError(line)

    def add(self, device, host="localhost"):
        """Creates a device with a key; gives its connection string."""
        answer = self.type(f"add {device} {KEY}")["connectionString"]
        return answer.replace("HostName=local-hub.azure-devices.net", f"HostName={host}")

    def keys(self, individual=(), groups=()):
        (self.enrollments / "keys.json").write_text(json.dumps({"individual": individual, "groups": groups}))

    def certificate(self, name, enrol=True):
        """A self-signed certificate; gives the files of certificate and key."""
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(cert))
        if enrol:
            (self.enrollments / cert.name).write_bytes(cert.read_bytes())
        return str(cert), str(key)

    def chain(self, name):
        """A certificate below an authority with a group of its own; gives the files of the chain and the key."""
        authority, authority_key = self.certificate(f"{name}-ca", enrol=False)
        (self.enrollments / "groups" / "ca.pem").write_bytes(open(authority, "rb").read())
        request, leaf, key = (str(self.folder / f"{name}.{end}") for end in ("csr", "pem", "key"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-days", "2",
                "-CAcreateserial", "-out", leaf)
        chain = self.folder / f"{name}-chain.pem"
        chain.write_text(open(leaf).read() + open(authority).read())
        return str(chain), key, leaf
