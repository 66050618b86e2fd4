//! Below a path, behind a proxy; and nothing but this server is ever asked.

use serde_json::json;
use simops_tests::ServerBuilder;
use simops_tests::browser::Browser;
use simops_tests::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_works_below_a_path_of_a_proxy_and_asks_no_other_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let proxy = Proxy::start(&server.base, "/team/simops").await;
    let browser = Browser::open(1440, 1000).await;
    // With a slash at the end it leads to the same page.
    browser.client.goto(&format!("{}/ops/", proxy.base)).await.unwrap();
    browser.find("token").await;
    let path = "return location.pathname";
    assert_eq!(browser.run(path).await, "/team/simops/ops");
    browser.connect(&proxy.base, "ada").await;
    browser.run(
        "window.broken = []; \
         document.addEventListener('securitypolicyviolation', (e) => broken.push(e.violatedDirective))",
    )
    .await;
    browser.confirm("start-test").await;
    browser.until_text("run-state", "running").await;
    for view in ["visitors", "settings", "records", "reports", "run"] {
        browser.click(&format!("nav-{view}")).await;
    }
    browser.confirm("stop").await;
    browser.until_text("run-state", "stopped").await;

    assert_eq!(browser.run("return broken").await, json!([]), "the policy holds");
    let elsewhere = "return performance.getEntriesByType('resource').map((e) => e.name) \
                     .filter((name) => !name.startsWith(location.origin + '/team/simops/'))";
    assert_eq!(browser.run(elsewhere).await, json!([]));
    let lines = proxy.seen();
    assert!(lines.iter().all(|line| line.contains(" /team/simops/")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("/team/simops/api/admin/stream")));
}
