//! Identity: who calls. Phone OTP for shoppers, guest sessions that merge at login, staff accounts,
//! access tokens that any service can verify (EdDSA, JWKS) and rotating refresh tokens.

mod error;

use async_trait::async_trait;
use mela_base::ids::{PersonId, SessionId, StaffId};
use mela_base::{Actor, Event, Op, Role, Timestamp};

pub use error::IdentityError;

/// An OTP is on its way. The answer is the same for known and unknown numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtpSent {
    /// Seconds until the code is void.
    pub expires_in_s: i64,
    /// Seconds until another code may be asked for.
    pub resend_after_s: i64,
}

/// What a client keeps after login.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// JWT, sent as `Authorization: Bearer`.
    pub access_token: String,
    /// Seconds.
    pub access_expires_in_s: i64,
    /// Opaque, usable once; a second use revokes the whole session.
    pub refresh_token: String,
}

/// A login.
#[derive(Clone, Debug)]
pub struct Login {
    /// What the client keeps.
    pub tokens: Tokens,
    /// Who it is now.
    pub person_id: PersonId,
    /// True for a guest session.
    pub guest: bool,
    /// True if this phone number was never seen before.
    pub new: bool,
}

/// What a person sees of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Who.
    pub id: PersonId,
    /// True until logged in by phone.
    pub guest: bool,
    /// E.164; `None` for guests.
    pub phone: Option<String>,
    /// As they want to be called.
    pub name: Option<String>,
    /// For invoices.
    pub email: Option<String>,
    /// First seen.
    pub created_at: Timestamp,
}

/// What a person may change of themselves; `None` leaves as is, empty text removes.
#[derive(Clone, Default)]
pub struct ProfileEdit {
    /// New name.
    pub name: Option<String>,
    /// New e-mail.
    pub email: Option<String>,
}

/// A staff account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staff {
    /// Who.
    pub id: StaffId,
    /// Log-in name.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// False once shut out.
    pub active: bool,
}

/// A guest logged in and became (or turned out to be) a customer: whatever belonged to `from`
/// belongs to `to` from now on. Every module that keeps things by person handles it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PersonMerged {
    /// The guest.
    pub from: PersonId,
    /// The customer.
    pub to: PersonId,
}

impl Event for PersonMerged {
    const TOPIC: &'static str = "identity.person_merged";
    fn key(&self) -> String {
        self.to.to_string()
    }
}

/// Login sessions ended: by logout, by the reuse of a refresh token, because a guest logged in, or
/// because a staff account changed. Whoever keeps a connection open for one of them cuts it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct SessionsEnded {
    /// Which ones.
    pub sessions: Vec<SessionId>,
}

impl Event for SessionsEnded {
    const TOPIC: &'static str = "identity.sessions_ended";
    fn key(&self) -> String {
        self.sessions.first().map(SessionId::to_string).unwrap_or_default()
    }
}

/// The identity contract.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Sends a code to an Indian mobile number, within the limits per number, device and address.
    async fn request_otp(&self, op: &Op, phone: &str) -> Result<OtpSent, IdentityError>;
    /// Logs in with a code. If a guest calls, the guest is merged into the customer.
    async fn verify_otp(&self, op: &Op, phone: &str, code: &str) -> Result<Login, IdentityError>;
    /// Starts a guest session, so that one can play and fill a cart before logging in.
    async fn start_guest(&self, op: &Op) -> Result<Login, IdentityError>;
    /// Trades a refresh token for new tokens.
    async fn refresh(&self, op: &Op, refresh_token: &str) -> Result<Tokens, IdentityError>;
    /// Ends the caller's session, durably.
    async fn logout(&self, op: &Op) -> Result<(), IdentityError>;
    /// Ends all sessions of the caller.
    async fn logout_everywhere(&self, op: &Op) -> Result<(), IdentityError>;
    /// Reads an access token: signature, expiry, revocation. No database, safe on hot paths.
    fn authenticate(&self, access_token: &str) -> Result<Actor, IdentityError>;
    /// True if the session of a person has ended since they were let in. Whoever keeps a connection
    /// open asks with every message, and at least every few minutes. No database.
    fn has_ended(&self, actor: &Actor) -> bool;
    /// The public keys, as a JWKS document.
    fn jwks(&self) -> String;

    /// The caller's profile.
    async fn me(&self, op: &Op) -> Result<Profile, IdentityError>;
    /// Changes the caller's profile.
    async fn edit_profile(&self, op: &Op, edit: ProfileEdit) -> Result<Profile, IdentityError>;
    /// A person's profile for a job that must reach them (mail, SMS). System only.
    async fn profile_of(&self, op: &Op, person: PersonId) -> Result<Profile, IdentityError>;

    /// Logs a member of staff in.
    async fn staff_login(
        &self,
        op: &Op,
        email: &str,
        password: &str,
    ) -> Result<(Staff, Tokens), IdentityError>;
    /// Owner or system: creates a staff account, or changes role, password and activity of the one
    /// with this e-mail.
    async fn save_staff(
        &self,
        op: &Op,
        email: &str,
        password: Option<&str>,
        role: Role,
        active: bool,
    ) -> Result<Staff, IdentityError>;
    /// Owner: all staff accounts.
    async fn staff(&self, op: &Op) -> Result<Vec<Staff>, IdentityError>;
}
