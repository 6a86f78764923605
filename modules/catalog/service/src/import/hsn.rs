//! Which HSN code a product has, by its category and, where a category is mixed, by its name.
//!
//! The built-in table covers sports wear and gear and the usual departments of a general store.
//! A merchant's own rules come first, and `hsn=` in a row beats every rule.

/// One rule: the first that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsnRule {
    /// End of a category path in lower case, `/` between its names; empty fits all.
    pub category: String,
    /// A word of the product's name in lower case; empty fits all.
    pub word: String,
    /// The code: 4, 6 or 8 digits.
    pub hsn: String,
}

/// The rules in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsnMap {
    rules: Vec<HsnRule>,
}

/// `category | word | hsn`. HSN chapters as in the customs tariff of India.
const BUILT_IN: &[(&str, &str, &str)] = &[
    // Knitted clothing.
    ("women/tops/bras & tanks", "bra", "6212"),
    ("tops/tees", "", "6109"),
    ("tops/tanks", "", "6109"),
    ("tops/bras & tanks", "", "6109"),
    ("tops/hoodies & sweatshirts", "", "6110"),
    ("men/tops/jackets", "", "6101"),
    ("women/tops/jackets", "", "6102"),
    ("men/tops", "", "6110"),
    ("women/tops", "", "6110"),
    ("men/bottoms/pants", "", "6103"),
    ("men/bottoms/shorts", "", "6103"),
    ("men/bottoms", "", "6103"),
    ("women/bottoms/pants", "", "6104"),
    ("women/bottoms/shorts", "", "6104"),
    ("women/bottoms", "", "6104"),
    // Gear.
    ("gear/bags", "", "4202"),
    ("gear/watches", "", "9102"),
    ("gear/fitness equipment", "bottle", "3924"),
    ("gear/fitness equipment", "", "9506"),
    // A general store.
    ("beauty", "", "3304"),
    ("skin care", "", "3304"),
    ("fragrances", "", "3303"),
    ("furniture", "", "9403"),
    ("groceries", "apple", "0808"),
    ("groceries", "beef", "0201"),
    ("groceries", "cat", "2309"),
    ("groceries", "dog", "2309"),
    ("groceries", "chicken", "0207"),
    ("groceries", "oil", "1512"),
    ("groceries", "cucumber", "0707"),
    ("groceries", "eggs", "0407"),
    ("groceries", "fish", "0304"),
    ("groceries", "bell", "0709"),
    ("groceries", "chili", "0709"),
    ("groceries", "honey", "0409"),
    ("groceries", "ice", "2105"),
    ("groceries", "juice", "2009"),
    ("groceries", "kiwi", "0810"),
    ("groceries", "mulberry", "0810"),
    ("groceries", "strawberry", "0810"),
    ("groceries", "lemon", "0805"),
    ("groceries", "milk", "0401"),
    ("groceries", "coffee", "2101"),
    ("groceries", "potatoes", "0701"),
    ("groceries", "protein", "2106"),
    ("groceries", "onions", "0703"),
    ("groceries", "rice", "1006"),
    ("groceries", "soft", "2202"),
    ("groceries", "tissue", "4818"),
    ("groceries", "water", "2201"),
    ("home decoration", "lamp", "9405"),
    ("home decoration", "", "8306"),
    ("kitchen accessories", "blender", "8509"),
    ("kitchen accessories", "stove", "8516"),
    ("kitchen accessories", "microwave", "8516"),
    ("kitchen accessories", "glass", "7013"),
    ("kitchen accessories", "knife", "8211"),
    ("kitchen accessories", "", "7323"),
    ("laptops", "", "8471"),
    ("tablets", "", "8471"),
    ("smartphones", "", "8517"),
    ("mobile accessories", "", "8518"),
    ("mens shirts", "", "6205"),
    ("tops", "", "6206"),
    ("womens dresses", "", "6204"),
    ("mens shoes", "", "6403"),
    ("womens shoes", "", "6403"),
    ("mens watches", "", "9102"),
    ("womens watches", "", "9102"),
    ("womens bags", "", "4202"),
    ("womens jewellery", "", "7117"),
    ("sunglasses", "", "9004"),
    ("sports accessories", "", "9506"),
    ("motorcycle", "", "8711"),
    ("vehicle", "", "8703"),
];

impl Default for HsnMap {
    fn default() -> Self {
        let rules = BUILT_IN.iter().map(|(category, word, hsn)| HsnRule {
            category: (*category).to_owned(),
            word: (*word).to_owned(),
            hsn: (*hsn).to_owned(),
        });
        Self { rules: rules.collect() }
    }
}

impl HsnMap {
    /// The merchant's own rules before the built-in ones.
    pub fn with(own: Vec<HsnRule>) -> Self {
        let mut rules = own;
        rules.extend(Self::default().rules);
        Self { rules }
    }

    /// The code for a product in these categories, if a rule fits. Rules are tried in order; the
    /// categories in the order of the file.
    pub(crate) fn find(&self, categories: &[Vec<String>], name: &str) -> Option<&str> {
        let paths: Vec<String> =
            categories.iter().map(|path| format!("/{}", path.join("/").to_lowercase())).collect();
        let name = name.to_lowercase();
        let has_word = |word: &str| {
            word.is_empty() || name.split(|c: char| !c.is_alphanumeric()).any(|w| w == word)
        };
        let fits = |rule: &&HsnRule| {
            has_word(&rule.word)
                && (rule.category.is_empty()
                    || paths.iter().any(|p| {
                        p.strip_suffix(rule.category.as_str()).is_some_and(|b| b.ends_with('/'))
                    }))
        };
        self.rules.iter().find(fits).map(|rule| rule.hsn.as_str())
    }
}

/// Whether this can be an HSN code.
pub(crate) fn is_hsn(text: &str) -> bool {
    matches!(text.len(), 4 | 6 | 8) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_rule_decides() {
        let path = |p: &str| p.split('/').map(str::to_owned).collect::<Vec<_>>();
        let map = HsnMap::default();
        let tanks = [path("Women/Tops/Bras & Tanks")];
        assert_eq!(map.find(&tanks, "Celeste Sports Bra"), Some("6212"));
        assert_eq!(map.find(&tanks, "Zoe Tank"), Some("6109"));
        assert_eq!(
            map.find(&[path("Gear/Fitness Equipment")], "Affirm Water Bottle"),
            Some("3924")
        );
        assert_eq!(map.find(&[path("Collections/Eco Friendly")], "Thing"), None);
        assert_eq!(map.find(&[path("Women/Tops/Jackets")], "Jade"), Some("6102"));
        let own = HsnRule { category: String::new(), word: String::new(), hsn: "9999".into() };
        assert_eq!(HsnMap::with(vec![own]).find(&tanks, "x"), Some("9999"));
        assert!(BUILT_IN.iter().all(|(_, _, hsn)| is_hsn(hsn)));
    }
}
