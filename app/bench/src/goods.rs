//! A catalogue of any size in Magento's export format, and addresses all over India.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::BenchError;
use crate::load::Dice;

const SIZES: [&str; 3] = ["S", "M", "L"];
const COLOURS: [&str; 2] = ["Indigo", "Saffron"];
const HSN: [&str; 6] = ["620442", "621132", "950300", "701810", "420222", "711790"];
const NOUNS: [&str; 8] =
    ["Kurta", "Dupatta", "Toy", "Bangles", "Bag", "Earrings", "Saree", "Puppet"];
const MAKES: [&str; 7] =
    ["Block Print", "Handloom", "Lac", "Mirror Work", "Brass", "Jute", "Channapatna"];

/// Categories of the catalogue, by slug.
pub(crate) const CATEGORIES: [&str; 8] =
    ["kurtas", "dupattas", "toys", "bangles", "bags", "earrings", "sarees", "puppets"];

/// Writes `products.csv` into a folder: three of four products have six variants, the fourth has
/// one. Returns the number of rows.
pub(crate) fn write_catalogue(folder: &Path, products: u32) -> Result<u64, BenchError> {
    std::fs::create_dir_all(folder).map_err(BenchError::new)?;
    let file = std::fs::File::create(folder.join("products.csv")).map_err(BenchError::new)?;
    let mut out = std::io::BufWriter::new(file);
    let mut rows = 0;
    let head = "sku,product_type,categories,name,description,weight,product_online,visibility,price,msrp_price,url_key,additional_attributes,qty,is_in_stock,configurable_variations";
    writeln!(out, "{head}").map_err(BenchError::new)?;
    for n in 0..products as usize {
        rows += write_product(&mut out, n).map_err(BenchError::new)?;
    }
    out.flush().map_err(BenchError::new)?;
    Ok(rows)
}

fn write_product(out: &mut impl std::io::Write, n: usize) -> std::io::Result<u64> {
    let noun = NOUNS[n % NOUNS.len()];
    let category = CATEGORIES[n % CATEGORIES.len()];
    let name = format!("{} {noun} {n}", MAKES[n / NOUNS.len() % MAKES.len()]);
    let hsn = HSN[n % HSN.len()];
    let text = format!(
        "<p>{name}, made by hand by the makers of stall {} of the fair, in small lots and with care. Wash gently; colours deepen with time.</p>",
        n % 97
    );
    let (price, mrp) = (199 + n * 37 % 800, 1_199 + n * 37 % 800);
    let mut row = |sku: &str, kind: &str, name: &str, shown: &str, more: &str, variations: &str| {
        writeln!(
            out,
            "{sku},{kind},Default Category/{category},{name},\"{text}\",0.3,1,{shown},{price},{mrp},{},\"hsn={hsn}{more}\",100000000,1,\"{variations}\"",
            sku.to_lowercase()
        )
    };
    let sku = format!("B{n:06}");
    if n % 4 == 3 {
        row(&sku, "simple", &name, "\"Catalog, Search\"", ",material=Wood", "")?;
        return Ok(1);
    }
    let mut variations = String::new();
    for size in SIZES {
        for colour in COLOURS {
            let one = format!("{sku}-{size}-{colour}");
            let options = format!("size={size},color={colour}");
            let own = format!("{name}-{size}-{colour}");
            row(&one, "simple", &own, "Not Visible Individually", &format!(",{options}"), "")?;
            let bar = if variations.is_empty() { "" } else { "|" };
            let _ = write!(variations, "{bar}sku={one},{options}");
        }
    }
    row(&sku, "configurable", &name, "\"Catalog, Search\"", ",material=Cotton", &variations)?;
    Ok(1 + (SIZES.len() * COLOURS.len()) as u64)
}

/// Real PIN codes of towns in all parts of India.
const PINCODES: [&str; 40] = [
    "110001", "400001", "560001", "600001", "700001", "500001", "380001", "302001", "226001",
    "800001", "160017", "682001", "695001", "751001", "781001", "462001", "492001", "834001",
    "248001", "171001", "180001", "190001", "403001", "411001", "440001", "641001", "625001",
    "530001", "520001", "452001", "395003", "390001", "208001", "221001", "211001", "282001",
    "141001", "143001", "796001", "737101",
];

/// An address as JSON.
pub(crate) fn write_address(out: &mut String, dice: &mut Dice) {
    let pincode = PINCODES[dice.below(PINCODES.len())];
    let _ = write!(
        out,
        r#"{{"name":"Asha Rao {}","phone":"98{:08}","email":"asha{}@shopper.example","line1":"{} Fair Ground Road","line2":"near the well","city":"Town","pincode":"{pincode}"}}"#,
        dice.below(10_000),
        dice.below(100_000_000),
        dice.below(1_000_000),
        1 + dice.below(400),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_columns_of_the_header() {
        let mut out = Vec::new();
        let rows: u64 = (0..8).map(|n| write_product(&mut out, n).unwrap_or(0)).sum();
        assert_eq!(rows, 6 * 7 + 2);
        let text = String::from_utf8(out).unwrap_or_default();
        assert_eq!(text.lines().count() as u64, rows);
        for line in text.lines() {
            let mut quoted = false;
            let commas = line.chars().filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            });
            assert_eq!(commas.count(), 14, "{line}");
        }
    }

    #[test]
    fn pincodes_exist() {
        for pincode in PINCODES {
            assert!(mela_base::pincode::lookup(pincode).is_some(), "{pincode}");
        }
        let mut address = String::new();
        write_address(&mut address, &mut Dice::new(1));
        assert!(serde_json::from_str::<serde_json::Value>(&address).is_ok(), "{address}");
    }
}
