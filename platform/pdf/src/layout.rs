//! Where everything stands on A4 pages, in points from the top left.

mod summary;

use mela_base::Paise;

use crate::text::{Fonts, Shaped, Weight};
use crate::{InvoiceDoc, InvoiceLine, Party, PdfError};

pub(crate) const PAGE_WIDTH: f32 = 595.0;
pub(crate) const PAGE_HEIGHT: f32 = 842.0;
const MARGIN: f32 = 36.0;
const RIGHT: f32 = PAGE_WIDTH - MARGIN;
const WIDTH: f32 = RIGHT - MARGIN;
/// Below it only the footer stands.
const BOTTOM: f32 = PAGE_HEIGHT - 52.0;
/// Space inside a table cell.
const PAD: f32 = 3.0;
/// Font size and line height in the table.
const CELL: f32 = 7.5;
const LEADING: f32 = 10.0;
/// Lines of one description.
const MAX_DESCRIPTION: usize = 20;
/// Lines of an address, and lines that one of them may fold into; more is cut.
const MAX_ADDRESS_LINES: usize = 6;
const MAX_ADDRESS: usize = 3;
/// What stands under the table, with its QR code, is about this high.
const SUMMARY_HEIGHT: f32 = 176.0;

type Rgb = [u8; 3];
const INK: Rgb = [33, 33, 33];
const FAINT: Rgb = [105, 105, 105];
const RULE: Rgb = [205, 198, 190];
const ACCENT: Rgb = [123, 30, 58];
const TINT: Rgb = [250, 243, 232];

/// One thing on a page.
pub(crate) enum Op {
    /// Filled rectangles as `[x, y, width, height]`.
    Rects { rects: Vec<[f32; 4]>, colour: Rgb },
    /// A line of text on its baseline.
    Text { x: f32, y: f32, size: f32, shaped: Shaped, colour: Rgb },
}

impl Op {
    pub(crate) fn colour(&self) -> Rgb {
        match self {
            Self::Rects { colour, .. } | Self::Text { colour, .. } => *colour,
        }
    }
}

#[derive(Clone, Copy)]
struct Style {
    size: f32,
    weight: Weight,
    colour: Rgb,
}

const fn style(size: f32, weight: Weight, colour: Rgb) -> Style {
    Style { size, weight, colour }
}

const BODY: Style = style(8.5, Weight::Regular, INK);
const STRONG: Style = style(8.5, Weight::Bold, INK);
const LABEL: Style = style(7.0, Weight::Regular, FAINT);
const CELL_STYLE: Style = style(CELL, Weight::Regular, INK);
const CELL_STRONG: Style = style(CELL, Weight::Bold, INK);
const CELL_FAINT: Style = style(6.5, Weight::Regular, FAINT);

struct Column {
    title: &'static str,
    width: f32,
    right: bool,
}

struct Sheet<'a> {
    doc: &'a InvoiceDoc,
    fonts: &'a Fonts,
    columns: Vec<Column>,
    pages: Vec<Vec<Op>>,
    ops: Vec<Op>,
    y: f32,
}

pub(crate) fn pages(doc: &InvoiceDoc, fonts: &Fonts) -> Result<Vec<Vec<Op>>, PdfError> {
    let columns = columns(doc);
    let mut sheet = Sheet { doc, fonts, columns, pages: Vec::new(), ops: Vec::new(), y: MARGIN };
    sheet.head();
    sheet.parties();
    sheet.table();
    sheet.summary()?;
    sheet.pages.push(std::mem::take(&mut sheet.ops));
    Ok(sheet.with_footers())
}

fn columns(doc: &InvoiceDoc) -> Vec<Column> {
    let column = |title, width, right| Column { title, width, right };
    let heads = doc.lines.first().map(|l| l.tax.heads()).unwrap_or_default();
    let head_width = if heads.len() == 1 { 58.0 } else { 46.0 };
    let mut columns = vec![
        column("#", 17.0, false),
        column("Description of goods", 0.0, false),
        column("HSN/SAC", 38.0, false),
        column("Qty", 32.0, true),
        column("Unit price", 50.0, true),
        column("Discount", 44.0, true),
        column("Taxable", 52.0, true),
    ];
    columns.extend(heads.iter().map(|(name, _)| column(name, head_width, true)));
    columns.push(column("Total", 56.0, true));
    let fixed: f32 = columns.iter().map(|c| c.width).sum();
    columns[1].width = WIDTH - fixed;
    columns
}

