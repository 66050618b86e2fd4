//! Runtime settings by `PATCH config`, and the server's own configuration at start.

use axum::http::Method;
use clap::Parser;
use serde_json::json;
use simops::control::{WriteGate, WritePolicy};
use simops_server::config::{Args, Config};

use crate::support::TestApp;

#[tokio::test]
async fn a_patch_applies_what_changed_and_says_so() {
    let app = TestApp::new();
    let answer =
        app.patch(json!({ "LLM_ACTION_MAX_TOKENS": 400, "OPENROUTER_RPM_LIMIT": 6 })).await;
    let answer = answer.ok();
    assert_eq!(answer["applied"], json!({ "LLM_ACTION_MAX_TOKENS": 400 }));
    assert_eq!(answer["effective"]["LLM_ACTION_MAX_TOKENS"], 400);

    let config = app.get("config").await.ok();
    assert_eq!(config["overrides"], json!({ "LLM_ACTION_MAX_TOKENS": 400 }));
    assert_eq!(config["defaults"]["LLM_ACTION_MAX_TOKENS"], 350);
    let key = &config["mutable_keys"]["LLM_ACTION_MAX_TOKENS"];
    assert_eq!((&key["type"], &key["min"], &key["max"]), (&json!("int"), &json!(64), &json!(2048)));

    let audit = app.get("audit").await.ok();
    assert_eq!(audit["count"], 1);
    assert_eq!(audit["items"][0]["old_value"], 350);
    assert_eq!(audit["items"][0]["changed_by"], "admin");
}

#[tokio::test]
async fn a_patch_is_all_or_nothing() {
    let app = TestApp::new();
    let both = json!({ "LLM_ACTION_MAX_TOKENS": 400, "OPENROUTER_RPM_LIMIT": 0 });
    app.patch(both).await.names("OPENROUTER_RPM_LIMIT");
    app.patch(json!({ "LLM_ACTION_MAX_TOKENS": 400, "NO_SUCH_KEY": 1 })).await.problem(400);
    app.patch(json!({ "LLM_ACTION_MAX_TOKENS": "400" })).await.names("LLM_ACTION_MAX_TOKENS");
    let twice = r#"{"updates":{"LLM_DAILY_BUDGET_USD_HARD":0,"LLM_DAILY_BUDGET_USD_HARD":9}}"#;
    let twice = app
        .call(Method::PATCH, "config")
        .header("content-type", "application/json")
        .body(twice)
        .send()
        .await;
    assert!(twice.problem(422).contains("given twice"));
    app.patch(json!({ "LLM_ACTION_MAX_TOKENS": 1e300 })).await.names("LLM_ACTION_MAX_TOKENS");
    let budgets = json!({ "LLM_DAILY_BUDGET_USD_SOFT": 5, "LLM_DAILY_BUDGET_USD_HARD": 2 });
    app.patch(budgets).await.names("LLM_DAILY_BUDGET_USD_HARD");
    assert_eq!(app.get("config").await.ok()["overrides"], json!({}));
}

#[tokio::test]
async fn zero_has_no_sign() {
    let app = TestApp::new();
    let answer = app.patch(json!({ "LLM_DAILY_BUDGET_USD_HARD": -0.0 })).await.ok();
    assert_eq!(answer["applied"]["LLM_DAILY_BUDGET_USD_HARD"].to_string(), "0.0");
    app.patch(json!({ "LLM_DAILY_BUDGET_USD_HARD": 0 })).await.ok();
    assert_eq!(app.get("audit").await.ok()["count"], 1);
}

#[tokio::test]
async fn run_state_is_left_to_the_run_controls() {
    let app = TestApp::new();
    let answer = app.patch(json!({ "SIMULATION_ACTIVE": true })).await;
    assert!(answer.problem(409).contains("control/run/start"));
    app.post("control/run/start", json!({ "mode": "test" })).await.ok();
    app.patch(json!({ "SIMULATION_PAUSED": true })).await.ok();
    app.patch(json!({ "SIMULATION_PAUSED": false })).await.ok();
    let answer = app.patch(json!({ "SIMULATION_RUN_ID": "other" })).await;
    assert!(answer.problem(409).contains("control/run/start"));
}

