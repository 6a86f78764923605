//! Coins, leaderboards, inbox.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use mela_base::PageRequest;
use mela_play_api::Window;

use crate::context::{op, services};
use crate::error::fault;
use crate::page::{self, Connection, PageInfo, connection};
use crate::scalar::{DateTime, id};

/// The caller's coins.
pub(crate) struct Wallet {
    available: i64,
    held: i64,
}

#[Object]
impl Wallet {
    /// Can be spent now.
    async fn available(&self) -> i64 {
        self.available
    }

    /// Set aside for open orders.
    async fn held(&self) -> i64 {
        self.held
    }

    /// Newest first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn entries(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "page::DEFAULT_FIRST")] first: i32,
        after: Option<String>,
    ) -> Result<CoinEntryConnection> {
        let page = page::request(first, after);
        let entries = services(ctx).wallet.entries(op(ctx), &page).await.map_err(fault)?;
        Ok(Connection::from_page(entries.map(CoinEntry::from)).into())
    }
}

/// A line of the coin statement.
#[derive(SimpleObject, Clone)]
pub(crate) struct CoinEntry {
    id: ID,
    /// Gained (positive) or spent (negative).
    amount: i64,
    /// `game_reward`, `order_redeem`, …
    code: String,
    at: DateTime,
}

impl From<mela_wallet_api::Entry> for CoinEntry {
    fn from(e: mela_wallet_api::Entry) -> Self {
        Self {
            id: ID(e.id.to_string()),
            amount: e.amount,
            code: e.code.as_str().to_owned(),
            at: DateTime(e.at),
        }
    }
}

connection!(CoinEntryConnection, CoinEntryEdge, CoinEntry);

/// A message in the caller's inbox.
#[derive(SimpleObject, Clone)]
pub(crate) struct Message {
    id: ID,
    /// What it is about.
    kind: String,
    title: String,
    body: String,
    /// A path within the storefront.
    link: Option<String>,
    created_at: DateTime,
    read_at: Option<DateTime>,
}

impl From<mela_messaging_api::Message> for Message {
    fn from(m: mela_messaging_api::Message) -> Self {
        Self {
            id: ID(m.id.to_string()),
            kind: m.kind,
            title: m.title,
            body: m.body,
            link: m.link,
            created_at: DateTime(m.created_at),
            read_at: m.read_at.map(DateTime),
        }
    }
}

/// A message and the cursor that continues after it.
#[derive(SimpleObject)]
pub(crate) struct MessageEdge {
    /// Pass this as `after` to continue after the message.
    cursor: String,
    /// The message.
    node: Message,
}

/// A part of the inbox.
pub(crate) struct MessageConnection(Connection<Message>);

#[Object]
impl MessageConnection {
    async fn edges(&self) -> Vec<MessageEdge> {
        let edge = |(cursor, node): &(String, Message)| MessageEdge {
            cursor: cursor.clone(),
            node: node.clone(),
        };
        self.0.edges.iter().map(edge).collect()
    }

    async fn nodes(&self) -> Vec<Message> {
        self.0.edges.iter().map(|(_, m)| m.clone()).collect()
    }

    async fn page_info(&self) -> PageInfo {
        self.0.page_info()
    }

    /// All unread messages.
    async fn unread(&self, ctx: &Context<'_>) -> Result<u64> {
        services(ctx).messaging.unread(op(ctx)).await.map_err(fault)
    }
}

/// What a board costs beyond its rows: its places are counted anew for whoever asks.
const COUNTING: usize = 1_000;

/// Over which time a leaderboard counts.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BoardWindow {
    /// Since the beginning.
    #[default]
    AllTime,
    /// Since Monday 00:00 in India.
    Weekly,
}

/// A row of a leaderboard.
#[derive(SimpleObject)]
pub(crate) struct Rank {
    /// 1 is best.
    rank: u64,
    nickname: String,
    score: i64,
    /// The caller's own row.
    me: bool,
}

/// A leaderboard.
#[derive(SimpleObject)]
pub(crate) struct Leaderboard {
    /// The best, in order.
    top: Vec<Rank>,
    /// The caller's own row.
    me: Option<Rank>,
    /// Rows around the caller's own, it included.
    neighbours: Vec<Rank>,
    /// How many are on it.
    total: u64,
}

/// Queries about coins, boards and the inbox.
#[derive(Default)]
pub(crate) struct PlayQuery;

#[Object]
impl PlayQuery {
    /// The caller's coins; none without a session.
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn wallet(&self, ctx: &Context<'_>) -> Result<Wallet> {
        let Some(person) = op(ctx).person() else {
            return Err(fault(mela_wallet_api::WalletError::Unauthenticated));
        };
        let balance = services(ctx).wallet.balance(person).await.map_err(fault)?;
        Ok(Wallet { available: balance.available, held: balance.held })
    }

    /// The caller's inbox, newest first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn inbox(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "page::DEFAULT_FIRST")] first: i32,
        after: Option<String>,
    ) -> Result<MessageConnection> {
        let page: PageRequest = page::request(first, after);
        let messages = services(ctx).messaging.inbox(op(ctx), &page).await.map_err(fault)?;
        Ok(MessageConnection(Connection::from_page(messages.map(Message::from))))
    }

    /// The board of a game.
    #[graphql(complexity = "page::cost(first, child_complexity) + COUNTING")]
    async fn leaderboard(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "String::from(\"quiz\")")] game: String,
        #[graphql(default)] window: BoardWindow,
        #[graphql(default = 10)] first: i32,
    ) -> Result<Leaderboard> {
        let window = match window {
            BoardWindow::AllTime => Window::AllTime,
            BoardWindow::Weekly => Window::Weekly,
        };
        let first = u32::try_from(first.clamp(1, 100)).unwrap_or(10);
        let op = op(ctx);
        let board =
            services(ctx).boards.leaderboard(op, &game, window, first).await.map_err(fault)?;
        let row = |r: mela_play_api::Rank| Rank {
            me: op.person() == Some(r.person_id),
            rank: r.rank,
            nickname: r.nickname,
            score: r.score,
        };
        Ok(Leaderboard {
            top: board.top.into_iter().map(row).collect(),
            me: board.me.map(row),
            neighbours: board.neighbours.into_iter().map(row).collect(),
            total: board.total,
        })
    }
}

/// Mutations about play and the inbox.
#[derive(Default)]
pub(crate) struct PlayMutation;

#[Object]
impl PlayMutation {
    /// Sets the name under which the caller plays.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn set_nickname(&self, ctx: &Context<'_>, nickname: String) -> Result<bool> {
        services(ctx).boards.set_nickname(op(ctx), &nickname).await.map(|()| true).map_err(fault)
    }

    /// Marks a message as read.
    #[graphql(complexity = "page::change(child_complexity)")]
    async fn mark_read(&self, ctx: &Context<'_>, message_id: ID) -> Result<bool> {
        let message = id("messageId", &message_id)?;
        services(ctx).messaging.mark_read(op(ctx), message).await.map(|()| true).map_err(fault)
    }
}
