//! A real server as a child process, with simulators in this one. Everything is gone on drop.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use mela_sim::{Sim, SimConfig, SmsCategory, SmsTemplate};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

pub(crate) const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// A folder and a database of a test's own, with the demo's catalogue or empty.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    database: Option<(String, String)>,
}

impl Place {
    /// Without any product.
    pub(crate) fn empty(engine: Engine) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let random: u32 = u32::from_le_bytes(mela_base::Env::system().random());
        let name = format!("mela_it_{}_{n}_{random:08x}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(&dir).unwrap();
        let database = (engine == Engine::Postgres).then(|| {
            let url = mela_testkit::shared_postgres();
            mela_db::postgres_script(&url, &format!("CREATE DATABASE {name}")).unwrap();
            (url, name)
        });
        Self { dir, database }
    }

    /// With the demo's catalogue, without pictures.
    pub(crate) fn fair(engine: Engine) -> Self {
        let place = Self::empty(engine);
        let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo-shop");
        let output = place.run(&["import", "magento", shop.to_str().unwrap(), "--no-media"], "");
        assert!(output.status.success(), "{}", told(&output));
        place
    }

    /// The binary with this place's settings.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mela"));
        command.args(words).arg("--data").arg(&self.dir).current_dir(&self.dir);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some((url, name)) = &self.database {
            let url = url.strip_suffix("postgres").unwrap();
            command.arg("--set").arg(format!("database.url={url}{name}"));
        }
        command
    }

    /// Runs a command of the binary to its end.
    pub(crate) fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Adds a staff account.
    pub(crate) fn staff(&self, email: &str, role: &str) {
        let output = self.run(&["staff", "save", email, "--role", role], STAFF_PASSWORD);
        assert!(output.status.success(), "{}", told(&output));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((url, name)) = &self.database {
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let _ = mela_db::postgres_script(url, &drop);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What a command said, for a failing test.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub(crate) const STAFF_PASSWORD: &str = "correct-horse-battery-staple";

/// A server that runs, filled with the demo's catalogue.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) sim_url: String,
    pub(crate) sim: Option<Sim>,
    pub(crate) http: reqwest::Client,
    pub(crate) place: Place,
    child: Child,
    runtime: Option<Runtime>,
}

impl Server {
    /// On SQLite, with more words for `mela serve`, e.g. `&["--set", "limits.graphql_depth=9"]`.
    pub(crate) fn start(more: &[&str]) -> Self {
        Self::start_at(Place::fair(Engine::Sqlite), more)
    }

    /// On this engine.
    pub(crate) fn start_on(engine: Engine, more: &[&str]) -> Self {
        Self::start_at(Place::fair(engine), more)
    }

    /// On what is there already.
    pub(crate) fn start_at(place: Place, more: &[&str]) -> Self {
        let (sim, runtime) = simulators();
        let sim_url = sim.ui_url();
        let set = [
            "server.listen=127.0.0.1:0".to_owned(),
            format!("razorpay.base_url={}", sim.razorpay_url()),
            format!("shipway.base_url={}", sim.shipway_url()),
            format!("sms.base_url={sim_url}"),
            format!("mail.port={}", sim.smtp_addr().port()),
        ];
        let mut command = place.command(&["serve"]);
        for setting in set {
            command.arg("--set").arg(setting);
        }
        let log = fs::File::create(place.dir.join("log")).unwrap();
        command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let (told, url) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on ") {
                    let _ = told.send(url.to_owned());
                }
            }
        });
        let Ok(url) = url.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(place.dir.join("log")).unwrap_or_default();
            panic!("the server did not start:\n{log}");
        };
        sim.set_razorpay_webhook(Some(format!("{url}/webhooks/payments/razorpay")));
        sim.set_shipway_webhook(Some(format!("{url}/webhooks/shipway/{SHIPWAY_TOKEN}")));
        let http = http();
        Self { url, sim_url, sim: Some(sim), http, place, child, runtime: Some(runtime) }
    }

    /// Waits until the search index is there.
    pub(crate) async fn ready(&self) {
        let url = format!("{}/readyz", self.url);
        until("the server to be ready", async || {
            let answer = self.http.get(&url).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Runs a GraphQL operation; gives the whole answer.
    pub(crate) async fn ask(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let mut request = self.http.post(format!("{}/graphql", self.url)).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status() < StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.status());
        answer.json().await.unwrap()
    }

    /// Runs a GraphQL operation that must work; gives its data.
    pub(crate) async fn data(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let mut answer = self.ask(token, query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].take()
    }

    /// Sends these very bytes; gives the beginning of what comes back.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream =
            TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let mut answer = vec![0; 4096];
        // The server may answer and close before it has read everything.
        let (_, read) = tokio::join!(writer.write_all(bytes), reader.read(&mut answer));
        String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
    }

    /// A figure of `/metrics`, labels included in its name as they are printed; 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let all = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap();
        let all = all.text().await.unwrap();
        let line = all.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// A guest's access token.
    pub(crate) async fn guest(&self) -> String {
        let data = self.data(None, "mutation { startGuest { accessToken } }", json!({})).await;
        text(&data["startGuest"]["accessToken"])
    }

    /// Logs in by phone; gives the access token.
    pub(crate) async fn customer(&self, phone: &str) -> String {
        let ask = "mutation($p: String!) { requestOtp(phone: $p) { expiresInS } }";
        self.data(None, ask, json!({ "p": phone })).await;
        let path = format!("{}/_sim/sms?to={}", self.sim_url, phone.replace('+', "%2B"));
        let code = until("the SMS", async || {
            let inbox: Value = self.http.get(&path).send().await.ok()?.json().await.ok()?;
            inbox["messages"][0]["code"].as_str().map(str::to_owned)
        })
        .await;
        let verify =
            "mutation($p: String!, $c: String!) { verifyOtp(phone: $p, code: $c) { accessToken } }";
        let data = self.data(None, verify, json!({ "p": phone, "c": code })).await;
        text(&data["verifyOtp"]["accessToken"])
    }

    /// Adds a staff account and logs it in; gives the access token.
    pub(crate) async fn staff(&self, email: &str, role: &str) -> String {
        self.place.staff(email, role);
        let login = "mutation($e: String!, $p: String!) {
            admin { staffLogin(email: $e, password: $p) { accessToken } } }";
        let data = self.data(None, login, json!({ "e": email, "p": STAFF_PASSWORD })).await;
        text(&data["admin"]["staffLogin"]["accessToken"])
    }

    /// Runs SIGTERM's way of stopping to its end.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.terminate();
        self.ended()
    }

    /// Waits for the end of a server that was told to stop.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks the server to stop, and does not wait.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Kills the server as a crash would, and gives its place for another start.
    pub(crate) fn crash(mut self) -> Place {
        let _ = self.child.kill();
        let _ = self.child.wait();
        std::mem::replace(&mut self.place, Place { dir: PathBuf::new(), database: None })
    }

    /// Still running?
    pub(crate) fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the server said\n{}",
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
        drop(self.sim.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// As `shipway.webhook_token` is by default.
pub(crate) const SHIPWAY_TOKEN: &str = "simulator-webhook-token";

/// Simulators on threads of their own, so that a blocking test does not stop them.
pub(crate) fn simulators() -> (Sim, Runtime) {
    let mut config = SimConfig::default();
    config.sms.templates = mela_notify::TEMPLATES
        .iter()
        .map(|t| SmsTemplate {
            template_id: t.id.to_owned(),
            header: "MELAIN".to_owned(),
            category: SmsCategory::ServiceImplicit,
            text: t.text.to_owned(),
        })
        .collect();
    std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let sim = runtime.block_on(mela_sim::start(config)).unwrap();
        (sim, runtime)
    })
    .join()
    .unwrap()
}

/// A client that follows no redirect.
pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

#[tokio::test]
async fn starts_on_a_free_port_and_stops_when_told() {
    for engine in ENGINES {
        let mut server = Server::start_on(engine, &[]);
        server.ready().await;
        let data = server.data(None, "{ products(first: 1) { totalCount } }", json!({})).await;
        assert!(data["products"]["totalCount"].as_u64() > Some(100), "{data}");
        assert!(server.stop().success());
    }
}
