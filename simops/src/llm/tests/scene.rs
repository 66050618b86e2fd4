//! Shared by the router's tests: a naive counter, a fake provider, and a router.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::llm::{
    CallContext, ChatRequest, ChatResponse, Limits, LlmError, LlmProvider, Router, RouterBuilder,
};
use crate::settings::{Effective, Overrides, Registry};
use crate::testing::ManualClock;
use crate::usage::{
    Admission, BudgetUse, Caps, CounterStatus, DayTotals, DayUse, Lease, PriceBook, Tokens,
    UsageCounter, UsageRow, UseKey, admit,
};
use crate::{Error, Result, async_trait};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use uuid::Uuid;

/// A naive counter: every call computes all sums under one lock.
#[derive(Default)]
pub(crate) struct Naive {
    state: Mutex<State>,
    /// Every call fails.
    pub(crate) unavailable: AtomicBool,
    /// Settling and releasing fail; reservations do not.
    pub(crate) settling_fails: AtomicBool,
    /// The delay of the response to a counted reservation.
    pub(crate) reserving: Mutex<Duration>,
    /// No call ever completes.
    pub(crate) hangs: AtomicBool,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Uuid, UsageRow>,
    leases: BTreeMap<Uuid, Lease>,
    settles: usize,
}

impl State {
    fn day_use(&self, day: Date) -> DayUse {
        let rows = self.rows.values().filter(|row| row.day == day).map(DayTotals::of);
        let leases = self.leases.values().filter(|lease| lease.day == day).map(Lease::totals);
        let sum = |sum: DayTotals, one| sum + one;
        DayUse {
            settled: rows.fold(DayTotals::default(), sum),
            reserved: leases.fold(DayTotals::default(), sum),
            version: 0,
        }
    }
}

impl Naive {
    /// The ledger, oldest first.
    pub(crate) fn rows(&self) -> Vec<UsageRow> {
        self.state.lock().unwrap().rows.values().cloned().collect()
    }

    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.state.lock().unwrap().leases.values().cloned().collect()
    }

    pub(crate) fn settles(&self) -> usize {
        self.state.lock().unwrap().settles
    }

    /// The error type of each row; `ok` for a success.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let outcome = |row: UsageRow| {
            assert_eq!(row.success, row.error_type.is_none());
            row.error_type.unwrap_or_else(|| "ok".to_owned())
        };
        self.rows().into_iter().map(outcome).collect()
    }

    async fn ready(&self, end: bool) -> Result<()> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let settling_fails = end && self.settling_fails.load(Ordering::SeqCst);
        if self.unavailable.load(Ordering::SeqCst) || settling_fails {
            return Err(Error::unavailable("the database is unavailable"));
        }
        Ok(())
    }
}

#[async_trait]
impl UsageCounter for Naive {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.ready(false).await?;
        let verdict = {
            let mut state = self.state.lock().unwrap();
            let verdict = admit(&caps.lines(&state.day_use(lease.day), &lease.totals()));
            if matches!(verdict, Admission::Admitted { .. }) {
                state.leases.insert(lease.id, lease.clone());
            }
            verdict
        };
        let takes = *self.reserving.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        Ok(verdict)
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.ready(true).await?;
        let mut state = self.state.lock().unwrap();
        state.settles += 1;
        state.leases.remove(&row.id);
        let expired = |row: &UsageRow| row.error_type.as_deref() == Some("lease_expired");
        if state.rows.get(&row.id).is_none_or(expired) {
            state.rows.insert(row.id, row.clone());
        }
        Ok(())
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.ready(true).await?;
        self.state.lock().unwrap().leases.remove(&lease_id);
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        let mut state = self.state.lock().unwrap();
        let due: Vec<Lease> =
            state.leases.values().filter(|lease| lease.expires_at < now).cloned().collect();
        for lease in &due {
            state.leases.remove(&lease.id);
            state.rows.insert(lease.id, lease.expired(now));
        }
        Ok(due.len() as u64)
    }

    async fn budget_uses(&self, _: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        Ok(BTreeMap::new())
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        Ok(self.state.lock().unwrap().day_use(day))
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("naive")
    }
}

