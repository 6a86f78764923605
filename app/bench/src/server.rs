//! The server under test: this same binary as a child process on data of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mela_testkit::PrivatePostgres;

use crate::http::Http;
use crate::load::clean;
use crate::{BenchError, Engine};

/// A fresh folder and database; gone when dropped.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    postgres: Option<PrivatePostgres>,
}

impl Place {
    pub(crate) fn new(engine: Engine) -> Result<Self, BenchError> {
        let random = u64::from_le_bytes(mela_base::Env::system().random());
        let dir = std::env::temp_dir().join(format!("mela-bench-{random:016x}"));
        fs::create_dir(&dir).map_err(BenchError::new)?;
        let mut place = Self { dir, postgres: None };
        if engine == Engine::Postgres {
            // Its user must reach its folder.
            let folder = place.dir.join("pg");
            place.postgres = Some(PrivatePostgres::start(&folder, true).map_err(BenchError::new)?);
        }
        Ok(place)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// `mela <words>` on this place's data.
    fn mela(&self, words: &[&str], set: &[(&str, String)]) -> Result<Command, BenchError> {
        let mut command = Command::new(std::env::current_exe().map_err(BenchError::new)?);
        command.args(words).arg("--data").arg(self.data());
        let mut all = vec![("log.level", "warn".to_owned())];
        if let Some(postgres) = &self.postgres {
            all.push(("database.url", postgres.url()));
        }
        all.extend(set.iter().cloned());
        for (key, value) in all {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.map_err(BenchError::new)?;
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(BenchError::new)?).stderr(log);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Imports a folder of Magento files without pictures; gives the time that it took.
    pub(crate) async fn import(&self, folder: &Path, rate: &str) -> Result<Duration, BenchError> {
        let folder = folder.to_string_lossy().into_owned();
        let words = ["import", "magento", &folder, "--rate", rate, "--no-media"];
        let started = Instant::now();
        let mut child = Killed(self.mela(&words, &[])?.spawn().map_err(BenchError::new)?);
        let status = loop {
            if let Some(status) = child.0.try_wait().map_err(BenchError::new)? {
                break status;
            }
            if started.elapsed() > Duration::from_secs(600) {
                return Err(BenchError::new("the import takes longer than ten minutes"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let took = started.elapsed();
        if status.success() {
            return Ok(took);
        }
        Err(BenchError::new(format_args!("the import failed:\n{}", self.log_tail())))
    }

    /// Starts the server and waits until it answers `first`. Gives the time from exec until then.
    pub(crate) async fn serve(
        &self,
        roles: &str,
        set: &[(&str, String)],
        first: &str,
    ) -> Result<(Server, Duration), BenchError> {
        let addr = free_address()?;
        let mut all = vec![("server.listen", addr.to_string())];
        all.extend(set.iter().cloned());
        let mut command = self.mela(&["serve", "--role", roles], &all)?;
        let started = Instant::now();
        let child = Killed(command.spawn().map_err(BenchError::new)?);
        let postmaster = self.dir.join("pg/data/postmaster.pid");
        let postgres = fs::read_to_string(postmaster)
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse().ok());
        let mut server = Server { child, addr, postgres };
        loop {
            if let Ok(mut http) = Http::connect(addr).await
                && http.graphql(first).await.is_ok_and(|body| clean(body).is_ok())
            {
                return Ok((server, started.elapsed()));
            }
            let gone = server.child.0.try_wait().map_err(BenchError::new)?.is_some();
            if gone || started.elapsed() > Duration::from_secs(60) {
                let log = self.log_tail();
                return Err(BenchError::new(format_args!("the server does not serve:\n{log}")));
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Starts the simulators for a server at `shop`; gives the Razorpay address to set.
    pub(crate) async fn simulators(&self) -> Result<(Killed, String), BenchError> {
        let (addr, smtp) = (free_address()?, free_address()?);
        let mut command = Command::new(std::env::current_exe().map_err(BenchError::new)?);
        command
            .args(["sim", "--port", &addr.port().to_string()])
            .args(["--smtp-port", &smtp.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = Killed(command.spawn().map_err(BenchError::new)?);
        let started = Instant::now();
        while Http::connect(addr).await.is_err() {
            if started.elapsed() > Duration::from_secs(20) {
                return Err(BenchError::new("the simulators do not start"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((child, format!("http://{addr}")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.postgres = None;
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A child process that does not outlive its owner.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Free now; the server has it a moment later.
fn free_address() -> Result<SocketAddr, BenchError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(BenchError::new)?;
    listener.local_addr().map_err(BenchError::new)
}

/// A running server.
pub(crate) struct Server {
    child: Killed,
    pub(crate) addr: SocketAddr,
    postgres: Option<u32>,
}

impl Server {
    /// CPU time of the server's process, in ms.
    pub(crate) fn cpu_ms(&self) -> Result<f64, BenchError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.0.id()));
        let stat = stat.map_err(BenchError::new)?;
        cpu_ms(&stat).ok_or_else(|| BenchError::new("cannot read the server's CPU time"))
    }

    /// CPU time of the Postgres server's processes, in ms; 0 on SQLite.
    pub(crate) fn postgres_cpu_ms(&self) -> f64 {
        let Some(postmaster) = self.postgres else { return 0.0 };
        let mut sum = 0.0;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
            if parent.and_then(|p| p.parse().ok()) == Some(postmaster) {
                sum += cpu_ms(&stat).unwrap_or(0.0);
            }
        }
        sum
    }

    /// Resident memory of the server's process, in MiB.
    pub(crate) fn rss_mib(&self) -> Result<f64, BenchError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id()));
        let status = status.map_err(BenchError::new)?;
        let kib = status.lines().find_map(|l| {
            l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        });
        kib.map(|k| k / 1024.0).ok_or_else(|| BenchError::new("cannot read the server's memory"))
    }

    /// SQL statements so far by operation.
    pub(crate) async fn statements(&self) -> Result<BTreeMap<String, u64>, BenchError> {
        let mut http = Http::connect(self.addr).await?;
        let body = http.get("/metrics").await?;
        let found = statements(&String::from_utf8_lossy(body));
        if found.is_empty() {
            return Err(BenchError::new("/metrics has no mela_db_statements_total"));
        }
        Ok(found)
    }

    /// Stops it in order (SIGTERM), so that the next start finds everything written.
    pub(crate) async fn stop(mut self) -> Result<(), BenchError> {
        let pid = self.child.0.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status();
        status.map_err(BenchError::new)?;
        let started = Instant::now();
        while self.child.0.try_wait().map_err(BenchError::new)?.is_none() {
            if started.elapsed() > Duration::from_secs(30) {
                return Err(BenchError::new("the server does not stop"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// User and system time of a process, whose ticks Linux counts at 100 per second.
fn cpu_ms(stat: &str) -> Option<f64> {
    // The name in parentheses may hold blanks.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) * 10.0)
}

fn statements(metrics: &str) -> BTreeMap<String, u64> {
    metrics
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("mela_db_statements_total{operation=\"")?;
            let (operation, value) = rest.split_once("\"} ")?;
            Some((operation.to_owned(), value.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_process() {
        let stat = "17 (a b) c) S 1 17 17 0 -1 4194560 1 2 3 4 150 50 0 0 20 0";
        assert_eq!(cpu_ms(stat), Some(2_000.0));
        assert_eq!(cpu_ms("garbage"), None);
        let text = "# TYPE x\nmela_db_statements_total{operation=\"orders.place\"} 12\nother 3\n";
        assert_eq!(statements(text), BTreeMap::from([("orders.place".to_owned(), 12)]));
    }
}
