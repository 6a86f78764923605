//! The invoice: rendered once, sealed, kept, mailed.

use mela_base::pincode::State;
use mela_base::{Gstin, Paise};
use mela_blob::BlobRef;
use mela_inventory_api::Location;
use mela_jobs::JobError;
use mela_notify_api::{Attachment, Mail};
use mela_orders_api::{Address, Order, OrderError};
use mela_payments_api::Method;
use mela_pdf::{InvoiceDoc, InvoiceLine, LineTax, Party, Payment, Supplier};

use crate::fail::Fail;
use crate::gst::Tax;
use crate::store::order::{self, OrderRow};
use crate::{OrdersConfig, OrdersService, jobs, view};

/// Names the place of a sealed invoice.
const PDF: &str = "orders.invoice_pdf";
/// Services of delivery.
const SAC_DELIVERY: &str = "9968";

impl OrdersService {
    /// The address of an order; `None` once the person's key is destroyed.
    pub(crate) async fn address_of(&self, row: &OrderRow) -> Result<Option<Address>, Fail> {
        let (this, row) = (self.clone(), row.clone());
        self.db
            .read("orders.address", move |q| {
                let key = this.vault.person_key(q, row.sealed_by)?;
                view::open_address(key.as_ref(), &row.address)
            })
            .await
    }

    pub(crate) async fn stored_invoice(&self, row: &OrderRow) -> Result<Vec<u8>, Fail> {
        let Some(blob) = &row.invoice_blob else { return Err(OrderError::InvoiceNotReady.into()) };
        let sealed = self.blobs.get(blob.parse::<BlobRef>()?).await?;
        let (this, person) = (self.clone(), row.sealed_by);
        let key = self
            .db
            .read("orders.invoice_key", move |q| Ok::<_, Fail>(this.vault.person_key(q, person)?))
            .await?;
        // Erased with the person: it will never be ready.
        let key = key.ok_or(OrderError::OrderNotFound)?;
        Ok(key.open(PDF, &sealed)?)
    }

    /// Renders the invoice, keeps it, and asks for the mail if there is an address for it.
    pub(crate) async fn make_invoice(&self, row: &OrderRow) -> Result<(), JobError> {
        if row.invoice_blob.is_some() {
            return Ok(());
        }
        let (this, asked) = (self.clone(), row.clone());
        let (order, key) = self
            .db
            .read("orders.invoice", move |q| {
                let key = this.vault.person_key(q, asked.sealed_by)?;
                let order = this.load(q, vec![asked.clone()])?.pop();
                Ok::<_, Fail>((order, key))
            })
            .await?;
        let (Some(order), Some(key)) = (order, key) else {
            return Err(JobError::Fatal("the person was erased".into()));
        };
        let locations = self.inventory.locations().await.map_err(Fail::from)?;
        let from = locations.into_iter().find(|l| l.id == row.location_id);
        let from = from.ok_or_else(|| JobError::Retry("the location is not here".into()))?;
        let doc = document(&self.config, row, &order, &from)
            .ok_or_else(|| JobError::Fatal("the order cannot be billed".into()))?;
        let pdf = tokio::task::spawn_blocking(move || mela_pdf::invoice(&doc))
            .await
            .map_err(|e| JobError::Retry(e.to_string()))?
            .map_err(|e| JobError::Fatal(e.to_string()))?;
        let sealed = key.seal(PDF, &pdf).map_err(Fail::from)?;
        let blob = self.blobs.put(sealed).await.map_err(Fail::from)?;
        let mail = order.address.is_some_and(|a| a.email.is_some());
        let (this, id) = (self.clone(), row.id);
        self.db
            .write("orders.set_invoice", move |tx| {
                if order::set_invoice_blob(tx, id, &blob.to_string())? && mail {
                    let job = jobs::of_order(jobs::INVOICE_MAIL, id, this.env.now());
                    mela_jobs::enqueue(tx, &this.env, &job)?;
                }
                Ok::<_, Fail>(())
            })
            .await?;
        Ok(())
    }

