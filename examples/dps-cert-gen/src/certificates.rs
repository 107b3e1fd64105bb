//! Certificates, certificate requests and revocation lists in whatever files people's tools write: PEM with words
//! around it, in UTF-8 or UTF-16, base64 alone, DER.
//!
//! Nothing that looks like what is wanted is passed over: it is read, or refused with its line.

use anyhow::{Result, anyhow, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use der::Tag;
use dice_core::asn1::DerReader;

use super::shown::Shown;
use super::text;

/// The largest file that is read as certificates, in bytes.
pub const MAX_LEN: u64 = 1 << 20;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// What is read.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// As it is called in messages.
    name: &'static str,
    /// Labels of its PEM blocks.
    labels: &'static [&'static str],
}

/// Certificates.
pub const CERTIFICATE: Kind = Kind { name: "certificate", labels: &["CERTIFICATE", "X509 CERTIFICATE"] };
/// Requests for certificates (PKCS#10).
pub const REQUEST: Kind =
    Kind { name: "certificate request", labels: &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"] };
/// Certificate revocation lists.
pub const REVOCATION_LIST: Kind = Kind { name: "revocation list", labels: &["X509 CRL"] };

/// Labels of PEM blocks that are known, and passed over where something else is read.
const OTHER_LABELS: [&str; 6] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "X509 CRL",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "PUBLIC KEY",
];

/// All certificates (DER), in the order of the file; at least one.
///
/// # Errors
/// Names the line and what is wrong there, or what the file is instead.
pub fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    read_all(bytes, CERTIFICATE)
}

/// All that is of this kind (DER), in the order of the file; at least one.
///
/// # Errors
/// Names the line and what is wrong there, or what the file is instead.
pub fn read_all(bytes: &[u8], kind: Kind) -> Result<Vec<Vec<u8>>> {
    if matches!(bytes, [0x30, 0x80..=0xff, ..]) {
        return from_der(bytes, kind);
    }
    let text = text::decode_lossy(bytes);
    if let Some(at) = text.find('\0') {
        let line = text::line_number(&text, at);
        bail!("line {line}: a zero byte; are parts of the file in different encodings?");
    }
    let found = from_text(&text, kind)?;
    if !found.is_empty() {
        return Ok(found);
    }
    // Base64 without the lines around it.
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    match BASE64_STANDARD.decode(&bare) {
        Ok(der) if der.first() == Some(&0x30) => from_der(&der, kind),
        _ => bail!("there is no {} in it", kind.name),
    }
}

/// One after another, and nothing else.
fn from_der(der: &[u8], Kind { name, .. }: Kind) -> Result<Vec<Vec<u8>>> {
    let mut reader = DerReader::new(der);
    let mut found = Vec::new();
    while !reader.is_empty() {
        let (offset, mut inside) = (reader.offset(), reader);
        let one = match reader.raw() {
            Ok(one) => one,
            Err(_) if found.is_empty() => bail!("the {name} (DER) is cut off or damaged"),
            Err(_) => bail!("the data after the {name} at byte {offset} is not a {name}"),
        };
        let kind = inside.sequence().ok().and_then(|content| content.peek_tag());
        match kind {
            Some(Tag::Sequence) => found.push(one.to_vec()),
            Some(Tag::Integer) => {
                bail!("it is a key store or a private key (PKCS#12, PKCS#8), not a {name}")
            }
            Some(Tag::ObjectIdentifier) => {
                bail!("it is PKCS#7: openssl pkcs7 -inform DER -in FILE -print_certs writes its certificates")
            }
            _ => bail!("what stands at byte {offset} is not a {name}"),
        }
    }
    Ok(found)
}

fn from_text(text: &str, kind: Kind) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = text[at..].find(BEGIN).map(|offset| at + offset) {
        no_stray_boundary(text, at, begin)?;
        let line = text::line_number(text, begin);
        let label_at = begin + BEGIN.len();
        let label = text[label_at..].split_once(DASHES).map(|(label, _)| label);
        let label =
            label.filter(|label| label.bytes().all(|c| matches!(c, b'A'..=b'Z' | b'0'..=b'9' | b' ')));
        let label = label.ok_or_else(|| anyhow!("line {line}: a block begins here without a name"))?;
        let body_at = label_at + label.len() + DASHES.len();
        let end = format!("-----END {label}-----");
        let body_end = text[body_at..].find(&end).map(|offset| body_at + offset);
        let body_end = body_end.filter(|end| !text[body_at..*end].contains(BEGIN));
        let body_end = body_end.ok_or_else(|| anyhow!("line {line}: the block {label} has no end"))?;
        match label {
            _ if kind.labels.contains(&label) => {
                let der = decode(text, (body_at, body_end), kind)?;
                let blocks = from_der(&der, kind).map_err(|error| anyhow!("line {line}: {error}"))?;
                ensure!(blocks.len() == 1, "line {line}: the block does not hold one {}", kind.name);
                found.extend(blocks);
            }
            "TRUSTED CERTIFICATE" => bail!(
                "line {line}: OpenSSL's own form TRUSTED CERTIFICATE: openssl x509 -in FILE writes it as a CERTIFICATE"
            ),
            "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => bail!(
                "line {line}: PKCS#7 ({label}): openssl pkcs7 -in FILE -print_certs writes its certificates"
            ),
            _ if OTHER_LABELS.contains(&label) => {}
            _ if label.ends_with("PRIVATE KEY") || label.ends_with("PARAMETERS") => {}
            _ => bail!("line {line}: what a block {label} is, is not known"),
        }
        at = body_end + end.len();
    }
    no_stray_boundary(text, at, text.len())?;
    Ok(found)
}

