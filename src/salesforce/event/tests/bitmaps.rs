//! The vectors of Salesforce's documentation, of its samples and of real events, then our own.

use serde_json::{Value as Json, json};

use super::fixtures::{ACCOUNT, change_schema, compound, field, parse};
use crate::salesforce::event::EventSchema;
use crate::salesforce::event::bitmap::{BitmapError, field_names};

fn names(schema: &EventSchema, bitmaps: &[&str]) -> Vec<String> {
    let names = field_names(bitmaps, schema.fields()).unwrap();
    names.iter().map(ToString::to_string).collect()
}

fn error(schema: &EventSchema, bitmaps: &[&str]) -> String {
    field_names(bitmaps, schema.fields()).unwrap_err().to_string()
}

fn texts(fields: &[&str]) -> Vec<Json> {
    fields
        .iter()
        .map(|name| field(name, "string", "Data:Text"))
        .collect()
}

const ADDRESS: [&str; 10] = [
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "StateCode",
    "CountryCode",
    "Latitude",
    "Longitude",
    "GeocodeAccuracy",
];

/// Account in an org without record types, as in the Change Data Capture guide. Both addresses are one named
/// type, the second by reference.
fn guide_account() -> EventSchema {
    let mut fields = texts(&["Name", "Type", "ParentId"]);
    fields.push(compound("BillingAddress", "Address", &ADDRESS));
    fields.push(json!({"name": "ShippingAddress", "type": ["null", "Address"], "default": null}));
    fields.extend(texts(&[
        "Phone",
        "Fax",
        "AccountNumber",
        "Website",
        "Sic",
        "Industry",
        "AnnualRevenue",
        "NumberOfEmployees",
        "Ownership",
        "TickerSymbol",
        "Description",
        "Rating",
        "Site",
        "OwnerId",
        "CreatedDate",
        "CreatedById",
        "LastModifiedDate",
        "LastModifiedById",
    ]));
    parse(&change_schema(&fields))
}

/// Fields named after their own bit.
fn numbered(fields: usize) -> EventSchema {
    let fields: Vec<_> = (1..fields)
        .map(|bit| field(&format!("F{bit}"), "string", "Data:Text"))
        .collect();
    parse(&change_schema(&fields))
}

#[test]
fn the_guides_account_samples_decode() {
    let account = guide_account();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["0x400800"], &["Industry", "LastModifiedDate"]),
        (
            &["0x400000", "4-0x01"],
            &["LastModifiedDate", "BillingAddress.Street"],
        ),
        (&["0x400080"], &["Fax", "LastModifiedDate"]),
        (&["0x410000"], &["Description", "LastModifiedDate"]),
        (&["0x010000"], &["Description"]),
        (&["0x400004"], &["Type", "LastModifiedDate"]),
        (&["5-0x12"], &["ShippingAddress.City", "ShippingAddress.Country"]),
    ];
    for (bitmaps, expected) in cases {
        assert_eq!(names(&account, bitmaps), expected, "{bitmaps:?}");
    }
}

#[test]
fn a_real_accounts_bitmap_decodes_with_record_types_in_the_schema() {
    let account = EventSchema::parse("real", ACCOUNT).unwrap();
    assert_eq!(names(&account, &["0x800002"]), ["Name", "LastModifiedDate"]);
}

#[test]
fn a_lead_conversion_names_its_seven_fields() {
    let mut fields: Vec<_> = (1..=27).map(|bit| format!("F{bit}")).collect();
    for (bit, name) in [
        (12, "Status"),
        (19, "IsConverted"),
        (20, "ConvertedDate"),
        (21, "ConvertedAccountId"),
        (22, "ConvertedContactId"),
        (23, "ConvertedOpportunityId"),
        (27, "LastModifiedDate"),
    ] {
        fields[bit - 1] = name.to_owned();
    }
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    let lead = parse(&change_schema(&texts(&fields)));
    assert_eq!(
        names(&lead, &["0x08F81000"]),
        [
            "Status",
            "IsConverted",
            "ConvertedDate",
            "ConvertedAccountId",
            "ConvertedContactId",
            "ConvertedOpportunityId",
            "LastModifiedDate"
        ]
    );
}

#[test]
fn bit_positions_of_other_samples_are_right() {
    let schema = numbered(32);
    let cases: [(&str, &[&str]); 3] = [
        (
            "0x650004E0",
            &["F5", "F6", "F7", "F10", "F24", "F26", "F29", "F30"],
        ),
        ("0xA0060140", &["F6", "F8", "F17", "F18", "F29", "F31"]),
        ("0x2080", &["F7", "F13"]),
    ];
    for (bitmap, expected) in cases {
        assert_eq!(names(&schema, &[bitmap]), expected, "{bitmap}");
        assert_eq!(
            names(&schema, &[&bitmap.to_lowercase()]),
            expected,
            "{bitmap} in lower case"
        );
    }
}

