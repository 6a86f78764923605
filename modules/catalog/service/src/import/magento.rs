//! Magento 2: its product export, the sample-data files of gear, reviews and links.
//!
//! A file is known by its header, not by its name. Rows of configurable products gather the
//! simple rows that they list; what nobody lists and what is not shown by itself is refused, so
//! that nothing of a file is lost in silence.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use mela_base::Timestamp;
use mela_catalog_api::ProductOption;

use super::draft::{Catalogue, Draft, DraftReview, DraftVariant, Image, Source};
use super::item::{self, ExportColumns, Item, Kind};
use super::pictures::Pictures;
use super::table::Table;
use super::{ImportError, ImportOptions, ImportReport, OnProgress, Progress, text};

/// Rows that an import holds at most.
const MAX_ROWS: usize = 1_000_000;
const MAX_RELATED: usize = 24;

/// Reads every CSV file of the folder.
pub(super) fn read(
    folder: &Path,
    options: &ImportOptions,
    now: Timestamp,
    report: &mut ImportReport,
    progress: &OnProgress,
) -> Result<Catalogue, ImportError> {
    let mut reader = Reader {
        options,
        today: now.ist_date().to_string(),
        report,
        progress,
        items: Vec::new(),
        by_sku: HashMap::new(),
        hindi: HashMap::new(),
        reviews: Vec::new(),
        links: Vec::new(),
        tops: vec!["Collections".to_owned(), "Promotions".to_owned()],
    };
    let mut known = false;
    for path in csv_files(folder)? {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let file: Arc<str> = name.into();
        match Table::open(&path) {
            Ok(table) => known |= reader.file(table, &file),
            Err(bad) => {
                let source = Source { file, line: bad.line };
                reader.report.refuse(source.problem("", bad.reason));
            }
        }
    }
    if !known {
        return Err(ImportError::NothingToImport(folder.to_owned()));
    }
    Ok(reader.assemble(folder))
}

fn csv_files(folder: &Path) -> Result<Vec<std::path::PathBuf>, ImportError> {
    let unreadable = |e: std::io::Error| ImportError::Unreadable {
        path: folder.to_owned(),
        reason: e.to_string(),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            files.push(path);
        }
    }
    // `products.csv` before `products_gear_…`: its departments tell the paths of the others apart.
    files.sort();
    Ok(files)
}

struct Reader<'a> {
    options: &'a ImportOptions,
    today: String,
    report: &'a mut ImportReport,
    progress: &'a OnProgress,
    items: Vec<Item>,
    by_sku: HashMap<String, usize>,
    /// Name and description of Hindi store views.
    hindi: HashMap<String, (String, String)>,
    reviews: Vec<(Source, String, DraftReview)>,
    links: Vec<(Source, String, Vec<String>)>,
    /// Names of departments.
    tops: Vec<String>,
}

