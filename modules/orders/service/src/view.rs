//! Rows as the contract shows them.

use std::collections::HashMap;

use mela_base::pincode::State;
use mela_crypto::DataKey;
use mela_db::Query;
use mela_orders_api::{Address, Order, OrderLine};

use crate::OrdersService;
use crate::fail::Fail;
use crate::store::order::{self, OrderRow};

/// Names the place of a sealed address: one name for carts and orders, so that placing an order
/// moves the sealed bytes as they are.
pub(crate) const ADDRESS: &str = "orders.address";

/// The name of a state or union territory by its GST code.
pub(crate) fn state_name(code: &str) -> String {
    State::by_code(code).map(|s| s.name.to_owned()).unwrap_or_default()
}

/// The address in plain; `None` once the person's key is destroyed.
pub(crate) fn open_address(key: Option<&DataKey>, sealed: &[u8]) -> Result<Option<Address>, Fail> {
    Ok(key.map(|key| key.open_json(ADDRESS, sealed)).transpose()?)
}

pub(crate) fn order(row: OrderRow, lines: Vec<OrderLine>, address: Option<Address>) -> Order {
    Order {
        id: row.id,
        number: row.number,
        person_id: row.person_id,
        state: row.state,
        lines,
        totals: row.totals,
        method: row.method,
        address,
        state_name: state_name(&row.state_code),
        invoice_number: row.invoice_number,
        history: row.history,
        placed_at: row.placed_at,
    }
}

impl OrdersService {
    /// Orders with lines and addresses, in the order of `rows`. At most two statements.
    pub(crate) fn load(&self, q: &mut Query<'_>, rows: Vec<OrderRow>) -> Result<Vec<Order>, Fail> {
        let ids: Vec<_> = rows.iter().map(|r| r.id).collect();
        let mut lines: HashMap<_, Vec<OrderLine>> = HashMap::new();
        for (id, line) in order::lines(q, &ids)? {
            lines.entry(id).or_default().push(line);
        }
        let mut persons: Vec<_> = rows.iter().map(|r| r.sealed_by).collect();
        persons.sort_unstable();
        persons.dedup();
        let keys = self.vault.person_keys(q, &persons)?;
        rows.into_iter()
            .map(|row| {
                let address = open_address(keys.get(&row.sealed_by), &row.address)?;
                let lines = lines.remove(&row.id).unwrap_or_default();
                Ok(order(row, lines, address))
            })
            .collect()
    }
}
