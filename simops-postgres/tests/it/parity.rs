//! One random history, replayed on memory, SQLite and Postgres: every answer is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};
use simops::clock::day_of;
use simops::control::{AuditRow, Change, ControlState, HostReport, HostState};
use simops::event::{NewEvent, RuntimeMode};
use simops::run::{EndedBy, Labels, RunClass, RunLimits, RunMode, RunRecord};
use simops::settings::key;
use simops::store::{
    ActivityScope, EventFilter, IDEMPOTENCY_PERIOD, IdempotencyKey, IdempotencyRecord, RunFilter,
    RunStore, TurnCommit, UsageFilter,
};
use simops::testing::MemoryStore;
use simops::usage::{Allotment, Caps, CounterBackend, CounterClient, Lease, NanoUsd, UsageRow};
use simops_postgres::PostgresStore;
use simops_sqlite::SqliteStore;
use simops_tests::postgres::PostgresServer;
use uuid::Uuid;

const STEPS: usize = 400;
const SEEDS: std::ops::Range<u64> = 1..5;

/// Chance that every run has the same of.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()].clone()
    }

    fn id(&mut self) -> Uuid {
        // Few, so that ids meet again.
        Uuid::from_u128(0xA000 + u128::from(self.below(60)))
    }

    fn time(&mut self) -> Timestamp {
        let start = Timestamp::from_second(1_767_225_600).unwrap();
        // Around midnight, so that days meet.
        start
            + SignedDuration::from_millis(i64::try_from(self.below(7_200_000)).unwrap() - 3_600_000)
    }

    fn run_id(&mut self) -> Option<String> {
        self.of(&[None, Some("one".to_owned()), Some("two".to_owned()), Some("Ünï".to_owned())])
    }

    fn amount(&mut self) -> i64 {
        self.of(&[0, 1, 7_000, 123_456_789, i64::MAX / 10_000])
    }

    /// Of which call an id is: its day, run and provider, the same whenever they meet.
    fn call(&mut self, ids: u128) -> (Uuid, Timestamp, Option<String>, &'static str) {
        let id = ids + u128::from(self.below(40));
        let mut of_id = Chance(u64::try_from(id).unwrap());
        let (at, run_id) = (of_id.time(), of_id.run_id());
        (Uuid::from_u128(id), at, run_id, of_id.of(&["groq", "gemini", "openrouter", "local"]))
    }

    /// A row; of a call that had a lease if it is settled.
    fn row(&mut self, settled: bool) -> UsageRow {
        let (id, at, run_id, provider) = self.call(if settled { 0xB000 } else { 0xC000 });
        let created_at = self.time();
        let success = self.below(3) > 0;
        UsageRow {
            id,
            day: day_of(at),
            run_id,
            agent_id: self.of(&[None, Some((-1).into()), Some(7.into()), Some("Ann".into())]),
            checkpoint: None,
            provider: provider.to_owned(),
            model_requested: self.of(&["m", "x/y:free", "a%:free"]).to_owned(),
            model_resolved: self.of(&[None, Some("m-1".to_owned())]),
            input_tokens: self.amount(),
            cached_input_tokens: 1,
            output_tokens: self.amount(),
            reasoning_tokens: 0,
            cost: NanoUsd(self.amount()),
            priced: self.below(4) > 0,
            success,
            sent: true,
            over_reservation: false,
            fallback_used: self.below(4) == 0,
            latency_ms: 5,
            error_type: (!success).then(|| self.of(&["timeout", "lease_expired"]).to_owned()),
            created_at,
        }
    }

    fn lease(&mut self) -> Lease {
        let (id, created_at, run_id, provider) = self.call(0xB000);
        Lease {
            id,
            day: day_of(created_at),
            run_id,
            agent_id: None,
            checkpoint: Some(2),
            provider: provider.to_owned(),
            model: self.of(&["m", "x:free"]).to_owned(),
            upper_bound: NanoUsd(self.amount()),
            priced: true,
            created_at,
            expires_at: created_at + 60.seconds(),
            input_tokens: 10,
            output_tokens: 5,
        }
    }

    fn caps(&mut self) -> Caps {
        Caps {
            soft: self.of(&[None, Some(NanoUsd(9_000))]),
            hard: self.of(&[None, Some(NanoUsd(i64::MAX / 900))]),
            total: self.of(&[None, Some(5), Some(40)]),
            groq: self.of(&[None, Some(3)]),
            ..Caps::default()
        }
    }

    fn event(&mut self) -> NewEvent {
        let mut event =
            NewEvent::new(self.of(&["work", "vote", "Zeit", "é"]), "outcome", self.time())
                .in_run(self.run_id().as_deref())
                .with("n", self.amount());
        event.uid = self.id();
        if self.below(2) == 0 {
            let agent = self.amount();
            return match self.below(2) {
                0 => event.of_agent(agent),
                _ => event.of_agent(self.of(&["Bo", "a", "Zoë", "ä"])),
            };
        }
        event.as_action(RuntimeMode::DeterministicFallback)
    }

    fn host(&mut self) -> HostReport {
        HostReport {
            id: self.of(&["b", "a", "Z", "ä"]).to_owned(),
            version: "1".to_owned(),
            last_seen: self.time(),
            generation: self.below(4),
            state: self.of(&[HostState::Idle, HostState::Running, HostState::Paused]),
            in_flight_calls: 3,
            kind: "commons".to_owned(),
            world: self.of(&[None, Some("main".to_owned())]),
            run_id: self.of(&[None, Some("run-1".to_owned())]),
        }
    }

    fn change(&mut self, state: &ControlState) -> Change {
        let at = self.time();
        let row = AuditRow {
            id: 0,
            key: self.of(&[key::AGENT_LOOP_DELAY_SECONDS, key::PAUSED]).to_owned(),
            run_id: self.of(&[None, Some("run-1".to_owned())]),
            old_value: json!(null),
            new_value: self.of(&[json!(0.1 + 0.2), json!("x"), json!({"a": [1, 2.0]})]),
            changed_by: "ada".to_owned(),
            environment: "development".to_owned(),
            reason: self.of(&[None, Some("because".to_owned())]),
            created_at: at,
            hash: String::new(),
        }
        .chained(&state.audit_head);
        let mut next = ControlState {
            generation: state.generation + 1,
            audit_head: row.head(),
            ..state.clone()
        };
        next.overrides.insert(row.key.clone(), row.new_value.clone());
        if self.below(3) == 0 {
            let world = self.of(&["main", "other"]).to_owned();
            next.worlds.insert(world, i64::try_from(self.below(8)).unwrap());
        }
        let mut runs: Vec<_> = (0..self.below(3)).map(|_| self.run(state)).collect();
        runs.dedup_by(|a, b| a.run_id == b.run_id);
        if let Some(run) = runs.first() {
            next.overrides.insert(key::RUN_ID.to_owned(), run.run_id.clone().into());
        }
        // Now and then it was decided on something older.
        let expected_generation = state.generation.saturating_sub(u64::from(self.below(5) == 0));
        let (audit, events) = (vec![row], vec![self.event()]);
        Change { expected_generation, next, runs, audit, events, ..Change::default() }
    }

    fn run(&mut self, state: &ControlState) -> RunRecord {
        let (at, number) = (self.time(), self.below(6));
        let run = RunRecord {
            run_id: format!("run-{number}"),
            mode: self.of(&[RunMode::Test, RunMode::Real]),
            protocol_version: "protocol_v1".to_owned(),
            condition_name: self.of(&[None, Some("c".to_owned())]),
            hypothesis_id: None,
            season_id: None,
            season_number: self.of(&[None, Some(3)]),
            parent_run_id: None,
            group_id: None,
            labels: Labels::new(),
            transfer_policy_version: None,
            epoch_id: None,
            run_class: RunClass::Deep96h,
            mirror_control_run_id: self.of(&[None, Some("m".to_owned())]),
            carryover_agent_count: self.of(&[None, Some(3)]),
            fresh_agent_count: None,
            protocol_deviation: self.of(&[true, false]),
            deviation_reason: None,
            world_epoch: state.world_epoch(),
            started_at: at,
            started_by: "ada".to_owned(),
            start_reason: None,
            ended_at: None,
            end_reason: None,
            ended_by: None,
            host: self.of(&[None, Some("commons".to_owned())]),
            // The world of a run never changes.
            world: [None, Some("main"), Some("other")][usize::try_from(number % 3).unwrap()]
                .map(str::to_owned),
            paused: self.of(&[true, false]),
            gate_generation: self.below(4),
            open_since: self.of(&[None, Some(at)]),
            open_before_ms: self.amount(),
            limits: self
                .of(&[None, Some(RunLimits { max_calls: Some(3), ..RunLimits::default() })]),
            limit_reached: self.of(&[None, Some("max_calls".to_owned())]),
        };
        if self.below(3) == 0 {
            return run;
        }
        run.ended(at, self.of(&[EndedBy::Operator, EndedBy::Guardrail]), "over")
    }
}

