//! Any sequence of commands keeps registry, settings, audit and events in agreement.

use std::collections::BTreeMap;

use crate::ErrorKind;
use crate::control::decide::Start;
use crate::control::limits::LimitChange;
use crate::control::presence::HostOfRun;
use crate::control::{
    AuditRow, Change, Command, Context, ControlState, Environment, HostReport, HostState, RunState,
    Target, audit, decide, presence,
};
use crate::run::{EndedBy, RunGate, RunMode, RunRecord, RunUse, StartRun};
use crate::settings::{Overrides, Registry, key};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A store so naive that it cannot be wrong: what a commit leaves behind.
struct Model {
    registry: Registry,
    environment: Environment,
    now: Timestamp,
    state: ControlState,
    runs: BTreeMap<String, RunRecord>,
    trail: Vec<AuditRow>,
    next_epoch: i64,
    /// The calls of each run.
    calls: BTreeMap<String, i64>,
}

#[derive(Debug, Clone)]
enum Step {
    Start {
        real: bool,
        name: Option<u8>,
        season: i64,
        parent: Option<u8>,
        reset: bool,
        world: Option<u8>,
    },
    /// Of the run of that number, or of the current one.
    Stop(Option<u8>, bool),
    Pause(Option<u8>),
    Resume(Option<u8>),
    StopAll,
    PauseAll,
    /// A call of the run.
    Call(u8),
    Limits {
        run: Option<u8>,
        max_calls: Option<i64>,
        stop: bool,
        resume: bool,
        force: bool,
    },
    /// Someone looks whether the run has reached a limit.
    CheckLimits(u8),
    Degrade(bool),
    SetMode(bool),
    Patch(Vec<(usize, Value)>),
    Reset(u8),
    Guardrail(Option<u8>),
}

/// One of three worlds.
fn world(number: u8) -> String {
    ["main", "b", "c"][usize::from(number % 3)].to_owned()
}

const PATCHED: [&str; 8] = [
    key::RUN_MODE,
    key::RUN_ID,
    key::CONDITION_NAME,
    key::SEASON_NUMBER,
    key::ACTIVE,
    key::PAUSED,
    key::BUDGET_HARD,
    key::AGENT_LOOP_DELAY_SECONDS,
];

impl Model {
    fn new(environment: Environment) -> Self {
        Self {
            registry: Registry::builtin(),
            environment,
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            state: ControlState::default(),
            runs: BTreeMap::new(),
            trail: Vec::new(),
            next_epoch: 1,
            calls: BTreeMap::new(),
        }
    }

    /// The run of that number; `None` when there is none.
    fn target(&self, number: Option<u8>) -> Option<Target> {
        let Some(number) = number else { return Some(Target::Current) };
        let run = self.runs.get(&format!("run-{number}"))?;
        Some(Target::Named(Box::new(run.clone())))
    }

    fn used(&self, run: Option<&RunRecord>) -> RunUse {
        let calls = run.and_then(|run| self.calls.get(&run.run_id)).copied();
        RunUse { calls: calls.unwrap_or_default(), ..RunUse::default() }
    }

