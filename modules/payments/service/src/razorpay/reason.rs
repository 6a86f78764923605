//! Why a payment failed, in words for the shopper.

/// A sentence for the gateway's reason. Unknown reasons get a plain one: the gateway's own text
/// is never shown, since the browser brings it.
pub(crate) fn sentence(reason: &str) -> &'static str {
    match reason {
        "payment_cancelled" => "The payment was cancelled. You can try again.",
        "payment_timed_out" | "payment_session_expired" | "payment_collect_request_expired" => {
            "The payment took too long. Try again; if money left your account, it comes back by itself."
        }
        "insufficient_funds" | "insufficient_fund" => {
            "The account does not have enough money. Choose another way to pay."
        }
        "card_declined" | "payment_risk_check_failed" => {
            "The bank declined the card. Try another card or UPI."
        }
        "card_number_invalid" => "The card number is not right. Check it and try again.",
        "card_disabled_for_online_payments" => {
            "This card is not enabled for online payments. Enable it at your bank, or use another one."
        }
        "authentication_failed" | "incorrect_otp" => {
            "The bank could not confirm that it was you. Try again."
        }
        "otp_expired" => "The one-time password expired. Try again.",
        "invalid_vpa" => "This UPI id does not exist. Check it and try again.",
        "transaction_daily_limit_exceeded" => {
            "The daily limit of this account is used up. Choose another way to pay."
        }
        "bank_technical_error"
        | "issuer_technical_error"
        | "gateway_technical_error"
        | "psp_not_available"
        | "upi_app_technical_error"
        | "server_error" => {
            "The bank or app has a technical problem. Wait a minute or choose another way to pay."
        }
        "payment_pending" => "The bank has not confirmed yet. We look again by ourselves.",
        "order_already_paid" | "duplicate_request" => "This order is paid already.",
        _ => "The payment did not go through. Try again or choose another way to pay.",
    }
}
