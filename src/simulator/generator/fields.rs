//! Values that look like business.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value as Json, json};

const COMPANIES: &[&str] = &[
    "Northwind",
    "Blue Harbour",
    "Cedar",
    "Lumen",
    "Ostwald",
    "Pine Ridge",
    "Quarry",
    "Vela",
];
const KINDS: &[&str] = &[
    "Energy",
    "Logistics",
    "Textiles",
    "Foods",
    "Instruments",
    "Partners",
];
const INDUSTRIES: &[&str] = &[
    "Energy",
    "Transportation",
    "Apparel",
    "Food & Beverage",
    "Electronics",
    "Consulting",
];
const FIRST_NAMES: &[&str] = &[
    "Ada", "Björn", "Chloé", "Dalia", "Emre", "Fumiko", "Grace", "Henrik",
];
const LAST_NAMES: &[&str] = &[
    "Álvarez", "Brandt", "Chen", "Dubois", "Eriksson", "Fischer", "Okafor", "Singh",
];
const STREETS: &[&str] = &[
    "Harbour Road",
    "Mill Lane",
    "Station Street",
    "Market Square",
    "Hill View",
];
const CITIES: &[(&str, &str, &str, f64, f64)] = &[
    ("Hamburg", "20457", "Germany", 53.54, 9.98),
    ("Lyon", "69002", "France", 45.76, 4.83),
    ("Leeds", "LS1 4DY", "United Kingdom", 53.79, -1.54),
    ("Osaka", "530-0001", "Japan", 34.70, 135.50),
];
const STATUSES: &[&str] = &["Draft", "Activated", "Packed", "Shipped", "Closed"];
const CARRIERS: &[&str] = &["Parcel Express", "Rail Freight", "City Bikes"];

fn pick<'a>(rng: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.choose(rng).copied().unwrap_or_default()
}

pub(super) fn company(rng: &mut StdRng) -> String {
    format!("{} {}", pick(rng, COMPANIES), pick(rng, KINDS))
}

pub(super) fn industry(rng: &mut StdRng) -> &'static str {
    pick(rng, INDUSTRIES)
}

pub(super) fn status(rng: &mut StdRng) -> &'static str {
    pick(rng, STATUSES)
}

pub(super) fn carrier(rng: &mut StdRng) -> &'static str {
    pick(rng, CARRIERS)
}

pub(super) fn phone(rng: &mut StdRng) -> String {
    format!("+44 113 {:07}", rng.random_range(0..10_000_000))
}

/// Whole cents.
pub(super) fn amount(rng: &mut StdRng, cents_max: u32) -> f64 {
    f64::from(rng.random_range(100..cents_max)) / 100.0
}

/// `Salutation`, `FirstName`, `LastName`.
pub(super) fn person(rng: &mut StdRng) -> Json {
    json!({"FirstName": pick(rng, FIRST_NAMES), "LastName": pick(rng, LAST_NAMES)})
}

pub(super) fn street(rng: &mut StdRng) -> String {
    format!("{} {}", rng.random_range(1..200), pick(rng, STREETS))
}

pub(super) fn address(rng: &mut StdRng) -> Json {
    let (city, code, country, latitude, longitude) = CITIES.choose(rng).copied().unwrap_or(CITIES[0]);
    json!({"Street": street(rng), "City": city, "PostalCode": code, "Country": country,
        "Latitude": latitude, "Longitude": longitude, "GeocodeAccuracy": "Street"})
}

/// What every new record has.
pub(super) fn system(fields: &mut Map<String, Json>, user: &str, now_ms: i64) {
    for (name, value) in [
        ("OwnerId", json!(user)),
        ("CreatedDate", json!(now_ms)),
        ("CreatedById", json!(user)),
        ("LastModifiedDate", json!(now_ms)),
        ("LastModifiedById", json!(user)),
    ] {
        fields.insert(name.to_owned(), value);
    }
}
