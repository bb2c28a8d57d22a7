//! The description of a program's API as OpenAPI 3.1. Handlers describe what is their own; what all have in common is added here.

use utoipa::PartialSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, InfoBuilder, OpenApi, PathItem, Ref, RefOr};

use crate::error::{PROBLEM_JSON, ProblemDetails};

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

/// Completes a description: who it is about, that errors are problem details, and that changes need a token.
pub(crate) fn complete(description: &mut OpenApi) {
    description.info = InfoBuilder::new()
        .title("mesos-miner")
        .description(Some("A Bitcoin mining system on Apache Mesos."))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let components = description.components.get_or_insert_default();
    components.schemas.insert(PROBLEM.to_owned(), ProblemDetails::schema());
    components.add_security_scheme(TOKEN, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for item in description.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [&mut *put, post, delete, patch].into_iter().flatten() {
            need_token(operation);
        }
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            describe_errors(operation);
            describe_parameters(operation);
        }
    }
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
