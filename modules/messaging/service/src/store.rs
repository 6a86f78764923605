//! All SQL of messaging.

use mela_base::Timestamp;
use mela_base::ids::{MessageId, PersonId};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};
use mela_messaging_api::{Message, NewMessage};

// A message to a guest who has logged in goes to where that guest's messages follow.
const INSERT: Sql = Sql::new(
    "messaging.insert",
    "WITH v(id, person_id, kind, title, body, link, created_at) AS
         (VALUES {rows ID, ID, TEXT, TEXT, TEXT, TEXT, INSTANT})
     INSERT INTO inbox_message (id, person_id, kind, title, body, link, created_at)
     SELECT v.id,
            COALESCE((SELECT m.to_person FROM inbox_merge m WHERE m.from_person = v.person_id),
                     v.person_id),
            v.kind, v.title, v.body, v.link, v.created_at
     FROM v WHERE TRUE ON CONFLICT (id) DO NOTHING RETURNING id, person_id",
);
const INBOX: Sql = Sql::new(
    "messaging.inbox",
    "SELECT id, kind, title, body, link, created_at, read_at FROM inbox_message
     WHERE person_id = ?1 AND (created_at, id) < (?2, ?3)
     ORDER BY created_at DESC, id DESC LIMIT ?4",
);
const GET: Sql = Sql::new(
    "messaging.get",
    "SELECT id, kind, title, body, link, created_at, read_at FROM inbox_message
     WHERE id = ?1 AND person_id = ?2",
);
const UNREAD: Sql = Sql::new(
    "messaging.unread",
    "SELECT COUNT(id) FROM inbox_message WHERE person_id = ?1 AND read_at IS NULL",
);
const READ: Sql = Sql::new(
    "messaging.read",
    "UPDATE inbox_message SET read_at = COALESCE(read_at, ?3) WHERE id = ?1 AND person_id = ?2",
);
const MERGE: Sql = Sql::new(
    "messaging.merge",
    "INSERT INTO inbox_merge (from_person, to_person) VALUES (?1, ?2)
     ON CONFLICT (from_person) DO NOTHING",
);
const MOVE: Sql =
    Sql::new("messaging.move", "UPDATE inbox_message SET person_id = ?2 WHERE person_id = ?1");

/// Every statement, for the test that prepares them on both engines.
pub const STATEMENTS: &[&Sql] = &[&INSERT, &INBOX, &GET, &UNREAD, &READ, &MERGE, &MOVE];

/// Writes the messages that are not there yet; returns which, and whose they are.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<Vec<(MessageId, PersonId)>, DbError> {
    let rows: Vec<Vec<Value>> = messages
        .iter()
        .map(|m| params![m.id, m.person_id, &m.kind, &m.title, &m.body, &m.link, now].to_vec())
        .collect();
    tx.all_rows(&INSERT, &[], &rows)?.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

fn message(row: &Row) -> Result<Message, DbError> {
    Ok(Message {
        id: row.get(0)?,
        kind: row.get(1)?,
        title: row.get(2)?,
        body: row.get(3)?,
        link: row.get(4)?,
        created_at: row.get(5)?,
        read_at: row.get(6)?,
    })
}

pub(crate) fn inbox(
    q: &mut Query<'_>,
    person: PersonId,
    before: (Timestamp, MessageId),
    limit: u32,
) -> Result<Vec<Message>, DbError> {
    q.all(&INBOX, &params![person, before.0, before.1, limit])?.iter().map(message).collect()
}

pub(crate) fn get(
    q: &mut Query<'_>,
    id: MessageId,
    person: PersonId,
) -> Result<Option<Message>, DbError> {
    q.opt(&GET, &params![id, person])?.as_ref().map(message).transpose()
}

pub(crate) fn unread(q: &mut Query<'_>, person: PersonId) -> Result<i64, DbError> {
    q.one(&UNREAD, &params![person])?.get(0)
}

/// False if the person has no such message.
pub(crate) fn mark_read(
    tx: &mut Tx<'_>,
    id: MessageId,
    person: PersonId,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&READ, &params![id, person, now])? == 1)
}

/// Notes where the messages of a guest follow to from now on.
pub(crate) fn note_merge(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), DbError> {
    tx.exec(&MERGE, &params![from, to]).map(drop)
}

/// Hands over the messages that are there.
pub(crate) fn move_messages(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), DbError> {
    tx.exec(&MOVE, &params![from, to]).map(drop)
}
