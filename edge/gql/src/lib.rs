//! GraphQL: shop and admin parts.
