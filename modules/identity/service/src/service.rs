//! The service: what it is made of, and the contract.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::PersonId;
use mela_base::{Actor, Env, Op, Role};
use mela_bus::Bus;
use mela_crypto::{LookupKey, TokenSigner, Vault};
use mela_db::Db;
use mela_identity_api::{
    Identity, IdentityError, Login, OtpSent, Profile, ProfileEdit, Staff, Tokens,
};
use mela_jobs::Jobs;
use mela_notify_api::SmsSender;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::config::IdentityConfig;
use crate::jobs;
use crate::sessions::Ended;
use crate::store::Hash;
use crate::tokens::Minter;

/// Passwords that are hashed at once.
const HASHING: usize = 2;

/// What identity needs.
pub struct IdentityDeps {
    /// The database, migrated.
    pub db: Db,
    /// Clock and randomness.
    pub env: Env,
    /// Tells other processes, and this one of them, which sessions ended.
    pub bus: Bus,
    /// Keys of persons; its master keys also make the hashes.
    pub vault: Vault,
    /// Signs access tokens.
    pub signer: TokenSigner,
    /// Sends codes.
    pub sms: Arc<dyn SmsSender>,
    /// Limits and lifetimes.
    pub config: IdentityConfig,
}

/// Identity on a database. Cheap to clone.
#[derive(Clone)]
pub struct IdentityService(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) env: Env,
    pub(crate) bus: Bus,
    pub(crate) vault: Vault,
    pub(crate) minter: Minter,
    pub(crate) sms: Arc<dyn SmsSender>,
    pub(crate) config: IdentityConfig,
    pub(crate) ended: Ended,
    /// The signing keys that were loaded last.
    pub(crate) kids: Mutex<Vec<String>>,
    pub(crate) hashing: Semaphore,
}

impl IdentityService {
    /// Identity of these parts. Reads which sessions ended lately, so that a logout survives a
    /// restart.
    pub async fn new(deps: IdentityDeps) -> Result<Self, IdentityError> {
        let ring = deps.vault.keyring();
        let mut keys = vec![ring.lookup_key()];
        keys.extend(ring.previous_lookup_key());
        let access_minutes = deps.config.access_minutes;
        let service = Self(Arc::new(Inner {
            db: deps.db,
            env: deps.env,
            bus: deps.bus,
            vault: deps.vault,
            minter: Minter { signer: deps.signer, keys, access_minutes },
            sms: deps.sms,
            config: deps.config,
            ended: Ended::default(),
            kids: Mutex::default(),
            hashing: Semaphore::new(HASHING),
        }));
        service.load_ended().await?;
        Ok(service)
    }

    /// Learns of sessions that other processes end and of signing keys that they change, until
    /// `shutdown` becomes true. Every process that reads access tokens runs this.
    pub async fn run(&self, shutdown: watch::Receiver<bool>) {
        jobs::follow_endings(self, shutdown).await;
    }

    /// Registers what has to happen from time to time.
    pub fn register_jobs(&self, queue: &Jobs) {
        jobs::register(self, queue);
    }

    /// Deletes codes, limits and sessions whose time is over, in small steps; returns how many.
    pub async fn sweep(&self) -> Result<u64, IdentityError> {
        jobs::sweep(self).await
    }

    pub(crate) fn lookup(&self) -> LookupKey {
        self.0.vault.lookup_key()
    }

    pub(crate) fn hash(&self, domain: &str, value: &str) -> Hash {
        self.lookup().hash(domain, value)
    }
}

#[async_trait]
impl Identity for IdentityService {
    async fn request_otp(&self, op: &Op, phone: &str) -> Result<OtpSent, IdentityError> {
        self.send_otp(op, phone).await
    }

    async fn verify_otp(&self, op: &Op, phone: &str, code: &str) -> Result<Login, IdentityError> {
        self.login(op, phone, code).await
    }

    async fn start_guest(&self, op: &Op) -> Result<Login, IdentityError> {
        self.start_guest_session(op).await
    }

    async fn refresh(&self, _: &Op, refresh_token: &str) -> Result<Tokens, IdentityError> {
        self.refresh_session(refresh_token).await
    }

    async fn logout(&self, op: &Op) -> Result<(), IdentityError> {
        self.end_of(op, false).await
    }

    async fn logout_everywhere(&self, op: &Op) -> Result<(), IdentityError> {
        self.end_of(op, true).await
    }

    fn authenticate(&self, access_token: &str) -> Result<Actor, IdentityError> {
        let (actor, session) = self.0.minter.read_access(access_token)?;
        if self.0.ended.has(session) {
            return Err(IdentityError::SessionEnded);
        }
        Ok(actor)
    }

    fn has_ended(&self, actor: &Actor) -> bool {
        matches!(actor, Actor::Person { session, .. } if self.0.ended.has(*session))
    }

    fn jwks(&self) -> String {
        self.0.minter.signer.jwks().to_string()
    }

    async fn me(&self, op: &Op) -> Result<Profile, IdentityError> {
        self.own_profile(op).await
    }

    async fn edit_profile(&self, op: &Op, edit: ProfileEdit) -> Result<Profile, IdentityError> {
        self.change_profile(op, edit).await
    }

    async fn profile_of(&self, op: &Op, person: PersonId) -> Result<Profile, IdentityError> {
        self.any_profile(op, person).await
    }

    async fn staff_login(
        &self,
        op: &Op,
        email: &str,
        password: &str,
    ) -> Result<(Staff, Tokens), IdentityError> {
        self.login_staff(op, email, password).await
    }

    async fn save_staff(
        &self,
        op: &Op,
        email: &str,
        password: Option<&str>,
        role: Role,
        active: bool,
    ) -> Result<Staff, IdentityError> {
        self.put_staff(op, email, password, role, active).await
    }

    async fn staff(&self, op: &Op) -> Result<Vec<Staff>, IdentityError> {
        self.all_staff(op).await
    }
}
