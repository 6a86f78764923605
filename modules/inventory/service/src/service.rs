use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{LocationId, OrderId, VariantId};
use mela_base::{Env, Internal, Op, Role, SECOND_MS, Timestamp};
use mela_bus::{EventRow, emit_all};
use mela_db::{Db, DbError, Tx};
use mela_inventory_api::{
    Availability, Inventory, InventoryError, Location, Quantity, StockChanged, StockLevel,
};
use parking_lot::RwLock;

use crate::rules;
use crate::store::{self, Change, Lines};

/// How long another process may still see the old locations.
const LOCATIONS_FRESH_MS: i64 = 30 * SECOND_MS;
/// Levels that are set in one transaction.
const LEVELS_PER_WRITE: usize = 500;

/// The locations, and when they were read.
type Known = (Timestamp, Vec<Location>);

/// The inventory of one shop. Cheap to clone.
#[derive(Clone)]
pub struct InventoryService {
    db: Db,
    env: Env,
    locations: Arc<RwLock<Option<Known>>>,
}

impl InventoryService {
    /// On this database.
    pub fn new(db: Db, env: Env) -> Self {
        Self { db, env, locations: Arc::default() }
    }

    /// Gives back what lapsed reservations hold; how many there were. Safe beside everything else:
    /// a reservation is one row, and whoever changes its state first has it.
    pub async fn release_expired(&self) -> Result<usize, InventoryError> {
        const CHUNK: i64 = 100;
        let mut total = 0;
        loop {
            let now = self.env.now();
            let orders =
                self.db.read("inventory.lapsed", move |q| store::lapsed(q, now, CHUNK)).await?;
            if orders.is_empty() {
                return Ok(total);
            }
            let (this, chunk) = (self.clone(), orders.clone());
            let released =
                self.db.write("inventory.lapse", move |tx| this.lapse_in(tx, now, &chunk)).await?;
            total += released;
            // Somebody else was faster with all of them: not worth asking again at once.
            if released == 0 || (orders.len() as i64) < CHUNK {
                return Ok(total);
            }
        }
    }

    fn lapse_in(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        orders: &[OrderId],
    ) -> Result<usize, InventoryError> {
        let held = store::lapse(tx, now, orders)?;
        let count = held.len();
        let mut sums: BTreeMap<LocationId, Lines> = BTreeMap::new();
        for (location, lines) in held {
            let at = sums.entry(location).or_default();
            for (variant, quantity) in lines {
                *at.entry(variant).or_insert(0) += quantity;
            }
        }
        for (location, lines) in sums {
            self.give_back(tx, location, &lines)?;
        }
        Ok(count)
    }

    fn give_back(
        &self,
        tx: &mut Tx<'_>,
        location: LocationId,
        lines: &Lines,
    ) -> Result<(), InventoryError> {
        let after = store::change(tx, Change::GiveBack, location, lines)?;
        let crossed = after.iter().filter(|(variant, available)| {
            let given = lines.get(variant).copied().unwrap_or(0);
            rules::crosses_zero(available - given, *available)
        });
        announce(tx, &self.env, crossed.map(|(v, _)| *v))?;
        all_changed("release", lines, &after)
    }
}

/// A row of stock that a reservation names never goes away; if it did, counters would be wrong.
fn all_changed(
    what: &str,
    lines: &Lines,
    after: &[(VariantId, i64)],
) -> Result<(), InventoryError> {
    if after.len() == lines.len() {
        return Ok(());
    }
    Err(Internal::new(format_args!("{what}: stock rows of a reservation are missing")).into())
}

#[async_trait]
impl Inventory for InventoryService {
    async fn availability(
        &self,
        variants: &[VariantId],
    ) -> Result<Vec<Availability>, InventoryError> {
        let asked = variants.to_vec();
        let known: BTreeMap<VariantId, i64> = self
            .db
            .read("inventory.availability", move |q| store::availability(q, &asked))
            .await
            .map_err(|e: DbError| InventoryError::from(e))?
            .into_iter()
            .map(|a| (a.variant_id, a.available))
            .collect();
        let of = |v: &VariantId| Availability {
            variant_id: *v,
            available: known.get(v).copied().unwrap_or(0),
        };
        Ok(variants.iter().map(of).collect())
    }

    async fn locations(&self) -> Result<Vec<Location>, InventoryError> {
        let now = self.env.now();
        if let Some((at, locations)) = self.locations.read().as_ref()
            && now.since_ms(*at) < LOCATIONS_FRESH_MS
        {
            return Ok(locations.clone());
        }
        let locations = self.db.read("inventory.locations", store::locations).await?;
        // Nothing is kept while there is none: whoever sets up a shop wants to see it at once.
        *self.locations.write() =
            if locations.is_empty() { None } else { Some((now, locations.clone())) };
        Ok(locations)
    }

