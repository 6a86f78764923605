//! `mela demo --once`: the whole main job by the public API, a line per step with what it saw.

use std::time::Instant;

use mela_base::Paise;
use mela_play::read_questions;
use serde_json::{Value, json};

use crate::demo::Demo;
use crate::demo::client::{Client, Failed};
use crate::demo::socket::{Live, play_quiz};

/// The demo's questions: this shopper has read the book.
const QUIZ: &str = include_str!("../../demo-shop/quiz.json");
/// Where the shopper lives.
const PINCODE: &str = "302001";

/// What later steps need from earlier ones.
#[derive(Default)]
struct Seen {
    /// A new number each time: codes are limited per number, coins per day.
    phone: String,
    variants: Vec<String>,
    cart: String,
    to_pay: i64,
    coins: i64,
    order: String,
    number: String,
    key: String,
    next: Value,
    invoice: String,
}

/// Walks; true if every step held.
pub(crate) async fn walk(demo: &Demo) -> bool {
    let mut client = match Client::new(&demo.url, &demo.sim.ui_url()) {
        Ok(client) => client,
        Err(error) => {
            println!("FAILED  cannot make an HTTP client: {error}");
            return false;
        }
    };
    let mut seen = Seen { phone: new_phone(), ..Seen::default() };
    let mut step = 0;
    macro_rules! step {
        ($name:literal, $run:expr) => {
            step += 1;
            let began = Instant::now();
            match $run.await {
                Ok(saw) => println!(
                    "ok {step:>2}  {:<9} {saw}  ({} ms)",
                    $name,
                    began.elapsed().as_millis()
                ),
                Err(error) => {
                    println!("FAILED {step}  {}: {error}", $name);
                    return false;
                }
            }
        };
    }
    step!("open", open(&client));
    step!("browse", browse(&client, &mut seen));
    step!("search", search(&client));
    step!("picture", picture(&client));
    step!("guest", guest(&mut client));
    step!("play", play(&client, &mut seen));
    step!("login", login(&mut client, &seen));
    step!("cart", cart(&client, &mut seen));
    step!("coins", coins(&client, &mut seen));
    step!("order", order(&client, &mut seen));
    step!("pay", pay(&client, &mut seen));
    step!("confirm", confirm(&client, &mut seen));
    step!("invoice", invoice(&client, &seen));
    step!("mail", mail(&client, &seen));
    step!("parcel", parcel(&client, &seen));
    step!("inbox", inbox(&client));
    step!("board", board(&client));
    step!("refuse", refuse(&client));
    step!("cod", cash_on_delivery(&client, &seen));
    step!("books", books(demo));
    println!("all {step} steps held");
    true
}

fn new_phone() -> String {
    let random = u64::from_le_bytes(crate::cli::env().random());
    format!("+919{:09}", random % 1_000_000_000)
}

async fn open(client: &Client) -> Result<String, Failed> {
    let (content_type, page) = client.get("/").await?;
    ensure(content_type.starts_with("text/html"), "the shop's page is not HTML")?;
    let ready = client
        .until("the server to be ready", async |c| Ok(c.get("/readyz").await.ok().map(|r| r.1)))
        .await?;
    Ok(format!(
        "the storefront is {} bytes, the server says {}",
        page.len(),
        String::from_utf8_lossy(&ready).trim()
    ))
}

async fn browse(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let query = "query { shop { name } categories { slug name } products(first: 20) {
        totalCount facets { field values { value count } }
        nodes { slug name nameHi priceMin variants { id price available } media { card { url } } } } }";
    // The index follows the store within a second.
    let data = client
        .until("the products to be found", async |c| {
            let data = c.graphql(query, json!({})).await?;
            Ok((data["products"]["totalCount"].as_u64() > Some(50)).then_some(data))
        })
        .await?;
    let products = array(&data["products"]["nodes"])?;
    let buyable = |p: &&Value| {
        p["variants"][0]["available"].as_i64() > Some(5)
            && p["variants"][0]["price"].as_i64() < Some(400_000)
            && p["media"].as_array().is_some_and(|m| !m.is_empty())
    };
    let chosen: Vec<&Value> = products.iter().filter(buyable).take(2).collect();
    ensure(chosen.len() == 2, "no two products can be bought")?;
    seen.variants =
        chosen.iter().map(|p| text(&p["variants"][0]["id"])).collect::<Result<_, _>>()?;
    Ok(format!(
        "{} products in {} categories with {} facets; chose {} and {}",
        data["products"]["totalCount"],
        array(&data["categories"])?.len(),
        array(&data["products"]["facets"])?.len(),
        chosen[0]["name"],
        chosen[1]["name"]
    ))
}

