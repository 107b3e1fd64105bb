"""Microsoft's Python SDK of the hub's service side (azure-iot-hub), unmodified, over REST."""

import base64
import datetime
import json
import ssl
import time
import urllib.request

import requests
from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    CloudToDeviceMethod,
    ExportImportDevice,
    AuthenticationMechanism,
    JobRequest,
    QuerySpecification,
    SymmetricKey,
    Twin,
    TwinProperties,
)
from azure.iot.hub.sastoken import SasToken

from common import Cloud, Device, check, done, refused

KEY = base64.b64encode(b"k" * 32).decode()
OTHER = base64.b64encode(b"o" * 32).decode()


def parts_of(connection_string):
    return dict(part.split("=", 1) for part in connection_string.split(";"))


def with_policy(connection_string, **changes):
    parts = {**parts_of(connection_string), **changes}
    return IoTHubRegistryManager.from_connection_string(";".join(f"{k}={v}" for k, v in parts.items()))


def identities(hub):
    device = hub.create_device_with_sas("dev", KEY, OTHER, "enabled")
    check("created", device.authentication.symmetric_key.primary_key == KEY and device.status == "enabled")
    check("state", device.connection_state == "Disconnected" and device.generation_id)
    again = lambda: hub.create_device_with_sas("dev", KEY, OTHER, "enabled")
    refused("twice", again, "Conflict", "DeviceAlreadyExists")
    refused("unknown", lambda: hub.get_device("nobody"), "Not Found", "ErrorCode:DeviceNotFound")
    refused("short key", lambda: hub.create_device_with_sas("x", "a2V5", "a2V5", "enabled"), "ArgumentInvalid")
    made = hub.create_device_with_sas("odd:id.%+(1)", None, None, "disabled")
    check("keys are made", len(base64.b64decode(made.authentication.symmetric_key.primary_key)) == 32)
    check("odd letters", hub.get_device("odd:id.%+(1)").status == "disabled")
    changed = hub.update_device_with_sas("dev", device.etag, KEY, OTHER, "disabled", status_reason="holidays")
    check("updated", changed.status == "disabled" and changed.etag != device.etag)
    check("reason", changed.status_reason == "holidays")
    late = lambda: hub.update_device_with_sas("dev", device.etag, KEY, KEY, "enabled")
    refused("old etag", late, "PreconditionFailed")
    hub.update_device_with_sas("dev", changed.etag, KEY, OTHER, "enabled")
    x509 = hub.create_device_with_x509("cert", "AA" * 20, "BB" * 32, "enabled", iot_edge=True)
    check("X.509", x509.authentication.type == "selfSigned" and x509.capabilities.iot_edge)
    check("thumbprint", x509.authentication.x509_thumbprint.secondary_thumbprint == "BB" * 32)
    refused("thumbprint", lambda: hub.create_device_with_x509("y", "zz", "zz", "enabled"), "ArgumentInvalid")
    made = hub.create_device_with_certificate_authority("ca", "enabled")
    check("CA", made.authentication.type == "certificateAuthority")
    module = hub.create_module_with_sas("dev", "mod", "edge", KEY, OTHER)
    check("module", module.module_id == "mod" and module.managed_by == "edge")
    check("modules", [m.module_id for m in hub.get_modules("dev")] == ["mod"])
    refused("module of nobody", lambda: hub.create_module_with_sas("nobody", "m", "", KEY, KEY), "DeviceNotFound")
    check("module twin", hub.update_module_twin("dev", "mod", Twin(tags={"a": 1}), None).tags == {"a": 1})
    hub.delete_module("dev", "mod")
    refused("deleted", lambda: hub.get_module("dev", "mod"), "ModuleNotFound")
    check("all", {d.device_id for d in hub.get_devices()} == {"dev", "odd:id.%+(1)", "cert", "ca"})
    check("statistics", hub.get_device_registry_statistics().disabled_device_count == 1)
    for gone in ("odd:id.%+(1)", "cert", "ca"):
        hub.delete_device(gone)
    refused("deleted twice", lambda: hub.delete_device("cert"), "DeviceNotFound")


