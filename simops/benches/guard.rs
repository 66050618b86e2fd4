//! What the guard around a model call costs: reserve, attempt, book, with a scripted provider and a
//! counter that does nothing. In the same run, the provider alone.
//!
//! `cargo bench -p simops --bench guard`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use simops::llm::{
    CallContext, ChatRequest, Limits, LlmProvider, Router, RouterOptions, ScriptedProvider,
};
use simops::settings::{Effective, Overrides, Registry};
use simops::usage::{
    Admission, BudgetUse, Caps, CounterStatus, DayUse, Lease, PriceBook, UsageCounter, UsageRow,
    UseKey,
};
use simops::{Result, SystemClock, async_trait};
use uuid::Uuid;

const CALLS: usize = 50_000;
const WARM_UP: usize = 5_000;

struct NoOp;

#[async_trait]
impl UsageCounter for NoOp {
    async fn reserve(&self, _: &Lease, _: &Caps) -> Result<Admission> {
        Ok(Admission::Admitted { degraded: false })
    }
    async fn settle(&self, _: &UsageRow) -> Result<()> {
        Ok(())
    }
    async fn release(&self, _: Uuid) -> Result<()> {
        Ok(())
    }
    async fn expire(&self, _: Timestamp) -> Result<u64> {
        Ok(0)
    }
    async fn day_use(&self, _: Date) -> Result<DayUse> {
        Ok(DayUse::default())
    }
    async fn budget_uses(&self, _: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        Ok(BTreeMap::new())
    }
    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("no-op")
    }
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took[took.len() * share / 1000].as_nanos() as f64 / 1e3;
    println!("{what:<22} p50 {:>8.2} µs   p99 {:>8.2} µs", at(500), at(990));
}

async fn measure<F: Future<Output = ()>>(what: &str, call: impl Fn() -> F) {
    let mut took = Vec::with_capacity(CALLS);
    for n in 0..WARM_UP + CALLS {
        let began = Instant::now();
        call().await;
        if n >= WARM_UP {
            took.push(began.elapsed());
        }
    }
    report(what, took);
}

async fn all() {
    let script = || ScriptedProvider::new(|_| Ok("work".to_owned())).named("groq");
    let model = "llama-3.1-8b-instant";
    let prices = Arc::new(PriceBook::shipped().unwrap());
    let router = Router::builder(Arc::new(NoOp), prices, Arc::new(SystemClock))
        .options(RouterOptions::default())
        .provider(Arc::new(script()), Limits::default())
        .route("groq", model)
        .build()
        .unwrap();
    let settings = Arc::new(Effective::of(&Registry::builtin(), &Overrides::new()));
    let context = CallContext::new(settings).for_run("bench").for_agent(1, Some(1));
    let request = ChatRequest {
        model: model.to_owned(),
        system: "You are a villager. Answer with one action as JSON.".repeat(4),
        prompt: "It is day 3. You have 4 food, 2 energy and 7 materials.".repeat(20),
        max_tokens: 350,
        temperature: 0.7,
    };
    let provider = script();
    measure("provider alone", || async {
        provider.chat(&request).await.unwrap();
    })
    .await;
    measure("through the router", || async {
        router.chat(&context, &request).await.unwrap();
    })
    .await;
}

fn main() {
    for threads in [1, 2] {
        println!("{threads} worker thread(s)");
        let runtime = match threads {
            1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            _ => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        };
        runtime.unwrap().block_on(all());
    }
}
