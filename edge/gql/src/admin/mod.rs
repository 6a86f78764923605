//! The part of the API for the merchant's staff. The modules check the role of every call; the
//! guard here only turns away callers that are no staff at all.

mod mutation;
mod query;

use async_graphql::{Context, Guard, Result};
use mela_base::Role;

pub(crate) use mutation::AdminMutation;
pub(crate) use query::AdminQuery;

use crate::context::op;
use crate::error::denied;

/// Lets staff of any role pass.
pub(crate) struct Staff;

impl Guard for Staff {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        if op(ctx).may(Role::Viewer) { Ok(()) } else { Err(denied()) }
    }
}
