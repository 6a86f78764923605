//! The GST tax invoice as a PDF.
//!
//! A pure function of its input: the same [`InvoiceDoc`] gives the same bytes, so an invoice can be
//! made again at any time. It shows every field that Rule 46 of the CGST Rules asks for and refuses
//! a document that contradicts itself (a number that the rule forbids, lines that do not add up,
//! IGST inside one state), because a wrong invoice is worse than a late one.
//!
//! The fonts are subsets of Noto Sans (Latin, ₹) and Noto Sans Devanagari under the OFL; letters of
//! other scripts show as boxes.

mod layout;
mod paint;
mod text;
mod words;

use mela_base::pincode::State;
use mela_base::{ErrorKind, Fault, Gstin, Internal, IstDate, Paise};

/// Everything that stands on the invoice.
#[derive(Clone)]
pub struct InvoiceDoc {
    /// Who sells.
    pub supplier: Supplier,
    /// The consecutive number: at most 16 letters, digits, `-` and `/`.
    pub number: String,
    /// The day of issue.
    pub date: IstDate,
    /// The order that it bills.
    pub order_number: String,
    /// Who pays.
    pub buyer: Party,
    /// Where the goods go, if not to the buyer's address.
    pub ship_to: Option<Party>,
    /// The state whose share of the tax it is.
    pub place_of_supply: State,
    /// Whether the buyer owes the tax.
    pub reverse_charge: bool,
    /// What was sold. A delivery charge is a line as well, with SAC 9968.
    pub lines: Vec<InvoiceLine>,
    /// Part of the total that was paid with coins.
    pub coins_redeemed: Paise,
    /// How the rest is paid.
    pub payment: Payment,
}

/// Who sells; the state is that of the GSTIN.
#[derive(Clone)]
pub struct Supplier {
    /// Legal or trade name.
    pub name: String,
    /// Address lines.
    pub address: Vec<String>,
    /// The registration of the place that dispatches.
    pub gstin: Gstin,
    /// Phone or mail for questions.
    pub contact: Option<String>,
}

/// Who buys or receives. Personal data: `Debug` says nothing.
#[derive(Clone)]
pub struct Party {
    /// The name.
    pub name: String,
    /// Address lines, with the pincode.
    pub address: Vec<String>,
    /// The state.
    pub state: State,
    /// A phone number as it shall be shown.
    pub phone: Option<String>,
    /// Of a registered buyer.
    pub gstin: Option<Gstin>,
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Party(masked, {})", self.state.name)
    }
}

impl std::fmt::Debug for InvoiceDoc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InvoiceDoc({}, {} lines, masked)", self.number, self.lines.len())
    }
}

/// One line.
#[derive(Debug, Clone)]
pub struct InvoiceLine {
    /// Name of the goods, in English, Hindi or both.
    pub description: String,
    /// HSN of goods or SAC of services.
    pub hsn: String,
    /// How many.
    pub quantity: u32,
    /// Of which unit, by GST's unit quantity codes: `PCS`, `SET`, `PRS`.
    pub uqc: String,
    /// Price of one with tax, before discount.
    pub unit_price: Paise,
    /// The printed maximum retail price, if it shall be shown.
    pub mrp: Option<Paise>,
    /// Discount on the whole line, with tax.
    pub discount: Paise,
    /// Value without tax, after discount.
    pub taxable: Paise,
    /// Rate in hundredths of a percent: `500` is 5 %.
    pub rate_bp: u32,
    /// The tax by head.
    pub tax: LineTax,
    /// `taxable` and the tax.
    pub total: Paise,
}

/// The heads of tax: decided by where the goods start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTax {
    /// Inside one state.
    State {
        /// Central tax.
        cgst: Paise,
        /// State tax.
        sgst: Paise,
    },
    /// Inside a Union territory without legislature.
    Territory {
        /// Central tax.
        cgst: Paise,
        /// Union territory tax.
        utgst: Paise,
    },
    /// From one state into another.
    Integrated {
        /// Integrated tax.
        igst: Paise,
    },
}

