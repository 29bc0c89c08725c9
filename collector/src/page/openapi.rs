//! The API's description as an OpenAPI document, made of the queries' headers and the table of
//! parameters: it can't say anything that is not so.

use serde_json::{Map, Value, json};

use super::parameters::{Kind, PARAMETERS, Parameter, taken};
use crate::export::Format;
use crate::store::catalog::{self, Column, Panel};

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    let mut names = catalog::panel_names();
    names.sort();
    for name in names {
        if let Some(panel) = catalog::panel(&name) {
            paths.insert(format!("/query/{name}"), json!({"get": query(&name, &panel)}));
        }
    }
    let parameters: Map<String, Value> =
        PARAMETERS.iter().map(|of| (of.name.to_owned(), parameter(of))).collect();
    for (path, item) in others() {
        paths.insert(path.to_owned(), item);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdup",
            "version": "1",
            "description": "What the collector knows of functions that block async runtimes. \
                Times are Unix milliseconds, durations nanoseconds, ids hex digits.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "components": {"parameters": parameters, "responses": errors(), "schemas": schemas()},
    })
}

fn schemas() -> Value {
    let (text, whole) = (json!({"type": "string"}), json!({"type": "integer"}));
    json!({
        "Answer": {
            "type": "object",
            "required": ["data", "rows"],
            "properties": {
                "data": {"type": "array", "items": {"type": "object"}},
                "rows": whole,
                "rows_before_limit_at_least": whole,
            },
        },
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": text, "message": text},
                "description": "The code is for programs, the message for people",
            }},
        },
    })
}

fn query(name: &str, panel: &Panel) -> Value {
    let reference =
        |of: &Parameter| json!({"$ref": format!("#/components/parameters/{}", of.name)});
    let parameters: Vec<Value> = taken(&panel.sql).map(reference).collect();
    let about = [&panel.description, &panel.reading].map(String::as_str).join(" ");
    let columns: Map<String, Value> =
        panel.columns.iter().map(|column| (column.name.clone(), schema(column))).collect();
    json!({
        "operationId": name,
        "summary": panel.title,
        "description": about.trim(),
        "parameters": parameters,
        "responses": answers(&json!({
            "description": "The rows",
            "content": {
                "application/json": {"schema": {
                    "allOf": [{"$ref": "#/components/schemas/Answer"}],
                    "properties": {"data": {"items": {"properties": columns}}},
                }},
                "text/csv": {"schema": {
                    "type": "string",
                    "description": "Texts that begin like a formula have ' before them",
                }},
            },
        })),
    })
}

fn parameter(of: &Parameter) -> Value {
    let text = json!({"type": "string"});
    let schema = match of.kind {
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Text => text,
        Kind::Texts => json!({"type": "array", "items": text, "maxItems": 100}),
    };
    json!({"name": of.name, "in": "query", "description": of.meaning, "schema": schema})
}

fn schema(column: &Column) -> Value {
    let unit = if column.unit.is_empty() { String::new() } else { format!(" ({})", column.unit) };
    let description = format!("{}{unit}", column.meaning);
    match column.unit.as_str() {
        // A text, a list or a truth value.
        "" => json!({"description": description}),
        "time" => json!({"description": description, "type": "string"}),
        _ => json!({"description": description, "type": ["number", "null"]}),
    }
}

fn answers(good: &Value) -> Value {
    json!({
        "200": good,
        "4XX": {"$ref": "#/components/responses/Mistake"},
        "5XX": {"$ref": "#/components/responses/ClickHouse"},
    })
}

fn json_answer(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/json": {"schema": {"type": "object"}}},
    })
}

/// What is no query.
fn others() -> Vec<(&'static str, Value)> {
    vec![
        ("/mutes", mutes()),
        ("/rules", rules()),
        ("/silences", silences()),
        (
            "/export/{format}",
            json!({"get": {
                "operationId": "export",
                "summary": "Stacks while blocked, as a file for another tool",
                "description": "As the query stacks, of which it takes the parameters.",
                "parameters": exported(),
                "responses": answers(&json!({"description": "The file"})),
            }}),
        ),
        (
            "/live",
            json!({"get": {
                "operationId": "live",
                "summary": "What is under way, as server-sent events",
                "description": "Each second an event `seen` with the rows of stalled, polls and \
                    tasks, or `trouble` with what went wrong. `ended`, with the reason, is the last \
                    when whoever asked may no longer read.",
                "parameters": [{"$ref": "#/components/parameters/service"}],
                "responses": answers(&json!({
                    "description": "The events",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                })),
            }}),
        ),
        (
            "/openapi.json",
            json!({"get": {
                "operationId": "openapi",
                "summary": "This document",
                "responses": answers(&json_answer("The document")),
            }}),
        ),
        (
            "/status",
            json!({"get": {
                "operationId": "status",
                "summary": "How the collector and its ClickHouse are",
                "responses": answers(&json_answer("The status; also while ClickHouse is away")),
            }}),
        ),
    ]
}