/// Between the blocks nothing may look like the boundary of a certificate: it would be passed over.
fn no_stray_boundary(text: &str, from: usize, to: usize) -> Result<()> {
    let between = text[from..to].to_ascii_uppercase();
    let boundaries = ["BEGIN CERT", "BEGIN X509", "BEGIN TRUSTED", "END CERT", "END X509", "END TRUSTED"];
    match boundaries.iter().filter_map(|boundary| between.find(boundary)).min() {
        None => Ok(()),
        Some(at) => {
            let line = text::line_number(text, from + at);
            bail!(
                "line {line}: this is not a boundary of a certificate as it has to be written: \
                 -----BEGIN CERTIFICATE-----"
            )
        }
    }
}

/// The base64 of a block. Line ends written as `\n`, as in JSON, count as such.
fn decode(text: &str, (from, to): (usize, usize), Kind { name, .. }: Kind) -> Result<Vec<u8>> {
    let body = &text[from..to];
    let mut base64 = String::with_capacity(body.len());
    let mut characters = body.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' | '=' => base64.push(character),
            '\\' if characters.next_if(|(_, next)| matches!(next, 'n' | 'r')).is_some() => {}
            _ if character.is_whitespace() || character == '\u{feff}' => {}
            _ => {
                let line = text::line_number(text, from + at);
                bail!("line {line}: '{}' is not base64", Shown(character.encode_utf8(&mut [0; 4])));
            }
        }
    }
    let line = text::line_number(text, from);
    BASE64_STANDARD
        .decode(base64)
        .map_err(|_| anyhow!("line {line}: the base64 of the {name} is cut off or damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What passes for a certificate here: `SEQUENCE { SEQUENCE {}, … }`, long enough for two lines.
    fn der(mark: u8) -> Vec<u8> {
        [&[0x30, 0x81, 0x84, 0x30, 0x00, 0x04, 0x81, 0x7f][..], &[mark; 127]].concat()
    }

    fn pem(der: &[u8]) -> String {
        let base64 = BASE64_STANDARD.encode(der);
        let lines: Vec<_> =
            base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn message(bytes: impl AsRef<[u8]>) -> String {
        read(bytes.as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn every_certificate_of_a_chain_is_read_whatever_wrote_it() {
        let (leaf, root) = (der(1), der(2));
        let (first, second) = (pem(&leaf), pem(&root));
        let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let request = first.replace("CERTIFICATE", "CERTIFICATE REQUEST");
        for chain in [
            format!("{first}{second}"),
            format!(
                "Bag Attributes\n  friendlyName: leaf\nsubject=CN = x\n\n{first}# root\n{second}trailing words"
            ),
            format!("{key}{first}{request}{second}"),
            format!("{first}\u{feff}{second}"),
            format!("leaf: {first}root: {second}"),
            format!("    {}", (first.clone() + &second).replace('\n', "  \n    ")),
            format!("{{\"chain\":\"{}\"}}", (first.clone() + &second).replace('\n', "\\n")),
            format!("{}{second}", first.replace("CERTIFICATE", "X509 CERTIFICATE")),
            (first.clone() + &second).trim_end().to_owned(),
        ] {
            for form in text::forms(&chain) {
                assert_eq!(read(&form).unwrap(), [leaf.clone(), root.clone()], "{chain}");
            }
        }
        let code_page = [b"G\xfcltig bis\r\n", first.as_bytes(), second.as_bytes()].concat();
        assert_eq!(read(&code_page).unwrap().len(), 2);
        assert_eq!(read(&[leaf.clone(), root.clone()].concat()).unwrap(), [leaf.clone(), root]);
        for form in text::forms(&format!("{}\n", BASE64_STANDARD.encode(&leaf))) {
            assert_eq!(read(&form).unwrap(), std::slice::from_ref(&leaf));
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        let good = pem(&der(1));
        let lines = |from, count| good.split_inclusive('\n').skip(from).take(count).collect::<String>();
        let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (text, words) in [
            (format!("{good}{}", good.replace("-----BEGIN", "----BEGIN")), "line 6: this is not a boundary"),
            (format!("{good}{}", good.replace("-----BEGIN", "—–BEGIN")), "line 6: this is not a boundary"),
            (format!("{good}{}", good.to_ascii_lowercase()), "line 6: this is not a boundary"),
            (format!("{good}{}", lines(1, 9)), "line 9: this is not a boundary"),
            (format!("{good}{}", lines(0, 4)), "line 6: the block CERTIFICATE has no end"),
            (format!("{}{good}", lines(0, 3)), "line 1: the block CERTIFICATE has no end"),
            (good.replacen("MIG", "M!G", 1), "line 2: '!' is not base64"),
            (good.replace('\n', "\n> "), "line 2: '>' is not base64"),
            (good.replacen("MIG", "MI", 1), "line 1: the base64 of the certificate is cut off"),
            (
                good.replacen("MIGE", "MIGD", 1),
                "line 1: the data after the certificate at byte 134 is not a certificate",
            ),
            (good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "openssl x509"),
            (good.replace("CERTIFICATE", "PKCS7"), "openssl pkcs7"),
            (
                good.replace("CERTIFICATE", "ATTRIBUTE CERTIFICATE"),
                "line 1: what a block ATTRIBUTE CERTIFICATE is",
            ),
            (
                good.replace("CERTIFICATE-", "CERTIFICATE\u{202e}-"),
                "line 1: a block begins here without a name",
            ),
            ("nothing\n".to_owned(), "there is no certificate in it"),
            (String::new(), "there is no certificate in it"),
            ("MIIG\n".to_owned(), "cut off or damaged"),
        ] {
            assert!(message(&text).contains(words), "{words} in {}", message(&text));
        }
        let mixed = [good.as_bytes(), &utf16].concat();
        assert!(message(&mixed).starts_with("line 6: a zero byte"), "{}", message(&mixed));
        assert!(message([0x30, 0x82, 1]).contains("cut off"));
        assert!(message([0x30, 0x81, 0x80]).contains("cut off"));
        let cut = [der(1), vec![0x0a]].concat();
        assert!(message(&cut).contains("the data after the certificate at byte 135"), "{}", message(&cut));
        let wrapped = |inner: &[u8]| [&[0x30, 0x81, 0x80][..], inner, &vec![0; 128 - inner.len()]].concat();
        assert!(message(wrapped(&[2, 1, 3])).contains("PKCS#12"));
        assert!(message(wrapped(&[6, 1, 42])).contains("PKCS#7"));
        assert!(message(wrapped(&[4, 1, 42])).contains("at byte 0 is not a certificate"));
    }

    #[test]
    fn other_kinds_are_read_from_between_certificates() {
        let list = pem(&der(2)).replace("CERTIFICATE", "X509 CRL");
        let request = pem(&der(3)).replace("CERTIFICATE", "NEW CERTIFICATE REQUEST");
        let all = format!("{}{list}words\n{request}", pem(&der(1)));
        for form in text::forms(&all) {
            assert_eq!(read_all(&form, REVOCATION_LIST).unwrap(), [der(2)]);
            assert_eq!(read_all(&form, REQUEST).unwrap(), [der(3)]);
        }
        // As one line of a table.
        for line in [request.replace('\n', ""), request.replace('\n', "\\n"), BASE64_STANDARD.encode(der(3))]
        {
            assert_eq!(read_all(line.as_bytes(), REQUEST).unwrap(), [der(3)], "{line}");
        }
        let error = read_all(pem(&der(1)).as_bytes(), REQUEST).unwrap_err().to_string();
        assert_eq!(error, "there is no certificate request in it");
    }

    proptest! {
        /// No change of a chain makes one of its certificates vanish unnoticed.
        #[test]
        fn no_certificate_vanishes(
            at in any::<prop::sample::Index>(),
            insert in "[ -~\\r\\n\u{feff}\u{202e}]{0,3}",
            cut in 0_usize..3,
        ) {
            let chain = pem(&der(1)) + &pem(&der(2));
            let at = at.index(chain.len());
            let changed = format!("{}{insert}{}", &chain[..at], &chain[(at + cut).min(chain.len())..]);
            if let Ok(found) = read(changed.as_bytes()) {
                prop_assert_eq!(found.len(), 2);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
