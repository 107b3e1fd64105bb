"""A hub of the new generation, and strangers at it: paho-mqtt, which Microsoft's SDK brings along, and mosquitto's
clients. The device registers with Microsoft's SDK, which does not speak to such hubs."""

import json
import queue
import ssl
import subprocess
import uuid

import paho.mqtt.client as paho
import pytest
from azure.iot.device import X509, ProvisioningDeviceClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cloud import ADDRESS, SCOPE, Cloud

HUB, PORT = "local-hub5.device.azure-devices.net", 8884
DEVICE = "five"


class Mqtt5Cloud(Cloud):
    def start(self, *options):
        super().start(f"--mqtt5-hub={HUB}", f"--hub-port={PORT}", *options)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = Mqtt5Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def device(cloud):
    """Certificate and key of a device that is assigned to the hub."""
    cert, key = cloud.certificate(DEVICE)

    def register():
        client = ProvisioningDeviceClient.create_from_x509_certificate(
            provisioning_host="global.azure-devices-provisioning.net", registration_id=DEVICE, id_scope=SCOPE,
            x509=X509(cert_file=cert, key_file=key), server_verification_cert=cloud.root)
        return client.register().registration_state.assigned_hub

    assert register() == "local-hub.azure-devices.net"
    cloud.type("fault " + json.dumps({"fault": "move", "device": DEVICE, "hub": HUB}))
    assert register() == HUB
    return cert, key


def properties(kind, correlation=None, content_type="application/protobuf", **user):
    found = Properties(PacketTypes.PUBLISH)
    found.UserProperty = [("type", kind), *user.items()]
    if content_type:
        found.ContentType = content_type
    if correlation:
        found.CorrelationData = correlation
    return found


class Client:
    """paho as such a device has to be."""

    def __init__(self, cloud, device, client_id=DEVICE, user=None, will=None, connect_properties=None, clean=True):
        self.nonce = uuid.uuid4().bytes
        self.messages, self.connack, self.suback, self.puback = (queue.Queue() for _ in range(4))
        self.ended = queue.Queue()
        client = self.client = paho.Client(client_id, protocol=paho.MQTTv5)
        context = ssl.create_default_context(cadata=cloud.root)
        context.load_cert_chain(*device)
        client.tls_set_context(context)
        client.username_pw_set(user or f"correlationId={self.nonce.hex()}&clientVersion=paho")
        if will:
            client.will_set(will, b"", qos=1)
        client.on_connect = lambda _client, _user, flags, reason, found: self.connack.put((reason.value, flags, found))
        client.on_subscribe = lambda _client, _user, _mid, reasons, _found: self.suback.put(reasons[0].value)
        client.on_message = lambda _client, _user, message: self.messages.put(message)
        client.on_disconnect = lambda _client, _user, reason, _found: self.ended.put(reason)
        # paho has no callback for the reason of a PUBACK: it is taken where it reads it.
        handle = client._handle_pubackcomp

        def acknowledged(cmd):
            body = client._in_packet["packet"]
            self.puback.put(body[2] if len(body) > 2 else 0)
            return handle(cmd)

        client._handle_pubackcomp = acknowledged
        client.connect(HUB, PORT, keepalive=30, clean_start=clean, properties=connect_properties)
        client.loop_start()

    def connected(self):
        reason, flags, found = self.connack.get(timeout=10)
        assert reason == 0
        return flags, found

    def subscribe(self, topic=f"ih/{DEVICE}/dev/#"):
        self.client.subscribe(topic, qos=1)
        return self.suback.get(timeout=10)

    def publish(self, channel, kind, body=b"", qos=0, correlation=None, **more):
        topic = f"ih/{DEVICE}/srv/{channel}"
        self.client.publish(topic, body, qos=qos, properties=properties(kind, correlation, **more))
        return self.puback.get(timeout=10) if qos else None

    def expect(self, kind, correlation):
        message = self.messages.get(timeout=10)
        assert message.topic.startswith(f"ih/{DEVICE}/dev/")
        assert dict(message.properties.UserProperty) == {"type": kind}
        assert message.properties.CorrelationData == correlation
        assert message.properties.ContentType == "application/protobuf"
        return message

    def born(self):
        self.connected()
        assert self.subscribe() == 1
        self.publish("presence", "birth:1", correlation=self.nonce)
        return self.expect("birth-ack:1", self.nonce).payload

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def client(cloud, device):
    client = Client(cloud, device)
    yield client
    client.close()