/// What a step answers, without what a store may choose: numbers of events and of ledger places.
async fn step(store: &dyn RunStore, number: usize, chance: &mut Chance) -> Value {
    fn outcome<T: std::fmt::Debug>(answer: simops::Result<T>) -> Value {
        match answer {
            Ok(value) => json!(format!("{value:?}")),
            Err(error) => json!({ "refused": format!("{:?}", error.kind()) }),
        }
    }
    match number {
        0 | 1 => {
            let change = chance.change(&store.load().await.unwrap());
            let key = format!("key {}", chance.below(40));
            let answer = IdempotencyRecord {
                fingerprint: "f".to_owned(),
                answer: json!({"n": chance.amount()}),
                created_at: chance.time(),
            };
            let key = IdempotencyKey { key, fingerprint: "f".to_owned() };
            match chance.below(3) {
                0 => outcome(store.commit(&change, None).await),
                1 => outcome(store.commit(&change, Some((&key, &answer))).await),
                _ => outcome(store.save_idempotency(&key, &answer).await),
            }
        }
        2 => {
            let events: Vec<_> = (0..chance.below(5)).map(|_| chance.event()).collect();
            outcome(store.append(&events).await)
        }
        3 => {
            let rows: Vec<_> = (0..chance.below(4)).map(|_| chance.row(false)).collect();
            outcome(store.record_usage(&rows).await)
        }
        4 | 5 => outcome(store.reserve(&chance.lease(), &chance.caps()).await),
        6 => outcome(store.settle(&chance.row(true)).await),
        7 => outcome(store.release(chance.call(0xB000).0).await),
        8 => outcome(store.expire(chance.time()).await),
        9 => outcome(store.report(&chance.host()).await),
        10 => match chance.below(3) {
            0 => outcome(store.leave(&chance.host().id).await),
            1 => outcome(store.delete_hosts(chance.time() - 50.minutes()).await),
            _ => {
                let now = chance.time() + IDEMPOTENCY_PERIOD - 50.minutes();
                outcome(store.delete_expired_idempotency(now, 1_000).await)
            }
        },
        11 => outcome(store.request_epoch(chance.of(&["main", "other"]), chance.time()).await),
        12 => {
            let epoch = i64::try_from(chance.below(8)).unwrap();
            let documents = BTreeMap::from([(
                chance.of(&["a", "b"]).to_owned(),
                chance.of(&[json!(null), json!({"f": 1e300}), json!([1, 2, 3])]),
            )]);
            match chance.below(4) {
                0 => outcome(store.claim_epoch(epoch, "h").await),
                1 => outcome(store.finish_epoch(epoch, &documents, &json!({"ok": 1})).await),
                2 => outcome(store.fail_epoch(epoch, "no").await),
                _ => outcome(
                    store.delete_epochs(chance.of(&["main", "other"]), chance.time(), 2).await,
                ),
            }
        }
        13 => {
            let state = store.load().await.unwrap();
            let epoch = state.world_epoch().unwrap_or(1);
            let turn = TurnCommit {
                run_id: format!("run-{}", chance.below(6)),
                generation: state.generation.saturating_sub(chance.below(3)),
                epoch,
                expected_version: store.world(epoch).await.unwrap().version,
                documents: BTreeMap::from([("t".to_owned(), chance.of(&[json!(1), json!(null)]))]),
                events: vec![chance.event()],
            };
            outcome(store.commit_turn(&turn).await)
        }
        14 => {
            let fence = store.counter_epoch().await.unwrap();
            let to = fence.next(
                chance.of(&[
                    CounterBackend::Database,
                    CounterBackend::Database,
                    CounterBackend::Redis,
                ]),
                chance.time(),
            );
            outcome(store.advance_counter_epoch(chance.below(4), &to).await)
        }
        _ => {
            let member = CounterClient {
                id: chance.id(),
                generation: chance.below(3),
                allotment: Allotment::of(&chance.lease()),
                sequence: chance.below(9),
                until: chance.time(),
            };
            let open: Vec<_> = (0..chance.below(3)).map(|_| chance.lease()).collect();
            let confirmed = store.heartbeat(&member, &open).await;
            outcome(confirmed.map(|fence| (fence.generation, fence.backend)))
        }
    }
}

