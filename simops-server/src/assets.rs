//! The console's assets, embedded in the binary and served below a path that is their hash.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Names and contents of the files in `assets`.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));
const PAGE: &str = "index.html";
/// Placeholder in the page for the path of its assets.
const PLACEHOLDER: &str = "{{assets}}";
/// A classic script, not a module: it runs before the first paint.
const THEME: &str = "js/theme-first.js";
/// Placeholder in the page for the preload links of all modules.
const MODULES: &str = "{{modules}}";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The console's assets.
pub(crate) struct Assets {
    version: String,
    files: HashMap<&'static str, File>,
}

struct File {
    content_type: HeaderValue,
    content: Bytes,
}

impl Assets {
    pub(crate) fn new() -> Self {
        let version = version();
        let files = FILES.iter().map(|(name, content)| {
            let content = if *name == PAGE {
                let page = String::from_utf8_lossy(content).replace(MODULES, &preloads());
                Bytes::from(page.replace(PLACEHOLDER, &format!("ops/assets/{version}/")))
            } else {
                Bytes::from_static(content)
            };
            (*name, File { content_type: content_type(name), content })
        });
        Self { files: files.collect(), version }
    }

    pub(crate) fn page(&self, headers: &HeaderMap) -> Response {
        let mut response = self.send(PAGE, headers, REVALIDATE);
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    /// An asset of this version; 404 for another version.
    pub(crate) fn file(&self, version: &str, name: &str, headers: &HeaderMap) -> Response {
        if version == self.version && name != PAGE {
            return self.send(name, headers, IMMUTABLE);
        }
        Problem::no_such_path().into_response()
    }

    fn send(&self, name: &str, headers: &HeaderMap, caching: HeaderValue) -> Response {
        let Some(file) = self.files.get(name) else {
            return Problem::no_such_path().into_response();
        };
        // Weak, because compressed and plain responses share it.
        let tag = format!("W/\"{}\"", self.version);
        let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let known = known.is_some_and(|tags| tags.split(',').any(|t| t.trim() == tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            file.content.clone().into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, caching);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        if !known {
            headers.insert(header::CONTENT_TYPE, file.content_type.clone());
        }
        response
    }
}

/// A relative redirect, which works below any path that a proxy serves simops at.
pub(crate) fn redirect(relative: &'static str) -> Response {
    Redirect::temporary(relative).into_response()
}

fn preloads() -> String {
    let modules = FILES.iter().filter(|(name, _)| name.starts_with("js/") && *name != THEME);
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
