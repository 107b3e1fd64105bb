//! Queries as they stand in the service's documents and as the SDKs' users write them.

use proptest::prelude::*;

use super::*;

fn rows() -> Vec<(String, Value)> {
    let row = |id: &str, tags: Value, reported: Value| {
        let document = json!({
            "deviceId": id, "status": "enabled", "connectionState": "Connected", "tags": tags,
            "lastActivityTime": "2026-11-30T10:00:00.0000000Z",
            "properties": { "reported": reported, "desired": { "led": true } },
        });
        (id.to_owned(), document)
    };
    vec![
        row(
            "a",
            json!({ "room": { "floor": 1 }, "kind": "x" }),
            json!({ "temperature": 20.5, "fw-v": "1.0" }),
        ),
        row("b", json!({ "room": { "floor": 2 }, "kind": "x" }), json!({ "temperature": 30 })),
        row("c", json!({ "kind": "y" }), json!({})),
    ]
}

fn ids(query: &str) -> Vec<String> {
    Select::parse(query).unwrap().run(rows()).unwrap().into_iter().map(|(key, _)| key).collect()
}

fn answer(query: &str) -> Value {
    Value::Array(Select::parse(query).unwrap().run(rows()).unwrap().into_iter().map(|(_, row)| row).collect())
}

#[test]
fn conditions() {
    for (condition, wanted) in [
        ("deviceId = 'a'", "a"),
        ("devices.deviceId = 'a'", "a"),
        ("tags.kind = \"x\" and tags.room.floor > 1", "b"),
        ("properties.reported.temperature >= 20.5", "ab"),
        ("properties.reported['fw-v'] = '1.0'", "a"),
        ("NOT tags.kind = 'x'", "c"),
        ("tags.room.floor != 1", "b"),
        ("NOT is_defined(tags.room)", "c"),
        ("IS_DEFINED(properties.reported.temperature) OR tags.kind IN ['y', 'z']", "abc"),
        ("tags.kind NIN ['y', 'z']", "ab"),
        ("STARTSWITH(deviceId, 'b')", "b"),
        ("lastActivityTime > '2026-11-30T09:00:00Z' AND (deviceId = 'a' OR deviceId = 'c')", "ac"),
        ("properties.reported.temperature > -1", "ab"),
        ("properties.desired.led = true AND properties.desired.led", "abc"),
        ("is_number(properties.reported.temperature)", "ab"),
        ("tags.kind > 5", ""),
        ("deviceId = 'it''s'", ""),
    ] {
        let found = ids(&format!("SELECT * FROM devices WHERE {condition}")).concat();
        assert_eq!(found, wanted, "{condition}");
    }
}

#[test]
fn columns_and_aggregates() {
    assert_eq!(answer("SELECT COUNT() AS total FROM devices"), json!([{ "total": 3 }]));
    assert_eq!(answer("select count(*) as n from devices where tags.kind = 'none'"), json!([{ "n": 0 }]));
    assert_eq!(
        answer(
            "SELECT tags.kind AS kind, COUNT() AS n, AVG(properties.reported.temperature) AS mean \
             FROM devices GROUP BY tags.kind"
        ),
        json!([{ "kind": "x", "n": 2, "mean": 25.25 }, { "kind": "y", "n": 1, "mean": null }])
    );
    assert_eq!(
        answer("SELECT deviceId, tags.room.floor AS floor FROM devices WHERE tags.kind = 'x'"),
        json!([{ "deviceId": "a", "floor": 1 }, { "deviceId": "b", "floor": 2 }])
    );
    assert_eq!(ids("SELECT TOP 2 * FROM devices"), ["a", "b"]);
    assert_eq!(
        answer("SELECT MAX(properties.reported.temperature) AS t FROM devices"),
        json!([{ "t": 30.0 }])
    );
    assert!(Select::parse("SELECT deviceId, COUNT() FROM devices").unwrap().run(rows()).is_err());
}

#[test]
fn mistakes_are_named() {
    for (query, said) in [
        ("", "SELECT"),
        ("SELECT", "name"),
        ("SELECT * devices", "FROM"),
        ("SELECT * FROM devices WHERE", "name"),
        ("SELECT * FROM devices WHERE a = ", "name"),
        ("SELECT * FROM devices WHERE a = 'b", "does not end"),
        ("SELECT * FROM devices WHERE f(a)", "no function F"),
        ("SELECT * FROM devices; DROP", "';'"),
        ("SELECT * FROM devices WHERE a IN ['x'", "]"),
        ("SELECT TOP x * FROM devices", "count"),
    ] {
        let error = Select::parse(query).unwrap_err();
        assert!(error.contains(said), "{query}: {error}");
    }
    let deep = format!("SELECT * FROM devices WHERE {}a = 1{}", "(".repeat(40), ")".repeat(40));
    assert!(Select::parse(&deep).unwrap_err().contains("deeper"));
}

proptest! {
    /// Any text is parsed or refused, and what is parsed can be run.
    #[test]
    fn any_query(words in proptest::collection::vec(
        prop_oneof![
            Just("SELECT"), Just("*"), Just("FROM"), Just("devices"), Just("WHERE"), Just("("), Just(")"), Just("a"),
            Just("."), Just("="), Just("'x'"), Just("1.5"), Just("AND"), Just("OR"), Just("NOT"), Just("IN"), Just("["),
            Just("]"), Just(","), Just("COUNT"), Just("AS"), Just("GROUP"), Just("BY"), Just("TOP"), Just("-"),
            Just("IS_DEFINED"), Just("'"), Just("ü"),
        ], 0..20))
    {
        let query = format!("SELECT {}", words.join(" "));
        for text in [&query, &words.join("")] {
            if let Ok(select) = Select::parse(text) {
                let _ = select.run(rows());
            }
        }
    }
}
