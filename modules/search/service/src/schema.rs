//! The fields of the index, and a product as a document.

use std::collections::{HashMap, HashSet};

use mela_base::ids::{CategoryId, ProductId};
use mela_base::{Id, Internal};
use mela_catalog_api::{Category, Product};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TantivyDocument,
    TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Index, SegmentReader, Term};

use crate::words::Splitter;

/// Names the index's folder; a new layout gets a new name.
pub(crate) const LAYOUT: &str = "products-1";

/// Numbers by which hits are found, sorted and counted.
pub(crate) mod column {
    pub(crate) const ID_HIGH: &str = "id_high";
    pub(crate) const ID_LOW: &str = "id_low";
    pub(crate) const VERSION: &str = "version";
    /// Paise of the cheapest variant.
    pub(crate) const PRICE: &str = "price";
    /// Average stars, hundredths.
    pub(crate) const RATING: &str = "rating";
    /// Grows with the time of creation; the low bits tell products of one moment apart.
    pub(crate) const NEWNESS: &str = "newness";
    pub(crate) const CATEGORY: &str = "category";
    pub(crate) const SIZE: &str = "size";
    pub(crate) const COLOR: &str = "color";
}

#[derive(Clone, Copy)]
pub(crate) struct Fields {
    id: Field,
    id_high: Field,
    id_low: Field,
    version: Field,
    /// `1` for products that are shown; the others have no text.
    pub(crate) shown: Field,
    pub(crate) sku: Field,
    pub(crate) name: Field,
    pub(crate) name_hi: Field,
    pub(crate) category_name: Field,
    pub(crate) attribute: Field,
    pub(crate) description: Field,
    /// All words of names, categories and attributes as they are written: what a typing error is
    /// compared with.
    pub(crate) known: Field,
    /// Words of the names as they are written, for completion.
    pub(crate) prefix: Field,
    pub(crate) category: Field,
    pub(crate) size: Field,
    pub(crate) color: Field,
    price: Field,
    rating: Field,
    newness: Field,
    pub(crate) stored_name: Field,
    pub(crate) stored_name_hi: Field,
    pub(crate) stored_slug: Field,
}