    fn command(&mut self, step: &Step) -> Option<Command> {
        let mode = |real| if real { RunMode::Real } else { RunMode::Test };
        Some(match step {
            Step::Start { real, name, season, parent, reset, world: number } => {
                let request = StartRun {
                    mode: Some(mode(*real).as_str().to_owned()),
                    run_id: name.map(|n| format!("run-{n}")),
                    condition_name: name.map(|n| format!("condition-{n}")),
                    season_number: Some(*season),
                    parent_run_id: parent.map(|n| format!("run-{n}")),
                    reset_world: Some(*reset),
                    ..StartRun::default()
                };
                let plan = request.plan().ok()?;
                let run_id =
                    plan.run_id.clone().unwrap_or_else(|| format!("auto-{}", self.runs.len()));
                let known = |id: &str| self.runs.contains_key(id);
                self.next_epoch += 1;
                Command::Start(Box::new(Start {
                    taken: known(&run_id),
                    run_id,
                    host: HostOfRun { host: None, world: number.map(world) },
                    missing_runs: plan
                        .run
                        .parent_run_id
                        .iter()
                        .filter(|id| !known(id))
                        .cloned()
                        .collect(),
                    new_epoch: plan.reset_world.then_some(self.next_epoch),
                    plan,
                }))
            }
            Step::Stop(run, clear) => {
                Command::Stop { target: self.target(*run)?, clear_run_id: *clear }
            }
            Step::Pause(run) => Command::Pause(self.target(*run)?),
            Step::Resume(run) => {
                let target = self.target(*run)?;
                Command::Resume { used: self.used(target.run(&self.state)), target }
            }
            Step::Call(number) => {
                *self.calls.entry(format!("run-{number}")).or_default() += 1;
                return None;
            }
            Step::Limits { run, max_calls, stop, resume, force } => {
                let target = self.target(*run)?;
                let at_limit = if *stop { "stop" } else { "pause" };
                let limits = json!({ "max_calls": max_calls, "at_limit": at_limit });
                let limits = limits.as_object().unwrap().clone();
                let change = LimitChange { limits, resume: *resume, force: *force };
                Command::SetLimits { used: self.used(target.run(&self.state)), target, change }
            }
            Step::CheckLimits(number) => {
                let run_id = format!("run-{number}");
                let used = self.used(self.runs.get(&run_id));
                Command::LimitReached { run_id, used }
            }
            Step::StopAll => Command::StopAll,
            Step::PauseAll => Command::PauseAll,
            Step::Degrade(on) => Command::Degrade(*on),
            Step::SetMode(real) => Command::SetMode(mode(*real)),
            Step::Patch(updates) => {
                let updates: Overrides = updates
                    .iter()
                    .map(|(n, value)| (PATCHED[*n].to_owned(), value.clone()))
                    .collect();
                crate::settings::validate::check_updates(&self.registry, &updates).ok()?;
                Command::Patch(updates)
            }
            Step::Reset(number) => {
                self.next_epoch += 1;
                Command::ResetWorld { world: world(*number), epoch: self.next_epoch }
            }
            Step::Guardrail(number) => Command::GuardrailStop {
                run_id: match number {
                    Some(number) => format!("run-{number}"),
                    None => self.state.run.as_ref()?.run_id.clone(),
                },
                reason: "hard_budget_exceeded".to_owned(),
                details: Map::new(),
            },
        })
    }

    fn decide(&self, command: &Command) -> crate::Result<Change> {
        let context = Context {
            registry: &self.registry,
            environment: self.environment,
            actor: "operator",
            reason: Some("because"),
            now: self.now,
        };
        decide(&self.state, command, &context)
    }

