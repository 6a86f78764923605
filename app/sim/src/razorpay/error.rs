//! Refusals in Razorpay's words.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::faults::Refusal;
use crate::serve;

/// An answer that is not 200. Razorpay has no 404: what is unknown is a bad request too.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: String,
    pub(crate) source: &'static str,
    pub(crate) step: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) field: Option<String>,
}

impl ApiError {
    pub(crate) fn bad(description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "BAD_REQUEST_ERROR",
            description: description.into(),
            source: "business",
            step: "payment_initiation",
            reason: "input_validation_failed",
            field: None,
        }
    }

    pub(crate) fn field(field: &str, description: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::bad(description) }
    }

    pub(crate) fn extra_field(field: &str) -> Self {
        let description = format!("{field} is/are not required and should not be sent");
        Self { reason: "extra_field_sent", ..Self::bad(description) }
    }

    pub(crate) fn reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    pub(crate) fn step(mut self, step: &'static str) -> Self {
        self.step = step;
        self
    }

    /// Where Razorpay fills source, step and reason with "NA".
    fn plain(status: StatusCode, description: impl Into<String>) -> Self {
        let na = "NA";
        Self { status, source: na, step: na, reason: na, ..Self::bad(description) }
    }

    pub(crate) fn unknown_id() -> Self {
        Self::bad("The id provided does not exist")
    }

    pub(crate) fn malformed_id(id: &str) -> Self {
        let shown: String = id.chars().take(40).collect();
        Self::bad(format!("{shown} is not a valid id"))
    }

    pub(crate) fn unknown_url() -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "The requested URL was not found on the server.")
    }

    pub(crate) fn unauthenticated(description: &str) -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, description)
    }

    pub(crate) fn conflict(description: &str) -> Self {
        Self { status: StatusCode::CONFLICT, ..Self::bad(description) }
    }

    pub(crate) fn too_large() -> Self {
        Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large.")
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = json!({
            "code": self.code,
            "description": self.description,
            "source": self.source,
            "step": self.step,
            "reason": self.reason,
            "metadata": {},
        });
        if let Some(field) = &self.field {
            error["field"] = field.as_str().into();
        }
        json!({ "error": error })
    }

    pub(crate) fn response(&self) -> Response {
        serve::json(self.status, &self.body())
    }
}

/// What Razorpay says when it fails itself or is called too often.
pub(crate) fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::ServerError => ApiError {
            code: "SERVER_ERROR",
            ..ApiError::plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "We are facing some trouble completing your request at the moment. Please try again shortly.",
            )
        },
        Refusal::TooManyRequests => {
            ApiError::plain(StatusCode::TOO_MANY_REQUESTS, "Request failed. Please try again.")
        }
    }
    .response()
}

/// Why a payment failed, as it stands in the payment and in the callback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) code: &'static str,
    pub(crate) source: &'static str,
    pub(crate) step: &'static str,
    pub(crate) description: &'static str,
}

const BAD: &str = "BAD_REQUEST_ERROR";
const GATEWAY: &str = "GATEWAY_ERROR";
const SERVER: &str = "SERVER_ERROR";
const AUTHN: &str = "payment_authentication";
const AUTHZ: &str = "payment_authorization";
const START: &str = "payment_initiation";

const fn why(
    reason: &'static str,
    code: &'static str,
    source: &'static str,
    step: &'static str,
    description: &'static str,
) -> Failure {
    Failure { reason, code, source, step, description }
}

/// Every way to fail that can be asked for.
pub(crate) const FAILURES: &[Failure] = &[
    why(
        "payment_failed",
        BAD,
        "customer",
        AUTHN,
        "The payment did not go through. Try again or choose another way to pay.",
    ),
    why("payment_cancelled", BAD, "customer", AUTHN, "The payment was cancelled by the customer."),
    why(
        "payment_timed_out",
        GATEWAY,
        "bank",
        AUTHZ,
        "The bank did not answer in time. Money that was debited comes back.",
    ),
    why(
        "insufficient_funds",
        BAD,
        "customer",
        AUTHZ,
        "The account does not hold enough money for this payment.",
    ),
    why(
        "card_declined",
        BAD,
        "issuer_bank",
        AUTHZ,
        "The card was declined by the bank that issued it.",
    ),
    why("card_number_invalid", BAD, "customer", START, "The card number is not valid."),
    why(
        "card_disabled_for_online_payments",
        BAD,
        "customer",
        AUTHZ,
        "The card is not enabled for online payments.",
    ),
    why(
        "authentication_failed",
        BAD,
        "customer",
        AUTHN,
        "The customer could not be authenticated.",
    ),
    why("incorrect_otp", BAD, "customer", AUTHN, "The one-time password was not correct."),
    why("otp_expired", BAD, "customer", AUTHN, "The one-time password is no longer valid."),
    why("invalid_vpa", BAD, "customer", START, "The UPI id is not valid."),
    why(
        "payment_collect_request_expired",
        BAD,
        "customer",
        AUTHN,
        "The request to pay was not answered in time.",
    ),
    why("bank_technical_error", GATEWAY, "bank", AUTHZ, "The bank has a technical problem."),
    why("issuer_technical_error", GATEWAY, "issuer", AUTHZ, "The issuer has a technical problem."),
    why(
        "gateway_technical_error",
        GATEWAY,
        "gateway",
        AUTHZ,
        "The gateway has a technical problem.",
    ),
    why(
        "psp_not_available",
        GATEWAY,
        "customer_psp",
        AUTHZ,
        "The customer's UPI provider cannot be reached.",
    ),
    why(
        "upi_app_technical_error",
        GATEWAY,
        "customer_psp",
        AUTHN,
        "The customer's UPI app has a technical problem.",
    ),
    why(
        "transaction_daily_limit_exceeded",
        BAD,
        "customer",
        AUTHZ,
        "The customer's daily limit is used up.",
    ),
    why(
        "payment_risk_check_failed",
        BAD,
        "internal",
        AUTHZ,
        "The payment was held back by a risk check.",
    ),
    why("payment_session_expired", BAD, "customer", AUTHN, "The payment session is over."),
    why("payment_pending", BAD, "bank", AUTHZ, "The bank has not decided yet."),
    why(
        "capture_failed",
        GATEWAY,
        "gateway",
        "payment_capture",
        "The payment could not be captured.",
    ),
    why(
        "verification_failed",
        GATEWAY,
        "gateway",
        AUTHZ,
        "The bank's answer could not be verified.",
    ),
    why("server_error", SERVER, "internal", AUTHZ, "Something went wrong on our side."),
];

pub(crate) fn failure(reason: &str) -> Option<&'static Failure> {
    FAILURES.iter().find(|f| f.reason == reason)
}

/// Test cards that fail in a fixed way.
pub(crate) const FAILING_CARDS: &[(&str, &str)] = &[
    ("4100280000090000", "payment_timed_out"),
    ("4100280000080001", "insufficient_funds"),
    ("4100280000070002", "payment_cancelled"),
    ("4100280000060003", "card_declined"),
    ("4100280000030006", "card_disabled_for_online_payments"),
    ("4100280000010008", "card_number_invalid"),
    ("4100280000020007", "gateway_technical_error"),
    ("4100280000000009", "authentication_failed"),
];

/// Test cards that pay.
pub(crate) const GOOD_CARDS: &[(&str, &str)] = &[
    ("4100280000001007", "Visa"),
    ("5500670000001002", "MasterCard"),
    ("6527658900001005", "RuPay"),
];
