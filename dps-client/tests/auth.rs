//! Credentials: tokens, keys, the TPM's blob and whole flow, and the certificate check.
mod support;

use dps_client::auth::sas::{self, Lifetime, Resource};
use dps_client::auth::tpm::{self, AuthenticationKey, Tpm};
use dps_client::{Error, json};
use support::config;

#[test]
fn a_token_fits_its_constants() {
    let (scope, id) = ("s".repeat(64), format!("{}a", ":".repeat(127)));
    let config = dps_client::Config::new(&scope, &id).unwrap();
    let resource = Resource::of(&config);
    let mut text = [0; sas::MAX_DPS_STRING_TO_SIGN];
    let text = sas::string_to_sign(&resource, u64::MAX, &mut text).unwrap();
    assert!(text.ends_with("\n18446744073709551615"));
    // A signature of the worst characters: `/` all through.
    let mut token = [0; sas::MAX_DPS_TOKEN];
    let token =
        sas::token(&resource, u64::MAX, &[0xff; 32], Some(sas::POLICY_REGISTRATION), &mut token).unwrap();
    let needed = token.len();
    for short in [0, 1, needed / 2, needed - 1] {
        let mut out = vec![0; short];
        let refused = sas::token(&resource, u64::MAX, &[0xff; 32], Some(sas::POLICY_REGISTRATION), &mut out);
        assert_eq!(refused, Err(Error::BufferTooSmall { needed }));
    }
}

#[test]
fn tokens_are_renewed_in_time() {
    let life = Lifetime::new(1000, sas::DEFAULT_TTL_S);
    assert_eq!((life.expiry(), life.renew_at()), (4600, 3880));
    for (now, due, expired) in [
        (1000, false, false),
        (3879, false, false),
        (3880, true, false),
        (4599, true, false),
        (4600, true, true),
    ] {
        assert_eq!((life.is_due(now), life.is_expired(now)), (due, expired), "{now}");
    }
    assert!(life.is_due(999), "a clock before the time of issue is wrong somewhere");
    assert_eq!(Lifetime::new(u64::MAX - 1, 100).expiry(), u64::MAX);
    assert!(Lifetime::new(5, 0).is_due(5));
}

/// A blob of the six parts.
fn blob(parts: [&[u8]; 6]) -> Vec<u8> {
    let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_be_bytes();
    parts.iter().flat_map(|part| [&length(part), *part].concat()).collect()
}

#[test]
fn the_parts_of_a_blob() {
    let parts: [&[u8]; 6] = [&[1; 52], &[2; 256], &[3; 64], &[4; 256], &[5; 48], b"uri"];
    let bytes = blob(parts);
    let key = AuthenticationKey::parse(&bytes).unwrap();
    let found = [key.credential, key.secret, key.duplicate, key.seed, key.public, key.data];
    assert_eq!(found, parts);
    for end in 0..bytes.len() {
        assert!(matches!(
            AuthenticationKey::parse(&bytes[..end]),
            Err(Error::Invalid { what: "authenticationKey", at }) if at <= end
        ));
    }
    let longer = [&bytes[..], &[0]].concat();
    let left_over = Error::Invalid { what: "authenticationKey", at: bytes.len() };
    assert_eq!(AuthenticationKey::parse(&longer), Err(left_over));
    assert!(AuthenticationKey::parse(&blob([&[]; 6])).is_ok());
}

