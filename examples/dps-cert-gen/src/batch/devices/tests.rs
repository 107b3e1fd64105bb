//! Lists as spreadsheets write them, wrong lines, and hostile bytes.

use proptest::prelude::*;

use super::fields::MAX_COLUMNS;
use super::*;

fn secret(number: u32) -> String {
    hex::encode(Sha256::digest(number.to_be_bytes()))
}

/// Ids of what is good, and every message.
fn outcome(list: impl AsRef<[u8]>) -> (Vec<String>, Vec<String>) {
    match read(list.as_ref(), Some("2.0.0")) {
        Ok(Devices { all, bad }) => {
            let good = all.iter().filter(|device| bad.iter().all(|bad| bad.line != device.line));
            (good.map(|device| device.id.clone()).collect(), bad.iter().map(ToString::to_string).collect())
        }
        Err(error) => (Vec::new(), vec![format!("{error:#}")]),
    }
}

#[test]
fn lists_are_read_as_spreadsheets_write_them() {
    let [one, two] = [secret(1), secret(2)];
    let list = format!(
        "Registration ID;MAC;UDS\nmy-dev;;{one}\n;C8-93-46-F8-A1-B2;\"{}\"\n;;\n\n",
        two.to_uppercase()
    );
    let wanted = ["my-dev", "az-c89346f8a1b2v2v0v0"].map(str::to_owned).to_vec();
    for form in text::forms(&list).into_iter().chain(text::forms(&list.replace(';', ","))) {
        assert_eq!(outcome(&form), (wanted.clone(), vec![]), "{}", String::from_utf8_lossy(&form));
    }
    for form in [
        list.replace(';', "\t"),
        format!("sep=;\r\n{list}"),
        list.replace('"', "").replace(';', " ; "),
        list.replace("UDS", "UDS;").replace(&one, &(one.clone() + ";")).replace("\"\n;;", "\";\n;;;"),
    ] {
        assert_eq!(outcome(&form), (wanted.clone(), vec![]), "{form}");
    }
}

#[test]
fn every_wrong_line_is_named_with_its_column() {
    let list = [
        "uds,mac,registration-id".to_owned(),
        format!("{},c8:93:46:f8:a1:b2,", secret(1)),
        format!("{},,", secret(2)),
        format!("{},c8:93:46:f8:a1:zz,BAD_ID", &secret(3)[1..]),
        format!("{},c8:93:46:f8:a1:b3", secret(4)),
        format!("\"{},,never-closed", secret(5)),
        format!("{},,my-\u{e9}", secret(6)),
        format!("{},,good-7,", secret(7)),
        format!("{},,good-8", secret(8)),
    ];
    let mut bytes = list.join("\r\n").into_bytes();
    bytes.extend_from_slice(b"\r\n\xff,,bytes\r\n");
    let (good, bad) = outcome(&bytes);
    assert_eq!(good, ["az-c89346f8a1b2v2v0v0", "good-8"]);
    let wanted = [
        ("line 3, column 3: ", "expected a registration id or a MAC address"),
        ("line 4, column 1: ", "UDS: "),
        ("line 4, column 2: ", "MAC address: "),
        ("line 4, column 3: ", "registration id: character 'B'"),
        ("line 5, column 2: ", "the line has 2 columns"),
        ("line 6, column 1: ", "a quote is not closed"),
        ("line 7, column 3: ", "character 'é' at position 3"),
        ("line 8, column 4: ", "the line has 4 columns"),
        ("line 10, column 1: ", "not text"),
    ];
    assert_eq!(bad.len(), wanted.len(), "{bad:#?}");
    for (message, (place, words)) in bad.iter().zip(wanted) {
        assert!(message.starts_with(place) && message.contains(words), "{place}{words} in {message}");
    }
}

/// A request in base64, as a line of the list has it.
fn csr(device: u8) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, crate::request::tests::of_device(device))
}

#[test]
fn a_line_has_a_secret_or_a_request() {
    let [one, two] = [1, 2].map(csr);
    let (good, bad) = outcome(format!("CSR\n{one}\n{two}\n"));
    assert!(bad.is_empty() && good.iter().all(|id| id.starts_with("DeviceID-")), "{good:?} {bad:?}");
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\\n{one}\\n-----END CERTIFICATE REQUEST-----\\n");
    let list =
        format!("id;mac;csr;uds\npump-7;;{pem};\n;c89346f8a1b2;{two};\n;c89346f8a1b3;;{}\n", secret(1));
    for form in text::forms(&list) {
        let (ids, bad) = outcome(&form);
        assert_eq!(
            (ids[0].as_str(), &ids[1], ids[2].as_str()),
            ("pump-7", &good[1], "az-c89346f8a1b3v2v0v0")
        );
        assert!(bad.is_empty(), "{bad:?}");
    }
    let broken = format!("{}A", &one[..one.len() - 1]);
    let list = format!(
        "id,mac,csr,uds\n\
        a,,{one},{}\nb,,,\nc,,{broken},\nd,,{two},\n,c89346f8a1zz,{two},\nBAD,,{one},\n",
        secret(1)
    );
    let (good, bad) = outcome(list);
    assert_eq!(good, Vec::<String>::new());
    let wanted = [
        ("line 2, column 3: ", "there is a UDS, too"),
        ("line 3, column 4: ", "expected a UDS or a CSR"),
        ("line 4, column 3: ", "CSR: "),
        ("line 5, column 3: ", "key of the CSR: the same as in line 6"),
        ("line 6, column 2: ", "MAC address: "),
        ("line 6, column 3: ", "key of the CSR: the same as in line 5"),
        ("line 7, column 1: ", "registration id: "),
    ];
    assert_eq!(bad.len(), wanted.len(), "{bad:#?}");
    for (message, (place, words)) in bad.iter().zip(wanted) {
        assert!(message.starts_with(place) && message.contains(words), "{place}{words} in {message}");
    }
    assert!(outcome("id\na\n").1[0].contains("no column UDS or CSR"));
    let error = read(format!("mac,uds\nc89346f8a1b2,{}", secret(1)).as_bytes(), None).unwrap_err();
    assert!(error.to_string().contains("--firmware-version"), "{error}");
}

