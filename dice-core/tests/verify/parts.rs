//! Certificates put together from parts, each of which a test can replace, and correctly signed.

use der::Tag;
use der::asn1::ObjectIdentifier;
use dice_core::Secret;
use dice_core::asn1::{DerWriter, oid};
use dice_core::key::SecretKey;

pub(crate) type Write<'a> = Box<dyn Fn(&mut DerWriter<'_>) + 'a>;

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_scalar(Secret::new([seed; 32])).unwrap()
}

pub(crate) fn der(write: impl FnOnce(&mut DerWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0; 8192];
    let mut writer = DerWriter::new(&mut out);
    write(&mut writer);
    writer.finish().unwrap().to_vec()
}

pub(crate) fn name(text: &str) -> Vec<u8> {
    der(|writer| {
        writer.sequence(|writer| {
            if !text.is_empty() {
                writer.set(|writer| {
                    writer.sequence(|writer| {
                        writer.oid(&oid::COMMON_NAME);
                        writer.utf8(text);
                    });
                });
            }
        });
    })
}

pub(crate) fn algorithm() -> Vec<u8> {
    der(|writer| writer.sequence(|writer| writer.oid(&oid::ECDSA_WITH_SHA256)))
}

pub(crate) fn extension(
    id: ObjectIdentifier,
    critical: bool,
    content: impl FnOnce(&mut DerWriter<'_>),
) -> Vec<u8> {
    der(|writer| {
        writer.sequence(|writer| {
            writer.oid(&id);
            if critical {
                writer.boolean(true);
            }
            writer.octet_string_of(content);
        });
    })
}

pub(crate) fn constraints(critical: bool, ca: bool, path_len: Option<u8>) -> Vec<u8> {
    extension(oid::BASIC_CONSTRAINTS, critical, |writer| {
        writer.sequence(|writer| {
            if ca {
                writer.boolean(true);
            }
            if let Some(len) = path_len {
                writer.unsigned_integer(&[len]);
            }
        });
    })
}

pub(crate) fn validity((first_tag, first): (Tag, &str), (last_tag, last): (Tag, &str)) -> Vec<u8> {
    der(|writer| {
        writer.sequence(|writer| {
            writer.tlv(first_tag, first.as_bytes());
            writer.tlv(last_tag, last.as_bytes());
        });
    })
}

pub(crate) fn key_usage(content: &[u8]) -> Vec<u8> {
    extension(oid::KEY_USAGE, true, |writer| writer.tlv(Tag::BitString, content))
}

pub(crate) fn subject_identifier(critical: bool, key: &SecretKey) -> Vec<u8> {
    let identifier = key.public_key().identifier();
    extension(oid::SUBJECT_KEY_IDENTIFIER, critical, |writer| writer.octet_string(&identifier))
}

pub(crate) fn authority_identifier(critical: bool, key: &SecretKey) -> Vec<u8> {
    let identifier = key.public_key().identifier();
    extension(oid::AUTHORITY_KEY_IDENTIFIER, critical, |writer| {
        writer.sequence(|writer| writer.implicit(0, &identifier));
    })
}

/// A certificate in parts, each of which a test can replace.
pub(crate) struct Parts<'a> {
    pub(crate) version: Write<'a>,
    pub(crate) serial: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) outer_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) validity: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
    pub(crate) signer: SecretKey,
}

impl Parts<'_> {
    /// A leaf below the CA of [`root`].
    pub(crate) fn leaf() -> Self {
        Self {
            version: Box::new(|writer| writer.explicit(0, |writer| writer.unsigned_integer(&[2]))),
            serial: vec![1],
            algorithm: algorithm(),
            outer_algorithm: algorithm(),
            issuer: name("root"),
            validity: validity((Tag::UtcTime, "250101000000Z"), (Tag::GeneralizedTime, "99991231235959Z")),
            subject: name("leaf"),
            spki: key(2).public_key().to_spki().to_vec(),
            extensions: vec![subject_identifier(false, &key(2)), authority_identifier(false, &key(1))],
            signer: key(1),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn issue(&self) -> Vec<u8> {
        let tbs = der(|writer| {
            writer.sequence(|writer| {
                (self.version)(writer);
                writer.tlv(Tag::Integer, &self.serial);
                writer.raw(&self.algorithm);
                writer.raw(&self.issuer);
                writer.raw(&self.validity);
                writer.raw(&self.subject);
                writer.raw(&self.spki);
                if !self.extensions.is_empty() {
                    writer.explicit(3, |writer| {
                        writer.sequence(|writer| writer.raw(&self.extensions.concat()));
                    });
                }
            });
        });
        let mut signature = [0; 72];
        let signature = self.signer.sign(&tbs).to_der(&mut signature).unwrap().to_vec();
        der(|writer| {
            writer.sequence(|writer| {
                writer.raw(&tbs);
                writer.raw(&self.outer_algorithm);
                writer.bit_string(&signature);
            });
        })
    }
}

pub(crate) fn root() -> Vec<u8> {
    Parts::leaf()
        .with(|parts| {
            parts.subject = name("root");
            parts.spki = key(1).public_key().to_spki().to_vec();
            parts.extensions = vec![
                constraints(true, true, None),
                key_usage(&[2, 0x04]),
                subject_identifier(false, &key(1)),
            ];
        })
        .issue()
}
