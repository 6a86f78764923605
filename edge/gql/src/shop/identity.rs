//! Login, session, profile.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use mela_identity_api as api;

use crate::context::{op, services};
use crate::error::fault;
use crate::page;

/// A code is on its way.
#[derive(SimpleObject)]
pub(crate) struct OtpSent {
    /// Seconds until the code is void.
    expires_in_s: i64,
    /// Seconds until another code may be asked for.
    resend_after_s: i64,
}

/// Tokens of a session.
#[derive(SimpleObject)]
pub(crate) struct Tokens {
    /// Send as `Authorization: Bearer …`.
    access_token: String,
    /// Seconds.
    access_expires_in_s: i64,
    /// Usable once, to get new tokens.
    refresh_token: String,
}

impl From<api::Tokens> for Tokens {
    fn from(t: api::Tokens) -> Self {
        Self {
            access_token: t.access_token,
            access_expires_in_s: t.access_expires_in_s,
            refresh_token: t.refresh_token,
        }
    }
}

/// A login.
#[derive(SimpleObject)]
pub(crate) struct Login {
    #[graphql(flatten)]
    tokens: Tokens,
    person_id: ID,
    /// True for a guest session.
    guest: bool,
    /// True if this number was never seen before.
    is_new: bool,
}

impl From<api::Login> for Login {
    fn from(l: api::Login) -> Self {
        Self {
            tokens: l.tokens.into(),
            person_id: ID(l.person_id.to_string()),
            guest: l.guest,
            is_new: l.new,
        }
    }
}

/// The caller.
#[derive(SimpleObject)]
pub(crate) struct Me {
    id: ID,
    /// True until logged in by phone.
    guest: bool,
    phone: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

impl From<api::Profile> for Me {
    fn from(p: api::Profile) -> Self {
        Self {
            id: ID(p.id.to_string()),
            guest: p.guest,
            phone: p.phone,
            name: p.name,
            email: p.email,
        }
    }
}

/// Identity queries.
#[derive(Default)]
pub(crate) struct IdentityQuery;

#[Object]
impl IdentityQuery {
    /// The caller; null without a session.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<Me>> {
        let op = op(ctx);
        if op.person().is_none() {
            return Ok(None);
        }
        Ok(Some(services(ctx).identity.me(op).await.map_err(fault)?.into()))
    }
}

/// Identity mutations.
#[derive(Default)]
pub(crate) struct IdentityMutation;

#[Object]
impl IdentityMutation {
    /// Sends a login code to an Indian mobile number. Says the same for every number.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn request_otp(&self, ctx: &Context<'_>, phone: String) -> Result<OtpSent> {
        let sent = services(ctx).identity.request_otp(op(ctx), &phone).await.map_err(fault)?;
        Ok(OtpSent { expires_in_s: sent.expires_in_s, resend_after_s: sent.resend_after_s })
    }

    /// Logs in. A guest's cart, coins and results follow.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn verify_otp(&self, ctx: &Context<'_>, phone: String, code: String) -> Result<Login> {
        let login = services(ctx).identity.verify_otp(op(ctx), &phone, &code).await;
        login.map(Login::from).map_err(fault)
    }

    /// Starts a guest session, to play and fill a cart before logging in.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn start_guest(&self, ctx: &Context<'_>) -> Result<Login> {
        services(ctx).identity.start_guest(op(ctx)).await.map(Login::from).map_err(fault)
    }

    /// Trades a refresh token for new tokens.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn refresh(&self, ctx: &Context<'_>, refresh_token: String) -> Result<Tokens> {
        let tokens = services(ctx).identity.refresh(op(ctx), &refresh_token).await;
        tokens.map(Tokens::from).map_err(fault)
    }

    /// Ends this session.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn logout(&self, ctx: &Context<'_>) -> Result<bool> {
        services(ctx).identity.logout(op(ctx)).await.map(|()| true).map_err(fault)
    }

    /// Ends all sessions of the caller.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn logout_everywhere(&self, ctx: &Context<'_>) -> Result<bool> {
        services(ctx).identity.logout_everywhere(op(ctx)).await.map(|()| true).map_err(fault)
    }

    /// Changes the caller's profile; null leaves as is, empty text removes.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn edit_profile(
        &self,
        ctx: &Context<'_>,
        name: Option<String>,
        email: Option<String>,
    ) -> Result<Me> {
        let edit = api::ProfileEdit { name, email };
        services(ctx).identity.edit_profile(op(ctx), edit).await.map(Me::from).map_err(fault)
    }
}
