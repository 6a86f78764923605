//! One row of a Magento file as a typed item, whatever the file's dialect.

use mela_base::Paise;
use mela_catalog_api::Attribute;

use super::draft::Source;
use super::hsn::is_hsn;
use super::table::{Row, Table};
use super::{ImportOptions, Rate, text};

/// A parcel of more is a slip of the file.
const MAX_GRAMS: i64 = 1_000_000;
/// What a row without weight is taken to weigh.
const USUAL_GRAMS: i64 = 500;
const MAX_STOCK: i64 = 1_000_000_000;

/// A row of a product.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) source: Source,
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) name_hi: Option<String>,
    pub(super) description: String,
    pub(super) description_hi: Option<String>,
    pub(super) categories: Vec<Vec<String>>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) hsn: Option<String>,
    pub(super) url_key: String,
    pub(super) weight_g: i64,
    pub(super) stock: i64,
    pub(super) active: bool,
    /// Paths below the media folder, the main one first.
    pub(super) images: Vec<String>,
    pub(super) kind: Kind,
}

/// What the row is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Sold by itself, or a variant of something.
    Simple {
        price: Paise,
        mrp: Paise,
        /// Shown by itself.
        visible: bool,
        /// Sample-data rows that are not shown by themselves belong together by this name.
        family: Option<String>,
    },
    /// A product whose variants are other rows: SKU and options of each.
    Configurable(Vec<Vec<(String, String)>>),
}

/// Columns of Magento's product export.
pub(super) struct ExportColumns {
    pub(super) sku: Option<usize>,
    pub(super) store: Option<usize>,
    kind: Option<usize>,
    categories: Option<usize>,
    name: Option<usize>,
    description: Option<usize>,
    short: Option<usize>,
    weight: Option<usize>,
    online: Option<usize>,
    visibility: Option<usize>,
    price: Option<usize>,
    special: Option<usize>,
    special_from: Option<usize>,
    special_to: Option<usize>,
    msrp: Option<usize>,
    url_key: Option<usize>,
    base_image: Option<usize>,
    more_images: Option<usize>,
    packed: Option<usize>,
    qty: Option<usize>,
    in_stock: Option<usize>,
    variations: Option<usize>,
}

impl ExportColumns {
    pub(super) fn of(table: &Table) -> Self {
        let c = |name| table.column(name);
        Self {
            sku: c("sku"),
            store: c("store_view_code"),
            kind: c("product_type"),
            categories: c("categories"),
            name: c("name"),
            description: c("description"),
            short: c("short_description"),
            weight: c("weight"),
            online: c("product_online"),
            visibility: c("visibility"),
            price: c("price"),
            special: c("special_price"),
            special_from: c("special_price_from_date"),
            special_to: c("special_price_to_date"),
            msrp: c("msrp_price"),
            url_key: c("url_key"),
            base_image: c("base_image"),
            more_images: c("additional_images"),
            packed: c("additional_attributes"),
            qty: c("qty"),
            in_stock: c("is_in_stock"),
            variations: c("configurable_variations"),
        }
    }

    /// Texts of another store view: SKU, name, description.
    pub(super) fn translation(&self, row: &Row) -> (String, String, String) {
        (
            sku(row.at(self.sku)),
            text::line(row.at(self.name), 200),
            text::plain(row.at(self.description)),
        )
    }

