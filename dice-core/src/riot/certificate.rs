//! The two certificates of the `riot` profile.

use super::Fwid;
use crate::asn1::{DerWriter, oid};
use crate::hash::{Hash, Sha256};
use crate::key::PublicKey;
use crate::x509::{ToBeSigned, write_extension, write_rdn, write_signature_algorithm};
use crate::{RegistrationId, Result};
use der::Tag;
use der::asn1::ObjectIdentifier;

/// The longest registration id the profile can encode; the original's string encoder refuses longer ones.
pub const REGISTRATION_ID_MAX_LEN: usize = 126;
/// Space enough for every alias certificate, in bytes.
pub const ALIAS_CERTIFICATE_MAX_LEN: usize = 683;
/// Space enough for every DeviceID certificate, in bytes.
pub const DEVICE_ID_CERTIFICATE_MAX_LEN: usize = 379;

const ISSUER: &str = "devkitdice";
const ALIAS_SERIAL: [u8; 5] = [0x0a, 0x0b, 0x0c, 0x0d, 0x0e];
const DEVICE_ID_SERIAL: [u8; 5] = [0x0e, 0x0d, 0x0c, 0x0b, 0x0a];
/// The extension value of RIoT, which the original hangs into a subjectAltName.
const RIOT_EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.89.3.1");

/// The alias certificate: subject CN = registration id, signed by the DeviceID key.
pub(super) fn alias<'b>(
    id: RegistrationId<'_>,
    alias: &PublicKey,
    device_id: &PublicKey,
    fwid: Fwid,
    out: &'b mut [u8],
) -> Result<ToBeSigned<'b>> {
    let id = id.checked_len(REGISTRATION_ID_MAX_LEN)?;
    ToBeSigned::write(out, |writer| {
        write_certificate(writer, &ALIAS_SERIAL, id.as_str(), alias, |writer| {
            write_extension(writer, &oid::EXT_KEY_USAGE, true, |writer| {
                writer.sequence(|writer| writer.oid(&oid::CLIENT_AUTH));
            });
            write_extension(writer, &oid::SUBJECT_ALT_NAME, true, |writer| {
                writer.sequence(|writer| {
                    writer.explicit(0, |writer| write_composite_device_id(writer, device_id, fwid));
                });
            });
        });
    })
}

/// The self-signed DeviceID certificate.
pub(super) fn device_id<'b>(device_id: &PublicKey, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
    ToBeSigned::write(out, |writer| {
        write_certificate(writer, &DEVICE_ID_SERIAL, ISSUER, device_id, |writer| {
            write_extension(writer, &oid::BASIC_CONSTRAINTS, false, |writer| {
                writer.sequence(|writer| {
                    writer.boolean(true);
                    writer.unsigned_integer(&[2]);
                });
            });
        });
    })
}

/// The content of the `otherName`. RFC 5280 wants the value in an explicit tag of its own; the original leaves it out.
fn write_composite_device_id(writer: &mut DerWriter<'_>, device_id: &PublicKey, fwid: Fwid) {
    writer.oid(&RIOT_EXTENSION);
    writer.sequence(|writer| {
        writer.unsigned_integer(&[1]);
        device_id.write_spki(writer);
        writer.sequence(|writer| {
            writer.oid(&Sha256::OID);
            writer.octet_string(&fwid.0);
        });
    });
}

fn write_certificate(
    writer: &mut DerWriter<'_>,
    serial: &[u8],
    subject: &str,
    key: &PublicKey,
    extensions: impl FnOnce(&mut DerWriter<'_>),
) {
    writer.sequence(|writer| {
        writer.explicit(0, |writer| writer.unsigned_integer(&[2]));
        writer.unsigned_integer(serial);
        write_signature_algorithm(writer);
        write_name(writer, ISSUER);
        writer.sequence(|writer| {
            writer.tlv(Tag::UtcTime, b"170101000000Z");
            writer.tlv(Tag::UtcTime, b"370101000000Z");
        });
        write_name(writer, subject);
        key.write_spki(writer);
        writer.explicit(3, |writer| writer.sequence(extensions));
    });
}

fn write_name(writer: &mut DerWriter<'_>, common_name: &str) {
    writer.sequence(|writer| {
        write_rdn(writer, &oid::COMMON_NAME, common_name);
        write_rdn(writer, &oid::COUNTRY_NAME, "US");
        write_rdn(writer, &oid::ORGANIZATION_NAME, "DEVKIT_TEST");
    });
}