impl Reader<'_> {
    /// Reads one file; false if it is none of a catalogue.
    fn file(&mut self, table: Table, file: &Arc<str>) -> bool {
        let has = |columns: &[&str]| columns.iter().all(|c| table.has(c));
        if has(&["sku", "product_type", "name", "price", "categories"]) {
            self.export(table, file);
        } else if has(&["sku", "name", "price", "category", "qty"]) {
            self.sample(table, file);
        } else if has(&["sku", "rating_value", "review"]) {
            self.review_rows(table, file);
        } else if has(&["sku", "linked_sku"]) {
            self.link_rows(table, file);
        } else {
            let source = Source { file: file.clone(), line: 1 };
            let why = "the header is not that of products, reviews or links; the file was left out";
            self.report.note(source.problem("", why));
            return false;
        }
        true
    }

    /// Calls `f` with every readable record.
    fn rows(
        &mut self,
        mut table: Table,
        file: &Arc<str>,
        mut f: impl FnMut(&mut Self, &Table, &super::table::Row, Source),
    ) {
        while let Some(next) = table.next() {
            self.report.rows += 1;
            if self.report.rows.is_multiple_of(500) {
                (self.progress)(Progress { stage: "reading", done: self.report.rows, total: 0 });
            }
            match next {
                Ok(row) => {
                    let source = Source { file: file.clone(), line: row.line };
                    f(self, &table, &row, source);
                }
                Err(bad) => {
                    let source = Source { file: file.clone(), line: bad.line };
                    self.report.refuse(source.problem("", bad.reason));
                }
            }
        }
    }

    fn export(&mut self, table: Table, file: &Arc<str>) {
        let columns = ExportColumns::of(&table);
        self.rows(table, file, |this, _, row, source| {
            let store = row.at(columns.store);
            if !store.is_empty() {
                let (sku, name, description) = columns.translation(row);
                if store.to_lowercase().starts_with("hi") {
                    this.hindi.insert(sku, (name, description));
                } else {
                    let why = "texts of another store view; only Hindi ones (`hi…`) are taken";
                    this.report.note(source.problem(&sku, why));
                }
                return;
            }
            let item = columns.item(row, source.clone(), this.options, &this.today);
            this.keep(source, row.at(columns.sku), item);
        });
        for item in &self.items {
            for path in &item.categories {
                if let Some(top) = path.first().filter(|t| !self.tops.contains(t)) {
                    self.tops.push(top.clone());
                }
            }
        }
    }

    fn sample(&mut self, table: Table, file: &Arc<str>) {
        let (sku, category) = (table.column("sku"), table.column("category"));
        self.rows(table, file, |this, table, row, source| {
            // The first line of a cell is a department.
            let top = row.at(category).lines().next().map(|l| text::line(l, 80));
            let new = |top: &String| !top.is_empty() && !this.tops.contains(top);
            if let Some(top) = top.filter(new).filter(|_| this.tops.len() < 1_000) {
                this.tops.push(top);
            }
            let item = item::sample_item(table, row, source.clone(), this.options, &this.tops);
            this.keep(source, row.at(sku), item);
        });
    }

    fn keep(&mut self, source: Source, sku: &str, item: Result<Item, String>) {
        let item = match item {
            Ok(item) => item,
            Err(reason) => return self.report.refuse(source.problem(sku, reason)),
        };
        if let Some(&first) = self.by_sku.get(&item.sku) {
            let first = &self.items[first].source;
            let why = format!("the SKU stands already in {} line {}", first.file, first.line);
            return self.report.refuse(source.problem(&item.sku, why));
        }
        if self.items.len() >= MAX_ROWS {
            let why = format!("an import takes at most {MAX_ROWS} rows; split it");
            return self.report.refuse(source.problem(&item.sku, why));
        }
        self.by_sku.insert(item.sku.clone(), self.items.len());
        self.items.push(item);
    }

    fn review_rows(&mut self, table: Table, file: &Arc<str>) {
        let c = |name: &str| table.column(name);
        let (sku, stars, title) = (c("sku"), c("rating_value"), c("title"));
        let (body, reviewer) = (c("review"), c("reviewer"));
        self.rows(table, file, |this, _, row, source| {
            let sku = item::sku(row.at(sku));
            let stars: i64 = match row.at(stars).parse() {
                Ok(stars @ 1..=5) => stars,
                _ => return this.report.refuse(source.problem(&sku, "a rating is 1 to 5")),
            };
            let review = DraftReview {
                stars,
                title: text::line(row.at(title), 200),
                body: text::plain(row.at(body)).chars().take(5_000).collect(),
                reviewer: text::line(row.at(reviewer), 60),
                at: None,
            };
            if review.body.is_empty() && review.title.is_empty() {
                return this.report.refuse(source.problem(&sku, "the review has no text"));
            }
            if this.reviews.len() < MAX_ROWS {
                this.reviews.push((source, sku, review));
            }
        });
    }

    fn link_rows(&mut self, table: Table, file: &Arc<str>) {
        let (sku, linked) = (table.column("sku"), table.column("linked_sku"));
        self.rows(table, file, |this, _, row, source| {
            let targets = row.at(linked).split(['\n', ',', '|']).map(item::sku);
            let targets = targets.filter(|t| !t.is_empty()).take(200).collect();
            if this.links.len() < MAX_ROWS {
                this.links.push((source, item::sku(row.at(sku)), targets));
            }
        });
    }

    /// Joins what belongs together.
    fn assemble(self, folder: &Path) -> Catalogue {
        let Self { options, report, progress, mut items, by_sku, mut hindi, .. } = self;
        let mut join = Join {
            options,
            report,
            pictures: Pictures::below(&folder.join("media")),
            drafts: Vec::new(),
            owner: HashMap::new(),
            slugs: HashSet::new(),
        };
        for item in &mut items {
            if let Some((name, description)) = hindi.remove(&item.sku) {
                item.name_hi = Some(name).filter(|n| !n.is_empty()).or(item.name_hi.take());
                item.description_hi =
                    Some(description).filter(|d| !d.is_empty()).or(item.description_hi.take());
            }
        }
        let mut listed: HashSet<usize> = HashSet::new();
        for (i, item) in items.iter().enumerate() {
            if let Kind::Configurable(variations) = &item.kind {
                join.configurable(item, variations, &items, &by_sku, &mut listed);
            }
            if options.media && i % 50 == 0 {
                let (done, total) = (i as u64, items.len() as u64);
                progress(Progress { stage: "pictures", done, total });
            }
        }
        let mut families: HashMap<&str, Vec<&Item>> = HashMap::new();
        let mut order: Vec<&str> = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match &item.kind {
                Kind::Configurable(_) => {}
                Kind::Simple { .. } if listed.contains(&i) => {}
                Kind::Simple { visible: true, .. } => join.single(item),
                Kind::Simple { family: Some(family), .. } => {
                    families.entry(family).or_default().push(item);
                    if !order.contains(&family.as_str()) {
                        order.push(family);
                    }
                }
                Kind::Simple { .. } => {
                    let why = "not shown by itself, and no configurable product lists it";
                    join.report.refuse(item.source.problem(&item.sku, why));
                }
            }
        }
        for family in order {
            join.family(family, &families[family]);
        }
        join.reviews(self.reviews);
        // Related products first, then what sells beside it.
        let mut links = self.links;
        links.sort_by_key(|(source, _, _)| !source.file.contains("related"));
        join.links(links);
        Catalogue { drafts: join.drafts, pictures: join.pictures.files }
    }
}