    pub(super) fn item(
        &self,
        row: &Row,
        source: Source,
        options: &ImportOptions,
        today: &str,
    ) -> Result<Item, String> {
        let visible = !row.at(self.visibility).eq_ignore_ascii_case("not visible individually");
        let kind = match row.at(self.kind) {
            "configurable" => Kind::Configurable(variations(row.at(self.variations))?),
            "simple" => {
                let special = row.at(self.special);
                let runs = !special.is_empty()
                    && in_window(today, row.at(self.special_from), row.at(self.special_to));
                let special = if runs { special } else { "" };
                let (price, mrp) =
                    prices(options.rate, row.at(self.price), special, row.at(self.msrp))?;
                Kind::Simple { price, mrp, visible, family: None }
            }
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!(
                    "product type `{other}` is not supported; `simple` and `configurable` are"
                ));
            }
        };
        let mut packed = Packed::default();
        for (code, value) in text::pairs(row.at(self.packed)) {
            packed.take(code, &value)?;
        }
        // A variant's text is its product's: not worth keeping for every size and colour.
        let has_text = visible || matches!(kind, Kind::Configurable(_));
        let description = match (has_text, row.at(self.description)) {
            (false, _) => String::new(),
            (true, "") => text::plain(row.at(self.short)),
            (true, text) => text::plain(text),
        };
        let in_stock = !matches!(row.at(self.in_stock), "0");
        let mut images = image_list(row.at(self.base_image));
        images.extend(image_list(row.at(self.more_images)));
        Ok(Item {
            sku: checked_sku(row.at(self.sku))?,
            name: checked_name(row.at(self.name))?,
            name_hi: packed.name_hi,
            description,
            description_hi: packed.description_hi,
            categories: categories(row.at(self.categories)),
            attributes: packed.attributes,
            hsn: packed.hsn,
            url_key: row.at(self.url_key).to_owned(),
            weight_g: grams(row.at(self.weight), options.grams_per_weight)?,
            stock: if in_stock { quantity(row.at(self.qty))? } else { 0 },
            active: !matches!(row.at(self.online), "2" | "0"),
            images,
            kind,
            source,
        })
    }
}

/// Columns of a sample-data file (bags, watches, …) that mean something special; every other
/// column is an attribute.
const SAMPLE_SPECIAL: &[&str] = &[
    "category",
    "name",
    "sku",
    "price",
    "qty",
    "description",
    "special_price",
    "attribute_set",
    "visibility",
    "url_key",
    "weight",
    "image",
];

/// A row of the sample-data format: lists are lines within a cell.
pub(super) fn sample_item(
    table: &Table,
    row: &Row,
    source: Source,
    options: &ImportOptions,
    tops: &[String],
) -> Result<Item, String> {
    let at = |name: &str| row.at(table.column(name));
    let (price, mrp) = prices(options.rate, at("price"), at("special_price"), "")?;
    let visible = !matches!(at("visibility"), "1" | "Not Visible Individually");
    let mut packed = Packed::default();
    for (i, code) in table.header().iter().enumerate() {
        if !SAMPLE_SPECIAL.contains(&code.as_str()) {
            packed.take(code.clone(), row.at(Some(i)))?;
        }
    }
    let family = (!visible).then(|| text::line(at("attribute_set"), 200)).filter(|f| !f.is_empty());
    Ok(Item {
        sku: checked_sku(at("sku"))?,
        name: checked_name(at("name"))?,
        name_hi: packed.name_hi,
        description: text::plain(at("description")),
        description_hi: packed.description_hi,
        categories: sample_categories(at("category"), tops),
        attributes: packed.attributes,
        hsn: packed.hsn,
        url_key: at("url_key").to_owned(),
        weight_g: grams(at("weight"), options.grams_per_weight)?,
        stock: quantity(at("qty"))?,
        active: true,
        images: image_list(at("image")),
        kind: Kind::Simple { price, mrp, visible, family },
        source,
    })
}

#[derive(Default)]
struct Packed {
    attributes: Vec<Attribute>,
    name_hi: Option<String>,
    description_hi: Option<String>,
    hsn: Option<String>,
}

impl Packed {
    fn take(&mut self, code: String, value: &str) -> Result<(), String> {
        let some = |text: String| Some(text).filter(|t| !t.is_empty());
        match code.as_str() {
            // Bookkeeping of Magento and of the tax office, nothing for shoppers.
            "has_options" | "required_options" | "uqc" => {}
            other if !text::is_code(other) => {}
            "name_hi" => self.name_hi = some(text::line(value, 200)),
            "description_hi" => self.description_hi = some(text::plain(value)),
            "hsn" => {
                let value = value.trim();
                if !value.is_empty() && !is_hsn(value) {
                    return Err("`hsn` must have 4, 6 or 8 digits".to_owned());
                }
                self.hsn = some(value.to_owned());
            }
            _ => {
                let mut values = text::values(value);
                // Flags: only a yes says something.
                if matches!(values.as_slice(), [v] if matches!(v.as_str(), "No" | "0")) {
                    values.clear();
                }
                if matches!(values.as_slice(), [v] if v == "1") && is_flag(&code) {
                    values = vec!["Yes".to_owned()];
                }
                if !values.is_empty() && self.attributes.len() < 64 {
                    self.attributes.push(Attribute { label: text::label(&code), code, values });
                }
            }
        }
        Ok(())
    }
}

