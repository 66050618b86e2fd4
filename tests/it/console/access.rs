//! Who is let in, what a token leaves behind, and what cannot be done in production.

use simops_tests::ServerBuilder;
use simops_tests::browser::Browser;
use simops_tests::process::TOKEN;
use simops_tests::proxy::Proxy;

const CONTROLS: [&str; 7] =
    ["start-test", "start-real", "pause", "resume", "stop", "reset", "degrade"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_is_read_only_and_a_wrong_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("ENVIRONMENT", "production").start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    browser.click("connect").await;
    browser.until_text("connect-error", "Enter the admin token").await;
    browser.type_into("token", "not-the-token").await;
    browser.click("connect").await;
    browser.until_text("connect-error", "Invalid admin credentials").await;
    browser.type_into("token", TOKEN).await;
    browser.click("connect").await;
    browser.until_text("banner-environment", "production").await;
    browser.until_text("banner-write", "read-only").await;
    browser.until_text("panel-controls", "Read-only: write controls are disabled").await;
    for control in CONTROLS {
        browser.until_enabled(control, false).await;
    }
    assert!(!browser.find("reset-world").await.is_selected().await.unwrap());
    browser.until_text("panel-budgets", "Read-only").await;
    browser.until_enabled("new-budget", false).await;
    browser.click("nav-settings").await;
    browser.until_text("panel-config", "Read-only").await;
    let locked =
        "return document.querySelector('#config .setting :is(input, select):enabled') === null";
    browser.until("the settings are locked", locked).await;
    browser.click("nav-reports").await;
    browser.until_text("panel-baseline", "Read-only").await;
    browser.until_enabled("baseline-generate", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_stays_in_its_tab_and_in_its_header() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let proxy = Proxy::start(&server.base, "").await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&proxy.base, "ada").await;
    // A reload stays connected in the same tab; another tab knows the name but no token.
    browser.client.refresh().await.unwrap();
    browser.until_text("live-state", "live").await;
    let tab = browser.client.new_window(true).await.unwrap();
    browser.client.switch_to_window(tab.handle).await.unwrap();
    browser.client.goto(&format!("{}/ops", proxy.base)).await.unwrap();
    browser.find("token").await;
    let fields =
        "return [document.querySelector('#token').value, document.querySelector('#actor').value]";
    assert_eq!(browser.run(fields).await, serde_json::json!(["", "ada"]));
    let on_device = format!("return JSON.stringify(localStorage).includes('{TOKEN}')");
    assert_eq!(browser.run(&on_device).await, false);
    // Asked to, it is remembered on the device, and forgotten on disconnect.
    browser.click("remember").await;
    browser.type_into("token", TOKEN).await;
    browser.click("connect").await;
    browser.until_text("live-state", "live").await;
    assert_eq!(browser.run(&on_device).await, true);
    browser.click("disconnect").await;
    browser.find("token").await;
    let kept = format!("return JSON.stringify([localStorage, sessionStorage]).includes('{TOKEN}')");
    assert_eq!(browser.run(&kept).await, false);

    let address = browser.client.current_url().await.unwrap();
    assert!(!address.as_str().contains(TOKEN));
    assert!(proxy.seen().iter().all(|line| !line.contains(TOKEN)));
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(!log.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lockout_shows_how_long_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1000, 900).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    for n in 0..30 {
        browser.type_into("token", &format!("wrong-{n}")).await;
        browser.click("connect").await;
        let shows_error = "const error = document.querySelector('[data-testid=connect-error]'); \
                    return !error.hidden && error.textContent.length > 0 && \
                        document.querySelector('#connect').ariaBusy !== 'true'";
        browser.until("an answer", shows_error).await;
        let text = browser.find("connect-error").await.text().await.unwrap();
        if text.contains("Too many") {
            assert!(text.contains("Try again in"), "{text}");
            browser.until_enabled("connect", false).await;
            return;
        }
        assert!(text.contains("Invalid admin credentials"), "{text}");
    }
    panic!("thirty wrong tokens cause no lockout");
}