async fn search(client: &Client) -> Result<String, Failed> {
    let query =
        "query($q: String!) { products(first: 3, search: $q) { totalCount nodes { name } } }";
    let all = client
        .graphql("{ products(first: 1, sort: RATING) { nodes { name } } }", json!({}))
        .await?;
    let name = text(&all["products"]["nodes"][0]["name"])?;
    let word = name.split(|c: char| !c.is_alphabetic()).max_by_key(|w| w.len()).unwrap_or("kite");
    // A typo: two letters in the middle change places.
    let mut letters: Vec<char> = word.to_lowercase().chars().collect();
    let middle = (letters.len() / 2..letters.len()).find(|i| letters[*i - 1] != letters[*i]);
    if let Some(middle) = middle {
        letters.swap(middle - 1, middle);
    }
    let typo: String = letters.into_iter().collect();
    let data = client.graphql(query, json!({ "q": typo })).await?;
    let count = data["products"]["totalCount"].as_u64().unwrap_or(0);
    ensure(count > 0, &format!("nothing was found for `{typo}`"))?;
    Ok(format!("`{typo}` finds {count}, first {}", data["products"]["nodes"][0]["name"]))
}

async fn picture(client: &Client) -> Result<String, Failed> {
    let query = "{ products(first: 50) { nodes { name media { card { url width height } } } } }";
    // On a shop that was filled just now they are still being made: the first that is there.
    let (name, card) = client
        .until("a picture's rendition", async |c| {
            let data = c.graphql(query, json!({})).await?;
            let made = array(&data["products"]["nodes"])?.iter().find_map(|p| {
                let card = &p["media"][0]["card"];
                card["url"].is_string().then(|| (p["name"].clone(), card.clone()))
            });
            Ok(made)
        })
        .await?;
    let (content_type, bytes) = client.get(&text(&card["url"])?).await?;
    ensure(content_type == "image/webp" && bytes.starts_with(b"RIFF"), "the picture is no WebP")?;
    let (width, height) = (&card["width"], &card["height"]);
    Ok(format!("{name}: {width}x{height} WebP of {} bytes", bytes.len()))
}

async fn guest(client: &mut Client) -> Result<String, Failed> {
    let data =
        client.graphql("mutation { startGuest { accessToken guest personId } }", json!({})).await?;
    client.token = Some(text(&data["startGuest"]["accessToken"])?);
    Ok(format!("a guest session for {}", data["startGuest"]["personId"]))
}

async fn play(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let token = client.token.clone().unwrap_or_default();
    let questions = read_questions(QUIZ).map_err(|e| e.context().to_owned())?;
    let right = |text: &str| {
        let question = questions.iter().find(|q| q.text == text)?;
        question.choices.get(question.answer).cloned()
    };
    let (standings, own) = play_quiz(&client.shop, &token, right).await?;
    let data = client.graphql("{ wallet { available } }", json!({})).await?;
    seen.coins = data["wallet"]["available"].as_i64().unwrap_or(0);
    let coins = own.coins;
    ensure(
        seen.coins == coins && coins > 0,
        &format!("won {coins} coins, the wallet has {}", seen.coins),
    )?;
    Ok(format!(
        "a quiz of {} players: place {} with {} points, won {coins} coins",
        standings.len(),
        own.rank,
        own.score
    ))
}

async fn login(client: &mut Client, seen: &Seen) -> Result<String, Failed> {
    client
        .graphql(
            "mutation($p: String!) { requestOtp(phone: $p) { expiresInS } }",
            json!({ "p": seen.phone }),
        )
        .await?;
    let path = format!("/_sim/sms?to={}", seen.phone.replace('+', "%2B"));
    let code = client
        .until("the SMS", async |c| {
            let inbox = c.sim_get(&path).await?;
            Ok(inbox["messages"][0]["code"].as_str().map(str::to_owned))
        })
        .await?;
    let verify = "mutation($p: String!, $c: String!) { verifyOtp(phone: $p, code: $c) { accessToken guest isNew } }";
    let data = client.graphql(verify, json!({ "p": seen.phone, "c": code })).await?;
    ensure(data["verifyOtp"]["guest"] == false, "still a guest after login")?;
    client.token = Some(text(&data["verifyOtp"]["accessToken"])?);
    let edit =
        "mutation { editProfile(name: \"Asha Rani\", email: \"asha@example.in\") { phone name } }";
    let me = client.graphql(edit, json!({})).await?;
    let coins = client
        .until("the guest's coins", async |c| {
            let data = c.graphql("{ wallet { available } }", json!({})).await?;
            Ok(data["wallet"]["available"].as_i64().filter(|n| *n >= seen.coins))
        })
        .await?;
    Ok(format!(
        "by a code of {} digits as {}; {coins} coins came along",
        code.len(),
        me["editProfile"]["name"]
    ))
}

