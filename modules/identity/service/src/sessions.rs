//! Login sessions: start, refresh, end.

use std::collections::HashMap;

use mela_base::ids::SessionId;
use mela_base::{Actor, DAY_MS, HOUR_MS, Internal, MINUTE_MS, Op, Timestamp};
use mela_bus::EventRow;
use mela_crypto::TokenSigner;
use mela_db::Tx;
use mela_identity_api::{IdentityError, Login, SessionsEnded, Tokens};
use parking_lot::RwLock;

use crate::service::IdentityService;
use crate::stop::Stop;
use crate::store::{self, Ending, Holder};
use crate::tokens::Subject;

/// Sessions of one event.
const ANNOUNCED_AT_ONCE: usize = 100;
/// So many more endings, and those that no access token outlives are forgotten.
const FORGET_EVERY: usize = 1_024;

/// The sessions that ended so lately that an access token may still name them.
#[derive(Default)]
pub(crate) struct Ended(RwLock<HashMap<SessionId, Timestamp>>);

impl Ended {
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.0.read().contains_key(&session)
    }

    pub(crate) fn add(&self, sessions: &[SessionId], at: Timestamp, oldest: Timestamp) {
        if sessions.is_empty() {
            return;
        }
        let mut ended = self.0.write();
        for session in sessions {
            ended.insert(*session, at);
            if ended.len().is_multiple_of(FORGET_EVERY) {
                ended.retain(|_, at| *at > oldest);
            }
        }
    }
}

enum Refreshed {
    Tokens(Subject, SessionId, i64),
    Ended(Vec<SessionId>),
}

impl IdentityService {
    pub(crate) fn lifetime_ms(&self, subject: &Subject) -> i64 {
        let config = &self.0.config;
        match subject {
            Subject::Person { guest: true, .. } => i64::from(config.guest_days) * DAY_MS,
            Subject::Person { guest: false, .. } => i64::from(config.customer_days) * DAY_MS,
            Subject::Staff { .. } => i64::from(config.staff_hours) * HOUR_MS,
        }
    }

    /// Starts a session of `subject`.
    pub(crate) fn begin_in(
        &self,
        tx: &mut Tx<'_>,
        subject: &Subject,
        device: Option<&str>,
    ) -> Result<SessionId, Stop> {
        let now = self.0.env.now();
        let id: SessionId = self.0.env.new_id();
        let holder = match subject {
            Subject::Person { id, .. } => Holder::Person(*id),
            Subject::Staff { id, .. } => Holder::Staff(*id),
        };
        let until = now.plus_ms(self.lifetime_ms(subject));
        store::insert_session(tx, id, holder, device, now, until)?;
        Ok(id)
    }

    /// Ends sessions and says so. Hand the answer to [`IdentityService::forget`] after the commit.
    pub(crate) fn end_in(&self, tx: &mut Tx<'_>, which: Ending) -> Result<Vec<SessionId>, Stop> {
        let ended = store::end_sessions(tx, which, self.0.env.now())?;
        let events: Result<Vec<_>, _> = ended
            .chunks(ANNOUNCED_AT_ONCE)
            .map(|chunk| EventRow::new(&SessionsEnded { sessions: chunk.to_vec() }))
            .collect();
        mela_bus::emit_all(tx, &self.0.env, &events?)?;
        Ok(ended)
    }

    /// From now on these sessions' access tokens are refused in this process.
    pub(crate) fn forget(&self, sessions: &[SessionId]) {
        let now = self.0.env.now();
        self.0.ended.add(sessions, now, self.token_horizon(now));
    }

    /// Access tokens issued before this have all run out.
    fn token_horizon(&self, now: Timestamp) -> Timestamp {
        let leeway = TokenSigner::LEEWAY_S * 2_000;
        now.plus_ms(-i64::from(self.0.config.access_minutes) * MINUTE_MS - leeway)
    }

    /// Learns from the database which sessions ended lately.
    pub(crate) async fn load_ended(&self) -> Result<(), IdentityError> {
        let oldest = self.token_horizon(self.0.env.now());
        let ended = self
            .0
            .db
            .read("identity.load_ended", move |q| Ok::<_, Stop>(store::ended_sessions(q, oldest)?))
            .await?;
        for (session, at) in ended {
            self.0.ended.add(&[session], at, oldest);
        }
        Ok(())
    }

