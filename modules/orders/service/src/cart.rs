//! Carts: one document each, changed under its row's lock.

use mela_base::Op;
use mela_base::ids::{CartId, PersonId, VariantId};
use mela_crypto::DataKey;
use mela_db::{Query, Tx};
use mela_orders_api::{Address, Cart, LineInput, NewCart, OrderError};

use crate::OrdersService;
use crate::cart_view::Around;
use crate::fail::Fail;
use crate::rules::{self, Lines};
use crate::store::cart::{self, CartRow};
use crate::view::{self, ADDRESS};

/// Whether the caller may use this cart: their own, or one without owner that they know.
pub(crate) fn may_use(op: &Op, cart: &CartRow) -> bool {
    cart.person_id.is_none_or(|owner| op.person() == Some(owner))
}

impl OrdersService {
    pub(crate) async fn new_cart(&self, op: &Op, new: NewCart) -> Result<Cart, Fail> {
        let now = self.env.now();
        let lines = rules::add(&Vec::new(), &new.lines)?;
        let address = new.address.map(rules::address).transpose()?;
        let code = new.coupon.as_deref().map(rules::coupon_code).transpose()?;
        let mut row = CartRow {
            id: self.env.new_id(),
            person_id: op.person(),
            key_person: None,
            lines,
            address: None,
            pincode: address.as_ref().map(|a| a.pincode.clone()),
            coupon: code,
            coins: 0,
            version: 1,
            order_id: None,
        };
        let (this, plain, asked) = (self.clone(), address.clone(), row.clone());
        let around = self
            .db
            .read("orders.cart_around", move |q| this.around(q, &asked, plain.clone()))
            .await?;
        for (variant_id, _) in &row.lines {
            if !around.variants.get(variant_id).is_some_and(|v| v.active) {
                return Err(OrderError::NotForSale { variant_id: *variant_id }.into());
            }
        }
        self.check_coupon(op, &row, &around)?;

        let sealed_for = op.person().unwrap_or_else(|| self.env.new_id());
        let (this, mut stored) = (self.clone(), row.clone());
        if address.is_some() {
            row.key_person = Some(sealed_for);
            stored.key_person = Some(sealed_for);
        }
        let own = op.person().is_some();
        let made = self
            .db
            .write("orders.create_cart", move |tx| {
                let mut stored = stored.clone();
                let mut made = None;
                if let Some(address) = &address {
                    let key = if own {
                        this.person_key(tx, sealed_for, &mut made)?
                    } else {
                        this.make_key(tx, sealed_for, &mut made)?
                    };
                    stored.address = Some(key.seal_json(ADDRESS, address)?);
                }
                cart::insert(tx, &stored, now)?;
                Ok::<_, Fail>(made)
            })
            .await?;
        self.remember(made);
        self.present(op, row, around).await
    }

    /// The key of a person, made now if there never was one.
    fn person_key(
        &self,
        tx: &mut Tx<'_>,
        person: PersonId,
        made: &mut Option<DataKey>,
    ) -> Result<DataKey, Fail> {
        match self.vault.person_key(tx, person)? {
            Some(key) => Ok(key),
            None => self.make_key(tx, person, made),
        }
    }

    /// `made` is for [`Self::remember`].
    fn make_key(
        &self,
        tx: &mut Tx<'_>,
        person: PersonId,
        made: &mut Option<DataKey>,
    ) -> Result<DataKey, Fail> {
        let key = self.vault.create_person_key(tx, person)?;
        *made = Some(key.clone());
        Ok(key)
    }

    /// After the commit: the order that follows need not read the key.
    fn remember(&self, made: Option<DataKey>) {
        if let Some(key) = made {
            self.vault.committed(&key);
        }
    }

    pub(crate) async fn show_cart(&self, op: &Op, id: CartId) -> Result<Cart, Fail> {
        let this = self.clone();
        let found = self
            .db
            .read("orders.cart", move |q| {
                let row = cart::by_id(q, id)?;
                this.with_around(q, row)
            })
            .await?;
        let (row, around) = found.ok_or(OrderError::CartNotFound)?;
        if !may_use(op, &row) {
            return Err(OrderError::CartNotFound.into());
        }
        self.present(op, row, around).await
    }

