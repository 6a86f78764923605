//! What is known about a person, sealed under the person's own key.

use mela_base::ids::PersonId;
use mela_base::{Actor, Op, Phone};
use mela_crypto::DataKey;
use mela_db::{Query, Tx};
use mela_identity_api::{IdentityError, Profile, ProfileEdit};
use serde::{Deserialize, Serialize};

use crate::rules;
use crate::service::IdentityService;
use crate::stop::Stop;
use crate::store::{self, Person};

const AAD: &str = "person.profile";

/// What lies sealed in `person.profile`.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl IdentityService {
    /// The first profile of a new customer. Makes the person's key, if an order of the guest has
    /// not made it before; a new one is put into `made`.
    pub(crate) fn seal_new(
        &self,
        tx: &mut Tx<'_>,
        person: PersonId,
        phone: &Phone,
        made: &mut Option<DataKey>,
    ) -> Result<Vec<u8>, Stop> {
        let key = match self.0.vault.person_key(tx, person)? {
            Some(key) => key,
            None => made.insert(self.0.vault.create_person_key(tx, person)?).clone(),
        };
        let known = Known { phone: Some(phone.e164().to_owned()), ..Known::default() };
        Ok(key.seal_json(AAD, &known)?)
    }

    /// Empty if the person is a guest or was erased.
    fn known(&self, q: &mut Query<'_>, person: &Person) -> Result<Known, Stop> {
        let Some(sealed) = &person.profile else { return Ok(Known::default()) };
        Ok(match self.0.vault.person_key(q, person.id)? {
            Some(key) => key.open_json(AAD, sealed)?,
            None => Known::default(),
        })
    }

    pub(crate) async fn own_profile(&self, op: &Op) -> Result<Profile, IdentityError> {
        let id = op.person().ok_or(IdentityError::Unauthenticated)?;
        let this = self.clone();
        let read = move |q: &mut Query<'_>| {
            let person = store::get_person(q, id)?
                .filter(|p| p.merged_into.is_none())
                .ok_or(IdentityError::SessionEnded)?;
            Ok::<_, Stop>(profile(&person, this.known(q, &person)?))
        };
        Ok(self.0.db.read("identity.me", read).await?)
    }

    pub(crate) async fn change_profile(
        &self,
        op: &Op,
        edit: ProfileEdit,
    ) -> Result<Profile, IdentityError> {
        let id = op.person().ok_or(IdentityError::Unauthenticated)?;
        let name = edit.name.as_deref().map(rules::check_name).transpose()?;
        let email = match edit.email.as_deref().map(str::trim) {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(rules::check_email(text)?)),
        };
        let this = self.clone();
        let write = move |tx: &mut Tx<'_>| {
            let person = store::lock_person(tx, id)?
                .filter(|p| p.merged_into.is_none())
                .ok_or(IdentityError::SessionEnded)?;
            if person.kind != "customer" {
                let message = "log in with your mobile number first; a guest has no profile";
                return Err(Stop(rules::invalid("name", message)));
            }
            let key = this.0.vault.person_key(tx, id)?.ok_or(IdentityError::PersonNotFound)?;
            let mut known = this.known(tx, &person)?;
            if let Some(name) = &name {
                known.name.clone_from(name);
            }
            if let Some(email) = &email {
                known.email.clone_from(email);
            }
            store::set_profile(tx, id, key.seal_json(AAD, &known)?)?;
            Ok(profile(&person, known))
        };
        Ok(self.0.db.write("identity.edit_profile", write).await?)
    }

    /// Of the customer that a guest became, if the guest was merged.
    pub(crate) async fn any_profile(
        &self,
        op: &Op,
        person: PersonId,
    ) -> Result<Profile, IdentityError> {
        if op.actor != Actor::System {
            return Err(IdentityError::Denied);
        }
        let this = self.clone();
        let read = move |q: &mut Query<'_>| {
            let mut found = store::get_person(q, person)?.ok_or(IdentityError::PersonNotFound)?;
            if let Some(into) = found.merged_into {
                found = store::get_person(q, into)?.ok_or(IdentityError::PersonNotFound)?;
            }
            Ok::<_, Stop>(profile(&found, this.known(q, &found)?))
        };
        Ok(self.0.db.read("identity.profile_of", read).await?)
    }
}

fn profile(person: &Person, known: Known) -> Profile {
    Profile {
        id: person.id,
        guest: person.kind != "customer",
        phone: known.phone,
        name: known.name,
        email: known.email,
        created_at: person.created_at,
    }
}
