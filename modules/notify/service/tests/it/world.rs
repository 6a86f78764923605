use mela_notify::TEMPLATES;
use mela_sim::{Sim, SimConfig, SmsCategory, SmsTemplate};

pub(crate) const HEADER: &str = "MELAIN";

/// Simulators that know our templates.
pub(crate) async fn sim() -> Sim {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = SimConfig::default();
    config.sms.api_key = Some("key".into());
    config.sms.entity_id = "1201150000000000001".into();
    config.sms.templates = TEMPLATES
        .iter()
        .map(|t| SmsTemplate {
            template_id: t.id.into(),
            header: HEADER.into(),
            category: match t.category {
                "Service-Implicit" => SmsCategory::ServiceImplicit,
                other => panic!("{other}"),
            },
            text: t.text.into(),
        })
        .collect();
    mela_sim::start(config).await.unwrap()
}

pub(crate) async fn get(sim: &Sim, path: &str) -> serde_json::Value {
    let text = reqwest::get(format!("{}{path}", sim.ui_url())).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
}

pub(crate) async fn fault(sim: &Sim, fault: serde_json::Value) {
    let url = format!("{}/_sim/faults", sim.ui_url());
    let answer = reqwest::Client::new().post(url).json(&fault).send().await.unwrap();
    assert!(answer.status().is_success());
}
