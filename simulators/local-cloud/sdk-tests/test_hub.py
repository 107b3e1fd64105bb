"""Microsoft's Python SDK, unmodified, at the hub."""

import json
import queue
import threading
import time

import pytest
import requests
from azure.iot.device import (X509, IoTHubDeviceClient, IoTHubModuleClient, Message, MethodResponse, exceptions)

from cloud import KEY


@pytest.fixture
def client(cloud):
    client = IoTHubDeviceClient.create_from_connection_string(cloud.add("dev"), server_verification_cert=cloud.root)
    client.connect()
    yield client
    client.shutdown()


def test_telemetry(cloud, client):
    message = Message(json.dumps({"t": 21.5}), content_encoding="utf-8", content_type="application/json")
    message.message_id, message.correlation_id = "mid &=%/1", "cid"
    message.custom_properties.update({"plain": "1", "sp ace": "a=b&c", "ü": "€ %41", "empty": ""})
    client.send_message(message)
    seen = cloud.expect("telemetry", device="dev")
    assert seen["body"] == '{"t": 21.5}'
    assert seen["properties"] == {"$.mid": "mid &=%/1", "$.cid": "cid", "$.ct": "application/json", "$.ce": "utf-8",
                                  "plain": "1", "sp ace": "a=b&c", "ü": "€ %41", "empty": ""}


def test_cloud_to_device(cloud, client):
    got = queue.Queue()
    client.on_message_received = got.put
    cloud.type("c2d dev ?$.mid=m1&$.cid=c1&k=v%20w&$.exp=2100-01-01T00:00:00Z hello")
    message = got.get(timeout=10)
    assert (message.data, message.message_id, message.correlation_id) == (b"hello", "m1", "c1")
    assert message.custom_properties == {"k": "v w"}
    cloud.expect("c2dCompleted", messageId="m1")


def test_waits_for_the_device(cloud):
    connection_string = cloud.add("later")
    cloud.type("c2d later waiting")
    client = IoTHubDeviceClient.create_from_connection_string(connection_string, server_verification_cert=cloud.root)
    got = queue.Queue()
    client.on_message_received = got.put
    client.connect()
    assert got.get(timeout=10).data == b"waiting"
    client.shutdown()


def test_method(cloud, client):
    def answer(request):
        client.send_method_response(
            MethodResponse.create_from_method_request(request, 201, {"echo": request.payload, "name": request.name}))
    client.on_method_request_received = answer
    time.sleep(0.3)
    seen = cloud.type('method dev comp*do {"delay": 5}')
    assert (seen["status"], json.loads(seen["body"])) == (201, {"echo": {"delay": 5}, "name": "comp*do"})


def test_twin(cloud, client):
    got = queue.Queue()
    client.on_twin_desired_properties_patch_received = got.put
    twin = client.get_twin()
    assert twin["desired"]["$version"] == 1
    client.patch_twin_reported_properties({"cfg": {"a": 1, "b": True}, "gone": 1})
    client.patch_twin_reported_properties({"cfg": {"a": 2}, "gone": None})
    reported = client.get_twin()["reported"]
    assert reported == {"cfg": {"a": 2, "b": True}, "$version": 3}
    cloud.type('twin dev {"led": {"on": true}, "none": null}')
    assert got.get(timeout=10) == {"led": {"on": True}, "none": None, "$version": 2}
    for bad in ({"a.b": 1}, {f"k{n}": "x" * 4000 for n in range(10)}):
        with pytest.raises(exceptions.ClientError) as error:
            client.patch_twin_reported_properties(bad)
        assert "status 400" in str(error.value.__cause__)


@pytest.mark.parametrize("websockets", [False, True])
def test_certificate(cloud, websockets):
    from azure.iot.device import ProvisioningDeviceClient
    cert, key = cloud.certificate("x-dev")
    registered = ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host="localhost", registration_id="x-dev", id_scope="0ne00000000",
        x509=X509(cert_file=cert, key_file=key), server_verification_cert=cloud.root).register()
    client = IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(cert_file=cert, key_file=key), hostname=registered.registration_state.assigned_hub,
        device_id="x-dev", server_verification_cert=cloud.root, websockets=websockets)
    client.connect()
    client.send_message("hi")
    assert cloud.expect("telemetry", device="x-dev")["body"] == "hi"
    client.shutdown()