def bulk(hub):
    keys = AuthenticationMechanism(type="sas", symmetric_key=SymmetricKey(primary_key=KEY, secondary_key=KEY))
    entries = [
        ExportImportDevice(id=f"bulk{n}", import_mode="create", authentication=keys, status="enabled", tags={"n": n})
        for n in range(12)
    ]
    result = hub.bulk_create_or_update_devices(entries)
    check("bulk", result.is_successful and not result.errors)
    result = hub.bulk_create_or_update_devices(entries[:1])
    check("bulk twice", not result.is_successful and result.errors[0].device_id == "bulk0")
    check("bulk twin", hub.get_twin("bulk7").tags == {"n": 7})


def twins(hub):
    twin = hub.get_twin("dev")
    desired = TwinProperties(desired={"led": 1, "deep": {"x": 1, "y": 2}})
    patched = hub.update_twin("dev", Twin(tags={"room": "a", "gone": 1}, properties=desired), twin.etag)
    check("patched", patched.tags["room"] == "a" and patched.properties.desired["$version"] == 2)
    refused("old etag", lambda: hub.update_twin("dev", Twin(tags={}), twin.etag), "PreconditionFailed")
    patch = Twin(tags={"gone": None}, properties=TwinProperties(desired={"deep": {"x": None}}))
    merged = hub.update_twin("dev", patch, "*")
    check("merged", merged.tags == {"room": "a"} and merged.properties.desired["deep"] == {"y": 2})
    again = hub.replace_twin("dev", merged, merged.etag)
    check("what was got can be put", again.properties.desired["led"] == 1 and again.tags == {"room": "a"})
    replaced = hub.replace_twin("dev", Twin(tags={"b": 2}, properties=TwinProperties(desired={"n": 1})))
    check("replaced", replaced.tags == {"b": 2} and "led" not in replaced.properties.desired)
    bad = Twin(properties=TwinProperties(desired={"a.b": 1}))
    refused("bad name", lambda: hub.update_twin("dev", bad, "*"), "ArgumentInvalid", "not allowed")
    check("nothing changed", hub.get_twin("dev").properties.desired["n"] == 1)
    refused("unknown", lambda: hub.get_twin("nobody"), "DeviceNotFound")


def queries(hub):
    def ask(query, **more):
        return hub.query_iot_hub(QuerySpecification(query=query), **more)

    page, names, token = 0, [], None
    while page == 0 or token:
        result = ask("SELECT * FROM devices WHERE is_defined(tags.n)", continuation_token=token, max_item_count=5)
        names += [item.device_id for item in result.items]
        token, page = result.continuation_token, page + 1
        check("type", result.type == "Twin")
    check("pages", page == 3 and sorted(names) == sorted(f"bulk{n}" for n in range(12)))
    result = ask("SELECT deviceId AS id FROM devices WHERE tags.n >= 10 AND NOT deviceId = 'bulk10'")
    rows = [item.additional_properties for item in result.items]
    check("fields", rows == [{"id": "bulk11"}], rows)
    refused("mistake", lambda: ask("SELECT * FORM devices"), "InvalidQuery")


def methods(hub, cloud):
    token = str(SasToken(f"{cloud.ready['hubName']}/devices/dev", KEY))
    call = CloudToDeviceMethod(method_name="blink", payload={"times": 3}, response_timeout_in_seconds=10)
    refused("offline", lambda: hub.invoke_device_method("dev", call), "404103")
    device = Device(cloud, "dev", token)
    answer = hub.invoke_device_method("dev", call)
    check("method", answer.status == 200 and answer.payload == {"method": "blink", "got": {"times": 3}}, answer)
    answer = hub.invoke_device_method("dev", CloudToDeviceMethod(method_name="unknown"))
    check("method", answer.status == 404 and answer.payload["got"] == "", answer)
    bad = CloudToDeviceMethod(method_name="x", response_timeout_in_seconds=1)
    refused("time-out", lambda: hub.invoke_device_method("dev", bad), "responseTimeoutInSeconds")
    check("online", hub.get_device("dev").connection_state == "Connected")
    check("online", hub.get_service_statistics().connected_device_count == 1)
    return device