    /// Applies a step and checks every promise that one commit makes.
    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        let Some(command) = self.command(step) else { return Ok(()) };
        let change = match self.decide(&command) {
            Ok(change) => change,
            Err(error) => {
                let safe = matches!(
                    command,
                    Command::Pause(_)
                        | Command::PauseAll
                        | Command::Stop { .. }
                        | Command::StopAll
                        | Command::Degrade(_)
                );
                prop_assert!(!safe, "the safe side refused: {error}");
                prop_assert!(!error.detail().is_empty());
                return Ok(());
            }
        };
        self.check(&change)?;
        for run in &change.runs {
            self.runs.insert(run.run_id.clone(), run.clone());
        }
        self.check_bystanders(&command, &change)?;
        self.check_limits(&command, &change)?;
        self.trail.extend(change.audit.clone());
        self.state = change.next;
        self.check_agreement()
    }

    fn check(&self, change: &Change) -> Result<(), TestCaseError> {
        let (before, after) =
            (self.state.effective(&self.registry), change.next.effective(&self.registry));
        prop_assert_eq!(change.expected_generation, self.state.generation);
        if change.is_empty() {
            prop_assert_eq!(&change.next, &self.state);
            prop_assert!(
                change.audit.is_empty() && change.events.is_empty() && change.runs.is_empty()
            );
            return Ok(());
        }
        prop_assert_eq!(change.next.generation, self.state.generation + 1);
        prop_assert!(!change.events.is_empty(), "a change without an event");

        // Every changed value has its row, and nothing else has one.
        let current = change.next.run.as_ref().or(self.state.run.as_ref());
        let current = current.map(|run| run.run_id.clone());
        let mut expected: BTreeMap<(String, Option<String>), (Value, Value)> = after
            .values()
            .iter()
            .filter(|(key, value)| before.get(key) != *value)
            .map(|(name, value)| {
                let run = current.clone().filter(|_| key::RUN_STATE.contains(&name.as_str()));
                ((name.clone(), run), (before.get(name).clone(), value.clone()))
            })
            .collect();
        for (world, epoch) in &change.next.worlds {
            let old = self.state.worlds.get(world);
            let suffix = if world == "main" { String::new() } else { format!(":{world}") };
            if old != Some(epoch) {
                let values = (json!(old), json!(epoch));
                expected.insert((format!("WORLD_EPOCH{suffix}"), None), values);
            }
        }
        for run in change.runs.iter().filter(|run| Some(&run.run_id) != current.as_ref()) {
            let old = self.runs.get(&run.run_id);
            let shown = |run: &RunRecord| (run.is_open(), run.paused || !run.is_open());
            let (was, is) = (old.map(shown), shown(run));
            let values = [
                (key::ACTIVE, json!(was.map(|was| was.0)), json!(is.0)),
                (key::PAUSED, json!(was.map(|was| was.1)), json!(is.1)),
            ];
            for (name, old, new) in values.into_iter().filter(|(_, old, new)| old != new) {
                expected.insert((name.to_owned(), Some(run.run_id.clone())), (old, new));
            }
        }
        for run in &change.runs {
            let old = self.runs.get(&run.run_id).and_then(|old| old.limits);
            if old != run.limits {
                let values = (json!(old), json!(run.limits));
                expected.insert(("RUN_LIMITS".to_owned(), Some(run.run_id.clone())), values);
            }
        }
        let rows: BTreeMap<_, _> = change
            .audit
            .iter()
            .map(|row| {
                let values = (row.old_value.clone(), row.new_value.clone());
                ((row.key.clone(), row.run_id.clone()), values)
            })
            .collect();
        prop_assert_eq!(rows.len(), change.audit.len());
        prop_assert_eq!(rows, expected);

        for run in &change.runs {
            // A gate that moved is fenced, and no other one.
            let old = self.runs.get(&run.run_id);
            let moved = old.is_none_or(|old| old.gate() != run.gate());
            let fence = if moved { change.next.generation } else { old.unwrap().gate_generation };
            prop_assert_eq!(run.gate_generation, fence);
            prop_assert_eq!(run.open_since.is_some(), run.gate() == RunGate::Open);
            // Records are never overwritten, but for a guardrail's end that is taken back.
            let Some(old) = old else { continue };
            prop_assert!(run.active_time(self.now) >= old.active_time(self.now));
            prop_assert_eq!(&run.started_at, &old.started_at);
            if !old.is_open() {
                prop_assert_eq!(old.ended_by, Some(EndedBy::Guardrail));
                prop_assert!(run.is_open());
                let recorded = change.events.iter().any(|event| {
                    event.metadata.get("previous_end").is_some_and(|end| {
                        end["end_reason"] == json!(old.end_reason)
                            && end["ended_at"] == json!(old.ended_at)
                    })
                });
                prop_assert!(recorded, "when and why it had ended was lost");
            }
        }
        Ok(())
    }

    /// A command for one run changes no other one, except that a reset ends the run of its world.
    fn check_bystanders(&self, command: &Command, change: &Change) -> Result<(), TestCaseError> {
        let changed: Vec<_> = change.runs.iter().map(|run| run.run_id.as_str()).collect();
        let current = self.state.run.as_ref().map(|run| run.run_id.as_str());
        let meant = match command {
            Command::Stop { target, .. }
            | Command::Pause(target)
            | Command::Resume { target, .. }
            | Command::SetLimits { target, .. } => match target {
                Target::Current => current,
                Target::Named(run) => Some(run.run_id.as_str()),
            },
            Command::GuardrailStop { run_id, .. } | Command::LimitReached { run_id, .. } => {
                Some(run_id.as_str())
            }
            Command::Start(start) => Some(start.run_id.as_str()),
            Command::Patch(_) => current,
            Command::ResetWorld { world, .. } => {
                self.state.run_in_world(world).map(|run| run.run_id.as_str())
            }
            Command::StopAll | Command::PauseAll => return Ok(()),
            _ => None,
        };
        prop_assert!(
            changed.iter().all(|run_id| Some(*run_id) == meant),
            "{command:?}: {changed:?}"
        );
        Ok(())
    }

    /// A run that has reached a limit stands still once that is seen, and goes on only by force or after
    /// the limit was raised.
    fn check_limits(&self, command: &Command, change: &Change) -> Result<(), TestCaseError> {
        let forced = matches!(command, Command::SetLimits { change, .. } if change.force);
        for run in change.runs.iter().filter(|run| run.gate() == RunGate::Open && !forced) {
            let has_reached = run.reached_limit(&self.used(Some(run))).is_some();
            let goes_on = matches!(command, Command::Resume { .. } | Command::SetLimits { .. });
            prop_assert!(!(has_reached && goes_on), "{command:?}: {run:?}");
        }
        if let Command::LimitReached { run_id, used } = command
            && let Some(run) = change.next.known_run(run_id)
        {
            prop_assert!(run.gate() != RunGate::Open || run.reached_limit(used).is_none());
        }
        Ok(())
    }

    fn check_agreement(&self) -> Result<(), TestCaseError> {
        let open: Vec<_> = self.runs.values().filter(|run| run.is_open()).collect();
        let mut worlds: Vec<_> = open.iter().filter_map(|run| run.world.as_ref()).collect();
        worlds.sort_unstable();
        prop_assert!(
            worlds.windows(2).all(|two| two[0] != two[1]),
            "two runs in a world: {open:?}"
        );
        prop_assert_eq!(self.state.disagreement(&self.registry), None);
        if let Some(run) = &self.state.run {
            prop_assert_eq!(Some(run), self.runs.get(&run.run_id));
        }
        // The state has every open run, once, as the registry has it.
        let mut known: Vec<_> = self.state.open_runs().collect();
        known.sort_unstable_by_key(|run| &run.run_id);
        prop_assert_eq!(&known, &open);
        let head = audit::verify(&self.trail, [self.state.audit_head.clone()]).unwrap();
        prop_assert_eq!(&head, &self.state.audit_head);

        // What is shown agrees with what is kept.
        let hosts: Vec<_> = (0..3).map(|number| self.host_of(&world(number))).collect();
        let paused = self.state.effective(&self.registry).flag(key::PAUSED);
        for run in self.state.open_runs() {
            let is_foreign = run.world.is_none();
            let expected = match (run.paused, is_foreign) {
                (true, _) => RunState::Paused,
                (false, true) => RunState::Starting,
                (false, false) => RunState::Running,
            };
            prop_assert_eq!(presence::state_of_run(run, &hosts, self.now), expected);
        }
        if self.state.open_run().is_none() {
            let expected = match self.state.run {
                Some(_) => RunState::Stopped,
                None => RunState::Idle,
            };
            prop_assert_eq!(presence::run_state(&self.state, &hosts, self.now), expected);
            prop_assert!(self.state.run.is_none() || paused);
        }
        Ok(())
    }

    /// A host that has acknowledged everything.
    fn host_of(&self, world: &str) -> HostReport {
        let run = self.state.run_in_world(world);
        HostReport {
            id: format!("host of {world}"),
            kind: "commons".to_owned(),
            version: String::new(),
            last_seen: self.now,
            generation: self.state.generation,
            state: match run.map_or(RunGate::Closed, RunRecord::gate) {
                RunGate::Open => HostState::Running,
                RunGate::Paused => HostState::Paused,
                RunGate::Closed => HostState::Idle,
            },
            in_flight_calls: 0,
            world: Some(world.to_owned()),
            run_id: run.map(|run| run.run_id.clone()),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let name = || proptest::option::of(0..6_u8);
    let value = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!("test")),
        Just(json!("real")),
        Just(json!("")),
        Just(json!("run-1")),
        Just(json!("condition-1")),
        (0..3_i64).prop_map(|n| json!(n)),
        (60..900_i64).prop_map(|n| json!(n)),
    ];
    prop_oneof![
        6 => (any::<bool>(), name(), 0..3_i64, name(), any::<bool>(), name()).prop_map(
            |(real, name, season, parent, reset, world)| {
                Step::Start { real, name, season, parent, reset, world }
            }
        ),
        2 => (name(), any::<bool>()).prop_map(|(run, clear)| Step::Stop(run, clear)),
        2 => name().prop_map(Step::Pause),
        2 => name().prop_map(Step::Resume),
        4 => (0..6_u8).prop_map(Step::Call),
        3 => (0..6_u8).prop_map(Step::CheckLimits),
        3 => (name(), proptest::option::of(1..4_i64), any::<[bool; 3]>()).prop_map(
            |(run, max_calls, [stop, resume, force])| {
                Step::Limits { run, max_calls, stop, resume, force }
            }
        ),
        1 => Just(Step::StopAll),
        1 => Just(Step::PauseAll),
        1 => any::<bool>().prop_map(Step::Degrade),
        1 => any::<bool>().prop_map(Step::SetMode),
        5 => proptest::collection::vec((0..PATCHED.len(), value), 1..4).prop_map(Step::Patch),
        1 => (0..3_u8).prop_map(Step::Reset),
        2 => name().prop_map(Step::Guardrail),
    ]
}