fn is_flag(code: &str) -> bool {
    matches!(code, "eco_collection" | "performance_fabric" | "erin_recommends" | "new" | "sale")
}

pub(super) fn sku(text: &str) -> String {
    text::line(text, 64)
}

fn checked_sku(cell: &str) -> Result<String, String> {
    let sku = sku(cell);
    if sku.is_empty() {
        return Err("the row has no SKU".to_owned());
    }
    if cell.chars().count() > 64 {
        return Err("the SKU is longer than 64 characters".to_owned());
    }
    Ok(sku)
}

fn checked_name(cell: &str) -> Result<String, String> {
    let name = text::line(cell, 200);
    if name.is_empty() { Err("the row has no name".to_owned()) } else { Ok(name) }
}

/// Price and MRP. A special price below the price makes the price the MRP.
fn prices(rate: Rate, price: &str, special: &str, msrp: &str) -> Result<(Paise, Paise), String> {
    let list = rate.convert(price)?;
    let price = if special.is_empty() { list } else { rate.convert(special)?.min(list) };
    let msrp = if msrp.is_empty() { list } else { rate.convert(msrp)? };
    Ok((price, list.max(msrp)))
}

/// Whether `today` (ISO) is within a special price's dates. A date that is neither ISO nor
/// Magento's `m/d/y` bounds nothing.
fn in_window(today: &str, from: &str, to: &str) -> bool {
    iso(from).is_none_or(|from| from.as_str() <= today)
        && iso(to).is_none_or(|to| today <= to.as_str())
}

fn iso(date: &str) -> Option<String> {
    let day = date.split([' ', ',', 'T']).next()?;
    let number = |t: &str| t.parse::<u32>().ok();
    let (y, m, d) = if let [y, m, d] = day.split('-').collect::<Vec<_>>()[..] {
        (number(y)?, number(m)?, number(d)?)
    } else if let [m, d, y] = day.split('/').collect::<Vec<_>>()[..] {
        let y = number(y)?;
        (if y < 100 { y + 2_000 } else { y }, number(m)?, number(d)?)
    } else {
        return None;
    };
    ((1..=12).contains(&m) && (1..=31).contains(&d)).then(|| format!("{y:04}-{m:02}-{d:02}"))
}

