use std::fs::{self, File, OpenOptions};
use std::io::{Error, Result};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mela_base::Id;
use mela_db::postgres_script;

/// A Postgres server of our own: its data in one folder, on a unix socket in that folder and on a
/// free port of 127.0.0.1. Stopped when dropped. Started by root it runs as `postgres` or
/// `nobody`, who must be able to reach the folder.
pub struct PrivatePostgres {
    server: Server,
    child: Child,
    fsync: bool,
}

struct Server {
    bin: PathBuf,
    dir: PathBuf,
    owner: Option<(u32, u32)>,
    port: u16,
}

impl PrivatePostgres {
    /// Starts a server with fresh data in `dir`, which is made (and emptied of an earlier one).
    /// Without `fsync` it is fast and forgets everything in a power cut: right for tests.
    pub fn start(dir: &Path, fsync: bool) -> Result<Self> {
        let (server, child) = Server::start(dir, fsync)?;
        Ok(Self { server, child, fsync })
    }

    /// Kills the server (SIGKILL) and starts it again on the same data, as after a crash: whoever
    /// was connected is cut off, what was committed is recovered from the log.
    pub fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        let killed = Instant::now();
        loop {
            match self.server.launch(self.fsync) {
                Ok(child) => {
                    self.child = child;
                    return Ok(());
                }
                // Its orphaned backends hold the shared memory until they have noticed.
                Err(error) if killed.elapsed() > Duration::from_secs(20) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The database's URL: through the unix socket if the folder's path is short enough for one.
    pub fn url(&self) -> String {
        self.server.url()
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.server.stop();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.server.data());
    }
}

/// The URL of the server that all tests of this checkout share, also those of other processes.
/// The first one that asks starts it; it stops itself two minutes after the last test.
pub fn shared_postgres() -> String {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match share() {
        Ok(url) => url,
        Err(error) => panic!("no Postgres for the tests: {error}"),
    })
    .clone()
}

fn share() -> Result<String> {
    let uid = output(Command::new("id").arg("-u"))?;
    let checkout = Id::from_name(env!("CARGO_MANIFEST_DIR")).to_string();
    // Short, for a socket's path may have 107 bytes only; open to the server's own user.
    let dir = Path::new("/tmp").join(format!("mela-testkit-{uid}-{}", &checkout[..10]));
    make_dir(&dir)?;
    if fs::symlink_metadata(&dir)?.uid().to_string() != uid {
        return Err(Error::other(format!("{} belongs to somebody else", dir.display())));
    }
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    lock.lock()?;
    // Before the look at the server, so that the watchdog does not stop it between.
    let beat = dir.join("heartbeat");
    touch(&beat)?;
    let server = match Server::found(&dir) {
        Some(server) => server,
        None => {
            // Not ours to wait for: whoever is last stops it.
            let (server, _) = Server::start(&dir, false)?;
            server.watch(&beat)?;
            server
        }
    };
    // A test may be a long one.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(20));
            let _ = touch(&beat);
        }
    });
    Ok(server.url())
}

