//! The broker's jars: copied once by Maven into `target/kafka`, used by every later run.

use std::path::{Path, PathBuf};
use std::process::Command;

const POM: &str = include_str!("../../pom.xml");

/// The folder with the jars, or why there is none.
pub fn kafka_jars() -> Result<PathBuf, String> {
    tool("java", "-version")?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .ok_or("no target folder")?;
    let jars = target.join("kafka");
    // The stamp is the pom itself, written last: a copy cut off, or of another version, is made again.
    let stamp = jars.join("pom.xml");
    if std::fs::read_to_string(&stamp).is_ok_and(|of| of == POM) {
        return Ok(jars);
    }
    tool("mvn", "-version")?;
    let _ = std::fs::remove_dir_all(&jars);
    std::fs::create_dir_all(&jars).map_err(|error| format!("{}: {error}", jars.display()))?;
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .map_err(|error| format!("mvn: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(format!(
            "Maven could not fetch the broker's jars: {}",
            said.trim()
        ));
    }
    std::fs::write(&stamp, POM).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(jars)
}

fn tool(name: &str, flag: &str) -> Result<(), String> {
    let found = Command::new(name)
        .arg(flag)
        .output()
        .is_ok_and(|output| output.status.success());
    if found {
        Ok(())
    } else {
        Err(format!("{name} does not run here"))
    }
}
