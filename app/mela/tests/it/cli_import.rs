//! `mela import`: real files taken once, garbage refused with nothing half-done.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::server::{ENGINES, Engine, Place, Server, told, until};

fn magento(place: &Place, folder: &Path, more: &[&str]) -> Output {
    place.run(&[&["import", "magento", folder.to_str().unwrap(), "--no-media"], more].concat(), "")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many products there are, as counted by `mela reindex`.
fn products(place: &Place) -> u64 {
    let output = place.run(&["reindex"], "");
    assert!(output.status.success(), "{}", told(&output));
    let said = said(&output);
    let line = said.lines().rfind(|l| l.starts_with("indexed ")).unwrap();
    line.split(' ').nth(3).unwrap().parse().unwrap()
}

const HEADER: &str = "sku,product_type,categories,name,weight,price,qty";

#[test]
fn a_real_export_is_taken_once_on_both_engines() {
    let luma = mela_testkit::shared_data("magento-luma");
    for engine in ENGINES {
        let place = Place::empty(engine);
        let output = magento(&place, &luma, &["--rate", "84.5"]);
        let said = said(&output);
        assert!(output.status.success(), "{engine:?}: {}", told(&output));
        assert!(
            said.contains("products: 181 new, 0 changed, 0 as they were; 1891 variants"),
            "{said}"
        );
        // Every row that was not taken, with file, line and reason.
        let refused = said.lines().filter(|l| l.starts_with("not taken: ")).count();
        assert!(refused > 100 && !said.contains("… and"), "{refused}: {said}");
        assert!(said.contains("not taken: products_reviews.csv:42: MJ05: "), "{said}");
        let again = magento(&place, &luma, &["--rate", "84.5"]);
        assert!(again.status.success(), "{}", told(&again));
        assert!(told(&again).contains("nothing changed: the shop has these 181 products already"));
        assert_eq!(products(&place), 181);
    }
}

#[test]
fn a_json_list_is_taken_once_on_both_engines() {
    let file = mela_testkit::shared_data("dummyjson-products.json");
    let words = ["import", "json", file.to_str().unwrap(), "--no-media", "--rate", "84.5"];
    for engine in ENGINES {
        let place = Place::empty(engine);
        let output = place.run(&words, "");
        assert!(output.status.success(), "{engine:?}: {}", told(&output));
        assert!(said(&output).contains("products: 194 new"), "{}", told(&output));
        let again = place.run(&words, "");
        assert!(said(&again).contains("nothing changed"), "{}", told(&again));
        assert_eq!(products(&place), 194);
    }
}

#[test]
fn garbage_is_refused_and_changes_nothing_on_both_engines() {
    for engine in ENGINES {
        let place = Place::fair(engine);
        let before = products(&place);
        assert_eq!(before, 139);
        let dir = place.dir.join("in");
        let folder = |name: &str, file: &str, bytes: &[u8]| {
            let folder = dir.join(name);
            fs::create_dir_all(&folder).unwrap();
            if !file.is_empty() {
                fs::write(folder.join(file), bytes).unwrap();
            }
            folder
        };
        let noise: Vec<u8> =
            (0_u32..200_000).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let row = |middle: &[u8]| [HEADER.as_bytes(), b"\n", middle, b"\n"].concat();
        let huge = row(&[b"S1,simple,A,".as_slice(), &vec![b'n'; 3 << 20], b",1,10,5"].concat());
        let unclosed = row(&[b"S1,simple,A,\"".as_slice(), &vec![b'n'; 3 << 20]].concat());
        for (folder, says) in [
            (dir.join("missing"), "cannot be read"),
            (folder("empty", "", b""), "holds no catalogue"),
            (folder("other", "notes.txt", b"hello"), "holds no catalogue"),
            (folder("noise", "products.csv", &noise), "holds no catalogue"),
            (folder("zeros", "products.csv", &vec![0; 200_000]), "holds no catalogue"),
            (folder("header", "products.csv", row(b"").as_slice()), "no product was taken"),
            (folder("nuls", "products.csv", &row(b"S\0,simple,A,N\0,1,10,5")), "products.csv:2"),
            (folder("utf8", "products.csv", &row(b"S1,simple,A,\xff\xfe,1,10,5")), "not UTF-8"),
            (folder("prices", "products.csv", &row(b"S1,simple,A,N,1,-10,5")), "products.csv:2"),
            (folder("types", "products.csv", &row(b"S1,simple,A,N,x,free,many")), "products.csv:2"),
            (folder("huge", "products.csv", &huge), "products.csv:2"),
            (folder("unclosed", "products.csv", &unclosed), "a quote may be unclosed"),
        ] {
            let output = magento(&place, &folder, &[]);
            let name = folder.display();
            assert_eq!(output.status.code(), Some(1), "{engine:?} {name}: {}", told(&output));
            assert!(told(&output).contains(says), "{engine:?} {name}: {}", told(&output));
        }
        for (name, bytes, says) in [
            ("none.json", None, "cannot be read"),
            ("noise.json", Some(noise.as_slice()), "cannot be read"),
            ("deep.json", Some("[".repeat(100_000).as_bytes()), "cannot be read"),
            ("types.json", Some(br#"{"products":[{"title":5}]}"#.as_slice()), "types.json"),
        ] {
            let file = dir.join(name);
            if let Some(bytes) = bytes {
                fs::write(&file, bytes).unwrap();
            }
            let output = place.run(&["import", "json", file.to_str().unwrap()], "");
            assert_eq!(output.status.code(), Some(1), "{name}: {}", told(&output));
            assert!(told(&output).contains(says), "{name}: {}", told(&output));
        }
        let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo-shop");
        for rate in ["abc", "0", "1e400", ""] {
            let output = magento(&place, &shop, &["--rate", rate]);
            assert_eq!(output.status.code(), Some(1), "{rate}: {}", told(&output));
            assert!(told(&output).contains("is not a rate"), "{}", told(&output));
        }
        assert_eq!(products(&place), before);
        // The shop is as it was, to the last product.
        let again = magento(&place, &shop, &[]);
        assert!(told(&again).contains("nothing changed"), "{}", told(&again));
    }
}

#[tokio::test]
async fn an_import_beside_a_running_server_is_found_in_it() {
    let server = Server::start_at(Place::empty(Engine::Sqlite), &[]);
    server.ready().await;
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo-shop");
    let output = magento(&server.place, &shop, &[]);
    assert!(output.status.success(), "{}", told(&output));
    until("the products to be found", async || {
        let data = server.data(None, "{ products(first: 1) { totalCount } }", json!({})).await;
        (data["products"]["totalCount"] == 139).then_some(())
    })
    .await;
    // Only one process can have the index; it follows the store by itself.
    let output = server.place.run(&["reindex"], "");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("is open in another process"), "{}", told(&output));
}