    pub(crate) async fn mail_invoice(&self, row: &OrderRow) -> Result<(), JobError> {
        let Some(to) = self.address_of(row).await?.and_then(|a| a.email) else { return Ok(()) };
        let pdf = self.stored_invoice(row).await?;
        let number = row.invoice_number.clone().unwrap_or_default();
        let shop = &self.config.shop_name;
        let mail = Mail {
            to,
            subject: format!("Your {shop} order {}", row.number),
            text: format!(
                "Thank you for your order {}.\n\nTotal: {}\nInvoice {number} is attached.\n\n{shop}\n{}\n",
                row.number, row.totals.total, self.config.support_email
            ),
            attachments: vec![Attachment {
                name: format!("invoice-{}.pdf", number.replace('/', "-")),
                content_type: "application/pdf".into(),
                content: pdf,
            }],
        };
        self.mail.send(mail).await.map_err(|e| jobs::notify(&e))
    }
}

/// The order as its invoice shows it; `None` if something is missing that an invoice must have.
fn document(
    config: &OrdersConfig,
    row: &OrderRow,
    order: &Order,
    from: &Location,
) -> Option<InvoiceDoc> {
    let gstin = Gstin::parse(&row.supplier_gstin).ok()?;
    let place = State::by_code(&row.state_code)?;
    let address = order.address.as_ref()?;
    let heads = |cgst: Paise, sgst: Paise, igst: Paise| {
        if gstin.state() != place {
            LineTax::Integrated { igst }
        } else if place.is_ut_without_legislature {
            LineTax::Territory { cgst, utgst: sgst }
        } else {
            LineTax::State { cgst, sgst }
        }
    };
    let mut lines = Vec::with_capacity(order.lines.len() + 2);
    for l in &order.lines {
        lines.push(InvoiceLine {
            description: match &l.name_hi {
                Some(hindi) => format!("{} / {hindi}", l.name),
                None => l.name.clone(),
            },
            hsn: l.hsn.clone(),
            quantity: u32::try_from(l.quantity).ok()?,
            uqc: "PCS".into(),
            unit_price: l.unit_price,
            mrp: None,
            discount: l.discount,
            taxable: l.taxable,
            rate_bp: u32::try_from(l.rate_bp).ok()?,
            tax: heads(l.cgst, l.sgst, l.igst),
            total: l.total,
        });
    }
    let mut charge = |name: &str, amount: Paise, tax: &Tax| -> Option<()> {
        if amount > Paise::ZERO {
            lines.push(InvoiceLine {
                description: name.to_owned(),
                hsn: SAC_DELIVERY.into(),
                quantity: 1,
                uqc: "OTH".into(),
                unit_price: amount,
                mrp: None,
                discount: Paise::ZERO,
                taxable: tax.taxable,
                rate_bp: u32::try_from(tax.rate_bp).ok()?,
                tax: heads(tax.cgst, tax.sgst, tax.igst),
                total: amount,
            });
        }
        Some(())
    };
    charge("Delivery", row.totals.shipping, &row.charges.shipping)?;
    charge("Cash on delivery fee", row.totals.cod_fee, &row.charges.cod_fee)?;
    let (method, due) = match row.method {
        Method::CashOnDelivery => ("Cash on delivery", row.totals.to_pay),
        Method::Razorpay => ("Paid online", Paise::ZERO),
        Method::Coins => ("Nothing to pay", Paise::ZERO),
    };
    let upi_link = (due > Paise::ZERO && !config.upi_id.is_empty()).then(|| upi_link(config, row));
    let mut to = vec![address.line1.clone()];
    to.extend(address.line2.clone());
    to.push(format!("{} {}", address.city, address.pincode));
    Some(InvoiceDoc {
        supplier: Supplier {
            name: config.legal_name.clone(),
            address: vec![from.address.clone()],
            gstin,
            contact: Some(config.support_email.clone()).filter(|c| !c.is_empty()),
        },
        number: row.invoice_number.clone()?,
        date: row.invoiced_at?.ist_date(),
        order_number: row.number.clone(),
        buyer: Party {
            name: address.name.clone(),
            address: to,
            state: place,
            phone: Some(address.phone.clone()),
            gstin: None,
        },
        ship_to: None,
        place_of_supply: place,
        reverse_charge: false,
        lines,
        coins_redeemed: row.totals.coins_value,
        payment: Payment { method: method.into(), due, upi_link },
    })
}

fn upi_link(config: &OrdersConfig, row: &OrderRow) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' => {
                    char::from(b).to_string()
                }
                _ => format!("%{b:02X}"),
            })
            .collect()
    };
    format!(
        "upi://pay?pa={}&pn={}&am={}&cu=INR&tn={}",
        encode(&config.upi_id),
        encode(&config.shop_name),
        row.totals.to_pay.to_rupees(),
        encode(&row.number)
    )
}
