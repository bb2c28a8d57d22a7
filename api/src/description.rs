//! The description of a program's API as OpenAPI 3.1. Handlers describe what is their own; what all have in common is added here.
//!
//! Each group of [`Resources`](crate::Resources) has its part of the description in a file, made by [`describe`]. The program
//! only joins the parts.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr};

use crate::error::PROBLEM_JSON;

/// The name of the schema of errors.
const PROBLEM: &str = "Problem";
/// The name of the way in which callers say who they are.
const TOKEN: &str = "token";

/// What a change may be answered beside what its handler says.
const REFUSALS: [(&str, &str); 3] = [
    ("401", "The request has no token."),
    ("403", "The token is wrong, or there are no tokens."),
    ("413", "The body is larger than 64 KiB."),
];

/// The part of a description that is about some resources, as JSON: their paths, and the schemas that these use. A test compares
/// it with the file that [`Resources::new`](crate::Resources::new) is given.
///
/// # Errors
/// Never: a description has a JSON form.
pub fn describe(mut resources: OpenApi) -> serde_json::Result<String> {
    for item in resources.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [&mut *put, post, delete, patch].into_iter().flatten() {
            need_token(operation);
        }
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            describe_errors(operation);
            describe_parameters(operation);
        }
    }
    let schemas = resources.components.map(|components| components.schemas).unwrap_or_default();
    let part = json!({"paths": resources.paths, "components": {"schemas": schemas}});
    // Lines that can be compared, without indentation: the program contains the text.
    let mut lines = Vec::new();
    part.serialize(&mut Serializer::with_formatter(&mut lines, PrettyFormatter::with_indent(b"")))?;
    Ok(String::from_utf8_lossy(&lines).into_owned() + "\n")
}

/// The whole description, of its parts.
pub(crate) fn join(parts: &[&str]) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for part in parts {
        let mut part: Value = serde_json::from_str(part).expect("a test compares each part with `describe`");
        for (target, pointer) in [(&mut paths, "/paths"), (&mut schemas, "/components/schemas")] {
            if let Some(Value::Object(more)) = part.pointer_mut(pointer).map(Value::take) {
                target.extend(more);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mesos-miner",
            "description": "A Bitcoin mining system on Apache Mesos.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn need_token(operation: &mut Operation) {
    operation.security = Some(vec![SecurityRequirement::new(TOKEN, [""; 0])]);
    for (status, text) in REFUSALS {
        let response = || RefOr::T(Response::new(text));
        operation.responses.responses.entry(status.to_owned()).or_insert_with(response);
    }
}

/// Errors without a described body have problem details.
fn describe_errors(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            let content = Content::new(Some(Ref::from_schema_name(PROBLEM)));
            response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(content));
        }
    }
}

/// A parameter that may be left out has a value where it is given: it is never null.
fn describe_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(schema) = &mut parameter.schema
        {
            remove_null(schema);
        }
    }
}

fn remove_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &object.schema_type {
                let types: Vec<_> = types.iter().filter(|it| **it != Type::Null).cloned().collect();
                object.schema_type = match <[Type; 1]>::try_from(types) {
                    Ok([only]) => SchemaType::Type(only),
                    Err(several) => SchemaType::Array(several),
                };
            }
        }
        RefOr::T(Schema::OneOf(any)) => {
            any.items.retain(|item| !is_null(item));
            if any.items.len() == 1 {
                *schema = any.items.remove(0);
            }
        }
        _ => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}
