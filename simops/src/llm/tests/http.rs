//! Providers over HTTP, against servers that respond correctly, wrongly, partially or not at all.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::llm::openai::Sse;
use crate::llm::{
    ChatRequest, ChatResponse, Limits, LlmError, LlmErrorKind, LlmProvider, OpenAi, OpenAiOptions,
    ProviderConfig, Router, Spent,
};
use crate::usage::{NanoUsd, Tokens};
use proptest::prelude::*;

use super::peer::{ANSWER, KEY, PATIENT, Peer, Step, provider_at, response, stream};
use super::scene::{BOUND, Naive, builder, context, request};

async fn ask(provider: &OpenAi) -> Result<ChatResponse, LlmError> {
    let asked = provider.chat(&ChatRequest { model: "m".to_owned(), ..request() }).await;
    if let Err(error) = &asked {
        let everything = format!("{error} {error:?} {:?}", crate::Error::from(error.clone()));
        assert!(!everything.contains("hush"), "the key shows: {everything}");
        assert!(!everything.contains("127.0.0.1"), "the URL shows: {everything}");
    }
    asked
}

/// The result of a call to a peer with this script, streaming or not.
async fn respond(script: Vec<Step>, stream: bool) -> Result<ChatResponse, LlmError> {
    let peer = Peer::start(vec![script]).await;
    ask(&peer.provider("openrouter", stream)).await
}

fn tokens(input: i64, cached_input: i64, output: i64) -> Tokens {
    Tokens { input, cached_input, output }
}

#[tokio::test]
async fn a_response_is_parsed_with_all_token_counts() {
    let peer = Peer::start(vec![response("200 OK", "", ANSWER)]).await;
    let got = ask(&peer.provider("openrouter", false)).await.unwrap();
    assert_eq!((&*got.model, &*got.text), ("vendor/m-2", "hello"));
    assert_eq!((got.tokens, got.reasoning_tokens), (tokens(20, 8, 9), 3));
    assert_eq!((got.finish_reason.as_deref(), got.usage_reported), (Some("stop"), true));
    let seen = peer.seen().remove(0);
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("authorization: Bearer {KEY}\r\n")), "{seen}");
    let body: serde_json::Value =
        serde_json::from_str(seen.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["model"], &body["max_tokens"]), (&"m".into(), &100.into()));
    assert_eq!(body["messages"][1]["content"], "what now?");
    assert_eq!((&body["stream"], &body["stream_options"]), (&false.into(), &().into()));
}

