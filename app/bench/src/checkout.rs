//! Full guest checkouts: an empty cart, two lines, address and delivery, the placed order. Two
//! requests, both counted; the answer to the second comes after the commit is on the disk.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::goods::{write_address, write_catalogue};
use crate::http::Http;
use crate::load::{Dice, Load, Outcome, Shopper, clean, run};
use crate::report::{Figure, Report};
use crate::server::{Place, Server};
use crate::{BenchError, Common, Engine, FIRST};

/// What cash on delivery costs in the shop under test, in paise.
const COD_FEE: i64 = 2_900;
/// Carts that are prepared for placing at most.
const MAX_CARTS: usize = 60_000;

const CREATE: &str = "mutation($input:CreateCartInput!){createCart(input:$input){id totals{subtotal discount shipping total tax toPay} methods problems{code}}}";
const PLACE: &str =
    "mutation($input:PlaceOrderInput!){placeOrder(input:$input){order{id number state} orderKey}}";
const PLACE_ONLINE: &str = "mutation($input:PlaceOrderInput!){placeOrder(input:$input){order{id number state} orderKey next{url}}}";

/// A cart that is ready to be placed.
struct Ready {
    cart: String,
    to_pay: i64,
}

struct Buyer {
    variants: Vec<String>,
    run: u64,
    orders: AtomicU64,
    online: bool,
}

#[derive(Deserialize)]
struct Created<'a> {
    #[serde(borrow)]
    data: CreatedData<'a>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedData<'a> {
    #[serde(borrow)]
    create_cart: Cart<'a>,
}
#[derive(Deserialize)]
struct Cart<'a> {
    id: &'a str,
    totals: Totals,
    #[serde(borrow)]
    methods: Vec<&'a str>,
    #[serde(borrow)]
    problems: Vec<Problem<'a>>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    to_pay: i64,
}
#[derive(Deserialize)]
struct Problem<'a> {
    code: &'a str,
}

