//! The scalars of an event: `Event { wall_time: 1, step: 2, summary: 5 }`, `Summary { value: 1 { tag: 1, simple_value: 2,
//! tensor: 8 } }`. PyTorch writes simple values, TensorFlow 2 tensors of one element.

use super::frame::little_endian;
use super::wire::{Field, fields, varint};

/// The types of tensors that hold a number.
const FLOAT: u64 = 1;
const DOUBLE: u64 = 2;
const INT32: u64 = 3;
const INT64: u64 = 9;
const BFLOAT16: u64 = 14;
const HALF: u64 = 19;

/// What one record says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Absent when it is negative.
    pub step: Option<u64>,
    /// Tags and values.
    pub scalars: Vec<(String, f64)>,
}

/// Reads an event. What is no scalar, and what is damaged, is left out.
pub(super) fn event(record: &[u8]) -> Event {
    // A field of value zero is not written.
    let mut event = Event { step: Some(0), ..Event::default() };
    for (number, field) in fields(record) {
        match (number, field) {
            (1, Field::Fixed(bits)) => event.wall_time = f64::from_bits(bits),
            (2, Field::Varint(step)) => event.step = u64::try_from(step as i64).ok(),
            (5, Field::Bytes(summary)) => {
                let values = fields(summary).filter_map(|(number, field)| match (number, field) {
                    (1, Field::Bytes(value)) => scalar(value),
                    _ => None,
                });
                event.scalars.extend(values);
            }
            _ => {}
        }
    }
    event
}

fn scalar(value: &[u8]) -> Option<(String, f64)> {
    let (mut tag, mut number) = (None, None);
    for (field_number, field) in fields(value) {
        match (field_number, field) {
            (1, Field::Bytes(text)) => tag = Some(String::from_utf8_lossy(text).into_owned()),
            (2, Field::Fixed(bits)) => number = Some(f64::from(f32::from_bits(bits as u32))),
            (8, Field::Bytes(message)) => number = tensor(message),
            _ => {}
        }
    }
    Some((tag.filter(|tag| !tag.is_empty())?, shortest(number?)))
}

/// The number of a tensor with one element.
fn tensor(message: &[u8]) -> Option<f64> {
    let kind = fields(message).find_map(|(number, field)| match (number, field) {
        (1, Field::Varint(kind)) => Some(kind),
        _ => None,
    })?;
    let mut numbers = Vec::new();
    for (number, field) in fields(message) {
        match (number, kind, field) {
            (2, _, Field::Bytes(shape)) if !has_one_element(shape) => return None,
            (4, _, Field::Bytes(content)) => numbers.push(plain(kind, content)?),
            (5, FLOAT, field) => numbers.push(f64::from(f32::from_bits(fixed(field, 4)? as u32))),
            (6, DOUBLE, field) => numbers.push(f64::from_bits(fixed(field, 8)?)),
            (7, INT32, field) | (10, INT64, field) => numbers.push(whole(field)? as i64 as f64),
            (13, HALF, field) => numbers.push(half(whole(field)? as u16)),
            (13, BFLOAT16, field) => numbers.push(f64::from(f32::from_bits((whole(field)? as u32) << 16))),
            _ => {}
        }
    }
    // A zero may be left out.
    let known = [FLOAT, DOUBLE, INT32, INT64, HALF, BFLOAT16].contains(&kind);
    match numbers.as_slice() {
        [number] => Some(*number),
        [] => known.then_some(0.0),
        _ => None,
    }
}

fn has_one_element(shape: &[u8]) -> bool {
    let size = |dimension| {
        fields(dimension).find_map(|(number, field)| match (number, field) {
            (1, Field::Varint(size)) => Some(size),
            _ => None,
        })
    };
    fields(shape).all(|(number, field)| match (number, field) {
        (2, Field::Bytes(dimension)) => size(dimension) == Some(1),
        _ => true,
    })
}

