//! From positioned things to PDF.

use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::{Document, SerializeSettings};
use mela_base::Internal;

use crate::layout::{Op, PAGE_HEIGHT, PAGE_WIDTH};
use crate::text::Fonts;
use crate::{InvoiceDoc, PdfError};

pub(crate) fn paint(
    doc: &InvoiceDoc,
    fonts: &Fonts,
    pages: &[Vec<Op>],
) -> Result<Vec<u8>, PdfError> {
    let mut document = Document::new_with(SerializeSettings::default());
    let date = DateTime::new(u16::try_from(doc.date.year).unwrap_or(0))
        .month(doc.date.month)
        .day(doc.date.day);
    document.set_metadata(
        Metadata::new()
            .title(format!("Invoice {}", doc.number))
            .authors(vec![doc.supplier.name.clone()])
            .creator("Mela".to_owned())
            .language("en-IN".to_owned())
            .document_id(format!("{}/{}", doc.supplier.gstin, doc.number))
            .creation_date(date),
    );
    for ops in pages {
        let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT)
            .ok_or_else(|| Internal::new("page size"))?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        for op in ops {
            let [r, g, b] = op.colour();
            surface
                .set_fill(Some(Fill { paint: rgb::Color::new(r, g, b).into(), ..Fill::default() }));
            match op {
                Op::Rects { rects, .. } => {
                    let mut path = PathBuilder::new();
                    for [x, y, w, h] in rects {
                        if let Some(rect) = Rect::from_xywh(*x, *y, *w, *h) {
                            path.push_rect(rect);
                        }
                    }
                    if let Some(path) = path.finish() {
                        surface.draw_path(&path);
                    }
                }
                Op::Text { x, y, size, shaped, .. } => {
                    let mut x = *x;
                    for run in &shaped.runs {
                        let font =
                            fonts.font(run.typeface).ok_or_else(|| Internal::new("font index"))?;
                        let at = Point::from_xy(x, *y);
                        surface.draw_glyphs(at, &run.glyphs, font.clone(), &run.text, *size, false);
                        x += run.width * size;
                    }
                }
            }
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|e| Internal::new(format_args!("pdf writer: {e:?}")).into())
}