impl Buyer {
    /// The first request.
    async fn fill(&self, http: &mut Http, dice: &mut Dice) -> Result<Ready, BenchError> {
        let first = dice.below(self.variants.len());
        let second = (first + 1 + dice.below(self.variants.len() - 1)) % self.variants.len();
        let mut body = String::with_capacity(900);
        let _ = write!(body, r#"{{"query":"{CREATE}","variables":{{"input":{{"lines":["#);
        for (i, variant) in [first, second].into_iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let (variant, quantity) = (&self.variants[variant], 1 + dice.below(2));
            let _ = write!(body, r#"{comma}{{"variantId":"{variant}","quantity":{quantity}}}"#);
        }
        body.push_str(r#"],"address":"#);
        write_address(&mut body, dice);
        body.push_str("}}}");
        let answer = http.graphql(&body).await?;
        clean(answer)?;
        let created: Created<'_> = serde_json::from_slice(answer).map_err(BenchError::new)?;
        let cart = created.data.create_cart;
        if let Some(problem) = cart.problems.first() {
            return Err(BenchError::new(format_args!("the cart has a problem: {}", problem.code)));
        }
        let method = if self.online { "RAZORPAY" } else { "CASH_ON_DELIVERY" };
        if !cart.methods.contains(&method) {
            return Err(BenchError::new(format_args!("the cart cannot be paid by {method}")));
        }
        Ok(Ready { cart: cart.id.to_owned(), to_pay: cart.totals.to_pay })
    }

    /// The second request.
    async fn place(&self, http: &mut Http, ready: &Ready) -> Result<(), BenchError> {
        let n = self.orders.fetch_add(1, Ordering::Relaxed);
        let (query, method, fee) = if self.online {
            (PLACE_ONLINE, "RAZORPAY", 0)
        } else {
            (PLACE, "CASH_ON_DELIVERY", COD_FEE)
        };
        let body = format!(
            r#"{{"query":"{query}","variables":{{"input":{{"cartId":"{}","method":"{method}","expectedToPay":{},"idempotencyKey":"bench-{:016x}-{n}"}}}}}}"#,
            ready.cart,
            ready.to_pay + fee,
            self.run,
        );
        let answer = http.graphql(&body).await?;
        clean(answer)?;
        let wanted = if self.online { "\"url\":\"" } else { "\"state\":\"CONFIRMED\"" };
        if !std::str::from_utf8(answer).is_ok_and(|text| text.contains(wanted)) {
            let text = String::from_utf8_lossy(answer);
            return Err(BenchError::new(format_args!("no order was placed: {text}")));
        }
        Ok(())
    }
}

impl Shopper for Buyer {
    async fn once(&self, http: &mut Http, dice: &mut Dice) -> Result<bool, BenchError> {
        let ready = self.fill(http, dice).await?;
        self.place(http, &ready).await?;
        Ok(true)
    }
}

/// Makes carts and keeps them.
struct Filler {
    buyer: Arc<Buyer>,
    ready: Mutex<Vec<Ready>>,
}

impl Shopper for Filler {
    async fn once(&self, http: &mut Http, dice: &mut Dice) -> Result<bool, BenchError> {
        let ready = self.buyer.fill(http, dice).await?;
        let mut all = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(ready);
        Ok(all.len() < MAX_CARTS)
    }
}

/// Places carts that were made before.
struct Placer {
    buyer: Arc<Buyer>,
    ready: Mutex<Vec<Ready>>,
}

impl Shopper for Placer {
    async fn once(&self, http: &mut Http, _: &mut Dice) -> Result<bool, BenchError> {
        let next = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(ready) = next else { return Ok(false) };
        self.buyer.place(http, &ready).await?;
        Ok(true)
    }
}

#[derive(Deserialize)]
struct Page {
    data: PageData,
}
#[derive(Deserialize)]
struct PageData {
    products: Products,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Products {
    nodes: Vec<Node>,
    page_info: PageInfo,
}
#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) slug: String,
    variants: Vec<Variant>,
}
#[derive(Deserialize)]
struct Variant {
    id: String,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

/// Up to `most` products with their variants, by the public API.
pub(crate) async fn products(server: &Server, most: usize) -> Result<Vec<Node>, BenchError> {
    let mut http = Http::connect(server.addr).await?;
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let body = serde_json::json!({
            "query": "query($after:String){products(first:50,after:$after){nodes{slug variants{id}} pageInfo{hasNextPage endCursor}}}",
            "variables": { "after": after },
        });
        let answer = http.graphql(&body.to_string()).await?;
        clean(answer)?;
        let page: Page = serde_json::from_slice(answer).map_err(BenchError::new)?;
        all.extend(page.data.products.nodes);
        after = page.data.products.page_info.end_cursor;
        if !page.data.products.page_info.has_next_page || after.is_none() || all.len() >= most {
            return Ok(all);
        }
    }
}

/// What the server spent between two looks.
struct Meter {
    cpu: f64,
    postgres: f64,
    statements: BTreeMap<String, u64>,
}

impl Meter {
    async fn read(server: &Server) -> Result<Self, BenchError> {
        Ok(Self {
            cpu: server.cpu_ms()?,
            postgres: server.postgres_cpu_ms(),
            statements: server.statements().await?,
        })
    }

    /// Statements since then of what requests do: not of events, jobs and the search index, which
    /// run beside them.
    fn statements_since(&self, before: &Self) -> u64 {
        self.statements
            .iter()
            .filter(|(name, _)| !["bus.", "jobs.", "search."].iter().any(|p| name.starts_with(p)))
            .map(|(name, n)| n - before.statements.get(name).copied().unwrap_or(0))
            .sum()
    }
}

/// Runs the benchmark on one engine.
pub(crate) async fn checkout(common: &Common, engine: Engine) -> Result<Vec<Figure>, BenchError> {
    let mut report = Report::new(common.json, "checkout", engine.name());
    let place = Place::new(engine)?;
    write_catalogue(&place.dir.join("goods"), common.products.unwrap_or(1_000))?;
    place.import(&place.dir.join("goods"), "1").await?;
    let (_simulators, razorpay) = place.simulators().await?;
    let mut set =
        vec![("shipping.cod_fee_paise", COD_FEE.to_string()), ("razorpay.base_url", razorpay)];
    set.extend(common.settings());
    let (server, _) = place.serve(common.roles("web,checkout"), &set, FIRST).await?;
    let variants: Vec<String> = products(&server, 100_000)
        .await?
        .into_iter()
        .flat_map(|p| p.variants)
        .map(|v| v.id)
        .collect();
    if variants.len() < 2 {
        return Err(BenchError::new("the shop is empty"));
    }
    report.say(format_args!("{} variants, {} connections", variants.len(), common.connections));
    let buyer = |online: bool| {
        let run = u64::from_le_bytes(mela_base::Env::system().random());
        let (variants, orders) = (variants.clone(), AtomicU64::new(0));
        Arc::new(Buyer { variants, run, orders, online })
    };
    let buyers = buyer(false);
    let seconds = |part: f64| Duration::from_secs_f64(common.seconds * part);
    let load = |time| Load { connections: common.connections(), time, rate: None };
    run(server.addr, load(seconds(0.2).min(Duration::from_secs(2))), &buyers).await?;

    let before = Meter::read(&server).await?;
    let peak = run(server.addr, load(seconds(1.0)), &buyers).await?;
    let after = Meter::read(&server).await?;
    let count = peak.latency.count() as f64;
    report.figure("per_second", peak.per_second())?;
    report.figure("sql_per_checkout", after.statements_since(&before) as f64 / count)?;
    report.figure("cpu_ms_per_checkout", (after.cpu - before.cpu) / count)?;
    if engine == Engine::Postgres {
        let cpu = (after.postgres - before.postgres) / count;
        report.figure("postgres_cpu_ms_per_checkout", cpu)?;
    }
    report.figure("peak_p50_ms", peak.latency.ms(500))?;
    report.figure("peak_p99_ms", peak.latency.ms(990))?;

    // In the open loop: latency counts from the moment at which a shopper would have come.
    let rate = peak.per_second() * 0.8;
    let calm = Load { rate: Some(rate), connections: common.connections() * 2, time: seconds(0.6) };
    latencies(&mut report, &run(server.addr, calm, &buyers).await?)?;

    let filler = Arc::new(Filler { buyer: buyers.clone(), ready: Mutex::default() });
    run(server.addr, load(seconds(0.8)), &filler).await?;
    let ready = std::mem::take(&mut *filler.ready.lock().unwrap_or_else(PoisonError::into_inner));
    let placer = Arc::new(Placer { buyer: buyers, ready: Mutex::new(ready) });
    let placed = run(server.addr, load(seconds(0.8)), &placer).await?;
    report.figure("place_order_per_second", placed.per_second())?;

    let online = run(server.addr, load(seconds(0.5)), &buyer(true)).await?;
    report.figure("per_second_razorpay", online.per_second())?;
    report.figure("rss_mib", server.rss_mib()?)?;
    server.stop().await?;
    Ok(report.end())
}

fn latencies(report: &mut Report, outcome: &Outcome) -> Result<(), BenchError> {
    report.figure("at_80_percent_per_second", outcome.per_second())?;
    report.figure("p50_ms", outcome.latency.ms(500))?;
    report.figure("p99_ms", outcome.latency.ms(990))?;
    report.figure("max_ms", outcome.latency.max_ms())
}
