//! What was typed and chosen, as queries of the index.

use std::ops::Bound;

use mela_search_api::{MAX_OFFSET, MAX_TEXT_CHARS, SearchError, SearchFilter, SearchRequest};
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, FuzzyTermQuery,
    Occur, Query, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption, Schema};
use tantivy::{Searcher, Term};

use crate::facets::FacetField;
use crate::schema::{Fields, column};
use crate::words;

/// Words of a query that count.
const MAX_TERMS: usize = 12;
/// Values of one list of a filter.
const MAX_VALUES: usize = 50;

type Boxed = Box<dyn Query>;

/// Refuses what no page of the shop asks for.
pub(crate) fn check(request: &SearchRequest) -> Result<(), SearchError> {
    let invalid = |field: &'static str, message: String| SearchError::Invalid { field, message };
    let filter = &request.filter;
    if !(1..=100).contains(&request.limit) {
        return Err(invalid("limit", "a page has 1 to 100 products".to_owned()));
    }
    if request.offset > MAX_OFFSET {
        let message = format!("pages end after {MAX_OFFSET} products; narrow the search instead");
        return Err(invalid("offset", message));
    }
    if filter.rating_min.is_some_and(|stars| !(1..=5).contains(&stars)) {
        return Err(invalid("rating_min", "stars are 1 to 5".to_owned()));
    }
    let prices = [filter.price_min, filter.price_max];
    if prices.iter().flatten().any(|p| p.0 < 0) {
        return Err(invalid("price_min", "a price is not below zero".to_owned()));
    }
    if matches!(prices, [Some(min), Some(max)] if min > max) {
        return Err(invalid("price_max", "the highest price is below the lowest".to_owned()));
    }
    for (field, values) in [("sizes", &filter.sizes), ("colors", &filter.colors)] {
        if values.len() > MAX_VALUES {
            return Err(invalid(field, format!("choose at most {MAX_VALUES} values")));
        }
    }
    Ok(())
}

/// Cuts a text to what is used of it.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// What was typed.
pub(crate) struct Typed {
    /// Words as written and as the index has them.
    terms: Vec<(String, String)>,
    /// The whole of it, which may be a SKU.
    sku: String,
}

impl Typed {
    pub(crate) fn new(text: &str) -> Self {
        let text = cut(text).trim();
        let mut terms: Vec<(String, String)> = Vec::new();
        for word in words::words(text) {
            let term = words::stem(word.clone());
            if terms.len() < MAX_TERMS && terms.iter().all(|(_, t)| *t != term) {
                terms.push((word, term));
            }
        }
        Self { terms, sku: text.to_lowercase() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sku.is_empty()
    }

    /// Whether a looser query could find more.
    pub(crate) fn has_several(&self) -> bool {
        self.terms.len() > 1
    }
}

/// Makes queries for one state of the index.
pub(crate) struct Maker<'a> {
    pub(crate) fields: &'a Fields,
    pub(crate) schema: &'a Schema,
    pub(crate) searcher: &'a Searcher,
}