fn address(phone: &str) -> Value {
    json!({
        "name": "Asha Rani", "phone": phone, "email": "asha@example.in",
        "line1": "12 Johari Bazaar", "city": "Jaipur", "pincode": PINCODE
    })
}

async fn cart(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let place = client
        .graphql(
            "query($p: String!) { pincode(code: $p) { state district deliverable } }",
            json!({ "p": PINCODE }),
        )
        .await?;
    let create = "mutation($i: CreateCartInput!) { createCart(input: $i) {
        id state lines { name quantity total } totals { total tax toPay } problems { code message } methods } }";
    let lines: Vec<Value> =
        seen.variants.iter().map(|v| json!({ "variantId": v, "quantity": 2 })).collect();
    let data = client
        .graphql(create, json!({ "i": { "lines": lines, "address": address(&seen.phone) } }))
        .await?;
    let cart = &data["createCart"];
    ensure(
        array(&cart["problems"])?.is_empty(),
        &format!("the cart has problems: {}", cart["problems"]),
    )?;
    seen.cart = text(&cart["id"])?;
    seen.to_pay = number(&cart["totals"]["toPay"])?;
    Ok(format!(
        "{} lines to {}, {}: {} of which {} GST",
        array(&cart["lines"])?.len(),
        text(&place["pincode"]["district"])?,
        text(&cart["state"])?,
        Paise(number(&cart["totals"]["total"])?),
        Paise(number(&cart["totals"]["tax"])?)
    ))
}

async fn coins(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let set = "mutation($c: ID!, $n: Int!) { setCoins(cartId: $c, coins: $n) { totals { coins coinsValue toPay } } }";
    let data = client.graphql(set, json!({ "c": seen.cart, "n": seen.coins })).await?;
    let totals = &data["setCoins"]["totals"];
    let to_pay = number(&totals["toPay"])?;
    ensure(to_pay < seen.to_pay, "the coins took nothing off")?;
    seen.to_pay = to_pay;
    Ok(format!(
        "{} coins take {} off, {} is left to pay",
        totals["coins"],
        Paise(number(&totals["coinsValue"])?),
        Paise(to_pay)
    ))
}

const PLACE: &str = "mutation($i: PlaceOrderInput!) { placeOrder(input: $i) {
    orderKey next { url fields { name value } } order { id number state } } }";

async fn order(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let input = json!({
        "cartId": seen.cart, "method": "RAZORPAY", "expectedToPay": seen.to_pay,
        "idempotencyKey": format!("walk-{}", seen.cart)
    });
    let data = client.graphql(PLACE, json!({ "i": input })).await?;
    let placed = &data["placeOrder"];
    seen.order = text(&placed["order"]["id"])?;
    seen.number = text(&placed["order"]["number"])?;
    seen.key = text(&placed["orderKey"])?;
    seen.next = placed["next"].clone();
    ensure(seen.next["url"].is_string(), "there is no page to pay on")?;
    let again = client.graphql(PLACE, json!({ "i": input })).await?;
    ensure(
        again["placeOrder"]["order"]["id"] == placed["order"]["id"],
        "a repeat made a second order",
    )?;
    Ok(format!("{} is {}; asked twice, placed once", seen.number, text(&placed["order"]["state"])?))
}

fn field(next: &Value, name: &str) -> Result<String, Failed> {
    let fields = array(&next["fields"])?;
    let found = fields.iter().find(|f| f["name"] == name).map(|f| text(&f["value"]));
    found.unwrap_or_else(|| Err(format!("the payment form has no `{name}`")))
}

async fn pay(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let gateway_order = field(&seen.next, "order_id")?;
    let callback_url = field(&seen.next, "callback_url")?;
    let body = json!({ "order_id": gateway_order, "method": "upi", "outcome": "success" });
    let paid = client.sim_post("/_sim/razorpay/pay", &body).await?;
    let fields = paid["callback"].as_object().ok_or("the simulator gave no callback")?;
    let fields: Vec<(String, String)> = fields
        .iter()
        .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
        .collect();
    let mut forged = fields.clone();
    for (name, value) in &mut forged {
        if name == "razorpay_signature" {
            *value = value.chars().rev().collect();
        }
    }
    let refused = client.post_form(&callback_url, &forged).await;
    ensure(refused.is_err_and(|e| e.contains("403")), "a forged callback was believed")?;
    let location = client.post_form(&callback_url, &fields).await?;
    ensure(location.contains("payment=paid"), &format!("sent on to {location}"))?;
    Ok(format!("{} by UPI; a forged signature was refused first", Paise(seen.to_pay)))
}