#[test]
fn a_blob_in_base64() {
    // Slashes may come escaped.
    let document = br#""AAEBAAECAAEDAAEEAAEFAAL\/\/w==""#;
    let text = json::parse(document).unwrap().as_str().unwrap();
    let mut scratch = [0; 32];
    let key = tpm::decode(text, &mut scratch).unwrap();
    assert_eq!((key.credential, key.public, key.data), (&[1][..], &[5][..], &[0xff, 0xff][..]));
    assert_eq!(tpm::decode(text, &mut [0; 27]), Err(Error::BufferTooSmall { needed: 28 }));
    for bad in [&br#""AAE""#[..], br#""A*==""#, br#""AAEB AAEC""#, br#""AB==""#] {
        let text = json::parse(bad).unwrap().as_str().unwrap();
        assert!(matches!(tpm::decode(text, &mut [0; 32]), Err(Error::Invalid { .. })));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum ChipError {
    NoKey,
    Client(Error),
}

impl From<Error> for ChipError {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

/// Stands for a chip: signs by adding up bytes, with the "key" in the blob's wrapped part.
#[derive(Default)]
struct Chip(Option<u8>);

impl Tpm for Chip {
    type Error = ChipError;

    fn activate(&mut self, key: &AuthenticationKey<'_>) -> Result<(), ChipError> {
        self.0 = Some(*key.duplicate.first().ok_or(ChipError::NoKey)?);
        Ok(())
    }

    fn sign(&mut self, data: &[u8]) -> Result<[u8; 32], ChipError> {
        let key = self.0.ok_or(ChipError::NoKey)?;
        Ok([data.iter().fold(key, |sum, byte| sum.wrapping_add(*byte)); 32])
    }
}

#[test]
fn a_token_signed_by_a_chip() {
    let config = config();
    let resource = Resource::of(&config);
    let mut chip = Chip::default();
    let mut out = [0; sas::MAX_DPS_TOKEN];
    let refused = tpm::token(&mut chip, &resource, 9, None, &mut out);
    assert_eq!(refused, Err(ChipError::NoKey));
    let bytes = blob([&[], &[], &[40], &[], &[], &[]]);
    chip.activate(&AuthenticationKey::parse(&bytes).unwrap()).unwrap();
    let signature = chip.sign(b"0ne00000001%2fregistrations%2fdevice-1\n9").unwrap();
    let mut expected = [0; sas::MAX_DPS_TOKEN];
    let expected = sas::token(&resource, 9, &signature, Some("p"), &mut expected).unwrap();
    assert_eq!(tpm::token(&mut chip, &resource, 9, Some("p"), &mut out).unwrap(), expected);
    let mut small = [0; 10];
    let small = tpm::token(&mut chip, &resource, 9, None, &mut small);
    assert_eq!(small, Err(ChipError::Client(Error::BufferTooSmall { needed: 40 })));
}

#[cfg(feature = "sas")]
#[test]
fn keys() {
    use dps_client::auth::sas::{KeyError, SymmetricKey};
    let base64 = |len: usize| {
        use base64ct::{Base64, Encoding};
        Base64::encode_string(&vec![7; len])
    };
    for len in [0, 1, 15, 65, 66, 67, 200] {
        assert_eq!(SymmetricKey::from_base64(&base64(len)).err(), Some(KeyError::Length), "{len}");
        assert_eq!(SymmetricKey::new(&vec![7; len]).err(), Some(KeyError::Length));
    }
    for len in [16, 32, 63, 64] {
        assert_eq!(SymmetricKey::from_base64(&base64(len)), SymmetricKey::new(&vec![7; len]));
    }
    let good = base64(32);
    for bad in [&good[1..], &good.replace('=', ""), &good.replace('B', "*"), &format!(" {good}")] {
        assert!(SymmetricKey::from_base64(bad).is_err(), "{bad}");
    }
    let key = SymmetricKey::from_base64(&good).unwrap();
    assert_eq!(format!("{key:?}"), "SymmetricKey(..)");
    assert_ne!(key, SymmetricKey::new(&[7; 31]).unwrap());
    assert_ne!(key, SymmetricKey::new(&[8; 32]).unwrap());
    // RFC 4231, test case 2 uses a shorter key than Azure takes; case 3 has one of 20 bytes.
    let key = SymmetricKey::new(&[0xaa; 20]).unwrap();
    let expected = "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe";
    assert_eq!(hex::encode(key.sign(&[0xdd; 50])), expected);
}

#[cfg(feature = "tpm")]
#[test]
fn the_registration_id_of_a_tpm() {
    // SHA-256 of "abc" in base32, computed with Python's base64.b32encode.
    let mut out = [0; tpm::REGISTRATION_ID_LEN];
    let id = tpm::registration_id(b"abc", &mut out).unwrap();
    assert_eq!(id, "xj4bnp4pahh6uqkbidpf3lrceoyagyndsylxvhfucd7wd4qacwwq");
    assert!(dps_client::Config::new("0ne1", id).is_ok());
    let needed = tpm::REGISTRATION_ID_LEN;
    assert_eq!(tpm::registration_id(b"abc", &mut [0; 51]), Err(Error::BufferTooSmall { needed }));
}

#[cfg(feature = "x509")]
mod x509 {
    use dps_client::Error;
    use dps_client::auth::x509::{check, common_name};

    fn certificate(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/certificates/{name}.der", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn common_names() {
        for name in ["leaf", "multivalue", "version1"] {
            assert_eq!(common_name(&certificate(name)), Ok("device-1"), "{name}");
        }
        assert_eq!(common_name(&certificate("upper")), Ok("DEVICE-1"));
        assert_eq!(common_name(&certificate("none")), Err(Error::Certificate));
        assert_eq!(common_name(&certificate("two")), Err(Error::Certificate));
        let config = super::config();
        assert_eq!(check(&certificate("leaf"), &config), Ok(()));
        assert_eq!(check(&certificate("upper"), &config), Ok(()), "compared without case");
        assert_eq!(check(&certificate("other"), &config), Err(Error::CommonName));
    }

    #[test]
    fn damaged_certificates() {
        let leaf = certificate("leaf");
        for end in 0..leaf.len() {
            assert_eq!(common_name(&leaf[..end]), Err(Error::Certificate));
        }
        for at in 0..leaf.len() {
            let mut changed = leaf.clone();
            for byte in 0..=255 {
                changed[at] = byte;
                let _ = common_name(&changed);
            }
        }
    }
}
