//! The schema: shop and admin parts joined, with the limits that every document must keep.

use async_graphql::{MergedObject, Object, Schema, SchemaBuilder, ValidationMode};

use crate::admin;
use crate::shop;

/// All queries.
#[derive(MergedObject, Default)]
pub(crate) struct Query(
    shop::browse::CatalogQuery,
    shop::cart::CartQuery,
    shop::order::OrderQuery,
    shop::identity::IdentityQuery,
    shop::play::PlayQuery,
    AdminRoot,
);

/// All mutations.
#[derive(MergedObject, Default)]
pub(crate) struct Mutation(
    shop::identity::IdentityMutation,
    shop::cart::CartMutation,
    shop::order::OrderMutation,
    shop::play::PlayMutation,
    AdminMutationRoot,
);

/// Where staff queries hang.
#[derive(Default)]
pub(crate) struct AdminRoot;

#[Object]
impl AdminRoot {
    /// For the merchant's staff.
    async fn admin(&self) -> admin::AdminQuery {
        admin::AdminQuery
    }
}

/// Where staff mutations hang.
#[derive(Default)]
pub(crate) struct AdminMutationRoot;

#[Object]
impl AdminMutationRoot {
    /// For the merchant's staff.
    async fn admin(&self) -> admin::AdminMutation {
        admin::AdminMutation
    }
}

/// The schema type.
pub(crate) type MelaSchema = Schema<Query, Mutation, shop::live::Subscription>;

/// Limits on a document, checked before anything runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Levels of nesting. GraphiQL's introspection needs 15.
    pub depth: usize,
    /// Sum of the fields' costs; a list costs its `first` times what it holds.
    pub cost: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, cost: 20_000 }
    }
}

/// A builder with the limits set; services come as data.
pub(crate) fn builder(limits: Limits) -> SchemaBuilder<Query, Mutation, shop::live::Subscription> {
    Schema::build(Query::default(), Mutation::default(), shop::live::Subscription)
        .limit_depth(limits.depth)
        .limit_complexity(limits.cost)
        .limit_directives(8)
        .validation_mode(ValidationMode::Strict)
}

/// The schema as SDL, for the committed file and for clients.
pub fn sdl() -> String {
    builder(Limits::default()).finish().sdl()
}
