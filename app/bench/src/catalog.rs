//! Reads of the catalogue: a listing of 20 products with variants and prices from the answer cache
//! and without it, and the detail of a product without it.

use std::sync::Arc;
use std::time::Duration;

use crate::checkout::products;
use crate::goods::{CATEGORIES, write_catalogue};
use crate::http::Http;
use crate::load::{Dice, Load, Shopper, clean, run};
use crate::report::{Figure, Report};
use crate::server::Place;
use crate::{BenchError, Common, Engine, FIRST};

const LIST: &str = "query($filter:ProductFilter,$sort:ProductSort!){products(first:20,filter:$filter,sort:$sort){nodes{id slug sku name priceMin priceMax mrpMax rating{average count} variants{id sku price mrp options{code value}} media{id alt card{url width height}}} pageInfo{hasNextPage endCursor}}}";
const DETAIL: &str = "query($slug:String!){product(slug:$slug){id slug sku name description priceMin priceMax mrpMax available rating{average count} categories{slug name} attributes{code label values} options{code label values} variants{id sku name price mrp available options{code value}} media{id alt card{url width height} full{url width height}}}}";
const SORTS: [&str; 3] = ["PRICE_ASC", "PRICE_DESC", "NEWEST"];

struct Lists(Vec<String>);

impl Lists {
    /// Each category in each order; with `floor`, each above a price of its own as well.
    fn new(floor: Option<&[i64]>) -> Self {
        let mut bodies = Vec::new();
        for category in CATEGORIES {
            for sort in SORTS {
                for floor in floor.unwrap_or(&[0]) {
                    let filter = match floor {
                        0 => serde_json::json!({ "category": category }),
                        floor => serde_json::json!({ "category": category, "priceMin": floor }),
                    };
                    let body = serde_json::json!({
                        "query": LIST, "variables": { "filter": filter, "sort": sort },
                    });
                    bodies.push(body.to_string());
                }
            }
        }
        Self(bodies)
    }
}

impl Shopper for Lists {
    async fn once(&self, http: &mut Http, dice: &mut Dice) -> Result<bool, BenchError> {
        let answer = http.graphql(&self.0[dice.below(self.0.len())]).await?;
        clean(answer)?;
        // Twenty products with their variants are not told in less.
        if answer.len() < 4_000 {
            return Err(BenchError::new("a listing without its products"));
        }
        Ok(true)
    }
}

struct Details(Vec<String>);

impl Shopper for Details {
    async fn once(&self, http: &mut Http, dice: &mut Dice) -> Result<bool, BenchError> {
        let answer = http.graphql(&self.0[dice.below(self.0.len())]).await?;
        clean(answer)?;
        if !answer.starts_with(br#"{"data":{"product":{"#) {
            return Err(BenchError::new("a product is missing"));
        }
        Ok(true)
    }
}

/// Runs the benchmark on one engine.
pub(crate) async fn catalog(common: &Common, engine: Engine) -> Result<Vec<Figure>, BenchError> {
    let mut report = Report::new(common.json, "catalog", engine.name());
    let place = Place::new(engine)?;
    write_catalogue(&place.dir.join("goods"), common.products.unwrap_or(1_000))?;
    place.import(&place.dir.join("goods"), "1").await?;
    let time = Duration::from_secs_f64(common.seconds * 0.8);
    let load = Load { connections: common.connections(), time, rate: None };
    let warm = Load { time: Duration::from_secs_f64(common.seconds * 0.1), ..load };

    let (server, _) = place.serve(common.roles("web,checkout"), &common.settings(), FIRST).await?;
    let lists = Arc::new(Lists::new(None));
    run(server.addr, warm, &lists).await?;
    let cached = run(server.addr, load, &lists).await?;
    report.figure("per_second_cached", cached.per_second())?;
    report.figure("cached_p99_ms", cached.latency.ms(990))?;
    report.figure("rss_mib", server.rss_mib()?)?;
    server.stop().await?;

    // The answer cache off and many different filters; rows that the modules hold stay held.
    let mut set = vec![("server.answer_cache", "off".to_owned())];
    set.extend(common.settings());
    let (server, _) = place.serve(common.roles("web,checkout"), &set, FIRST).await?;
    let floors: Vec<i64> = (0..16).map(|n| 10_000 + n * 1_000).collect();
    let lists = Arc::new(Lists::new(Some(&floors)));
    run(server.addr, warm, &lists).await?;
    let before = server.cpu_ms()?;
    let uncached = run(server.addr, load, &lists).await?;
    let cpu = (server.cpu_ms()? - before) / uncached.latency.count() as f64;
    report.figure("per_second_uncached", uncached.per_second())?;
    report.figure("uncached_p99_ms", uncached.latency.ms(990))?;
    report.figure("uncached_cpu_ms", cpu)?;
    let bodies = products(&server, 5_000)
        .await?
        .iter()
        .map(|p| {
            serde_json::json!({ "query": DETAIL, "variables": { "slug": p.slug } }).to_string()
        })
        .collect();
    let details = Arc::new(Details(bodies));
    run(server.addr, warm, &details).await?;
    let detail = run(server.addr, load, &details).await?;
    report.figure("detail_per_second", detail.per_second())?;
    report.figure("detail_p99_ms", detail.latency.ms(990))?;
    server.stop().await?;
    Ok(report.end())
}
