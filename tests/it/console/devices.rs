//! Phone, keyboard, dark and light; and axe-core's opinion of all of it.

use serde_json::json;
use simops_tests::ServerBuilder;
use simops_tests::browser::Browser;
use simops_tests::process::TOKEN;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

async fn press(browser: &Browser, key: &str) {
    browser.client.active_element().await.unwrap().send_keys(key).await.unwrap();
}

/// Presses Tab until the element has the focus, and checks that a person can see that it has.
async fn reach(browser: &Browser, id: &str) {
    let at = "return document.activeElement.matches(arguments[0])";
    let wanted = json!(format!("[data-testid=\"{id}\"]"));
    for _ in 0..120 {
        press(browser, TAB).await;
        if browser.client.execute(at, vec![wanted.clone()]).await.unwrap() == json!(true) {
            let outline = "return getComputedStyle(document.activeElement).outlineStyle";
            assert_eq!(browser.run(outline).await, "solid", "the focus on {id} cannot be seen");
            return;
        }
    }
    panic!("{id} cannot be reached by keyboard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_alone_starts_and_stops_a_run_on_a_phone() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(360, 740).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    assert_eq!(browser.run("return document.activeElement.id").await, "token", "ready to type");
    press(&browser, TOKEN).await;
    press(&browser, ENTER).await;
    browser.until_text("live-state", "live").await;
    for (control, state) in [("start-test", "running"), ("stop", "stopped")] {
        browser.until_enabled(control, true).await;
        reach(&browser, control).await;
        press(&browser, ENTER).await;
        let inside = "return document.querySelector('dialog[open]')?.contains(document.activeElement) === true";
        browser.until("the question has the focus", inside).await;
        reach(&browser, "confirm-ok").await;
        press(&browser, ENTER).await;
        browser.until_text("run-state", state).await;
        let lost = "return document.activeElement === document.body";
        assert_eq!(browser.run(lost).await, false, "the focus is lost after {control}");
    }
    for view in ["run", "visitors", "settings", "records", "reports"] {
        reach(&browser, &format!("nav-{view}")).await;
        press(&browser, ENTER).await;
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        browser.until(&format!("{view} fits"), fits).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_accessible_in_light_and_dark_wide_and_narrow() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    browser.type_into("token", "wrong").await;
    browser.click("connect").await;
    browser.until_text("connect-error", "Invalid").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new(), "the connect card");
    browser.connect(&server.base, "ada").await;
    browser.confirm("start-test").await;
    browser.until_text("run-state", "running").await;
    browser.until_text("panel-events", "_").await;
    server.client.patch(&json!({"AGENT_LOOP_DELAY_SECONDS": 100})).await.ok();

    for (width, scheme) in [(1440, "light"), (1440, "dark"), (360, "dark")] {
        browser.resize(width, 900).await;
        browser.prefer(scheme).await;
        for view in ["run", "visitors", "settings", "records", "reports"] {
            browser.click(&format!("nav-{view}")).await;
            let shown = format!("return !document.getElementById('{view}').hidden");
            browser.until(view, &shown).await;
            let wrong = browser.inaccessible().await;
            assert!(wrong.is_empty(), "{view}, {scheme}, {width}: {wrong:#?}");
        }
    }
    browser.click("nav-run").await;
    browser.click("stop").await;
    browser.find("confirm").await;
    let wrong = browser.inaccessible().await;
    assert!(wrong.is_empty(), "the question: {wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_follow_the_system_until_a_person_chooses() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1200, 900).await;
    let dark =
        "const [r] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g); return r < 80";
    browser.prefer("dark").await;
    browser.connect(&server.base, "ada").await;
    browser.until("dark as the system", dark).await;
    browser.prefer("light").await;
    browser.until("light as the system", &format!("return !(() => {{ {dark} }})()")).await;
    browser.click("theme").await;
    browser.click("theme").await;
    browser.until("dark by choice", dark).await;
    browser.client.refresh().await.unwrap();
    browser.until("dark after a reload", dark).await;
    browser.until_text("live-state", "live").await;
}
