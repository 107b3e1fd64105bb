"""Microsoft's Python SDK, unmodified, at the provisioning service."""

import json

import pytest
from azure.iot.device import X509, ProvisioningDeviceClient, exceptions

from cloud import GROUP_KEY, KEY, SCOPE, derive

# By this machine's name, which stands for both services, and by the service's own.
HOSTS = ["localhost", "global.azure-devices-provisioning.net"]


@pytest.fixture(scope="module", autouse=True)
def enrolments(cloud):
    individual = {"registrationId": "one", "primaryKey": KEY, "allocation": "custom", "payload": {"plan": ["a", 1]},
                  "initialTwin": {"desired": {"led": True}}}
    disabled = {"registrationId": "off", "primaryKey": KEY, "disabled": True}
    cloud.keys([individual, disabled, {"registrationId": "bad", "primaryKey": "!"}],
               [{"enrollmentGroupId": "many", "primaryKey": GROUP_KEY}])


def by_key(cloud, registration_id, key=KEY, host=HOSTS[0], scope=SCOPE, **options):
    return ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=host, registration_id=registration_id, id_scope=scope, symmetric_key=key,
        server_verification_cert=cloud.root, **options)


def by_certificate(cloud, registration_id, cert, key, host=HOSTS[0], **options):
    return ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host=host, registration_id=registration_id, id_scope=SCOPE,
        x509=X509(cert_file=cert, key_file=key), server_verification_cert=cloud.root, **options)


def assigned(cloud, client, device, host=HOSTS[0]):
    result = client.register()
    assert result.status == "assigned"
    state = result.registration_state
    hub = "localhost" if host == "localhost" else "local-hub.azure-devices.net"
    assert (state.assigned_hub, state.device_id, state.sub_status) == (hub, device, "initialAssignment")
    cloud.expect("registered", device=device)
    return state


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("websockets", [False, True])
def test_certificate(cloud, host, websockets):
    cert, key = cloud.certificate("x509-dev")
    assigned(cloud, by_certificate(cloud, "x509-dev", cert, key, host, websockets=websockets), "x509-dev", host)


def test_group_of_certificates(cloud):
    chain, key, leaf = cloud.chain("member")
    assigned(cloud, by_certificate(cloud, "member", chain, key), "member")
    # The leaf is enough where its issuer is what the group names.
    assigned(cloud, by_certificate(cloud, "member", leaf, key), "member")


def test_key_and_payload(cloud):
    client = by_key(cloud, "one")
    client.provisioning_payload = {"modelId": "dtmi:a:b;1"}
    assert json.loads(assigned(cloud, client, "one").response_payload) == {"plan": ["a", 1]}
    assert cloud.type("twin one")["twin"]["desired"]["led"] is True


def test_group_of_keys(cloud):
    assigned(cloud, by_key(cloud, "Member-1", derive(GROUP_KEY, "Member-1")), "Member-1")


def refused(cloud, client, reason):
    """The SDK says that its credential was not taken; the cloud says why."""
    with pytest.raises(exceptions.ClientError) as error:
        client.register()
    assert reason in cloud.expect("refused")["reason"]
    return error.value


def test_refusals(cloud):
    cert, key = cloud.certificate("stranger", enrol=False)
    for client, reason in [
        (by_key(cloud, "one", derive(GROUP_KEY, "one")), "401002 Unauthorized"),
        (by_key(cloud, "Member-2", derive(GROUP_KEY, "member-2")), "401002 Unauthorized"),
        (by_certificate(cloud, "stranger", cert, key), "401002 CA certificate not found"),
    ]:
        assert "401" in str(refused(cloud, client, reason).__cause__)
    for client, reason in [
        (by_key(cloud, "one", scope="0neFFFFFFFF"), "unknown id scope"),
    ]:
        assert isinstance(refused(cloud, client, reason), exceptions.CredentialError)
    cert, key = cloud.certificate("named")
    error = refused(cloud, by_certificate(cloud, "other", cert, key), "common name is not the registration id")
    assert "401" in str(error.__cause__)


def test_disabled(cloud):
    error = refused(cloud, by_key(cloud, "off"), "Enrollment is disabled")
    assert "disabled" in str(error.__cause__)


def test_throttled_and_out(cloud):
    cloud.type('fault {"fault": "dpsError", "errorCode": 429001, "retryAfter": 1}')
    assigned(cloud, by_key(cloud, "one"), "one")
    cloud.type('fault {"fault": "dpsOutage"}')
    with pytest.raises(exceptions.ClientError):
        by_key(cloud, "one").register()
    cloud.type('fault {"fault": "clear"}')
    assigned(cloud, by_key(cloud, "one"), "one")
