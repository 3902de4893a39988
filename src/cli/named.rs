//! A name that was typed, among those that there are: found, or told with the nearest one.

use super::answer::Refused;
use crate::config::suggest::pick;
use crate::config::{Config, RouteConfig};

/// As many as a person reads.
const NAMES_SHOWN: usize = 12;

/// # Errors
/// When the configuration has no such route: which it has, and which was meant perhaps.
pub(super) fn route<'a>(config: &'a Config, name: &str) -> Result<&'a RouteConfig, Refused> {
    let mut routes = config.routes.iter();
    let names = || config.routes.iter().map(|route| route.name.as_str());
    routes
        .find(|route| route.name == name)
        .ok_or_else(|| Refused::Asked(unknown("route", name, names())))
}

/// `no route is called acounts; did you mean accounts? There are accounts, orders`
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = pick(name, known.iter().map(|&name| name.to_owned()));
    let hint = nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    let there = match known.len() {
        0 => "there is none".to_owned(),
        1..=NAMES_SHOWN => format!("there are {}", known.join(", ")),
        count => format!(
            "there are {} and {} more",
            known[..NAMES_SHOWN].join(", "),
            count - NAMES_SHOWN
        ),
    };
    let there = if hint.is_empty() {
        format!("; {there}")
    } else {
        format!(" T{}", &there[1..])
    };
    format!("no {what} is called {name}{hint}{there}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_gets_its_suggestion_and_a_long_list_is_cut() {
        let told = |name, known: &[&str]| unknown("route", name, known.iter().copied());
        assert_eq!(
            told("acounts", &["accounts", "orders"]),
            "no route is called acounts; did you mean accounts? There are accounts, orders"
        );
        assert_eq!(
            told("nobody", &["accounts"]),
            "no route is called nobody; there are accounts"
        );
        assert_eq!(told("a", &[]), "no route is called a; there is none");
        let many: Vec<String> = (0..30).map(|n| format!("route-{n:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(told("x", &many).ends_with("route-11 and 18 more"));
    }
}