def jobs(cloud):
    manager = IoTHubJobManager.from_connection_string(cloud.hub)
    request = JobRequest(
        job_id="tags",
        type="scheduleUpdateTwin",
        query_condition="STARTSWITH(deviceId, 'bulk')",
        update_twin=Twin(etag="*", tags={"job": True}),
        start_time=datetime.datetime.now(datetime.timezone.utc),
        max_execution_time_in_seconds=60,
    )
    manager.create_scheduled_job("tags", request)
    deadline = time.time() + 20
    while (job := manager.get_scheduled_job("tags")).status != "completed" and time.time() < deadline:
        time.sleep(0.05)
    check("job", job.status == "completed" and job.device_job_statistics.succeeded_count == 12, job)
    refused("same job", lambda: manager.create_scheduled_job("tags", request), "JobAlreadyExists")
    refused("no job", lambda: manager.get_scheduled_job("none"), "JobNotFound")


def messages(cloud, device):
    """Over AMQP in the SDK; here over REST and an event stream, with the SDK's token."""
    context = ssl.create_default_context(cafile=cloud.root)
    parts = parts_of(cloud.hub)
    token = str(SasToken(parts["HostName"], parts["SharedAccessKey"], parts["SharedAccessKeyName"]))
    base = f"https://{parts['HostName']}"

    def request(method, path, body=None, **headers):
        headers["Authorization"] = token
        request = urllib.request.Request(f"{base}{path}api-version=2021-04-12", body, headers, method=method)
        return urllib.request.urlopen(request, context=context, timeout=20)

    headers = {"iothub-app-colour": "blue", "iothub-messageid": "m1"}
    sent = json.load(request("POST", "/devices/dev/messages/deviceBound?", b"hello", **headers))
    topic, body = device.next_message()
    check("C2D", sent == {"messageId": "m1"} and body == b"hello" and "colour=blue" in topic and "mid=m1" in topic)
    with request("GET", "/messages/events?device=dev&") as stream:
        check("stream", stream.headers["content-type"] == "text/event-stream" and stream.readline() == b":\n")
        device.send('{"temperature": 21.5}', "%24.ct=application%2Fjson&alert=no")
        line = next(line for line in stream if line.startswith(b"data:"))
    event = json.loads(line[5:])
    check("telemetry", event["body"] == '{"temperature": 21.5}' and event["properties"]["alert"] == "no")


def policies(cloud):
    refused("wrong key", lambda: with_policy(cloud.hub, SharedAccessKey=OTHER).get_device("dev"), "Unauthorized")
    refused("no policy", lambda: with_policy(cloud.hub, SharedAccessKeyName="me").get_device("dev"), "Unauthorized")
    refused("DPS's policy", lambda: with_policy(cloud.dps).get_device("dev"), "Unauthorized")
    refused("other host", lambda: elsewhere(cloud), "Unauthorized")


def elsewhere(cloud):
    """A token for another hub."""
    parts = parts_of(cloud.hub)
    token = str(SasToken("other.azure-devices.net", parts["SharedAccessKey"], "iothubowner"))
    url = f"https://{parts['HostName']}/devices/dev?api-version=2021-04-12"
    requests.get(url, headers={"Authorization": token}, timeout=20).raise_for_status()


cloud = Cloud()
hub = IoTHubRegistryManager.from_connection_string(cloud.hub)
identities(hub)
bulk(hub)
twins(hub)
queries(hub)
policies(cloud)
device = methods(hub, cloud)
jobs(cloud)
messages(cloud, device)
device.stop()
cloud.stop()
done()
