#!/usr/bin/env python3
"""An independent model of the profile `standard`, written from PROFILE.md.

Writes the vectors `identities.json` and `layers.json` to a folder. Needs the Python package `cryptography` (45 or
newer)
and nothing of this repository:

    python3 dice-core/tests/interop/standard_profile.py dice-core/tests/vectors/standard
"""

import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

KEY_PAIR_SALT = bytes.fromhex(
    "63b6a04d2c077fc10f639f21da79384435" "6cc2b0b441b3a77124035c03f8e1be60"
    "35d31f282821a7450a02222ab1b3cff167" "9b05ab1ca5d1affb789ccd2b0b3b"
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MODES = {"not_configured": (0, b"\x80"), "normal": (1, b""), "debug": (2, b"\x10"), "recovery": (3, b"\x20")}
UNUSED_BITS = {b"": 0, b"\x80": 7, b"\x10": 4, b"\x20": 5}


# Key derivation ------------------------------------------------------------------------------------------------------

def hkdf(ikm, salt, info, length):
    prk = hmac.new(salt, ikm, "sha512").digest()
    return hmac.new(prk, info + b"\x01", "sha512").digest()[:length]


def drbg_scalar(seed):
    key, value = b"\x00" * 64, b"\x01" * 64
    mac = lambda *parts: hmac.new(key, b"".join(parts), "sha512").digest()
    key = mac(value, b"\x00", seed)
    value = mac(value)
    key = mac(value, b"\x01", seed)
    value = mac(value)
    while True:
        value = mac(value)
        scalar = int.from_bytes(value[:32], "big")
        if 0 < scalar < ORDER:
            return scalar
        key = mac(value, b"\x00")
        value = mac(value)


def key_pair(cdi):
    return ec.derive_private_key(drbg_scalar(hkdf(cdi, KEY_PAIR_SALT, b"Key Pair", 32)), ec.SECP256R1())


def point(key):
    numbers = key.public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


# DER -----------------------------------------------------------------------------------------------------------------

def tlv(tag, *parts):
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(text):
    first, second, *rest = (int(arc) for arc in text.split("."))
    out = b""
    for arc in [40 * first + second, *rest]:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        out += bytes(reversed(septets))
    return tlv(0x06, out)


def number(value, tag=0x02):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


sequence = lambda *parts: tlv(0x30, *parts)
octets = lambda *parts: tlv(0x04, *parts)
bits = lambda content, unused=0: tlv(0x03, bytes([unused]), content)
name = lambda text: sequence(tlv(0x31, sequence(oid("2.5.4.3"), tlv(0x0C, text.encode()))))
extension = lambda id, critical, *value: sequence(oid(id), tlv(0x01, b"\xff") if critical else b"", octets(*value))
spki = lambda key: sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(point(key)))
identifier = lambda key: hashlib.sha256(point(key)).digest()[:20]
key_name = lambda word, key: name(word + "-" + identifier(key).hex())
device_id_name = lambda key: key_name("DeviceID", key)
ECDSA = sequence(oid("1.2.840.10045.4.3.2"))
HASH_OID = {"sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3"}


def time(text):
    year = int(text[:4])
    return tlv(0x17, text[2:].encode()) if year < 2050 else tlv(0x18, text.encode())


# Certificates --------------------------------------------------------------------------------------------------------

def tcb_info(case, layer=1):
    flags = MODES[case["mode"]][1]
    return sequence(
        tlv(0x80, case["vendor"].encode()),
        tlv(0x81, case["model"].encode()),
        tlv(0x82, case["version"].encode()),
        number(case["svn"], 0x83),
        number(layer, 0x84),
        number(0, 0x85),
        tlv(0xA6, sequence(oid(HASH_OID[case["hash"]]), octets(bytes.fromhex(case["firmware_digest"])))),
        tlv(0x87, bytes([UNUSED_BITS[flags]]), flags),
    )


ski = lambda key: extension("2.5.29.14", False, octets(identifier(key)))
aki = lambda key: extension("2.5.29.35", False, sequence(tlv(0x80, identifier(key))))
key_usage = lambda content, unused: extension("2.5.29.15", True, bits(content, unused))
SIGN, CERT_SIGN = key_usage(b"\x80", 7), key_usage(b"\x04", 2)
CLIENT_AUTH = extension("2.5.29.37", False, sequence(oid("1.3.6.1.5.5.7.3.2")))
CA = extension("2.5.29.19", True, sequence(tlv(0x01, b"\xff"), number(0)))
CA_ANY_PATH = extension("2.5.29.19", True, sequence(tlv(0x01, b"\xff")))
tcb = lambda case, layer=1: extension("2.23.133.5.4.1", False, tcb_info(case, layer))