/// How it is paid.
#[derive(Debug, Clone)]
pub struct Payment {
    /// As the shopper knows it: `UPI`, `Cash on delivery`.
    pub method: String,
    /// What the shopper still owes on delivery.
    pub due: Paise,
    /// A `upi://pay` link for the amount due; printed as a QR code if something is due.
    pub upi_link: Option<String>,
}

/// Why no invoice was made: each is a mistake of the calling code.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// Not a number that Rule 46(b) allows.
    #[error("`{0}` is not an invoice number: 1 to 16 letters, digits, `-` and `/` are allowed")]
    BadNumber(String),
    /// Nothing was sold.
    #[error("an invoice needs at least one line")]
    NoLines,
    /// The amounts of a line contradict each other.
    #[error("line {0} of the invoice does not add up: taxable value and tax must make its total")]
    DoesNotAddUp(usize),
    /// The heads of tax contradict the place of supply.
    #[error("line {0} of the invoice has the wrong heads of tax for its place of supply")]
    WrongHeads(usize),
    /// Coins and amount due are more than the total.
    #[error("coins and the amount due are more than the invoice's total")]
    Overpaid,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for PdfError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadNumber(_) => "INVOICE_BAD_NUMBER",
            Self::NoLines => "INVOICE_NO_LINES",
            Self::DoesNotAddUp(_) => "INVOICE_DOES_NOT_ADD_UP",
            Self::WrongHeads(_) => "INVOICE_WRONG_HEADS",
            Self::Overpaid => "INVOICE_OVERPAID",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

impl LineTax {
    /// The heads with their names, central first.
    pub(crate) fn heads(self) -> Vec<(&'static str, Paise)> {
        match self {
            Self::State { cgst, sgst } => vec![("CGST", cgst), ("SGST", sgst)],
            Self::Territory { cgst, utgst } => vec![("CGST", cgst), ("UTGST", utgst)],
            Self::Integrated { igst } => vec![("IGST", igst)],
        }
    }

    fn sum(self) -> Paise {
        self.heads().into_iter().map(|(_, amount)| amount).sum()
    }
}

impl InvoiceDoc {
    pub(crate) fn total(&self) -> Paise {
        self.lines.iter().map(|l| l.total).sum()
    }

    pub(crate) fn taxable(&self) -> Paise {
        self.lines.iter().map(|l| l.taxable).sum()
    }

    fn check(&self) -> Result<(), PdfError> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'/';
        if self.number.is_empty() || self.number.len() > 16 || !self.number.bytes().all(fits) {
            return Err(PdfError::BadNumber(self.number.chars().take(40).collect()));
        }
        if self.lines.is_empty() {
            return Err(PdfError::NoLines);
        }
        let here = self.supplier.gstin.state() == self.place_of_supply;
        for (i, line) in self.lines.iter().enumerate() {
            let right = match line.tax {
                LineTax::State { .. } => here && !self.place_of_supply.is_ut_without_legislature,
                LineTax::Territory { .. } => here && self.place_of_supply.is_ut_without_legislature,
                LineTax::Integrated { .. } => !here,
            };
            if !right {
                return Err(PdfError::WrongHeads(i + 1));
            }
            if line.taxable + line.tax.sum() != line.total {
                return Err(PdfError::DoesNotAddUp(i + 1));
            }
        }
        if self.coins_redeemed + self.payment.due > self.total() {
            return Err(PdfError::Overpaid);
        }
        Ok(())
    }
}

/// Makes the PDF.
///
/// Pure computation of some milliseconds: call it on a blocking thread.
pub fn invoice(doc: &InvoiceDoc) -> Result<Vec<u8>, PdfError> {
    doc.check()?;
    let fonts = text::Fonts::new()?;
    let pages = layout::pages(doc, &fonts)?;
    paint::paint(doc, &fonts, &pages)
}
