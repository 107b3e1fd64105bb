//! What a message does not need costs it nothing: any bytes as an optional member of JSON, a hint in a topic, a header.

use azure_iot_common::json;
use dps_client::https::ResponseReader;
use dps_client::{Assignment, OperationStatus, mqtt};
use iothub_mqtt::{method, twin};

pub(crate) fn run(input: &[u8]) {
    if json::parse(input).is_ok() {
        member(input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        hint(&text.replace(['&', '?'], ""));
    }
    header(&input.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect::<Vec<_>>());
}

fn member(odd: &[u8]) {
    let document = [
        br#"{"x":"#,
        odd,
        br#","reported":"#,
        odd,
        br#","desired":{"$metadata":"#,
        odd,
        br#","$version":7},"y":"#,
        odd,
        b"}",
    ]
    .concat();
    assert_eq!(twin::Document::parse(&document).map(|document| document.version()), Ok(7));
    for name in ["substatus", "etag", "payload", "x509", "tpm", "errorCode", "issuedCertificateChain", "new"]
    {
        let name = name.as_bytes();
        let answer = [
            br#"{"status":"assigned","operationId":"#,
            odd,
            br#","registrationState":{""#,
            name,
            br#"":"#,
            odd,
            br#","assignedHub":"h","deviceId":"d",""#,
            name,
            br#"":"#,
            odd,
            b"}}",
        ]
        .concat();
        let operation = OperationStatus::parse(&answer).expect("JSON");
        let state = operation.state().expect("an object").expect("there");
        let assignment = Assignment::from_state(&state).expect("hub and id can be read");
        assert_eq!((assignment.hub(), assignment.device_id()), ("h", "d"));
    }
}

fn hint(odd: &str) {
    let lower = odd.to_ascii_lowercase();
    if lower.contains("rid") || lower.contains('%') {
        // May be the request id in another spelling.
        return;
    }
    for name in ["", "retry-after=", "$version=", "x="] {
        let query = format!("{name}{odd}&$rid=7");
        let topic = format!("$dps/registrations/res/202/?{query}");
        let answer = mqtt::parse_answer(&topic, b"").expect("status and id can be read");
        assert_eq!((answer.status, answer.rid), (202, Some("7")));
        if odd.contains('/') {
            continue;
        }
        let topic = format!("$iothub/twin/res/204/?{query}");
        assert!(
            matches!(twin::Message::parse(&topic, b""), Ok(twin::Message::Answer(a)) if a.request_id == "7")
        );
        let topic = format!("$iothub/methods/POST/m/?{query}");
        assert!(
            method::Request::parse(&topic, b"").is_ok_and(|call| call.name == "m" && call.request_id == "7")
        );
    }
}

fn header(odd: &[u8]) {
    let lower = odd.to_ascii_lowercase();
    if [&b"content-length"[..], b"transfer-encoding"].iter().any(|name| lower.starts_with(name)) {
        // These frame the body.
        return;
    }
    for name in ["", "Retry-After: ", "Date: ", "Connection: ", "X: "] {
        if name.is_empty() && odd.is_empty() {
            continue;
        }
        let answer =
            [b"HTTP/1.1 202 OK\r\n", name.as_bytes(), odd, b"\r\nContent-Length: 2\r\n\r\n{}"].concat();
        let mut buffer = vec![0; answer.len()];
        let mut reader = ResponseReader::new(&mut buffer);
        assert_eq!(reader.feed(&answer), Ok(answer.len()));
        let found = reader.answer().expect("the answer is whole");
        assert_eq!((found.status, found.body), (202, &b"{}"[..]));
    }
}
