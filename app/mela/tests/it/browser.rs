//! The main job in headless Chromium, at the width of a small phone.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::server::{Engine, PATIENCE, Place};

/// Ends the demo, whatever becomes of the test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_main_job_in_a_browser() {
    let folder = prepared();
    let browser = chromium();
    let place = Place::empty(Engine::Sqlite);
    let (_demo, shop, sim) = demo(&place);
    let shots = folder.join("shots");
    let _ = fs::remove_dir_all(&shots);
    let output = Command::new("node")
        .arg("edge/web/e2e/main-job.mjs")
        .current_dir(&folder)
        .env("MELA_URL", shop)
        .env("MELA_SIM_URL", sim)
        .env("MELA_SHOTS", &shots)
        .env("MELA_BROWSER", browser)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "screenshots are in {}\n{said}", shots.display());
    assert!(said.contains("the main job holds"), "{said}");
}

/// Starts `mela demo`; gives the addresses that it prints.
fn demo(place: &Place) -> (Demo, String, String) {
    let log = fs::File::create(place.dir.join("log")).unwrap();
    let mut child = place
        .command(&["demo", "--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let demo = Demo(child);
    let (told, addresses) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            for name in ["shop ", "phone and mail "] {
                if let Some(address) = line.trim().strip_prefix(name) {
                    let _ = told.send(address.split_whitespace().next().unwrap_or("").to_owned());
                }
            }
        }
    });
    let next = || {
        let said = || fs::read_to_string(place.dir.join("log")).unwrap_or_default();
        addresses.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no demo:\n{}", said()))
    };
    let (shop, sim) = (next(), next());
    (demo, shop, sim)
}

/// A copy of the walk below `target/` with its node modules, so that nothing is installed into the
/// tree.
fn prepared() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
    for file in ["main-job.mjs", "package.json", "package-lock.json"] {
        copy(&root, &folder, &format!("edge/web/e2e/{file}"));
    }
    copy(&root, &folder, "app/mela/demo-shop/quiz.json");
    let e2e = folder.join("edge/web/e2e");
    let lock = fs::read(e2e.join("package-lock.json")).unwrap();
    let installed = e2e.join("node_modules/installed.json");
    if fs::read(&installed).ok().as_ref() != Some(&lock) {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&e2e), NODE);
        fs::write(&installed, lock).unwrap();
    }
    folder
}

const NODE: &str = "install Node.js 20 or newer with npm";

fn copy(root: &Path, folder: &Path, file: &str) {
    let to = folder.join(file);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(root.join(file), to).unwrap();
}

/// The path of Chromium, which is installed if we may.
fn chromium() -> PathBuf {
    if let Some(path) = found() {
        return path;
    }
    let advice = "install Chromium, e.g. `apt-get install chromium`, or name it in MELA_BROWSER";
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    assert!(root, "no Chromium was found: {advice}");
    run(Command::new("apt-get").args(["update", "-q"]), advice);
    let mut install = Command::new("apt-get");
    install.args(["install", "-qy", "--no-install-recommends", "chromium"]);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"), advice);
    found().unwrap_or_else(|| panic!("no Chromium was found: {advice}"))
}

fn found() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MELA_BROWSER") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|file| file.is_file())
}

/// Runs a command that must work.
fn run(command: &mut Command, advice: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}; {advice}"));
    assert!(
        output.status.success(),
        "{command:?} failed; {advice}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
