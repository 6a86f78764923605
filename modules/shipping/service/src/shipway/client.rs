//! Sends the calls.

use mela_base::Internal;
use mela_crypto::Secret;
use mela_shipping_api::NewParcel;

use super::answer::{self, Answer, Booking, CourierError};
use super::call::{self, Call};
use crate::config::ShipwayConfig;

/// The largest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// One Shipway account.
pub(crate) struct Shipway {
    client: reqwest::Client,
    base: String,
    password: Secret,
    pub(crate) config: ShipwayConfig,
}

impl Shipway {
    pub(crate) fn new(config: ShipwayConfig) -> Result<Self, Internal> {
        // Process-wide and first come first served; every part of Mela installs the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(std::time::Duration::from_secs(3).min(config.timeout))
            .timeout(config.timeout)
            .pool_max_idle_per_host(16)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("Mela")
            .build()
            .map_err(Internal::new)?;
        let base = config.base_url.trim_end_matches('/').to_owned();
        Ok(Self { client, base, password: config.license_key.clone(), config })
    }

    async fn send(&self, call: &Call) -> Result<Answer, CourierError> {
        let url = format!("{}{}", self.base, call.path);
        let request = match call.method {
            "POST" => self.client.post(url),
            _ => self.client.get(url),
        };
        let mut request = request.basic_auth(&self.config.email, Some(self.password.expose()));
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(|e| describe(&e))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| describe(&e))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(CourierError::Unknown("the answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    /// Pushes an order once. `look_first` if an earlier try may have succeeded.
    pub(crate) async fn push(
        &self,
        parcel: &NewParcel,
        look_first: bool,
    ) -> Result<Booking, CourierError> {
        if look_first && let Some(known) = self.order(&parcel.order_number).await? {
            return Ok(known);
        }
        let call = call::push(parcel, &self.config);
        let made = self.send(&call).await.and_then(|a| answer::pushed(&a));
        match made {
            Ok(booking) => Ok(booking),
            // Done without an answer, or refused because an earlier try had done it.
            Err(error) => match self.order(&parcel.order_number).await {
                Ok(Some(known)) => Ok(known),
                _ => Err(error),
            },
        }
    }

    /// What is known under our order number.
    pub(crate) async fn order(&self, number: &str) -> Result<Option<Booking>, CourierError> {
        let answer = self.send(&call::order(number)).await?;
        answer::order(&answer, number)
    }

    /// At most [`call::MAX_AWBS`] parcels.
    pub(crate) async fn tracking(
        &self,
        awbs: &[&str],
    ) -> Result<Vec<(String, Booking)>, CourierError> {
        let answer = self.send(&call::tracking(awbs)).await?;
        answer::tracked(&answer)
    }

    /// Calls an order off; twice is once.
    pub(crate) async fn cancel(&self, number: &str) -> Result<(), CourierError> {
        let answer = self.send(&call::cancel(number)).await?;
        answer::cancelled(&answer, number)
    }
}

/// reqwest's own texts name the URL; these do not.
fn describe(error: &reqwest::Error) -> CourierError {
    CourierError::Unknown(if error.is_timeout() {
        "it timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    })
}
