//! The use cases.

use async_trait::async_trait;
use mela_base::ids::{MessageId, PersonId};
use mela_base::{Env, Id, Op, Page, PageRequest, Timestamp};
use mela_bus::{Bus, EventRow};
use mela_db::{Db, DbError, Tx};
use mela_messaging_api::{
    Message, MessageArrived, MessageStream, Messaging, MessagingError, NewMessage,
};

use crate::{jobs, rules, store, watch};

/// The inboxes in a database. Cheap to clone.
#[derive(Clone)]
pub struct MessagingService {
    db: Db,
    env: Env,
    bus: Bus,
}

impl MessagingService {
    /// The inboxes of this database, live through this bus.
    pub fn new(db: Db, env: Env, bus: Bus) -> Self {
        Self { db, env, bus }
    }

    /// Listens to what concerns the inboxes.
    pub fn subscribe(&self, bus: &Bus) {
        jobs::subscribe(self, bus);
    }

    /// In two transactions: whoever writes to the guest's inbox after the first knows better, and
    /// what was written before is there to be moved by the second.
    pub(crate) async fn merge(&self, from: PersonId, to: PersonId) -> Result<(), DbError> {
        self.db.write("messaging.note_merge", move |tx| store::note_merge(tx, from, to)).await?;
        self.db.write("messaging.merge", move |tx| store::move_messages(tx, from, to)).await
    }
}

fn caller(op: &Op) -> Result<PersonId, MessagingError> {
    op.person().ok_or(MessagingError::Unauthenticated)
}

#[async_trait]
impl Messaging for MessagingService {
    fn post_in(&self, tx: &mut Tx<'_>, messages: &[NewMessage]) -> Result<(), MessagingError> {
        messages.iter().try_for_each(rules::check)?;
        let written = store::insert(tx, messages, self.env.now())?;
        let events: Result<Vec<_>, _> = written
            .into_iter()
            .map(|(message_id, person_id)| EventRow::new(&MessageArrived { person_id, message_id }))
            .collect();
        Ok(mela_bus::emit_all(tx, &self.env, &events?)?)
    }

    async fn inbox(&self, op: &Op, page: &PageRequest) -> Result<Page<Message>, MessagingError> {
        let person = caller(op)?;
        let limit = page.limit();
        let before = match &page.after {
            Some(cursor) => rules::parse_cursor(cursor)?,
            None => (Timestamp::from_micros(i64::MAX), Id::from_bytes([255; 16]).into()),
        };
        let rows = self
            .db
            .read("messaging.inbox", move |q| store::inbox(q, person, before, limit + 1))
            .await?;
        let rows = rows.into_iter().map(|m| (rules::cursor(m.created_at, m.id), m)).collect();
        Ok(Page::from_rows(rows, limit))
    }

    async fn unread(&self, op: &Op) -> Result<u64, MessagingError> {
        let person = caller(op)?;
        let count = self.db.read("messaging.unread", move |q| store::unread(q, person)).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn mark_read(&self, op: &Op, id: MessageId) -> Result<(), MessagingError> {
        let (person, now) = (caller(op)?, self.env.now());
        let write = move |tx: &mut Tx<'_>| store::mark_read(tx, id, person, now);
        match self.db.write("messaging.mark_read", write).await? {
            true => Ok(()),
            false => Err(MessagingError::MessageNotFound),
        }
    }

    async fn watch(&self, op: &Op) -> Result<MessageStream, MessagingError> {
        let person = caller(op)?;
        Ok(watch::messages(self.db.clone(), person, self.bus.live()))
    }
}
