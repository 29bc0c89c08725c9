//! OTLP's JSON encoding of requests.
//!
//! It differs from protobuf's own: ids are hex, 64-bit integers may be strings or numbers, names are
//! lowerCamelCase, and what is unknown or null is skipped. Only what rows are made of is read. An id
//! or a number that is none is read as if absent, so that it costs its span or point and not the
//! request.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

mod metrics;
mod traces;

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

pub(super) use metrics::metrics_request;
pub(super) use traces::trace_request;

/// A value, with `null` as its default.
fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonResource {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<Option<JsonKeyValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonScope {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonKeyValue {
    #[serde(deserialize_with = "nullable")]
    key: String,
    #[serde(deserialize_with = "nullable")]
    value: JsonValue,
}

/// Of the kinds of value only those that rows are made of; any other is as if absent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonValue {
    string_value: Option<Kind<String>>,
    bool_value: Option<Kind<bool>>,
    int_value: Option<Integer<i64>>,
}

/// A value of the kind that its name says, or not.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kind<T> {
    Right(T),
    Wrong(IgnoredAny),
}

impl<T> Kind<T> {
    fn right(self) -> Option<T> {
        match self {
            Self::Right(value) => Some(value),
            Self::Wrong(_) => None,
        }
    }
}

/// Bytes as hex digits in either case.
#[derive(Default)]
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() % 2 != 0 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Self::default());
        }
        let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap_or(0)).unwrap_or(0);
        Ok(Self(text.as_bytes().chunks(2).map(|c| digit(c[0]) << 4 | digit(c[1])).collect()))
    }
}

/// A 64-bit integer, as a number or as a string of digits; `None` for any other number or string.
#[derive(Default)]
struct Integer<T>(Option<T>);

impl<'de, T> Deserialize<'de> for Integer<T>
where
    T: Deserialize<'de> + std::str::FromStr,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Number(T),
            Text(String),
            Other(IgnoredAny),
        }
        Ok(Self(match Either::<T>::deserialize(from)? {
            Either::Number(number) => Some(number),
            Either::Text(text) => text.parse().ok(),
            Either::Other(_) => None,
        }))
    }
}

/// A floating point number, as a number or as a string such as `"NaN"`; `None` for anything else.
#[derive(Default)]
struct Double(Option<f64>);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Text(String),
            Other(IgnoredAny),
        }
        Ok(Self(match Either::deserialize(from)? {
            Either::Number(number) => Some(number),
            Either::Text(text) => text.parse().ok(),
            Either::Other(_) => None,
        }))
    }
}

impl From<JsonResource> for Resource {
    fn from(from: JsonResource) -> Self {
        Self { attributes: attributes(from.attributes), ..Self::default() }
    }
}

impl From<JsonScope> for InstrumentationScope {
    fn from(JsonScope { name, version }: JsonScope) -> Self {
        Self { name, version, ..Self::default() }
    }
}

fn attributes(from: Vec<Option<JsonKeyValue>>) -> Vec<KeyValue> {
    from.into_iter().flatten().map(Into::into).collect()
}

impl From<JsonKeyValue> for KeyValue {
    fn from(from: JsonKeyValue) -> Self {
        let JsonValue { string_value, bool_value, int_value } = from.value;
        let value = string_value
            .and_then(Kind::right)
            .map(Value::StringValue)
            .or(bool_value.and_then(Kind::right).map(Value::BoolValue))
            .or(int_value.and_then(|number| number.0.map(Value::IntValue)));
        Self { key: from.key, value: Some(AnyValue { value }), ..Self::default() }
    }
}
