//! Certificates with one thing wrong, all correctly signed.

use der::Tag;
use der::asn1::ObjectIdentifier;
use dice_core::asn1::{DerWriter, oid};
use dice_core::key::SecretKey;
use dice_core::open_dice::PublicKey;
use dice_core::tcg::{self, Fwid, List, MultiTcbInfo, TcbInfo};
use dice_core::verify::{Certificate, Evidence, Policy, Reason, Reference, TrustAnchor, verify_chain};
use dice_core::{Error, Secret};

type Write<'a> = Box<dyn Fn(&mut DerWriter<'_>) + 'a>;

const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

fn key(seed: u8) -> SecretKey {
    SecretKey::from_scalar(Secret::new([seed; 32])).unwrap()
}

fn der(write: impl FnOnce(&mut DerWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0; 8192];
    let mut writer = DerWriter::new(&mut out);
    write(&mut writer);
    writer.finish().unwrap().to_vec()
}

fn name(text: &str) -> Vec<u8> {
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

fn algorithm() -> Vec<u8> {
    der(|writer| writer.sequence(|writer| writer.oid(&oid::ECDSA_WITH_SHA256)))
}

fn extension(id: ObjectIdentifier, critical: bool, content: impl FnOnce(&mut DerWriter<'_>)) -> Vec<u8> {
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

fn constraints(critical: bool, ca: bool, path_len: Option<u8>) -> Vec<u8> {
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

fn key_usage(content: &[u8]) -> Vec<u8> {
    extension(oid::KEY_USAGE, true, |writer| writer.tlv(Tag::BitString, content))
}

fn subject_identifier(critical: bool, key: &SecretKey) -> Vec<u8> {
    let identifier = key.public_key().identifier();
    extension(oid::SUBJECT_KEY_IDENTIFIER, critical, |writer| writer.octet_string(&identifier))
}

fn authority_identifier(critical: bool, key: &SecretKey) -> Vec<u8> {
    let identifier = key.public_key().identifier();
    extension(oid::AUTHORITY_KEY_IDENTIFIER, critical, |writer| {
        writer.sequence(|writer| writer.implicit(0, &identifier));
    })
}

/// A certificate in parts, each of which a test can replace.
struct Parts<'a> {
    version: Write<'a>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    outer_algorithm: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    extensions: Vec<Vec<u8>>,
    signer: SecretKey,
}

impl Parts<'_> {
    /// A leaf below the CA of [`root`].
    fn leaf() -> Self {
        Self {
            version: Box::new(|writer| writer.explicit(0, |writer| writer.unsigned_integer(&[2]))),
            serial: vec![1],
            algorithm: algorithm(),
            outer_algorithm: algorithm(),
            issuer: name("root"),
            subject: name("leaf"),
            spki: key(2).public_key().to_spki().to_vec(),
            extensions: vec![subject_identifier(false, &key(2)), authority_identifier(false, &key(1))],
            signer: key(1),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn issue(&self) -> Vec<u8> {
        let tbs = der(|writer| {
            writer.sequence(|writer| {
                (self.version)(writer);
                writer.tlv(Tag::Integer, &self.serial);
                writer.raw(&self.algorithm);
                writer.raw(&self.issuer);
                writer.sequence(|writer| {
                    writer.tlv(Tag::UtcTime, b"250101000000Z");
                    writer.tlv(Tag::GeneralizedTime, b"99991231235959Z");
                });
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

fn root() -> Vec<u8> {
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

fn verdict(parts: &Parts<'_>) -> Result<(), Reason> {
    let (root, leaf) = (root(), parts.issue());
    match verify_chain(TrustAnchor::Certificate(&root), [&leaf[..]], Policy::default()) {
        Ok(_) => Ok(()),
        Err(Error::Refused { certificate: 0, reason }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

/// The verdict on a leaf with one more extension.
fn with_extension(extension: Vec<u8>) -> Result<(), Reason> {
    verdict(&Parts::leaf().with(|parts| parts.extensions.push(extension)))
}

fn malformed(verdict: Result<(), Reason>) -> bool {
    matches!(verdict, Err(Reason::Malformed(_)))
}

#[test]
fn the_leaf_without_faults_is_accepted() {
    assert_eq!(verdict(&Parts::leaf()), Ok(()));
    assert_eq!(with_extension(key_usage(&[7, 0x80])), Ok(()));
    assert_eq!(with_extension(constraints(false, false, None)), Ok(()));
}

#[test]
fn versions_before_3_are_refused() {
    let version = |number: Option<u8>| {
        verdict(&Parts::leaf().with(|parts| {
            parts.version = Box::new(move |writer| {
                if let Some(number) = number {
                    writer.explicit(0, |writer| writer.unsigned_integer(&[number]));
                }
            });
        }))
    };
    for number in [None, Some(0), Some(1), Some(3)] {
        assert_eq!(version(number), Err(Reason::Version), "{number:?}");
    }
}

#[test]
fn serial_numbers_are_positive_and_short() {
    let serial = |serial: &[u8]| verdict(&Parts::leaf().with(|parts| parts.serial = serial.to_vec()));
    for refused in [&[0][..], &[0x80], &[0xff, 0x01], &[1; 21], &[0x7f; 30]] {
        assert_eq!(serial(refused), Err(Reason::Serial), "{refused:?}");
    }
    let mut longest = vec![0];
    longest.extend([0xff; 20]);
    for accepted in [&[1][..], &[0x7f; 20], &[0, 0x80], &longest] {
        assert_eq!(serial(accepted), Ok(()), "{accepted:?}");
    }
    assert!(malformed(serial(&[0, 1])) && malformed(serial(&[])));
}

#[test]
fn algorithms_have_to_agree_and_be_known() {
    let other = || der(|writer| writer.sequence(|writer| writer.oid(&RSA)));
    let differ = Parts::leaf().with(|parts| parts.outer_algorithm = other());
    assert_eq!(verdict(&differ), Err(Reason::SignatureAlgorithmsDiffer));
    let unknown = Parts::leaf().with(|parts| {
        parts.algorithm = other();
        parts.outer_algorithm = other();
    });
    assert_eq!(verdict(&unknown), Err(Reason::SignatureAlgorithm(RSA)));
    let parameters = Parts::leaf().with(|parts| {
        let with_null = der(|writer| {
            writer.sequence(|writer| {
                writer.oid(&oid::ECDSA_WITH_SHA256);
                writer.tlv(Tag::Null, &[]);
            });
        });
        parts.algorithm.clone_from(&with_null);
        parts.outer_algorithm = with_null;
    });
    assert_eq!(verdict(&parameters), Err(Reason::SignatureAlgorithm(oid::ECDSA_WITH_SHA256)));
}

#[test]
fn keys_have_to_be_known_and_valid() {
    let spki = |algorithm: &[&ObjectIdentifier], bits: &[u8]| {
        let spki = der(|writer| {
            writer.sequence(|writer| {
                writer.sequence(|writer| algorithm.iter().for_each(|oid| writer.oid(oid)));
                writer.bit_string(bits);
            });
        });
        verdict(&Parts::leaf().with(|parts| parts.spki = spki))
    };
    let point = *key(3).public_key().as_sec1();
    let p256 = [&oid::EC_PUBLIC_KEY, &oid::PRIME256V1];
    assert_eq!(spki(&p256, &point), Ok(()));
    assert_eq!(spki(&[&RSA], &point), Err(Reason::KeyAlgorithm(RSA)));
    let brainpool = ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.7");
    assert_eq!(spki(&[&oid::EC_PUBLIC_KEY, &brainpool], &point), Err(Reason::KeyAlgorithm(brainpool)));
    assert_eq!(spki(&p256, &point[..64]), Err(Reason::PublicKey));
    assert_eq!(spki(&p256, &[&[2], &point[1..33]].concat()), Err(Reason::PublicKey), "compressed");
    let mut off_curve = point;
    off_curve[64] ^= 1;
    assert_eq!(spki(&p256, &off_curve), Err(Reason::PublicKey));
    assert!(malformed(spki(&[&oid::EC_PUBLIC_KEY], &point)), "no curve");
}

#[test]
fn names_have_to_be_there() {
    assert_eq!(verdict(&Parts::leaf().with(|parts| parts.issuer = name(""))), Err(Reason::EmptyIssuer));
    let nameless = || Parts::leaf().with(|parts| parts.subject = name(""));
    assert_eq!(verdict(&nameless()), Err(Reason::EmptySubject));
    let alternative = |critical| {
        extension(oid::SUBJECT_ALT_NAME, critical, |writer| {
            writer.sequence(|writer| writer.implicit(2, b"device.example"));
        })
    };
    assert_eq!(verdict(&nameless().with(|parts| parts.extensions.push(alternative(true)))), Ok(()));
    assert_eq!(
        verdict(&nameless().with(|parts| parts.extensions.push(alternative(false)))),
        Err(Reason::EmptySubject)
    );
    let empty_set = der(|writer| writer.sequence(|writer| writer.set(|_| {})));
    assert!(malformed(verdict(&Parts::leaf().with(|parts| parts.subject = empty_set))));
    for names in [&[][..], &[0x89, 0], &[0x30, 0]] {
        let names =
            extension(oid::SUBJECT_ALT_NAME, true, |writer| writer.sequence(|writer| writer.raw(names)));
        assert!(malformed(with_extension(names)));
    }
}

#[test]
fn extensions_are_judged() {
    let unknown = ObjectIdentifier::new_unwrap("1.2.3.4");
    let null = |writer: &mut DerWriter<'_>| writer.tlv(Tag::Null, &[]);
    assert_eq!(with_extension(extension(unknown, false, null)), Ok(()));
    assert_eq!(
        with_extension(extension(unknown, true, null)),
        Err(Reason::UnknownCriticalExtension(unknown))
    );
    for critical in [false, true] {
        let bound = extension(NAME_CONSTRAINTS, critical, null);
        assert_eq!(with_extension(bound), Err(Reason::UnknownCriticalExtension(NAME_CONSTRAINTS)));
    }
    let twice = subject_identifier(false, &key(2));
    assert_eq!(with_extension(twice), Err(Reason::DuplicateExtension(oid::SUBJECT_KEY_IDENTIFIER)));
    let many = |count: u8| {
        verdict(&Parts::leaf().with(|parts| {
            for number in 0..count {
                let id = ObjectIdentifier::new_unwrap("1.2.3.4").push_arc(u32::from(number)).unwrap();
                parts.extensions.push(extension(id, false, null));
            }
        }))
    };
    assert_eq!(many(30), Ok(()));
    assert_eq!(many(31), Err(Reason::TooManyExtensions { limit: 32 }));

    // A default written out, and a list without members.
    let written_default = der(|writer| {
        writer.sequence(|writer| {
            writer.oid(&unknown);
            writer.boolean(false);
            writer.octet_string(&[]);
        });
    });
    assert!(malformed(with_extension(written_default)));
    let no_purposes = extension(oid::EXT_KEY_USAGE, false, |writer| writer.sequence(|_| {}));
    assert!(malformed(with_extension(no_purposes)));
    for usage in [&[0][..], &[0, 0], &[0, 0x80, 0], &[6, 0x80], &[0, 1, 1, 1]] {
        assert!(malformed(with_extension(key_usage(usage))), "{usage:?}");
    }
}

#[test]
fn key_identifiers_are_required_and_not_critical() {
    let only = |extensions: Vec<Vec<u8>>| verdict(&Parts::leaf().with(|parts| parts.extensions = extensions));
    let (subject, authority) =
        (|| subject_identifier(false, &key(2)), || authority_identifier(false, &key(1)));
    assert_eq!(only(vec![authority()]), Ok(()));
    assert_eq!(only(vec![subject()]), Err(Reason::MissingAuthorityKeyIdentifier));
    assert_eq!(only(vec![]), Err(Reason::MissingAuthorityKeyIdentifier));
    let empty = extension(oid::AUTHORITY_KEY_IDENTIFIER, false, |writer| writer.sequence(|_| {}));
    assert_eq!(only(vec![empty]), Err(Reason::MissingAuthorityKeyIdentifier));
    assert_eq!(only(vec![authority_identifier(false, &key(7))]), Err(Reason::AuthorityKeyIdentifier));
    assert_eq!(
        only(vec![authority_identifier(true, &key(1))]),
        Err(Reason::Criticality(oid::AUTHORITY_KEY_IDENTIFIER))
    );
    assert_eq!(
        only(vec![authority(), subject_identifier(true, &key(2))]),
        Err(Reason::Criticality(oid::SUBJECT_KEY_IDENTIFIER))
    );
}

#[test]
fn ca_fields_have_to_be_consistent() {
    assert_eq!(with_extension(key_usage(&[2, 0x04])), Err(Reason::CaFieldsWithoutCa));
    assert_eq!(with_extension(constraints(true, false, Some(0))), Err(Reason::CaFieldsWithoutCa));
    assert_eq!(
        with_extension(constraints(false, true, None)),
        Err(Reason::Criticality(oid::BASIC_CONSTRAINTS))
    );
    assert_eq!(with_extension(constraints(true, true, None)), Ok(()), "a CA may be the leaf");
    let nameless_key = Parts::leaf().with(|parts| {
        parts.extensions = vec![authority_identifier(false, &key(1)), constraints(true, true, None)];
    });
    assert_eq!(verdict(&nameless_key), Err(Reason::MissingSubjectKeyIdentifier));
}

/// root -> intermediate -> leaf, where the intermediate has the given extensions besides its identifiers.
fn below_intermediate(extensions: Vec<Vec<u8>>) -> Result<(), (usize, Reason)> {
    let root = root();
    let intermediate = Parts::leaf().with(|parts| {
        parts.subject = name("intermediate");
        parts.extensions.extend(extensions);
    });
    let leaf = Parts::leaf().with(|parts| {
        parts.issuer = name("intermediate");
        parts.spki = key(3).public_key().to_spki().to_vec();
        parts.extensions = vec![authority_identifier(false, &key(2))];
        parts.signer = key(2);
    });
    let (intermediate, leaf) = (intermediate.issue(), leaf.issue());
    match verify_chain(TrustAnchor::Certificate(&root), [&intermediate[..], &leaf], Policy::default()) {
        Ok(_) => Ok(()),
        Err(Error::Refused { certificate, reason }) => Err((certificate, reason)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn who_issues_has_to_be_a_ca() {
    let ca = || constraints(true, true, None);
    assert_eq!(below_intermediate(vec![ca()]), Ok(()));
    assert_eq!(below_intermediate(vec![ca(), key_usage(&[2, 0x04])]), Ok(()));
    assert_eq!(below_intermediate(vec![constraints(true, true, Some(0))]), Ok(()));
    assert_eq!(below_intermediate(vec![]), Err((0, Reason::NotCa)));
    assert_eq!(below_intermediate(vec![constraints(true, false, None)]), Err((0, Reason::NotCa)));
    assert_eq!(below_intermediate(vec![ca(), key_usage(&[7, 0x80])]), Err((0, Reason::KeyUsage)));
}

#[test]
fn anchors_have_to_be_in_order() {
    let anchor = |der: &[u8]| match verify_chain(TrustAnchor::Certificate(der), [], Policy::default()) {
        Err(Error::Refused { certificate: 0, reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(anchor(&root()), Reason::Empty);
    let wrongly_signed = Parts::leaf().with(|parts| {
        parts.subject = name("root");
        parts.extensions = vec![constraints(true, true, None), subject_identifier(false, &key(1))];
        parts.spki = key(1).public_key().to_spki().to_vec();
        parts.signer = key(2);
    });
    assert_eq!(anchor(&wrongly_signed.issue()), Reason::Signature);
    assert!(matches!(anchor(&[]), Reason::Malformed(_)));
    let leaf = Parts::leaf().issue();
    let not_ca = verify_chain(TrustAnchor::Certificate(&leaf), [&leaf[..]], Policy::default());
    assert_eq!(not_ca.unwrap_err(), Error::Refused { certificate: 0, reason: Reason::NotCa });
}

#[test]
fn a_bare_key_issues_under_any_name() {
    let leaf = Parts::leaf().with(|parts| parts.issuer = name("whoever")).issue();
    let anchor = |seed| TrustAnchor::Key(PublicKey::P256(*key(seed).public_key()));
    assert!(verify_chain(anchor(1), [&leaf[..]], Policy::default()).is_ok());
    let refused = verify_chain(anchor(2), [&leaf[..]], Policy::default()).unwrap_err();
    assert_eq!(refused, Error::Refused { certificate: 0, reason: Reason::Signature });
}

#[test]
fn every_component_of_a_multi_tcb_info_is_checked() {
    let (first, second) = ([1; 32], [2; 32]);
    let sha256 = dice_core::hash::HashAlgorithm::Sha256.oid();
    let fwids = [&first, &second].map(|digest| [Fwid { algorithm: sha256, digest }]);
    let infos = fwids.each_ref().map(|fwids| TcbInfo { fwids: Some(List::of(fwids)), ..TcbInfo::default() });
    let multi =
        extension(tcg::oid::MULTI_TCB_INFO, false, |writer| MultiTcbInfo(List::of(&infos)).write_der(writer));
    let (root, leaf) = (root(), Parts::leaf().with(|parts| parts.extensions.push(multi)).issue());
    let verify = |references: &[Reference<'_>]| {
        let policy =
            Policy { evidence: Evidence::TcbInfo, references: Some(references), ..Policy::default() };
        verify_chain(TrustAnchor::Certificate(&root), [&leaf[..]], policy).map(|leaf| {
            assert_eq!(leaf.multi_tcb_info().unwrap().0.iter().count(), 2);
        })
    };
    assert_eq!(verify(&[Reference::firmware(&fwids[0]), Reference::firmware(&fwids[1])]), Ok(()));
    let refused = Err(Error::Refused { certificate: 0, reason: Reason::FirmwareDigest });
    assert_eq!(verify(&[Reference::firmware(&fwids[0])]), refused);
    assert_eq!(verify(&[Reference::firmware(&fwids[1])]), refused);
    let svn = [Reference { minimum_svn: Some(1), ..Reference::firmware(&[]) }];
    let missing = Reason::Svn { found: None, minimum: 1 };
    assert_eq!(verify(&svn), Err(Error::Refused { certificate: 0, reason: missing }));
    assert!(Certificate::parse(&leaf).unwrap().tcb_info().is_none());
}
