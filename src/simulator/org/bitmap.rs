//! Field names to the bitmaps of `changedFields`, `nulledFields` and `diffFields`.
//!
//! `["0x400800", "4-0x01"]`: the first element has a bit for each field of the schema (bit 0 is the last byte's
//! lowest, and stands for `ChangeEventHeader`); each `N-0x…` has one for each child of the compound field `N`.
//! A compound whose children alone changed is not flagged in the first element.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;

use super::schemas::EventSchema;

/// Bitmaps of the fields named (`Industry`, `BillingAddress.Street`).
///
/// # Errors
/// The first name that the schema has not.
pub(crate) fn encode(schema: &EventSchema, names: &[String]) -> Result<Vec<String>, String> {
    let mut top = Vec::new();
    let mut nested: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let unknown = |name: &str| format!("{} has no field {name}", schema.name);
    for name in names {
        let (parent, child) = name
            .split_once('.')
            .map_or((name.as_str(), None), |(p, c)| (p, Some(c)));
        let index = *schema.record().lookup.get(parent).ok_or_else(|| unknown(name))?;
        match child {
            None => top.push(index),
            Some(child) => {
                let record = compound(schema, index).ok_or_else(|| unknown(name))?;
                let bit = *record.lookup.get(child).ok_or_else(|| unknown(name))?;
                nested.entry(index).or_default().push(bit);
            }
        }
    }
    let mut maps = Vec::new();
    if !top.is_empty() {
        maps.push(hex(&top));
    }
    maps.extend(
        nested
            .iter()
            .map(|(index, bits)| format!("{index}-{}", hex(bits))),
    );
    Ok(maps)
}

fn compound(schema: &EventSchema, index: usize) -> Option<&RecordSchema> {
    match &schema.record().fields.get(index)?.schema {
        Schema::Union(union) => union
            .variants()
            .iter()
            .find_map(|variant| schema.as_record(variant)),
        other => schema.as_record(other),
    }
}

/// Upper-case hexadecimal, whole bytes, as few as hold the highest bit.
fn hex(bits: &[usize]) -> String {
    let length = bits.iter().max().map_or(0, |highest| highest / 8 + 1);
    let mut bytes = vec![0_u8; length];
    for bit in bits {
        bytes[length - 1 - bit / 8] |= 1 << (bit % 8);
    }
    format!("0x{}", hex::encode_upper(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::schemas::{ACCOUNT, EventSchema};
    use super::*;

    fn maps(names: &[&str]) -> Result<Vec<String>, String> {
        let schema = EventSchema::parse(ACCOUNT).expect("the sample parses");
        encode(
            &schema,
            &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_bitmap_of_the_real_update_event_comes_out() {
        assert_eq!(maps(&["Name", "LastModifiedDate"]), Ok(vec!["0x800002".into()]));
    }

    #[test]
    fn children_of_a_compound_have_their_own_map_and_leave_the_parent_unflagged() {
        let names = [
            "LastModifiedDate",
            "BillingAddress.Street",
            "ShippingAddress.GeocodeAccuracy",
        ];
        assert_eq!(
            maps(&names),
            Ok(vec!["0x800000".into(), "5-0x01".into(), "6-0x0200".into()])
        );
        assert_eq!(maps(&["Name.LastName"]), Ok(vec!["1-0x04".into()]));
        assert_eq!(
            maps(&["Some_Geolocation__c.Longitude"]),
            Ok(vec!["71-0x02".into()])
        );
    }

    #[test]
    fn no_names_give_no_maps_and_an_unknown_one_is_refused() {
        assert_eq!(maps(&[]), Ok(vec![]));
        assert!(maps(&["Colour__c"]).is_err_and(|message| message.contains("Colour__c")));
        assert!(maps(&["Phone.Extension"]).is_err());
    }
}
