//! The one place where orders move. Every function here expects that the transaction holds the
//! order's row ([`order::lock`]).

use mela_base::ids::{OrderId, RefundId};
use mela_base::{Id, Paise, Timestamp};
use mela_db::Tx;
use mela_inventory_api::{InventoryError, Quantity};
use mela_jobs::NewJob;
use mela_orders_api::{HistoryEntry, OrderConfirmed, OrderError, OrderMoved, OrderState};
use mela_payments_api::{Method, PaymentCaptured};
use mela_shipping_api::{ParcelMoved, ParcelState};
use mela_wallet_api::WalletError;

use crate::fail::Fail;
use crate::place::{hold_id, redeem_coins, restore_coins, void_on_delivery};
use crate::rules;
use crate::store::order::{self, OrderRow};
use crate::store::{coupon, invoice};
use crate::{OrdersService, jobs};

impl OrdersService {
    /// Moves an order: the only caller of [`order::save_move`].
    fn move_in(
        &self,
        tx: &mut Tx<'_>,
        row: &mut OrderRow,
        to: OrderState,
        note: &str,
    ) -> Result<(), Fail> {
        if !row.state.may_become(to) {
            return Err(OrderError::WrongState { state: row.state.as_str() }.into());
        }
        let (from, now) = (row.state, self.env.now());
        row.state = to;
        row.history.push(HistoryEntry { state: to, at: now, note: note.to_owned() });
        let (order_id, person_id) = (row.id, row.person_id);
        if to == OrderState::Confirmed {
            let event = OrderConfirmed { order_id, person_id, total: row.totals.total };
            mela_bus::emit(tx, &self.env, &event)?;
            self.allocate_invoice_in(tx, row, now)?;
        } else {
            let event = OrderMoved { order_id, person_id, state: to };
            mela_bus::emit(tx, &self.env, &event)?;
        }
        if order::save_move(tx, row, from)? {
            Ok(())
        } else {
            Err(Fail::internal(format_args!("{order_id} moved while it was held")))
        }
    }

    fn note_in(&self, tx: &mut Tx<'_>, row: &mut OrderRow, note: &str) -> Result<(), Fail> {
        let entry = HistoryEntry { state: row.state, at: self.env.now(), note: note.to_owned() };
        row.history.push(entry);
        Ok(order::save_note(tx, row)?)
    }

    /// The next number of the series, for an order that is confirmed in this transaction. From here
    /// to the commit others wait for the counter.
    pub(crate) fn allocate_invoice_in(
        &self,
        tx: &mut Tx<'_>,
        row: &mut OrderRow,
        now: Timestamp,
    ) -> Result<(), Fail> {
        let (series, day) = (&self.config.invoice_series, now.ist_date());
        let (year, _) = day.financial_year();
        let count = invoice::next(tx, &row.supplier_gstin, series, year)?;
        row.invoice_number = Some(rules::invoice_number(series, day, count));
        row.invoiced_at = Some(now);
        Ok(())
    }

    /// Money arrived. Repeating it changes nothing.
    pub(crate) fn captured_in(&self, tx: &mut Tx<'_>, event: &PaymentCaptured) -> Result<(), Fail> {
        let Some(mut row) = order::lock(tx, event.order_id)? else {
            return Err(Fail::internal(format_args!(
                "{} was paid but is not here",
                event.order_id
            )));
        };
        if row.payment_id != event.payment_id {
            return Err(Fail::internal(format_args!("{} was paid by a strange payment", row.id)));
        }
        match row.state {
            OrderState::PendingPayment => {}
            // Given up while the money was on its way.
            OrderState::Cancelled => {
                return self.refund_in(tx, &row, event.amount, "order cancelled");
            }
            _ => return Ok(()),
        }
        let trouble = if event.amount != row.totals.to_pay {
            Some("another amount was paid than asked for; it goes back")
        } else if !self.claim_in(tx, &row)? {
            Some("sold out while the payment took too long; the money goes back")
        } else if !self.redeem_in(tx, &row)? {
            Some("the coins were spent meanwhile; the money goes back")
        } else {
            None
        };
        match trouble {
            None => self.move_in(tx, &mut row, OrderState::Confirmed, "paid"),
            Some(note) => {
                tracing::warn!(order = %row.id, note, "a paid order cannot be confirmed");
                self.cancel_in(tx, &mut row, note)?;
                self.refund_in(tx, &row, event.amount, note)
            }
        }
    }