async fn confirm(client: &Client, seen: &mut Seen) -> Result<String, Failed> {
    let query = "query($o: ID!) { order(id: $o) { state invoiceNumber invoiceUrl payment { state }
        totals { coins } lines { hsn rateBp taxable cgst sgst igst total } } wallet { available held } }";
    let data = client
        .until("the order to be confirmed", async |c| {
            let data = c.graphql(query, json!({ "o": seen.order })).await?;
            Ok((data["order"]["state"] == "CONFIRMED").then_some(data))
        })
        .await?;
    let order = &data["order"];
    seen.invoice = text(&order["invoiceUrl"])?;
    for line in array(&order["lines"])? {
        let parts = ["taxable", "cgst", "sgst", "igst"]
            .iter()
            .map(|k| number(&line[k]))
            .sum::<Result<i64, _>>()?;
        ensure(
            parts == number(&line["total"])?,
            "a line's value and taxes do not add up to its total",
        )?;
        ensure(
            number(&line["igst"])? > 0 || number(&line["rateBp"])? == 0,
            "a sale to another state must bear IGST",
        )?;
    }
    ensure(data["wallet"]["held"] == 0, "coins are still held")?;
    Ok(format!(
        "payment {}, invoice {}, IGST as it goes to another state, {} coins spent",
        text(&order["payment"]["state"])?,
        text(&order["invoiceNumber"])?,
        order["totals"]["coins"]
    ))
}

async fn invoice(client: &Client, seen: &Seen) -> Result<String, Failed> {
    let pdf = client
        .until("the invoice's PDF", async |c| match c.get(&seen.invoice).await {
            Ok((content_type, bytes)) => {
                ensure(
                    content_type == "application/pdf",
                    &format!("the invoice is {content_type}"),
                )?;
                Ok(Some(bytes))
            }
            Err(error) if error.contains("503") => Ok(None),
            Err(error) => Err(error),
        })
        .await?;
    ensure(pdf.starts_with(b"%PDF-"), "the invoice is no PDF")?;
    let stranger = client.get(seen.invoice.split('?').next().unwrap_or("")).await;
    ensure(stranger.is_err(), "a stranger can read the invoice")?;
    Ok(format!("a PDF of {} bytes, for its buyer only", pdf.len()))
}

async fn mail(client: &Client, seen: &Seen) -> Result<String, Failed> {
    let found = client
        .until("the mail with the invoice", async |c| {
            let inbox = c.sim_get("/_sim/mail?to=asha@example.in").await?;
            let mails = inbox["messages"].as_array().or_else(|| inbox["mails"].as_array());
            let mail = mails.into_iter().flatten().find(|m| m.to_string().contains(&seen.number));
            Ok(mail.cloned())
        })
        .await?;
    Ok(format!("{} arrived with {} attachment(s)", found["subject"], found["attachments"]))
}

async fn parcel(client: &Client, seen: &Seen) -> Result<String, Failed> {
    let token = client.token.clone().unwrap_or_default();
    let query =
        "subscription($o: ID!) { orderMoved(orderId: $o) { state parcel { awb scans { code } } } }";
    let mut live = Live::subscribe(&client.shop, &token, query, json!({ "o": seen.order })).await?;
    let mut states = Vec::new();
    let mut advanced = false;
    while let Some(data) = live.next().await? {
        let state = text(&data["orderMoved"]["state"])?;
        if states.last() != Some(&state) {
            states.push(state);
        }
        if !advanced {
            advanced = true;
            // The parcel is handed over by a job; the simulator knows it once that has run.
            for status in ["PKP", "INT", "OOD", "DEL"] {
                let body = json!({ "order_id": seen.number, "status": status });
                client
                    .until("the parcel at the courier", async |c| {
                        match c.sim_post("/_sim/shipway/advance", &body).await {
                            Ok(_) => Ok(Some(())),
                            Err(error) if error.contains("400") || error.contains("404") => {
                                Ok(None)
                            }
                            Err(error) => Err(error),
                        }
                    })
                    .await?;
                // The courier's clock has seconds.
                tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
            }
        }
    }
    ensure(states.last().is_some_and(|s| s == "DELIVERED"), &format!("the order went {states:?}"))?;
    Ok(format!("seen live: {}", states.join(" → ")))
}

