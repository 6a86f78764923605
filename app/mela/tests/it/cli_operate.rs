//! What an operator does by hand, beside a running server.

use serde_json::json;

use crate::server::{ENGINES, Engine, Place, STAFF_PASSWORD, Server, told};

#[tokio::test]
async fn staff_are_added_changed_and_let_in() {
    const LOGIN: &str = "mutation($e: String!, $p: String!) {
        admin { staffLogin(email: $e, password: $p) { accessToken } } }";
    for engine in ENGINES {
        let server = Server::start_at(Place::empty(engine), &[]);
        let email = "asha@shop.example";
        let save = |role: &str, password: &str| {
            server.place.run(&["staff", "save", email, "--role", role], password)
        };
        let output = save("viewer", &format!("{STAFF_PASSWORD}\n"));
        assert!(told(&output).contains("saved asha@shop.example as viewer"), "{}", told(&output));
        let login = async |password: &str| {
            server.ask(None, LOGIN, json!({ "e": email, "p": password })).await
        };
        let answer = login(STAFF_PASSWORD).await;
        let token = answer["data"]["admin"]["staffLogin"]["accessToken"].as_str().unwrap();
        let orders = "{ admin { orders { nodes { id } } } }";
        server.data(Some(token), orders, json!({})).await;
        // The password is changed; the old one is of no use.
        let output = save("owner", "another-long-password-9");
        assert!(told(&output).contains("as owner"), "{}", told(&output));
        assert!(login(STAFF_PASSWORD).await["errors"].is_array());
        assert!(login("another-long-password-9").await["errors"].is_null());
    }
}

#[test]
fn wrong_staff_accounts_are_refused() {
    let place = Place::empty(Engine::Sqlite);
    for (email, role, password, says) in [
        ("nobody", "owner", STAFF_PASSWORD, "name@example.com"),
        ("a@shop.example", "king", STAFF_PASSWORD, "viewer, support, manager or owner"),
        ("a@shop.example", "owner", "", "password"),
        ("a@shop.example", "owner", "short", "password"),
    ] {
        let output = place.run(&["staff", "save", email, "--role", role], password);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("error: ") && said.contains(says), "{said}");
        assert!(!said.contains("Invalid {"), "{said}");
    }
}

#[test]
fn books_dead_letters_and_index_can_be_looked_at() {
    for engine in ENGINES {
        let place = Place::fair(engine);
        let output = place.run(&["ledger"], "");
        assert!(output.status.success(), "{}", told(&output));
        assert!(told(&output).contains("0 transfers; sums: 0 coins, 0 paise"), "{}", told(&output));
        assert!(told(&output).contains("the books are right"), "{}", told(&output));
        let output = place.run(&["dead", "list"], "");
        assert!(output.status.success(), "{}", told(&output));
        assert!(told(&output).contains("nothing has failed for good"), "{}", told(&output));
        for words in [
            &["dead", "replay-job", "job_01m835najaekttdcekzv38nvpb"][..],
            &["dead", "replay-event", "7", "search.products"],
        ] {
            let output = place.run(words, "");
            assert_eq!(output.status.code(), Some(1), "{}", told(&output));
            assert!(told(&output).contains("see `mela dead list`"), "{}", told(&output));
        }
        let output = place.run(&["reindex"], "");
        let said = told(&output);
        assert!(said.contains("indexed 0 of 139") && said.contains("indexed 139 of 139"), "{said}");
        assert!(output.status.success() && said.contains("\ndone"), "{said}");
    }
}