    pub(crate) async fn open_cart(&self, op: &Op) -> Result<Option<Cart>, Fail> {
        let Some(person) = op.person() else { return Ok(None) };
        let this = self.clone();
        let found = self
            .db
            .read("orders.my_cart", move |q| {
                let row = cart::open_of(q, person)?;
                this.with_around(q, row)
            })
            .await?;
        match found {
            Some((row, around)) => Ok(Some(self.present(op, row, around).await?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn change_lines(
        &self,
        op: &Op,
        id: CartId,
        wanted: &[LineInput],
        how: fn(&Lines, &[LineInput]) -> Result<Lines, OrderError>,
    ) -> Result<Cart, Fail> {
        let (this, wanted) = (self.clone(), wanted.to_vec());
        self.change(op, id, move |tx, cart, _| {
            let before = cart.lines.len();
            cart.lines = how(&cart.lines, &wanted)?;
            // Only what is new in the cart must exist; what went off sale meanwhile is a problem
            // that the cart shows.
            let new: Vec<VariantId> = cart.lines.iter().skip(before).map(|(v, _)| *v).collect();
            let known = this.catalog.variants_for_sale(tx, &new)?;
            match new.iter().find(|v| !known.iter().any(|k| k.id == **v && k.active)) {
                Some(variant_id) => Err(OrderError::NotForSale { variant_id: *variant_id }.into()),
                None => Ok(()),
            }
        })
        .await
    }

    pub(crate) async fn change_address(
        &self,
        op: &Op,
        id: CartId,
        address: Address,
    ) -> Result<Cart, Fail> {
        let address = rules::address(address)?;
        let (this, guest) = (self.clone(), self.env.new_id::<PersonId>());
        self.change(op, id, move |tx, cart, made| {
            let key = match (cart.person_id, cart.key_person) {
                (Some(person), _) | (None, Some(person)) => this.person_key(tx, person, made)?,
                (None, None) => this.make_key(tx, guest, made)?,
            };
            cart.address = Some(key.seal_json(ADDRESS, &address)?);
            cart.key_person = Some(key.person());
            cart.pincode = Some(address.pincode.clone());
            Ok(())
        })
        .await
    }

    pub(crate) async fn change_coupon(
        &self,
        op: &Op,
        id: CartId,
        code: Option<String>,
    ) -> Result<Cart, Fail> {
        let code = match code.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(code) => Some(rules::coupon_code(code)?),
        };
        let (this, asking) = (self.clone(), op.clone());
        self.change(op, id, move |tx, cart, _| {
            cart.coupon = code.clone();
            let around = this.around(tx, cart, None)?;
            this.check_coupon(&asking, cart, &around)
        })
        .await
    }

    pub(crate) async fn change_coins(&self, op: &Op, id: CartId, coins: i64) -> Result<Cart, Fail> {
        if coins < 0 {
            return Err(rules::invalid("coins", "coins are a whole number from 0 on").into());
        }
        if coins > 0 && op.person().is_none() {
            return Err(OrderError::Unauthenticated.into());
        }
        self.change(op, id, move |_, cart, _| {
            if coins > 0 && cart.person_id.is_none() {
                return Err(OrderError::Unauthenticated.into());
            }
            cart.coins = coins;
            Ok(())
        })
        .await
    }

    /// Changes a cart while the transaction holds it: of two that change it at once, the second
    /// sees what the first did.
    async fn change<F>(&self, op: &Op, id: CartId, f: F) -> Result<Cart, Fail>
    where
        F: Fn(&mut Tx<'_>, &mut CartRow, &mut Option<DataKey>) -> Result<(), Fail> + Send + 'static,
    {
        let now = self.env.now();
        let (this, asking) = (self.clone(), op.clone());
        let (row, around, made) = self
            .db
            .write("orders.change_cart", move |tx| {
                let mut row = this.hold(tx, &asking, id)?;
                let mut made = None;
                f(tx, &mut row, &mut made)?;
                if !cart::save(tx, &row, now)? {
                    return Err(OrderError::CartChanged.into());
                }
                let around = this.around(tx, &row, None)?;
                Ok::<_, Fail>((row, around, made))
            })
            .await?;
        self.remember(made);
        self.present(op, row, around).await
    }

    /// The open cart, held; or why not.
    fn hold(&self, tx: &mut Tx<'_>, op: &Op, id: CartId) -> Result<CartRow, Fail> {
        match cart::lock(tx, id)? {
            Some(row) if may_use(op, &row) => Ok(row),
            Some(_) => Err(OrderError::CartNotFound.into()),
            None => Err(why_not_open(tx, op, id)?.into()),
        }
    }

    pub(crate) async fn take_cart(&self, op: &Op, id: CartId) -> Result<Cart, Fail> {
        let person = op.person().ok_or(OrderError::Unauthenticated)?;
        let now = self.env.now();
        let (this, asking) = (self.clone(), op.clone());
        let (row, around) = self
            .db
            .write("orders.claim_cart", move |tx| {
                // Before the ownerless one, which nobody else holds: always in the same order.
                let others = cart::lock_open_of(tx, person)?;
                let mut row = this.hold(tx, &asking, id)?;
                for other in others.iter().filter(|o| o.id != id) {
                    this.join(tx, &mut row, other)?;
                }
                row.person_id = Some(person);
                this.reseal(tx, &mut row, person)?;
                if !cart::save(tx, &row, now)? {
                    return Err(OrderError::CartChanged.into());
                }
                let around = this.around(tx, &row, None)?;
                Ok::<_, Fail>((row, around))
            })
            .await?;
        self.present(op, row, around).await
    }

    /// Puts another cart into this one and removes it.
    fn join(&self, tx: &mut Tx<'_>, into: &mut CartRow, other: &CartRow) -> Result<(), Fail> {
        into.lines = rules::join(&into.lines, &other.lines);
        if into.address.is_none() {
            into.address.clone_from(&other.address);
            into.key_person = other.key_person;
            into.pincode.clone_from(&other.pincode);
        }
        if into.coupon.is_none() {
            into.coupon.clone_from(&other.coupon);
        }
        into.coins = into.coins.max(other.coins);
        Ok(cart::delete(tx, other.id)?)
    }

    /// Seals the address under the owner's own key, so that erasing the owner erases it.
    fn reseal(&self, tx: &mut Tx<'_>, row: &mut CartRow, person: PersonId) -> Result<(), Fail> {
        let (Some(sealed), Some(by)) = (&row.address, row.key_person) else { return Ok(()) };
        if by == person {
            return Ok(());
        }
        let old = self.vault.person_key(tx, by)?;
        let Some(address) = view::open_address(old.as_ref(), sealed)? else {
            // Erased: there is nothing left to keep.
            (row.address, row.key_person, row.pincode) = (None, None, None);
            return Ok(());
        };
        let key = self.person_key(tx, person, &mut None)?;
        row.address = Some(key.seal_json(ADDRESS, &address)?);
        row.key_person = Some(person);
        Ok(())
    }

    /// All that was one person's is another's: open carts become one, the guest's newest, because
    /// its id is what the shopper's device knows. Repeating it changes nothing.
    pub(crate) fn merge_carts_in(
        &self,
        tx: &mut Tx<'_>,
        from: PersonId,
        to: PersonId,
    ) -> Result<(), Fail> {
        let now = self.env.now();
        let mut guests = cart::lock_open_of(tx, from)?;
        guests.sort_by_key(|c| c.id);
        if let Some(mut row) = guests.pop() {
            for other in guests.iter().chain(&cart::lock_open_of(tx, to)?) {
                self.join(tx, &mut row, other)?;
            }
            row.person_id = Some(to);
            self.reseal(tx, &mut row, to)?;
            if !cart::save(tx, &row, now)? {
                return Err(Fail::internal("a cart changed while it was held"));
            }
        }
        Ok(cart::merge(tx, from, to)?)
    }

    fn with_around(
        &self,
        q: &mut Query<'_>,
        row: Option<CartRow>,
    ) -> Result<Option<(CartRow, Around)>, Fail> {
        let Some(row) = row else { return Ok(None) };
        let around = self.around(q, &row, None)?;
        Ok(Some((row, around)))
    }
}

/// Why a cart is not there to be changed.
pub(crate) fn why_not_open(q: &mut Query<'_>, op: &Op, id: CartId) -> Result<OrderError, Fail> {
    Ok(match cart::by_id(q, id)? {
        Some(row) if may_use(op, &row) => OrderError::CartPlaced,
        _ => OrderError::CartNotFound,
    })
}
