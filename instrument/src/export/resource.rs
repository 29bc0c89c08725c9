//! Which service sends, as OpenTelemetry's resource.

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::settings;

const SERVICE_NAME: &str = "service.name";
const SERVICE_VERSION: &str = "service.version";
const SERVICE_INSTANCE: &str = "service.instance.id";
const PROCESS: &str = "process.pid";
const HOST: &str = "host.name";

/// What the service says of itself in code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) instance: Option<String>,
}

/// Code over environment variables over what can be found out.
pub(super) fn resource(identity: &Identity) -> Resource {
    // Detectors of the SDK: `telemetry.sdk.*` and OTEL_RESOURCE_ATTRIBUTES.
    let detected = Resource::builder().build();
    let in_attributes = |key: &'static str| {
        let found = detected.get(&Key::from_static_str(key));
        found.map(|value| value.to_string()).filter(|value| !value.is_empty())
    };
    let name = identity
        .name
        .clone()
        .or_else(|| settings::variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()))
        .or_else(|| in_attributes(SERVICE_NAME).filter(|name| name != "unknown_service"))
        .unwrap_or_else(unknown_service);
    let instance = identity.instance.clone().or_else(|| in_attributes(SERVICE_INSTANCE));
    let version = identity.version.clone().map(|v| KeyValue::new(SERVICE_VERSION, v));
    let host = in_attributes(HOST).or_else(host_name).map(|h| KeyValue::new(HOST, h));
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new(SERVICE_INSTANCE, instance.unwrap_or_else(random_uuid)))
        .with_attribute(KeyValue::new(PROCESS, Value::I64(i64::from(std::process::id()))))
        .with_attributes(version)
        .with_attributes(host)
        .build()
}

fn unknown_service() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name()?.to_str());
    name.map_or_else(|| "unknown_service".to_owned(), |name| format!("unknown_service:{name}"))
}

fn host_name() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| settings::variable("HOSTNAME"))?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Version 4, as the semantic conventions ask.
fn random_uuid() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_of_version_4_and_never_the_same() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }

    #[test]
    fn code_names_the_service() {
        let identity = Identity {
            name: Some("shop".to_owned()),
            version: Some("1.2.3".to_owned()),
            instance: Some("shop-7".to_owned()),
        };
        let resource = resource(&identity);
        let value = |key| resource.get(&Key::from_static_str(key)).map(|v| v.to_string());
        assert_eq!(value(SERVICE_NAME).as_deref(), Some("shop"));
        assert_eq!(value(SERVICE_VERSION).as_deref(), Some("1.2.3"));
        assert_eq!(value(SERVICE_INSTANCE).as_deref(), Some("shop-7"));
        assert_eq!(value("telemetry.sdk.language").as_deref(), Some("rust"));
        assert_eq!(value(PROCESS), Some(std::process::id().to_string()));
    }
}
