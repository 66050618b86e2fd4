//! Any sequence of commands keeps registry, settings, audit and events in agreement.

use std::collections::BTreeMap;

use crate::ErrorKind;
use crate::control::decide::Start;
use crate::control::{
    AuditRow, Change, Command, Context, ControlState, Environment, HostReport, HostState, RunGate,
    RunState, audit, decide, presence,
};
use crate::run::{EndedBy, RunMode, RunRecord, StartRun};
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
}

#[derive(Debug, Clone)]
enum Step {
    Start { real: bool, name: Option<u8>, season: i64, parent: Option<u8>, reset: bool },
    Stop { clear: bool },
    Pause,
    Resume,
    Degrade(bool),
    SetMode(bool),
    Patch(Vec<(usize, Value)>),
    Reset,
    Guardrail,
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
        }
    }

    fn command(&mut self, step: &Step) -> Option<Command> {
        let mode = |real| if real { RunMode::Real } else { RunMode::Test };
        Some(match step {
            Step::Start { real, name, season, parent, reset } => {
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
            Step::Stop { clear } => Command::Stop { clear_run_id: *clear },
            Step::Pause => Command::Pause,
            Step::Resume => Command::Resume,
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
            Step::Reset => {
                self.next_epoch += 1;
                Command::ResetWorld { epoch: self.next_epoch }
            }
            Step::Guardrail => Command::GuardrailStop {
                run_id: self.state.run.as_ref()?.run_id.clone(),
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
                let safe =
                    matches!(command, Command::Pause | Command::Stop { .. } | Command::Degrade(_));
                prop_assert!(!safe, "the safe side refused: {error}");
                prop_assert!(!error.detail().is_empty());
                return Ok(());
            }
        };
        self.check(&change)?;
        if let Some(run) = &change.run {
            self.runs.insert(run.run_id.clone(), run.clone());
        }
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
                change.audit.is_empty() && change.events.is_empty() && change.run.is_none()
            );
            return Ok(());
        }
        prop_assert_eq!(change.next.generation, self.state.generation + 1);
        prop_assert!(!change.events.is_empty(), "a change without an event");

        // Every changed value has its row, and nothing else has one.
        let mut expected: BTreeMap<String, (Value, Value)> = after
            .values()
            .iter()
            .filter(|(key, value)| before.get(key) != *value)
            .map(|(key, value)| (key.clone(), (before.get(key).clone(), value.clone())))
            .collect();
        if self.state.world_epoch != change.next.world_epoch {
            let epochs = (json!(self.state.world_epoch), json!(change.next.world_epoch));
            expected.insert("WORLD_EPOCH".to_owned(), epochs);
        }
        let rows: BTreeMap<_, _> = change
            .audit
            .iter()
            .map(|row| (row.key.clone(), (row.old_value.clone(), row.new_value.clone())))
            .collect();
        prop_assert_eq!(rows.len(), change.audit.len());
        prop_assert_eq!(rows, expected);

        // A gate that moved is fenced.
        if self.state.gate(&self.registry) != change.next.gate(&self.registry) {
            prop_assert_eq!(change.next.gate_generation, change.next.generation);
        }
        // Records are never overwritten, but for a guardrail's end that is taken back.
        if let Some(run) = &change.run
            && let Some(old) = self.runs.get(&run.run_id)
        {
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

    fn check_agreement(&self) -> Result<(), TestCaseError> {
        let open: Vec<_> = self.runs.values().filter(|run| run.is_open()).collect();
        prop_assert!(open.len() <= 1, "two runs not ended: {open:?}");
        prop_assert_eq!(self.state.disagreement(&self.registry), None);
        match &self.state.run {
            Some(run) => prop_assert_eq!(Some(run), self.runs.get(&run.run_id)),
            None => prop_assert!(open.is_empty()),
        }
        let head = audit::verify(&self.trail, [self.state.audit_head.clone()]).unwrap();
        prop_assert_eq!(&head, &self.state.audit_head);

        // What is shown agrees with what is kept.
        let host = HostReport {
            id: "host".to_owned(),
            version: String::new(),
            last_seen: self.now,
            generation: self.state.generation,
            state: match self.state.gate(&self.registry) {
                RunGate::Open => HostState::Running,
                RunGate::Paused => HostState::Paused,
                RunGate::Closed => HostState::Idle,
            },
            in_flight_calls: 0,
            owns_world: true,
        };
        let shown = presence::run_state(&self.state, &self.registry, &[host], self.now);
        let paused = self.state.effective(&self.registry).flag(key::PAUSED);
        let expected = match (open.is_empty(), paused) {
            (false, false) => RunState::Running,
            (false, true) => RunState::Paused,
            (true, _) if self.state.run.is_some() => RunState::Stopped,
            (true, _) => RunState::Idle,
        };
        prop_assert_eq!(shown, expected);
        Ok(())
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
        4 => (any::<bool>(), name(), 0..3_i64, name(), any::<bool>()).prop_map(
            |(real, name, season, parent, reset)| Step::Start { real, name, season, parent, reset }
        ),
        2 => any::<bool>().prop_map(|clear| Step::Stop { clear }),
        2 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => any::<bool>().prop_map(Step::Degrade),
        1 => any::<bool>().prop_map(Step::SetMode),
        5 => proptest::collection::vec((0..PATCHED.len(), value), 1..4).prop_map(Step::Patch),
        1 => Just(Step::Reset),
        2 => Just(Step::Guardrail),
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
            prop_assert_eq!(model.state.world_epoch, None, "a world was reset in production");
        }
    }

    #[test]
    fn a_command_twice_changes_nothing_the_second_time(
        steps in proptest::collection::vec(step(), 0..20),
        last in prop_oneof![
            any::<bool>().prop_map(|clear| Step::Stop { clear }),
            Just(Step::Pause), Just(Step::Resume), Just(Step::Guardrail),
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
    model
        .take(&Step::Start { real: false, name: Some(1), season: 0, parent: None, reset: false })
        .unwrap();
}

fn refusal(model: &mut Model, step: &Step) -> crate::Error {
    let command = model.command(step).unwrap();
    model.decide(&command).unwrap_err()
}

#[test]
fn a_second_start_names_the_run_in_its_way() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    let other = Step::Start { real: true, name: Some(2), season: 0, parent: None, reset: false };
    let error = refusal(&mut model, &other);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("run-1"), "{error}");
}