/// The configuration of flags and a made-up environment, both as `name=value`.
fn resolved(flags: &[&str], environment: &[(&str, &str)]) -> Result<Config, String> {
    let args =
        Args::try_parse_from([&["simops-server"], flags].concat()).map_err(|e| e.to_string())?;
    let lookup = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::resolve(&args, lookup).map_err(|error| error.to_string())
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    let cases: [(&[&str], &[&str]); 16] = [
        (&["--environment=staging"], &["ENVIRONMENT", "\"staging\"", "production"]),
        (&["--admin-enabled=maybe"], &["ADMIN_ENABLED", "\"maybe\"", "true or false"]),
        (&["--admin-write-enabled=1"], &["ADMIN_WRITE_ENABLED", "\"1\"", "true or false"]),
        (&["--admin-ip-allowlist=10.0.0.0/8,x"], &["ADMIN_IP_ALLOWLIST", "\"x\"", "CIDR"]),
        (&["--trusted-proxies=::/129"], &["TRUSTED_PROXIES", "::/129", "CIDR"]),
        (&["--metrics-access=closed"], &["METRICS_ACCESS", "\"closed\"", "open, token, or"]),
        (&["--simops-listen=8080"], &["SIMOPS_LISTEN", "\"8080\"", "ADDRESS:PORT"]),
        (&["--simops-world-speed=0"], &["SIMOPS_WORLD_SPEED", "\"0\"", "between 0.01 and 10000"]),
        (&["--simops-world-speed=NaN"], &["SIMOPS_WORLD_SPEED", "between"]),
        (&["--world-agents=0"], &["SIMOPS_WORLD_AGENTS", "between 1 and"]),
        (&["--llm-unpriced-policy=no"], &["LLM_UNPRICED_POLICY", "\"no\"", "fallback or refuse"]),
        (&["--simops-prices=/no/book"], &["SIMOPS_PRICES", "/no/book", "price book"]),
        (&["--groq-base-url=ftp://x"], &["GROQ_BASE_URL", "ftp://x", "http"]),
        (&["--host=mars"], &["SIMOPS_HOST", "\"mars\"", "commons or none"]),
        (&["--log-format=xml"], &["SIMOPS_LOG_FORMAT", "text or json"]),
        (&["--database-url=mysql://u:hidden@h/d"], &["DATABASE_URL", "sqlite://PATH"]),
    ];
    for (flags, expected) in cases {
        let error = resolved(flags, &[]).unwrap_err();
        for part in expected {
            assert!(error.contains(part), "{flags:?}: {error}");
        }
        assert!(!error.contains('\n') && !error.contains("hidden"), "{error}");
    }
    let config = resolved(&["--database-url=postgres://u:hidden@h/d"], &[]).unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
    let error = resolved(&[], &[("ADMIN_API_TOKEN", "hidden token")]).unwrap_err();
    assert!(error.contains("ADMIN_API_TOKEN") && !error.contains("hidden token"), "{error}");
}

#[test]
fn settings_in_the_environment_replace_defaults_but_no_run_begins_there() {
    let of = |name, value| resolved(&[], &[(name, value)]);
    let config = of("LLM_ACTION_MAX_TOKENS", "512").unwrap();
    assert_eq!(config.ops.registry.get("LLM_ACTION_MAX_TOKENS").unwrap().default, 512);
    let error = of("LLM_ACTION_MAX_TOKENS", "5").unwrap_err();
    assert!(error.contains("LLM_ACTION_MAX_TOKENS") && error.contains("between 64 and 2048"));
    assert!(of("SIMULATION_ACTIVE", "true").unwrap_err().contains("SIMULATION_ACTIVE"));
    assert!(of("SIMULATION_RUN_ID", "r1").unwrap_err().contains("SIMULATION_RUN_ID"));
    for (name, value) in [
        ("SIMULATION_ACTIVE", "false"),
        ("SIMULATION_PAUSED", "true"),
        ("SIMULATION_RUN_MODE", "real"),
        ("SIMULATION_CONDITION_NAME", "baseline"),
        ("SIMULATION_SEASON_NUMBER", "2"),
    ] {
        assert!(of(name, value).unwrap_err().contains(name), "{name}");
    }
    of("SIMULATION_RUN_ID", "").unwrap();
}