    async fn set_stock(&self, op: &Op, levels: &[StockLevel]) -> Result<(), InventoryError> {
        if !op.may(Role::Manager) {
            return Err(InventoryError::Denied);
        }
        let (this, levels) = (self.clone(), levels.to_vec());
        self.db.write("inventory.set_stock", move |tx| this.set_stock_in(tx, &levels)).await
    }

    async fn save_location(&self, op: &Op, location: Location) -> Result<(), InventoryError> {
        if !op.may(Role::Manager) {
            return Err(InventoryError::Denied);
        }
        rules::check_location(&location)?;
        let now = self.env.now();
        self.db
            .write("inventory.save_location", move |tx| store::save_location(tx, &location, now))
            .await
            .map_err(|e: DbError| InventoryError::from(e))?;
        *self.locations.write() = None;
        Ok(())
    }

    fn reserve_in(
        &self,
        tx: &mut Tx<'_>,
        order: OrderId,
        location: LocationId,
        lines: &[Quantity],
        expires_at: Option<Timestamp>,
    ) -> Result<(), InventoryError> {
        let lines = rules::merge(lines)?;
        let after = store::change(tx, Change::Reserve, location, &lines)?;
        if after.len() < lines.len() {
            // The caller's transaction rolls back what was reserved of the other lines.
            let short = lines.iter().find(|(v, _)| !after.iter().any(|(a, _)| a == *v));
            let variant_id = short.map(|(v, _)| *v).unwrap_or_default();
            let levels = store::levels(tx, location, std::iter::once(variant_id))?;
            let available = levels.get(&variant_id).map_or(0, |(on_hand, held)| on_hand - held);
            return Err(InventoryError::OutOfStock { variant_id, available });
        }
        if !store::insert(tx, order, location, &lines, expires_at)? {
            return Err(Internal::new(format_args!("{order} holds stock already")).into());
        }
        // Something was available before, or it could not have been reserved.
        announce(tx, &self.env, after.iter().filter(|(_, left)| *left == 0).map(|(v, _)| *v))?;
        Ok(())
    }

    fn claim_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<bool, InventoryError> {
        Ok(store::claim(tx, order)?)
    }

    fn release_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), InventoryError> {
        match store::release(tx, order)? {
            Some((location, lines)) => self.give_back(tx, location, &lines),
            None => Ok(()),
        }
    }

    fn ship_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), InventoryError> {
        let Some((location, lines)) = store::ship(tx, order)? else { return Ok(()) };
        // What can be bought stays the same: both numbers fall by the same amount.
        let after = store::change(tx, Change::TakeOut, location, &lines)?;
        all_changed("ship", &lines, &after)
    }

    fn set_stock_in(&self, tx: &mut Tx<'_>, levels: &[StockLevel]) -> Result<(), InventoryError> {
        rules::check_levels(levels)?;
        // The last level of a variant counts if it is named twice.
        let mut wanted: BTreeMap<(LocationId, VariantId), i64> = BTreeMap::new();
        for level in levels {
            wanted.insert((level.location_id, level.variant_id), level.on_hand);
        }
        let wanted: Vec<StockLevel> = wanted
            .into_iter()
            .map(|((location_id, variant_id), on_hand)| StockLevel {
                variant_id,
                location_id,
                on_hand,
            })
            .collect();
        for chunk in wanted.chunk_by(|a, b| a.location_id == b.location_id) {
            for chunk in chunk.chunks(LEVELS_PER_WRITE) {
                self.set_chunk(tx, chunk)?;
            }
        }
        Ok(())
    }
}

impl InventoryService {
    /// Levels of one location.
    fn set_chunk(&self, tx: &mut Tx<'_>, levels: &[StockLevel]) -> Result<(), InventoryError> {
        let Some(location) = levels.first().map(|l| l.location_id) else { return Ok(()) };
        let before = store::levels(tx, location, levels.iter().map(|l| l.variant_id))?;
        store::set_levels(tx, levels).map_err(|error| {
            if error.is_check_named("stock_enough") {
                rules::invalid(
                    "onHand",
                    "open orders have reserved more than that; set at least what is reserved",
                )
            } else {
                error.into()
            }
        })?;
        let crossed = levels.iter().filter(|level| {
            let (on_hand, reserved) = before.get(&level.variant_id).copied().unwrap_or((0, 0));
            rules::crosses_zero(on_hand - reserved, level.on_hand - reserved)
        });
        announce(tx, &self.env, crossed.map(|l| l.variant_id))?;
        Ok(())
    }
}

/// Pages that show these variants are stale. Nothing is written if there are none.
fn announce(
    tx: &mut Tx<'_>,
    env: &Env,
    variants: impl Iterator<Item = VariantId>,
) -> Result<(), DbError> {
    let events: Vec<EventRow> = variants
        .map(|variant_id| EventRow::new(&StockChanged { variant_id }))
        .collect::<Result<_, _>>()?;
    if events.is_empty() { Ok(()) } else { emit_all(tx, env, &events) }
}
