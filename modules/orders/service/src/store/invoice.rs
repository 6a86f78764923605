use mela_db::{DbError, Sql, Tx, params};

/// The row is held until the transaction ends, and with it the number is kept or given back: no
/// number is lost and none is given twice.
pub(crate) const NEXT: Sql = Sql::new(
    "orders.invoice_next",
    "INSERT INTO invoice_counter (gstin, series, year, last) VALUES (?1, ?2, ?3, 1)
     ON CONFLICT (gstin, series, year) DO UPDATE SET last = invoice_counter.last + 1
     RETURNING last",
);

/// The next count of a series in a financial year.
pub(crate) fn next(tx: &mut Tx<'_>, gstin: &str, series: &str, year: i32) -> Result<i64, DbError> {
    tx.one(&NEXT, &params![gstin, series, year])?.get(0)
}
