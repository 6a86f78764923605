//! What stands under the table: the sums, the words, how it is paid.

use mela_base::{Internal, Paise};
use qrcode::{Color, EcLevel, QrCode};

use super::{ACCENT, BODY, LABEL, MARGIN, Op, RIGHT, STRONG, Sheet, style};
use crate::text::Weight;
use crate::{PdfError, words};

impl Sheet<'_> {
    pub(super) fn summary(&mut self) -> Result<(), PdfError> {
        const X: f32 = 350.0;
        let doc = self.doc;
        let top = self.y + 18.0;
        let total = doc.total();
        let payable = total - doc.coins_redeemed;
        let mut rows = vec![("Taxable value".to_owned(), doc.taxable(), BODY)];
        rows.extend(self.head_sums().into_iter().map(|(name, sum)| (name.to_owned(), sum, BODY)));
        rows.push(("Invoice total".to_owned(), total, style(10.0, Weight::Bold, ACCENT)));
        if doc.coins_redeemed != Paise::ZERO {
            rows.push(("Paid with coins".to_owned(), -doc.coins_redeemed, BODY));
        }
        let paid = payable - doc.payment.due;
        if paid != Paise::ZERO {
            rows.push(("Amount paid".to_owned(), paid, BODY));
        }
        rows.push(("Amount due".to_owned(), doc.payment.due, STRONG));
        let mut y = top;
        for (label, amount, row_style) in rows {
            y += row_style.size - BODY.size;
            self.text(X, y, &label, row_style);
            self.text_right(RIGHT, y, &amount.to_string(), row_style, 110.0);
            y += row_style.size * 1.6;
        }
        let signature = format!("For {}", doc.supplier.name);
        y = self.block(X, y + 12.0, RIGHT - X, &signature, STRONG, 2);
        self.text(X, y + 2.0, "Authorised signatory", LABEL);

        let left_width = X - MARGIN - 24.0;
        self.text(MARGIN, top, "Amount in words", LABEL);
        let mut y =
            self.block(MARGIN, top + 12.0, left_width, &words::rupees(total), STRONG, 4) + 6.0;
        self.text(MARGIN, y, "Payment", LABEL);
        y = self.block(MARGIN, y + 12.0, left_width, &doc.payment.method, STRONG, 2) + 4.0;
        if let (Some(link), true) = (&doc.payment.upi_link, doc.payment.due > Paise::ZERO) {
            let side = self.qr(MARGIN, y - 4.0, link)?;
            let x = MARGIN + side + 10.0;
            self.text(x, y + 10.0, "Scan to pay by UPI", STRONG);
            self.text(x, y + 22.0, &doc.payment.due.to_string(), STRONG);
        }
        Ok(())
    }

    /// Draws a QR code and gives the length of its side.
    fn qr(&mut self, x: f32, y: f32, content: &str) -> Result<f32, PdfError> {
        const SIDE: f32 = 84.0;
        let code = QrCode::with_error_correction_level(content, EcLevel::M)
            .map_err(|e| Internal::new(format_args!("QR code: {e}")))?;
        let modules = code.width();
        let unit = SIDE / modules as f32;
        let mut rects = Vec::new();
        for (row, colours) in code.to_colors().chunks(modules).enumerate() {
            let mut column = 0;
            while column < modules {
                let dark = colours[column..].iter().take_while(|c| **c == Color::Dark).count();
                if dark > 0 {
                    let (left, top) = (x + column as f32 * unit, y + row as f32 * unit);
                    // A hair higher than a module, so that no viewer shows gaps between the rows.
                    rects.push([left, top, dark as f32 * unit, unit * 1.02]);
                }
                column += dark.max(1);
            }
        }
        self.ops.push(Op::Rects { rects, colour: [0, 0, 0] });
        Ok(SIDE)
    }
}
