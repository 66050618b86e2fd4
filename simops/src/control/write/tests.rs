//! Which writes pass which gate.

use super::*;

const GATES: [Option<WriteGate>; 4] =
    [None, Some(WriteGate::Open), Some(WriteGate::StopOnly), Some(WriteGate::Closed)];

#[test]
fn a_mark_gives_every_process_the_rules_of_production() {
    for gate in GATES {
        let development = WritePolicy { environment: Environment::Development, gate };
        let production = WritePolicy { environment: Environment::Production, gate };
        assert_eq!(development.on(true), production.on(false));
        assert_eq!(production.on(true), production.on(false));
    }
}

#[test]
fn an_unset_gate_is_open_in_development_only() {
    assert_eq!(WritePolicy::from(Environment::Development).on(false).gate(), WriteGate::Open);
    assert_eq!(WritePolicy::from(Environment::Development).on(true).gate(), WriteGate::Closed);
    assert_eq!(WritePolicy::from(Environment::Production).on(false).gate(), WriteGate::Closed);
}

#[test]
fn stop_only_lets_pause_stop_and_degrade_pass_and_nothing_else() {
    let rules = |gate| WriteRules { environment: Environment::Development, gate };
    let passing = |gate| {
        let all = Write::ALL.iter().copied();
        all.filter(|write| rules(gate).check(*write).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(passing(WriteGate::Open), Write::ALL);
    assert_eq!(passing(WriteGate::Closed), []);
    let stopping = [Write::StopRun, Write::StopAll, Write::Pause, Write::PauseAll, Write::Degrade];
    assert_eq!(passing(WriteGate::StopOnly), stopping);
    assert!(rules(WriteGate::StopOnly).check_gate(None).is_err());
}

#[test]
fn the_setting_has_three_values() {
    for (text, gate) in [
        ("true", WriteGate::Open),
        ("FALSE", WriteGate::Closed),
        (" stop-only ", WriteGate::StopOnly),
    ] {
        assert_eq!(WriteGate::parse(text), Ok(gate));
    }
    for text in ["", "yes", "1", "stop_only", "stop"] {
        assert!(WriteGate::parse(text).is_err(), "{text:?}");
    }
}
