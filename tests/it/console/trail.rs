//! The audit trail's mark: it holds, it does not, and it is not the one that was seen before.

use serde_json::json;
use simops_tests::ServerBuilder;
use simops_tests::browser::Browser;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_was_changed_or_replaced_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    for limit in 7..12 {
        server.client.patch(&json!({ "OPENROUTER_RPM_LIMIT": limit })).await.ok();
    }
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.click("nav-records").await;
    browser.until_text("audit-verified", "verified: 6 rows").await;
    let sealed = "return [...document.querySelectorAll('#audit li .seal')].every((seal) => seal.textContent === '✓')";
    browser.until("every row is sealed", sealed).await;

    let database = rusqlite::Connection::open(dir.path().join("simops.db")).unwrap();
    let forge = |to: &str| {
        let sql = "UPDATE audit SET new_value = ?1 WHERE id = 4";
        assert_eq!(database.execute(sql, [to]).unwrap(), 1);
    };
    let kept: String = database
        .query_row("SELECT new_value FROM audit WHERE id = 4", [], |row| row.get(0))
        .unwrap();
    forge("99");
    browser.click("audit-verify").await;
    browser.until_text("audit-verified", "verification failed").await;
    browser.until_text("audit-broken", "4").await;
    forge(&kept);
    browser.click("audit-verify").await;
    browser.until_text("audit-verified", "verified: 6 rows").await;

    // Another database at the same address has a trail that holds, but not the one seen before.
    let address = server.base.trim_start_matches("http://").to_owned();
    server.kill().await;
    let other = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(other.path()).env("SIMOPS_LISTEN", &address).start().await;
    server.client.patch(&json!({ "OPENROUTER_RPM_LIMIT": 3 })).await.ok();
    browser.until_text("live-state", "live").await;
    browser.click("audit-verify").await;
    browser.until_text("audit-verified", "verification failed").await;
    browser.until_text("audit-broken", "Forget the head").await;
    browser.run("document.querySelector('[data-testid=audit-broken] button').click()").await;
    browser.until_text("audit-verified", "verified: 2 rows").await;
}
