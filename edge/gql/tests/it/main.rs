//! The schema as it is committed.

use std::path::Path;

/// Clients are written against `schema.graphql`: a change of the schema shows in review.
#[test]
fn the_committed_schema_is_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let now = mela_gql::sdl();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).expect("the schema is written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "edge/gql/schema.graphql is stale; renew it with `UPDATE=1 cargo test -p mela-gql`"
    );
}
