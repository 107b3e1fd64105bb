//! The blob container that devices upload files to: as much of Azure Storage as an upload needs (Put Blob, Put Block,
//! Put Block List, Get Blob), with a token for one blob each.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{ETAG, HeaderName};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::{Call, Reply, Text, empty, reply, set};
use crate::fault::Endpoint;
use crate::percent;
use crate::sas;
use crate::shared::Shared;

/// The container's name.
pub(super) const CONTAINER: &str = "uploads";
/// The largest request, and the largest blob.
const MAX_BLOB: usize = 64 << 20;
/// Everything that all devices have uploaded together.
const MAX_ALL: usize = 512 << 20;
/// Seconds that a token is valid for.
const TOKEN_LIFE: u64 = 3600;

/// Whether this may be a blob's name: text of a path, without going up.
pub(super) fn is_name(name: &str) -> bool {
    (1..=1024).contains(&name.len())
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn signature(shared: &Shared, blob: &str, expiry: u64) -> String {
    let text = format!("{blob}\n{expiry}");
    BASE64_STANDARD.encode(sas::derive_key(shared.authority.root_der(), &text))
}

/// A token that opens this blob for an hour, as the query that it is used as.
pub(super) fn token(shared: &Shared, blob: &str) -> String {
    let expiry = shared.faults.now() + TOKEN_LIFE;
    format!("?sv=2018-03-28&sr=b&sp=rw&se={expiry}&sig={}", percent::encode(&signature(shared, blob, expiry)))
}

fn refuse(shared: &Shared, call: &Call, status: StatusCode, code: &str) -> Reply {
    shared.refused(Endpoint::HubHttps, &call.caller.address, format!("blob: {code}"));
    let mut reply = reply(shared, status, &json!({ "error": { "code": code } }));
    set(&mut reply, HeaderName::from_static("x-ms-error-code"), code);
    reply
}

pub(super) async fn answer(shared: &Arc<Shared>, mut call: Call) -> Reply {
    let blob = call.path.get(1..).unwrap_or_default().join("/");
    let expiry = call.query("se").and_then(|se| se.parse().ok()).unwrap_or_default();
    if call.query("sig").as_deref() != Some(&signature(shared, &blob, expiry))
        || expiry <= shared.faults.now()
    {
        return refuse(shared, &call, StatusCode::FORBIDDEN, "AuthenticationFailed");
    }
    match *call.request.method() {
        Method::GET => match shared.blobs().get(&blob).cloned() {
            Some(content) => {
                let mut reply = empty(StatusCode::OK);
                *reply.body_mut() = Text::new(content.into(), false);
                reply
            }
            None => refuse(shared, &call, StatusCode::NOT_FOUND, "BlobNotFound"),
        },
        Method::PUT => put(shared, &mut call, blob).await,
        _ => refuse(shared, &call, StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpVerb"),
    }
}

async fn put(shared: &Shared, call: &mut Call, blob: String) -> Reply {
    let content = match call.body(shared, MAX_BLOB).await {
        Ok(content) => content.to_vec(),
        Err((status, _)) => return refuse(shared, call, status, "RequestBodyTooLarge"),
    };
    let held: usize = shared.blobs().values().map(Vec::len).sum();
    if held + content.len() > MAX_ALL {
        return refuse(shared, call, StatusCode::INSUFFICIENT_STORAGE, "AccountBeingCreated");
    }
    match call.query("comp").as_deref() {
        None if call.header("x-ms-blob-type").is_none_or(|kind| kind != "BlockBlob") => {
            return refuse(shared, call, StatusCode::BAD_REQUEST, "MissingRequiredHeader");
        }
        None => drop(shared.blobs().insert(blob, content)),
        Some("block") => match call.query("blockid") {
            Some(block) => drop(shared.blobs().insert(block_name(&blob, &block), content)),
            None => return refuse(shared, call, StatusCode::BAD_REQUEST, "InvalidQueryParameterValue"),
        },
        Some("blocklist") => {
            let text = String::from_utf8_lossy(&content);
            let mut blobs = shared.blobs();
            let mut whole = Vec::new();
            for block in block_ids(&text) {
                let Some(part) = blobs.remove(&block_name(&blob, block)) else {
                    drop(blobs);
                    return refuse(shared, call, StatusCode::BAD_REQUEST, "InvalidBlockList");
                };
                whole.extend(part);
            }
            blobs.insert(blob, whole);
        }
        Some(_) => return refuse(shared, call, StatusCode::BAD_REQUEST, "InvalidQueryParameterValue"),
    }
    let mut reply = empty(StatusCode::CREATED);
    set(&mut reply, ETAG, "\"0x1\"");
    set(&mut reply, HeaderName::from_static("x-ms-request-server-encrypted"), "false");
    reply
}

/// A block that waits for its list; no blob has such a name.
fn block_name(blob: &str, block: &str) -> String {
    format!("{blob}\n{block}")
}

/// The ids in `<BlockList><Latest>id</Latest>...</BlockList>`; they are base64, so that nothing in them is escaped.
fn block_ids(text: &str) -> impl Iterator<Item = &str> {
    text.split('<').filter_map(|element| {
        let (name, id) = element.split_once('>')?;
        ["Latest", "Uncommitted", "Committed"].contains(&name).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lists() {
        assert!(is_name("a/b c.txt") && is_name("ü"));
        for bad in ["", "../x", "a//b", "/a", "a/", "a\nb", &"x".repeat(1025)] {
            assert!(!is_name(bad), "{bad}");
        }
        let list = "<?xml version=\"1.0\"?><BlockList><Latest>QQ==</Latest><Latest>Qg==</Latest></BlockList>";
        assert_eq!(block_ids(list).collect::<Vec<_>>(), ["QQ==", "Qg=="]);
    }
}