proptest! {
    #[test]
    fn any_commands_keep_registry_settings_audit_and_status_in_agreement(
        steps in proptest::collection::vec(step(), 1..60),
        production in any::<bool>(),
    ) {
        let environment =
            if production { Environment::Production } else { Environment::Development };
        let mut model = Model::new(environment);
        for step in &steps {
            model.take(step)?;
        }
        if production {
            prop_assert!(model.state.worlds.is_empty(), "a world was reset in production");
        }
    }

    #[test]
    fn a_command_twice_changes_nothing_the_second_time(
        steps in proptest::collection::vec(step(), 0..20),
        last in prop_oneof![
            any::<bool>().prop_map(|clear| Step::Stop(None, clear)),
            Just(Step::Pause(None)), Just(Step::Pause(Some(1))), Just(Step::Resume(None)),
            Just(Step::Resume(Some(2))), Just(Step::Guardrail(None)), Just(Step::Guardrail(Some(1))),
            Just(Step::StopAll), Just(Step::PauseAll), Just(Step::CheckLimits(1)),
            any::<bool>().prop_map(Step::Degrade), any::<bool>().prop_map(Step::SetMode),
        ],
    ) {
        let mut model = Model::new(Environment::Development);
        for step in &steps {
            model.take(step)?;
        }
        model.take(&last)?;
        if let Some(Ok(change)) = model.command(&last).map(|command| model.decide(&command)) {
            prop_assert!(change.is_empty(), "{change:?}");
        }
    }
}