fn rules() -> Value {
    let (text, whole) = (json!({"type": "string"}), json!({"type": ["integer", "null"]}));
    let (number, yes) = (json!({"type": ["number", "null"]}), json!({"type": "boolean"}));
    let of_question = json!({"expr": text, "measure": text});
    let rule = json!({
        "alert": text, "group": text, "severity": text, "file": text,
        "question": {"type": "object", "properties": of_question},
        "labels": {"type": "object", "additionalProperties": text},
        "interval_s": number, "for_s": number, "keep_firing_for_s": number, "threshold": number,
        "runbook_url": {"type": ["string", "null"]},
        "built_in": yes, "enabled": yes,
        "state": {"type": "string", "enum": ["inactive", "pending", "firing", "off"]},
        "pending": whole, "firing": whole,
        "left_out": {"description": "Alerts past the bound", "type": "integer"},
        "last_evaluation_ms": whole, "took_ms": whole, "failing_since_ms": whole,
        "waits": {"description": "It is not asked while rows are late", "type": "boolean"},
        "error": {"description": "Why it can't be evaluated; empty when it can", "type": "string"},
    });
    let answer = json!({
        "rules": {"type": "array", "maxItems": 500, "items": {"properties": rule}},
        "receivers": {"type": "array", "items": text},
        "leads": {"description": "Whether this collector tells receivers", "type": "boolean"},
    });
    whole_answer("rules", "Alert rules as they run, and how each is", &answer)
}

fn silences() -> Value {
    let (text, time) = (json!({"type": "string"}), json!({"type": ["integer", "null"]}));
    let silence = json!({
        "kind": {"type": "string", "enum": ["silence", "maintenance"]},
        "state": {"type": "string", "enum": ["active", "waiting", "ended"]},
        "matchers": {"type": "array", "items": text},
        "from_ms": time, "until_ms": time,
        "ends_ms": {"description": "When it ends that lasts", "type": ["integer", "null"]},
        "weekly": {"type": "array", "items": text}, "timezone": text,
        "created_by": {"type": ["string", "null"]}, "comment": text,
    });
    let items = json!({"type": "array", "maxItems": 1000, "items": {"properties": silence}});
    let summary = "Silences and maintenance windows of the configuration, and whether each lasts";
    whole_answer("silences", summary, &json!({"silences": items}))
}

/// What has no parameters, and is not asked of ClickHouse.
fn whole_answer(id: &str, summary: &str, properties: &Value) -> Value {
    let schema = json!({"type": "object", "properties": properties});
    json!({"get": {
        "operationId": id,
        "summary": summary,
        "responses": answers(&json!({
            "description": "All of them",
            "content": {"application/json": {"schema": schema}},
        })),
    }})
}

fn mutes() -> Value {
    let names = json!({"service": {"type": "string"}, "function": {"type": "string"}});
    let body = |properties: &Value, required: &[&str]| {
        let schema = json!({
            "type": "object", "required": required, "properties": properties,
            "additionalProperties": false,
        });
        json!({"required": true, "content": {"application/json": {"schema": schema}}})
    };
    let mut mute = names.clone();
    mute["reason"] = json!({"type": "string", "minLength": 1, "maxLength": 500});
    mute["until_ms"] = json!({"type": "integer", "description": "When it ends, Unix ms"});
    mute["version"] = json!({
        "type": "string",
        "description": "It ends when the function is seen in another version than this",
    });
    let muted = answers(&json_answer("Done"));
    json!({
        "post": {
            "operationId": "mute",
            "summary": "Mute a function of a service",
            "description": "Give until_ms, version, or both. Refused from another site's page.",
            "requestBody": body(&mute, &["service", "function", "reason"]),
            "responses": muted,
        },
        "delete": {
            "operationId": "unmute",
            "summary": "End the mute of a function",
            "requestBody": body(&names, &["service", "function"]),
            "responses": muted,
        },
    })
}

/// The parameters of an export: the format, and those of its query.
fn exported() -> Vec<Value> {
    let names = Format::ALL.map(Format::name);
    let format = json!({
        "name": "format", "in": "path", "required": true,
        "schema": {"type": "string", "enum": names},
    });
    let sql = catalog::panel("stacks").map(|panel| panel.sql).unwrap_or_default();
    let taken = taken(&sql).filter(|of| of.name != "format").map(reference);
    std::iter::once(format).chain(taken).collect()
}

fn reference(of: &Parameter) -> Value {
    json!({"$ref": format!("#/components/parameters/{}", of.name)})
}

fn errors() -> Value {
    let schema = json!({"$ref": "#/components/schemas/Error"});
    let of = |description: &str| {
        json!({
            "description": description,
            "content": {"application/json": {"schema": schema}},
        })
    };
    json!({
        "Mistake": of("Something is wrong with the request: sent again, it is refused again"),
        "ClickHouse": of(
            "502: ClickHouse refused the statement. 503: it is away, or has too much to do; \
             Retry-After says when to come again. 504: it took too long"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn the_document_that_is_kept_is_what_the_code_serves() {
        let kept = include_str!("../../../docs/openapi.json");
        let served = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        assert!(
            kept == served,
            "docs/openapi.json is stale: curl -s http://127.0.0.1:4380/api/v1/openapi.json"
        );
    }

    #[test]
    fn a_query_takes_the_parameters_that_its_statement_names() {
        let document = document();
        let parameters = |path: &str| {
            let all = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            all.iter().map(|p| p["$ref"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let issues = parameters("/query/issues");
        let takes = |name: &str| issues.contains(&format!("#/components/parameters/{name}"));
        assert!(takes("search") && takes("limit") && !takes("instance"), "{issues:?}");
    }
}