#[test]
fn production_is_closed_unless_opened_and_empty_is_unset() {
    let gate = |config: &Config| {
        WritePolicy { environment: config.ops.environment, gate: config.ops.write_gate }
            .on(false)
            .gate()
    };
    let config = resolved(&["--environment=production"], &[]).unwrap();
    assert!(gate(&config) == WriteGate::Closed && config.access.token.is_none());
    let config = resolved(&["--environment=", "--admin-write-enabled=", "--log="], &[]).unwrap();
    assert_eq!(gate(&config), WriteGate::Open);
    let config = resolved(&["--admin-write-enabled=stop-only"], &[]).unwrap();
    assert_eq!(gate(&config), WriteGate::StopOnly);
    let secrets = [("ADMIN_API_TOKEN", "very-secret"), ("GROQ_API_KEY", "very-secret")];
    let config = resolved(&[], &secrets).unwrap();
    assert_eq!(config.models.providers.len(), 1);
    assert!(!format!("{config:?}").contains("very-secret"));
}

#[test]
fn a_secret_is_no_flag_and_may_be_in_a_file() {
    for flag in ["--admin-api-token=x", "--groq-api-key=x", "--kpi-alert-webhook-secret=x"] {
        assert!(resolved(&[flag], &[]).unwrap_err().contains("unexpected argument"), "{flag}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-a-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let config = resolved(&[&format!("--admin-api-token-file={path}")], &[]).unwrap();
    assert!(config.access.token.unwrap().is(b"from-a-file"));
    let both = [("ADMIN_API_TOKEN", "x"), ("ADMIN_API_TOKEN_FILE", path)];
    resolved(&[], &both[..1]).unwrap();
    let flag = format!("--admin-api-token-file={path}");
    assert!(resolved(&[&flag], &both).unwrap_err().contains("set only one of them"));
}

#[test]
fn a_token_that_can_be_guessed_stops_the_start_in_production_only() {
    const STRONG: &str = "q8Zr5Wn2Lx7Vb4Tc9Ym6Ks3H";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "short-1").unwrap();
    let path = file.path().to_str().unwrap();
    for (name, value) in [
        ("ADMIN_API_TOKEN", "short-1"),
        ("ADMIN_API_TOKEN", "q8Zr5Wn2Lx7Vb4Tc9-changeme"),
        ("METRICS_TOKEN", "k3J9xQ7zk3J9xQ7zk3J9xQ7z"),
        ("METRICS_TOKEN_FILE", path),
    ] {
        resolved(&[], &[(name, value)]).unwrap();
        let error = resolved(&["--environment=production"], &[(name, value)]).unwrap_err();
        let variable = name.trim_end_matches("_FILE");
        assert!(error.contains(variable) && error.contains("openssl rand"), "{error}");
        assert!(!error.contains(value) && !error.contains("short-1"), "{error}");
    }
    let flags = ["--environment=production", &format!("--admin-api-token-file={path}")];
    assert!(resolved(&flags, &[]).unwrap_err().contains("7 characters"));
    let strong =
        [("ADMIN_API_TOKEN", STRONG), ("METRICS_TOKEN", STRONG), ("KPI_EVENT_WRITE_KEY", "pages")];
    resolved(&["--environment=production"], &strong).unwrap();
}

#[tokio::test]
async fn a_patch_needs_its_updates() {
    let app = TestApp::new();
    app.call(Method::PATCH, "config").send().await.names("updates");
    assert_eq!(app.patch(json!({})).await.ok()["applied"], json!({}));
}
