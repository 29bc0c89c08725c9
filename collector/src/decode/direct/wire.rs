//! Protobuf's wire format, as far as usual messages use it.

use super::Unusual;

/// How deep values may be nested: the other decoder goes deeper.
const DEPTH_MAX: u32 = 20;

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'b [u8]),
}

/// The fields of a message, one after the other.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    /// The number and value of the next one.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'b>)>, Unusual> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Unusual)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Unusual)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let _unused: &[u8; 4] = self.array()?;
                Value::Fixed32
            }
            // Groups, and what is no type at all.
            _ => return Err(Unusual),
        };
        let number = key >> 3;
        if number == 0 { Err(Unusual) } else { Ok(Some((number, value))) }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'b [u8], Unusual> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unusual)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<&'b [u8; N], Unusual> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unusual)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Unusual> {
        match self.0 {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            // As long as a span is.
            [first, byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*first & 0x7f) | u64::from(*byte) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Unusual> {
        let mut number = 0;
        for (index, byte) in (0_u32..).zip(self.0.iter().take(10)) {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                // The tenth has room for one bit.
                if index == 9 && *byte > 1 {
                    return Err(Unusual);
                }
                self.0 = &self.0[index as usize + 1..];
                return Ok(number);
            }
        }
        Err(Unusual)
    }
}

/// Whether these are the same bytes. Most are short, and differ at their end if at all.
#[inline]
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && begins_with(one, other)
}

/// Whether bytes begin with others.
#[inline]
pub(super) fn begins_with(bytes: &[u8], others: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..others.len()) else { return false };
    let (Some(end), Some(end_of_others)) = (bytes.last_chunk::<8>(), others.last_chunk::<8>())
    else {
        return bytes == others;
    };
    // The last eight may overlap those before them.
    let ((bytes, _), (others, _)) = (bytes.as_chunks::<8>(), others.as_chunks::<8>());
    end == end_of_others && bytes.iter().zip(others).all(|(one, other)| one == other)
}

/// What of an attribute stands before its value's length; nothing where that is not usual.
pub(super) fn before_value<'b>(attribute: &'b [u8], key: &[u8]) -> &'b [u8] {
    match attribute {
        [0x0a, length @ ..0x80, rest @ ..]
            if usize::from(*length) == key.len() && rest.get(key.len()) == Some(&0x12) =>
        {
            &attribute[..key.len() + 3]
        }
        _ => b"",
    }
}

/// The value at an attribute's end, its length before it; `None` where something else follows.
#[inline]
pub(super) fn last_value(bytes: &[u8]) -> Result<Option<Scalar<'_>>, Unusual> {
    let mut value = Fields(bytes);
    let Ok(length) = value.varint() else { return Ok(None) };
    if usize::try_from(length).is_ok_and(|length| length == value.0.len()) {
        return scalar(value.0, 0).map(Some);
    }
    Ok(None)
}

/// Bytes that have to be a text.
#[inline]
pub(super) fn text(bytes: &[u8]) -> Result<&str, Unusual> {
    std::str::from_utf8(bytes).map_err(|_| Unusual)
}

/// The value of an attribute, as far as it is of use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'b> {
    /// Whether it is a text is not known yet.
    Text(&'b [u8]),
    Int(i64),
    Bool(bool),
    /// Anything else.
    Other,
}

/// The key and the value of an attribute. Whether the key is a text is not known yet.
#[inline]
pub(super) fn pair(attribute: &[u8]) -> Result<(&[u8], Scalar<'_>), Unusual> {
    // As all senders write it: a short key, a value, and nothing else.
    if let [0x0a, length @ ..0x80, rest @ ..] = attribute
        && let Some((key, [0x12, rest @ ..])) = rest.split_at_checked(usize::from(*length))
    {
        let mut value = Fields(rest);
        if usize::try_from(value.varint()?).is_ok_and(|length| length == value.0.len()) {
            return Ok((key, scalar(value.0, 0)?));
        }
    }
    let (mut key, mut value) = (None, None);
    let mut fields = Fields(attribute);
    while let Some((number, of)) = fields.next()? {
        match (number, of) {
            (1, Value::Bytes(bytes)) if key.is_none() => key = Some(bytes),
            (2, Value::Bytes(bytes)) if value.is_none() => value = Some(scalar(bytes, 0)?),
            (3, Value::Varint(_)) => {}
            (1..=3, _) => return Err(Unusual),
            _ => {}
        }
    }
    Ok((key.unwrap_or_default(), value.unwrap_or(Scalar::Other)))
}

