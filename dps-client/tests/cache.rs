//! The stored form of an assignment: it comes back as it was, or not at all.
use dps_client::{Assignment, CacheError, Config, ConnectionProfile, Error, RegistrationState, Substatus};
use proptest::prelude::*;

fn config() -> Config<'static> {
    Config::new("0ne00000001", "device-1").unwrap()
}

fn assignment(hub: &str, device_id: &str, more: &str) -> Assignment {
    let state = format!(r#"{{"assignedHub":"{hub}","deviceId":"{device_id}"{more}}}"#);
    Assignment::from_state(&RegistrationState::parse(state.as_bytes()).unwrap()).unwrap()
}

fn stored(assignment: &Assignment) -> Vec<u8> {
    let mut out = [0; Assignment::MAX_ENCODED];
    assignment.encode(&config(), &mut out).unwrap().to_vec()
}

fn cause(stored: &[u8]) -> CacheError {
    match Assignment::decode(stored, &config()) {
        Err(Error::Cache(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_form_is_fixed() {
    let bytes =
        stored(&assignment("h.net", "Dev", r#","substatus":"deviceDataReset","connectionProfile":"mqttV5""#));
    // CRC-32 of "0ne00000001/device-1", and of everything before; computed with Python's binascii.crc32.
    assert_eq!(hex::encode(&bytes), "445053410101030503ec47fa95682e6e6574446576304d3923");
}

#[test]
fn it_comes_back() {
    for (more, profile, substatus) in [
        ("", ConnectionProfile::Classic, None),
        (
            r#","substatus":"initialAssignment""#,
            ConnectionProfile::Classic,
            Some(Substatus::InitialAssignment),
        ),
        (
            r#","substatus":"deviceDataMigrated""#,
            ConnectionProfile::Classic,
            Some(Substatus::DeviceDataMigrated),
        ),
        (
            r#","substatus":"new","connectionProfile":"mqttV5""#,
            ConnectionProfile::MqttV5,
            Some(Substatus::Other),
        ),
        (
            r#","substatus":"reprovisionedToInitialAssignment","connectionProfile":"CLASSIC""#,
            ConnectionProfile::Classic,
            Some(Substatus::ReprovisionedToInitialAssignment),
        ),
    ] {
        let assignment = assignment("h", "d", more);
        assert_eq!((assignment.profile(), assignment.substatus()), (profile, substatus));
        let mut page = stored(&assignment);
        assert_eq!(Assignment::decode(&page, &config()), Ok(assignment.clone()));
        page.extend([0xff; 500]);
        assert_eq!(
            Assignment::decode(&page, &config()),
            Ok(assignment),
            "the rest of a page does not matter"
        );
    }
    let longest = assignment(&"h".repeat(128), &"d".repeat(128), "");
    let bytes = stored(&longest);
    assert_eq!(bytes.len(), Assignment::MAX_ENCODED);
    assert_eq!(Assignment::decode(&bytes, &config()), Ok(longest.clone()));
    let mut small = [0; Assignment::MAX_ENCODED - 1];
    let needed = Assignment::MAX_ENCODED;
    assert_eq!(longest.encode(&config(), &mut small), Err(Error::BufferTooSmall { needed }));
}

#[test]
fn damage_is_found() {
    let bytes = stored(&assignment("contoso.azure-devices.net", "device-1", ""));
    for end in 0..bytes.len() {
        assert_eq!(cause(&bytes[..end]), CacheError::Truncated, "{end}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0..4 => CacheError::NotAnAssignment,
            4 => CacheError::Version(changed[4]),
            // Other lengths may lead beyond the end.
            7 | 8 if cause(&changed) == CacheError::Truncated => CacheError::Truncated,
            _ => CacheError::Checksum,
        };
        assert_eq!(cause(&changed), expected, "bit {bit}");
    }
    assert_eq!(cause(&[0xff; 512]), CacheError::NotAnAssignment);
    assert_eq!(cause(&[0; 512]), CacheError::NotAnAssignment);
}

#[test]
fn another_registration_does_not_use_it() {
    let bytes = stored(&assignment("h", "d", ""));
    for (scope, id) in [("0ne00000002", "device-1"), ("0ne00000001", "device-2")] {
        let other = Config::new(scope, id).unwrap();
        assert_eq!(Assignment::decode(&bytes, &other), Err(Error::Cache(CacheError::OtherRegistration)));
    }
}

#[test]
fn content_is_checked_behind_the_checksum() {
    let crc = |bytes: &[u8]| {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        (!crc).to_le_bytes()
    };
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = stored(&assignment("host", "d", ""));
        bytes.truncate(bytes.len() - 4);
        change(&mut bytes);
        let crc = crc(&bytes);
        bytes.extend(crc);
        Assignment::decode(&bytes, &config()).err()
    };
    assert_eq!(forge(&|_| {}), None, "the checksum here is the right one");
    let content = Some(Error::Cache(CacheError::Content));
    assert_eq!(forge(&|bytes| bytes[5] = 2), content, "profile");
    assert_eq!(forge(&|bytes| bytes[6] = 5), content, "substatus");
    assert_eq!(forge(&|bytes| bytes[13] = 0xff), content, "not UTF-8");
    assert_eq!(forge(&|bytes| bytes[13] = b'/'), content, "no host");
    assert_eq!(forge(&|bytes| bytes[17] = b' '), content, "no device id");
    let long = |bytes: &mut Vec<u8>| {
        bytes[7] = 129;
        bytes.splice(13..17, [b'h'; 129]);
    };
    assert_eq!(forge(&long), content, "longer than is kept");
    let empty = |bytes: &mut Vec<u8>| {
        bytes[7] = 0;
        bytes.drain(13..17);
    };
    assert_eq!(forge(&empty), content, "empty");
}

proptest! {
    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        if magic && bytes.len() > 4 {
            bytes[..5].copy_from_slice(b"DPSA\x01");
        }
        prop_assert!(Assignment::decode(&bytes, &config()).is_err());
    }
}