#[test]
fn nested_samples_name_the_right_children() {
    let mut fields = texts(&["F1", "F2", "F3"]);
    fields.push(compound("Four", "Four", &["a", "b", "c", "d", "e"]));
    fields.extend(texts(&["F5", "F6"]));
    fields.push(compound("Seven", "Seven", &["a", "b", "c"]));
    let schema = parse(&change_schema(&fields));
    assert_eq!(names(&schema, &["4-0x10"]), ["Four.e"]);
    assert_eq!(names(&schema, &["7-0x06"]), ["Seven.b", "Seven.c"]);
}

/// Schema S of the computed vectors.
fn schema_s() -> EventSchema {
    let mut fields = vec![
        compound("Name", "PersonName", &["Salutation", "FirstName", "LastName"]),
        compound("BillingAddress", "Address", &ADDRESS),
    ];
    fields.extend(texts(&[
        "Phone",
        "Fax",
        "Industry",
        "AnnualRevenue",
        "OwnerId",
        "CreatedDate",
        "LastModifiedDate",
        "A__c",
        "B__c",
    ]));
    fields.push(compound("Loc__c", "Location", &["Latitude", "Longitude"]));
    parse(&change_schema(&fields))
}

#[test]
fn computed_vectors_list_children_one_by_one() {
    let schema = schema_s();
    let whole_address: Vec<_> = ADDRESS
        .iter()
        .map(|child| format!("BillingAddress.{child}"))
        .collect();
    let whole_address: Vec<_> = whole_address.iter().map(String::as_str).collect();
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &[]),
        (&["0x02"], &["Name"]),
        (&["0x08"], &["Phone"]),
        (&["0x0008"], &["Phone"]),
        (&["0x0208"], &["Phone", "LastModifiedDate"]),
        (&["1-0x04"], &["Name.LastName"]),
        (&["2-0x03FF"], &whole_address),
        (
            &["0x0200", "2-0x05"],
            &[
                "LastModifiedDate",
                "BillingAddress.Street",
                "BillingAddress.State",
            ],
        ),
        (
            &["0x0200", "2-0x01", "12-0x03"],
            &[
                "LastModifiedDate",
                "BillingAddress.Street",
                "Loc__c.Latitude",
                "Loc__c.Longitude",
            ],
        ),
        (
            &["0x0220", "1-0x06", "2-0x0180"],
            &[
                "Industry",
                "LastModifiedDate",
                "Name.FirstName",
                "Name.LastName",
                "BillingAddress.Latitude",
                "BillingAddress.Longitude",
            ],
        ),
    ];
    for (bitmaps, expected) in cases {
        assert_eq!(names(&schema, bitmaps), expected, "{bitmaps:?}");
    }
}

#[test]
fn a_bit_outside_the_schema_is_an_error_that_names_it() {
    let schema = schema_s();
    assert_eq!(
        error(&schema, &["0x8208"]),
        "bit 15 is outside the schema's 13 fields"
    );
    assert_eq!(
        error(&schema, &["1-0x09"]),
        "bit 3 is outside the 3 children of Name"
    );
    assert_eq!(
        error(&schema, &["13-0x01"]),
        "bit 13 is outside the schema's 13 fields"
    );
    // A field without children, as under another version of the schema.
    assert_eq!(
        error(&schema, &["3-0x01"]),
        "bit 0 is outside the 0 children of Phone"
    );
}

#[test]
fn what_is_not_a_bitmap_is_an_error_that_says_which_element() {
    let schema = schema_s();
    for wrong in [
        "",
        "0x",
        "0",
        "08",
        "0x8",
        "0x0g",
        "0X08",
        "x08",
        "-0x01",
        "1-",
        "1-01",
        "+1-0x01",
        "1--0x01",
        "a-0x01",
        "1-0x1",
        "0x08 ",
        "99999999999999999999999-0x01",
        "0xé",
        "Phone",
    ] {
        let result = field_names(&["0x02", wrong], schema.fields());
        assert_eq!(result, Err(BitmapError::Malformed { element: 2 }), "{wrong:?}");
    }
}

#[test]
fn a_person_accounts_name_has_children_in_a_three_way_union() {
    let account = EventSchema::parse("real", ACCOUNT).unwrap();
    assert_eq!(
        names(&account, &["0x800000", "1-0x06"]),
        ["LastModifiedDate", "Name.FirstName", "Name.LastName"]
    );
}
