//! Login by a code sent to the phone.

use std::time::Duration;

use mela_base::ids::{PersonId, SessionId};
use mela_base::{Actor, DAY_MS, Fault, MINUTE_MS, Op, Phone, SECOND_MS, Timestamp};
use mela_crypto::DataKey;
use mela_db::Tx;
use mela_identity_api::{IdentityError, Login, OtpSent, PersonMerged};
use mela_notify_api::{NotifyError, SmsTemplate};

use crate::limits::{self, Limited, per_hour};
use crate::rules::{self, Limit};
use crate::service::IdentityService;
use crate::stop::Stop;
use crate::store::{self, Ending, Hash, Holder};
use crate::tokens::Subject;

const PHONE: &str = "phone";
const CODE: &str = "otp:login";

enum Verified {
    Wrong,
    /// That was the last try, or there was none left.
    Spent,
    In {
        person: PersonId,
        new: bool,
        session: SessionId,
        /// The guest's.
        ended: Vec<SessionId>,
        key: Option<DataKey>,
    },
}

impl IdentityService {
    /// The number's hash, under the current key and the one before.
    fn phone_hashes(&self, phone: &Phone) -> Vec<Hash> {
        self.0.minter.keys.iter().map(|k| k.hash(PHONE, phone.e164())).collect()
    }

    fn otp_limits(&self, op: &Op, phone: &Phone) -> Vec<Limited> {
        let config = &self.0.config;
        let number = phone.e164();
        let often = Limit {
            max: config.otp_per_number_10min,
            window_ms: 10 * MINUTE_MS,
            gap_ms: i64::from(config.otp_gap_s) * SECOND_MS,
        };
        let daily = Limit { max: config.otp_per_number_day, window_ms: DAY_MS, gap_ms: 0 };
        let mut out = vec![
            (self.hash("otp per number", number), often),
            (self.hash("otp per number and day", number), daily),
        ];
        if let Some(device) = &op.device {
            out.push((self.hash("otp per device", device), per_hour(config.otp_per_device_hour)));
        }
        if let Some(ip) = op.ip {
            let network = rules::network(ip);
            out.push((self.hash("otp per address", &network), per_hour(config.otp_per_ip_hour)));
        }
        out
    }

    /// Tries of a number, whatever the number of codes: what could not be sent does not count as
    /// asked for, and each new code has new tries. Who keeps to the limits never meets this one.
    fn try_limit(&self, phone: &Phone) -> Limited {
        let config = &self.0.config;
        let codes = config.otp_per_number_day.saturating_add(config.otp_per_number_10min);
        let max = codes.saturating_mul(config.otp_tries);
        let limit = Limit { max, window_ms: DAY_MS, gap_ms: 0 };
        (self.hash("otp tries per number and day", phone.e164()), limit)
    }

    /// The work does not depend on whether the number is known: nobody looks.
    pub(crate) async fn send_otp(&self, op: &Op, phone: &str) -> Result<OtpSent, IdentityError> {
        let phone = Phone::parse(phone)?;
        let (config, now) = (&self.0.config, self.0.env.now());
        let code = rules::code_text(self.0.env.below(1_000_000));
        let code_hash = self.hash(CODE, &bound(&phone, &code));
        let phone_hash = self.hash(PHONE, phone.e164());
        let limited = self.otp_limits(op, &phone);
        let until = now.plus_ms(i64::from(config.otp_minutes) * MINUTE_MS);

        let counted = limited.clone();
        self.0
            .db
            .write("identity.request_otp", move |tx| {
                limits::admit(tx, &counted, now)?;
                Ok::<_, Stop>(store::put_otp(tx, &phone_hash, &code_hash, until)?)
            })
            .await?;
        if let Err(error) = self.send_sms(&phone, &code).await {
            // The code stays: an SMS whose acknowledgement was lost may still arrive.
            tracing::warn!(request_id = %op.request_id, code = error.code(), "login code not sent");
            self.take_back(limited, now).await?;
            return Err(IdentityError::SmsUnavailable);
        }
        Ok(OtpSent {
            expires_in_s: i64::from(config.otp_minutes) * 60,
            resend_after_s: config.otp_gap_s.into(),
        })
    }

    async fn send_sms(&self, phone: &Phone, code: &str) -> Result<(), NotifyError> {
        let minutes = self.0.config.otp_minutes.to_string();
        let variables = [code, minutes.as_str()];
        let sending = self.0.sms.send(phone, SmsTemplate::LoginCode, &variables);
        let most = Duration::from_secs(self.0.config.sms_timeout_s.into());
        tokio::time::timeout(most, sending).await.unwrap_or(Err(NotifyError::Unavailable))
    }

