//! The console's files: carried by the binary, compressed at first use, named after their content.

use std::collections::HashMap;
use std::io::Write;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Names and contents, from the folder `assets`.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));
const PAGE: &str = "index.html";
/// Where the page finds its files: replaced by a name that changes with any of them.
const PLACEHOLDER: &str = "{{assets}}";
/// No module: it runs before anything is drawn.
const FIRST: &str = "js/theme-first.js";
/// Where the page asks for its modules ahead, so that they come at once and not one after another.
const MODULES: &str = "{{modules}}";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_FIRST: HeaderValue = HeaderValue::from_static("no-cache");

/// The console's files, ready to be sent.
pub(crate) struct Assets {
    version: String,
    files: HashMap<&'static str, File>,
}

struct File {
    content_type: HeaderValue,
    plain: Bytes,
    gzip: Option<Bytes>,
}

impl Assets {
    pub(crate) fn new() -> Self {
        let version = version();
        let files = FILES.iter().map(|(name, content)| {
            let plain = if *name == PAGE {
                let page = String::from_utf8_lossy(content).replace(MODULES, &preloads());
                Bytes::from(page.replace(PLACEHOLDER, &format!("ops/assets/{version}/")))
            } else {
                Bytes::from_static(content)
            };
            let gzip = compressed(&plain);
            (*name, File { content_type: content_type(name), plain, gzip })
        });
        Self { files: files.collect(), version }
    }

    /// The console's page.
    pub(crate) fn page(&self, headers: &HeaderMap) -> Response {
        let mut response = self.send(PAGE, headers, ASK_FIRST);
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    /// A file the page refers to. Another version's files are gone.
    pub(crate) fn file(&self, version: &str, name: &str, headers: &HeaderMap) -> Response {
        if version == self.version && name != PAGE {
            return self.send(name, headers, FOR_EVER);
        }
        Problem::no_such_path().into_response()
    }

    fn send(&self, name: &str, headers: &HeaderMap, caching: HeaderValue) -> Response {
        let Some(file) = self.files.get(name) else {
            return Problem::no_such_path().into_response();
        };
        let gzip = file.gzip.as_ref().filter(|_| accepts_gzip(headers));
        // Weak, because the compressed and the plain form share it.
        let tag = format!("W/\"{}\"", self.version);
        let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let known = known.is_some_and(|tags| tags.split(',').any(|t| t.trim() == tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            gzip.unwrap_or(&file.plain).clone().into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, caching);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        if !known {
            headers.insert(header::CONTENT_TYPE, file.content_type.clone());
            if gzip.is_some() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        response
    }
}

/// A redirect that stays right below whatever path a proxy serves simops at.
pub(crate) fn redirect(relative: &'static str) -> Response {
    Redirect::temporary(relative).into_response()
}

fn preloads() -> String {
    let modules = FILES.iter().filter(|(name, _)| name.starts_with("js/") && *name != FIRST);
    let link = |(name, _): &(&str, _)| {
        format!("<link rel=\"modulepreload\" href=\"{PLACEHOLDER}{name}\">")
    };
    modules.map(link).collect::<Vec<_>>().join("\n")
}

fn version() -> String {
    let mut digest = Sha256::new();
    for (name, content) in FILES {
        digest.update(name.as_bytes());
        digest.update([0]);
        digest.update(Sha256::digest(content));
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn compressed(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < plain.len()).then(|| gzip.into())
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let value = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_gzip && !parts.any(|q| matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    })
}

fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("md" | "LICENSE") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}