fn started(model: &mut Model) {
    model.take(&start(1, Some(0))).unwrap();
}

fn start(number: u8, world: Option<u8>) -> Step {
    let name = Some(number);
    Step::Start { real: false, name, season: 0, parent: None, reset: false, world }
}

fn refusal(model: &mut Model, step: &Step) -> crate::Error {
    let command = model.command(step).unwrap();
    model.decide(&command).unwrap_err()
}

#[test]
fn a_second_start_names_the_run_in_its_way() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    let other = start(2, Some(0));
    let error = refusal(&mut model, &other);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("run-1"), "{error}");
}

#[test]
fn an_ended_run_is_never_started_again() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    model.take(&Step::Stop(None, true)).unwrap();
    let again = start(1, Some(0));
    assert_eq!(refusal(&mut model, &again).kind(), ErrorKind::Conflict);
}

#[test]
fn a_run_that_an_operator_stopped_is_not_resumed() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    model.take(&Step::Stop(None, false)).unwrap();
    assert_eq!(refusal(&mut model, &Step::Resume(None)).kind(), ErrorKind::Conflict);
}

#[test]
fn a_run_that_a_guardrail_stopped_goes_on_by_resume_and_by_patch() {
    let patch = Step::Patch(vec![(4, json!(true)), (5, json!(false))]);
    for again in [Step::Resume(None), patch] {
        let mut model = Model::new(Environment::Development);
        started(&mut model);
        model.take(&Step::Guardrail(None)).unwrap();
        assert_eq!(model.state.gate(), RunGate::Closed);
        model.take(&again).unwrap();
        assert_eq!(model.state.gate(), RunGate::Open);
        assert!(model.runs["run-1"].is_open());
    }
}

