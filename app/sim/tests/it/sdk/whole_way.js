// Order, payment, capture, refund and webhooks with the official client.
const assert = require("node:assert");
const Razorpay = require("razorpay");
const { validatePaymentVerification } = require("razorpay/dist/utils/razorpay-utils");

const sim = process.env.SIM;
const rzp = new Razorpay({ key_id: "rzp_test_simulator01", key_secret: "simulator-key-secret" });
// The client knows no other way to another host.
rzp.api.rq.defaults.baseURL = sim;

(async () => {
  const order = await rzp.orders.create({ amount: 50000, currency: "INR", receipt: "js-1", notes: { k: "v" } });
  assert.strictEqual(order.status, "created");
  assert.deepStrictEqual(await rzp.orders.fetch(order.id), order);
  await assert.rejects(rzp.orders.create({ amount: 99, currency: "INR" }), e =>
    e.statusCode === 400 && e.error.reason === "amount_less_than_minimum_amount");

  const paid = await fetch(sim + "/_sim/razorpay/pay", { method: "POST", body: JSON.stringify({ order_id: order.id }) });
  const { callback } = await paid.json();
  const ids = { order_id: order.id, payment_id: callback.razorpay_payment_id };
  assert(validatePaymentVerification(ids, callback.razorpay_signature, "simulator-key-secret"));
  assert(!validatePaymentVerification({ ...ids, payment_id: "pay_AAAAAAAAAAAAAA" }, callback.razorpay_signature, "simulator-key-secret"));

  const payment = await rzp.payments.capture(callback.razorpay_payment_id, 50000, "INR");
  assert.strictEqual(payment.status, "captured");
  assert.deepStrictEqual([payment.fee, payment.tax], [1180, 180]);
  assert.strictEqual((await rzp.orders.fetchPayments(order.id)).items[0].id, payment.id);
  assert.strictEqual((await rzp.orders.all({ count: 5, "expand[]": "payments" })).count, 1);
  assert.strictEqual((await rzp.payments.all()).count, 1);

  const refund = await rzp.payments.refund(payment.id, { amount: 20000, speed: "normal" });
  assert.strictEqual((await rzp.refunds.fetch(refund.id)).payment_id, payment.id);
  assert.strictEqual((await rzp.payments.fetchMultipleRefund(payment.id)).count, 1);

  const wanted = ["order.paid", "payment.authorized", "payment.captured", "refund.created", "refund.processed"];
  let received = [];
  for (let i = 0; i < 200 && received.length < wanted.length; i++) {
    received = await (await fetch(process.env.RECEIVED)).json();
    await new Promise(done => setTimeout(done, 50));
  }
  assert.deepStrictEqual(received.map(r => JSON.parse(r.body).event).sort(), wanted);
  for (const r of received) {
    assert(Razorpay.validateWebhookSignature(r.body, r.signature, "simulator-webhook-secret"));
    assert(!Razorpay.validateWebhookSignature(r.body + " ", r.signature, "simulator-webhook-secret"));
  }
  console.log("whole way done");
})().catch(error => {
  console.error(error);
  process.exit(1);
});
