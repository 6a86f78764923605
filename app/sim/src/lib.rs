//! Simulators of the outside providers, so that a shop runs and is tested without any account:
//! Razorpay, Shipway, an SMS gateway under DLT rules and a mail catcher.
//!
//! One HTTP listener (`/v1` Razorpay, `/shipway` Shipway, `/sms` SMS, `/_sim` control, `/` a page for
//! people) and one SMTP listener, both on 127.0.0.1. What a provider would answer is answered in the
//! provider's own words, errors included; what only a simulator can do is under `/_sim`.
//!
//! Rules held everywhere: input never panics; a refused call changes nothing; memory is bounded
//! (old objects go when a shelf is full); given a seed, ids repeat; all waiting is on a clock that
//! `/_sim/clock` can move.

mod agenda;
mod config;
mod control;
mod faults;
mod hooks;
mod ledger;
mod mail;
mod razorpay;
mod serve;
mod shipway;
mod sms;
mod ui;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use config::{RazorpayConfig, ShipwayConfig, SimConfig, SmsCategory, SmsConfig, SmsTemplate};

use crate::world::World;

/// Why the simulators did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A port could not be taken.
    #[error(
        "cannot listen on 127.0.0.1:{port} for {what}: {source}; choose another port, or 0 for a free one"
    )]
    Bind {
        /// What wanted the port.
        what: &'static str,
        /// The port that was asked for.
        port: u16,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
}

/// The running simulators. Dropping it stops them at once; [`Sim::shutdown`] lets open calls finish.
pub struct Sim {
    http_addr: SocketAddr,
    smtp_addr: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    world: Arc<World>,
}

/// Binds the listeners and starts serving.
pub async fn start(config: SimConfig) -> Result<Sim, SimError> {
    config.check().map_err(SimError::Config)?;
    let (http, http_addr) = bind("http", config.http_port).await?;
    let (smtp, smtp_addr) = bind("smtp", config.smtp_port).await?;
    let world = Arc::new(World::new(config, format!("http://{http_addr}")));
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(http, serve::router(world.clone()), stopped.clone()));
    tasks.spawn(mail::smtp::serve(smtp, world.clone(), stopped.clone()));
    tasks.spawn(agenda::run(world.clone(), stopped));
    Ok(Sim { http_addr, smtp_addr, stop, tasks, world })
}

async fn bind(what: &'static str, port: u16) -> Result<(TcpListener, SocketAddr), SimError> {
    let failed = |source| SimError::Bind { what, port, source };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

impl Sim {
    /// Where all HTTP providers listen.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where the mail catcher listens.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp_addr
    }

    /// The page for people, also the base of `/_sim`.
    pub fn ui_url(&self) -> String {
        format!("http://{}", self.http_addr)
    }

    /// Base for Razorpay clients, without `/v1`, as the official SDKs want it.
    pub fn razorpay_url(&self) -> String {
        self.ui_url()
    }

    /// Base of the Shipway API, including `/api`.
    pub fn shipway_url(&self) -> String {
        format!("http://{}/shipway/api", self.http_addr)
    }

    /// Where an SMS is posted.
    pub fn sms_url(&self) -> String {
        format!("http://{}/sms/send", self.http_addr)
    }

    /// Sends Razorpay webhooks to `url` (http only) from now on, `None` stops them.
    pub fn set_razorpay_webhook(&self, url: Option<String>) {
        self.world.hooks.razorpay.lock().url = url;
    }

    /// Sends Shipway tracking webhooks to `url` (http only) from now on, `None` stops them.
    pub fn set_shipway_webhook(&self, url: Option<String>) {
        self.world.hooks.shipway.lock().url = url;
    }

    /// Stops accepting, lets open calls finish for up to two seconds, and ends.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), all).await;
    }
}
