//! The merchant's people.

use mela_base::ids::{PersonId, SessionId, StaffId};
use mela_base::{Internal, Op, Role};
use mela_crypto::password;
use mela_db::{Query, Tx};
use mela_identity_api::{IdentityError, Staff, Tokens};

use crate::limits::{self, Limited, per_hour};
use crate::rules;
use crate::service::IdentityService;
use crate::stop::Stop;
use crate::store::{self, Ending, Hash, Holder, NewStaff};
use crate::tokens::Subject;

const EMAIL: &str = "staff email";
const AAD: &str = "staff.email";

/// Whose key seals a staff account's log-in name: the vault knows persons only.
fn key_owner(id: StaffId) -> PersonId {
    PersonId(id.0)
}

impl IdentityService {
    fn email_hashes(&self, email: &str) -> Vec<Hash> {
        self.0.minter.keys.iter().map(|k| k.hash(EMAIL, email)).collect()
    }

    /// Runs password work where it blocks nobody, few at a time: each takes 19 MiB.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        let _permit = self.0.hashing.acquire().await.map_err(Internal::new)?;
        Ok(tokio::task::spawn_blocking(work).await.map_err(Internal::new)?)
    }

    pub(crate) async fn login_staff(
        &self,
        op: &Op,
        email: &str,
        password: &str,
    ) -> Result<(Staff, Tokens), IdentityError> {
        let Ok(email) = rules::check_email(email) else {
            return Err(IdentityError::WrongPassword);
        };
        let (now, config) = (self.0.env.now(), &self.0.config);
        let mut limited: Vec<Limited> =
            vec![(self.hash("staff per account", &email), per_hour(config.staff_tries))];
        if let Some(ip) = op.ip {
            let network = rules::network(ip);
            limited.push((self.hash("staff per address", &network), per_hour(config.staff_per_ip)));
        }
        // Counted before the answer is known, so that a thousand at once are not a thousand tries.
        let (counted, hashes) = (limited.clone(), self.email_hashes(&email));
        let found = self
            .0
            .db
            .write("identity.staff_login", move |tx| {
                limits::admit(tx, &counted, now)?;
                Ok::<_, Stop>(store::staff_by_email(tx, &hashes)?)
            })
            .await?;
        let text = password.to_owned();
        let phc = found.as_ref().map(|(_, phc)| phc.clone());
        let right = self
            .hashing(move || match phc {
                Some(phc) => password::verify(&text, &phc),
                None => password::verify_dummy(&text),
            })
            .await?;
        let Some((staff, phc)) = found.filter(|(staff, _)| right && staff.active) else {
            tracing::warn!(request_id = %op.request_id, "staff login refused");
            return Err(IdentityError::WrongPassword);
        };

        let (this, device, id) = (self.clone(), op.device.clone(), staff.id);
        let hash = self.hash(EMAIL, &email);
        let begun: Option<(Role, SessionId)> = self
            .0
            .db
            .write("identity.staff_session", move |tx| {
                limits::take_back(tx, &limited, now)?;
                // Locks the account, so that a change of role ends this session or comes first.
                let now = this.0.env.now();
                let Some(role) = store::staff_logs_in(tx, id, &phc, &hash, now)? else {
                    return Ok(None);
                };
                let subject = Subject::Staff { id, role };
                Ok::<_, Stop>(Some((role, this.begin_in(tx, &subject, device.as_deref())?)))
            })
            .await?;
        let (role, session) = begun.ok_or(IdentityError::WrongPassword)?;
        let tokens = self.0.minter.tokens(&Subject::Staff { id, role }, session, 0)?;
        Ok((Staff { id, email, role, active: true }, tokens))
    }

    pub(crate) async fn put_staff(
        &self,
        op: &Op,
        email: &str,
        password: Option<&str>,
        role: Role,
        active: bool,
    ) -> Result<Staff, IdentityError> {
        if !op.may(Role::Owner) {
            return Err(IdentityError::Denied);
        }
        let email = rules::check_email(email)?;
        let phc = self.password_hash(password).await?;
        let this = self.clone();
        let name = email.clone();
        let (id, ended) = self
            .0
            .db
            .write("identity.save_staff", move |tx| {
                this.put_staff_in(tx, &name, phc.clone(), role, active)
            })
            .await?;
        self.forget(&ended);
        tracing::info!(request_id = %op.request_id, staff = %id, role = role.as_str(), active, "staff account saved");
        Ok(Staff { id, email, role, active })
    }

    async fn password_hash(&self, password: Option<&str>) -> Result<Option<String>, IdentityError> {
        let Some(text) = password else { return Ok(None) };
        rules::check_password(text)?;
        let (env, text) = (self.0.env.clone(), text.to_owned());
        let phc = self.hashing(move || password::hash(&env, &text)).await?;
        Ok(Some(phc.map_err(Internal::new)?))
    }

    fn put_staff_in(
        &self,
        tx: &mut Tx<'_>,
        email: &str,
        phc: Option<String>,
        role: Role,
        active: bool,
    ) -> Result<(StaffId, Vec<SessionId>), Stop> {
        let Some((old, _)) = store::staff_by_email(tx, &self.email_hashes(email))? else {
            let Some(password) = phc else {
                let message = "a new staff account needs a password";
                return Err(Stop(rules::invalid("password", message)));
            };
            let id: StaffId = self.0.env.new_id();
            let key = self.0.vault.create_person_key(tx, key_owner(id))?;
            let staff = NewStaff {
                id,
                email_hash: self.hash(EMAIL, email),
                email: key.seal_str(AAD, email)?,
                password,
                role,
                active,
            };
            store::insert_staff(tx, staff, self.0.env.now())?;
            return Ok((id, Vec::new()));
        };
        if role != Role::Owner || !active {
            let owners = store::lock_owners(tx)?;
            if owners == [old.id] {
                let message = "this is the only active owner; make somebody else an owner first";
                return Err(Stop(rules::invalid("role", message)));
            }
        }
        store::update_staff(tx, old.id, role, active, phc.as_deref())?;
        let same = old.role == role && old.active == active && phc.is_none();
        let ended = match same {
            true => Vec::new(),
            false => self.end_in(tx, Ending::Of(Holder::Staff(old.id)))?,
        };
        Ok((old.id, ended))
    }

    /// Makes the first owner of a new installation; `None` if there is any staff account already.
    pub async fn ensure_first_owner(
        &self,
        email: &str,
        password: &str,
    ) -> Result<Option<Staff>, IdentityError> {
        let any = |q: &mut Query<'_>| Ok::<_, Stop>(store::has_staff(q)?);
        if self.0.db.read("identity.has_staff", any).await? {
            return Ok(None);
        }
        let op = Op::system("first-owner");
        self.put_staff(&op, email, Some(password), Role::Owner, true).await.map(Some)
    }

    pub(crate) async fn all_staff(&self, op: &Op) -> Result<Vec<Staff>, IdentityError> {
        if !op.may(Role::Owner) {
            return Err(IdentityError::Denied);
        }
        let this = self.clone();
        let read = move |q: &mut Query<'_>| {
            let rows = store::all_staff(q)?;
            let owners: Vec<_> = rows.iter().map(|(s, _)| key_owner(s.id)).collect();
            let keys = this.0.vault.person_keys(q, &owners)?;
            rows.into_iter()
                .map(|(s, sealed)| {
                    let key = keys.get(&key_owner(s.id));
                    let email = key.map(|k| k.open_str(AAD, &sealed)).transpose()?;
                    let email = email.unwrap_or_default();
                    Ok::<_, Stop>(Staff { id: s.id, email, role: s.role, active: s.active })
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(self.0.db.read("identity.staff", read).await?)
    }
}
