//! Cursor connections: one shape for every list.

use async_graphql::SimpleObject;
use mela_base::{Page, PageRequest};

/// How a list goes on.
#[derive(SimpleObject, Clone)]
pub(crate) struct PageInfo {
    /// More items follow.
    pub has_next_page: bool,
    /// Pass this as `after` to get them.
    pub end_cursor: Option<String>,
}

/// A connection's content before it is given a type of its own.
pub(crate) struct Connection<T> {
    pub(crate) edges: Vec<(String, T)>,
    pub(crate) has_next: bool,
}

impl<T> Connection<T> {
    pub(crate) fn from_page(page: Page<T>) -> Self {
        Self { edges: page.items, has_next: page.has_next }
    }

    pub(crate) fn page_info(&self) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next,
            end_cursor: self.edges.last().map(|(cursor, _)| cursor.clone()),
        }
    }
}

/// Items per page when the client does not say.
pub(crate) const DEFAULT_FIRST: i32 = 20;

/// The page that `first` and `after` ask for.
pub(crate) fn request(first: i32, after: Option<String>) -> PageRequest {
    PageRequest { first: u32::try_from(first).unwrap_or(1), after }
}

/// What asking a module costs, however little is asked for.
const CALL: usize = 50;
/// What changing something costs: one document may hold some changes, not thousands.
const CHANGE: usize = 250;
/// No cost is larger, so that sums of costs cannot overflow.
const MAX_COST: usize = 1 << 32;

/// What `n` items cost that are at hand already.
pub(crate) fn times(n: i32, child: usize) -> usize {
    let n = usize::try_from(n.clamp(0, 100)).unwrap_or(0);
    n.saturating_mul(child).saturating_add(1).min(MAX_COST)
}

/// What a list of `first` items costs that a module is asked for.
pub(crate) fn cost(first: i32, child: usize) -> usize {
    times(first.max(1), child) + CALL
}

/// What one thing costs that a module is asked for.
pub(crate) fn call(child: usize) -> usize {
    child + CALL
}

/// What a change costs.
pub(crate) fn change(child: usize) -> usize {
    child + CHANGE
}

/// Defines a connection and its edge over one node type, with `nodes` as a short cut.
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty) => {
        /// An item and the cursor that continues after it.
        #[derive(async_graphql::SimpleObject)]
        pub(crate) struct $edge {
            /// Pass this as `after` to continue after the item.
            cursor: String,
            /// The item.
            node: $node,
        }

        /// A part of a list.
        #[derive(async_graphql::SimpleObject)]
        pub(crate) struct $connection {
            /// Items with their cursors.
            edges: Vec<$edge>,
            /// The items alone.
            nodes: Vec<$node>,
            /// How the list goes on.
            page_info: $crate::page::PageInfo,
        }

        impl From<$crate::page::Connection<$node>> for $connection {
            fn from(list: $crate::page::Connection<$node>) -> Self {
                let page_info = list.page_info();
                let nodes = list.edges.iter().map(|(_, node)| node.clone()).collect();
                let edges =
                    list.edges.into_iter().map(|(cursor, node)| $edge { cursor, node }).collect();
                Self { edges, nodes, page_info }
            }
        }
    };
}
pub(crate) use connection;
