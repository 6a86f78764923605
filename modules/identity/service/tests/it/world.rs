use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mela_base::{Actor, Op, Phone};
use mela_bus::Bus;
use mela_crypto::{Keyring, MasterKey, TokenSigner, Vault};
use mela_db::{Db, MigrationSet, Sql};
use mela_identity::{IdentityConfig, IdentityDeps, IdentityService};
use mela_identity_api::{Identity, IdentityError, Login};
use mela_notify_api::{NotifyError, SmsSender, SmsTemplate};
use mela_testkit::TestDb;
use parking_lot::Mutex;

pub(crate) const SETS: &[MigrationSet] =
    &[mela_bus::MIGRATIONS, mela_crypto::MIGRATIONS, mela_identity::MIGRATIONS];

/// Keeps what was sent.
#[derive(Default)]
pub(crate) struct FakeSms {
    sent: Mutex<Vec<(String, String)>>,
    pub(crate) down: AtomicBool,
}

#[async_trait]
impl SmsSender for FakeSms {
    async fn send(
        &self,
        to: &Phone,
        template: SmsTemplate,
        variables: &[&str],
    ) -> Result<(), NotifyError> {
        assert_eq!((template, variables.len()), (SmsTemplate::LoginCode, 2));
        if self.down.load(Ordering::SeqCst) {
            return Err(NotifyError::Unavailable);
        }
        self.sent.lock().push((to.e164().to_owned(), variables[0].to_owned()));
        Ok(())
    }
}

impl FakeSms {
    pub(crate) fn count(&self) -> usize {
        self.sent.lock().len()
    }

    /// The newest code for a number.
    pub(crate) fn code(&self, phone: &str) -> String {
        let phone = Phone::parse(phone).unwrap();
        let sent = self.sent.lock();
        sent.iter().rev().find(|(to, _)| to == phone.e164()).unwrap().1.clone()
    }
}

pub(crate) struct World {
    pub(crate) t: TestDb,
    pub(crate) sms: Arc<FakeSms>,
    pub(crate) id: IdentityService,
}

impl World {
    pub(crate) async fn new(t: TestDb) -> Self {
        Self::with(t, IdentityConfig::default()).await
    }

    pub(crate) async fn with(t: TestDb, config: IdentityConfig) -> Self {
        let sms = Arc::<FakeSms>::default();
        let (_, id) = process(&t, t.db.clone(), sms.clone(), config).await;
        Self { t, sms, id }
    }

    /// Identity as a process would have it that starts now.
    pub(crate) async fn restarted(&self) -> (Bus, IdentityService) {
        process(&self.t, self.t.another(), self.sms.clone(), IdentityConfig::default()).await
    }

    /// As an operator's command would.
    pub(crate) async fn rotate_keys(&self) {
        let vault = vault(&self.t);
        self.t
            .db
            .write("t.rotate", move |tx| {
                vault.rotate_signing_keys(tx).map(drop).map_err(mela_base::Internal::new)
            })
            .await
            .unwrap();
    }

    /// Asks for a code and returns it.
    pub(crate) async fn code(&self, phone: &str) -> String {
        self.id.request_otp(&nobody(), phone).await.unwrap();
        self.sms.code(phone)
    }

    pub(crate) async fn login(&self, op: &Op, phone: &str) -> Login {
        self.t.clock.advance_ms(60_000);
        let code = self.code(phone).await;
        self.id.verify_otp(op, phone, &code).await.unwrap()
    }

    /// A call with these tokens.
    pub(crate) fn op(&self, login: &Login) -> Op {
        by(self.id.authenticate(&login.tokens.access_token).unwrap())
    }

    /// Topics of all events so far.
    pub(crate) async fn topics(&self) -> Vec<String> {
        const TOPICS: Sql = Sql::new("t.topics", "SELECT topic FROM outbox ORDER BY seq");
        let rows = self.t.db.read("t.topics", |q| q.all(&TOPICS, &[])).await.unwrap();
        rows.iter().map(|r| r.get(0).unwrap()).collect()
    }
}

fn vault(t: &TestDb) -> Vault {
    let keyring = Keyring::new(MasterKey::from_bytes([7; 32]), None).unwrap();
    Vault::new(keyring, t.env.clone())
}

async fn process(
    t: &TestDb,
    db: Db,
    sms: Arc<FakeSms>,
    config: IdentityConfig,
) -> (Bus, IdentityService) {
    let env = t.env.clone();
    let vault = vault(t);
    let making = vault.clone();
    let keys = db
        .write("t.keys", move |tx| making.ensure_signing_keys(tx).map_err(mela_base::Internal::new))
        .await
        .unwrap();
    let signer = TokenSigner::new(env.clone(), "https://shop.example", "shop", keys).unwrap();
    let bus = Bus::new(db.clone(), env.clone());
    let deps = IdentityDeps { db, env, bus: bus.clone(), vault, signer, sms, config };
    (bus, IdentityService::new(deps).await.unwrap())
}

pub(crate) fn by(actor: Actor) -> Op {
    let mut op = Op::system("test");
    op.actor = actor;
    op
}

pub(crate) fn nobody() -> Op {
    by(Actor::Anonymous)
}

/// From this address and device.
pub(crate) fn from(ip: &str, device: &str) -> Op {
    let mut op = nobody();
    op.ip = Some(ip.parse().unwrap());
    op.device = Some(device.into());
    op
}

pub(crate) fn is_limited<T>(result: &Result<T, IdentityError>) -> bool {
    matches!(result, Err(IdentityError::TooManyRequests { .. }))
}

pub(crate) fn is_invalid_code<T>(result: &Result<T, IdentityError>) -> bool {
    matches!(result, Err(IdentityError::InvalidCode))
}

pub(crate) fn is_ended<T>(result: &Result<T, IdentityError>) -> bool {
    matches!(result, Err(IdentityError::SessionEnded))
}

/// A code that is wrong, whatever the right one is.
pub(crate) fn wrong(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}

pub(crate) const PHONE: &str = "+919876543210";
pub(crate) const OTHER: &str = "+919876543211";
