//! A JSON list of products as DummyJSON gives it (also under a key `products`).

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use mela_base::{Paise, Timestamp};
use mela_catalog_api::Attribute;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::{Catalogue, Draft, DraftReview, DraftVariant, Source};
use super::{ImportError, ImportOptions, ImportReport, OnProgress, Progress, table, text};

/// Numbers stay texts: money is never a float.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    sku: String,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    category: String,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow, default)]
    discount_percentage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stock: Option<&'a RawValue>,
    #[serde(borrow, default)]
    weight: Option<&'a RawValue>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    brand: Option<String>,
    #[serde(default)]
    reviews: Vec<Review>,
    #[serde(default)]
    images: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    rating: i64,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    date: String,
    #[serde(default)]
    reviewer_name: String,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    products: Vec<&'a RawValue>,
}

/// Reads the file.
pub(super) fn read(
    path: &Path,
    options: &ImportOptions,
    report: &mut ImportReport,
    progress: &OnProgress,
) -> Result<Catalogue, ImportError> {
    let unreadable = |reason: String| ImportError::Unreadable { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > table::MAX_FILE {
        return Err(unreadable(format!("it has {size} bytes, the limit is {}", table::MAX_FILE)));
    }
    let content = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
    let rows: Vec<&RawValue> = serde_json::from_str(&content)
        .or_else(|_| serde_json::from_str::<Wrapped<'_>>(&content).map(|w| w.products))
        .map_err(|e| unreadable(format!("it is not a JSON list of products: {e}")))?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let file: Arc<str> = name.into();

    let mut drafts = Vec::new();
    let mut skus: HashMap<String, u64> = HashMap::new();
    let mut slugs = HashSet::new();
    let mut remote = 0;
    let (mut line, mut counted) = (1, 0);
    for row in rows {
        report.rows += 1;
        if report.rows.is_multiple_of(500) {
            progress(Progress { stage: "reading", done: report.rows, total: 0 });
        }
        // A raw value is a slice of the content.
        let at = (row.get().as_ptr().addr() - content.as_ptr().addr()).min(content.len());
        line += content.as_bytes()[counted..at].iter().filter(|b| **b == b'\n').count() as u64;
        counted = at;
        let source = Source { file: file.clone(), line };
        let item: Item<'_> = match serde_json::from_str(row.get()) {
            Ok(item) => item,
            Err(e) => {
                report.refuse(source.problem("", format!("not a product: {e}")));
                continue;
            }
        };
        let sku = item.sku.clone();
        if let Some(first) = skus.get(&sku) {
            report.refuse(source.problem(&sku, format!("the SKU stands already in line {first}")));
            continue;
        }
        remote += item.images.len();
        match draft(item, source.clone(), options, &mut slugs) {
            Ok(draft) => {
                skus.insert(sku, line);
                drafts.push(draft);
            }
            Err(reason) => report.refuse(source.problem(&sku, reason)),
        }
    }
    if remote > 0 && options.media {
        let why = format!("{remote} pictures are on other servers; they were not fetched");
        report.note(Source { file, line: 1 }.problem("", why));
    }
    Ok(Catalogue { drafts, pictures: HashMap::new() })
}

fn draft(
    item: Item<'_>,
    source: Source,
    options: &ImportOptions,
    slugs: &mut HashSet<String>,
) -> Result<Draft, String> {
    let sku = text::line(&item.sku, 64);
    let name = text::line(&item.title, 200);
    if sku.is_empty() || name.is_empty() {
        return Err("a product needs `sku` and `title`".to_owned());
    }
    let mrp = options.rate.convert(item.price.get())?;
    let price = match item.discount_percentage {
        Some(percent) => discounted(mrp, percent.get())?,
        None => mrp,
    };
    let category = text::label(&text::line(&item.category, 80).replace('-', " "));
    let categories = if category.is_empty() { Vec::new() } else { vec![vec![category]] };
    let hsn = options.hsn.find(&categories, &name).ok_or_else(|| {
        let category = text::line(&item.category, 40);
        format!("no HSN code for the category `{category}`; add a rule")
    })?;
    let number = |value: Option<&RawValue>, most: i64| match value.map(RawValue::get) {
        None => Ok(0),
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|n| (0..=most).contains(n))
            .ok_or_else(|| format!("`{text:.40}` is not a whole number up to {most}")),
    };
    let stock = number(item.stock, 1_000_000_000)?;
    let weight = number(item.weight, 10_000)?;
    let mut reviews = Vec::new();
    for review in &item.reviews {
        if !(1..=5).contains(&review.rating) {
            return Err("a rating is 1 to 5".to_owned());
        }
        reviews.push(DraftReview {
            stars: review.rating,
            title: String::new(),
            body: text::plain(&review.comment).chars().take(5_000).collect(),
            reviewer: text::line(&review.reviewer_name, 60),
            at: Timestamp::parse_rfc3339(&review.date),
        });
    }
    let mut attributes = Vec::new();
    let mut attribute = |code: &str, values: Vec<String>| {
        if !values.is_empty() {
            attributes.push(Attribute { code: code.into(), label: text::label(code), values });
        }
    };
    attribute("brand", item.brand.iter().flat_map(|b| text::values(b)).collect());
    attribute("tags", item.tags.iter().flat_map(|t| text::values(t)).take(64).collect());
    let mut slug = text::slug(&name);
    if slug.is_empty() || slugs.contains(&slug) {
        slug = format!("{slug}-{}", text::slug(&sku)).trim_matches('-').to_owned();
    }
    if slug.is_empty() || !slugs.insert(slug.clone()) {
        return Err("its title and its SKU give no address of their own".to_owned());
    }
    Ok(Draft {
        variants: vec![DraftVariant {
            source: source.clone(),
            sku: sku.clone(),
            name: name.clone(),
            options: Vec::new(),
            price,
            mrp,
            hsn: hsn.to_owned(),
            weight_g: (weight * i64::from(options.grams_per_weight)).clamp(1, 1_000_000),
            image: None,
            active: true,
            stock,
        }],
        source,
        sku,
        slug,
        name,
        name_hi: None,
        description: text::plain(&item.description),
        description_hi: None,
        categories,
        attributes,
        options: Vec::new(),
        images: None,
        reviews,
        related: Vec::new(),
        active: true,
    })
}

/// The price after a discount in percent with at most two decimals, rounded half up.
fn discounted(mrp: Paise, percent: &str) -> Result<Paise, String> {
    // Percents with two decimals are read like rupees: hundredths.
    let hundredths = Paise::parse_rupees(percent)
        .ok()
        .map(|p| p.0)
        .filter(|p| (0..10_000).contains(p))
        .ok_or_else(|| format!("`{percent:.40}` is not a discount in percent"))?;
    Ok(mrp.mul_ratio(10_000 - hundredths, 10_000).max(Paise(1)))
}
