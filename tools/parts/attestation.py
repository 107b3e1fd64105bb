"""Part of tools/parts/attestation: what dps-cert-gen writes is read by cryptography, pycose and cbor2, and it reads what they
write. Arguments: the program, an empty folder."""

import base64
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID
from pycose.algorithms import Es256
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import CoseMessage, Sign1Message

TOOL, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
UDS = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae"
NONCE = "00112233445566778899aabbccddeeff"
PEM = serialization.Encoding.PEM


def tool(*words, refused=None):
    """What the program writes to standard output; with `refused`, that it fails with these words."""
    done = subprocess.run([TOOL, *words], cwd=FOLDER, capture_output=True)
    said = done.stderr.decode()
    if refused is None:
        assert done.returncode == 0, said
    else:
        assert done.returncode == 1 and refused in said, f"{refused!r} in {said!r}"
    return done.stdout


def read(name):
    return (FOLDER / name).read_bytes()


def write(name, content):
    (FOLDER / name).write_bytes(content)


def extension(of, kind):
    return of.extensions.get_extension_for_class(kind).value


def name(key):
    """The name of a DeviceID key: its identifier is the first 20 bytes of the SHA-256 of the point."""
    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return hashlib.sha256(key.public_key().public_bytes(encoding, form)).digest()[:20]


def usage(**bits):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{one: bits.get(one, False) for one in names})


