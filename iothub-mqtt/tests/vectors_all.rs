//! No vector is left out: every case of every file belongs to an operation that a test named here runs.

use std::collections::BTreeMap;

use serde_json::Value;

/// Operation, number of cases, and the test that runs them all.
const USED: [(&str, usize, &str, &str); 14] = [
    ("hub_username", 50, include_str!("vectors.rs"), "user_names"),
    ("hub_client_id", 32, include_str!("vectors.rs"), "client_ids"),
    ("hub_username_cap", 6, include_str!("vectors.rs"), "user_name_in_buffers_of_every_size"),
    ("telemetry_topic", 42, include_str!("vectors.rs"), "telemetry_topics"),
    ("property_bag", 13, include_str!("vectors.rs"), "property_bags"),
    ("c2d_parse", 15, include_str!("vectors.rs"), "cloud_to_device_topics"),
    ("method_parse", 25, include_str!("vectors_twin.rs"), "method_topics"),
    ("command_parse", 25, include_str!("vectors_twin.rs"), "commands"),
    ("method_response_topic", 6, include_str!("vectors_twin.rs"), "method_responses"),
    ("twin_get_topic", 6, include_str!("vectors_twin.rs"), "twin_topics"),
    ("twin_patch_topic", 6, include_str!("vectors_twin.rs"), "twin_topics"),
    ("twin_parse", 41, include_str!("vectors_twin.rs"), "twin_messages"),
    ("pnp_read", 29, include_str!("vectors_twin.rs"), "reading_properties"),
    ("pnp_write", 7, include_str!("vectors_twin.rs"), "writing_properties"),
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
        USED.iter().map(|(op, count, ..)| ((*op).to_owned(), *count)).collect();
    assert_eq!(found, used);
    for (op, _, source, test) in USED {
        let body = source.split_once(&format!("fn {test}()")).unwrap_or_else(|| panic!("no test {test}")).1;
        let body = body.split("\n}\n").next().unwrap();
        assert!(body.contains(&format!("\"{op}\"")), "{test} does not run {op}");
    }
}
