//! What stands outside of the house.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mela_base::ids::{MessageId, OrderId, PaymentId};
use mela_base::{Op, Page, PageRequest, Paise, Phone, pincode};
use mela_db::Tx;
use mela_messaging_api::{Message, MessageStream, Messaging, MessagingError, NewMessage};
use mela_notify_api::{Mail, MailSender, NotifyError, SmsSender, SmsTemplate};
use mela_payments::PaymentsService;
use mela_payments_api::{
    Callback, NewPayment, NewRefund, NextStep, Payment, PaymentError, Payments, WebhookAck,
};
use mela_shipping_api::{NewParcel, Parcel, Serviceability, Shipping, ShippingError};

/// The real payments; only what would go to the gateway's servers is noted instead.
pub(crate) struct Gateway {
    pub(crate) real: PaymentsService,
    pub(crate) down: AtomicBool,
    pub(crate) started: Mutex<Vec<PaymentId>>,
    pub(crate) refunds: Mutex<Vec<NewRefund>>,
    /// Of what was paid, how much has not gone back yet; `None` for all.
    pub(crate) left: Mutex<Option<Paise>>,
}

#[async_trait]
impl Payments for Gateway {
    fn begin_in(&self, tx: &mut Tx<'_>, payment: &NewPayment) -> Result<(), PaymentError> {
        self.real.begin_in(tx, payment)
    }

    fn cancel_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), PaymentError> {
        self.real.cancel_in(tx, order)
    }

    fn collected_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), PaymentError> {
        self.real.collected_in(tx, order)
    }

    async fn start(&self, _: &Op, payment: PaymentId) -> Result<NextStep, PaymentError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(PaymentError::GatewayUnavailable);
        }
        self.started.lock().unwrap().push(payment);
        Ok(NextStep::HostedPage { url: "https://pay.example/".into(), fields: Vec::new() })
    }

    async fn callback(
        &self,
        op: &Op,
        gateway: &str,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError> {
        self.real.callback(op, gateway, fields).await
    }

    async fn webhook(
        &self,
        op: &Op,
        gateway: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<WebhookAck, PaymentError> {
        self.real.webhook(op, gateway, headers, body).await
    }

    async fn of_orders(&self, orders: &[OrderId]) -> Result<Vec<Payment>, PaymentError> {
        self.real.of_orders(orders).await
    }

    async fn refund(&self, _: &Op, refund: NewRefund) -> Result<(), PaymentError> {
        let mut refunds = self.refunds.lock().unwrap();
        if self.left.lock().unwrap().is_some_and(|left| refund.amount > left) {
            return Err(PaymentError::RefundTooLarge);
        }
        if !refunds.iter().any(|r| r.id == refund.id) {
            refunds.push(refund);
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Courier {
    pub(crate) parcels: Mutex<Vec<NewParcel>>,
    pub(crate) cancelled: Mutex<Vec<OrderId>>,
}

#[async_trait]
impl Shipping for Courier {
    /// Everywhere but in Arunachal Pradesh; cash everywhere but in Kerala.
    fn serviceability(&self, text: &str) -> Result<Serviceability, ShippingError> {
        let place = pincode::lookup(text);
        let state = place.ok_or_else(|| ShippingError::InvalidPincode(text.into()))?.state.code;
        let (deliverable, cash_on_delivery) = (state != "12", state != "32");
        Ok(Serviceability { deliverable, cash_on_delivery, days: 4 })
    }

    async fn push(&self, _: &Op, parcel: NewParcel) -> Result<(), ShippingError> {
        self.parcels.lock().unwrap().push(parcel);
        Ok(())
    }

    async fn cancel(&self, _: &Op, order: OrderId) -> Result<(), ShippingError> {
        self.cancelled.lock().unwrap().push(order);
        Ok(())
    }

    async fn of_orders(&self, _: &[OrderId]) -> Result<Vec<Parcel>, ShippingError> {
        Ok(Vec::new())
    }

    async fn webhook(&self, _: &Op, _: &str, _: &[u8]) -> Result<(), ShippingError> {
        Err(ShippingError::NotFromCourier)
    }
}

#[derive(Default)]
pub(crate) struct Phones(pub(crate) Mutex<Vec<(String, SmsTemplate, Vec<String>)>>);

#[async_trait]
impl SmsSender for Phones {
    async fn send(
        &self,
        to: &Phone,
        template: SmsTemplate,
        variables: &[&str],
    ) -> Result<(), NotifyError> {
        let variables = variables.iter().map(|v| (*v).to_owned()).collect();
        self.0.lock().unwrap().push((to.e164().to_owned(), template, variables));
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Mailbox(pub(crate) Mutex<Vec<Mail>>);

#[async_trait]
impl MailSender for Mailbox {
    async fn send(&self, mail: Mail) -> Result<(), NotifyError> {
        self.0.lock().unwrap().push(mail);
        Ok(())
    }
}

/// A list outside of the database: good enough, because ids make a message unique.
#[derive(Default, Clone)]
pub(crate) struct Inbox(pub(crate) Arc<Mutex<Vec<NewMessage>>>);

#[async_trait]
impl Messaging for Inbox {
    fn post_in(&self, _: &mut Tx<'_>, messages: &[NewMessage]) -> Result<(), MessagingError> {
        let mut inbox = self.0.lock().unwrap();
        for message in messages {
            if !inbox.iter().any(|m| m.id == message.id) {
                inbox.push(message.clone());
            }
        }
        Ok(())
    }

    async fn inbox(&self, _: &Op, _: &PageRequest) -> Result<Page<Message>, MessagingError> {
        Err(MessagingError::Unauthenticated)
    }

    async fn unread(&self, _: &Op) -> Result<u64, MessagingError> {
        Ok(0)
    }

    async fn mark_read(&self, _: &Op, _: MessageId) -> Result<(), MessagingError> {
        Ok(())
    }

    async fn watch(&self, _: &Op) -> Result<MessageStream, MessagingError> {
        Err(MessagingError::Unauthenticated)
    }
}
