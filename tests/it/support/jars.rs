//! The Java programs that the tests run against: fetched once by Maven into a folder below `target`, used by
//! every later run.

use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::Mutex;

const POM: &str = include_str!("../../pom.xml");

/// The folder with the broker's jars, or why there is none.
pub fn kafka_jars() -> Result<PathBuf, String> {
    fetched_once("kafka", POM, |folder| {
        run(Command::new("mvn")
            .args(["--batch-mode", "--quiet", "--file"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pom.xml"))
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", folder.display())))
    })
}

/// The folder with a release of Apicurio Registry, or why there is none.
pub fn registry_files(version: &str) -> Result<PathBuf, String> {
    fetched_once(&format!("registry-{version}"), version, |folder| {
        let archive = folder.join(format!("apicurio-registry-app-{version}-all.tar.gz"));
        // Not `unpack`: it leaves its markers in the folder where the tests are started.
        run(Command::new("mvn")
            .args(["--batch-mode", "--quiet", "dependency:copy"])
            .arg(format!(
                "-Dartifact=io.apicurio:apicurio-registry-app:{version}:tar.gz:all"
            ))
            .arg(format!("-DoutputDirectory={}", folder.display())))?;
        run(Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(folder))?;
        std::fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))
    })
}

/// The stamp is written last: what was cut off, or is of another version, is fetched again.
fn fetched_once(
    name: &str,
    stamp: &str,
    fetch: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    tool("java", "-version")?;
    let _alone = ONE_AT_A_TIME.lock();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .ok_or("no target folder")?;
    let folder = target.join(name);
    let stamp_file = folder.join(".complete");
    if std::fs::read_to_string(&stamp_file).is_ok_and(|of| of == stamp) {
        return Ok(folder);
    }
    tool("mvn", "-version")?;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    fetch(&folder)?;
    std::fs::write(&stamp_file, stamp).map_err(|error| format!("{}: {error}", stamp_file.display()))?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(if output.stdout.is_empty() {
        &output.stderr
    } else {
        &output.stdout
    });
    Err(format!("{program} could not fetch it: {}", said.trim()))
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