def test_module(cloud):
    cloud.add("dev")
    client = IoTHubModuleClient.create_from_connection_string(
        cloud.add("dev/mod"), server_verification_cert=cloud.root)
    got = queue.Queue()
    client.on_message_received = got.put
    client.connect()
    client.send_message_to_output("out of it", "output1")
    seen = cloud.expect("telemetry", device="dev/mod")
    assert (seen["body"], seen["properties"]["$.on"]) == ("out of it", "output1")
    client.get_twin()
    cloud.type("input dev/mod input1 ?k=v into it")
    message = got.get(timeout=10)
    assert (message.data, message.input_name, message.custom_properties) == (b"into it", "input1", {"k": "v"})
    client.shutdown()


def test_file_upload(cloud, client):
    info = client.get_storage_info_for_blob("logs/a.txt")
    url = f"https://{info['hostName']}/{info['containerName']}/{info['blobName']}"
    put = requests.put(url + info["sasToken"], data=b"content", headers={"x-ms-blob-type": "BlockBlob"},
                       verify=str(cloud.root_file), timeout=10)
    assert put.status_code == 201
    assert requests.get(url + "?sig=none", verify=str(cloud.root_file), timeout=10).status_code == 403
    client.notify_blob_upload_status(info["correlationId"], True, 200, "ok")
    seen = cloud.expect("fileUploaded", device="dev")
    assert (seen["blob"], seen["success"], seen["size"]) == ("dev/logs/a.txt", True, 7)
    with pytest.raises(exceptions.ClientError) as error:
        client.notify_blob_upload_status("unknown", True, 200, "ok")
    assert "400" in str(error.value.__cause__)


def test_token_is_renewed(cloud):
    # The SDK renews 120 seconds before the end.
    client = IoTHubDeviceClient.create_from_connection_string(
        cloud.add("renew"), server_verification_cert=cloud.root, sastoken_ttl=122)
    client.connect()
    cloud.expect("connected", device="renew")
    cloud.expect("connected", device="renew")
    client.send_message("still here")
    assert cloud.expect("telemetry", device="renew")["body"] == "still here"
    client.shutdown()


def test_reconnects_after_drop_and_restart(cloud):
    client = IoTHubDeviceClient.create_from_connection_string(
        cloud.add("back"), server_verification_cert=cloud.root, connection_retry_interval=1)
    back = threading.Event()
    client.on_connection_state_change = lambda: back.set() if client.connected else back.clear()
    client.connect()
    client.patch_twin_reported_properties({"boot": 1})
    cloud.expect("connected", device="back")
    cloud.type("drop")
    cloud.expect("connected", device="back")
    assert back.wait(10)
    root = cloud.root
    cloud.stop()
    cloud.start()
    assert cloud.root == root
    cloud.expect("connected", device="back")
    assert back.wait(10)
    assert client.get_twin()["reported"] == {"boot": 1, "$version": 2}
    client.shutdown()


@pytest.mark.parametrize("websockets", [False, True])
def test_refusals(cloud, websockets):
    good = cloud.add("good")
    wrong = good.replace(KEY, "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkhISE=")
    cases = [
        (wrong, "the token's signature is wrong"),
        (good.replace("DeviceId=good", "DeviceId=nobody"), "unknown device"),
        (good.replace("HostName=localhost", "HostName=other.azure-devices.net"), "TLS"),
    ]
    for connection_string, reason in cases[: 3 - websockets]:
        client = IoTHubDeviceClient.create_from_connection_string(
            connection_string, server_verification_cert=cloud.root, connection_retry=False, websockets=websockets)
        expected = exceptions.CredentialError if reason != "TLS" else exceptions.ClientError
        with pytest.raises(expected):
            client.connect()
        if reason != "TLS":
            assert cloud.expect("refused")["reason"] == reason
        client.shutdown()
    # Another device's certificate.
    cert, key = cloud.certificate("thief", enrol=False)
    client = IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(cert_file=cert, key_file=key), hostname="localhost", device_id="good",
        server_verification_cert=cloud.root, connection_retry=False, websockets=websockets)
    with pytest.raises(exceptions.CredentialError):
        client.connect()
    client.shutdown()