pub(crate) fn fields() -> (Schema, Fields) {
    let mut b = Schema::builder();
    let text = |tokenizer: &str, option: IndexRecordOption| {
        let indexing =
            TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let ranked = text("terms", IndexRecordOption::WithFreqs);
    let listed = |tokenizer: &str| text(tokenizer, IndexRecordOption::Basic);
    let value = || listed("raw").set_fast("raw");
    let fields = Fields {
        id: b.add_text_field("id", STRING),
        id_high: b.add_u64_field(column::ID_HIGH, FAST),
        id_low: b.add_u64_field(column::ID_LOW, FAST),
        version: b.add_u64_field(column::VERSION, FAST),
        shown: b.add_text_field("shown", STRING),
        sku: b.add_text_field("sku", STRING),
        name: b.add_text_field("name", ranked.clone()),
        name_hi: b.add_text_field("name_hi", ranked.clone()),
        category_name: b.add_text_field("category_name", ranked.clone()),
        attribute: b.add_text_field("attribute", ranked.clone()),
        description: b.add_text_field("description", ranked),
        known: b.add_text_field("known", listed("words")),
        prefix: b.add_text_field("prefix", listed("words")),
        category: b.add_text_field(column::CATEGORY, value()),
        size: b.add_text_field(column::SIZE, value()),
        color: b.add_text_field(column::COLOR, value()),
        price: b.add_u64_field(column::PRICE, FAST | INDEXED),
        rating: b.add_u64_field(column::RATING, FAST | INDEXED),
        newness: b.add_u64_field(column::NEWNESS, FAST),
        stored_name: b.add_text_field("stored_name", STORED),
        stored_name_hi: b.add_text_field("stored_name_hi", STORED),
        stored_slug: b.add_text_field("stored_slug", STORED),
    };
    (b.build(), fields)
}

pub(crate) fn register_tokenizers(index: &Index) {
    for (name, stem) in [("terms", true), ("words", false)] {
        index.tokenizers().register(name, TextAnalyzer::builder(Splitter { stem }).build());
    }
}

/// The category tree as documents need it.
pub(crate) struct Tree(HashMap<CategoryId, Category>);

impl Tree {
    pub(crate) fn new(categories: &[Category]) -> Self {
        Self(categories.iter().map(|c| (c.id, c.clone())).collect())
    }

    /// These categories and their ancestors, each once.
    fn with_ancestors(&self, ids: &[CategoryId]) -> Vec<&Category> {
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        for id in ids {
            let mut next = Some(*id);
            // A category seen before has brought its ancestors; this also ends a circle.
            while let Some(category) =
                next.filter(|id| seen.insert(*id)).and_then(|id| self.0.get(&id))
            {
                out.push(category);
                next = category.parent_id;
            }
        }
        out
    }
}

impl Fields {
    /// Finds the product's document.
    pub(crate) fn id_term(&self, id: ProductId) -> Term {
        Term::from_field_text(self.id, &id.0.to_string())
    }

    pub(crate) fn document(&self, product: &Product, tree: &Tree) -> TantivyDocument {
        let mut doc = TantivyDocument::new();
        let [high, low] = halves(product.id.0);
        doc.add_text(self.id, product.id.0.to_string());
        doc.add_u64(self.id_high, high);
        doc.add_u64(self.id_low, low);
        doc.add_u64(self.version, u64::try_from(product.version).unwrap_or_default());
        // Kept without text, so that the versions of all products can be compared.
        if !product.active {
            return doc;
        }
        doc.add_text(self.shown, "1");
        let mut keyword = |field: Field, text: &str| {
            doc.add_text(field, text);
            doc.add_text(self.known, text);
        };
        keyword(self.name, &product.name);
        if let Some(name) = &product.name_hi {
            keyword(self.name_hi, name);
        }
        let categories = tree.with_ancestors(&product.category_ids);
        for category in &categories {
            keyword(self.category_name, &category.name);
            if let Some(name) = &category.name_hi {
                keyword(self.category_name, name);
            }
        }
        let values = product.attributes.iter().flat_map(|a| &a.values);
        for value in values.chain(product.options.iter().flat_map(|o| &o.values)) {
            keyword(self.attribute, value);
        }
        doc.add_text(self.description, &product.description);
        if let Some(description) = &product.description_hi {
            doc.add_text(self.description, description);
        }
        for name in std::iter::once(&product.name).chain(&product.name_hi) {
            doc.add_text(self.prefix, name);
        }
        doc.add_text(self.sku, product.sku.to_lowercase());
        let on_sale = || product.variants.iter().filter(|v| v.active);
        for variant in on_sale().filter(|v| v.sku != product.sku) {
            doc.add_text(self.sku, variant.sku.to_lowercase());
        }
        for category in categories {
            doc.add_text(self.category, &category.slug);
        }
        for (field, codes) in [(self.size, &["size"][..]), (self.color, &["color", "colour"][..])] {
            for value in option_values(product, codes) {
                doc.add_text(field, value);
            }
        }
        let price = on_sale().map(|v| v.price.0).min().unwrap_or_default();
        doc.add_u64(self.price, u64::try_from(price).unwrap_or_default());
        let rating = match product.rating.count {
            count if count > 0 => (product.rating.sum * 100 + count / 2) / count,
            _ => 0,
        };
        doc.add_u64(self.rating, u64::try_from(rating).unwrap_or_default());
        let ms = u64::try_from(product.created_at.unix_ms()).unwrap_or_default();
        doc.add_u64(self.newness, ms << 22 | low & 0x3f_ffff);
        doc.add_text(self.stored_name, &product.name);
        if let Some(name) = &product.name_hi {
            doc.add_text(self.stored_name_hi, name);
        }
        doc.add_text(self.stored_slug, &product.slug);
        doc
    }
}

/// Values that can be bought, or, for a product without such an option, of its attribute.
fn option_values<'p>(product: &'p Product, codes: &[&str]) -> Vec<&'p str> {
    let mut out: Vec<&str> = Vec::new();
    let bought = product.variants.iter().filter(|v| v.active).flat_map(|v| &v.options);
    let attributes =
        product.attributes.iter().flat_map(|a| a.values.iter().map(move |value| (&a.code, value)));
    for (code, value) in bought.map(|(c, v)| (c, v)).chain(attributes) {
        if codes.contains(&code.as_str()) && !out.contains(&value.as_str()) {
            out.push(value);
        }
    }
    out
}

fn halves(id: Id) -> [u64; 2] {
    let n = u128::from_be_bytes(id.bytes());
    // The halves, nothing is lost.
    [(n >> 64) as u64, n as u64]
}

/// Reads the ids of a segment's documents.
pub(crate) struct Ids {
    high: tantivy::columnar::Column<u64>,
    low: tantivy::columnar::Column<u64>,
}

impl Ids {
    pub(crate) fn of(segment: &SegmentReader) -> Result<Self, Internal> {
        let column = |name| segment.fast_fields().u64(name).map_err(Internal::new);
        Ok(Self { high: column(column::ID_HIGH)?, low: column(column::ID_LOW)? })
    }

    pub(crate) fn get(&self, doc: tantivy::DocId) -> ProductId {
        let half = |column: &tantivy::columnar::Column<u64>| column.first(doc).unwrap_or_default();
        let n = u128::from(half(&self.high)) << 64 | u128::from(half(&self.low));
        ProductId(Id::from_bytes(n.to_be_bytes()))
    }
}
