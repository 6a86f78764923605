//! The golden signals of every operation, by its first root field: bounded by the schema, so that
//! no caller can make up new series.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Selection, TypeKind, TypeSystemDefinition,
};
use async_graphql::{ServerError, Value};
use mela_base::ErrorKind;
use mela_telemetry::{Metrics, Operation, Outcome};

/// One handle per root field.
pub(crate) struct Signals {
    fields: HashMap<String, Operation>,
    other: Operation,
}

impl Signals {
    pub(crate) fn new(metrics: &Metrics, sdl: &str) -> Self {
        let mut fields = HashMap::new();
        for definition in parse_schema(sdl).map(|d| d.definitions).unwrap_or_default() {
            let TypeSystemDefinition::Type(ty) = definition else { continue };
            let name = ty.node.name.node.as_str();
            if let (TypeKind::Object(object), "Query" | "Mutation" | "Subscription") =
                (&ty.node.kind, name)
            {
                for field in &object.fields {
                    let field = field.node.name.node.to_string();
                    let operation = metrics.operation(&format!("graphql.{field}"));
                    fields.insert(field, operation);
                }
            }
        }
        Self { fields, other: metrics.operation("graphql.other") }
    }

    /// The handle of what will run.
    pub(crate) fn of(&self, document: &ExecutableDocument, name: Option<&str>) -> &Operation {
        let operation = match (&document.operations, name) {
            (DocumentOperations::Single(operation), _) => Some(operation),
            (DocumentOperations::Multiple(all), Some(name)) => all.get(name),
            (DocumentOperations::Multiple(_), None) => None,
        };
        let first = operation.and_then(|o| o.node.selection_set.node.items.first());
        let field = first.and_then(|s| match &s.node {
            Selection::Field(field) => self.fields.get(field.node.name.node.as_str()),
            _ => None,
        });
        field.unwrap_or(&self.other)
    }
}

/// How an execution ended, by its first error.
pub(crate) fn outcome(errors: &[ServerError]) -> Outcome {
    let Some(error) = errors.first() else { return Outcome::Ok };
    let kind = error.extensions.as_ref().and_then(|e| e.get("kind"));
    let Some(Value::String(kind)) = kind else { return Outcome::Error(ErrorKind::Invalid) };
    Outcome::Error(match kind.as_str() {
        "NOT_FOUND" => ErrorKind::NotFound,
        "CONFLICT" => ErrorKind::Conflict,
        "DENIED" => ErrorKind::Denied,
        "UNAUTHENTICATED" => ErrorKind::Unauthenticated,
        "EXHAUSTED" => ErrorKind::Exhausted,
        "UNAVAILABLE" => ErrorKind::Unavailable,
        "INTERNAL" => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    })
}