pub(crate) type Asked = Result<ChatResponse, LlmError>;
type Act = dyn Fn(usize, ChatRequest) -> BoxFuture<'static, Asked> + Send + Sync;

/// A provider controlled by the test; `act` receives the number of earlier calls.
pub(crate) struct Fake {
    name: &'static str,
    act: Box<Act>,
    asked: Mutex<Vec<ChatRequest>>,
}

impl Fake {
    pub(crate) fn new<F>(
        name: &'static str,
        act: impl Fn(usize, ChatRequest) -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Asked> + Send + 'static,
    {
        let act = Box::new(move |n, request| act(n, request).boxed());
        Arc::new(Self { name, act, asked: Mutex::default() })
    }

    /// A provider that returns the nth outcome of a list to the nth call, and the last one afterwards.
    pub(crate) fn listed(name: &'static str, outcomes: Vec<Asked>) -> Arc<Self> {
        Self::new(name, move |n, _| std::future::ready(outcomes[n.min(outcomes.len() - 1)].clone()))
    }

    pub(crate) fn asked(&self) -> Vec<ChatRequest> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl LlmProvider for Fake {
    fn name(&self) -> &str {
        self.name
    }

    async fn chat(&self, request: &ChatRequest) -> Asked {
        let acting = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(request.clone());
            (self.act)(asked.len() - 1, request.clone())
        };
        acting.await
    }
}

/// A response with the given token counts.
pub(crate) fn answer(input: i64, output: i64) -> ChatResponse {
    ChatResponse {
        model: "m-resolved".to_owned(),
        text: "hello".to_owned(),
        tokens: Tokens { input, cached_input: 0, output },
        usage_reported: true,
        ..ChatResponse::default()
    }
}

/// One USD per million input tokens, two per million output tokens: 1,000 and 2,000 nano-dollars a
/// token. `cheap` costs a tenth.
pub(crate) fn book() -> Arc<PriceBook> {
    let row = |provider: &str, model: &str, input: &str, output: &str| {
        format!(
            r#"{{"provider": "{provider}", "model": "{model}", "input": "{input}", "output": "{output}"}}"#
        )
    };
    let mut rows = Vec::new();
    for provider in ["openrouter", "groq", "gemini", "mistral"] {
        rows.push(row(provider, "m", "1", "2"));
        rows.push(row(provider, "cheap", "0.1", "0.2"));
    }
    let rows = rows.join(",");
    let text = format!(r#"{{"source": "a test", "retrieved": "2026-11-23", "prices": [{rows}]}}"#);
    Arc::new(PriceBook::from_json(&text).unwrap())
}

pub(crate) fn request() -> ChatRequest {
    ChatRequest {
        model: String::new(),
        system: "you are a villager".to_owned(),
        prompt: "what now?".to_owned(),
        max_tokens: 100,
        temperature: 0.7,
    }
}

/// What [`request`] costs at most on a route to `m`: 27 bytes, 64 tokens of template, 100 out.
pub(crate) const BOUND: i64 = (27 + 64) * 1_000 + 100 * 2_000;

pub(crate) fn settings(overrides: &[(&str, Value)]) -> Arc<Effective> {
    let overrides: Overrides =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Arc::new(Effective::of(&Registry::builtin(), &overrides))
}

/// A call of agent 3 of run `r`.
pub(crate) fn context(overrides: &[(&str, Value)]) -> CallContext {
    CallContext::new(settings(overrides)).for_run("r").for_agent(3, Some(7))
}

pub(crate) fn builder(counter: &Arc<Naive>) -> RouterBuilder {
    Router::builder(Arc::clone(counter) as _, book(), Arc::new(ManualClock::default()))
}

/// A router with one route to `m` for each provider.
pub(crate) fn router(counter: &Arc<Naive>, providers: &[&Arc<Fake>]) -> Router {
    let add = |builder: RouterBuilder, provider: &&Arc<Fake>| {
        let limits = Limits { concurrency: 64, per_minute: None };
        builder.provider(Arc::clone(*provider) as _, limits).route(provider.name(), "m")
    };
    providers.iter().fold(builder(counter), add).build().unwrap()
}
