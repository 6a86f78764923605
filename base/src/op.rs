use std::net::IpAddr;
use std::sync::Arc;

use crate::ids::{PersonId, SessionId, StaffId};

/// Who calls, and under which request: the first parameter of every use case.
#[derive(Clone, Debug)]
pub struct Op {
    /// Shown to the caller and written to every log line of the request.
    pub request_id: Arc<str>,
    /// On whose authority.
    pub actor: Actor,
    /// The caller's address, for limits only. `None` inside the system.
    pub ip: Option<IpAddr>,
    /// Hash of the device id that the client sent, for limits only.
    pub device: Option<Arc<str>>,
}

/// On whose authority a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody has said who they are.
    Anonymous,
    /// A person who shops or plays.
    Person {
        /// Which one.
        id: PersonId,
        /// True until the person has logged in by phone.
        guest: bool,
        /// The login session.
        session: SessionId,
    },
    /// Somebody of the merchant's staff.
    Staff {
        /// Which one.
        id: StaffId,
        /// What they may do.
        role: Role,
    },
    /// Mela itself: jobs, event consumers, the command line.
    System,
}

/// What a member of staff may do; each role may also do what the ones before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read orders and catalogue.
    Viewer,
    /// Work on orders: fulfil, cancel, refund.
    Support,
    /// Change catalogue, prices and stock.
    Manager,
    /// Everything, staff accounts included.
    Owner,
}

impl Op {
    /// A call by Mela itself.
    pub fn system(request_id: &str) -> Self {
        Self { request_id: request_id.into(), actor: Actor::System, ip: None, device: None }
    }

    /// The person who calls, guest or not.
    pub fn person(&self) -> Option<PersonId> {
        match self.actor {
            Actor::Person { id, .. } => Some(id),
            _ => None,
        }
    }

    /// True if the caller is staff of at least this role, or Mela itself.
    pub fn may(&self, needed: Role) -> bool {
        match self.actor {
            Actor::Staff { role, .. } => role >= needed,
            Actor::System => true,
            _ => false,
        }
    }
}

impl Role {
    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Support => "support",
            Self::Manager => "manager",
            Self::Owner => "owner",
        }
    }

    /// The role with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Support, Self::Manager, Self::Owner]
            .into_iter()
            .find(|r| r.as_str() == name)
    }
}
