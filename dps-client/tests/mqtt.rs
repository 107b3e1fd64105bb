//! Answer topics: the form, and everything that is not it.
use dps_client::{Answer, Error, mqtt};
use proptest::prelude::*;

const TOPIC: &str = "$dps/registrations/res/202/?$rid=42&retry-after=3";

fn parse(topic: &str) -> Result<(u16, Option<&str>, Option<u32>), Error> {
    let Answer { status, rid, retry_after_s, body } = mqtt::parse_answer(topic, b"{}")?;
    assert_eq!(body, b"{}");
    Ok((status, rid, retry_after_s))
}

#[test]
fn answers() {
    assert_eq!(parse(TOPIC), Ok((202, Some("42"), Some(3))));
    for (rest, expected) in [
        ("200/?$rid=abc", (200, Some("abc"), None)),
        ("100/?$rid=1", (100, Some("1"), None)),
        ("599/?retry-after=0&$rid=1", (599, Some("1"), Some(0))),
        ("202/?x=1&$rid=1&&y&retry-after=4294967295&z=", (202, Some("1"), Some(u32::MAX))),
        ("202/?$rid=1&Retry-After=9&$RID=2&xretry-after=1&$ridx=3", (202, Some("1"), Some(9))),
        ("202/?%24rid=1&RETRY%2DAFTER=9", (202, Some("1"), Some(9))),
        ("202/?$rid=&$rid=1&$rid=1", (202, Some("1"), None)),
        // A hint that cannot be read costs nothing; of several the longest wait counts.
        ("200/?$rid=1&retry-after=", (200, Some("1"), None)),
        ("200/?$rid=1&retry-after=x", (200, Some("1"), None)),
        ("200/?$rid=1&retry-after=-3", (200, Some("1"), None)),
        ("200/?$rid=1&retry-after= 3", (200, Some("1"), None)),
        ("200/?$rid=1&retry-after=3.5", (200, Some("1"), Some(4))),
        ("200/?$rid=1&retry-after=4294967296", (200, Some("1"), None)),
        ("200/?$rid=1&retry-after=3&retry-after=5&retry-after=soon", (200, Some("1"), Some(5))),
        ("202/?$rid=a/b?c=d", (202, Some("a/b?c=d"), None)),
    ] {
        assert_eq!(parse(&format!("$dps/registrations/res/{rest}")), Ok(expected), "{rest}");
    }
}

#[test]
fn topics_that_are_no_answers() {
    for topic in [
        "",
        "$dps",
        "$dps/registrations/res",
        "x$dps/registrations/res/200/?$rid=1",
        "/$dps/registrations/res/200/?$rid=1",
        "$DPS/registrations/res/200/?$rid=1",
        "$dps/registrations/PUT/iotdps-register/?$rid=1",
        "devices/d/messages/devicebound/",
    ] {
        assert_eq!(parse(topic), Err(Error::NotAnAnswer), "{topic}");
    }
    for (rest, part) in [
        ("", "query"),
        ("200", "query"),
        ("200?$rid=1", "query"),
        ("200/$rid=1", "query"),
        ("200//?$rid=1", "query"),
        ("/?$rid=1", "status"),
        ("20/?$rid=1", "status"),
        ("2000/?$rid=1", "status"),
        ("099/?$rid=1", "status"),
        ("600/?$rid=1", "status"),
        ("+20/?$rid=1", "status"),
        ("2 0/?$rid=1", "status"),
        ("abc/?$rid=1", "status"),
        ("99999999999/?$rid=1", "status"),
        ("200/?", "$rid"),
        ("200/?rid=1", "$rid"),
        ("200/?$rid=", "$rid"),
        ("200/?$rid", "$rid"),
    ] {
        assert_eq!(parse(&format!("$dps/registrations/res/{rest}")), Err(Error::BadTopic(part)), "{rest}");
    }
}

/// The form again, written with the standard library.
fn reference(topic: &str) -> Option<(u16, &str, Option<u32>)> {
    let (status, query) = topic.strip_prefix("$dps/registrations/res/")?.split_once("/?")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = Some(status).filter(|status| status.len() == 3 && digits(status))?.parse().ok()?;
    let values = |name: &str| -> Vec<&str> {
        let decoded = |text: &str| -> Option<String> {
            let mut out = vec![0; text.len()];
            String::from_utf8(dps_client::percent::decode(text, &mut out).ok()?.to_vec()).ok()
        };
        query
            .split('&')
            .filter_map(|field| field.split_once('='))
            .filter(|(n, v)| !v.is_empty() && decoded(n).is_some_and(|n| n.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v)
            .collect()
    };
    let seconds = |text: &str| -> Option<u32> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let seconds: u32 = Some(whole).filter(|whole| digits(whole))?.parse().ok()?;
        let rest = Some(fraction).filter(|fraction| digits(fraction))?.bytes().any(|byte| byte != b'0');
        seconds.checked_add(rest.into())
    };
    let retry_after = values("retry-after").into_iter().filter_map(seconds).max();
    let rid = *values("$rid").first()?;
    (100..600).contains(&status).then_some((status, rid, retry_after))
}

fn agree(topic: &str) {
    let ours = parse(topic).ok().map(|(status, rid, retry_after)| (status, rid.unwrap(), retry_after));
    assert_eq!(ours, reference(topic), "{topic}");
}

#[test]
fn cut_or_changed_anywhere() {
    for end in 0..=TOPIC.len() {
        agree(&TOPIC[..end]);
    }
    for at in 0..TOPIC.len() {
        for character in (0..=255).map(char::from) {
            agree(&format!("{}{character}{}", &TOPIC[..at], &TOPIC[at + 1..]));
            agree(&format!("{}{character}{}", &TOPIC[..at], &TOPIC[at..]));
        }
    }
}

proptest! {
    #[test]
    fn anything(topic in any::<String>(), rest in r"[0-9]{2,4}/\?([$a-z\-=&0-9]|[$]rid=|retry-after=|&){0,9}") {
        agree(&topic);
        agree(&format!("$dps/registrations/res/{rest}"));
    }
}