    /// Makes the stock of an order its own, also if the reservation has lapsed and there is still
    /// enough.
    fn claim_in(&self, tx: &mut Tx<'_>, row: &OrderRow) -> Result<bool, Fail> {
        if self.inventory.claim_in(tx, row.id)? {
            return Ok(true);
        }
        let lines: Vec<Quantity> = order::lines(tx, &[row.id])?
            .iter()
            .map(|(_, l)| Quantity { variant_id: l.variant_id, quantity: l.quantity })
            .collect();
        let anew =
            tx.attempt(|tx| self.inventory.reserve_in(tx, row.id, row.location_id, &lines, None));
        match anew {
            Ok(()) => Ok(true),
            Err(InventoryError::OutOfStock { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Spends the coins of an order, also if they are not set aside any more and still there.
    fn redeem_in(&self, tx: &mut Tx<'_>, row: &OrderRow) -> Result<bool, Fail> {
        let Some(transfer) = redeem_coins(row) else { return Ok(true) };
        if self.wallet.redeem_hold_in(tx, hold_id(row.id))? {
            return Ok(true);
        }
        match tx.attempt(|tx| self.wallet.post_in(tx, &[transfer])) {
            Ok(()) => Ok(true),
            Err(WalletError::NotEnoughCoins { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A job gives the money back; its id follows from the payment, so it goes back once.
    fn refund_in(
        &self,
        tx: &mut Tx<'_>,
        row: &OrderRow,
        amount: Paise,
        reason: &str,
    ) -> Result<(), Fail> {
        let job = NewJob {
            kind: jobs::REFUND,
            payload: serde_json::json!({
                "order": row.id,
                "payment": row.payment_id,
                "refund": RefundId(Id::from_name(&format!("order:{}", row.payment_id))),
                "amount": amount,
                "reason": reason,
            }),
            run_at: self.env.now(),
            unique_key: Some(format!("{}:{}", jobs::REFUND, row.id)),
        };
        mela_jobs::enqueue(tx, &self.env, &job)?;
        Ok(())
    }

    /// An attempt to pay failed: only the history says so.
    pub(crate) fn payment_failed_in(&self, tx: &mut Tx<'_>, id: OrderId) -> Result<(), Fail> {
        const NOTE: &str = "a payment attempt failed";
        match order::lock(tx, id)? {
            // The event may come again, and shoppers may fail as often as they like.
            Some(mut row)
                if row.state == OrderState::PendingPayment
                    && row.history.last().is_some_and(|entry| entry.note != NOTE) =>
            {
                self.note_in(tx, &mut row, NOTE)
            }
            _ => Ok(()),
        }
    }

    /// Calls an order off before it ships: stock, coins, coupon and money go back.
    pub(crate) fn cancel_in(
        &self,
        tx: &mut Tx<'_>,
        row: &mut OrderRow,
        note: &str,
    ) -> Result<(), Fail> {
        let from = row.state;
        if !from.may_become(OrderState::Cancelled) {
            return Err(OrderError::WrongState { state: from.as_str() }.into());
        }
        self.inventory.release_in(tx, row.id)?;
        if let Some(code) = &row.coupon {
            coupon::give_back(tx, code, row.person_id)?;
        }
        if from == OrderState::PendingPayment {
            if row.totals.coins > 0 {
                self.wallet.release_hold_in(tx, hold_id(row.id))?;
            }
            self.payments.cancel_in(tx, row.id)?;
        } else {
            self.unpay_in(tx, row, note)?;
            let job = NewJob {
                kind: jobs::CANCEL_PARCEL,
                payload: serde_json::json!({ "order": row.id }),
                run_at: self.env.now(),
                unique_key: Some(format!("{}:{}", jobs::CANCEL_PARCEL, row.id)),
            };
            mela_jobs::enqueue(tx, &self.env, &job)?;
        }
        self.move_in(tx, row, OrderState::Cancelled, note)
    }

    /// Gives back what a confirmed order was paid with.
    fn unpay_in(&self, tx: &mut Tx<'_>, row: &OrderRow, note: &str) -> Result<(), Fail> {
        self.payments.cancel_in(tx, row.id)?;
        let transfers: Vec<_> =
            void_on_delivery(row).into_iter().chain(restore_coins(row)).collect();
        if !transfers.is_empty() {
            self.wallet.post_in(tx, &transfers)?;
        }
        if row.method == Method::Razorpay && row.totals.to_pay > Paise::ZERO {
            self.refund_in(tx, row, row.totals.to_pay, note)?;
        }
        Ok(())
    }

    /// Cancels an order that has waited for its money too long. False if it does not wait any more.
    pub(crate) fn expire_in(&self, tx: &mut Tx<'_>, id: OrderId) -> Result<bool, Fail> {
        let now = self.env.now();
        match order::lock(tx, id)? {
            Some(mut row)
                if row.state == OrderState::PendingPayment
                    && row.expires_at.is_some_and(|at| at <= now) =>
            {
                self.cancel_in(tx, &mut row, "not paid in time")?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The parcel of an order moved: so does the order, along allowed moves only. Scans that come
    /// late or twice change nothing.
    pub(crate) fn parcel_moved_in(&self, tx: &mut Tx<'_>, event: &ParcelMoved) -> Result<(), Fail> {
        let Some(mut row) = order::lock(tx, event.order_id)? else {
            return Err(Fail::internal(format_args!(
                "a parcel of {}, which is not here",
                event.order_id
            )));
        };
        // The end of the way counts whenever it is heard of: scans that are stamped later can come
        // before it, and no other news follows.
        if !event.state.is_final() && row.parcel_at.is_some_and(|at| event.at < at) {
            return Ok(());
        }
        let news = row.parcel_at.is_none_or(|at| event.at > at);
        row.parcel_at = row.parcel_at.max(Some(event.at));
        let Some(to) = rules::state_of_parcel(event.state) else {
            if news && event.state == ParcelState::Lost {
                return self.note_in(tx, &mut row, "the courier has lost the parcel");
            }
            return Ok(());
        };
        let Some(path) = rules::path(row.state, to) else { return Ok(()) };
        for next in path {
            if row.state == OrderState::Confirmed {
                self.inventory.ship_in(tx, row.id)?;
            }
            match next {
                OrderState::Delivered if row.method == Method::CashOnDelivery => {
                    self.payments.collected_in(tx, row.id)?;
                }
                // The goods become stock again only when staff have looked at them.
                OrderState::Returned => self.unpay_in(tx, &row, "returned undelivered")?,
                _ => {}
            }
            self.move_in(tx, &mut row, next, parcel_note(event.state, next))?;
        }
        Ok(())
    }
}

fn parcel_note(parcel: ParcelState, to: OrderState) -> &'static str {
    match (parcel, to) {
        (ParcelState::Undelivered, OrderState::Shipped) => {
            "could not be delivered; another attempt follows"
        }
        (_, OrderState::Shipped) => "with the courier",
        (_, OrderState::OutForDelivery) => "out for delivery",
        (_, OrderState::Delivered) => "delivered",
        (_, OrderState::Returning) => "could not be delivered; it comes back",
        (_, OrderState::Returned) => "came back undelivered",
        _ => "moved",
    }
}
