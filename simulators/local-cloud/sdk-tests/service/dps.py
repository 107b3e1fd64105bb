"""Microsoft's Python SDK of the provisioning service (azure-iot-deviceprovisioning), unmodified."""

import base64
import ssl
import subprocess
import tempfile

from azure.iot.deviceprovisioning import DeviceProvisioningClient

from common import Cloud, check, done, refused

KEY = base64.b64encode(b"k" * 32).decode()


def certificate(name):
    """A certificate that openssl makes, in PEM."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-subj", f"/CN={name}", "-days", "2"],
            check=True, capture_output=True,
        )
        return open(f"{folder}/cert.pem", encoding="ascii").read()


def symmetric(**more):
    return {"type": "symmetricKey", "symmetricKey": more or {"primaryKey": KEY, "secondaryKey": KEY}}


def x509(kind, pem):
    return {"type": "x509", "x509": {kind: {"primary": {"certificate": pem}}}}


def individual(client):
    entry = {
        "registrationId": "reg-1",
        "attestation": symmetric(),
        "deviceId": "dev-1",
        "provisioningStatus": "enabled",
        "allocationPolicy": "static",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": False},
        "initialTwin": {"tags": {"a": 1}, "properties": {"desired": {"led": True}}},
    }
    enrollment = client.enrollment
    made = enrollment.create_or_update("reg-1", entry)
    check("made", made["registrationId"] == "reg-1" and made["etag"] and made["allocationPolicy"] == "static")
    check("policy", made["reprovisionPolicy"] == entry["reprovisionPolicy"])
    check("twin", made["initialTwin"]["properties"]["desired"] == {"led": True})
    check("no keys in it", "symmetricKey" not in enrollment.get("REG-1")["attestation"])
    keys = enrollment.get_attestation_mechanism("reg-1")
    check("keys", keys["symmetricKey"]["primaryKey"] == KEY)
    refused("twice", lambda: enrollment.create_or_update("reg-1", entry), "409204")
    refused("unknown", lambda: enrollment.get("nobody"), "404201")
    changed = enrollment.create_or_update("reg-1", {**entry, "provisioningStatus": "disabled"}, if_match=made["etag"])
    check("changed", changed["provisioningStatus"] == "disabled" and changed["etag"] != made["etag"])
    refused("old etag", lambda: enrollment.create_or_update("reg-1", entry, if_match=made["etag"]), "412201")
    refused("other id", lambda: enrollment.create_or_update("reg-2", entry), "400004")
    made = enrollment.create_or_update("cert-1", {
        "registrationId": "cert-1", "attestation": x509("clientCertificates", certificate("cert-1"))
    })
    info = made["attestation"]["x509"]["clientCertificates"]["primary"]["info"]
    check("certificate", "cert-1" in info["subjectName"] and len(info["sha256Thumbprint"]) == 64, info)
    bad = {"registrationId": "x", "attestation": x509("clientCertificates", "AAAA")}
    refused("no certificate", lambda: enrollment.create_or_update("x", bad), "400004")
    made = {"registrationId": "new", "attestation": {"type": "symmetricKey", "symmetricKey": {}}}
    enrollment.create_or_update("new", made)
    check("keys are made", len(enrollment.get_attestation_mechanism("new")["symmetricKey"]["primaryKey"]) == 88)
    tpm = {"registrationId": "tpm", "attestation": {"type": "tpm", "tpm": {"endorsementKey": KEY}}}
    check("TPM", enrollment.create_or_update("tpm", tpm)["attestation"]["tpm"]["endorsementKey"] == KEY)


def queries(client):
    ask = {"query": "SELECT * FROM enrollments"}
    names = [entry["registrationId"] for entry in client.enrollment.query(ask)]
    check("query", names == ["cert-1", "new", "reg-1", "tpm"], names)
    ask = {"query": "SELECT * FROM enrollments WHERE provisioningStatus = 'disabled'"}
    check("condition", [entry["registrationId"] for entry in client.enrollment.query(ask)] == ["reg-1"])
    refused("mistake", lambda: list(client.enrollment.query({"query": "SELECT"})), "query")
    result = client.enrollment.run_bulk_operation({
        "mode": "create",
        "enrollments": [{"registrationId": name, "attestation": symmetric()} for name in ("bulk-1", "reg-1", "bulk-2")],
    })
    check("bulk", not result["isSuccessful"] and [e["registrationId"] for e in result["errors"]] == ["reg-1"])
    for name in ("bulk-1", "bulk-2"):
        client.enrollment.delete(name)
    refused("deleted", lambda: client.enrollment.get("bulk-1"), "404201")


def groups(client):
    group = client.enrollment_group
    made = group.create_or_update("keys", {"enrollmentGroupId": "keys", "attestation": symmetric()})
    check("group", made["enrollmentGroupId"] == "keys")
    check("group's key", group.get_attestation_mechanism("keys")["symmetricKey"]["primaryKey"] == KEY)
    authority = {"enrollmentGroupId": "ca", "attestation": x509("signingCertificates", certificate("ca"))}
    check("authority", group.create_or_update("ca", authority)["attestation"]["type"] == "x509")
    check("query", len(list(group.query({"query": "SELECT * FROM enrollmentGroups"}))) == 2)
    check("registrations", list(client.device_registration_state.query("keys")) == [])
    refused("no registration", lambda: client.device_registration_state.get("reg-1"), "404201")
    group.delete("ca")
    refused("deleted", lambda: group.get("ca"), "404201")


def policies(cloud):
    wrong = cloud.dps.rsplit("=", 2)[0] + "=" + KEY
    refused("wrong key", lambda: DeviceProvisioningClient.from_connection_string(wrong).enrollment.get("x"), "401002")
    hub = DeviceProvisioningClient.from_connection_string(cloud.hub)
    refused("the hub's policy", lambda: hub.enrollment.get("x"), "401002")


cloud = Cloud()
client = DeviceProvisioningClient.from_connection_string(cloud.dps)
individual(client)
queries(client)
groups(client)
policies(cloud)
cloud.stop()
done()
