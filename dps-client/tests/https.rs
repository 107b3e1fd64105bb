//! The HTTPS binding: requests byte for byte, answers in pieces of every size, and hostile ones.
#![cfg(feature = "https")]
mod support;

use dps_client::https::{self, Chunked, HttpError, ResponseReader};
use dps_client::{
    Action, Assignment, Config, Error, GLOBAL_ENDPOINT, Registration, RegistrationEvent, RegistrationState,
    TpmKeys, Transport,
};
use proptest::prelude::*;
use support::{ASSIGNED, ASSIGNING, OPERATION, config};

const TOKEN: &str =
    "SharedAccessSignature sr=0ne00000001%2fregistrations%2fdevice-1&sig=AA%3D&se=1&skn=registration";

/// What is kept of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    status: u16,
    retry_after_s: Option<u32>,
    body: Vec<u8>,
    keep_alive: bool,
    date: Option<u64>,
}

/// Reads an answer from pieces; gives it with the number of bytes that were not taken.
fn read(pieces: &[&[u8]], ends: bool, room: usize) -> Result<Option<(Read, usize)>, HttpError> {
    let mut buffer = vec![0; room];
    let mut reader = ResponseReader::new(&mut buffer);
    let mut left = 0;
    for piece in pieces {
        left += piece.len() - reader.feed(piece)?;
    }
    if ends {
        reader.finish()?;
    }
    let (keep_alive, date) = (reader.keep_alive(), reader.date());
    Ok(reader.answer().map(|answer| {
        assert_eq!(answer.rid, None);
        let (status, retry_after_s, body) = (answer.status, answer.retry_after_s, answer.body.to_vec());
        (Read { status, retry_after_s, body, keep_alive, date }, left)
    }))
}

fn whole(bytes: &str) -> Result<Option<(Read, usize)>, HttpError> {
    read(&[bytes.as_bytes()], false, 4096)
}

fn plain(status: u16, body: &str) -> Read {
    Read { status, retry_after_s: None, body: body.as_bytes().to_vec(), keep_alive: true, date: None }
}

