//! The inbox on both engines.

// Helpers of tests may fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use mela_base::ids::{MessageId, PersonId};
use mela_base::{Actor, Id, Op, PageRequest};
use mela_bus::Bus;
use mela_db::{MigrationSet, check_statements};
use mela_identity_api::PersonMerged;
use mela_messaging::MessagingService;
use mela_messaging_api::{Messaging, MessagingError, NewMessage};
use mela_testkit::{TestDb, on_both};

const SETS: &[MigrationSet] = &[mela_bus::MIGRATIONS, mela_messaging::MIGRATIONS];

struct World {
    t: TestDb,
    bus: Bus,
    m: MessagingService,
}

impl World {
    fn new(t: TestDb) -> Self {
        let bus = Bus::new(t.db.clone(), t.env.clone());
        let m = MessagingService::new(t.db.clone(), t.env.clone(), bus.clone());
        m.subscribe(&bus);
        Self { t, bus, m }
    }

    async fn post(&self, messages: Vec<NewMessage>) -> Result<(), MessagingError> {
        let m = self.m.clone();
        self.t.db.write("t.post", move |tx| m.post_in(tx, &messages)).await
    }

    async fn titles(&self, op: &Op) -> Vec<String> {
        let page = self.m.inbox(op, &PageRequest::first(100)).await.unwrap();
        page.items.into_iter().map(|(_, m)| m.title).collect()
    }

    async fn merge(&self, from: PersonId, to: PersonId) {
        let (env, event) = (self.t.env.clone(), PersonMerged { from, to });
        let emit = move |tx: &mut mela_db::Tx<'_>| mela_bus::emit(tx, &env, &event);
        self.t.db.write("t.merge", emit).await.unwrap();
        self.deliver().await;
    }

    async fn deliver(&self) {
        while self.bus.dispatch_once().await.unwrap() > 0 {}
        assert!(self.bus.drained().await.unwrap());
    }
}

fn person(n: u8) -> PersonId {
    PersonId(Id::from_bytes([n; 16]))
}

fn by(n: u8) -> Op {
    let mut op = Op::system("test");
    op.actor = Actor::Person { id: person(n), guest: false, session: Id::default().into() };
    op
}

fn message(to: u8, name: &str) -> NewMessage {
    NewMessage {
        id: MessageId(Id::from_name(name)),
        person_id: person(to),
        kind: "order".into(),
        title: name.into(),
        body: "आपका ऑर्डर".into(),
        link: (to == 1).then(|| "/orders/ord_1".into()),
    }
}

#[test]
fn every_statement_prepares() {
    for t in TestDb::both(SETS) {
        assert_eq!(check_statements(&t.db, mela_messaging::STATEMENTS), Vec::<String>::new());
    }
}

#[tokio::test]
async fn messages_are_written_once_and_read_by_their_owner_only() {
    on_both(SETS, async |t| {
        let w = World::new(t);
        for _ in 0..2 {
            w.post(vec![message(1, "a"), message(2, "b"), message(2, "b")]).await.unwrap();
        }
        w.post(Vec::new()).await.unwrap();
        assert_eq!(w.titles(&by(1)).await, ["a"]);
        assert_eq!(w.titles(&by(2)).await, ["b"]);
        assert_eq!(w.m.unread(&by(1)).await.unwrap(), 1);
        let a = MessageId(Id::from_name("a"));
        let foreign = w.m.mark_read(&by(2), a).await;
        assert!(matches!(foreign, Err(MessagingError::MessageNotFound)));
        let first = w.t.env.now();
        for _ in 0..2 {
            w.m.mark_read(&by(1), a).await.unwrap();
            w.t.clock.advance_ms(1_000);
        }
        let read = w.m.inbox(&by(1), &PageRequest::first(1)).await.unwrap();
        assert_eq!(read.items[0].1.read_at, Some(first));
        assert_eq!(read.items[0].1.link.as_deref(), Some("/orders/ord_1"));
        assert_eq!(w.m.unread(&by(1)).await.unwrap(), 0);
        assert_eq!(w.m.unread(&by(2)).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_inbox_pages_newest_first() {
    on_both(SETS, async |t| {
        let w = World::new(t);
        for n in 0..7 {
            w.post(vec![message(1, &format!("m{n}")), message(2, &format!("other {n}"))])
                .await
                .unwrap();
            // Some share an instant.
            w.t.clock.advance_ms(n % 2);
        }
        let mut seen = Vec::new();
        let mut page = PageRequest::first(3);
        loop {
            let got = w.m.inbox(&by(1), &page).await.unwrap();
            page.after = got.items.last().map(|(cursor, _)| cursor.clone());
            seen.extend(got.items.into_iter().map(|(_, m)| (m.created_at, m.id)));
            if !got.has_next {
                break;
            }
        }
        assert_eq!(seen.len(), 7);
        assert!(seen.windows(2).all(|w| w[0] > w[1]));
    })
    .await;
}

#[tokio::test]
async fn garbage_is_refused() {
    on_both(SETS, async |t| {
        let w = World::new(t);
        for op in [Op::system("t"), by(1)] {
            let known = op.person().is_some();
            assert_eq!(w.m.unread(&op).await.is_ok(), known);
            assert_eq!(w.m.watch(&op).await.is_ok(), known);
        }
        for after in ["", "x", ".", "1.1", "-1.00000000000000000000000000", &"f".repeat(9_999)] {
            let page = PageRequest { first: 1, after: Some(after.into()) };
            let refused = w.m.inbox(&by(1), &page).await;
            assert!(matches!(refused, Err(MessagingError::InvalidCursor)), "{after:.50}");
        }
        let unknown = w.m.mark_read(&by(1), MessageId::default()).await;
        assert!(matches!(unknown, Err(MessagingError::MessageNotFound)));
        // One bad message, and none is written.
        let long = NewMessage { body: "x".repeat(4_001), ..message(1, "long") };
        let refused = w.post(vec![message(1, "good"), long]).await;
        assert!(matches!(refused, Err(MessagingError::Internal(_))));
        assert_eq!(w.titles(&by(1)).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_guests_messages_follow_also_late_ones() {
    on_both(SETS, async |t| {
        let w = World::new(t);
        w.post(vec![message(1, "before"), message(2, "own")]).await.unwrap();
        for _ in 0..2 {
            w.merge(person(1), person(2)).await;
        }
        w.post(vec![message(1, "late")]).await.unwrap();
        assert_eq!(w.titles(&by(1)).await, Vec::<String>::new());
        let mut titles = w.titles(&by(2)).await;
        titles.sort();
        assert_eq!(titles, ["before", "late", "own"]);
        assert_eq!(w.m.unread(&by(2)).await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn who_watches_sees_each_own_message_once() {
    on_both(SETS, async |t| {
        let w = Arc::new(World::new(t));
        w.post(vec![message(1, "old")]).await.unwrap();
        w.deliver().await;
        let mut stream = w.m.watch(&by(1)).await.unwrap();
        for _ in 0..2 {
            w.post(vec![message(2, "not mine"), message(1, "new 1")]).await.unwrap();
        }
        w.post(vec![message(1, "new 2")]).await.unwrap();
        w.deliver().await;
        let mut seen = [stream.next().await.unwrap().title, stream.next().await.unwrap().title];
        seen.sort();
        assert_eq!(seen, ["new 1", "new 2"]);
        assert!(stream.next().now_or_never().is_none());
    })
    .await;
}