#[tokio::test]
async fn a_keyless_provider_sends_no_key() {
    let peer = Peer::start(vec![response("200 OK", "", ANSWER)]).await;
    let config = ProviderConfig {
        name: "groq".to_owned(),
        base_url: format!("{}/", peer.url),
        key: None,
        model: "m".to_owned(),
    };
    ask(&OpenAi::new(&config, OpenAiOptions::default()).unwrap()).await.unwrap();
    assert!(!peer.seen()[0].to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn a_stream_is_assembled_and_its_usage_parsed() {
    let script = stream(&[
        r#"{"model": "m-2", "choices": [{"delta": {"role": "assistant", "content": ""}}]}"#,
        r#"{"model": "m-2", "choices": [{"delta": {"content": "hel"}}]}"#,
        r#"{"model": "m-2", "choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]}"#,
        r#"{"model": "m-2", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 9}}"#,
        "[DONE]",
    ]);
    let peer = Peer::start(vec![script]).await;
    let got = ask(&peer.provider("openrouter", true)).await.unwrap();
    assert_eq!((&*got.text, got.tokens), ("hello", tokens(20, 0, 9)));
    assert!(got.usage_reported);
    assert!(peer.seen()[0].contains(r#""stream_options":{"include_usage":true}"#));
    let _ = ask(&peer.provider("mistral", true)).await;
    assert!(!peer.seen()[1].contains("stream_options"), "Mistral answers that with 422");
}

#[tokio::test]
async fn variants_of_providers_are_supported() {
    let got = respond(response("200 OK", "", &ANSWER.replace("29", "79")), false).await.unwrap();
    assert_eq!((got.tokens.output, got.reasoning_tokens), (59, 50), "Gemini's reasoning");

    let parts = ANSWER.replace(
        r#""hello""#,
        r#"[{"type": "thinking", "thinking": []}, {"type": "text", "text": "hello"}]"#,
    );
    let got = respond(response("200 OK", "", &parts), false).await.unwrap();
    assert_eq!(got.text, "hello", "Mistral's reasoning models");

    let last = r#"{"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}],
        "x_groq": {"usage": {"prompt_tokens": 2, "completion_tokens": 1}}}"#
        .replace('\n', "");
    let got = respond(stream(&[&last]), true).await.unwrap();
    assert_eq!((&*got.text, got.tokens), ("hi", tokens(2, 0, 1)), "Groq; no [DONE]");

    let got = respond(response("200 OK", "", ANSWER), true).await.unwrap();
    assert_eq!(got.text, "hello", "asked for a stream, answered whole");

    let silent = ANSWER.replace("usage", "other");
    assert!(!respond(response("200 OK", "", &silent), false).await.unwrap().usage_reported);
    for wrong in ["-5", "1e40", "\"many\"", "9000000000000"] {
        let wrong =
            ANSWER.replace(r#""prompt_tokens": 20"#, &format!(r#""prompt_tokens": {wrong}"#));
        let got = respond(response("200 OK", "", &wrong), false).await.unwrap();
        assert!(!got.usage_reported && got.tokens == Tokens::default(), "{got:?}");
    }
}

#[tokio::test]
async fn a_status_determines_the_error_its_cost_and_the_retry_delay() {
    use LlmErrorKind::*;
    for (status, kind, spent) in [
        ("400 Bad Request", BadRequest, Spent::Nothing),
        ("401 Unauthorized", Auth, Spent::Nothing),
        ("402 Payment Required", PaymentRequired, Spent::Nothing),
        ("404 Not Found", BadRequest, Spent::Nothing),
        ("429 Too Many Requests", RateLimited, Spent::Nothing),
        ("500 Internal Server Error", ServerError, Spent::Nothing),
        ("504 Gateway Timeout", ServerError, Spent::Unknown),
    ] {
        let body = format!(r#"{{"error": {{"message": "the key {KEY} is\nwrong", "code": 1}}}}"#);
        let error =
            respond(response(status, "retry-after: 7\r\n", &body), false).await.unwrap_err();
        assert_eq!((error.kind, error.spent), (kind, spent), "{status}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        assert!(error.detail.starts_with(&format!("openrouter: HTTP {}", &status[..3])), "{error}");
        assert_eq!(error.detail.contains("wrong"), kind != Auth, "{error}");
    }
}

#[tokio::test]
async fn an_error_instead_of_a_message_is_an_error() {
    let body = r#"{"error": {"message": "upstream is down", "code": 502}}"#;
    let error = respond(response("200 OK", "", body), false).await.unwrap_err();
    assert_eq!((error.kind, error.spent), (LlmErrorKind::ServerError, Spent::Nothing));
    let half = [
        r#"{"choices": [{"delta": {"content": "hel"}}], "usage": {"prompt_tokens": 20, "completion_tokens": 1}}"#,
        r#"{"error": {"message": "slower", "code": 429}, "choices": [{"delta": {}, "finish_reason": "error"}]}"#,
    ];
    let error = respond(stream(&half), true).await.unwrap_err();
    let known = Spent::AtLeast(tokens(20, 0, 1));
    assert_eq!((error.kind, error.spent), (LlmErrorKind::RateLimited, known));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Peer::start(vec![response("200 OK", "", ANSWER)]).await;
    let location = format!("location: {}/chat/completions\r\n", other.url);
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let error = respond(response(status, &location, ""), false).await.unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::InvalidResponse);
    }
    assert!(other.seen().is_empty(), "the key went elsewhere");
}

#[tokio::test]
async fn a_failed_connection_costs_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&provider_at(&url, "openrouter", PATIENT)).await.unwrap_err();
    assert_eq!((error.kind, error.spent), (LlmErrorKind::Connection, Spent::Nothing));
    assert!(error.detail.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_peer_that_hangs_up_before_an_answer_may_have_run_a_model() {
    let error = respond(Vec::new(), false).await.unwrap_err();
    assert_eq!((error.kind, error.spent), (LlmErrorKind::Connection, Spent::Unknown));
}

#[tokio::test]
async fn a_peer_that_hangs_ends_in_a_time_out() {
    let head = stream(&[r#"{"choices": [{"delta": {"content": "hel"}}]}"#]);
    let silent = [head, vec![Step::Hang]].concat();
    let drip = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    let drip = vec![Step::Send(drip), Step::Repeat(": alive\n\n".to_owned(), 1_000)];
    let (idle, whole) = (Duration::from_secs(1), Duration::from_secs(2));
    for (script, stream, limit) in
        [(vec![Step::Hang], false, whole), (silent, true, idle), (drip, true, whole)]
    {
        let peer = Peer::start(vec![script]).await;
        let options = OpenAiOptions { stream, timeout: whole, idle_timeout: idle, ..PATIENT };
        let began = Instant::now();
        let error = ask(&provider_at(&peer.url, "openrouter", options)).await.unwrap_err();
        assert_eq!((error.kind, error.spent), (LlmErrorKind::Timeout, Spent::Unknown), "{error}");
        let took = began.elapsed();
        assert!(
            (limit..limit + Duration::from_secs(10)).contains(&took),
            "{took:?}, not {limit:?}"
        );
    }
}

#[tokio::test]
async fn incomplete_and_malformed_responses_are_errors() {
    let invalid = LlmErrorKind::InvalidResponse;
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{}", &ANSWER[..60]);
    for (script, streams) in [
        (vec![Step::Send(cut)], false),
        (response("200 OK", "", "<html>hello</html>"), false),
        (response("200 OK", "", ""), false),
        (response("200 OK", "", "[1, 2]"), false),
        (response("200 OK", "", "{}"), false),
        (stream(&[r#"{"choices": [{"delta": {"content": "hel"}}]}"#]), true),
        (stream(&[r#"{"choices": [{"delta": {"conte"#]), true),
        (stream(&[]), true),
        (stream(&["[DONE]"]), true),
    ] {
        let error = respond(script.clone(), streams).await.unwrap_err();
        assert_eq!((error.kind, error.spent), (invalid, Spent::Unknown), "{script:?}: {error}");
    }
    let known = r#"{"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 9}}"#;
    let error = respond(response("200 OK", "", known), false).await.unwrap_err();
    assert_eq!((error.kind, error.spent), (invalid, Spent::Exactly(tokens(20, 0, 9))));
    let half = r#"{"choices": [{"delta": {"content": "h"}}], "usage": {"prompt_tokens": 20, "completion_tokens": 1}}"#;
    let error = respond(stream(&[half]), true).await.unwrap_err();
    assert_eq!((error.kind, error.spent), (invalid, Spent::AtLeast(tokens(20, 0, 1))));
}

#[tokio::test]
async fn a_response_that_is_too_long_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_owned();
    let flood = vec![Step::Send(head), Step::Repeat("x".repeat(32 * 1024), 10_000)];
    let error = respond(flood, false).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::InvalidResponse);
    assert!(error.detail.contains("longer than 65536 bytes"), "{error}");
}

fn router_to(peer: &Peer, counter: &Arc<Naive>, stream: bool) -> Router {
    let provider = Arc::new(peer.provider("groq", stream));
    builder(counter).provider(provider, Limits::default()).route("groq", "m").build().unwrap()
}

#[tokio::test]
async fn through_the_router_500_then_200_is_two_rows_and_an_answer() {
    let down = response("500 Internal Server Error", "", "");
    let peer = Peer::start(vec![down, response("200 OK", "", ANSWER)]).await;
    let counter = Arc::<Naive>::default();
    let got = router_to(&peer, &counter, false).chat(&context(&[]), &request()).await.unwrap();
    assert_eq!((&*got.response.text, got.attempts), ("hello", 2));
    assert_eq!(counter.outcomes(), ["server_error", "ok"]);
    let costs: Vec<_> = counter.rows().iter().map(|row| row.cost).collect();
    assert_eq!(costs, [NanoUsd(0), NanoUsd(20 * 1_000 + 9 * 2_000)]);
}

#[tokio::test]
async fn through_the_router_429_waits_as_asked() {
    let busy = response("429 Too Many Requests", "retry-after: 1\r\n", "{}");
    let peer = Peer::start(vec![busy, response("200 OK", "", ANSWER)]).await;
    let (counter, began) = (Arc::<Naive>::default(), Instant::now());
    router_to(&peer, &counter, false).chat(&context(&[]), &request()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(counter.outcomes(), ["rate_limited", "ok"]);
}

#[tokio::test]
async fn through_the_router_half_a_stream_is_charged_at_the_bound_and_not_repeated() {
    let half = stream(&[r#"{"choices": [{"delta": {"content": "hel"}}]}"#]);
    let peer = Peer::start(vec![half]).await;
    let counter = Arc::<Naive>::default();
    let error = router_to(&peer, &counter, true).chat(&context(&[]), &request()).await.unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(counter.outcomes(), ["invalid_response"]);
    assert_eq!(counter.rows()[0].cost, NanoUsd(BOUND));
}

/// Keeps every field of every event and span.
struct Capture(Arc<Mutex<String>>);

impl tracing::field::Visit for Capture {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl tracing::Subscriber for Capture {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Self(Arc::clone(&self.0)));
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Self(Arc::clone(&self.0)));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn the_key_is_in_no_log_line_at_any_level() {
    let log = Arc::<Mutex<String>>::default();
    let _guard = tracing::subscriber::set_default(Capture(Arc::clone(&log)));
    let wrong = format!(r#"{{"error": {{"message": "wrong key {KEY}"}}}}"#);
    let peer = Peer::start(vec![response("400 Bad Request", "", &wrong)]).await;
    let counter = Arc::<Naive>::default();
    let router = router_to(&peer, &counter, false);
    counter.settling_fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"));
    counter.settling_fails.store(false, std::sync::atomic::Ordering::SeqCst);
    router.flush(Duration::from_secs(10)).await.unwrap();
    let log = log.lock().unwrap().clone();
    assert!(
        log.contains("usage counter unavailable") && log.contains("usage counter recovered"),
        "{log}"
    );
    assert!(!log.contains("hush"), "{log}");
    assert!(!format!("{:?}", counter.rows()).contains("hush"));
}

proptest! {
    #[test]
    fn events_are_the_same_however_the_bytes_arrive(
        lines in proptest::collection::vec("(data:|data: |: |id: )?[a-zä\u{2028}]{0,6}", 0..20),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        cuts in proptest::collection::vec(1..6_usize, 0..80),
    ) {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        let read = |pieces: Vec<&[u8]>| {
            let mut sse = Sse::default();
            let mut events: Vec<String> = pieces.into_iter().flat_map(|p| sse.push(p)).collect();
            events.extend(sse.finish());
            events
        };
        let (mut pieces, mut rest) = (Vec::new(), text.as_bytes());
        for cut in cuts {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(rest);
        let whole = read(vec![text.as_bytes()]);
        prop_assert_eq!(&read(pieces), &whole);
        // The rule once more: data lines of a block, joined.
        let blocks: Vec<String> = lines
            .split(String::is_empty)
            .filter_map(|block| {
                let data: Vec<_> = block.iter().filter_map(|line| line.strip_prefix("data:")).collect();
                let data: Vec<_> = data.iter().map(|d| d.strip_prefix(' ').unwrap_or(d)).collect();
                (!data.is_empty()).then(|| data.join("\n"))
            })
            .collect();
        prop_assert_eq!(whole, blocks);
    }
}
