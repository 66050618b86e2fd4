//! A real Chromium, driven as a person would: clicks, keys, and what can be seen.

use std::process::Stdio;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::eventually;
use crate::process::TOKEN;
use crate::wait::LIMIT;

/// A browser window of its own, with a fresh profile.
#[derive(Debug)]
pub struct Browser {
    /// The WebDriver client.
    pub client: Client,
    driver: String,
    _driver: Child,
    profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing the driver leaves its browser behind, also when a test fails. The profile's path
        // is in the arguments of this browser's processes and of no others.
        let profile = self.profile.path().display().to_string();
        let _ = std::process::Command::new("pkill").args(["-KILL", "-f", &profile]).status();
    }
}

impl Browser {
    /// Opens a window of this size in pixels.
    ///
    /// # Panics
    /// When Chromium or its driver is missing: `tests/run.sh` installs both.
    pub async fn open(width: u32, height: u32) -> Self {
        let (driver, port) = eventually("chromedriver has a port", start_driver).await;
        let profile = tempfile::tempdir().expect("a folder");
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.path().display()),
        ]);
        let options = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": LIMIT.as_secs() * 1_000 },
        });
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(options.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser session");
        let address = format!("http://127.0.0.1:{port}");
        let browser = Self { client, driver: address, _driver: driver, profile };
        browser.resize(width, height).await;
        browser
    }

    /// Resizes the page, in pixels; a narrow one is that of a phone.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn resize(&self, width: u32, height: u32) {
        let mobile = width < 700;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}),
        )
        .await;
    }

    /// Has the system prefer `light` or `dark`.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Keeps what is downloaded from now on in a folder of its own.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn keep_downloads(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display().to_string();
        let parameters = json!({ "behavior": "allow", "downloadPath": path });
        self.devtools("Browser.setDownloadBehavior", parameters).await;
        folder
    }

    /// Sends a command of the DevTools protocol, for what WebDriver lacks.
    async fn devtools(&self, command: &str, parameters: Value) {
        let session = self.client.session_id().await.expect("an answer").expect("a session");
        let url = format!("{}/session/{session}/goog/cdp/execute", self.driver);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let body = json!({ "cmd": command, "params": parameters });
        let answer = reqwest::Client::new().post(url).json(&body).send().await.expect(command);
        assert!(answer.status().is_success(), "{command}: {:?}", answer.text().await);
    }

    /// What a script returns.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.expect(script)
    }

    /// Waits until a script returns true.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until(&self, what: &str, script: &str) {
        eventually(what, async || {
            (self.client.execute(script, vec![]).await.ok()? == json!(true)).then_some(())
        })
        .await;
    }

    /// What axe-core finds wrong with the page as it is shown now, a line each.
    ///
    /// # Panics
    /// When it cannot be run.
    pub async fn inaccessible(&self) -> Vec<String> {
        const AXE: &str = include_str!("../vendor/axe-core/axe.min.js");
        const CHECK: &str = r"
            const done = arguments[arguments.length - 1];
            axe.run(document).then(
                ({ violations }) => done(violations.flatMap(({ id, nodes }) =>
                    nodes.map((node) => `${id}: ${node.target.join(' ')}: ${node.failureSummary}`))),
                (error) => done([String(error)]));";
        if self.run("return typeof axe").await != json!("object") {
            // The returned undefined keeps the library itself from being sent back.
            self.client.execute(&format!("{AXE}; return null"), vec![]).await.expect("axe-core");
        }
        let found = self.client.execute_async(CHECK, vec![]).await.expect("axe-core");
        serde_json::from_value(found).expect("lines")
    }

    /// The element with that test id, once it is there.
    ///
    /// # Panics
    /// When it does not appear.
    pub async fn find(&self, id: &str) -> Element {
        let css = format!("[data-testid=\"{id}\"]");
        eventually(&format!("the element {id}"), async || {
            self.client.find(Locator::Css(&css)).await.ok()
        })
        .await
    }

    /// Clicks an element once it is enabled and visible.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn click(&self, id: &str) {
        eventually(&format!("a click on {id}"), async || {
            let element = self.find(id).await;
            let ready = element.is_enabled().await.ok()? && element.is_displayed().await.ok()?;
            if ready { element.click().await.ok() } else { None }
        })
        .await;
    }

    /// Waits until a control is enabled, or disabled.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn until_enabled(&self, id: &str, enabled: bool) {
        eventually(&format!("{id} enabled: {enabled}"), async || {
            let now = self.find(id).await.is_enabled().await.ok()?;
            (now == enabled).then_some(())
        })
        .await;
    }

    /// Types into a field, replacing what it holds.
    ///
    /// # Panics
    /// When it cannot be typed into.
    pub async fn type_into(&self, id: &str, text: &str) {
        // The page may replace the element between two commands.
        eventually(&format!("{text:?} in the field {id}"), async || {
            let field = self.find(id).await;
            field.clear().await.ok()?;
            field.send_keys(text).await.ok()
        })
        .await;
    }

    /// Opens the console at `base` and connects as `actor`.
    ///
    /// # Panics
    /// When the console does not become live.
    pub async fn connect(&self, base: &str, actor: &str) {
        self.client.goto(&format!("{base}/ops")).await.expect("the console");
        self.type_into("token", TOKEN).await;
        self.type_into("actor", actor).await;
        self.click("connect").await;
        self.until_text("live-state", "live").await;
    }

    /// Clicks a control and agrees to what is asked.
    ///
    /// # Panics
    /// When there is no such control, or nothing is asked.
    pub async fn confirm(&self, id: &str) {
        self.click(id).await;
        self.click("confirm-ok").await;
    }

    /// Waits until an element's text holds `part`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_text(&self, id: &str, part: &str) {
        eventually(&format!("{part:?} in {id}"), async || {
            let text = self.find(id).await.text().await.ok()?;
            text.replace('\u{a0}', " ").to_lowercase().contains(&part.to_lowercase()).then_some(())
        })
        .await;
    }

    /// Keeps a picture of the window.
    ///
    /// # Panics
    /// When it cannot be taken or written.
    pub async fn picture(&self, path: &std::path::Path) {
        let png = self.client.screenshot().await.expect("a screenshot");
        std::fs::write(path, png).expect("a file");
    }
}

/// Starts a driver; it and its port. None when it exits: it wants one port on IPv4 and IPv6, and the
/// free one that it chose on the first may be taken on the second.
async fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver; tests/run.sh installs it");
    let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
    while let Some(line) = lines.next_line().await.expect("output") {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            let port = port.trim_end_matches('.').to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some((driver, port));
        }
    }
    None
}