/// `1,299.00`: the table's head says that all is in rupees.
fn plain(amount: Paise) -> String {
    amount.to_string().replace('₹', "")
}

/// Hundredths of a percent, divided among `heads`: `2.5%`.
fn percent(rate_bp: u32, heads: usize) -> String {
    let thousandths = rate_bp * 10 / u32::try_from(heads.max(1)).unwrap_or(1);
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Exempt goods are not sold on a tax invoice (Rule 49), mixed ones on both in one (Rule 46A).
fn title(lines: &[InvoiceLine]) -> &'static str {
    let exempt = lines.iter().filter(|l| l.rate_bp == 0).count();
    match exempt {
        0 => "TAX INVOICE",
        n if n == lines.len() => "BILL OF SUPPLY",
        _ => "INVOICE-CUM-BILL OF SUPPLY",
    }
}

impl Sheet<'_> {
    fn text(&mut self, x: f32, y: f32, text: &str, style: Style) -> f32 {
        let shaped = self.fonts.shape(text, style.weight);
        let width = shaped.width * style.size;
        self.ops.push(Op::Text { x, y, size: style.size, shaped, colour: style.colour });
        width
    }

    /// Right-aligned at `x`, made smaller if it is wider than `room`.
    fn text_right(&mut self, x: f32, y: f32, text: &str, style: Style, room: f32) {
        let shaped = self.fonts.shape(text, style.weight);
        let size = style.size.min(room / shaped.width.max(0.01));
        let x = x - shaped.width * size;
        self.ops.push(Op::Text { x, y, size, shaped, colour: style.colour });
    }

    /// Wrapped text from the baseline `y` on; gives the baseline after it.
    fn block(
        &mut self,
        x: f32,
        mut y: f32,
        width: f32,
        text: &str,
        style: Style,
        max: usize,
    ) -> f32 {
        for shaped in self.fonts.wrap(text, style.weight, width / style.size, max) {
            self.ops.push(Op::Text { x, y, size: style.size, shaped, colour: style.colour });
            y += style.size * 1.32;
        }
        y
    }

    fn rect(&mut self, x: f32, y: f32, w: f32, h: f32, colour: Rgb) {
        self.ops.push(Op::Rects { rects: vec![[x, y, w, h]], colour });
    }

    fn rule(&mut self, y: f32) {
        self.rect(MARGIN, y, WIDTH, 0.6, RULE);
    }

    fn label_value(&mut self, y: f32, label: &str, value: &str) -> f32 {
        const X: f32 = 340.0;
        const VALUE_X: f32 = 424.0;
        self.text(X, y, label, LABEL);
        self.block(VALUE_X, y, RIGHT - VALUE_X, value, STRONG, 2)
    }

    fn head(&mut self) {
        let doc = self.doc;
        self.rect(0.0, 0.0, PAGE_WIDTH, 6.0, ACCENT);
        let heading = title(&doc.lines);
        let big = style(15.0, Weight::Bold, ACCENT);
        let width = self.text(MARGIN, MARGIN + 12.0, heading, big);
        let hindi = style(11.0, Weight::Regular, FAINT);
        self.text(MARGIN + width + 8.0, MARGIN + 12.0, "कर बीजक", hindi);
        self.text_right(RIGHT, MARGIN + 12.0, "Original for recipient", LABEL, 120.0);
        self.rule(MARGIN + 22.0);
        let top = MARGIN + 38.0;
        let state = doc.supplier.gstin.state();
        let name = style(11.0, Weight::Bold, INK);
        let mut left = self.block(MARGIN, top, 280.0, &doc.supplier.name, name, 2);
        for line in doc.supplier.address.iter().take(MAX_ADDRESS_LINES) {
            left = self.block(MARGIN, left, 280.0, line, BODY, MAX_ADDRESS);
        }
        let state = format!("State: {} (code {})", state.name, state.code);
        left = self.block(MARGIN, left, 280.0, &state, BODY, 2);
        left =
            self.block(MARGIN, left, 280.0, &format!("GSTIN: {}", doc.supplier.gstin), STRONG, 1);
        if let Some(contact) = &doc.supplier.contact {
            left = self.block(MARGIN, left, 280.0, contact, BODY, 2);
        }
        let place = format!("{} (code {})", doc.place_of_supply.name, doc.place_of_supply.code);
        let date = format!("{:02}-{:02}-{:04}", doc.date.day, doc.date.month, doc.date.year);
        let mut right = top;
        for (label, value) in [
            ("Invoice number", doc.number.as_str()),
            ("Invoice date", &date),
            ("Order number", &doc.order_number),
            ("Place of supply", &place),
            ("Reverse charge", if doc.reverse_charge { "Yes" } else { "No" }),
        ] {
            right = self.label_value(right, label, value) + 2.0;
        }
        self.y = left.max(right) + 2.0;
    }

    fn parties(&mut self) {
        let doc = self.doc;
        let top = self.y;
        self.rule(top);
        let half = WIDTH / 2.0 - 10.0;
        let left = self.party(MARGIN, top + 14.0, half, "Billed to", &doc.buyer);
        let ship_to = doc.ship_to.as_ref().unwrap_or(&doc.buyer);
        let label =
            if doc.ship_to.is_some() { "Shipped to" } else { "Shipped to (same as billed to)" };
        let right = self.party(MARGIN + half + 20.0, top + 14.0, half, label, ship_to);
        self.y = left.max(right) + 4.0;
    }

    fn party(&mut self, x: f32, y: f32, width: f32, label: &str, party: &Party) -> f32 {
        self.text(x, y, label, LABEL);
        let mut y = self.block(x, y + 12.0, width, &party.name, STRONG, 2);
        for line in party.address.iter().take(MAX_ADDRESS_LINES) {
            y = self.block(x, y, width, line, BODY, MAX_ADDRESS);
        }
        let state = format!("State: {} (code {})", party.state.name, party.state.code);
        y = self.block(x, y, width, &state, BODY, 2);
        if let Some(phone) = &party.phone {
            y = self.block(x, y, width, &format!("Phone: {phone}"), BODY, 1);
        }
        match &party.gstin {
            Some(gstin) => self.block(x, y, width, &format!("GSTIN: {gstin}"), BODY, 1),
            None => self.block(x, y, width, "GSTIN: unregistered", LABEL, 1),
        }
    }

    fn new_page(&mut self) {
        self.pages.push(std::mem::take(&mut self.ops));
        self.rect(0.0, 0.0, PAGE_WIDTH, 6.0, ACCENT);
        let doc = self.doc;
        let title = format!("Invoice {} (continued)", doc.number);
        self.text(MARGIN, MARGIN, &title, STRONG);
        let shaped = self.fonts.wrap(&doc.supplier.name, Weight::Regular, 30.0, 1);
        for shaped in shaped {
            let x = RIGHT - shaped.width * BODY.size;
            self.ops.push(Op::Text { x, y: MARGIN, size: BODY.size, shaped, colour: FAINT });
        }
        self.y = MARGIN + 10.0;
    }

    fn table_head(&mut self) {
        self.rect(MARGIN, self.y, WIDTH, 17.0, ACCENT);
        let white = style(7.0, Weight::Bold, [255, 255, 255]);
        let mut x = MARGIN;
        let columns: Vec<_> = self.columns.iter().map(|c| (c.title, c.width, c.right)).collect();
        for (title, width, right) in columns {
            if right {
                self.text_right(x + width - PAD, self.y + 11.0, title, white, width - 2.0 * PAD);
            } else {
                self.text(x + PAD, self.y + 11.0, title, white);
            }
            x += width;
        }
        self.y += 17.0;
    }

    /// A row of right- and left-aligned cells; the description is drawn by the caller.
    fn cells(&mut self, y: f32, cells: &[String], cell_style: Style) {
        let mut x = MARGIN;
        for (i, cell) in cells.iter().enumerate() {
            let (width, right) = (self.columns[i].width, self.columns[i].right);
            if right {
                self.text_right(x + width - PAD, y, cell, cell_style, width - 2.0 * PAD);
            } else if !cell.is_empty() {
                self.text(x + PAD, y, cell, cell_style);
            }
            x += width;
        }
    }

    fn table(&mut self) {
        let note = "All amounts in Indian rupees (₹). Unit price and discount include tax.";
        self.text_right(RIGHT, self.y + 4.0, note, LABEL, WIDTH);
        self.y += 9.0;
        self.table_head();
        let doc = self.doc;
        let room = self.columns[1].width - 2.0 * PAD;
        for (i, line) in doc.lines.iter().enumerate() {
            let weight = CELL_STYLE.weight;
            let description =
                self.fonts.wrap(&line.description, weight, room / CELL, MAX_DESCRIPTION);
            let rows = (description.len() + usize::from(line.mrp.is_some())).max(2);
            let height = rows as f32 * LEADING + 7.0;
            if self.y + height > BOTTOM {
                self.new_page();
                self.table_head();
            }
            if i % 2 == 1 {
                self.rect(MARGIN, self.y, WIDTH, height, TINT);
            }
            let top = self.y + LEADING;
            let x = MARGIN + self.columns[0].width + PAD;
            let mut y = top;
            for shaped in description {
                self.ops.push(Op::Text { x, y, size: CELL, shaped, colour: INK });
                y += LEADING;
            }
            if let Some(mrp) = line.mrp {
                self.text(x, y, &format!("MRP {mrp}"), CELL_FAINT);
            }
            let heads = line.tax.heads();
            let mut first = vec![
                (i + 1).to_string(),
                String::new(),
                line.hsn.clone(),
                line.quantity.to_string(),
                plain(line.unit_price),
                plain(line.discount),
                plain(line.taxable),
            ];
            first.extend(heads.iter().map(|(_, amount)| plain(*amount)));
            first.push(plain(line.total));
            self.cells(top, &first, CELL_STYLE);
            let mut second = vec![String::new(); 7];
            second[3].clone_from(&line.uqc);
            second
                .extend(heads.iter().map(|_| format!("@ {}", percent(line.rate_bp, heads.len()))));
            self.cells(top + LEADING, &second, CELL_FAINT);
            self.y += height;
            self.rule(self.y);
        }
        if self.y + 20.0 + SUMMARY_HEIGHT > BOTTOM {
            self.new_page();
            self.table_head();
        }
        let mut sums = vec![String::new(); 6];
        sums.push(plain(doc.taxable()));
        sums.extend(self.head_sums().into_iter().map(|(_, amount)| plain(amount)));
        sums.push(plain(doc.total()));
        self.rect(MARGIN, self.y, WIDTH, 18.0, TINT);
        let x = MARGIN + self.columns[0].width + PAD;
        self.text(x, self.y + 12.0, "Total", CELL_STRONG);
        self.cells(self.y + 12.0, &sums, CELL_STRONG);
        self.y += 18.0;
        self.rect(MARGIN, self.y, WIDTH, 1.2, ACCENT);
    }

    fn head_sums(&self) -> Vec<(&'static str, Paise)> {
        let mut sums: Vec<(&'static str, Paise)> = Vec::new();
        for (name, amount) in self.doc.lines.iter().flat_map(|l| l.tax.heads()) {
            match sums.iter_mut().find(|(n, _)| *n == name) {
                Some((_, sum)) => *sum = *sum + amount,
                None => sums.push((name, amount)),
            }
        }
        sums
    }

    fn with_footers(mut self) -> Vec<Vec<Op>> {
        let pages = std::mem::take(&mut self.pages);
        let count = pages.len();
        let mut done = Vec::with_capacity(count);
        for (i, ops) in pages.into_iter().enumerate() {
            self.ops = ops;
            self.rule(PAGE_HEIGHT - 40.0);
            let note = "This is a computer-generated invoice and is valid without a signature.";
            self.text(MARGIN, PAGE_HEIGHT - 28.0, note, LABEL);
            let number = format!("{} · page {} of {count}", self.doc.number, i + 1);
            self.text_right(RIGHT, PAGE_HEIGHT - 28.0, &number, LABEL, 200.0);
            done.push(std::mem::take(&mut self.ops));
        }
        done
    }
}