def tbs(issuer, case, subject, key, *extensions):
    def build(serial):
        return sequence(
            tlv(0xA0, number(2)),
            tlv(0x02, serial),
            ECDSA,
            issuer,
            sequence(time(case["not_before"]), time(case["not_after"])),
            subject,
            spki(key),
            tlv(0xA3, sequence(*extensions)),
        )

    serial = bytearray(hashlib.sha256(build(bytes(20))).digest()[:20])
    serial[0] = serial[0] & 0x3F | 0x40
    return build(bytes(serial))


def request(subject, key, *extensions):
    attribute = sequence(oid("1.2.840.113549.1.9.14"), tlv(0x31, sequence(*extensions)))
    return sequence(number(0), subject, spki(key), tlv(0xA0, attribute))


def signed(content, signer):
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    return sequence(content, ECDSA, bits(signer.sign(content, algorithm))).hex()


def next_cdis(cdi_attest, cdi_seal, case, layer=1):
    inputs = [
        bytes.fromhex(case["firmware_digest"]).ljust(64, b"\x00"),
        hashlib.sha512(tcb_info(case, layer)).digest(),
        bytes.fromhex(case["authority_hash"]),
        bytes([MODES[case["mode"]][0]]),
        bytes(64),
    ]
    return (
        hkdf(cdi_attest, hashlib.sha512(b"".join(inputs)).digest(), b"CDI_Attest", 32),
        hkdf(cdi_seal, hashlib.sha512(b"".join(inputs[2:])).digest(), b"CDI_Seal", 32),
    )


def derive(case):
    uds = bytes.fromhex(case["uds"])
    cdi_attest, cdi_seal = next_cdis(uds, uds, case)
    device_id, alias = key_pair(uds), key_pair(cdi_attest)
    issuer, subject = device_id_name(device_id), name(case["registration_id"])
    leaf = [SIGN, CLIENT_AUTH, ski(alias)]
    return {
        "tcb_info": tcb_info(case).hex(),
        "cdi_attest": cdi_attest.hex(),
        "cdi_seal": cdi_seal.hex(),
        "device_id_private": device_id.private_numbers().private_value.to_bytes(32, "big").hex(),
        "device_id_public": point(device_id).hex(),
        "alias_private": alias.private_numbers().private_value.to_bytes(32, "big").hex(),
        "alias_public": point(alias).hex(),
        "device_id_certificate": signed(
            tbs(issuer, case, issuer, device_id, CA, CERT_SIGN, ski(device_id)), device_id
        ),
        "alias_certificate": signed(
            tbs(issuer, case, subject, alias, *leaf, aki(device_id), tcb(case)), device_id
        ),
        "possession_certificate": signed(
            tbs(issuer, case, name(case["code"]), device_id, SIGN, ski(device_id), aki(device_id)), device_id
        ),
        "device_id_request": signed(request(issuer, device_id, CA, CERT_SIGN, ski(device_id)), device_id),
        "alias_request": signed(request(subject, alias, *leaf, tcb(case)), alias),
    }


def derive_layers(case):
    """Root, one embedded CA for each layer but the last, leaf."""
    attest = seal = bytes.fromhex(case["uds"])
    key = key_pair(attest)
    issuer = device_id_name(key)
    certificates = [signed(tbs(issuer, case, issuer, key, CA_ANY_PATH, CERT_SIGN, ski(key)), key)]
    sealing_keys = []
    for layer, content in enumerate(case["layers"], 1):
        attest, seal = next_cdis(attest, seal, content, layer)
        next_key = key_pair(attest)
        salt = hashlib.sha512(content["sealing_label"].encode()).digest()
        sealing_keys.append(hkdf(seal, salt, b"Sealing Key", 32).hex())
        common = [ski(next_key), aki(key), tcb(content, layer)]
        if layer < len(case["layers"]):
            subject = key_name("ECA", next_key)
            content = tbs(issuer, case, subject, next_key, CA_ANY_PATH, CERT_SIGN, *common)
        else:
            subject = name(case["registration_id"])
            purposes = extension("2.5.29.37", False, sequence(*(oid(purpose) for purpose in case["purposes"])))
            extra = [
                extension(id, False, sequence(octets(bytes.fromhex(case[field]))))
                for id, field in [("2.23.133.5.4.4", "ueid"), ("2.23.133.5.4.11", "nonce")]
                if field in case
            ]
            content = tbs(issuer, case, subject, next_key, SIGN, purposes, *common, *extra)
        certificates.append(signed(content, key))
        key, issuer = next_key, subject
    return {
        "leaf_private": key.private_numbers().private_value.to_bytes(32, "big").hex(),
        "sealing_keys": sealing_keys,
        "certificates": certificates,
    }


