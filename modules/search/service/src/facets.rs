//! Counting hits by the values of their fields, in one pass over the hits.

use std::collections::HashMap;

use mela_base::Paise;
use mela_search_api::{Facet, FacetValue};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use crate::schema::column;

/// A field by which hits are counted and narrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FacetField {
    Category,
    Price,
    Size,
    Color,
    Rating,
}

impl FacetField {
    pub(crate) const ALL: [Self; 5] =
        [Self::Category, Self::Price, Self::Size, Self::Color, Self::Rating];

    fn name(self) -> &'static str {
        match self {
            Self::Category => column::CATEGORY,
            Self::Price => column::PRICE,
            Self::Size => column::SIZE,
            Self::Color => column::COLOR,
            Self::Rating => column::RATING,
        }
    }
}

/// Lower ends of the price ranges, in rupees.
const PRICES: [i64; 8] = [0, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000];
/// The upper end of the last range.
const HIGHEST: Paise = Paise::rupees(1_000_000_000);
/// Values of one facet.
const MAX_VALUES: usize = 100;

/// Counts hits by the values of one field: `category`, `size` …: by value; `price` and `rating`: by
/// range.
#[derive(Default)]
pub(crate) struct Counts {
    values: HashMap<String, u64>,
    ranges: Vec<u64>,
}

/// Counts hits by these fields.
pub(crate) struct FacetCollector(pub(crate) Vec<FacetField>);

pub(crate) struct SegmentFacets(Vec<Counter>);

enum Counter {
    Values { column: StrColumn, counts: Vec<u64> },
    Price { column: Column<u64>, counts: Vec<u64> },
    Rating { column: Column<u64>, counts: Vec<u64> },
    Nothing,
}

impl Collector for FacetCollector {
    type Fruit = Vec<Counts>;
    type Child = SegmentFacets;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentFacets> {
        let fast = segment.fast_fields();
        let counter = |field: &FacetField| -> tantivy::Result<Counter> {
            Ok(match field {
                FacetField::Price => Counter::Price {
                    column: fast.u64(field.name())?,
                    counts: vec![0; PRICES.len()],
                },
                FacetField::Rating => {
                    Counter::Rating { column: fast.u64(field.name())?, counts: vec![0; 4] }
                }
                _ => match fast.str(field.name())? {
                    Some(column) => {
                        let counts = vec![0; column.num_terms()];
                        Counter::Values { column, counts }
                    }
                    None => Counter::Nothing,
                },
            })
        };
        Ok(SegmentFacets(self.0.iter().map(counter).collect::<tantivy::Result<_>>()?))
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Vec<Counts>>) -> tantivy::Result<Vec<Counts>> {
        let mut out: Vec<Counts> = self.0.iter().map(|_| Counts::default()).collect();
        for segment in segments {
            for (sum, counts) in out.iter_mut().zip(segment) {
                for (value, n) in counts.values {
                    *sum.values.entry(value).or_default() += n;
                }
                sum.ranges.resize(sum.ranges.len().max(counts.ranges.len()), 0);
                for (sum, n) in sum.ranges.iter_mut().zip(counts.ranges) {
                    *sum += n;
                }
            }
        }
        Ok(out)
    }
}

impl SegmentCollector for SegmentFacets {
    type Fruit = Vec<Counts>;

    fn collect(&mut self, doc: DocId, _: Score) {
        for counter in &mut self.0 {
            match counter {
                Counter::Values { column, counts } => {
                    for ord in column.ords().values_for_doc(doc) {
                        if let Some(n) = counts.get_mut(ord as usize) {
                            *n += 1;
                        }
                    }
                }
                Counter::Price { column, counts } => {
                    let price = column.first(doc).unwrap_or_default();
                    let rupees = i64::try_from(price / 100).unwrap_or(i64::MAX);
                    let range = PRICES.partition_point(|low| *low <= rupees);
                    if let Some(n) = counts.get_mut(range.wrapping_sub(1)) {
                        *n += 1;
                    }
                }
                Counter::Rating { column, counts } => {
                    // "4 and above" holds those with 5.
                    let stars = column.first(doc).unwrap_or_default() / 100;
                    let up_to = usize::try_from(stars).unwrap_or_default().min(counts.len());
                    counts[..up_to].iter_mut().for_each(|n| *n += 1);
                }
                Counter::Nothing => {}
            }
        }
    }

    fn harvest(self) -> Vec<Counts> {
        let counts = self.0.into_iter().map(|counter| match counter {
            Counter::Values { column, counts } => {
                let mut values = HashMap::new();
                for (ord, n) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
                    let mut text = String::new();
                    if column.ord_to_str(ord as u64, &mut text).unwrap_or(false) {
                        values.insert(text, n);
                    }
                }
                Counts { values, ranges: Vec::new() }
            }
            Counter::Price { counts, .. } | Counter::Rating { counts, .. } => {
                Counts { values: HashMap::new(), ranges: counts }
            }
            Counter::Nothing => Counts::default(),
        });
        counts.collect()
    }
}

/// The counts for people. `label` names a category by its slug.
pub(crate) fn facet(
    field: FacetField,
    counts: Counts,
    label: impl Fn(&str) -> Option<String>,
) -> Facet {
    let values = match field {
        FacetField::Price => counts
            .ranges
            .iter()
            .enumerate()
            .filter(|(_, n)| **n > 0)
            .map(|(i, n)| {
                let low = Paise::rupees(PRICES[i.min(PRICES.len() - 1)]);
                let next = PRICES.get(i + 1).map(|next| Paise(next * 100 - 1));
                FacetValue {
                    value: format!("{}-{}", low.0, next.unwrap_or(HIGHEST).0),
                    label: match next {
                        Some(high) => format!("{} – {}", whole(low), whole(Paise(high.0 + 1))),
                        None => format!("{} and above", whole(low)),
                    },
                    count: *n,
                }
            })
            .collect(),
        FacetField::Rating => counts
            .ranges
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, n)| **n > 0)
            .map(|(i, n)| FacetValue {
                value: (i + 1).to_string(),
                label: format!("{} ★ and above", i + 1),
                count: *n,
            })
            .collect(),
        FacetField::Category | FacetField::Size | FacetField::Color => {
            let mut values: Vec<FacetValue> = counts
                .values
                .into_iter()
                .map(|(value, count)| FacetValue {
                    label: label(&value).unwrap_or_else(|| value.clone()),
                    value,
                    count,
                })
                .collect();
            values.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
            values.truncate(MAX_VALUES);
            values
        }
    };
    Facet { field: field.name(), values }
}

/// Rupees without paise.
fn whole(amount: Paise) -> String {
    amount.to_string().trim_end_matches(".00").to_owned()
}
