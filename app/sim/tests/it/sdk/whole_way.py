# Order, payment, capture, refund and webhooks with the official client.
import json, os, time, urllib.request
import razorpay
from razorpay.errors import BadRequestError, SignatureVerificationError

sim = os.environ["SIM"]
client = razorpay.Client(auth=("rzp_test_simulator01", "simulator-key-secret"), base_url=sim)


def http(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


order = client.order.create({"amount": 50000, "currency": "INR", "receipt": "py-1", "notes": {"k": "v"}})
assert order["status"] == "created" and client.order.fetch(order["id"]) == order
try:
    client.order.create({"amount": 99, "currency": "INR"})
    raise SystemExit("an order below the minimum was taken")
except BadRequestError as e:
    assert "minimum amount" in str(e)

callback = http(sim + "/_sim/razorpay/pay", {"order_id": order["id"]})["callback"]
client.utility.verify_payment_signature(callback)
try:
    client.utility.verify_payment_signature({**callback, "razorpay_payment_id": "pay_AAAAAAAAAAAAAA"})
    raise SystemExit("a forged callback was taken")
except SignatureVerificationError:
    pass

payment = client.payment.capture(callback["razorpay_payment_id"], 50000, {"currency": "INR"})
assert payment["status"] == "captured" and payment["fee"] == 1180 and payment["tax"] == 180
assert client.order.payments(order["id"])["items"][0]["id"] == payment["id"]
assert client.order.all({"count": 5})["count"] == 1
assert client.payment.all()["count"] == 1

key = {"X-Refund-Idempotency": "python-refund-1"}
refund = client.payment.refund(payment["id"], {"amount": 20000}, headers=key)
assert client.payment.refund(payment["id"], {"amount": 20000}, headers=key)["id"] == refund["id"]
assert client.refund.fetch(refund["id"])["payment_id"] == payment["id"]
assert client.payment.fetch(payment["id"])["refund_status"] == "partial"

link = client.payment_link.create({"amount": 500, "currency": "INR", "reference_id": "py-link", "customer": {"name": "Sita"}})
assert client.payment_link.fetch(link["id"])["status"] == "created"
assert client.payment_link.all()["payment_links"][0]["id"] == link["id"]
code = client.qrcode.create({"type": "upi_qr", "usage": "multiple_use", "fixed_amount": False})
assert client.qrcode.fetch(code["id"])["status"] == "active"

wanted = {"payment.authorized", "payment.captured", "order.paid", "refund.created", "refund.processed", "qr_code.created"}
for _ in range(200):
    received = http(os.environ["RECEIVED"])
    if len(received) >= len(wanted):
        break
    time.sleep(0.05)
assert {json.loads(r["body"])["event"] for r in received} == wanted
for r in received:
    client.utility.verify_webhook_signature(r["body"], r["signature"], "simulator-webhook-secret")
try:
    client.utility.verify_webhook_signature(received[0]["body"] + " ", received[0]["signature"], "simulator-webhook-secret")
    raise SystemExit("a changed webhook was taken")
except SignatureVerificationError:
    pass
print("whole way done")
