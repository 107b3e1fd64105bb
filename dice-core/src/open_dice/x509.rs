//! X.509 certificates of the profile.

use super::{Config, InputValues, KeyId, KeyPair, PublicKey};
use crate::asn1::{DerWriter, oid};
use crate::key::P256;
use crate::x509::write::{key_usage, write_ca_constraints, write_key_usage};
use crate::x509::{Time, Validity, write_extension};
use crate::{Error, Result};
use der::Tag;
use der::asn1::ObjectIdentifier;

/// serialNumber, the attribute that holds identifiers in names (RFC 5280).
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
/// DiceAttestationData, the profile's own extension.
pub const DICE_ATTESTATION_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.24");

/// The profile's validity: from the day TCG published the DICE specification, as a device without a clock can know of
/// no later one, to no well-defined end.
const VALIDITY: Validity = Validity {
    not_before: match Time::new(2018, 3, 22, 23, 59, 59) {
        Ok(time) => time,
        Err(_) => Time::NO_EXPIRY,
    },
    not_after: Time::NO_EXPIRY,
};
/// The longest header of a `SEQUENCE` up to 16 MiB.
const MAX_HEADER_LEN: usize = 5;
/// The longest signature algorithm, and the bit string's header and first byte around a signature.
const MAX_TAIL_OVERHEAD: usize = 12 + 4;

/// Issues the X.509 certificate of the next layer's key (Open Profile for DICE, "X.509 CDI Certificates"), and gives
/// the part of `out` used: about 720 bytes for P-256, plus descriptors and profile name.
///
/// Authority and subject may have different algorithms. Issuer and subject are the keys' identifiers, the serial number
/// is the subject's identifier, the validity runs from the profile's fixed date to no well-defined end.
///
/// The mode is an `ENUMERATED`, as every implementation writes it, not the `INTEGER` of the profile's text.
///
/// # Errors
/// [`Error::BufferTooSmall`]; the size it names counts the longest possible signature.
pub fn issue_x509<'b, B: P256>(
    authority: &KeyPair<B>,
    subject: &PublicKey,
    inputs: &InputValues<'_>,
    profile_name: Option<&str>,
    out: &'b mut [u8],
) -> Result<&'b [u8]> {
    let algorithm = authority.algorithm();
    let authority_id = authority.public_key().id()?;
    let subject_id = subject.id()?;
    let available = out.len();

    let mut writer = DerWriter::new(&mut *out);
    writer.sequence(|writer| {
        writer.explicit(0, |writer| writer.unsigned_integer(&[2])); // v3
        writer.unsigned_integer(subject_id.as_bytes());
        algorithm.write_signature_algorithm(writer);
        write_name(writer, &authority_id);
        VALIDITY.write(writer);
        write_name(writer, &subject_id);
        subject.write_spki(writer);
        writer.explicit(3, |writer| {
            writer.sequence(|writer| {
                write_extension(writer, &oid::AUTHORITY_KEY_IDENTIFIER, false, |writer| {
                    writer.sequence(|writer| writer.implicit(0, authority_id.as_bytes()));
                });
                write_extension(writer, &oid::SUBJECT_KEY_IDENTIFIER, false, |writer| {
                    writer.octet_string(subject_id.as_bytes());
                });
                write_key_usage(writer, key_usage::KEY_CERT_SIGN);
                write_ca_constraints(writer, None);
                write_extension(writer, &DICE_ATTESTATION_DATA, true, |writer| {
                    write_attestation_data(writer, inputs, profile_name);
                });
            });
        });
    });

    let tbs_len = writer.len();
    let needed = tbs_len
        .saturating_add(MAX_HEADER_LEN + MAX_TAIL_OVERHEAD)
        .saturating_add(algorithm.max_x509_signature_len());
    let too_small = Error::BufferTooSmall { needed, available };
    let fits = |error| if matches!(error, Error::BufferTooSmall { .. }) { too_small } else { error };
    let signature = authority.sign(writer.finish().map_err(fits)?)?;
    let mut writer = DerWriter::resume(out, tbs_len);
    writer.enclose_sequence(|writer| {
        algorithm.write_signature_algorithm(writer);
        signature.write_x509(writer);
    });
    writer.finish().map_err(fits)
}

/// A name of one attribute: `serialNumber=<identifier in hexadecimal>`.
fn write_name(writer: &mut DerWriter<'_>, id: &KeyId) {
    writer.sequence(|writer| {
        writer.set(|writer| {
            writer.sequence(|writer| {
                writer.oid(&SERIAL_NUMBER);
                writer.tlv(Tag::PrintableString, &id.to_hex());
            });
        });
    });
}

/// `OpenDiceInput` (Open Profile for DICE, "Custom Extension Format").
fn write_attestation_data(writer: &mut DerWriter<'_>, inputs: &InputValues<'_>, profile_name: Option<&str>) {
    let octets = |writer: &mut DerWriter<'_>, number, bytes: &[u8]| {
        writer.explicit(number, |writer| writer.octet_string(bytes));
    };
    writer.sequence(|writer| {
        octets(writer, 0, inputs.code_hash);
        if !inputs.code_descriptor.is_empty() {
            octets(writer, 1, inputs.code_descriptor);
        }
        match inputs.config {
            Config::Inline(value) => octets(writer, 3, value),
            Config::Descriptor(descriptor) => {
                octets(writer, 2, &inputs.config.input());
                octets(writer, 3, descriptor);
            }
        }
        octets(writer, 4, inputs.authority_hash);
        if !inputs.authority_descriptor.is_empty() {
            octets(writer, 5, inputs.authority_descriptor);
        }
        writer.explicit(6, |writer| writer.tlv(Tag::Enumerated, &[inputs.mode as u8]));
        if let Some(name) = profile_name {
            writer.explicit(7, |writer| writer.utf8(name));
        }
    });
}