    pub(crate) async fn take_back(
        &self,
        limited: Vec<Limited>,
        at: Timestamp,
    ) -> Result<(), IdentityError> {
        let write = move |tx: &mut Tx<'_>| limits::take_back(tx, &limited, at);
        Ok(self.0.db.write("identity.take_back", write).await?)
    }

    pub(crate) async fn login(
        &self,
        op: &Op,
        phone: &str,
        code: &str,
    ) -> Result<Login, IdentityError> {
        let phone = Phone::parse(phone)?;
        let code = rules::parse_code(code).ok_or(IdentityError::InvalidCode)?.to_owned();
        let (this, op) = (self.clone(), op.clone());
        let verified = self
            .0
            .db
            .write("identity.verify_otp", move |tx| this.verify_in(tx, &op, &phone, &code))
            .await?;
        match verified {
            Verified::Wrong => Err(IdentityError::InvalidCode),
            Verified::Spent => Err(IdentityError::TooManyTries),
            Verified::In { person, new, session, ended, key } => {
                self.forget(&ended);
                if let Some(key) = key {
                    self.0.vault.committed(&key);
                }
                let subject = Subject::Person { id: person, guest: false };
                let tokens = self.0.minter.tokens(&subject, session, 0)?;
                Ok(Login { tokens, person_id: person, guest: false, new })
            }
        }
    }

    /// The row of the number's code is locked from the first statement on: callers with the same
    /// number follow one another. A wrong try is an `Ok`, because it has to stay counted.
    fn verify_in(
        &self,
        tx: &mut Tx<'_>,
        op: &Op,
        phone: &Phone,
        code: &str,
    ) -> Result<Verified, Stop> {
        let now = self.0.env.now();
        let hashes = self.phone_hashes(phone);
        let Some(phone_hash) = hashes.first() else { return Ok(Verified::Wrong) };
        let max = self.0.config.otp_tries;
        let tried = store::try_otp(tx, phone_hash, now, max)?;
        if tried.is_some() {
            // Before the comparison: beyond the limit the right code is refused too.
            limits::admit(tx, &[self.try_limit(phone)], now)?;
        }
        // The same work with or without a code to compare with.
        let expected = tried.map_or([0; 32], |(hash, _)| hash);
        let right = self.lookup().verify(CODE, &bound(phone, code), &expected);
        match tried {
            None if store::has_spent_otp(tx, phone_hash, now)? => return Ok(Verified::Spent),
            None => return Ok(Verified::Wrong),
            Some((_, tries)) if !right && tries >= i64::from(max) => return Ok(Verified::Spent),
            Some(_) if !right => return Ok(Verified::Wrong),
            Some(_) => store::use_otp(tx, phone_hash)?,
        }

        let guest = match op.actor {
            Actor::Person { id, guest: true, .. } => Some(id),
            _ => None,
        };
        let mut ended = Vec::new();
        let mut key = None;
        let known = store::person_by_phone(tx, &hashes)?;
        let (person, new) = match (known, guest) {
            (Some(person), guest) => {
                if let Some(guest) = guest
                    && store::merge_guest(tx, guest, person)?
                {
                    let merged = PersonMerged { from: guest, to: person };
                    mela_bus::emit(tx, &self.0.env, &merged)?;
                    ended = self.end_in(tx, Ending::Of(Holder::Person(guest)))?;
                }
                (person, false)
            }
            (None, Some(guest)) if store::lock_guest(tx, guest)? => {
                let profile = self.seal_new(tx, guest, phone, &mut key)?;
                store::promote_guest(tx, guest, phone_hash, profile)?;
                // Whoever knew the guest's tokens does not get the customer's account by them.
                ended = self.end_in(tx, Ending::Of(Holder::Person(guest)))?;
                (guest, true)
            }
            (None, _) => {
                let id = self.0.env.new_id();
                let profile = self.seal_new(tx, id, phone, &mut key)?;
                store::insert_customer(tx, id, phone_hash, profile, now)?;
                (id, true)
            }
        };
        let subject = Subject::Person { id: person, guest: false };
        let session = self.begin_in(tx, &subject, op.device.as_deref())?;
        Ok(Verified::In { person, new, session, ended, key })
    }
}

/// A code is good for one number only.
fn bound(phone: &Phone, code: &str) -> String {
    format!("{}:{code}", phone.e164())
}
