//! Certificates with one thing wrong, all correctly signed.

use der::Tag;
use der::asn1::ObjectIdentifier;
use dice_core::Error;
use dice_core::asn1::{DerWriter, oid};
use dice_core::open_dice::PublicKey;
use dice_core::verify::{
    DEFAULT_MAX_INTERMEDIATES, DEFAULT_MAX_SELF_ISSUED, Policy, Reason, TrustAnchor, verify_chain,
};

use super::parts::{
    Parts, authority_identifier, constraints, der, extension, key, key_usage, name, root, subject_identifier,
    validity,
};

const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

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
    // 20 bytes of the INTEGER, a leading zero byte counted (RFC 5280 §4.1.2.2).
    let with_zero = |len| [&[0][..], &vec![0xff; len]].concat();
    for refused in [&[0][..], &[0x80], &[0xff, 0x01], &[1; 21], &[0x7f; 30], &with_zero(20)] {
        assert_eq!(serial(refused), Err(Reason::Serial), "{refused:?}");
    }
    for accepted in [&[1][..], &[0x7f; 20], &[0, 0x80], &with_zero(19)] {
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
fn extensions_are_checked() {
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
fn validity_is_written_as_rfc_5280_wants_and_not_empty() {
    let (utc, general) = (Tag::UtcTime, Tag::GeneralizedTime);
    let verdict = |first, last| verdict(&Parts::leaf().with(|parts| parts.validity = validity(first, last)));
    let (early, late) = ((utc, "250101000000Z"), (utc, "491231235959Z"));
    assert_eq!(verdict(early, late), Ok(()));
    assert_eq!(verdict(early, early), Ok(()));
    assert_eq!(verdict(early, (general, "20500101000000Z")), Ok(()));
    assert!(malformed(verdict((general, "20250101000000Z"), late)), "GeneralizedTime before 2050");
    assert!(malformed(verdict(early, (general, "20491231235959Z"))));
    assert!(malformed(verdict(early, (general, "20500101000000+0000"))));
    assert!(malformed(verdict((utc, "2501010000Z"), late)), "no seconds");
    assert_eq!(verdict(late, early), Err(Reason::Validity), "no time is given, and still");
}

/// authorityKeyIdentifier with the right key identifier, and with what else is given.
fn issuer_named(names: Option<&[u8]>, serial: Option<&[u8]>) -> Vec<u8> {
    extension(oid::AUTHORITY_KEY_IDENTIFIER, false, |writer| {
        writer.sequence(|writer| {
            writer.implicit(0, &key(1).public_key().identifier());
            if let Some(names) = names {
                writer.explicit(1, |writer| writer.raw(names));
            }
            if let Some(serial) = serial {
                writer.implicit(2, serial);
            }
        });
    })
}

#[test]
fn the_issuer_is_named_without_contradiction() {
    let directory = |text: &str| der(|writer| writer.explicit(4, |writer| writer.raw(&name(text))));
    let dns = der(|writer| writer.implicit(2, b"root"));
    let verdict = |names: Option<&[u8]>, serial: Option<&[u8]>| {
        verdict(&Parts::leaf().with(|parts| parts.extensions[1] = issuer_named(names, serial)))
    };
    assert_eq!(verdict(Some(&directory("root")), Some(&[1])), Ok(()));
    assert_eq!(verdict(Some(&[&dns[..], &directory("root")].concat()), Some(&[1])), Ok(()));
    let other = Err(Reason::AuthorityKeyIdentifier);
    assert_eq!(verdict(Some(&directory("other")), Some(&[1])), other);
    assert_eq!(verdict(Some(&directory("root")), Some(&[2])), other);
    assert_eq!(verdict(Some(&[directory("root"), directory("other")].concat()), Some(&[1])), other);
    assert_eq!(verdict(Some(&dns), Some(&[1])), other, "nothing that can be compared");
    // Both or neither (RFC 5280 §4.2.1.1), and both in order.
    assert!(malformed(verdict(Some(&directory("root")), None)));
    assert!(malformed(verdict(None, Some(&[1]))));
    assert!(malformed(verdict(Some(&[]), Some(&[1]))));
    assert!(malformed(verdict(Some(&directory("root")), Some(&[0, 1]))));

    // An anchor that is self-signed has to name itself.
    let anchor = |extension| {
        let root = Parts::leaf().with(|parts| {
            parts.subject = name("root");
            parts.spki = key(1).public_key().to_spki().to_vec();
            let identifier = subject_identifier(false, &key(1));
            parts.extensions = vec![constraints(true, true, None), identifier, extension];
        });
        match verify_chain(TrustAnchor::Certificate(&root.issue()), [], Policy::default()) {
            Err(Error::Refused { certificate: 0, reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(anchor(authority_identifier(false, &key(1))), Reason::Empty);
    assert_eq!(anchor(authority_identifier(false, &key(2))), Reason::AuthorityKeyIdentifier);
    assert_eq!(anchor(issuer_named(Some(&directory("root")), Some(&[2]))), Reason::AuthorityKeyIdentifier);
}

#[test]
fn empty_key_identifiers_identify_nothing() {
    let subject = extension(oid::SUBJECT_KEY_IDENTIFIER, false, |writer| writer.octet_string(&[]));
    assert!(malformed(verdict(&Parts::leaf().with(|parts| parts.extensions[0] = subject))));
    let authority = extension(oid::AUTHORITY_KEY_IDENTIFIER, false, |writer| {
        writer.sequence(|writer| writer.implicit(0, &[]));
    });
    assert!(malformed(verdict(&Parts::leaf().with(|parts| parts.extensions[1] = authority))));
}

#[test]
fn the_number_of_self_issued_cas_is_bounded() {
    let root = root();
    let again = Parts::leaf().with(|parts| {
        parts.subject = name("root");
        parts.spki = key(1).public_key().to_spki().to_vec();
        let own = [subject_identifier(false, &key(1)), authority_identifier(false, &key(1))];
        parts.extensions = vec![constraints(true, true, Some(0))];
        parts.extensions.extend(own);
    });
    let (again, leaf) = (again.issue(), Parts::leaf().issue());
    let verify = |count, limit| {
        let chain = std::iter::repeat_n(&again[..], count).chain([&leaf[..]]);
        let policy = Policy { max_intermediates: Some(0), max_self_issued: limit, ..Policy::default() };
        verify_chain(TrustAnchor::Certificate(&root), chain, policy).map(|_| ())
    };
    let refused =
        |limit| Err(Error::Refused { certificate: limit, reason: Reason::TooManySelfIssued { limit } });
    // pathLen 0 does not count them (RFC 5280 §4.2.1.9).
    assert_eq!(verify(DEFAULT_MAX_SELF_ISSUED, None), Ok(()));
    assert_eq!(verify(200, None), refused(DEFAULT_MAX_SELF_ISSUED));
    assert_eq!(verify(1, Some(0)), refused(0));
    assert_eq!(verify(200, Some(200)), Ok(()));
}

/// Without a limit of the caller's there is one all the same.
#[test]
fn the_length_of_a_chain_is_bounded() {
    let certificate = |place: usize| {
        let issued = Parts::leaf().with(|parts| {
            let issuer = if place == 0 { 1 } else { 2 };
            parts.issuer = if place == 0 { name("root") } else { name(&format!("ca {place}")) };
            parts.subject = name(&format!("ca {}", place + 1));
            parts.extensions[1] = authority_identifier(false, &key(issuer));
            parts.extensions.push(constraints(true, true, None));
            parts.signer = key(issuer);
        });
        issued.issue()
    };
    let limit = DEFAULT_MAX_INTERMEDIATES;
    let (root, chain) = (root(), (0..limit + 2).map(certificate).collect::<Vec<_>>());
    let verify = |len: usize, max_intermediates| {
        let policy = Policy { max_intermediates, ..Policy::default() };
        let chain = chain[..len].iter().map(Vec::as_slice);
        verify_chain(TrustAnchor::Certificate(&root), chain, policy).map(|_| ())
    };
    assert_eq!(verify(limit + 1, None), Ok(()));
    let refused = Error::Refused { certificate: limit, reason: Reason::TooLong { limit } };
    assert_eq!(verify(limit + 2, None), Err(refused));
    assert_eq!(verify(limit + 2, Some(limit + 1)), Ok(()));
}

#[test]
fn key_usage_and_purpose_have_to_agree() {
    let verify = |usage: &[u8], purpose| {
        let purposes = extension(oid::EXT_KEY_USAGE, false, |writer| {
            writer.sequence(|writer| writer.oid(&oid::CLIENT_AUTH));
        });
        let leaf = Parts::leaf().with(|parts| parts.extensions.extend([key_usage(usage), purposes])).issue();
        let policy = Policy { purpose, ..Policy::default() };
        verify_chain(TrustAnchor::Certificate(&root()), [&leaf[..]], policy).map(|_| ())
    };
    let purpose = Some(oid::CLIENT_AUTH);
    assert_eq!(verify(&[7, 0x80], purpose), Ok(()), "digitalSignature");
    let refused = Err(Error::Refused { certificate: 0, reason: Reason::LeafKeyUsage });
    assert_eq!(verify(&[3, 0x08], purpose), refused, "keyAgreement only");
    assert_eq!(verify(&[3, 0x08], None), Ok(()));
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
