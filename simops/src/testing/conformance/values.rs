//! Values are read exactly as they were written.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::present;
use super::samples::{answer, commit_run, event, host, run};
use crate::Result;
use crate::control::HostReport;
use crate::event::NewEvent;
use crate::run::RunRecord;
use crate::store::{ActivityScope, Documents, EventFilter, RunStore};

const UNUSUAL_TEXTS: [&str; 9] = [
    "",
    " leading and trailing ",
    "quote ' double \" back \\ slash / percent % under _",
    "line\nbreak\ttab\rreturn",
    "'; DROP TABLE events; --",
    "ünïcödé ß 漢字 \u{1F980}\u{200D}\u{1F525}",
    "e\u{301} is not é",
    "\u{FEFF}\u{FFFD}\u{1}\u{7F}",
    "{\"json\": [null, \"$1\", \"?1\", \":name\"]}",
];

async fn newest_event(store: &dyn RunStore) -> Result<crate::event::Event> {
    let page = store.events(&EventFilter { limit: 1, ..EventFilter::default() }).await?;
    present(page.items.into_iter().next())
}

/// Any text without NUL is preserved as a name, description, key, document and value.
pub async fn unusual_text_is_preserved(store: Arc<dyn RunStore>) -> Result<()> {
    for text in UNUSUAL_TEXTS {
        let written =
            NewEvent { description: text.to_owned(), ..event(Some(text), text) }.with(text, text);
        store.append(std::slice::from_ref(&written)).await?;
        let stored = newest_event(&*store).await?;
        assert_eq!(stored.description, text);
        assert_eq!((stored.run_id.as_deref(), stored.event_type.as_str()), (Some(text), text));
        assert_eq!(stored.metadata, written.metadata);
        let counted = store.count_events(&ActivityScope::Run(text.to_owned())).await?;
        assert_eq!(counted.iter().map(|count| count.count).collect::<Vec<_>>(), [1], "{text:?}");

        let ended =
            RunRecord { start_reason: Some(text.to_owned()), ..run(&format!("run {text}")) }.ended(
                written.created_at,
                crate::run::EndedBy::Operator,
                text,
            );
        commit_run(&*store, &ended).await?;
        assert_eq!(store.load().await?.run, Some(ended));

        let (key, recorded) = answer(text, json!({ text: text }));
        store.save_idempotency(&key, &recorded).await?;
        assert_eq!(store.idempotency_record(text).await?, Some(recorded));

        let epoch = store.request_epoch(text, written.created_at).await?;
        store.claim_epoch(epoch, text).await?;
        let documents = Documents::from([(text.to_owned(), json!(text))]);
        store.finish_epoch(epoch, &documents, &json!(text)).await?;
        assert_eq!(store.world(epoch).await?.documents, documents);
    }
    Ok(())
}

/// Times before 1970 and in the far future are preserved to the microsecond.
pub async fn times_are_kept_to_the_microsecond(store: Arc<dyn RunStore>) -> Result<()> {
    for micros in [-1, 0, 1, 1_767_225_599_999_999, 253_370_764_800_000_001] {
        let created_at = Timestamp::from_microsecond(micros).unwrap_or_default();
        store.append(&[NewEvent { created_at, ..event(None, "tick") }]).await?;
        assert_eq!(newest_event(&*store).await?.created_at, created_at);
        let report = HostReport { last_seen: created_at, ..host("host", 0) };
        store.report(&report).await?;
        assert_eq!(store.hosts(created_at).await?, [report]);
    }
    Ok(())
}

/// The limits of 64-bit integers are preserved.
pub async fn large_integers_are_preserved(store: Arc<dyn RunStore>) -> Result<()> {
    for number in [i64::MIN, -1, 0, i64::MAX] {
        let written = event(None, "count").of_agent(number).with("number", number);
        store.append(&[written]).await?;
        let stored = newest_event(&*store).await?;
        assert_eq!(stored.agent_id, Some(number.into()));
        assert_eq!(stored.metadata.get("number"), Some(&json!(number)));
    }
    Ok(())
}

/// Numbers of every kind and nested values are preserved, in overrides, documents and metadata.
pub async fn json_is_preserved_exactly(store: Arc<dyn RunStore>) -> Result<()> {
    let unusual: Value = json!({
        "sum": 0.1 + 0.2,
        "third": 1.0 / 3.0,
        "tiny": f64::MIN_POSITIVE,
        "smallest": 5e-324,
        "huge": f64::MAX,
        "whole float": 2.0,
        "most": u64::MAX,
        "least": i64::MIN,
        "empty": [[], {}, "", null, false],
        "deep": [[[[[[[[1]]]]]]]],
    });
    super::samples::commit(&*store, |change| {
        change.next.overrides.insert("ODD".to_owned(), unusual.clone());
    })
    .await?;
    assert_eq!(store.load().await?.overrides.get("ODD"), Some(&unusual));
    let epoch = store.request_epoch("main", Timestamp::UNIX_EPOCH).await?;
    store.claim_epoch(epoch, "host").await?;
    let documents = Documents::from([("odd".to_owned(), unusual.clone())]);
    store.finish_epoch(epoch, &documents, &unusual).await?;
    assert_eq!(store.world(epoch).await?.documents, documents);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut floats = Vec::new();
    for _ in 0..1_000 {
        // A fixed pseudo-random sequence of bits.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        floats.push(json!(f64::from_bits(state)));
    }
    store.append(&[event(None, "floats").with("floats", floats.clone())]).await?;
    assert_eq!(newest_event(&*store).await?.metadata.get("floats"), Some(&json!(floats)));
    Ok(())
}
