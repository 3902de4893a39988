//! Apache Kafka's own command-line tools, under the names that operators and the documentation use.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::jars::kafka_jars;

/// Each is a Java program that asks a broker.
const RUN_LIMIT: Duration = Duration::from_secs(60);

const TOOLS: [(&str, &str); 5] = [
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
];

/// A folder of executables for a `PATH`, or why there is none.
pub fn folder() -> Result<PathBuf, String> {
    let jars = kafka_jars()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-tools");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for (name, class) in TOOLS {
        let script = format!(
            "#!/bin/sh\nexec java -Xmx128m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp '{}/*' {class} \"$@\"\n",
            jars.display()
        );
        let path = folder.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == script) {
            continue;
        }
        // Moved into its place whole: tests run side by side.
        let fresh = folder.join(format!("{name}.{}", uuid::Uuid::new_v4().simple()));
        std::fs::write(&fresh, script).map_err(failed)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        std::fs::rename(&fresh, &path).map_err(failed)?;
    }
    Ok(folder)
}

/// Runs one of them against a broker; it must succeed.
pub async fn run(tool: &str, bootstrap: &str, arguments: &[&str]) {
    let run = Command::new(folder().unwrap().join(tool))
        .args(["--bootstrap-server", bootstrap])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(RUN_LIMIT, run).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Denies everybody the use of a transactional id, or of all with a prefix, at a broker that has an authorizer.
pub async fn deny_transactional_id(bootstrap: &str, id: &str, pattern: &str) {
    let arguments = [
        ["--add", "--deny-principal", "User:*"].as_slice(),
        &["--operation", "All", "--resource-pattern-type", pattern],
        &["--transactional-id", id],
    ];
    run("kafka-acls", bootstrap, &arguments.concat()).await;
}