#[test]
fn a_guardrail_that_tripped_on_an_earlier_run_leaves_the_next_one_alone() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    let late = model.command(&Step::Guardrail(None)).unwrap();
    model.take(&Step::Stop(None, false)).unwrap();
    let next = start(2, Some(0));
    model.take(&next).unwrap();
    assert!(model.decide(&late).unwrap().is_empty());
}

#[test]
fn a_patch_that_would_tear_run_state_names_the_control() {
    let mut model = Model::new(Environment::Development);
    for (patch, control) in [
        (Step::Patch(vec![(4, json!(true))]), "control/run/start"),
        (Step::Patch(vec![(1, json!("run-9"))]), "control/run/start"),
    ] {
        let error = refusal(&mut model, &patch);
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.detail().contains(control), "{error}");
    }
    started(&mut model);
    let error = refusal(&mut model, &Step::Patch(vec![(4, json!(false))]));
    assert!(error.detail().contains("control/run/stop"), "{error}");
}

#[test]
fn a_reset_is_blocked_in_production() {
    let mut model = Model::new(Environment::Production);
    let error = refusal(&mut model, &Step::Reset(0));
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.detail(), "World reset is blocked in production");
}

#[test]
fn a_live_host_that_lags_keeps_the_state_pausing_and_a_lost_one_does_not() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    let running = HostReport { in_flight_calls: 1, ..model.host_of("main") };
    model.take(&Step::Pause(None)).unwrap();
    let shown = |seconds| {
        let now = running.last_seen.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        presence::run_state(&model.state, std::slice::from_ref(&running), now)
    };
    assert_eq!(shown(1), RunState::Pausing);
    assert_eq!(shown(14), RunState::Pausing);
    assert_eq!(shown(15), RunState::Paused);
}

/// A model with the runs 1 (current, in the first world), 2 (in the second) and 3 and 4 (in none).
fn with_four_runs() -> Model {
    let mut model = Model::new(Environment::Development);
    for (number, world) in [(1, Some(0)), (2, Some(1)), (3, None), (4, None)] {
        model.take(&start(number, world)).unwrap();
    }
    assert_eq!(model.state.open_runs().count(), 4);
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-1");
    model
}

fn gates(model: &Model) -> Vec<RunGate> {
    model.runs.values().map(RunRecord::gate).collect()
}

#[test]
fn a_guardrail_and_an_operator_act_on_one_run_alone() {
    use RunGate::{Closed, Open, Paused};
    let mut model = with_four_runs();
    model.take(&Step::Guardrail(Some(3))).unwrap();
    model.take(&Step::Pause(Some(2))).unwrap();
    assert_eq!(gates(&model), [Open, Paused, Closed, Open]);
    model.take(&Step::Pause(None)).unwrap();
    model.take(&Step::Resume(Some(2))).unwrap();
    model.take(&Step::Resume(Some(3))).unwrap();
    assert_eq!(gates(&model), [Paused, Open, Open, Open]);
    model.take(&Step::PauseAll).unwrap();
    assert_eq!(gates(&model), [Paused; 4]);
    model.take(&Step::StopAll).unwrap();
    assert_eq!(gates(&model), [Closed; 4]);
}

#[test]
fn the_current_run_stays_until_it_has_ended() {
    let mut model = with_four_runs();
    model.take(&Step::Stop(Some(2), false)).unwrap();
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-1");
    model.take(&Step::Stop(None, false)).unwrap();
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-1");
    model.take(&start(5, None)).unwrap();
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-5");
}

#[test]
fn a_run_whose_world_has_another_one_is_not_resumed() {
    let mut model = with_four_runs();
    model.take(&Step::Guardrail(Some(2))).unwrap();
    model.take(&start(5, Some(1))).unwrap();
    let error = refusal(&mut model, &Step::Resume(Some(2)));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("run-5"), "{error}");
}

#[test]
fn a_reset_ends_the_run_of_its_world_alone() {
    use RunGate::{Closed, Open};
    let mut model = with_four_runs();
    model.take(&Step::Reset(1)).unwrap();
    assert_eq!(gates(&model), [Open, Closed, Open, Open]);
}