#[test]
fn duplicates_are_refused_on_every_line_that_has_them() {
    let list = format!(
        "id,mac,uds\none,,{}\ntwo,c89346f8a1b2,{}\none,,{}\nfour,C8:93:46:F8:A1:B2,{}\nfive,,{}\none,,{}\n\
         nul,,{}\ndevice-nul,,{}\n{},,{}\nlast,,{}\n",
        secret(1),
        secret(2),
        secret(3),
        secret(4),
        secret(1).to_uppercase(),
        secret(5),
        secret(6),
        secret(7),
        secret(2),
        secret(8),
        secret(9),
    );
    let (good, bad) = outcome(list);
    assert_eq!(good, ["last"]);
    assert_eq!(
        bad,
        [
            "line 2, column 1: registration id: the same as in line 4",
            "line 2, column 3: UDS: the same as in line 6",
            "line 3, column 2: MAC address: the same as in line 5",
            "line 4, column 1: registration id: the same as in line 2",
            "line 5, column 2: MAC address: the same as in line 3",
            "line 6, column 3: UDS: the same as in line 2",
            "line 7, column 1: registration id: the same as in line 2",
            "line 8, column 1: registration id: the same as in line 9",
            "line 9, column 1: registration id: the same as in line 8",
            "line 10, column 1: registration id: it is a UDS of this list",
        ]
    );
}

#[test]
fn wrong_column_names_are_refused_and_not_repeated() {
    for (list, words) in [
        ("", "it is empty"),
        ("\r\n \r\n", "it is empty"),
        ("mac,id\n", "no column UDS"),
        ("uds\n", "no column MAC or registration id"),
        ("uds,mac,secret note\n", "line 1, column 3: not the name"),
        ("\nuds,mac,UDS\n", "line 2, column 3: there is another column of this name"),
        ("\"uds,mac\n", "line 1, column 1: a quote"),
    ] {
        let (good, bad) = outcome(list);
        assert!(good.is_empty() && bad.len() == 1 && bad[0].contains(words), "{list:?}: {bad:?}");
        assert!(!bad[0].contains("note"), "{bad:?}");
    }
    let (_, bad) = outcome(format!("{},c89346f8a1b2\n", secret(1)));
    assert!(bad[0].starts_with("line 1, column 1") && !bad[0].contains(&secret(1)), "{bad:?}");
    let error = read(format!("mac,uds\nc89346f8a1b2,{}", secret(1)).as_bytes(), Some("2.0")).unwrap_err();
    assert!(error.to_string().starts_with("firmware version"), "{error}");
    let wide = ",".repeat(MAX_COLUMNS);
    assert!(outcome(&wide).1[0].contains("too many columns"));
}

/// A field, right or wrong, and how it is written.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0_u32..12).prop_map(secret),
        2 => (0_u8..4).prop_map(csr),
        3 => (0_u8..12).prop_map(|n| format!("c89346f8a1{n:02x}")),
        3 => "[a-z0-9-]{0,9}",
        1 => "[\"',; \t\u{0}=]{0,4}",
        1 => "\\PC{0,6}",
    ]
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::collection::vec(field(), 0..5).prop_map(|fields| fields.join(","));
    let head = prop::sample::select(vec!["id,mac,uds", "id,csr,mac,uds", "csr,id"]);
    let list = prop::collection::vec((line, prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..9)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect::<String>());
    prop_oneof![
        3 => (head, list).prop_map(|(head, list)| format!("{head}\r\n{list}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..99),
        1 => prop::collection::vec(any::<u8>(), 0..99).prop_map(|tail| [b"uds;id\n", &*tail].concat()),
    ]
}

proptest! {
    /// Whatever the bytes: no panic, no secret in a message, every line with something in it is a device or is named,
    /// and devices do not share anything.
    #[test]
    fn hostile_lists(bytes in hostile()) {
        let Ok(Devices { all, bad }) = read(&bytes, Some("2.0.0")) else { return Ok(()) };
        let decoded = text::decode(&bytes);
        let count = lines(decoded.as_ref().map_or(&bytes, |text| text.as_bytes())).count();
        prop_assert!(bad.iter().all(|bad| (2..=count).contains(&bad.line) && bad.column >= 1));
        prop_assert!(bad.is_sorted_by_key(|bad| (bad.line, bad.column)));
        for number in 0..12 {
            prop_assert!(bad.iter().all(|bad| !bad.reason.contains(&secret(number)[..8])));
        }
        let good: Vec<_> = all.iter().filter(|device| bad.iter().all(|bad| bad.line != device.line)).collect();
        for device in &good {
            prop_assert_eq!(good.iter().filter(|other| other.file == device.file).count(), 1);
            let id = device.id.strip_prefix("DeviceID").unwrap_or(&device.id);
            prop_assert!(id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
        }
        let text = decoded.as_ref().map_or(&*bytes, |text| text.as_bytes());
        for (index, line) in lines(text).enumerate().skip(2) {
            let blank = line.iter().all(|byte| matches!(byte, b',' | b';' | b'"' | b'\x0b') || byte.is_ascii_whitespace() || *byte >= 0x80);
            let named = bad.iter().any(|bad| bad.line == index + 1) || all.iter().any(|one| one.line == index + 1);
            prop_assert!(blank || named, "line {} is lost", index + 1);
        }
    }
}
