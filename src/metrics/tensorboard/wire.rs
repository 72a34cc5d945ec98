//! As much of protocol buffers' encoding as scalars need.

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field<'m> {
    /// A variable-length integer.
    Varint(u64),
    /// Four or eight bytes, least significant first.
    Fixed(u64),
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'m [u8]),
}

/// The fields of a message with their numbers, in their order, up to the first that is damaged.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut message)?),
            1 => Field::Fixed(super::frame::little_endian(take(&mut message, 8)?)),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                Field::Bytes(take(&mut message, length)?)
            }
            5 => Field::Fixed(super::frame::little_endian(take(&mut message, 4)?)),
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

/// Takes a variable-length integer off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'m>(bytes: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_and_their_fields() {
        let table: [(&[u8], &[(u64, Field)]); 6] = [
            (&[0x10, 0xac, 0x02], &[(2, Field::Varint(300))]),
            (&[0x15, 0, 0, 0x80, 0x3f], &[(2, Field::Fixed(0x3f80_0000))]),
            (&[0x0a, 1, b'a', 0x08, 5], &[(1, Field::Bytes(b"a")), (1, Field::Varint(5))]),
            (&[0x08, 1, 0x0a, 9, b'a'], &[(1, Field::Varint(1))]),
            (&[0x08, 1, 0x0b], &[(1, Field::Varint(1))]),
            (&[0x80; 20], &[]),
        ];
        for (message, expected) in table {
            assert_eq!(fields(message).collect::<Vec<_>>(), expected, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(message in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(fields(&message).count() <= message.len());
        }
    }
}