#[test]
fn paused_time_does_not_count() {
    let mut model = with_four_runs();
    let wait = |model: &mut Model, seconds| {
        model.now = model.now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    };
    let active = |model: &Model| model.runs["run-2"].active_time(model.now).as_secs();
    let before = active(&model);
    wait(&mut model, 9);
    model.take(&Step::Pause(Some(2))).unwrap();
    wait(&mut model, 1_000);
    assert_eq!(active(&model) - before, 10);
    model.take(&Step::Resume(Some(2))).unwrap();
    wait(&mut model, 5);
    assert_eq!(active(&model) - before, 15);
    model.take(&Step::Stop(Some(2), false)).unwrap();
    wait(&mut model, 5);
    assert_eq!(active(&model) - before, 16);
}

fn limits(max_calls: i64, stop: bool, resume: bool, force: bool) -> Step {
    Step::Limits { run: Some(3), max_calls: Some(max_calls), stop, resume, force }
}

#[test]
fn a_run_at_its_limit_is_paused_and_goes_on_in_the_step_that_raises_it() {
    for stop in [false, true] {
        let mut model = with_four_runs();
        model.take(&limits(2, stop, false, false)).unwrap();
        model.take(&Step::Call(3)).unwrap();
        model.take(&Step::CheckLimits(3)).unwrap();
        assert_eq!(model.runs["run-3"].gate(), RunGate::Open);
        model.take(&Step::Call(3)).unwrap();
        model.take(&Step::CheckLimits(3)).unwrap();
        let reached = &model.runs["run-3"];
        assert_eq!(reached.gate(), if stop { RunGate::Closed } else { RunGate::Paused });
        assert_eq!(reached.limit_reached.as_deref(), Some("max_calls"));
        let reason = stop.then(|| "max_calls_reached".to_owned());
        assert_eq!(reached.end_reason, reason);
        assert_eq!(gates(&model).iter().filter(|gate| **gate == RunGate::Open).count(), 3);

        let error = refusal(&mut model, &Step::Resume(Some(3)));
        assert!(error.detail().contains("max_calls of 2: 2 used"), "{error}");
        assert!(error.detail().contains("control/run/limits"), "{error}");
        assert_eq!(refusal(&mut model, &limits(2, stop, true, false)).kind(), ErrorKind::Conflict);
        model.take(&limits(3, stop, true, false)).unwrap();
        assert_eq!(model.runs["run-3"].gate(), RunGate::Open);
        assert_eq!(model.runs["run-3"].limit_reached, None);
    }
}

#[test]
fn a_limit_that_is_reached_already_needs_force() {
    let mut model = with_four_runs();
    model.take(&Step::Call(3)).unwrap();
    let error = refusal(&mut model, &limits(1, false, false, false));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("force"), "{error}");
    model.take(&limits(1, false, false, true)).unwrap();
    model.take(&Step::CheckLimits(3)).unwrap();
    assert_eq!(model.runs["run-3"].gate(), RunGate::Paused);
}

#[test]
fn a_limit_that_was_raised_meanwhile_pauses_no_run() {
    let mut model = with_four_runs();
    model.take(&limits(1, false, false, false)).unwrap();
    model.take(&Step::Call(3)).unwrap();
    let late = model.command(&Step::CheckLimits(3)).unwrap();
    model.take(&limits(9, false, false, false)).unwrap();
    assert!(model.decide(&late).unwrap().is_empty());
}

#[test]
fn a_run_that_goes_on_becomes_the_current_one_when_that_is_not_open() {
    let mut model = with_four_runs();
    model.take(&Step::Guardrail(Some(3))).unwrap();
    model.take(&Step::Pause(Some(4))).unwrap();
    model.take(&Step::Resume(Some(3))).unwrap();
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-1", "it is still open");
    model.take(&Step::Guardrail(Some(3))).unwrap();
    model.take(&Step::Stop(None, false)).unwrap();
    model.take(&Step::Resume(Some(3))).unwrap();
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-3");
    model.take(&Step::Stop(None, false)).unwrap();
    model.take(&Step::Resume(Some(4))).unwrap();
    assert_eq!(model.state.run.as_ref().unwrap().run_id, "run-4");
}

#[test]
fn a_change_of_limits_resumes_no_run_that_something_else_has_ended() {
    let mut model = with_four_runs();
    model.take(&Step::Guardrail(Some(3))).unwrap();
    let error = refusal(&mut model, &limits(9, false, true, true));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("has ended"), "{error}");
}
