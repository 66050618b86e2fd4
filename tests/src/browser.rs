//! A real Chromium, driven as a person would: clicks, keys, and what can be seen.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::eventually;

const WITHIN: Duration = Duration::from_secs(15);

/// A browser window of its own, with a fresh profile.
#[derive(Debug)]
pub struct Browser {
    /// The WebDriver client.
    pub client: Client,
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
    /// Opens a window of so many pixels.
    ///
    /// # Panics
    /// When Chromium or its driver is missing: `tests/run.sh` installs both.
    pub async fn open(width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver; tests/run.sh installs it");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("output").expect("chromedriver's port");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
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
        });
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(options.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser session");
        Self { client, _driver: driver, profile }
    }

    /// The element with that test id, once it is there.
    ///
    /// # Panics
    /// When it does not appear.
    pub async fn find(&self, id: &str) -> Element {
        let css = format!("[data-testid=\"{id}\"]");
        eventually(&format!("the element {id}"), WITHIN, async || {
            self.client.find(Locator::Css(&css)).await.ok()
        })
        .await
    }

    /// Clicks an element once it is enabled and visible.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn click(&self, id: &str) {
        eventually(&format!("a click on {id}"), WITHIN, async || {
            let element = self.find(id).await;
            let ready = element.is_enabled().await.ok()? && element.is_displayed().await.ok()?;
            if ready { element.click().await.ok() } else { None }
        })
        .await;
    }

    /// Types into a field, replacing what it holds.
    ///
    /// # Panics
    /// When it cannot be typed into.
    pub async fn type_into(&self, id: &str, text: &str) {
        let field = self.find(id).await;
        field.clear().await.expect(id);
        field.send_keys(text).await.expect(id);
    }

    /// Waits until an element's text holds `part`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_text(&self, id: &str, part: &str) {
        eventually(&format!("{part:?} in {id}"), WITHIN, async || {
            let text = self.find(id).await.text().await.ok()?;
            text.to_lowercase().contains(&part.to_lowercase()).then_some(())
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