struct Join<'a> {
    options: &'a ImportOptions,
    report: &'a mut ImportReport,
    pictures: Pictures,
    drafts: Vec<Draft>,
    /// Which draft a SKU, of product or variant, belongs to.
    owner: HashMap<String, usize>,
    slugs: HashSet<String>,
}

impl Join<'_> {
    fn configurable(
        &mut self,
        item: &Item,
        variations: &[Vec<(String, String)>],
        items: &[Item],
        by_sku: &HashMap<String, usize>,
        listed: &mut HashSet<usize>,
    ) {
        let mut variants = Vec::new();
        for variation in variations {
            let sku = variation.iter().find(|(k, _)| k == "sku").map_or("", |(_, v)| v.as_str());
            let chosen: Vec<(String, String)> = variation
                .iter()
                .filter(|(k, _)| k != "sku")
                .map(|(k, v)| (k.clone(), text::line(v, 80)))
                .collect();
            let child = by_sku.get(sku).map(|i| (*i, &items[*i]));
            let why = match child {
                Some((i, child)) if matches!(child.kind, Kind::Simple { .. }) => {
                    if !listed.insert(i) {
                        "is listed twice"
                    } else {
                        variants.push((child, chosen));
                        continue;
                    }
                }
                Some(_) => "is not a simple product",
                None => "has no row of its own",
            };
            let sku: String = sku.chars().take(80).collect();
            self.report.note(item.source.problem(&item.sku, format!("the variant `{sku}` {why}")));
        }
        self.draft(item, &item.name, item.sku.clone(), &variants);
    }

    fn single(&mut self, item: &Item) {
        self.draft(item, &item.name, item.sku.clone(), &[(item, Vec::new())]);
    }

    /// Rows of the sample-data format that are not shown by themselves: Magento shows them as one
    /// group, whose SKU ends in `_Group`.
    fn family(&mut self, name: &str, members: &[&Item]) {
        let Some(&first) = members.first() else { return };
        let values = |item: &Item, code: &str| -> Option<String> {
            item.attributes.iter().find(|a| a.code == code).map(|a| a.values.join(" "))
        };
        let codes: Vec<&str> = ["size", "color"]
            .into_iter()
            .filter(|code| members.iter().all(|m| values(m, code).is_some()))
            .collect();
        let variants: Vec<(&Item, Vec<(String, String)>)> = members
            .iter()
            .map(|m| {
                let chosen =
                    codes.iter().filter_map(|c| Some(((*c).to_owned(), values(m, c)?))).collect();
                (*m, chosen)
            })
            .collect();
        self.draft(first, name, format!("{}_Group", first.sku), &variants);
    }

    fn draft(
        &mut self,
        item: &Item,
        name: &str,
        sku: String,
        members: &[(&Item, Vec<(String, String)>)],
    ) {
        let hsn = item
            .hsn
            .clone()
            .or_else(|| self.options.hsn.find(&item.categories, name).map(str::to_owned));
        let mut options: Vec<ProductOption> = Vec::new();
        let mut variants: Vec<DraftVariant> = Vec::new();
        let mut images: Vec<Image> = Vec::new();
        for path in &item.images {
            self.picture(item, path, &mut images);
        }
        let codes: Vec<&String> =
            members.first().map(|(_, c)| c.iter().map(|(k, _)| k).collect()).unwrap_or_default();
        for (member, chosen) in members {
            let Kind::Simple { price, mrp, .. } = member.kind else { continue };
            let refuse = |report: &mut ImportReport, why: &str| {
                report.refuse(member.source.problem(&member.sku, why));
            };
            if chosen.iter().map(|(k, _)| k).ne(codes.iter().copied())
                || chosen.iter().any(|(_, v)| v.is_empty())
            {
                refuse(self.report, "its options are not those of the other variants");
                continue;
            }
            if variants.iter().any(|v| v.options == *chosen) {
                refuse(self.report, "another variant of the product has the same options");
                continue;
            }
            let Some(hsn) = member.hsn.clone().or_else(|| hsn.clone()) else {
                let why = "no HSN code: add `hsn=` to its attributes or a rule for its category";
                refuse(self.report, why);
                continue;
            };
            for (code, value) in chosen {
                let at = options.iter().position(|o| o.code == *code).unwrap_or_else(|| {
                    options.push(ProductOption {
                        code: code.clone(),
                        label: text::label(code),
                        values: Vec::new(),
                    });
                    options.len() - 1
                });
                if !options[at].values.contains(value) {
                    options[at].values.push(value.clone());
                }
            }
            let choice: Vec<&str> = chosen.iter().map(|(_, v)| v.as_str()).collect();
            let own = member.images.first().filter(|p| !item.images.contains(p));
            let image = match own {
                Some(path) => self.picture(member, path, &mut images),
                None if self.options.media => {
                    member.images.first().and_then(|p| self.pictures.take(p).ok().flatten())
                }
                None => None,
            };
            variants.push(DraftVariant {
                source: member.source.clone(),
                sku: member.sku.clone(),
                name: match choice.is_empty() {
                    true => name.to_owned(),
                    false => format!("{name} – {}", choice.join(", ")),
                },
                options: chosen.clone(),
                price,
                mrp,
                hsn,
                weight_g: member.weight_g,
                image,
                active: member.active,
                stock: member.stock,
            });
        }
        if variants.is_empty() {
            // A single row has been reported above; a configurable one has not.
            if matches!(item.kind, Kind::Configurable(_)) {
                let why = "none of its variants could be taken";
                self.report.refuse(item.source.problem(&item.sku, why));
            }
            return;
        }
        let mut slug = text::slug(if item.url_key.is_empty() || name != item.name {
            name
        } else {
            &item.url_key
        });
        if slug.is_empty() || self.slugs.contains(&slug) {
            slug = format!("{slug}-{}", text::slug(&sku)).trim_matches('-').to_owned();
        }
        if slug.is_empty() || !self.slugs.insert(slug.clone()) {
            let why = "its name and its SKU give no address of their own; set `url_key`";
            return self.report.refuse(item.source.problem(&item.sku, why));
        }
        let index = self.drafts.len();
        self.owner.insert(sku.clone(), index);
        for variant in &variants {
            self.owner.insert(variant.sku.clone(), index);
        }
        let is_option = |code: &str| options.iter().any(|o| o.code == code);
        self.drafts.push(Draft {
            source: item.source.clone(),
            sku,
            slug,
            name: name.to_owned(),
            name_hi: item.name_hi.clone(),
            description: item.description.clone(),
            description_hi: item.description_hi.clone(),
            categories: item.categories.clone(),
            attributes: item.attributes.iter().filter(|a| !is_option(&a.code)).cloned().collect(),
            options,
            variants,
            images: self.options.media.then_some(images),
            reviews: Vec::new(),
            related: Vec::new(),
            active: item.active,
        });
    }

    /// Adds the picture to the product's, if there is one.
    fn picture(&mut self, item: &Item, path: &str, images: &mut Vec<Image>) -> Option<Image> {
        if !self.options.media {
            return None;
        }
        match self.pictures.take(path) {
            Ok(Some(image)) => {
                if !images.contains(&image) && images.len() < 32 {
                    images.push(image.clone());
                }
                images.contains(&image).then_some(image)
            }
            Ok(None) => None,
            Err(reason) => {
                self.report.note(item.source.problem(&item.sku, reason));
                None
            }
        }
    }

    fn reviews(&mut self, reviews: Vec<(Source, String, DraftReview)>) {
        for (source, sku, review) in reviews {
            let Some(&owner) = self.owner.get(&sku) else {
                self.report
                    .refuse(source.problem(&sku, "a review of a product that was not taken"));
                continue;
            };
            self.drafts[owner].reviews.push(review);
        }
    }

    fn links(&mut self, links: Vec<(Source, String, Vec<String>)>) {
        for (source, sku, targets) in links {
            let Some(&from) = self.owner.get(&sku) else {
                self.report.refuse(source.problem(&sku, "links of a product that was not taken"));
                continue;
            };
            for target in targets {
                let problem =
                    |why: &str| source.problem(&sku, format!("the link to `{target}` {why}"));
                let Some(&to) = self.owner.get(&target) else {
                    self.report.note(problem("leads to a product that was not taken"));
                    continue;
                };
                if to == from {
                    self.report.note(problem("leads to itself"));
                    continue;
                }
                let target = self.drafts[to].sku.clone();
                let related = &mut self.drafts[from].related;
                if !related.contains(&target) && related.len() < MAX_RELATED {
                    related.push(target);
                }
            }
        }
    }
}