def test_terms(cloud, device):
    wanted = Properties(PacketTypes.CONNECT)
    wanted.SessionExpiryInterval = 100_000
    client = Client(cloud, device, connect_properties=wanted)
    _, found = client.connected()
    said = {name: getattr(found, name) for name in (
        "MaximumQoS", "RetainAvailable", "MaximumPacketSize", "TopicAliasMaximum", "ReceiveMaximum",
        "SharedSubscriptionAvailable", "SubscriptionIdentifierAvailable", "SessionExpiryInterval")}
    assert said == {"MaximumQoS": 1, "RetainAvailable": 0, "MaximumPacketSize": 524288, "TopicAliasMaximum": 10,
                    "ReceiveMaximum": 16, "SharedSubscriptionAvailable": 0, "SubscriptionIdentifierAvailable": 0,
                    "SessionExpiryInterval": 28800}
    assert client.subscribe() == 1
    client.close()
    # The session is kept, and a clean start forgets it.
    for clean, present in ((False, 1), (True, 0)):
        client = Client(cloud, device, clean=clean, connect_properties=wanted)
        flags, _ = client.connected()
        assert flags["session present"] == present
        client.close()


def test_telemetry(cloud, client):
    client.connected()
    assert client.publish("telemetry", "telemetry:1", b'{"t":1}', qos=1, content_type="application/json",
                          plain="1", ü="€ %41") == 0
    seen = cloud.expect("telemetry", device=DEVICE)
    assert seen["body"] == '{"t":1}'
    assert seen["properties"] == {"plain": "1", "ü": "€ %41", "$.ct": "application/json"}


def test_twin(cloud, client):
    assert client.born() == b"\x50\x01\x58\x01"
    request = uuid.uuid4().bytes
    client.publish("twin", "get:1", b"\x08\x03", correlation=request)
    assert client.expect("get-response:1", request).payload == b"\x08\x01\x10\x01\x1a\x02{}\x22\x02{}"
    patch = b'{"led":{"on":true}}'
    body = b"\x08\x01\x12" + bytes([len(patch)]) + patch
    client.publish("twin", "reported-patch:1", body, correlation=request)
    assert client.expect("reported-patch-response:1", request).payload == b"\x08\x01\x10\x02"
    client.publish("twin", "reported-patch:1", body, correlation=request)
    assert client.expect("reported-patch-response:1", request).payload == b"\x08\x02\x10\x02", "made for version 1"
    client.publish("twin", "reported-patch:1", b"\x08\x02\x12\x01[", correlation=request)
    assert client.expect("reported-patch-response:1", request).payload == b"\x08\x03\x10\x02"
    cloud.type(f'twin {DEVICE} {{"led": 1}}')
    assert client.expect("desired-patch:1", client.nonce).payload == b"\x08\x02\x12\x09" + b'{"led":1}'


def test_method(cloud, client):
    client.born()
    cloud.program.stdin.write(f"method {DEVICE} blink {{}}\n")
    cloud.program.stdin.flush()
    probe = client.messages.get(timeout=10)
    assert dict(probe.properties.UserProperty) == {"type": "probe:1"} and probe.qos == 1
    assert probe.payload.startswith(b"\x0a\x05blink\x10")
    request, ready = probe.properties.CorrelationData, uuid.uuid4().bytes
    assert client.publish("methods", "probe-ack:1", b"\x0a\x12\x0a\x10" + ready, qos=1, correlation=request) == 0
    run = client.expect("exec:1", request)
    assert run.payload.startswith(b"\x0a\x10" + ready + b"\x12\x02{}")
    assert client.publish("methods", "result:1", b"\x08\xc9\x01\x12\x02[]", qos=1, correlation=request) == 0
    answer = cloud.expect("answer")
    assert (answer["status"], answer["body"]) == (201, "[]")