/// The number in a tensor's memory.
fn plain(kind: u64, content: &[u8]) -> Option<f64> {
    let bits = little_endian(content);
    Some(match (kind, content.len()) {
        (FLOAT, 4) => f64::from(f32::from_bits(bits as u32)),
        (DOUBLE, 8) => f64::from_bits(bits),
        (INT32, 4) => f64::from(bits as u32 as i32),
        (INT64, 8) => bits as i64 as f64,
        (HALF, 2) => half(bits as u16),
        (BFLOAT16, 2) => f64::from(f32::from_bits((bits as u32) << 16)),
        _ => return None,
    })
}

/// A number of fixed length, alone or as the only one of a packed list.
fn fixed(field: Field, length: usize) -> Option<u64> {
    match field {
        Field::Fixed(bits) => Some(bits),
        Field::Bytes(packed) => (packed.len() == length).then(|| little_endian(packed)),
        Field::Varint(_) => None,
    }
}

/// As [`fixed`], for those of variable length.
fn whole(field: Field) -> Option<u64> {
    match field {
        Field::Varint(number) => Some(number),
        Field::Bytes(mut packed) => varint(&mut packed).filter(|_| packed.is_empty()),
        Field::Fixed(_) => None,
    }
}

/// A number of sixteen bits (IEEE 754, binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

/// The shortest decimal number that is this one with the precision that it was written with: 0.1, not 0.10000000149.
fn shortest(value: f64) -> f64 {
    let single = value as f32;
    if f64::from(single) == value { single.to_string().parse().unwrap_or(value) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(number: u8, data: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, data.len() as u8], data].concat()
    }

    fn read(tensor: &[u8]) -> Option<f64> {
        super::tensor(tensor)
    }

    #[test]
    fn tensors_and_their_number() {
        let shape = |sizes: &[u8]| bytes(2, &sizes.iter().flat_map(|size| bytes(2, &[8, *size])).collect::<Vec<_>>());
        let table = [
            ([vec![8, 1], bytes(4, &0.5_f32.to_le_bytes())].concat(), Some(0.5)),
            ([vec![8, 1], bytes(5, &0.5_f32.to_le_bytes())].concat(), Some(0.5)),
            ([vec![8, 1, 0x2d], 0.5_f32.to_le_bytes().to_vec()].concat(), Some(0.5)),
            ([vec![8, 2], bytes(4, &0.1_f64.to_le_bytes())].concat(), Some(0.1)),
            ([vec![8, 2], bytes(6, &0.1_f64.to_le_bytes())].concat(), Some(0.1)),
            (vec![8, 3, 0x38, 7], Some(7.0)),
            ([vec![8, 9], bytes(4, &(-3_i64).to_le_bytes())].concat(), Some(-3.0)),
            ([vec![8, 9], bytes(10, &[5])].concat(), Some(5.0)),
            ([vec![8, 19], bytes(4, &[0x00, 0xb8])].concat(), Some(-0.5)),
            ([vec![8, 14], bytes(4, &[0x00, 0x3f])].concat(), Some(0.5)),
            ([vec![8, 1], shape(&[1, 1]), bytes(4, &0.5_f32.to_le_bytes())].concat(), Some(0.5)),
            (vec![8, 1], Some(0.0)),
            ([vec![8, 1], shape(&[2]), bytes(4, &[0; 8])].concat(), None),
            ([vec![8, 7], bytes(8, b"text")].concat(), None),
            (vec![], None),
        ];
        for (tensor, number) in table {
            assert_eq!(read(&tensor), number, "{tensor:?}");
        }
    }

    #[test]
    fn numbers_are_as_short_as_they_were_written() {
        for (value, short) in [(f64::from(0.1_f32), 0.1), (0.1, 0.1), (1e300, 1e300), (f64::INFINITY, f64::INFINITY)] {
            assert_eq!(shortest(value), short);
        }
        assert!(shortest(f64::NAN).is_nan());
        assert!(
            half(0x7e00).is_nan() && half(0x7c00) == f64::INFINITY && half(1) == 2f64.powi(-24) && half(0x3c00) == 1.0
        );
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(record in prop::collection::vec(any::<u8>(), 0..80)) {
            event(&record);
            event(&bytes(5, &bytes(1, &record)));
            read(&record);
        }
    }
}