/// Everything that can be read.
async fn everything(store: &dyn RunStore) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: String| seen.push(what);
    see(format!("{:?}", store.load().await.unwrap()));
    for number in 0..6 {
        see(format!("{:?}", store.run(&format!("run-{number}")).await.unwrap()));
        see(format!("{:?}", store.epoch(number).await.unwrap()));
        see(format!("{:?}", store.world(number).await.unwrap()));
    }
    see(format!("{:?}", store.runs(&RunFilter::page(None, 100)).await.unwrap().items));
    see(format!("{:?}", store.audit(5, 2).await.unwrap()));
    see(format!("{:?}", store.audit_after(3, 4).await.unwrap()));
    for number in 0..40 {
        see(format!("{:?}", store.idempotency_record(&format!("key {number}")).await.unwrap()));
    }
    for event_type in [None, Some("vote".to_owned())] {
        let filter = EventFilter { event_type, limit: 1_000, ..EventFilter::default() };
        let mut events = store.events(&filter).await.unwrap().items;
        events.iter_mut().for_each(|event| event.id = 0);
        see(format!("{events:?}"));
    }
    let (early, day) = (Timestamp::from_second(1_767_225_600).unwrap(), 24.hours());
    for scope in [ActivityScope::Run("one".to_owned()), ActivityScope::Since(early)] {
        see(format!("{:?}", store.count_events(&scope).await.unwrap()));
        see(format!("{:?}", store.llm_totals(&scope).await.unwrap()));
    }
    see(format!("{:?}", store.hosts(early - day).await.unwrap()));
    for at in [early - 1.second(), early] {
        see(format!("{:?}", store.day_use(day_of(at)).await.unwrap()));
    }
    see(format!("{:?}", store.failure_window("one", early).await.unwrap()));
    let step = SignedDuration::from_mins(7);
    see(format!("{:?}", store.usage_series(None, early, step).await.unwrap()));
    see(format!("{:?}", store.usage_series(Some("one"), early - day, step).await.unwrap()));
    for run_id in [None, Some("two".to_owned())] {
        let filter = UsageFilter { run_id, ..UsageFilter::default() };
        let mut rows = store.usage_rows(&filter, 1_000).await.unwrap().items;
        // Leases that expire together become rows in no particular order.
        rows.sort_by_key(|row| row.id);
        see(format!("{rows:?}"));
    }
    see(format!("{:?}", store.open_leases().await.unwrap()));
    see(format!("{:?}", store.counter_clients().await.unwrap()));
    see(format!("{:?}", store.requested_epochs("main", early - day).await.unwrap()));
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_random_history_gives_the_same_answers_on_every_store() {
    for seed in SEEDS {
        let database = PostgresServer::shared().database();
        let stores: [(&str, Arc<dyn RunStore>); 3] = [
            ("memory", Arc::new(MemoryStore::new())),
            ("sqlite", Arc::new(SqliteStore::open("sqlite::memory:").await.unwrap())),
            ("postgres", Arc::new(PostgresStore::open(&database.url()).await.unwrap())),
        ];
        let mut chance = Chance(seed);
        for number in 0..STEPS {
            let (kind, before) = (usize::try_from(chance.below(16)).unwrap(), chance.0);
            let mut answers = Vec::new();
            for (_, store) in &stores {
                chance.0 = before;
                answers.push(step(&**store, kind, &mut chance).await);
            }
            for (answer, (name, _)) in answers.iter().zip(&stores) {
                assert_eq!(
                    answer, &answers[0],
                    "{name}: step {number} of kind {kind}, seed {seed}"
                );
            }
        }
        let reference = everything(&*stores[0].1).await;
        for (name, store) in &stores[1..] {
            for (seen, expected) in everything(&**store).await.iter().zip(&reference) {
                let same = seen.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
                let part = |text: &str| {
                    text.chars().skip(same.saturating_sub(200)).take(400).collect::<String>()
                };
                assert_eq!(part(seen), part(expected), "{name}, seed {seed}");
                assert_eq!(seen.len(), expected.len(), "{name}, seed {seed}");
            }
        }
    }
}
