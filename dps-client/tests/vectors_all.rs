//! No vector is left out: every case of every file belongs to an operation that a test named here runs. (Those of
//! percent-encoding are in `azure-iot-common`.)
use std::collections::BTreeMap;

use serde_json::Value;

/// Operation, number of cases, and the test that runs them all.
const USED: [(&str, usize, &str); 13] = [
    ("dps_username", 16, "user_name_and_client_id"),
    ("dps_client_id", 8, "user_name_and_client_id"),
    ("dps_register_topic", 1, "topics"),
    ("dps_query_topic", 4, "topics"),
    ("dps_register_payload", 22, "register_bodies"),
    ("dps_parse_response", 86, "answers"),
    ("retry_delay", 20, "back_off"),
    ("status_class", 31, "status_classes"),
    ("hub_string_to_sign", 18, "texts_tokens_and_keys"),
    ("hub_password", 18, "texts_tokens_and_keys"),
    ("dps_string_to_sign", 18, "texts_tokens_and_keys"),
    ("dps_password", 18, "texts_tokens_and_keys"),
    ("derive_device_key", 32, "texts_tokens_and_keys"),
];

#[test]
fn every_case_has_its_test() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let set: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let cases = set["cases"].as_array().unwrap();
            assert_eq!(set["count"], cases.len(), "{}", path.display());
            for case in cases {
                *found.entry(case["op"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    let used: BTreeMap<String, usize> =
        USED.iter().map(|(op, count, _)| ((*op).to_owned(), *count)).collect();
    assert_eq!(found, used);
    let source = include_str!("vectors.rs");
    for (op, _, test) in USED {
        let body = source.split_once(&format!("fn {test}()")).unwrap_or_else(|| panic!("no test {test}")).1;
        let body = body.split("\n}\n").next().unwrap();
        assert!(body.contains(&format!("\"{op}\"")), "{test} does not run {op}");
    }
}
