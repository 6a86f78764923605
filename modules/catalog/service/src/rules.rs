//! Pure decisions: what staff may write into a product.

use mela_base::Paise;
use mela_catalog_api::{CatalogError, PriceChange, Product, ProductEdit};

use crate::import::MAX_PRICE;

/// Changes of one call.
pub(crate) const MAX_CHANGES: usize = 1_000;

fn invalid(field: &'static str, message: impl Into<String>) -> CatalogError {
    CatalogError::Invalid { field, message: message.into() }
}

/// Cheapest first; what cannot be bought comes last.
pub(crate) fn sort_variants(product: &mut Product) {
    product.variants.sort_by_key(|v| (!v.active, v.price));
}

/// Applies the edit; an error leaves the product to be thrown away.
pub(crate) fn edit(product: &mut Product, edit: &ProductEdit) -> Result<(), CatalogError> {
    let text = |field: &'static str, text: &str, max: usize| {
        let text: String = text.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect();
        if text.chars().count() > max {
            return Err(invalid(field, format!("{field} has at most {max} characters")));
        }
        Ok(text)
    };
    if let Some(name) = &edit.name {
        let name = text("name", name, 200)?;
        if name.is_empty() || name.contains('\n') {
            return Err(invalid("name", "a name is one line with at least one character"));
        }
        // The variants' names begin with the product's.
        for variant in &mut product.variants {
            if let Some(rest) = variant.name.strip_prefix(product.name.as_str()) {
                variant.name = format!("{name}{rest}");
            }
        }
        for media in &mut product.media {
            if media.alt == product.name {
                media.alt.clone_from(&name);
            }
        }
        product.name = name;
    }
    if let Some(name) = &edit.name_hi {
        let name = text("name_hi", name, 200)?;
        if name.contains('\n') {
            return Err(invalid("name_hi", "a name is one line"));
        }
        product.name_hi = Some(name).filter(|n| !n.is_empty());
    }
    if let Some(description) = &edit.description {
        product.description = text("description", description, 20_000)?;
    }
    if let Some(active) = edit.active {
        product.active = active;
    }
    Ok(())
}

/// Applies a price to its variant.
pub(crate) fn price(product: &mut Product, change: &PriceChange) -> Result<(), CatalogError> {
    if change.price <= Paise::ZERO || change.price > MAX_PRICE {
        return Err(invalid("price", format!("a price is above zero and at most {MAX_PRICE}")));
    }
    let variant = product
        .variants
        .iter_mut()
        .find(|v| v.id == change.variant_id)
        .ok_or(CatalogError::VariantNotFound)?;
    let mrp = change.mrp.unwrap_or_else(|| variant.mrp.max(change.price));
    if mrp < change.price || mrp > MAX_PRICE {
        let why = "the MRP is at least the price: nothing may be sold above its MRP";
        return Err(invalid("mrp", why));
    }
    (variant.price, variant.mrp) = (change.price, mrp);
    Ok(())
}
