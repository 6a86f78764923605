//! The real server killed at random moments while shoppers buy, pay and play.
//!
//! Whatever was acknowledged must be there after the kill, and nothing by halves. A shopper whose
//! request got no answer asks again with the same key, as an app does, and must get one order.
//! `MELA_CRASH_ROUNDS` makes it longer.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mela_base::ids::PersonId;
use mela_base::{Env, Id};
use mela_sim::Sim;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::crash_truth::{Stored, check, truth};
use crate::server::{Engine, Place, STAFF_PASSWORD, http, simulators, text, told, until};

/// Kills under load, unless `MELA_CRASH_ROUNDS` says otherwise.
const ROUNDS: u64 = 10;
/// A killed server serves again within this.
const BACK: Duration = Duration::from_secs(10);
/// Pause of a shopper between two orders, so that the background work can follow in a debug build.
const PAUSE: Duration = Duration::from_millis(40);

/// An order that the server said it has.
#[derive(Clone)]
pub(crate) struct Acked {
    pub(crate) number: String,
    /// Known at once for cash on delivery.
    pub(crate) invoice: Option<String>,
    /// The gateway's money was said to be taken.
    pub(crate) paid: bool,
}

/// A player's row of a result that the server said it has.
#[derive(Clone, Copy)]
pub(crate) struct Won {
    pub(crate) match_id: Id,
    pub(crate) person: PersonId,
    pub(crate) score: i64,
    pub(crate) coins: i64,
}

/// What all clients were told, and the way to the server.
struct World {
    url: String,
    sim: String,
    http: reqwest::Client,
    variants: Vec<String>,
    orders: Mutex<BTreeMap<String, Acked>>,
    results: Mutex<Vec<Won>>,
    /// Answers to orders whose first request was cut.
    asked_again: AtomicU64,
    stop: AtomicU64,
}

impl World {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst) > 0
    }

    /// One request; `None` if the server did not answer.
    async fn try_ask(&self, token: Option<&str>, query: &str, variables: &Value) -> Option<Value> {
        let body = json!({ "query": query, "variables": variables });
        let mut request = self.http.post(format!("{}/graphql", self.url)).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.ok()?;
        // While it stops or starts; the shopper asks again.
        if answer.status().is_server_error() {
            return None;
        }
        answer.json().await.ok()
    }

    /// Asks until there is an answer without errors. Gives the data, and whether it was asked more
    /// than once.
    async fn ask(&self, token: Option<&str>, query: &str, variables: Value) -> (Value, bool) {
        let mut again = false;
        let answer = until("an answer", async || {
            let answer = self.try_ask(token, query, &variables).await;
            again |= answer.is_none();
            answer
        })
        .await;
        assert!(answer.get("errors").is_none(), "{query} {variables}: {answer}");
        (answer["data"].clone(), again)
    }
}

const CREATE: &str = "mutation($i: CreateCartInput!) { createCart(input: $i) { id } }";
const PLACE: &str = "mutation($i: PlaceOrderInput!) { placeOrder(input: $i) {
    next { fields { name value } } order { number state invoiceNumber } } }";

/// Fills a cart and places the order; gives the answer.
async fn order(world: &World, method: &str, n: u64) -> Value {
    let variant = &world.variants[usize::try_from(n).unwrap() % world.variants.len()];
    let address = json!({
        "name": "Asha Rani", "phone": "+919876543210",
        "line1": "12 Johari Bazaar", "city": "Jaipur", "pincode": "302001"
    });
    let lines = json!([{ "variantId": variant, "quantity": 1 + n % 3 }]);
    let input = json!({ "i": { "lines": lines, "address": address } });
    let (cart, _) = world.ask(None, CREATE, input).await;
    let cart = text(&cart["createCart"]["id"]);
    let key = format!("crash-{cart}");
    let input = json!({ "cartId": cart, "method": method, "idempotencyKey": key });
    let (mut placed, again) = world.ask(None, PLACE, json!({ "i": input })).await;
    if again {
        world.asked_again.fetch_add(1, Ordering::SeqCst);
    }
    let placed = placed["placeOrder"].take();
    let order = &placed["order"];
    let acked = Acked {
        number: text(&order["number"]),
        invoice: order["invoiceNumber"].as_str().map(str::to_owned),
        paid: false,
    };
    assert_eq!(acked.invoice.is_some(), method == "CASH_ON_DELIVERY", "{placed}");
    let before = world.orders.lock().unwrap().insert(key, acked);
    assert!(before.is_none());
    placed
}

