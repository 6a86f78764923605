//! The two tokens of a session.
//!
//! A refresh token is `session.generation.mac`: the database keeps one number per session instead
//! of a row per token, and a token that was good once is told from one that never was.

use mela_base::ids::{PersonId, SessionId, StaffId};
use mela_base::{Actor, Id, Internal, Role};
use mela_crypto::{LookupKey, TokenError, TokenSigner, hex, unhex};
use mela_identity_api::{IdentityError, Tokens};

const REFRESH: &str = "refresh token";

/// Signs and reads tokens.
pub(crate) struct Minter {
    pub(crate) signer: TokenSigner,
    /// The current key, and the one before.
    pub(crate) keys: Vec<LookupKey>,
    pub(crate) access_minutes: u32,
}

/// Who a token speaks for.
pub(crate) enum Subject {
    Person { id: PersonId, guest: bool },
    Staff { id: StaffId, role: Role },
}

impl Minter {
    pub(crate) fn tokens(
        &self,
        subject: &Subject,
        session: SessionId,
        generation: i64,
    ) -> Result<Tokens, IdentityError> {
        let minutes = self.access_minutes;
        let claims = match subject {
            Subject::Person { id, guest } => self.signer.claims(id, session, *guest, None, minutes),
            Subject::Staff { id, role } => {
                self.signer.claims(id, session, false, Some(role.as_str()), minutes)
            }
        };
        let access_token = self.signer.sign(&claims).map_err(Internal::new)?;
        let plain = format!("{}.{generation}", session.0);
        let key = self.keys.first().ok_or_else(|| Internal::new("no key for refresh tokens"))?;
        let refresh_token = format!("{plain}.{}", hex(&key.hash(REFRESH, &plain)));
        let access_expires_in_s = i64::from(minutes) * 60;
        Ok(Tokens { access_token, access_expires_in_s, refresh_token })
    }

    /// Session and generation, if this is a refresh token of ours.
    pub(crate) fn read_refresh(&self, token: &str) -> Option<(SessionId, i64)> {
        if token.len() > 128 {
            return None;
        }
        let (plain, mac) = token.rsplit_once('.')?;
        let mac = unhex(mac)?;
        if !self.keys.iter().any(|k| k.verify(REFRESH, plain, &mac)) {
            return None;
        }
        let (session, generation) = plain.split_once('.')?;
        Some((SessionId(Id::parse(session)?), generation.parse().ok()?))
    }

    /// Who calls with this access token, and in which session.
    pub(crate) fn read_access(&self, token: &str) -> Result<(Actor, SessionId), IdentityError> {
        let claims = self.signer.verify(token).map_err(|e| match e {
            TokenError::Expired => IdentityError::TokenExpired,
            _ => IdentityError::Unauthenticated,
        })?;
        let session: SessionId = claims.sid.parse().map_err(|_| IdentityError::Unauthenticated)?;
        let actor = match &claims.role {
            None => {
                claims.sub.parse().ok().map(|id| Actor::Person { id, guest: claims.guest, session })
            }
            Some(role) => Role::parse(role)
                .zip(claims.sub.parse().ok())
                .map(|(role, id)| Actor::Staff { id, role }),
        };
        Ok((actor.ok_or(IdentityError::Unauthenticated)?, session))
    }
}