    /// Signs with the keys of the database from now on, if they have changed.
    pub(crate) async fn load_signing_keys(&self) -> Result<(), IdentityError> {
        let vault = self.0.vault.clone();
        let keys = self
            .0
            .db
            .read("identity.signing_keys", move |q| Ok::<_, Stop>(vault.signing_keys(q)?))
            .await?;
        let mut kids: Vec<String> = keys.iter().map(|k| k.kid().to_owned()).collect();
        kids.sort_unstable();
        let mut known = self.0.kids.lock();
        // Setting them forgets which tokens were found good, so not for nothing.
        if *known != kids {
            self.0.minter.signer.set_keys(keys).map_err(Internal::new)?;
            *known = kids;
        }
        Ok(())
    }

    pub(crate) async fn start_guest_session(&self, op: &Op) -> Result<Login, IdentityError> {
        let (this, device) = (self.clone(), op.device.clone());
        let (person_id, session) = self
            .0
            .db
            .write("identity.start_guest", move |tx| {
                let id = this.0.env.new_id();
                store::insert_guest(tx, id, this.0.env.now())?;
                let subject = Subject::Person { id, guest: true };
                Ok::<_, Stop>((id, this.begin_in(tx, &subject, device.as_deref())?))
            })
            .await?;
        let subject = Subject::Person { id: person_id, guest: true };
        let tokens = self.0.minter.tokens(&subject, session, 0)?;
        Ok(Login { tokens, person_id, guest: true, new: true })
    }

    pub(crate) async fn refresh_session(&self, token: &str) -> Result<Tokens, IdentityError> {
        let (session, generation) =
            self.0.minter.read_refresh(token).ok_or(IdentityError::SessionEnded)?;
        let this = self.clone();
        let refreshed = self
            .0
            .db
            .write("identity.refresh", move |tx| this.refresh_in(tx, session, generation))
            .await?;
        match refreshed {
            Refreshed::Tokens(subject, session, generation) => {
                self.0.minter.tokens(&subject, session, generation)
            }
            Refreshed::Ended(sessions) => {
                self.forget(&sessions);
                Err(IdentityError::SessionEnded)
            }
        }
    }

    fn refresh_in(
        &self,
        tx: &mut Tx<'_>,
        session: SessionId,
        generation: i64,
    ) -> Result<Refreshed, Stop> {
        let now = self.0.env.now();
        let Some(holder) = store::next_generation(tx, session, generation, now)? else {
            let reused = self.end_in(tx, Ending::Beyond(session, generation))?;
            if !reused.is_empty() {
                tracing::warn!(%session, "a used refresh token came back; the session was ended");
            }
            return Ok(Refreshed::Ended(reused));
        };
        let subject = match holder {
            Holder::Person(id) => store::get_person(tx, id)?
                .filter(|p| p.kind != "merged")
                .map(|p| Subject::Person { id, guest: p.kind == "guest" }),
            Holder::Staff(id) => store::get_staff(tx, id)?
                .filter(|s| s.active)
                .map(|s| Subject::Staff { id, role: s.role }),
        };
        let Some(subject) = subject else {
            return Ok(Refreshed::Ended(self.end_in(tx, Ending::One(session))?));
        };
        store::extend_session(tx, session, now.plus_ms(self.lifetime_ms(&subject)))?;
        Ok(Refreshed::Tokens(subject, session, generation + 1))
    }

    /// One session, or all of whoever calls. Staff calls do not name their session, so they end
    /// all in any case.
    pub(crate) async fn end_of(&self, op: &Op, everywhere: bool) -> Result<(), IdentityError> {
        let which = match op.actor {
            Actor::Person { id, .. } if everywhere => Ending::Of(Holder::Person(id)),
            Actor::Person { session, .. } => Ending::One(session),
            Actor::Staff { id, .. } => Ending::Of(Holder::Staff(id)),
            Actor::Anonymous | Actor::System => return Err(IdentityError::Unauthenticated),
        };
        let this = self.clone();
        let ended = self.0.db.write("identity.logout", move |tx| this.end_in(tx, which)).await?;
        self.forget(&ended);
        Ok(())
    }
}
