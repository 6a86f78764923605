-- A guest who logs in brings along all carts and all uses of coupons: found by person, not by
-- reading every cart that ever became an order.
CREATE INDEX cart_person ON cart (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX coupon_use_person ON coupon_use (person_id);
