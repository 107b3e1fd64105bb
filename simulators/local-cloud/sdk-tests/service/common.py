"""What the service-side tests share: a local cloud of their own, a device that answers, and checks that are counted."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading

import paho.mqtt.client as mqtt

PASSED = 0


def check(what, condition, detail=""):
    global PASSED
    if not condition:
        sys.exit(f"FAILED: {what} {detail}")
    PASSED += 1


def refused(what, call, *texts):
    """The call fails, and its error says all of these."""
    try:
        result = call()
    except Exception as error:  # every SDK has errors of its own
        shown = " ".join(str(part) for part in (error, getattr(error, "message", ""), body(error)))
        for text in texts:
            check(what, text.lower() in shown.lower(), f"{text!r} is not in {shown!r}")
        return error
    sys.exit(f"FAILED: {what}: not refused, but {result!r}")


def body(error):
    response = getattr(error, "response", None)
    text = getattr(response, "text", "")
    return text() if callable(text) else text


class Cloud:
    """`local-cloud` on ports of its own, which ends with this program."""

    def __init__(self):
        folder = tempfile.TemporaryDirectory()
        self.folder = folder
        root = os.path.join(folder.name, "root.pem")
        arguments = [os.environ["LOCAL_CLOUD"], "--json", "--out-ca", root]
        arguments += ["--dps-port", "0", "--hub-port", "0", "--https-port", "0"]
        arguments += ["--enrollments", os.path.join(folder.name, "enrollments")]
        self.process = subprocess.Popen(
            arguments, cwd=folder.name, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            self.ready = json.loads(line)
            if self.ready["event"] == "ready":
                break
        else:
            sys.exit("local-cloud does not start")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.root = root
        os.environ["REQUESTS_CA_BUNDLE"] = root
        self.hub = self.ready["hubConnectionString"]
        self.dps = self.ready["dpsConnectionString"]

    def stop(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(timeout=20)


class Device:
    """A device with a token that answers every method with what it was sent."""

    def __init__(self, cloud, device_id, token):
        host, port = cloud.ready["hub"].rsplit(":", 1)
        name = cloud.ready["hubName"]
        self.messages, self.online = [], threading.Event()
        self.arrived = threading.Condition()
        self.client = mqtt.Client(client_id=device_id, clean_session=False)
        self.client.username_pw_set(f"{name}/{device_id}/?api-version=2021-04-12", token)
        context = ssl.create_default_context(cafile=cloud.root)
        context.check_hostname = False  # the hub's name does not resolve to this machine
        self.client.tls_set_context(context)
        self.id = device_id
        self.client.on_connect = lambda *_: self.client.subscribe(
            [("$iothub/methods/POST/#", 0), (f"devices/{device_id}/messages/devicebound/#", 1)]
        )
        self.client.on_subscribe = lambda *_: self.online.set()
        self.client.on_message = self.message
        self.client.connect(host, int(port))
        self.client.loop_start()
        check("the device is online", self.online.wait(20))

    def message(self, _client, _data, message):
        if message.topic.startswith("$iothub/methods/POST/"):
            name, query = message.topic[len("$iothub/methods/POST/"):].split("/?$rid=")
            answer = json.dumps({"method": name, "got": json.loads(message.payload)})
            status = 404 if name == "unknown" else 200
            self.client.publish(f"$iothub/methods/res/{status}/?$rid={query}", answer)
            return
        with self.arrived:
            self.messages.append((message.topic, message.payload))
            self.arrived.notify_all()

    def next_message(self):
        with self.arrived:
            check("a message arrives", self.arrived.wait_for(lambda: self.messages, 20))
            return self.messages.pop(0)

    def send(self, body, properties=""):
        self.client.publish(f"devices/{self.id}/messages/events/{properties}", body, 1).wait_for_publish(20)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


def done():
    print(f"{PASSED} passed, 0 failed")
