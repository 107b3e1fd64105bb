//! CONNECT: the request to the byte, every kind of answer in pieces of every size, cut at every byte.

mod common;

use azure_iot_tunnel::proxy::{BUFFER, Connect, Credentials, open};
use azure_iot_tunnel::{Error, RequestError};
use common::{Script, once, run};

type Outcome = Result<(), Error<std::convert::Infallible>>;

fn asked(connect: &Connect<'_>) -> String {
    String::from_utf8(connect.write(&mut [0; BUFFER]).unwrap().to_vec()).unwrap()
}

/// The outcome of an answer that comes in pieces, and what is left in the stream.
fn answered(answer: &[u8], piece: usize) -> (Outcome, Vec<u8>) {
    let mut stream = Script::new(answer, piece);
    let connect = Connect::new("host.example", 443).unwrap();
    let outcome = run(open(&mut stream, &connect, &mut [0; 128]));
    assert_eq!(stream.flushed, stream.output.len());
    (outcome, stream.rest().to_vec())
}

#[test]
fn requests() {
    let connect = Connect::new("my-hub.azure-devices.net", 8883).unwrap();
    assert_eq!(
        asked(&connect),
        "CONNECT my-hub.azure-devices.net:8883 HTTP/1.1\r\nHost: my-hub.azure-devices.net:8883\r\n\r\n"
    );
    for host in ["2001:db8::7", "[2001:db8::7]"] {
        let connect = Connect::new(host, 443).unwrap();
        assert_eq!(asked(&connect), "CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n\r\n");
    }
    // The examples of RFC 7617, and every remainder by three.
    for (user, password, base64) in [
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\u{a3}", "dGVzdDoxMjPCow=="),
        ("", "", "Og=="),
        ("a", "", "YTo="),
        ("a", "b", "YTpi"),
    ] {
        let credentials = Credentials::new(user, password).unwrap();
        let connect = Connect::new("h", 1).unwrap().with_credentials(credentials);
        let expected =
            format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization: Basic {base64}\r\n\r\n");
        assert_eq!(asked(&connect), expected);
        let needed = expected.len();
        assert_eq!(connect.write(&mut vec![0; needed - 1]), Err(RequestError::BufferTooSmall { needed }));
    }
}

#[test]
fn what_cannot_be_sent() {
    for host in ["", "a b", "a\r\nb", "a/b", "[h]", "fe80::1%eth0", "a:b", "[::1", "\u{e4}", &"a".repeat(254)]
    {
        assert!(matches!(Connect::new(host, 1), Err(RequestError::Invalid { what: "host", .. })), "{host}");
    }
    for (user, password) in [("a:b", ""), ("a\r\n", ""), ("a", "b\r\nX: y"), ("a", "\0")] {
        assert!(Credentials::new(user, password).is_err(), "{user:?} {password:?}");
    }
}

#[test]
fn answers() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nnot even a header\r\n\r\n", "x".repeat(9000));
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(16 * 1024));
    let interim = "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n".repeat(3) + "HTTP/1.1 200 OK\r\n\r\n";
    let always_interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let reason = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(200));
    let refused = |status| Err(Error::ProxyRefused { status });
    let cases: &[(&str, Outcome)] = &[
        ("HTTP/1.1 200 Connection established\r\n\r\n", Ok(())),
        ("HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n", Ok(())),
        ("HTTP/1.1 200\r\n\r\n", Ok(())),
        ("HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
        ("HTTP/1.0 200 OK\n\n", Ok(())),
        ("HTTP/1.1 200 OK\nVia: x\n\n", Ok(())),
        // Lengths mean nothing here (RFC 9110, section 9.3.6).
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(())),
        (&long, Ok(())),
        (&interim, Ok(())),
        (&endless, Err(Error::HeadTooLong)),
        (&always_interim, Err(Error::HeadTooLong)),
        (&reason, Err(Error::HeadTooLong)),
        ("HTTP/1.1 407 Proxy Authentication Required\r\n", Err(Error::ProxyAuthentication)),
        ("HTTP/1.1 401 Unauthorized\r\n", Err(Error::ProxyAuthentication)),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n", refused(403)),
        ("HTTP/1.0 502 Bad Gateway\r\n\r\n<html>", refused(502)),
        ("HTTP/1.1 301 Moved\r\n\r\n", refused(301)),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", refused(101)),
        ("HTTP/1.1 099 What\r\n\r\n", Err(Error::NotHttp)),
        ("HTTP/2.0 200 OK\r\n\r\n", Err(Error::NotHttp)),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Error::NotHttp)),
        ("SSH-2.0-OpenSSH_9.2\r\n", Err(Error::NotHttp)),
        ("\x15\x03\x01", Err(Error::NotHttp)),
        ("HTTP/1.1 2x0 OK\r\n\r\n", Err(Error::NotHttp)),
        ("", Err(Error::Truncated)),
        ("HTTP/1.1 200 OK\r\n", Err(Error::Truncated)),
    ];
    for (answer, expected) in cases {
        for piece in [1, 2, 3, 1000] {
            let (outcome, rest) = answered(&[answer.as_bytes(), b"\x16\x03\x03"].concat(), piece);
            if *expected == Err(Error::Truncated) {
                assert_eq!(answered(answer.as_bytes(), piece).0, *expected);
                continue;
            }
            assert_eq!(outcome, *expected, "{answer}");
            if outcome.is_ok() {
                // What follows is the host's.
                assert_eq!(rest, b"\x16\x03\x03", "{answer}");
            }
        }
    }
}

#[test]
fn cut_at_every_byte() {
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\n";
    for length in 0..answer.len() {
        assert_eq!(answered(&answer[..length], 2).0, Err(Error::Truncated), "{length}");
    }
    assert_eq!(answered(answer, 2).0, Ok(()));
}

#[test]
fn retries() {
    let retriable = |error: Error<()>| error.is_retriable(|()| true);
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(retriable(Error::ProxyRefused { status }));
    }
    for status in [400, 403, 404, 405, 501] {
        assert!(!retriable(Error::ProxyRefused { status }));
    }
    assert!(!retriable(Error::ProxyAuthentication));
    assert!(retriable(Error::Truncated) && retriable(Error::Io(())));
    assert!(!Error::Io(()).is_retriable(|()| false));
}

#[test]
fn credentials_do_not_stay() {
    let credentials = Credentials::new("device", "open sesame").unwrap();
    let connect = Connect::new("host.example", 443).unwrap().with_credentials(credentials);
    let shown = format!("{connect:?} {credentials:?}");
    assert!(
        !shown.contains("sesame") && !shown.contains("device") && shown.contains("host.example"),
        "{shown}"
    );

    let mut buffer = [0; 256];
    let mut stream = Script::new(*b"HTTP/1.1 407 No\r\n\r\n", 1000);
    assert_eq!(run(open(&mut stream, &connect, &mut buffer)), Err(Error::ProxyAuthentication));
    assert_eq!(buffer, [0; 256]);
    // Dropped while it waits for the answer.
    let mut stream = Script::new(*b"", 1000).waiting();
    assert_eq!(once(open(&mut stream, &connect, &mut buffer)), None);
    assert_eq!(buffer, [0; 256]);
}
