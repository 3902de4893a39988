//! A real browser: Chromium of the system, driven by puppeteer-core from npm.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::foreign;

const PACKAGES: [&str; 1] = ["puppeteer-core@25.16.0"];
/// Some seconds to start, some for each state that the page is to show; on a loaded machine more.
const LOOK_LIMIT: Duration = Duration::from_secs(400);
/// As the distributions name it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser's program and where its driver is installed.
#[derive(Debug)]
pub struct Browser {
    chromium: PathBuf,
    home: PathBuf,
}

impl Browser {
    /// # Errors
    /// Why there is none here.
    pub async fn find() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let chromium = NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .find(|program| program.is_file())
            .ok_or("none of chromium, chromium-browser, google-chrome is installed")?;
        let home = foreign::home("browser");
        foreign::npm(&home, &PACKAGES).await?;
        Ok(Self { chromium, home })
    }

    /// Runs `tests/foreign/page.mjs`. With `SFBRIDGE_WRITE_IMAGES` it draws the pictures in `docs/images`.
    pub async fn look(&self, mut given: Json) -> Json {
        // Node looks for packages beside the script.
        let name = uuid::Uuid::new_v4().simple().to_string();
        let script = self.home.join(format!("page-{name}.mjs"));
        std::fs::copy(foreign::script("page.mjs"), &script).expect("the script can be copied");
        given["chromium"] = json!(self.chromium);
        if std::env::var_os("SFBRIDGE_WRITE_IMAGES").is_some() {
            given["images"] = json!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images"));
        }
        let seen = foreign::run_within(
            Command::new("node").arg(&script).arg(given.to_string()),
            LOOK_LIMIT,
        )
        .await;
        let _ = std::fs::remove_file(script);
        seen
    }
}