#[test]
fn an_ended_run_is_never_started_again() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    model.take(&Step::Stop { clear: true }).unwrap();
    let again = Step::Start { real: false, name: Some(1), season: 0, parent: None, reset: false };
    assert_eq!(refusal(&mut model, &again).kind(), ErrorKind::Conflict);
}

#[test]
fn a_run_that_an_operator_stopped_is_not_resumed() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    model.take(&Step::Stop { clear: false }).unwrap();
    assert_eq!(refusal(&mut model, &Step::Resume).kind(), ErrorKind::Conflict);
}

#[test]
fn a_run_that_a_guardrail_stopped_goes_on_by_resume_and_by_patch() {
    let patch = Step::Patch(vec![(4, json!(true)), (5, json!(false))]);
    for again in [Step::Resume, patch] {
        let mut model = Model::new(Environment::Development);
        started(&mut model);
        model.take(&Step::Guardrail).unwrap();
        assert_eq!(model.state.gate(&model.registry), RunGate::Closed);
        model.take(&again).unwrap();
        assert_eq!(model.state.gate(&model.registry), RunGate::Open);
        assert!(model.runs["run-1"].is_open());
    }
}

#[test]
fn a_guardrail_that_tripped_on_an_earlier_run_leaves_the_next_one_alone() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    let late = model.command(&Step::Guardrail).unwrap();
    model.take(&Step::Stop { clear: false }).unwrap();
    let next = Step::Start { real: false, name: Some(2), season: 0, parent: None, reset: false };
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
    let error = refusal(&mut model, &Step::Reset);
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.detail(), "World reset is blocked in production");
}

#[test]
fn a_live_host_that_lags_keeps_the_state_pausing_and_a_lost_one_does_not() {
    let mut model = Model::new(Environment::Development);
    started(&mut model);
    let running = HostReport {
        id: "slow".to_owned(),
        version: String::new(),
        last_seen: model.now,
        generation: model.state.generation,
        state: HostState::Running,
        in_flight_calls: 1,
        owns_world: true,
    };
    model.take(&Step::Pause).unwrap();
    let shown = |seconds| {
        let now = running.last_seen.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        presence::run_state(&model.state, &model.registry, std::slice::from_ref(&running), now)
    };
    assert_eq!(shown(1), RunState::Pausing);
    assert_eq!(shown(14), RunState::Pausing);
    assert_eq!(shown(15), RunState::Paused);
}