impl Maker<'_> {
    /// The hits; `loose` needs only half of the words, `except` leaves one filter out.
    pub(crate) fn query(
        &self,
        typed: &Typed,
        filter: &SearchFilter,
        loose: bool,
        except: Option<FacetField>,
    ) -> Result<Boxed, SearchError> {
        let mut all: Vec<(Occur, Boxed)> = vec![(Occur::Must, self.text(typed, loose)?)];
        for (field, query) in self.filters(filter) {
            if Some(field) != except {
                // A filter decides, it does not rank.
                all.push((Occur::Must, Box::new(ConstScoreQuery::new(query, 0.0))));
            }
        }
        if all.len() == 1
            && let Some((_, only)) = all.pop()
        {
            return Ok(only);
        }
        Ok(Box::new(BooleanQuery::new(all)))
    }

    fn text(&self, typed: &Typed, loose: bool) -> Result<Boxed, SearchError> {
        if typed.is_empty() {
            return Ok(self.exact(self.fields.shown, "1"));
        }
        let mut either: Vec<Boxed> = Vec::new();
        either.push(constant(self.exact(self.fields.sku, &typed.sku), 100.0));
        let terms = typed
            .terms
            .iter()
            .map(|(word, term)| self.term(word, term))
            .collect::<Result<Vec<_>, SearchError>>()?;
        if loose {
            let half = terms.len().div_ceil(2);
            either.push(Box::new(BooleanQuery::union_with_minimum_required_clauses(terms, half)));
        } else if !terms.is_empty() {
            either.push(Box::new(BooleanQuery::intersection(terms)));
        }
        Ok(Box::new(BooleanQuery::union(either)))
    }

    /// One word: in any field, in its weight; similar words if nothing is called by it.
    fn term(&self, word: &str, term: &str) -> Result<Boxed, SearchError> {
        let f = self.fields;
        let mut any: Vec<Boxed> = [
            (f.name, 4.0),
            (f.name_hi, 4.0),
            (f.category_name, 2.0),
            (f.attribute, 2.0),
            (f.description, 1.0),
        ]
        .into_iter()
        .map(|(field, weight)| -> Boxed {
            let exact =
                TermQuery::new(Term::from_field_text(field, term), IndexRecordOption::WithFreqs);
            Box::new(BoostQuery::new(Box::new(exact), weight))
        })
        .collect();
        let mut known = false;
        for field in [f.name, f.name_hi, f.category_name, f.attribute] {
            let term = Term::from_field_text(field, term);
            known |= self.searcher.doc_freq(&term).map_err(mela_base::Internal::new)? > 0;
        }
        let distance = match word.chars().count() {
            4..=7 => 1,
            8..=24 => 2,
            _ => 0,
        };
        if !known && distance > 0 {
            for (field, weight) in [(f.prefix, 2.0), (f.known, 1.0)] {
                let similar =
                    FuzzyTermQuery::new(Term::from_field_text(field, word), distance, true);
                any.push(constant(Box::new(similar), weight));
            }
        }
        Ok(Box::new(DisjunctionMaxQuery::with_tie_breaker(any, 0.1)))
    }

    fn exact(&self, field: Field, text: &str) -> Boxed {
        Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic))
    }

    fn filters(&self, filter: &SearchFilter) -> Vec<(FacetField, Boxed)> {
        let f = self.fields;
        let mut out: Vec<(FacetField, Boxed)> = Vec::new();
        if let Some(slug) = &filter.category {
            out.push((FacetField::Category, self.exact(f.category, slug)));
        }
        for (facet, field, values) in [
            (FacetField::Size, f.size, &filter.sizes),
            (FacetField::Color, f.color, &filter.colors),
        ] {
            if !values.is_empty() {
                let terms = values.iter().map(|v| Term::from_field_text(field, v));
                out.push((facet, Box::new(TermSetQuery::new(terms))));
            }
        }
        let price = |p: mela_base::Paise| u64::try_from(p.0).unwrap_or_default();
        if filter.price_min.is_some() || filter.price_max.is_some() {
            let (min, max) = (filter.price_min.map(price), filter.price_max.map(price));
            out.push((FacetField::Price, self.range(column::PRICE, min, max)));
        }
        if let Some(stars) = filter.rating_min {
            let least = Some(u64::from(stars) * 100);
            out.push((FacetField::Rating, self.range(column::RATING, least, None)));
        }
        out
    }

    fn range(&self, name: &str, min: Option<u64>, max: Option<u64>) -> Boxed {
        let Ok(field) = self.schema.get_field(name) else { return Box::new(AllQuery) };
        let bound = |n: Option<u64>| match n {
            Some(n) => Bound::Included(Term::from_field_u64(field, n)),
            None => Bound::Unbounded,
        };
        Box::new(RangeQuery::new(bound(min), bound(max)))
    }

    /// Names with all these words, the last of which may go on; `typo` forgives one letter in it.
    pub(crate) fn completion(&self, words: &[String], typo: bool) -> Boxed {
        let f = self.fields;
        let Some((last, whole)) = words.split_last() else { return self.exact(f.shown, "") };
        let mut all: Vec<Boxed> = whole.iter().map(|w| self.exact(f.prefix, w)).collect();
        let last = Term::from_field_text(f.prefix, last);
        all.push(Box::new(FuzzyTermQuery::new_prefix(last, u8::from(typo), true)));
        Box::new(BooleanQuery::intersection(all))
    }
}

fn constant(query: Boxed, score: f32) -> Boxed {
    Box::new(ConstScoreQuery::new(query, score))
}
