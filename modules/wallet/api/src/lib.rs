//! Wallet: the double-entry ledger, used for coins and for money.
//!
//! Every movement is a balanced, immutable transfer from one account to another with an id that
//! the caller chose, so a retry cannot book twice. Coins are earned and spent on orders; by law
//! (Promotion and Regulation of Online Gaming Act, 2025) there is no way to buy, transfer, stake
//! or cash them out, and [`TransferCode`] has no value that would allow it.

mod error;

use async_trait::async_trait;
use mela_base::ids::{AccountId, HoldId, PersonId, TransferId};
use mela_base::{Event, Id, Op, Page, PageRequest, Timestamp};
use mela_db::Tx;

pub use error::WalletError;

/// What an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Whole coins.
    Coin,
    /// Paise.
    Paise,
}

/// An account of the ledger. The id follows from the name, so no look-up is ever needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// A person's coins; can never be overdrawn.
    Coins(PersonId),
    /// Where coins come from; its debit balance is what was ever issued.
    CoinIssuer,
    /// Where coins go that paid for goods.
    CoinRedeemed,
    /// Where coins go that lapsed.
    CoinExpired,
    /// Money that buyers owe us on delivery.
    CodReceivable,
    /// Money that a gateway holds for us.
    GatewayReceivable,
    /// What we sold, tax included.
    Sales,
    /// Money given back to buyers.
    Refunds,
}

/// Why something moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferCode {
    /// Coins won in a game.
    GameReward,
    /// Coins given by staff or a campaign.
    Grant,
    /// Coins spent on an order.
    OrderRedeem,
    /// Coins given back because an order was cancelled.
    OrderRestore,
    /// A guest's coins follow into the account that logged in.
    Merge,
    /// Coins lapsed.
    Expire,
    /// An order to be paid on delivery.
    OrderCod,
    /// An order paid through a gateway.
    OrderPaid,
    /// Money given back.
    OrderRefund,
    /// A cancelled order that was never paid.
    OrderVoid,
}

/// One movement to book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Chosen by the caller so that a retry has the same one ([`Id::from_name`]).
    pub id: TransferId,
    /// Loses `amount`.
    pub from: Account,
    /// Gains `amount`; of the same unit as `from`.
    pub to: Account,
    /// Coins or paise; positive.
    pub amount: i64,
    /// Why.
    pub code: TransferCode,
    /// What it belongs to (an order, a match).
    pub reference: Id,
}

/// Coins set aside for an order that waits for its money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Chosen by the caller.
    pub id: HoldId,
    /// Whose coins.
    pub person: PersonId,
    /// How many; positive.
    pub amount: i64,
    /// What it belongs to.
    pub reference: Id,
    /// When it lapses by itself.
    pub expires_at: Timestamp,
}

/// A person's coins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Can be spent now.
    pub available: i64,
    /// Set aside for open orders.
    pub held: i64,
}

/// A line of a person's coin statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The transfer.
    pub id: TransferId,
    /// Gained (positive) or spent (negative).
    pub amount: i64,
    /// Why.
    pub code: TransferCode,
    /// What it belongs to.
    pub reference: Id,
    /// When.
    pub at: Timestamp,
}

/// The books, checked against themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerCheck {
    /// Number of transfers.
    pub transfers: u64,
    /// Sum over all accounts of gains minus losses, per unit; must be 0.
    pub sum_coin: i64,
    /// The same in paise; must be 0.
    pub sum_paise: i64,
    /// Accounts whose kept balance differs from the sum of their transfers, or whose held amount
    /// differs from the sum of their open holds; must be empty.
    pub wrong: Vec<AccountId>,
}

/// A person's coins changed.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct CoinsChanged {
    /// Whose.
    pub person_id: PersonId,
}

impl Event for CoinsChanged {
    const TOPIC: &'static str = "wallet.coins_changed";
    fn key(&self) -> String {
        self.person_id.to_string()
    }
}

/// The wallet contract.
#[async_trait]
pub trait Wallet: Send + Sync {
    /// A person's coins.
    async fn balance(&self, person: PersonId) -> Result<Balance, WalletError>;
    /// A person's statement, newest first.
    async fn entries(&self, op: &Op, page: &PageRequest) -> Result<Page<Entry>, WalletError>;
    /// Staff (manager): gives coins; `key` makes a retry harmless.
    async fn grant(
        &self,
        op: &Op,
        person: PersonId,
        amount: i64,
        key: &str,
    ) -> Result<Balance, WalletError>;
    /// Checks the books.
    async fn check(&self) -> Result<LedgerCheck, WalletError>;

    /// Inside a transaction: books transfers, all or none. The same id again with the same
    /// content changes nothing; with other content it is refused. At most one statement for the
    /// transfers plus one per account that keeps a balance.
    fn post_in(&self, tx: &mut Tx<'_>, transfers: &[Transfer]) -> Result<(), WalletError>;
    /// Inside a transaction: sets coins aside.
    fn hold_in(&self, tx: &mut Tx<'_>, hold: &Hold) -> Result<(), WalletError>;
    /// Inside a transaction: turns a hold into a spending. False if it has lapsed or been released.
    fn redeem_hold_in(&self, tx: &mut Tx<'_>, hold: HoldId) -> Result<bool, WalletError>;
    /// Inside a transaction: gives held coins back. Repeating it changes nothing.
    fn release_hold_in(&self, tx: &mut Tx<'_>, hold: HoldId) -> Result<(), WalletError>;
}

impl Account {
    /// The id under which the account is kept.
    pub fn id(self) -> AccountId {
        match self {
            Self::Coins(person) => AccountId(Id::from_name(&format!("coins:{person}"))),
            other => AccountId(Id::from_name(other.kind())),
        }
    }

    /// The kind's name in the database and in exports.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Coins(_) => "coins",
            Self::CoinIssuer => "coin_issuer",
            Self::CoinRedeemed => "coin_redeemed",
            Self::CoinExpired => "coin_expired",
            Self::CodReceivable => "cod_receivable",
            Self::GatewayReceivable => "gateway_receivable",
            Self::Sales => "sales",
            Self::Refunds => "refunds",
        }
    }

    /// What it counts.
    pub fn unit(self) -> Unit {
        match self {
            Self::Coins(_) | Self::CoinIssuer | Self::CoinRedeemed | Self::CoinExpired => {
                Unit::Coin
            }
            _ => Unit::Paise,
        }
    }
}

impl TransferCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::GameReward,
        Self::Grant,
        Self::OrderRedeem,
        Self::OrderRestore,
        Self::Merge,
        Self::Expire,
        Self::OrderCod,
        Self::OrderPaid,
        Self::OrderRefund,
        Self::OrderVoid,
    ];

    /// The name in the database and in exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GameReward => "game_reward",
            Self::Grant => "grant",
            Self::OrderRedeem => "order_redeem",
            Self::OrderRestore => "order_restore",
            Self::Merge => "merge",
            Self::Expire => "expire",
            Self::OrderCod => "order_cod",
            Self::OrderPaid => "order_paid",
            Self::OrderRefund => "order_refund",
            Self::OrderVoid => "order_void",
        }
    }

    /// The code with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }
}
