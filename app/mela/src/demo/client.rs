//! A shopper's app, as small as it can be: GraphQL over HTTP, and the simulators' controls.

use serde_json::{Value, json};

/// What went wrong, for the line of the step.
pub(crate) type Failed = String;

pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) shop: String,
    pub(crate) sim: String,
    pub(crate) token: Option<String>,
}

impl Client {
    pub(crate) fn new(shop: &str, sim: &str) -> Result<Self, Failed> {
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(10))
            // The browser's redirect after paying is looked at, not followed.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { http, shop: shop.to_owned(), sim: sim.to_owned(), token: None })
    }

    /// Runs a GraphQL operation; an error in the answer is a failure.
    pub(crate) async fn graphql(&self, query: &str, variables: Value) -> Result<Value, Failed> {
        let mut request = self
            .http
            .post(format!("{}/graphql", self.shop))
            .json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer: Value =
            request.send().await.map_err(describe)?.json().await.map_err(describe)?;
        match answer.get("errors") {
            None => Ok(answer["data"].clone()),
            Some(errors) => Err(format!("the API refused: {}", first_error(errors))),
        }
    }

    /// The code with which the API refuses an operation.
    pub(crate) async fn refusal(&self, query: &str, variables: Value) -> Result<String, Failed> {
        match self.graphql(query, variables).await {
            Ok(data) => Err(format!("was not refused: {data}")),
            Err(refused) => Ok(refused),
        }
    }

    /// Gets a file of the shop.
    pub(crate) async fn get(&self, path: &str) -> Result<(String, Vec<u8>), Failed> {
        let answer =
            self.http.get(format!("{}{path}", self.shop)).send().await.map_err(describe)?;
        let answer = answer.error_for_status().map_err(describe)?;
        let content_type = answer.headers().get("content-type");
        let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        Ok((content_type, answer.bytes().await.map_err(describe)?.to_vec()))
    }

    /// Posts a form as the browser does after paying; returns where it is sent on to.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        fields: &[(String, String)],
    ) -> Result<String, Failed> {
        let answer = self.http.post(url).form(fields).send().await.map_err(describe)?;
        let status = answer.status();
        let location =
            answer.headers().get("location").and_then(|v| v.to_str().ok()).map(str::to_owned);
        match location {
            Some(location) => Ok(location),
            None if status.is_success() => Ok(String::new()),
            None => Err(format!("{status}: {}", answer.text().await.unwrap_or_default())),
        }
    }

    /// Reads from the simulators.
    pub(crate) async fn sim_get(&self, path: &str) -> Result<Value, Failed> {
        let answer = self.http.get(format!("{}{path}", self.sim)).send().await.map_err(describe)?;
        answer.json().await.map_err(describe)
    }

    /// Tells the simulators something.
    pub(crate) async fn sim_post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        let request = self.http.post(format!("{}{path}", self.sim)).json(body);
        let answer = request.send().await.map_err(describe)?;
        let status = answer.status();
        let text = answer.text().await.map_err(describe)?;
        if !status.is_success() {
            return Err(format!("simulator: {status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }

    /// Asks again until `find` has an answer, for at most half a minute.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut(&Self) -> Result<Option<T>, Failed>,
    ) -> Result<T, Failed> {
        for _ in 0..300 {
            if let Some(found) = ask(self).await? {
                return Ok(found);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Err(format!("waited half a minute for {what}"))
    }
}

fn describe(error: reqwest::Error) -> Failed {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn first_error(errors: &Value) -> String {
    let first = &errors[0];
    format!(
        "{} {}",
        first["extensions"]["code"].as_str().unwrap_or("?"),
        first["message"].as_str().unwrap_or("?")
    )
}