@pytest.mark.parametrize("user", ["x", "local-hub5.device.azure-devices.net/five/?api-version=2021-04-12"])
def test_user_names(cloud, device, user):
    client = Client(cloud, device, user=user)
    assert client.connack.get(timeout=10)[0] == 0x86
    client.close()


def test_refused_connects(cloud, device):
    stranger = cloud.certificate("stranger", enrol=False)
    extra = Properties(PacketTypes.CONNECT)
    extra.UserProperty = ("a", "b")
    cases = [
        (dict(device=stranger), 0x87), (dict(device=device, client_id="other"), 0x87),
        (dict(device=device, will="ih/five/srv/telemetry"), 0x87),
        (dict(device=device, connect_properties=extra), 0x82),
    ]
    for arguments, reason in cases:
        client = Client(cloud, **arguments)
        assert client.connack.get(timeout=10)[0] == reason, arguments
        client.close()


def test_refused_messages(client):
    client.born()
    assert client.subscribe("#") == 0x87
    assert client.subscribe("ih/other/dev/#") == 0x87
    assert client.publish("telemetry", "telemetry:2", qos=1) == 0x99
    assert client.publish("nothing", "telemetry:1", qos=1) == 0x87
    assert client.publish("methods", "result:1", b"\xff", qos=1, correlation=client.nonce) == 0x99
    assert client.publish("methods", "result:1", b"", qos=1) == 0x99


@pytest.mark.parametrize("channel, kind, body, correlation", [
    ("twin", "get:1", b"\x08\x03", b"x" * 16), ("presence", "birth:1", b"", b"short"),
    ("presence", "birth:1", b"\x08", b"x" * 16), ("presence", "death:1", b"", b"x" * 16),
])
def test_refused_before_birth(client, channel, kind, body, correlation):
    client.connected()
    assert client.subscribe() == 1
    client.publish(channel, kind, body, correlation=correlation)
    assert client.ended.get(timeout=10) != 0


def mosquitto(program, cloud, device, *arguments):
    cert, key = device
    # By the machine's address, which is in the certificate, too.
    return subprocess.run(
        [program, "-V", "mqttv5", "-h", ADDRESS, "-p", str(PORT), "--cafile", str(cloud.root_file), "--cert", cert,
         "--key", key, "-i", DEVICE, "-u", f"correlationId={'0' * 32}&clientVersion=mosquitto", *arguments],
        capture_output=True, text=True, timeout=20)


def test_mosquitto(cloud, device):
    telemetry = f"ih/{DEVICE}/srv/telemetry"
    done = mosquitto("mosquitto_pub", cloud, device, "-t", telemetry, "-q", "1", "-m", "from mosquitto",
                     "-D", "publish", "user-property", "type", "telemetry:1", "-D", "publish", "topic-alias", "3")
    assert done.returncode == 0, done
    assert cloud.expect("telemetry", device=DEVICE)["body"] == "from mosquitto"
    done = mosquitto("mosquitto_pub", cloud, device, "-t", telemetry, "-q", "2", "-m", "x")
    assert "QoS" in done.stderr, done
    done = mosquitto("mosquitto_sub", cloud, device, "-t", f"ih/{DEVICE}/dev/#", "-q", "1", "-W", "1")
    assert done.returncode == 27 and done.stderr == "Timed out\n", done
    done = mosquitto("mosquitto_sub", cloud, device, "-t", "#", "-q", "1", "-W", "3")
    assert "denied" in done.stderr, done
