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
        ("202/?$rid=1&Retry-After=9&$RID=2&xretry-after=1&$ridx=3", (202, Some("1"), None)),
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
        ("200/?$rid=1&$rid=1", "$rid"),
        ("200/?$rid=1&retry-after=", "retry-after"),
        ("200/?$rid=1&retry-after=x", "retry-after"),
        ("200/?$rid=1&retry-after=-3", "retry-after"),
        ("200/?$rid=1&retry-after=+3", "retry-after"),
        ("200/?$rid=1&retry-after= 3", "retry-after"),
        ("200/?$rid=1&retry-after=3.5", "retry-after"),
        ("200/?$rid=1&retry-after=4294967296", "retry-after"),
        ("200/?$rid=1&retry-after=3&retry-after=3", "retry-after"),
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
        query
            .split('&')
            .filter_map(|field| field.split_once('='))
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v)
            .collect()
    };
    let retry_after = match values("retry-after")[..] {
        [] => None,
        [seconds] if digits(seconds) => Some(seconds.parse().ok()?),
        _ => return None,
    };
    match values("$rid")[..] {
        [rid] if !rid.is_empty() && (100..600).contains(&status) => Some((status, rid, retry_after)),
        _ => None,
    }
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
