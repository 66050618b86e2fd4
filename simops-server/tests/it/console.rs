//! The console's page and files, and the headers that protect them.

use std::io::Read;

use axum::http::Method;

use crate::support::{Answer, TestApp};

async fn get(app: &TestApp, path: &str) -> Answer {
    app.bare(Method::GET, path).send().await
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = TestApp::new();
    for path in ["/ops", "/healthz", "/nope", "/", "/api/admin/status", "/api/openapi.json"] {
        let answer = get(&app, path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        for part in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        let caching = if path == "/ops" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), caching, "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn the_page_finds_its_files_which_may_be_kept_for_ever() {
    let app = TestApp::new();
    let page = get(&app, "/ops").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    assert!(!page.text.contains("{{assets}}"));
    let files: Vec<_> =
        page.text.split('"').filter(|part| part.starts_with("ops/assets/")).collect();
    assert!(files.len() > 2);
    for file in files {
        let answer = get(&app, &format!("/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        assert!(answer.header("cache-control").contains("immutable"));
        let tag = answer.header("etag");
        let call = app.bare(Method::GET, &format!("/{file}"));
        let again = call.header("if-none-match", &format!("\"x\", {tag}")).send().await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
        let kind = answer.header("content-type").split(';').next().unwrap();
        let expected = match file.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            other => &format!("image/{other}+xml"),
        };
        assert_eq!(kind, expected);
    }
}

#[tokio::test]
async fn files_are_compressed_for_those_who_understand_it() {
    let app = TestApp::new();
    let plain = get(&app, "/ops").await.text;
    let gzip = async |accepted: &str| {
        let call = app.bare(Method::GET, "/ops").header("accept-encoding", accepted);
        let response = call.open().await;
        let is_gzip = response.headers().get("content-encoding").is_some_and(|c| c == "gzip");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (is_gzip, body)
    };
    let (is_gzip, body) = gzip("br, gzip;q=0.8").await;
    assert!(is_gzip);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain);
    assert!(!gzip("gzip;q=0, identity").await.0 && !gzip("br").await.0);
}

#[tokio::test]
async fn other_ways_lead_to_the_page_below_any_path() {
    let app = TestApp::new();
    for (path, to) in [("/", "ops"), ("/ops/", "../ops")] {
        let answer = get(&app, path).await;
        assert!(answer.status.is_redirection());
        assert_eq!(answer.header("location"), to);
    }
    let page = get(&app, "/ops").await.text;
    let version = page.split("ops/assets/").nth(1).unwrap().split('/').next().unwrap();
    for path in ["index.html", "../index.html", "..%2f..%2fCargo.toml", "none.js", "js/"] {
        get(&app, &format!("/ops/assets/{version}/{path}")).await.problem(404);
    }
    get(&app, "/ops/assets/0000/js/main.js").await.problem(404);
}

#[tokio::test]
async fn the_first_load_is_small_and_asks_for_every_module_at_once() {
    let app = TestApp::new();
    let page = get(&app, "/ops").await.text;
    let files: Vec<_> = page.split('"').filter(|part| part.starts_with("ops/assets/")).collect();
    let modules = files.iter().filter(|file| file.contains("/js/panels/")).count();
    assert!(modules > 10, "{modules}");
    let mut loaded = 0;
    for path in files.iter().copied().chain(["ops"]) {
        let call = app.bare(Method::GET, &format!("/{path}")).header("accept-encoding", "gzip");
        let body = call.open().await.into_body();
        loaded += axum::body::to_bytes(body, usize::MAX).await.unwrap().len();
    }
    assert!(loaded < 150_000, "{loaded} bytes");
}