const ANSWERS: [&str; 5] = [
    "HTTP/1.1 202 Accepted\r\nDate: Tue, 24 Nov 2026 03:16:02 GMT\r\nContent-Type: application/json; charset=utf-8\r\n\
     Retry-After: 3\r\nLocation: https://x/y\r\nx-ms-request-id: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
     4\r\n{\"a\"\r\nA;name=value\r\n:123456789\r\n1 \r\n}\r\n0\r\nTrailer: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nCONNECTION: keep-alive\r\n\r\n{}",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 \r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 429 Too Many Requests\nRetry-After: 10\nContent-Length: 0\nConnection: x, Close\n\n",
];

fn expected() -> [Read; 5] {
    [
        Read { retry_after_s: Some(3), date: Some(1_795_490_162), ..plain(202, r#"{"a":123456789}"#) },
        plain(200, "{}"),
        plain(404, "x"),
        plain(204, ""),
        Read { retry_after_s: Some(10), keep_alive: false, ..plain(429, "") },
    ]
}

#[test]
fn answers_in_pieces_of_every_size() {
    for (answer, expected) in ANSWERS.iter().zip(expected()) {
        let bytes = answer.as_bytes();
        let (found, left) = whole(answer).unwrap().unwrap();
        assert_eq!((&found, left), (&expected, 0), "{answer}");
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(read(&[first, second], false, 4096).unwrap().unwrap().0, expected, "{cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&single, true, 4096).unwrap().unwrap().0, expected);
        // What follows belongs to the next answer.
        let followed = format!("{answer}HTTP/1.1");
        assert_eq!(whole(&followed).unwrap().unwrap(), (expected, 8));
    }
}

#[test]
fn truncated_answers_are_not_answers() {
    for answer in ANSWERS {
        for end in 0..answer.len() {
            let piece = &answer.as_bytes()[..end];
            assert_eq!(read(&[piece], false, 4096), Ok(None), "{end} of {answer}");
            assert_eq!(read(&[piece], true, 4096), Err(HttpError::Truncated), "{end} of {answer}");
        }
    }
}

#[test]
fn an_answer_without_a_length_ends_with_the_connection() {
    let answer = b"HTTP/1.0 503 Unavailable\r\n\r\nsorry";
    assert_eq!(read(&[answer], false, 64), Ok(None));
    let (found, _) = read(&[answer], true, 64).unwrap().unwrap();
    assert_eq!(found, Read { keep_alive: false, ..plain(503, "sorry") });
    let (found, _) = read(&[b"HTTP/1.1 503 Unavailable\r\n\r\nsorry"], true, 64).unwrap().unwrap();
    assert_eq!(found, Read { keep_alive: false, ..plain(503, "sorry") });
}

#[test]
fn retry_times() {
    for (headers, seconds) in [
        ("Retry-After: 0", Some(0)),
        ("retry-after:  7  ", Some(7)),
        ("Retry-After: 4294967296", None),
        ("Retry-After: 3.5", Some(4)),
        ("Retry-After: 3\r\nRetry-After: soon", Some(3)),
        ("Retry-After: soon\r\nretry-after: 3\r\nRETRY-AFTER: 2", Some(3)),
        (
            "Date: soon\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun Nov  6 08:50:37 1994",
            Some(60),
        ),
        ("Retry-After: -1", None),
        ("Retry-After: soon", None),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\nDate: Mon, 07 Nov 1994 08:50:37 GMT", Some(0)),
        ("Retry-After: Sun, 06 Nov 1994 08:50:37 GMT", None),
    ] {
        let answer = format!("HTTP/1.1 503 x\r\n{headers}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(whole(&answer).unwrap().unwrap().0.retry_after_s, seconds, "{headers}");
    }
}

#[test]
fn dates() {
    for (date, seconds) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
        ("Fri, 31 Dec 2100 23:59:60 GMT", Some(4_133_980_800)),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 UTC", Some(784_111_777)),
        ("sun, 6 nov 1994 08:49:37 gmt", Some(784_111_777)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
        ("Sun, 06-Nov-1994 08:49:37 GMT", Some(784_111_777)),
        ("Monday, 07-Nov-69 00:00:00 GMT", Some(3_151_008_000)),
        ("Sun, 06 Nov 1994 08:49:37 GMT x", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Nov 1994 24:49:37 GMT", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1969 08:49:37 GMT", None),
        ("Sun, 06 Nov 994 08:49:37 GMT", None),
        ("06 Nov 1994 08:49:37 GMT", None),
        ("784111777", None),
        ("", None),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(whole(&answer).unwrap().unwrap().0.date, seconds, "{date}");
    }
}

#[test]
fn malformed_answers() {
    let head = |head: &str| whole(&format!("{head}\r\n\r\n"));
    for bad in [
        "",
        "HTTP/2 200 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "ICY 200 OK",
    ] {
        assert_eq!(head(bad), Err(HttpError::BadHead), "{bad}");
    }
    // A header that nobody needs may look like anything, and there may be any number.
    let many = "A: x\r\n".repeat(100);
    for odd in [
        "no colon",
        " folded: x",
        "Name : x",
        "A: x\r\n  folded",
        "A: x\u{0}",
        ": x",
        "Ä: ö",
        many.trim_end(),
    ] {
        let answer = format!("HTTP/1.1 202 OK\r\n{odd}\r\nretry-after : 3\r\nContent-Length: 2\r\n\r\n{{}}");
        let (found, _) = whole(&answer).unwrap().unwrap();
        assert_eq!(found, Read { retry_after_s: Some(3), ..plain(202, "{}") }, "{odd}");
    }
    for bad in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1, 2",
        "Content-Length: ",
        "Content-Length: 4294967296",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(head(&format!("HTTP/1.1 200 OK\r\n{bad}")), Err(HttpError::BadLength), "{bad}");
    }
    assert!(head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0, 0").unwrap().is_some());
    let both =
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(whole(both).unwrap().unwrap().0, Read { keep_alive: false, ..plain(200, "{}") });
}

#[test]
fn answers_larger_than_the_buffer() {
    let (short, long) = ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
    assert!(read(&[short.as_bytes()], true, short.len()).is_ok());
    assert_eq!(read(&[short.as_bytes()], true, short.len() - 1), Err(HttpError::HeadTooLarge));
    let answer = |body: usize| format!("{long}{}", "x".repeat(body));
    assert!(read(&[answer(30).as_bytes()], true, long.len()).unwrap().is_some());
    let too_long = format!("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}", "x".repeat(90));
    assert_eq!(read(&[too_long.as_bytes()], true, 60), Err(HttpError::BodyTooLarge));
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n{}", "x".repeat(60));
    assert_eq!(read(&[chunked.as_bytes()], false, 59), Err(HttpError::BodyTooLarge));
    let endless = format!("{short}{}", "x".repeat(60));
    assert_eq!(read(&[endless.as_bytes()], false, 59), Err(HttpError::BodyTooLarge));
}

fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, bool), HttpError> {
    let mut decoder = Chunked::new();
    let mut out = [0; 64];
    let (read, written) = decoder.decode(bytes, &mut out)?;
    assert_eq!(decoder.is_done(), read < bytes.len() || bytes.ends_with(b"\n") && decoder.is_done());
    Ok((out[..written].to_vec(), decoder.is_done()))
}

#[test]
fn chunks() {
    for (bytes, data) in [
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("00000000000003\r\nabc\r\n0000000000\r\n\r\n", "abc"),
        ("1;a=\"b;c\"\r\nx\r\n0;last\r\n\r\n", "x"),
        ("A\r\n0123456789\r\n00\r\nX: y\r\nZ:\r\n\r\n", "0123456789"),
        ("2\na\n\n0\n\n", "a\n"),
    ] {
        assert_eq!(chunked(bytes.as_bytes()), Ok((data.as_bytes().to_vec(), true)), "{bytes:?}");
    }
    for bad in [
        "\r\n",
        "x",
        "-1\r\n",
        "0x1\r\n",
        ";\r\n",
        "1\r\nab",
        "1\r\nx0",
        "12345678\r\n",
        "ffffffff\r\n",
        " 1\r\n",
    ] {
        assert_eq!(chunked(bad.as_bytes()), Err(HttpError::BadChunk), "{bad:?}");
    }
    // Extensions and trailers without end.
    let endless = format!("1;{}", "x".repeat(5000));
    assert_eq!(chunked(endless.as_bytes()), Err(HttpError::BadChunk));
    let endless = format!("0\r\n{}", "a: b\r\n".repeat(1000));
    assert_eq!(chunked(endless.as_bytes()), Err(HttpError::BadChunk));
}

/// A registration that stands before its next request, and what its head is.
fn head_of(config: Config<'_>, polls: bool, authorization: Option<&str>) -> String {
    let mut registration = Registration::new(config, 0);
    registration.next(0);
    registration.handle(RegistrationEvent::Connected, 0);
    if polls {
        registration.next(0);
        let mut buffer = [0; 512];
        let mut reader = ResponseReader::new(&mut buffer);
        let answer = format!("HTTP/1.1 202 x\r\nContent-Length: {}\r\n\r\n{ASSIGNING}", ASSIGNING.len());
        reader.feed(answer.as_bytes()).unwrap();
        registration.handle(RegistrationEvent::Answer(reader.answer().unwrap()), 0);
    }
    let Action::Send(request) = registration.next(2000) else { panic!() };
    let mut body = [0; 256];
    let body = request.body(&mut body).unwrap();
    let mut out = [0; 1024];
    let head = https::request_head(&request, GLOBAL_ENDPOINT, authorization, body.len(), &mut out).unwrap();
    let needed = head.len();
    for short in 0..needed {
        let mut out = vec![0; short];
        let short = https::request_head(&request, GLOBAL_ENDPOINT, authorization, body.len(), &mut out);
        assert_eq!(short, Err(Error::BufferTooSmall { needed }));
    }
    String::from_utf8(head.to_vec()).unwrap()
}

#[test]
fn requests() {
    let config = config().with_transport(Transport::Https).with_product("acme/1 \r\n").unwrap();
    assert_eq!(
        head_of(config, false, None),
        "PUT /0ne00000001/registrations/device-1/register?api-version=2019-03-31 HTTP/1.1\r\n\
         Host: global.azure-devices-provisioning.net\r\nAccept: application/json\r\n\
         User-Agent: acme%2F1%20%0D%0A\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: 29\r\n\r\n"
    );
    assert_eq!(
        head_of(config, true, Some(TOKEN)),
        format!(
            "GET /0ne00000001/registrations/device-1/operations/{OPERATION}?api-version=2019-03-31 HTTP/1.1\r\n\
             Host: global.azure-devices-provisioning.net\r\nAccept: application/json\r\n\
             User-Agent: acme%2F1%20%0D%0A\r\nAuthorization: {TOKEN}\r\n\r\n"
        )
    );
    // The first request of a TPM goes without a token, even if there is one.
    let keys = TpmKeys { endorsement_key: &[1], storage_root_key: &[2] };
    assert!(!head_of(config.with_tpm(keys), false, Some(TOKEN)).contains("Authorization"));
}

#[test]
fn a_lookup() {
    let config = config().with_payload(b"{}").unwrap().with_csr(&[1]).unwrap();
    let mut out = [0; 512];
    let body = https::lookup_body(&config, &mut out).unwrap();
    assert_eq!(body, br#"{"registrationId":"device-1","payload":{}}"#);
    let mut out = [0; 512];
    let head = https::lookup_head(&config, "localhost:8443", None, 42, &mut out).unwrap();
    assert_eq!(
        core::str::from_utf8(head).unwrap(),
        "POST /0ne00000001/registrations/device-1?api-version=2019-03-31 HTTP/1.1\r\nHost: localhost:8443\r\n\
         Accept: application/json\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 42\r\n\r\n"
    );
    let state: serde_json::Value = serde_json::from_str(ASSIGNED).unwrap();
    let state = state["registrationState"].to_string();
    let assignment = Assignment::from_state(&RegistrationState::parse(state.as_bytes()).unwrap()).unwrap();
    assert_eq!(assignment.device_id(), "Device-1");
    let state =
        RegistrationState::parse(br#"{"status":"disabled","assignedHub":"h","deviceId":"d"}"#).unwrap();
    let disabled = Error::NotAssigned { status: dps_client::Status::Disabled, code: None };
    assert_eq!(Assignment::from_state(&state), Err(disabled));
}

#[test]
fn nothing_can_be_smuggled_into_a_header() {
    let config = config();
    let mut out = [0; 512];
    for host in ["a b", "a\r\nX: y", "a/b", "ä"] {
        let refused = https::lookup_head(&config, host, None, 0, &mut out);
        assert!(matches!(refused, Err(Error::Invalid { what: "host", .. })), "{host}");
    }
    for token in ["a\r\nX: y", "a\n", "\u{7f}", "ä"] {
        let refused = https::lookup_head(&config, "h", Some(token), 0, &mut out);
        assert!(matches!(refused, Err(Error::Invalid { what: "authorization", .. })), "{token}");
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(read(&[first, second], false, 64), read(&[&bytes], false, 64));
        let _ = chunked(&bytes);
    }

    #[test]
    fn damaged_answers(
        which in 0..ANSWERS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = ANSWERS[which].as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single, false, 512), read(&[&bytes], false, 512));
    }

    #[test]
    fn any_body_comes_through_chunked(body in prop::collection::vec(any::<u8>(), 0..300), size in 1..40usize) {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(size) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        prop_assert_eq!(read(&[&bytes], true, 512).unwrap().unwrap().0.body, body);
    }
}
