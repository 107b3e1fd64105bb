#!/usr/bin/env python3
"""Reads a certificate (PEM, standard input) with asn1crypto, a parser in pure Python, and prints it as JSON."""

import json
import sys

from asn1crypto import core, pem, x509


class Fwid(core.Sequence):
    _fields = [("hash_alg", core.ObjectIdentifier), ("digest", core.OctetString)]


class Fwids(core.SequenceOf):
    _child_spec = Fwid


class Flags(core.BitString):
    _map = {0: "notConfigured", 1: "notSecure", 2: "recovery", 3: "debug"}


class TcbInfo(core.Sequence):
    """DiceTcbInfo of the TCG DICE Attestation Architecture 1.1, as far as the profile uses it."""

    _fields = [
        ("vendor", core.UTF8String, {"implicit": 0}),
        ("model", core.UTF8String, {"implicit": 1}),
        ("version", core.UTF8String, {"implicit": 2}),
        ("svn", core.Integer, {"implicit": 3}),
        ("layer", core.Integer, {"implicit": 4}),
        ("index", core.Integer, {"implicit": 5}),
        ("fwids", Fwids, {"implicit": 6}),
        ("flags", Flags, {"implicit": 7}),
    ]


_, _, der = pem.unarmor(sys.stdin.buffer.read())
certificate = x509.Certificate.load(der, strict=True)
tbs = certificate["tbs_certificate"]
extensions = {
    extension["extn_id"].dotted: (extension["critical"].native, extension["extn_value"])
    for extension in tbs["extensions"]
}
shown = {
    "subject": certificate.subject.native,
    "issuer": certificate.issuer.native,
    "ca": bool(certificate.ca),
    "keyUsage": sorted(certificate.key_usage_value.native),
    "extKeyUsage": certificate.extended_key_usage_value and certificate.extended_key_usage_value.native,
    "keyIdentifier": certificate.key_identifier.hex(),
    "authorityKeyIdentifier": certificate.authority_key_identifier and certificate.authority_key_identifier.hex(),
    "critical": [id for id, (critical, _) in extensions.items() if critical],
}
if "2.23.133.5.4.1" in extensions:
    info = TcbInfo.load(bytes(extensions["2.23.133.5.4.1"][1]), strict=True).native
    shown["tcbInfo"] = info | {
        "fwids": [fwid | {"digest": fwid["digest"].hex()} for fwid in info["fwids"]],
        "flags": sorted(info["flags"]),
    }
print(json.dumps(shown))