# Cases ---------------------------------------------------------------------------------------------------------------

def cases():
    firmware = b"firmware image of the first case"
    base = {
        "name": "sample",
        "uds": "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae",
        "hash": "sha256",
        "firmware": firmware.hex(),
        "firmware_digest": hashlib.sha256(firmware).hexdigest(),
        "vendor": "MXCHIP",
        "model": "AZ3166",
        "version": "1.0.0",
        "svn": 1,
        "mode": "not_configured",
        "authority_hash": bytes(64).hex(),
        "registration_id": "az-c89346f8a1b2",
        "code": "106A5SD242AF512B3498BD6098C4941E66R34H268DDB3288",
        "not_before": "20250101000000Z",
        "not_after": "99991231235959Z",
    }
    yield base
    yield base | {"name": "other version", "version": "1.0.1"}
    yield base | {"name": "other mode", "mode": "normal"}
    yield base | {"name": "other firmware", "firmware": "00", "firmware_digest": hashlib.sha256(b"\x00").hexdigest()}
    yield base | {"name": "lifetime", "not_before": "20491231235959Z", "not_after": "20500101000000Z"}
    for index, algorithm in enumerate(["sha384", "sha512"]):
        yield base | {
            "name": algorithm,
            "hash": algorithm,
            "firmware_digest": hashlib.new(algorithm, firmware).hexdigest(),
            "mode": ["debug", "recovery"][index],
            "authority_hash": hashlib.sha512(b"authority %d" % index).hexdigest(),
            "svn": [127, 2**64 - 1][index],
        }
    yield base | {
        "name": "longest",
        "uds": hashlib.sha256(b"longest").hexdigest(),
        "hash": "sha512",
        "firmware_digest": hashlib.sha512(firmware).hexdigest(),
        "vendor": "ü" * 32,
        "model": "m" * 64,
        "version": "9" * 64,
        "svn": 2**63,
        "mode": "debug",
        "registration_id": "r" * 64,
        "code": "C" * 64,
        "not_before": "99991231235958Z",
    }
    for index in range(24):
        yield base | {
            "name": f"random {index}",
            "uds": hashlib.sha256(b"uds %d" % index).hexdigest(),
            "firmware_digest": hashlib.sha256(b"firmware %d" % index).hexdigest(),
            "firmware": (b"firmware %d" % index).hex(),
            "svn": index * 11,
            "registration_id": f"device-{index}",
        }


def layer_cases():
    for count in range(1, 5):
        layers = []
        for index in range(count):
            algorithm = ["sha256", "sha384", "sha512"][index % 3]
            firmware = b"layer %d" % index
            layers.append({
                "hash": algorithm,
                "firmware": firmware.hex(),
                "firmware_digest": hashlib.new(algorithm, firmware).hexdigest(),
                "vendor": "ACME",
                "model": f"component {index}",
                "version": f"{index}.0.0",
                "svn": index,
                "mode": list(MODES)[index],
                "authority_hash": hashlib.sha512(b"authority %d" % index).hexdigest(),
                "sealing_label": "label" * index,
            })
        case = {
            "uds": hashlib.sha256(b"layers %d" % count).hexdigest(),
            "layers": layers,
            "registration_id": f"device-{count}",
            "purposes": [["1.3.6.1.5.5.7.3.2"], ["2.23.133.5.4.100.9"]][count % 2],
            "not_before": "20250101000000Z",
            "not_after": "99991231235959Z",
        }
        if count > 1:
            case["ueid"] = "01" + hashlib.sha256(b"ueid").hexdigest()[:32]
        if count > 2:
            case["nonce"] = "00112233445566778899aabbccddeeff"
        yield case


def write(path, format, cases):
    text = json.dumps({"format": f"dice-core-{format}/1", "cases": cases}, indent=0)
    path.write_text(text + "\n")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    write(folder / "identities.json", "standard", [case | derive(case) for case in cases()])
    write(folder / "layers.json", "layers", [case | derive_layers(case) for case in layer_cases()])