async fn inbox(client: &Client) -> Result<String, Failed> {
    let data =
        client.graphql("{ inbox(first: 10) { unread nodes { id title } } }", json!({})).await?;
    let messages = array(&data["inbox"]["nodes"])?;
    ensure(!messages.is_empty(), "the inbox is empty")?;
    let id = &messages[0]["id"];
    client.graphql("mutation($m: ID!) { markRead(messageId: $m) }", json!({ "m": id })).await?;
    Ok(format!("{} messages, newest {}", messages.len(), messages[0]["title"]))
}

async fn board(client: &Client) -> Result<String, Failed> {
    client.graphql("mutation { setNickname(nickname: \"Asha of Jaipur\") }", json!({})).await?;
    let query = "{ leaderboard(window: WEEKLY) { total me { rank score nickname } } }";
    let data = client
        .until("the guest's points", async |c| {
            let data = c.graphql(query, json!({})).await?;
            Ok(data["leaderboard"]["me"].is_object().then_some(data))
        })
        .await?;
    let me = &data["leaderboard"]["me"];
    Ok(format!(
        "{} is number {} of {} with {} points this week",
        me["nickname"], me["rank"], data["leaderboard"]["total"], me["score"]
    ))
}

async fn refuse(client: &Client) -> Result<String, Failed> {
    let phone = client
        .refusal("mutation { requestOtp(phone: \"12345\") { expiresInS } }", json!({}))
        .await?;
    ensure(phone.contains("INVALID_PHONE"), &phone)?;
    let staff = client.refusal("{ admin { orders { nodes { id } } } }", json!({})).await?;
    ensure(staff.contains("STAFF_ONLY"), &staff)?;
    let cart = client.refusal("{ cart(id: \"crt_nothing\") { id } }", json!({})).await?;
    ensure(cart.contains("INVALID_ID"), &cart)?;
    Ok("a wrong number, a shopper at the staff's door and a made-up id, each by its code"
        .to_owned())
}

async fn cash_on_delivery(client: &Client, seen: &Seen) -> Result<String, Failed> {
    let guest = Client::new(&client.shop, &client.sim)?;
    let create = "mutation($i: CreateCartInput!) { createCart(input: $i) { id totals { toPay codFee } methods } }";
    let lines = json!([{ "variantId": seen.variants[0], "quantity": 1 }]);
    let data = guest
        .graphql(create, json!({ "i": { "lines": lines, "address": address(&seen.phone) } }))
        .await?;
    let input = json!({
        "cartId": data["createCart"]["id"], "method": "CASH_ON_DELIVERY",
        "idempotencyKey": format!("walk-cod-{}", seen.order)
    });
    let placed = guest.graphql(PLACE, json!({ "i": input })).await?;
    let order = &placed["placeOrder"]["order"];
    ensure(order["state"] == "CONFIRMED", "a cash order is not confirmed at once")?;
    let id = text(&order["id"])?;
    let hidden =
        guest.refusal("query($o: ID!) { order(id: $o) { number } }", json!({ "o": id })).await?;
    ensure(hidden.contains("ORDER_NOT_FOUND"), "an order can be read without its key")?;
    let key = &placed["placeOrder"]["orderKey"];
    let read = "query($o: ID!, $k: String) { order(id: $o, key: $k) { number invoiceNumber totals { toPay } } }";
    let read = guest.graphql(read, json!({ "o": id, "k": key })).await?;
    Ok(format!(
        "a guest without login: {} in two requests, invoice {}, {} due on delivery",
        text(&order["number"])?,
        text(&read["order"]["invoiceNumber"])?,
        Paise(number(&read["order"]["totals"]["toPay"])?)
    ))
}

async fn books(demo: &Demo) -> Result<String, Failed> {
    use mela_wallet_api::Wallet;
    let check = demo.server.shop.wallet.check().await.map_err(|e| e.to_string())?;
    let right = check.sum_coin == 0 && check.sum_paise == 0 && check.wrong.is_empty();
    ensure(right, &format!("the ledger is wrong: {check:?}"))?;
    let dead = demo.server.shop.jobs.dead_count().await.map_err(|e| e.to_string())?;
    ensure(dead == 0, &format!("{dead} jobs failed for good"))?;
    Ok(format!("{} transfers sum to zero, no job failed", check.transfers))
}

fn ensure(held: bool, otherwise: &str) -> Result<(), Failed> {
    if held { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn text(value: &Value) -> Result<String, Failed> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("expected text, got {value}"))
}

fn number(value: &Value) -> Result<i64, Failed> {
    value.as_i64().ok_or_else(|| format!("expected a number, got {value}"))
}

fn array(value: &Value) -> Result<&Vec<Value>, Failed> {
    value.as_array().ok_or_else(|| format!("expected a list, got {value}"))
}
