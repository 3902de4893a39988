//! From a path to a [`Loaded`] configuration, or to every mistake in it.

use std::path::Path;

use super::environment::Environment;
use super::keys::connections::FILE;
use super::problem::{Problem, Problems, why_unreadable};
use super::read::Reader;
use super::tree::Section;
use super::{Config, build, defaults, release, rules, show, yaml};

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// The path as given, for messages.
    file: String,
    tree: Section,
}

impl Loaded {
    /// The effective configuration as YAML, secrets masked.
    pub fn show(&self) -> String {
        show::show(&self.tree)
    }

    /// The same as JSON, secrets masked. Durations and shares are texts, as in the file.
    pub fn show_json(&self) -> serde_json::Value {
        show::json(&self.tree)
    }

    /// What this configuration asks for and a later release brings. A start with any of it is refused.
    pub fn unsupported(&self) -> Problems {
        Problems::new(&*self.file, release::unsupported(&self.tree))
    }
}

/// Reads the file with this process's environment.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    load_with(path, &Environment::of_process())
}

/// Reads the file with the given environment. Relative paths in it are relative to the working directory.
pub fn load_with(path: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => load_text(&file, bytes, environment),
        Err(error) => Err(Problems::new(file, vec![unreadable(&error)])),
    }
}

/// Reads what would stand in the file; `name` stands for its path in messages.
pub fn load_text(
    name: &str,
    text: impl Into<Vec<u8>>,
    environment: &Environment,
) -> Result<Loaded, Problems> {
    let file = name.to_owned();
    match parse(text.into(), environment) {
        Ok((config, tree)) => Ok(Loaded { config, file, tree }),
        Err(problems) => Err(Problems::new(file, problems)),
    }
}

/// The annotated example of every key.
pub fn example() -> String {
    super::example::example(false)
}

/// The JSON Schema of the file.
pub fn schema() -> String {
    super::schema::schema()
}

fn unreadable(error: &std::io::Error) -> Problem {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "name it with --config or SFBRIDGE_CONFIG; `sfbridge config example` prints one to start from"
        }
        std::io::ErrorKind::PermissionDenied => "let the user that runs sfbridge read it",
        _ => "it must be a file",
    };
    Problem::of_file(format!(
        "the configuration cannot be read ({}); {remedy}",
        why_unreadable(error)
    ))
}

fn parse(bytes: Vec<u8>, environment: &Environment) -> Result<(Config, Section), Vec<Problem>> {
    let source = String::from_utf8(bytes).map_err(|_| {
        vec![Problem::of_file(
            "the configuration is not UTF-8 text; save it as UTF-8",
        )]
    })?;
    let root = yaml::parse(&source).map_err(|problem| vec![problem])?;
    let mut reader = Reader {
        environment,
        problems: Vec::new(),
    };
    let tree = reader.section(FILE, &root, "");
    let mut problems = reader.problems;
    let Some(mut tree) = tree else {
        return Err(problems);
    };
    defaults::fill(&mut tree, environment);
    problems.extend(rules::check(&tree));
    if !problems.is_empty() {
        return Err(problems);
    }
    match build::config(&tree) {
        Some(config) => Ok((config, tree)),
        None => Err(vec![Problem::of_file(
            "passed every rule and yet makes no configuration: a bug in sfbridge, please report it",
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_with_all_of_its_routes_is_valid() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key.pem");
        std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").expect("written");
        let file = folder.path().join("sfbridge.yaml");
        std::fs::write(&file, super::super::example::example(true)).expect("written");
        let mut environment = Environment::default();
        let key = key.display().to_string();
        environment
            .variables
            .insert("SF_PRIVATE_KEY_FILE".to_owned(), key);
        environment
            .variables
            .insert("SF_CLIENT_ID".to_owned(), "id".to_owned());
        let loaded = load_with(&file, &environment)
            .map_err(|problems| problems.to_string())
            .expect("valid");
        assert_eq!(loaded.config.routes.len(), 4);
        assert!(loaded.unsupported().is_empty(), "all of them have come");
    }
}