def request(key, path_length=0, more=(), bits=None):
    """A request for a DeviceID certificate as cryptography writes it."""
    identifier = name(key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"DeviceID-{identifier.hex()}")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(bits or usage(key_cert_sign=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(identifier), critical=False)
    for one in more:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(key, hashes.SHA256())


def check_authority():
    tool("ca", "create", "ca", "--name", "Fleet, \"East\"")
    tool("-u", UDS, "--make", "device-id-request", "-o", "device.csr")
    asked = x509.load_pem_x509_csr(read("device.csr"))
    assert asked.is_signature_valid and extension(asked, x509.BasicConstraints).path_length == 0
    tool("ca", "sign", "ca", "device.csr", "-o", "device-id.pem")
    tool("-u", UDS, "-b", "image", "--firmware-version", "1.2.3", "-i", "my-device", "-o", "leaf.pem")
    ca, device_id, leaf = (x509.load_pem_x509_certificate(read(one)) for one in ("ca/ca.pem", "device-id.pem", "leaf.pem"))
    device_id.verify_directly_issued_by(ca)
    leaf.verify_directly_issued_by(device_id)
    assert ca.subject.rfc4514_string() == 'CN=Fleet\\, \\"East\\"'
    assert extension(ca, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=1)
    assert extension(ca, x509.KeyUsage) == usage(key_cert_sign=True, crl_sign=True)
    assert extension(device_id, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    assert extension(device_id, x509.KeyUsage) == usage(key_cert_sign=True)
    identifier = extension(ca, x509.SubjectKeyIdentifier).digest
    assert extension(device_id, x509.AuthorityKeyIdentifier).key_identifier == identifier
    assert device_id.subject == asked.subject and device_id.public_key() == asked.public_key()
    write("chain", read("leaf.pem") + read("device-id.pem"))
    return ca, device_id


def check_requests():
    key = ec.generate_private_key(ec.SECP256R1())
    write("other.csr", request(key).public_bytes(PEM))
    tool("ca", "sign", "ca", "other.csr", "-o", "other.pem")
    assert x509.load_pem_x509_certificate(read("other.pem")).public_key() == key.public_key()
    key = ec.generate_private_key(ec.SECP256R1())
    for asked, words in [
        (request(ec.generate_private_key(ec.SECP384R1())), "not of the curve P-256"),
        (request(key, path_length=1), "a path length of 1"),
        (request(key, path_length=None), "no limit of the path length"),
        (request(key, more=[x509.SubjectAlternativeName([x509.DNSName("a.b")])]), "extension 2.5.29.17 is not one"),
        (request(key, bits=usage(key_cert_sign=True, crl_sign=True)), "keyUsage is not keyCertSign alone"),
    ]:
        write("bad.csr", asked.public_bytes(PEM))
        tool("ca", "sign", "ca", "bad.csr", "-o", "bad.pem", refused=words)
    damaged = bytearray(request(key).public_bytes(serialization.Encoding.DER))
    damaged[-1] ^= 1
    write("bad.csr", damaged)
    tool("ca", "sign", "ca", "bad.csr", "-o", "bad.pem", refused="the signature is not that of its key")


def check_lists(ca, device_id):
    tool("ca", "revoke", "ca", f"{device_id.serial_number:x}", "--reason", "key-compromise")
    for number, more in enumerate(([], ["--der"]), 1):
        tool("ca", "crl", "ca", "-o", "ca.crl", *more)
        load = x509.load_der_x509_crl if more else x509.load_pem_x509_crl
        found = load(read("ca.crl"))
        assert found.is_signature_valid(ca.public_key()) and found.issuer == ca.subject and len(found) == 1
        assert extension(found, x509.CRLNumber).crl_number == number
        entry = found.get_revoked_certificate_by_serial_number(device_id.serial_number)
        assert extension(entry, x509.CRLReason).reason == x509.ReasonFlags.key_compromise
    tool("verify", "chain", "--anchor", "ca/ca.pem", "--crl", "ca.crl", refused="reason: key compromise)")

    key = serialization.load_pem_private_key(read("ca/ca-key.pem"), None)
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    day = datetime.timedelta(days=1)
    for serial, issued, signer, words in [
        (1, now, key, None),
        (device_id.serial_number, now, key, "it is revoked since"),
        (1, now - 3 * day, key, "a newer one was due"),
        (1, now, ec.generate_private_key(ec.SECP256R1()), "the signature is not the issuer's"),
    ]:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(issued).build()
        builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(issued)
        found = builder.next_update(issued + day).add_revoked_certificate(entry).sign(signer, hashes.SHA256())
        write("python.crl", found.public_bytes(PEM))
        tool("verify", "chain", "--anchor", "ca/ca.pem", "--crl", "python.crl", refused=words)


def check_results():
    verify = ["verify", "chain", "--anchor", "ca/ca.pem", "--reference-values", "references", "--nonce", NONCE]
    tool("-b", "image", "--firmware-version", "1.2.3", "--make", "reference-values", "-o", "references")
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    write("key.pem", key.private_bytes(PEM, form, serialization.NoEncryption()))
    plain = tool(*verify, "--ear", "json")
    write("ear.json", plain)
    plain = json.loads(plain)

    def part(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    header, claims, signature = tool(*verify, "--ear", "jwt", "--ear-key", "key.pem").decode().strip().split(".")
    signature = part(signature)
    halves = [int.from_bytes(signature[at:at + 32], "big") for at in (0, 32)]
    algorithm = ec.ECDSA(hashes.SHA256())
    key.public_key().verify(utils.encode_dss_signature(*halves), f"{header}.{claims}".encode(), algorithm)
    assert json.loads(part(header))["alg"] == "ES256"
    assert {**json.loads(part(claims)), "iat": 0} == {**plain, "iat": 0}

    message = CoseMessage.decode(tool(*verify, "--ear", "cwt", "--ear-key", "key.pem"))
    numbers = key.public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    message.key = EC2Key(crv=P256, x=x, y=y)
    assert isinstance(message, Sign1Message) and Es256 in message.phdr.values() and message.verify_signature()
    write("ear.cbor", message.payload)
    claims = cbor2.loads(message.payload)
    assert claims[10] == bytes.fromhex(NONCE) and claims[265] == plain["eat_profile"]
    vector = plain["submods"]["dice"]["ear_trustworthiness_vector"]
    numbers = {"instance-identity": 0, "configuration": 1, "executables": 2}
    assert claims[266]["dice"][1001] == {numbers[one]: value for one, value in vector.items()}


def check_corim():
    tool("-b", "image", "--firmware-version", "1.2.3", "--make", "corim", "-o", "corim")
    again = cbor2.dumps(cbor2.loads(read("corim")), canonical=True)
    write("again", again)
    for corim in ("corim", "again"):
        tool("verify", "chain", "--anchor", "ca/ca.pem", "--reference-values", corim)


def main():
    # Vector table, then code.
    write("image", b"\0\0\x04\x20\x01\xc4\0\x08\x03\xc4\0\x08\x05\xc4\0\x08the whole firmware image")
    ca, device_id = check_authority()
    check_requests()
    check_results()
    check_corim()
    check_lists(ca, device_id)
    print("attestation: cryptography, pycose and cbor2 read what dps-cert-gen writes, and it takes or refuses what they write")


main()