/// An attribute's value. What is in it beside a text of its own is looked at here.
#[inline]
fn scalar(value: &[u8], depth: u32) -> Result<Scalar<'_>, Unusual> {
    if depth > DEPTH_MAX {
        return Err(Unusual);
    }
    match value {
        [0x0a, length @ ..0x80, text @ ..] if usize::from(*length) == text.len() => {
            return Ok(Scalar::Text(text));
        }
        [0x18, number @ ..0x80] => return Ok(Scalar::Int(i64::from(*number))),
        [0x18, rest @ .., last @ ..0x80]
            if rest.len() < 9 && rest.iter().all(|byte| *byte >= 0x80) =>
        {
            let low = (0..).zip(rest).map(|(index, byte)| u64::from(*byte & 0x7f) << (7 * index));
            let number = low.sum::<u64>() | u64::from(*last) << (7 * rest.len());
            return Ok(Scalar::Int(number.cast_signed()));
        }
        [0x0a, low @ 0x80..=0xff, high @ 1..0x80, text @ ..]
            if usize::from(*low & 0x7f) | usize::from(*high) << 7 == text.len() =>
        {
            return Ok(Scalar::Text(text));
        }
        _ => {}
    }
    scalar_of_fields(value, depth)
}

fn scalar_of_fields(value: &[u8], depth: u32) -> Result<Scalar<'_>, Unusual> {
    let mut fields = Fields(value);
    let first = fields.next()?;
    // Of several fields the last holds, and messages are put together: the other decoder does that.
    if !fields.0.is_empty() {
        return Err(Unusual);
    }
    Ok(match first {
        Some((1, Value::Bytes(bytes))) => Scalar::Text(bytes),
        Some((2, Value::Varint(number))) => Scalar::Bool(number != 0),
        Some((3, Value::Varint(number))) => Scalar::Int(number.cast_signed()),
        Some((5 | 6, Value::Bytes(message))) => {
            let is_list = matches!(first, Some((5, _)));
            let mut fields = Fields(message);
            while let Some((number, of)) = fields.next()? {
                match (number, of) {
                    (1, Value::Bytes(value)) if is_list => skim_value(value, depth + 1)?,
                    (1, Value::Bytes(pair)) => skim_pair(pair, depth + 1)?,
                    (1, _) => return Err(Unusual),
                    _ => {}
                }
            }
            Scalar::Other
        }
        Some((4, Value::Fixed64(_)) | (7, Value::Bytes(_)) | (8, Value::Varint(_))) => {
            Scalar::Other
        }
        Some((1..=8, _)) => return Err(Unusual),
        _ => Scalar::Other,
    })
}

fn skim_value(value: &[u8], depth: u32) -> Result<(), Unusual> {
    if let Scalar::Text(bytes) = scalar(value, depth)? {
        text(bytes)?;
    }
    Ok(())
}

fn skim_pair(attribute: &[u8], depth: u32) -> Result<(), Unusual> {
    let (mut key, mut value) = (None, None);
    let mut fields = Fields(attribute);
    while let Some((number, of)) = fields.next()? {
        match (number, of) {
            (1, Value::Bytes(bytes)) if key.is_none() => key = Some(text(bytes)?),
            (2, Value::Bytes(bytes)) if value.is_none() => {
                value = Some(skim_value(bytes, depth)?);
            }
            (3, Value::Varint(_)) => {}
            (1..=3, _) => return Err(Unusual),
            _ => {}
        }
    }
    Ok(())
}

/// An attribute that is of no use has to be one all the same.
pub(super) fn skim_attribute(attribute: &[u8]) -> Result<(), Unusual> {
    skim_pair(attribute, 0)
}

/// Parts of a span that are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Event,
    Link,
}

/// Looks at an event or a link, and tells how many attributes it has.
pub(super) fn skim_part(message: &[u8], part: Part) -> Result<usize, Unusual> {
    let mut attributes = 0;
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match (part, number, value) {
            (Part::Event, 3, Value::Bytes(attribute))
            | (Part::Link, 4, Value::Bytes(attribute)) => {
                attributes += 1;
                skim_attribute(attribute)?;
            }
            (Part::Event, 2, Value::Bytes(bytes)) | (Part::Link, 3, Value::Bytes(bytes)) => {
                text(bytes)?;
            }
            (Part::Event, 1, Value::Fixed64(_))
            | (Part::Event, 4, Value::Varint(_))
            | (Part::Link, 1 | 2, Value::Bytes(_))
            | (Part::Link, 5, Value::Varint(_))
            | (Part::Link, 6, Value::Fixed32) => {}
            (Part::Event, 1..=4, _) | (Part::Link, 1..=6, _) => return Err(Unusual),
            _ => {}
        }
    }
    Ok(attributes)
}

/// Looks at a span's status.
pub(super) fn skim_status(message: &[u8]) -> Result<(), Unusual> {
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (2, Value::Bytes(bytes)) => drop(text(bytes)?),
            (3, Value::Varint(_)) => {}
            (2 | 3, _) => return Err(Unusual),
            _ => {}
        }
    }
    Ok(())
}
