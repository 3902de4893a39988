//! The manifests: Kubernetes' schemas, the types of the operators, and the bridge's own configuration inside them.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::types::{complaints, npm};
use super::{config_show, heard, list, python, read, repository, text, yaml};
use crate::need;
use crate::support::foreign;

const BASE: &str = "deploy/kubernetes/base";
const SECRETS: &str = "/run/secrets/sfbridge";

async fn manifest(python: &Path, path: &str) -> Json {
    yaml(python, format!("deploy/kubernetes/{path}")).await.remove(0)
}

/// What is wrong with each document.
async fn problems(python: &Path, documents: &[Json]) -> Vec<Json> {
    let mut command = Command::new(python.join("bin/python"));
    command
        .arg(foreign::script("kubernetes.py"))
        .arg(json!(documents).to_string());
    let Json::Array(problems) = foreign::run(&mut command).await else {
        panic!("a list");
    };
    problems
}

#[tokio::test]
async fn the_manifests_are_what_kubernetes_takes() {
    let python = need!("foreign", python().await);
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(repository(BASE)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !matches!(name.as_str(), "kustomization.yaml" | "sfbridge.yaml") {
            documents.extend(yaml(&python, path).await);
        }
    }
    assert!(documents.len() >= 5, "they are found");
    let found = problems(&python, &documents).await;
    assert!(found.iter().all(Json::is_null), "{found:#?}");

    let mut wrong = documents.remove(0);
    wrong["spec"]["nobody"] = json!(1);
    let found = problems(&python, &[wrong]).await;
    assert!(found[0].to_string().contains("nobody"), "{found:?}");
}

#[tokio::test]
async fn the_operators_manifests_are_what_they_take() {
    let python = need!("foreign", python().await);
    let npm = need!("foreign", npm().await);
    let mut documents = yaml(&python, "deploy/kubernetes/keda/scaledobject.yaml").await;
    documents.extend(yaml(&python, "deploy/kubernetes/monitoring/podmonitor.yaml").await);
    let typed = |documents: &[Json]| -> Vec<(&'static str, String)> {
        documents
            .iter()
            .map(|document| {
                let module = match text(document, "/apiVersion") {
                    "keda.sh/v1alpha1" => "@kubernetes-models/keda/keda.sh/v1alpha1",
                    "monitoring.coreos.com/v1" => {
                        "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
                    }
                    other => panic!("nobody's: {other}"),
                };
                (module, format!("I{}", text(document, "/kind")))
            })
            .collect()
    };
    let told = async |name: &str, documents: &[Json]| {
        let given: Vec<_> = typed(documents)
            .into_iter()
            .zip(documents)
            .map(|((module, kind), document)| (module, kind, document))
            .collect();
        complaints(&npm, name, &given).await
    };
    assert_eq!(told("operators", &documents).await, "");
    documents[0]["spec"]["minReplicas"] = json!(1);
    let wrong = told("no-operators", &documents).await;
    assert!(wrong.contains("minReplicas"), "{wrong}");
}

#[tokio::test]
async fn the_overlays_put_together_what_kubernetes_takes() {
    let python = need!("foreign", python().await);
    let (has_kubectl, _) = heard(Command::new("sh").args(["-c", "kubectl kustomize --help"])).await;
    let found = has_kubectl
        .then_some(())
        .ok_or_else(|| "kubectl is not installed".to_owned());
    need!("kubectl", found);
    for (overlay, replicas) in [("base", json!(2)), ("full", Json::Null)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.yaml");
        let mut build = Command::new("kubectl");
        build
            .arg("kustomize")
            .arg(repository(&format!("deploy/kubernetes/{overlay}")))
            .arg("-o")
            .arg(&file);
        super::said(&mut build).await;
        let documents = yaml(&python, &file).await;
        let of = |kind: &str| {
            documents
                .iter()
                .find(|document| document["kind"] == kind)
                .unwrap()
        };
        // KEDA's number of replicas is not ours to say.
        assert_eq!(of("StatefulSet")["spec"]["replicas"], replicas, "{overlay}");
        // Another configuration is another name, and so another rollout.
        let config = text(of("ConfigMap"), "/metadata/name");
        assert!(
            config.starts_with("sfbridge-") && config.len() > "sfbridge-".len(),
            "{config}"
        );
        let mounted = text(of("StatefulSet"), "/spec/template/spec/volumes/0/configMap/name");
        assert_eq!(mounted, config);
        let core: Vec<Json> = documents
            .iter()
            .filter(|document| {
                !text(document, "/apiVersion").contains(".s")
                    && !text(document, "/apiVersion").contains("coreos")
            })
            .cloned()
            .collect();
        assert!(core.len() >= 5, "{documents:#?}");
        let found = problems(&python, &core).await;
        assert!(found.iter().all(Json::is_null), "{found:#?}");
    }
}

#[tokio::test]
async fn the_configuration_in_the_manifests_is_right_and_so_is_what_it_mounts() {
    let python = need!("foreign", python().await);
    let (secret, pod) = (
        manifest(&python, "base/secret.example.yaml").await,
        manifest(&python, "base/statefulset.yaml").await["spec"]["template"]["spec"].clone(),
    );
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in secret["stringData"].as_object().unwrap() {
        std::fs::write(folder.path().join(name), value.as_str().unwrap()).unwrap();
    }
    let configuration = read("deploy/kubernetes/base/sfbridge.yaml");
    let file: PathBuf = folder.path().join("sfbridge.yaml");
    std::fs::write(
        &file,
        configuration.replace(SECRETS, &folder.path().display().to_string()),
    )
    .unwrap();
    let shown = config_show(&file, &[("POD_NAME", "sfbridge-0")]).await;
    assert!(shown.contains("instance: sfbridge-0"), "{shown}");

    let container = &pod["containers"][0];
    assert_eq!(text(container, "/env/0/name"), "POD_NAME");
    assert_eq!(text(container, "/volumeMounts/1/mountPath"), SECRETS);
    assert_eq!(text(container, "/volumeMounts/0/mountPath"), "/etc/sfbridge");
    assert!(read("Dockerfile").contains("SFBRIDGE_CONFIG=/etc/sfbridge/sfbridge.yaml"));
    assert!(read("Dockerfile").contains("USER 10001:10001"));
    assert_eq!(pod["securityContext"]["runAsUser"], 10001);
    // A drain has its time.
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(
        configuration.contains("shutdown_timeout: 30s") && grace > 30,
        "{grace}"
    );
}

#[tokio::test]
async fn keda_looks_at_the_lag_of_a_route_that_there_is() {
    let python = need!("foreign", python().await);
    let configuration = manifest(&python, "base/sfbridge.yaml").await;
    let scaled = manifest(&python, "keda/scaledobject.yaml").await;
    let trigger = &scaled["spec"]["triggers"][0]["metadata"];
    let route = list(&configuration, "/routes")
        .iter()
        .find(|route| route["from"]["kafka"] == trigger["topic"])
        .expect("a route from that topic");
    let group = format!(
        "sfbridge.{}.{}",
        text(&configuration, "/bridge/name"),
        text(route, "/name")
    );
    assert_eq!(text(trigger, "/consumerGroup"), group);
    assert_eq!(
        text(trigger, "/bootstrapServers"),
        text(&configuration, "/kafka/bootstrap_servers")
    );
    assert_eq!(text(&scaled, "/spec/scaleTargetRef/name"), "sfbridge");
    // Without an instance, routes from Salesforce would stop.
    assert!(scaled["spec"]["minReplicaCount"].as_u64().unwrap() >= 1);
}