/// A decimal that counts something: its whole part, the rest cut off.
fn quantity(cell: &str) -> Result<i64, String> {
    let shown: String = cell.chars().take(40).collect();
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    if cell.is_empty() {
        return Ok(0);
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || whole.starts_with('+') {
        return Err(format!("`{shown}` is not a quantity"));
    }
    match whole.parse::<i64>() {
        // Magento counts backorders below zero; there is nothing on the shelf.
        Ok(n) if n < 0 => Ok(0),
        Ok(n) if n <= MAX_STOCK => Ok(n),
        _ => Err(format!("`{shown}` is not a quantity up to {MAX_STOCK}")),
    }
}

fn grams(cell: &str, per_unit: u32) -> Result<i64, String> {
    if cell.is_empty() {
        return Ok(USUAL_GRAMS);
    }
    let shown: String = cell.chars().take(40).collect();
    let wrong = || format!("`{shown}` is not a weight");
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 9 || cell.len() > 20 {
        return Err(wrong());
    }
    let thousandths: i64 = format!("0{whole}{:0<3}", fraction.get(..3).unwrap_or(fraction))
        .parse()
        .map_err(|_| wrong())?;
    let grams = (thousandths * i64::from(per_unit) + 500) / 1_000;
    if grams > MAX_GRAMS {
        return Err(format!("the weight `{shown}` is above a tonne"));
    }
    Ok(if grams == 0 { USUAL_GRAMS } else { grams })
}

fn image_list(cell: &str) -> Vec<String> {
    let paths = cell.split([',', '|', '\n']).map(str::trim).filter(|p| !p.is_empty());
    paths.take(64).map(|p| p.chars().take(300).collect()).collect()
}

/// `sku=A,size=XS,color=Black|sku=B,…`
fn variations(cell: &str) -> Result<Vec<Vec<(String, String)>>, String> {
    let all: Vec<_> = cell.split('|').filter(|v| !v.trim().is_empty()).map(text::pairs).collect();
    if all.is_empty() {
        return Err("a configurable product needs `configurable_variations`".to_owned());
    }
    if all.len() > 1_000 {
        return Err("a product has at most 1,000 variants".to_owned());
    }
    Ok(all)
}

const DEEPEST: usize = 8;

fn names<'c>(parts: impl Iterator<Item = &'c str>) -> Vec<String> {
    parts.map(|n| text::line(n, 80)).filter(|n| !n.is_empty()).take(DEEPEST).collect()
}

/// `Default Category/Men/Tops,Default Category` without the root, the deepest ones only.
fn categories(cell: &str) -> Vec<Vec<String>> {
    let paths = cell.split(',').map(|path| {
        let mut path = names(path.split('/'));
        if path.first().is_some_and(|root| root == "Default Category") {
            path.remove(0);
        }
        path
    });
    deepest(paths.collect())
}

/// Lines of names; one that is a department (`tops`) begins a new path.
pub(super) fn sample_categories(cell: &str, tops: &[String]) -> Vec<Vec<String>> {
    let mut paths: Vec<Vec<String>> = Vec::new();
    for name in names_unbounded(cell) {
        match paths.last_mut() {
            Some(path) if !tops.contains(&name) && path.len() < DEEPEST => path.push(name),
            _ => paths.push(vec![name]),
        }
    }
    deepest(paths)
}

fn names_unbounded(cell: &str) -> impl Iterator<Item = String> {
    cell.lines().map(|n| text::line(n, 80)).filter(|n| !n.is_empty()).take(64)
}

fn deepest(mut paths: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let all = paths.clone();
    let mut seen = std::collections::HashSet::new();
    paths.retain(|path| {
        !path.is_empty()
            && !all.iter().any(|other| other.len() > path.len() && other.starts_with(path))
            && seen.insert(path.clone())
    });
    paths.truncate(32);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn category_cells() {
        assert_eq!(
            categories(
                "Default Category/Men/Tops,Default Category/Men,Default Category,Default Category/Men/Tops"
            ),
            [["Men", "Tops"]]
        );
        let tops = ["Gear".to_owned(), "Collections".to_owned()];
        assert_eq!(
            sample_categories("Gear\nBags\nCollections\nErin\nCollections\nEco\n", &tops),
            [["Gear", "Bags"], ["Collections", "Erin"], ["Collections", "Eco"]]
        );
    }

    #[test]
    fn numbers() {
        assert_eq!(quantity("100.0000"), Ok(100));
        assert_eq!(quantity("-3"), Ok(0));
        assert!(quantity("9999999999").is_err() && quantity("x").is_err());
        assert_eq!(grams("0.4", 1_000), Ok(400));
        assert_eq!(grams("1", 454), Ok(454));
        assert!(grams("-1", 1_000).is_err() && grams("99999", 1_000).is_err());
        assert_eq!(prices(Rate::ONE, "32", "24", ""), Ok((Paise::rupees(24), Paise::rupees(32))));
        assert_eq!(prices(Rate::ONE, "32", "40", "50"), Ok((Paise::rupees(32), Paise::rupees(50))));
        assert!(in_window("2026-01-05", "1/1/26", "2026-01-31 00:00:00"));
        assert!(!in_window("2026-01-05", "2026-01-06", ""));
    }
}