fn touch(path: &Path) -> Result<()> {
    File::create(path)?.set_modified(std::time::SystemTime::now())
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

impl Server {
    fn start(dir: &Path, fsync: bool) -> Result<(Self, Child)> {
        let bin = find_bin()?;
        let owner = unprivileged()?;
        make_dir(dir)?;
        let dir = dir.canonicalize()?;
        // Free now; the server has it a moment later.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let server = Self { bin, dir, owner, port };
        server.stop();
        let data = server.data();
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        fs::create_dir(&data)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = server.owner {
            chown(&data, Some(uid), Some(gid))?;
        }
        output(
            server
                .command("initdb")
                .args(["--username=mela", "--auth=trust", "--encoding=UTF8", "--no-locale"])
                .args(["--no-sync", "--pgdata"])
                .arg(&data),
        )?;
        let child = server.launch(fsync)?;
        fs::write(server.dir.join("port"), port.to_string())?;
        Ok((server, child))
    }

    /// Runs the server on its data and waits until it answers.
    fn launch(&self, fsync: bool) -> Result<Child> {
        let data = self.data();
        let log = File::create(self.dir.join("log"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data).arg("-p").arg(self.port.to_string());
        command.arg("-k").arg(if self.has_socket() { data.as_path() } else { Path::new("") });
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "shared_buffers=128MB",
            "timezone=UTC",
        ] {
            command.args(["-c", setting]);
        }
        if !fsync {
            for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] {
                command.args(["-c", setting]);
            }
        }
        // A group of its own: it outlives the test that happened to be the first.
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let started = Instant::now();
        while postgres_script(&self.url(), "SELECT 1").is_err() {
            if child.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(60) {
                self.stop();
                let _ = child.kill();
                let _ = child.wait();
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                return Err(Error::other(format!("Postgres did not start:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(child)
    }

    /// The server that an earlier process has started, if it lives. A busy one that cannot answer
    /// now lives: others use it.
    fn found(dir: &Path) -> Option<Self> {
        let port = fs::read_to_string(dir.join("port")).ok()?.trim().parse().ok()?;
        let dir = dir.canonicalize().ok()?;
        let server = Self { bin: find_bin().ok()?, dir, owner: unprivileged().ok()?, port };
        for _ in 0..40 {
            match postgres_script(&server.url(), "SELECT 1") {
                Ok(()) => return Some(server),
                // Too many connections, or just starting; anything else is no server.
                Err(e)
                    if ["53300", "57P03", "timed out"]
                        .iter()
                        .any(|t| e.to_string().contains(t)) =>
                {
                    std::thread::sleep(Duration::from_millis(500));
                }
                Err(_) => return None,
            }
        }
        None
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A socket's path has at most 107 bytes.
    fn has_socket(&self) -> bool {
        self.data().as_os_str().len() < 85
    }

    fn url(&self) -> String {
        if !self.has_socket() {
            return format!("postgres://mela@127.0.0.1:{}/postgres", self.port);
        }
        let socket = self.data().display().to_string().replace('%', "%25").replace('/', "%2F");
        format!("postgres://mela@{socket}:{}/postgres", self.port)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // The current folder may be closed to the server's user.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Stops whatever server runs on this folder.
    fn stop(&self) {
        if self.data().join("postmaster.pid").exists() {
            let mut stop = self.command("pg_ctl");
            stop.args(["stop", "-w", "-m", "immediate", "-D"]).arg(self.data());
            let _ = output(&mut stop);
        }
    }

    /// Leaves a small shell behind that stops the server when no test has been seen for a while.
    fn watch(&self, beat: &Path) -> Result<()> {
        let pid_file = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let pid = pid_file.lines().next().unwrap_or_default().to_owned();
        Command::new("sh")
            .arg("-c")
            .arg(r#"while kill -0 "$1" 2>/dev/null && [ -z "$(find "$2" -mmin +2)" ]; do sleep 5; done; kill -INT "$1" 2>/dev/null"#)
            .args(["mela-testkit-watchdog", &pid])
            .arg(beat)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(drop)
    }
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output()?;
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(Error::other(format!("{:?}: {text}", command.get_program())));
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// The folder with `initdb` and `postgres`: in PATH, or where Debian puts them. Installs Postgres
/// if it is missing and we may.
fn find_bin() -> Result<PathBuf> {
    if let Some(found) = look_for_bin() {
        return Ok(found);
    }
    let root = output(Command::new("id").arg("-u"))? == "0";
    if root && Path::new("/usr/bin/apt-get").exists() {
        eprintln!("mela-testkit: installing Postgres with apt-get");
        output(Command::new("apt-get").arg("update"))?;
        output(
            Command::new("apt-get")
                .args(["install", "-y", "postgresql"])
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
    }
    look_for_bin().ok_or_else(|| {
        Error::other("install PostgreSQL 15 or newer (Debian: apt-get install postgresql) or put its bin folder into PATH")
    })
}

fn look_for_bin() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, bin)| bin));
    folders.into_iter().find(|f| f.join("initdb").exists() && f.join("postgres").exists())
}

/// Postgres refuses to run as root: the user and group to run it as instead.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if output(Command::new("id").arg("-u"))? != "0" {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        let number = |flag: &str| -> Result<u32> {
            output(Command::new("id").args([flag, name]))?.parse().map_err(Error::other)
        };
        if let (Ok(uid), Ok(gid)) = (number("-u"), number("-g")) {
            return Ok(Some((uid, gid)));
        }
    }
    Err(Error::other("Postgres does not run as root, and there is no user `postgres` or `nobody`"))
}