async fn buy_for_cash(world: Rc<World>, client: u64) {
    let mut n = client * 7;
    while !world.stopped() {
        order(&world, "CASH_ON_DELIVERY", n).await;
        n += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn buy_by_gateway(world: Rc<World>) {
    let mut n = 3;
    while !world.stopped() {
        let placed = order(&world, "RAZORPAY", n).await;
        n += 1;
        let field = |name: &str| {
            let fields = placed["next"]["fields"].as_array().unwrap();
            text(&fields.iter().find(|f| f["name"] == name).unwrap()["value"])
        };
        let body = json!({ "order_id": field("order_id"), "method": "upi", "outcome": "success" });
        let url = format!("{}/_sim/razorpay/pay", world.sim);
        let paid: Value =
            world.http.post(url).json(&body).send().await.unwrap().json().await.unwrap();
        let fields: Vec<(String, String)> = paid["callback"]
            .as_object()
            .unwrap_or_else(|| panic!("{paid}"))
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .collect();
        // The browser's form, sent until it is answered.
        let sent_on = until("the shop after paying", async || {
            let sent = world.http.post(field("callback_url")).form(&fields).send().await.ok()?;
            if sent.status().is_server_error() {
                return None;
            }
            Some(sent.headers().get("location")?.to_str().unwrap().to_owned())
        })
        .await;
        assert!(sent_on.contains("payment=paid"), "{sent_on}");
        let number = text(&placed["order"]["number"]);
        {
            let mut orders = world.orders.lock().unwrap();
            orders.values_mut().find(|o| o.number == number).unwrap().paid = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Plays matches until told to stop; a lost connection loses the match.
async fn play(world: Rc<World>, token: String) {
    while !world.stopped() {
        if play_once(&world, &token).await.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn play_once(world: &World, token: &str) -> Option<()> {
    let url = format!("{}/play", world.url.replacen("http", "ws", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.ok()?;
    let mut say = Some(json!({ "t": "hello", "token": token }));
    let (mut me, mut seat) = (None, None);
    while !world.stopped() {
        if let Some(message) = say.take() {
            socket.send(Message::Text(message.to_string().into())).await.ok()?;
        }
        let message = match socket.next().await?.ok()? {
            Message::Text(text) => serde_json::from_str::<Value>(&text).unwrap(),
            Message::Close(_) => return None,
            _ => continue,
        };
        match (message["t"].as_str().unwrap(), message["phase"].as_str()) {
            ("welcome", _) => {
                me = Some(text(&message["person"]));
                say = Some(json!({ "t": "join", "game": "quiz" }));
            }
            ("joined", _) => {
                let players = message["players"].as_array().unwrap();
                let own = players.iter().find(|p| p["person"].as_str() == me.as_deref());
                seat = own.map(|p| p["seat"].clone());
            }
            ("state", Some("question")) => {
                say = Some(json!({
                    "t": "input", "match": message["match"], "question": message["index"],
                    "choice": 1
                }));
            }
            ("result", _) => {
                let standings = message["standings"].as_array().unwrap();
                let own = standings.iter().find(|s| Some(&s["seat"]) == seat.as_ref()).unwrap();
                let match_id: mela_base::ids::MatchId = text(&message["match"]).parse().unwrap();
                world.results.lock().unwrap().push(Won {
                    match_id: match_id.0,
                    person: me.as_ref()?.parse().unwrap(),
                    score: own["score"].as_i64().unwrap(),
                    coins: own["coins"].as_i64().unwrap(),
                });
                return Some(());
            }
            _ => {}
        }
    }
    None
}

/// The server as a process that is killed and started again on the same port.
struct Victim {
    place: Place,
    sim: Sim,
    listen: String,
    child: Option<Child>,
    /// Of the simulators.
    runtime: Option<Runtime>,
}

impl Victim {
    fn spawn(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.place.dir.join("log"));
        let mut command = self.place.command(&["serve"]);
        for setting in [
            format!("server.listen={}", self.listen),
            format!("razorpay.base_url={}", self.sim.razorpay_url()),
            format!("shipway.base_url={}", self.sim.shipway_url()),
            format!("sms.base_url={}", self.sim.ui_url()),
            format!("mail.port={}", self.sim.smtp_addr().port()),
            "log.level=warn".to_owned(),
        ] {
            command.arg("--set").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.unwrap());
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts it and waits until it listens.
    async fn start(&mut self) {
        self.spawn();
        let stdout = self.child.as_mut().unwrap().stdout.take().unwrap();
        let first = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = match tokio::time::timeout(BACK, first).await {
            Ok(line) => line.unwrap(),
            Err(_) => panic!("not serving again in time:\n{}", self.log()),
        };
        let Some(Ok(line)) = line else { panic!("it did not start:\n{}", self.log()) };
        let address = line.strip_prefix("listening on http://").unwrap();
        address.clone_into(&mut self.listen);
    }

    /// SIGKILL.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server said\n{}", self.log());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn books(place: &Place) {
    let output = place.run(&["ledger"], "");
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("the books are right"), "{}", told(&output));
}

/// Variants of single products, with stock for as many orders as the test can place.
async fn stocked(world: &mut World, place: &Place) {
    let output = place.run(&["staff", "save", "crash@shop.example"], STAFF_PASSWORD);
    assert!(output.status.success(), "{}", told(&output));
    let login = "mutation($e: String!, $p: String!) {
        admin { staffLogin(email: $e, password: $p) { accessToken } } }";
    let who = json!({ "e": "crash@shop.example", "p": STAFF_PASSWORD });
    let staff = text(&world.ask(None, login, who).await.0["admin"]["staffLogin"]["accessToken"]);
    let list = "{ products(first: 20) { nodes { variants { id price } } } }";
    let products = until("the products", async || {
        let (data, _) = world.ask(None, list, json!({})).await;
        let nodes = data["products"]["nodes"].as_array().unwrap();
        (nodes.len() == 20).then(|| nodes.clone())
    })
    .await;
    // Cash on delivery has a limit.
    let cheap = |v: &&Value| v["price"].as_i64().unwrap() < 100_000;
    let variants = products.iter().filter_map(|p| p["variants"].as_array()?.iter().find(cheap));
    world.variants = variants.map(|v| text(&v["id"])).take(6).collect();
    assert_eq!(world.variants.len(), 6);
    let locations = "{ admin { locations { id } } }";
    let (locations, _) = world.ask(Some(&staff), locations, json!({})).await;
    let location = &locations["admin"]["locations"][0]["id"];
    let levels = world
        .variants
        .iter()
        .map(|v| json!({ "variantId": v, "locationId": location, "onHand": 1_000_000 }));
    let set = "mutation($l: [StockInput!]!) { admin { setStock(levels: $l) } }";
    world.ask(Some(&staff), set, json!({ "l": levels.collect::<Vec<_>>() })).await;
}

fn random_ms(least: u64, most: u64) -> Duration {
    let n = u64::from_le_bytes(Env::system().random());
    Duration::from_millis(least + n % (most - least))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    tokio::task::LocalSet::new().run_until(kills()).await;
}

async fn kills() {
    let rounds = std::env::var("MELA_CRASH_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
    let (sim, runtime) = simulators();
    let place = Place::fair(Engine::Sqlite);
    let sim_url = sim.ui_url();
    let listen = "127.0.0.1:0".to_owned();
    let mut victim = Victim { place, sim, listen, child: None, runtime: Some(runtime) };
    victim.start().await;
    let url = format!("http://{}", victim.listen);
    victim.sim.set_razorpay_webhook(Some(format!("{url}/webhooks/payments/razorpay")));
    let mut world = World {
        url,
        sim: sim_url,
        http: http(),
        variants: Vec::new(),
        orders: Mutex::default(),
        results: Mutex::default(),
        asked_again: AtomicU64::new(0),
        stop: AtomicU64::new(0),
    };
    stocked(&mut world, &victim.place).await;
    let mut guests = Vec::new();
    for _ in 0..4 {
        let guest = "mutation { startGuest { accessToken } }";
        guests.push(text(&world.ask(None, guest, json!({})).await.0["startGuest"]["accessToken"]));
    }
    let world = Rc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..3 {
        clients.spawn_local(buy_for_cash(world.clone(), client));
    }
    clients.spawn_local(buy_by_gateway(world.clone()));
    for token in guests {
        clients.spawn_local(play(world.clone(), token));
    }
    let mut killed = 0;
    for round in 1..=rounds {
        if round == rounds {
            // The last kill follows a result on its heels.
            until("a result", async || (!world.results.lock().unwrap().is_empty()).then_some(()))
                .await;
        } else {
            tokio::time::sleep(random_ms(50, 2_500)).await;
        }
        // Taken before the kill: what is acknowledged while it dies may be more.
        let acked = world.orders.lock().unwrap().clone();
        let won = world.results.lock().unwrap().clone();
        victim.kill();
        killed += 1;
        check(&acked, &won, &truth(&victim.place).await);
        if round % 3 == 0 {
            // Also killed while it starts.
            victim.spawn();
            tokio::time::sleep(random_ms(10, 600)).await;
            victim.kill();
            killed += 1;
        }
        books(&victim.place);
        if round == rounds {
            // Shoppers still get their answers; players start no match that would outlast the test.
            world.stop.store(1, Ordering::SeqCst);
        } else {
            failed(&mut clients);
        }
        victim.start().await;
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    // Matches that died with their server are settled by the next one.
    let mut waits = String::new();
    for _ in 0..150 {
        let truth = truth(&victim.place).await;
        let orders = world.orders.lock().unwrap().clone();
        let paid =
            |(key, o): &(&String, &Stored)| o.state == "pending_payment" && orders[*key].paid;
        let pending = truth.orders.iter().filter(paid).count();
        waits = format!("{} matches run, {pending} paid orders are not confirmed", truth.running);
        if truth.running + i64::try_from(pending).unwrap() == 0 {
            waits.clear();
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(waits.is_empty(), "{waits}");
    let truth = truth(&victim.place).await;
    let (orders, results) = (world.orders.lock().unwrap(), world.results.lock().unwrap());
    check(&orders, &results, &truth);
    assert_eq!(truth.orders.len(), orders.len(), "an order that nobody was told of");
    let paid = orders.values().filter(|o| o.paid).count();
    assert!(orders.len() > 50 && paid > 5 && !results.is_empty());
    eprintln!(
        "{killed} kills; {} orders, {paid} paid by gateway, {} asked again; {} results, {} told",
        orders.len(),
        world.asked_again.load(Ordering::SeqCst),
        truth.results.len(),
        results.len()
    );
    drop((orders, results));
    let output = victim.place.run(&["dead", "list"], "");
    assert!(told(&output).contains("nothing has failed for good"), "{}", told(&output));
    books(&victim.place);
}

/// Fails with a client that failed.
fn failed(clients: &mut JoinSet<()>) {
    if let Some(ended) = clients.try_join_next() {
        ended.unwrap();
        panic!("a client stopped by itself");
    }
}
