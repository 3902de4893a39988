//! `changedFields`, `nulledFields` and `diffFields`: from bitmaps to field names.
//!
//! In: the array's elements and the fields of the event's own schema (the source of the format is Salesforce's
//! `EventParser.java` and its Python `ChangeEventHeaderUtility`).
//! * `0x…`: hexadecimal, most significant byte first; bit *i*, counted from the least significant, stands for
//!   field *i* of the schema, the header being field 0.
//! * `N-0x…`: the same over the children of field *N*, a record; `N` is decimal.
//!
//! Out: names in the order of the elements, within one element by ascending bit; children as
//! `Parent.Child`, listed one by one also when all of them are set.
//!
//! A bit that the schema has no field for is an error: to leave it out would hide a change, and it is
//! how bitmaps read with another version of the schema are found out.

use std::sync::Arc;

use super::schema::Field;

/// Why an array of bitmaps has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BitmapError {
    #[error("element {element} is not a bitmap")]
    Malformed { element: usize },
    #[error("bit {bit} is outside the schema's {fields} fields")]
    OutsideSchema { bit: usize, fields: usize },
    #[error("bit {bit} is outside the {children} children of {parent}")]
    OutsideParent {
        bit: usize,
        children: usize,
        parent: Arc<str>,
    },
}

/// The names of the fields whose bits are set.
pub(super) fn field_names(bitmaps: &[&str], fields: &[Field]) -> Result<Vec<Arc<str>>, BitmapError> {
    let mut names = Vec::new();
    for (index, bitmap) in bitmaps.iter().enumerate() {
        let malformed = BitmapError::Malformed { element: index + 1 };
        match bitmap.split_once('-') {
            None => {
                for bit in set_bits(bitmap).ok_or(malformed)? {
                    let field = fields.get(bit).ok_or(BitmapError::OutsideSchema {
                        bit,
                        fields: fields.len(),
                    })?;
                    names.push(Arc::clone(field.name()));
                }
            }
            Some((parent, bitmap)) => {
                let (Some(parent), Some(bits)) = (decimal(parent), set_bits(bitmap)) else {
                    return Err(malformed);
                };
                let field = fields.get(parent).ok_or(BitmapError::OutsideSchema {
                    bit: parent,
                    fields: fields.len(),
                })?;
                for bit in bits {
                    let child = field
                        .children()
                        .get(bit)
                        .ok_or_else(|| BitmapError::OutsideParent {
                            bit,
                            children: field.children().len(),
                            parent: Arc::clone(field.name()),
                        })?;
                    names.push(Arc::clone(child));
                }
            }
        }
    }
    Ok(names)
}

/// Digits alone: `parse` would also take a sign.
fn decimal(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The set bits of `0x…` in ascending order; none of it is kept in memory.
fn set_bits(bitmap: &str) -> Option<impl Iterator<Item = usize>> {
    let digits = bitmap.strip_prefix("0x")?.as_bytes();
    let well_formed = !digits.is_empty() && digits.len().is_multiple_of(2);
    let nibble = |digit: &u8| char::from(*digit).to_digit(16);
    if !well_formed || !digits.iter().all(|digit| nibble(digit).is_some()) {
        return None;
    }
    Some(digits.iter().rev().enumerate().flat_map(move |(place, digit)| {
        let value = nibble(digit).unwrap_or_default();
        (0..4)
            .filter(move |bit| (value >> bit) & 1 == 1)
            .map(move |bit| place * 4 + bit)
    }))
}
