//! What stands on the invoice, read back with poppler.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use mela_base::pincode::State;
use mela_base::{ErrorKind, Fault, Gstin, IstDate, Paise};
use mela_pdf::{InvoiceDoc, InvoiceLine, LineTax, Party, Payment, PdfError, Supplier, invoice};
use proptest::prelude::*;

fn state(code: &str) -> State {
    State::by_code(code).unwrap()
}

/// A tax-inclusive line whose tax is taken out of its price.
fn line(
    name: &str,
    hsn: &str,
    quantity: u32,
    rupees: i64,
    rate_bp: u32,
    inside: bool,
) -> InvoiceLine {
    let unit_price = Paise::rupees(rupees);
    let discount = Paise(i64::from(quantity) * 1_050);
    let total = unit_price.checked_mul(quantity.into()).unwrap() - discount;
    let tax = total - total.mul_ratio(10_000, 10_000 + i64::from(rate_bp));
    let half = tax.mul_ratio(1, 2);
    let (tax, taxable) = if inside {
        (LineTax::State { cgst: half, sgst: half }, total - half - half)
    } else {
        (LineTax::Integrated { igst: tax }, total - tax)
    };
    InvoiceLine {
        description: name.to_owned(),
        hsn: hsn.to_owned(),
        quantity,
        uqc: "PCS".to_owned(),
        unit_price,
        mrp: Some(Paise::rupees(rupees + 300)),
        discount,
        taxable,
        rate_bp,
        tax,
        total,
    }
}

fn document(lines: Vec<InvoiceLine>, place: &str) -> InvoiceDoc {
    InvoiceDoc {
        supplier: Supplier {
            name: "Mela Demo Traders".to_owned(),
            address: vec!["12 Bazaar Road, Shivajinagar".to_owned(), "Pune 411005".to_owned()],
            gstin: Gstin::parse("27AAPFU0939F1ZV").unwrap(),
            contact: Some("support@mela.example, 020-5550100".to_owned()),
        },
        number: "MEL/26-27/000042".to_owned(),
        date: IstDate { year: 2026, month: 11, day: 23 },
        order_number: "M-7K2Q9X".to_owned(),
        buyer: Party {
            name: "Asha Rao आशा राव".to_owned(),
            address: vec!["Flat 4, Lotus Court, MG Road".to_owned(), "Bengaluru 560001".to_owned()],
            state: state("29"),
            phone: Some("+91 98765 43210".to_owned()),
            gstin: None,
        },
        ship_to: None,
        place_of_supply: state(place),
        reverse_charge: false,
        lines,
        coins_redeemed: Paise::ZERO,
        payment: Payment { method: "UPI".to_owned(), due: Paise::ZERO, upi_link: None },
    }
}

fn poppler(tool: &str, args: &[&str], pdf: &[u8]) -> Vec<u8> {
    if Command::new(tool).arg("-v").stderr(Stdio::null()).status().is_err() {
        let installed = Command::new("apt-get")
            .args(["install", "-y", "-qq", "poppler-utils"])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        assert!(installed, "this test needs `{tool}`: run `apt-get install poppler-utils` as root");
    }
    let mut child =
        Command::new(tool).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(pdf).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn text_of(pdf: &[u8]) -> String {
    String::from_utf8(poppler("pdftotext", &["-layout", "-enc", "UTF-8", "-", "-"], pdf)).unwrap()
}

/// With `MELA_PDF_OUT=<folder>` the tests leave their invoices there, to look at.
fn keep(name: &str, pdf: &[u8]) {
    if let Ok(folder) = std::env::var("MELA_PDF_OUT") {
        std::fs::write(std::path::Path::new(&folder).join(name), pdf).unwrap();
    }
}

const NAMES: [&str; 6] = [
    "Block Print Cotton Kurta ब्लॉक प्रिंट सूती कुर्ता, M, Indigo",
    "Embroidered Punjabi Jutti कढ़ाईदार पंजाबी जूती UK 6",
    "बनारसी रेशमी साड़ी",
    "Motichoor Laddu मोतीचूर लड्डू 500 g",
    "Sandalwood Agarbatti चंदन अगरबत्ती",
    "Wooden Spinning Top with String",
];

#[test]
fn every_field_of_a_long_interstate_invoice() {
    let mut lines: Vec<_> = (0..46)
        .map(|i| line(NAMES[i % 6], "620442", 1 + (i % 3) as u32, 899 + i as i64 * 37, 500, false))
        .collect();
    lines.push(line("Delivery charge", "996812", 1, 90, 1_800, false));
    let mut doc = document(lines, "29");
    doc.ship_to = Some(Party {
        name: "Kiran Rao".to_owned(),
        address: vec!["22 Brigade Road".to_owned(), "Bengaluru 560025".to_owned()],
        state: state("29"),
        phone: None,
        gstin: None,
    });
    doc.coins_redeemed = Paise::rupees(150);
    let total: Paise = doc.lines.iter().map(|l| l.total).sum();
    doc.payment = Payment {
        method: "Cash on delivery".to_owned(),
        due: total - doc.coins_redeemed,
        upi_link: Some(format!(
            "upi://pay?pa=mela@demo&pn=Mela%20Demo&am={}&cu=INR&tr=M-7K2Q9X",
            (total - doc.coins_redeemed).to_rupees()
        )),
    };
    let pdf = invoice(&doc).unwrap();
    keep("long.pdf", &pdf);
    assert_eq!(pdf, invoice(&doc).unwrap(), "the same input gives the same bytes");
    assert!(pdf.len() < 150_000, "{} bytes: the fonts are not subset", pdf.len());
    let text = text_of(&pdf);
    let pages = text.matches('\u{c}').count();
    assert!(pages >= 3);
    for expected in [
        "TAX INVOICE",
        "Mela Demo Traders",
        "12 Bazaar Road, Shivajinagar",
        "Pune 411005",
        "GSTIN: 27AAPFU0939F1ZV",
        "State: Maharashtra (code 27)",
        "MEL/26-27/000042",
        "23-11-2026",
        "M-7K2Q9X",
        "Karnataka (code 29)",
        "Reverse charge",
        "Asha Rao आशा राव",
        "Flat 4, Lotus Court, MG Road",
        "+91 98765 43210",
        "Kiran Rao",
        "22 Brigade Road",
        "620442",
        "996812",
        "PCS",
        "बनारसी रेशमी साड़ी",
        "MRP ₹1,199.00",
        "IGST",
        "@ 5%",
        "@ 18%",
        "Amount in words",
        "Cash on delivery",
        "Paid with coins",
        "-₹150.00",
        "Scan to pay by UPI",
        "computer-generated",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in:\n{text}");
    }
    assert!(!text.contains("CGST") && !text.contains("SGST"));
    assert!(text.contains(&total.to_string()) && text.contains(&doc.payment.due.to_string()));
    for (i, l) in doc.lines.iter().enumerate() {
        let amounts = [l.taxable, l.total].map(|a| a.to_string().replace('₹', ""));
        let row = text.lines().find(|t| t.trim_start().starts_with(&format!("{} ", i + 1)));
        let found = text.lines().any(|t| amounts.iter().all(|a| t.contains(a.as_str())));
        assert!(found, "line {} is not on the invoice, nearest: {row:?}", i + 1);
    }
    assert_eq!(text.matches("HSN/SAC").count(), pages, "the head of the table is on every page");
    assert!(
        text.contains(&format!("page 1 of {pages}"))
            && text.contains(&format!("page {pages} of {pages}"))
    );
}

#[test]
fn inside_a_state_and_a_territory() {
    let mut doc = document(
        vec![line(NAMES[0], "6204", 2, 899, 500, true), line(NAMES[3], "2106", 1, 342, 25, true)],
        "27",
    );
    let pdf = invoice(&doc).unwrap();
    keep("short.pdf", &pdf);
    let text = text_of(&pdf);
    for expected in
        ["CGST", "SGST", "@ 2.5%", "@ 0.125%", "Amount paid", "same as billed to", "₹0.00"]
    {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("IGST") && !text.contains("Scan to pay"));
    assert_eq!(text.matches('\u{c}').count(), 1);

    // Chandigarh: the same tax under the other name.
    doc.supplier.gstin = Gstin::parse("04AAPFU0939F1Z3").unwrap();
    doc.place_of_supply = state("04");
    for l in &mut doc.lines {
        if let LineTax::State { cgst, sgst } = l.tax {
            l.tax = LineTax::Territory { cgst, utgst: sgst };
        }
    }
    let text = text_of(&invoice(&doc).unwrap());
    assert!(
        text.contains("UTGST") && !text.contains("SGST") && text.contains("Chandigarh (code 04)")
    );
}

#[test]
fn exempt_goods_have_their_own_title() {
    let exempt = line("Firozabad Glass Bangles", "7018", 1, 149, 0, false);
    let taxed = line(NAMES[1], "6405", 1, 699, 500, false);
    let title = |lines: Vec<InvoiceLine>| text_of(&invoice(&document(lines, "29")).unwrap());
    assert!(title(vec![exempt.clone()]).contains("BILL OF SUPPLY"));
    assert!(title(vec![exempt, taxed.clone()]).contains("INVOICE-CUM-BILL OF SUPPLY"));
    assert!(title(vec![taxed]).contains("TAX INVOICE"));
}

#[test]
fn contradictions_are_refused() {
    let good = document(vec![line(NAMES[0], "6204", 1, 899, 500, false)], "29");
    let code = |change: &dyn Fn(&mut InvoiceDoc)| {
        let mut doc = good.clone();
        change(&mut doc);
        let error = invoice(&doc).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Internal);
        error.code()
    };
    for number in ["", "MEL/26-27/0000042", "MEL 42", "मेला-42"] {
        assert_eq!(code(&|d| d.number = number.to_owned()), "INVOICE_BAD_NUMBER");
    }
    assert_eq!(code(&|d| d.lines.clear()), "INVOICE_NO_LINES");
    assert_eq!(code(&|d| d.lines[0].taxable.0 += 1), "INVOICE_DOES_NOT_ADD_UP");
    assert_eq!(code(&|d| d.place_of_supply = state("27")), "INVOICE_WRONG_HEADS");
    assert_eq!(code(&|d| d.payment.due = Paise::rupees(900)), "INVOICE_OVERPAID");
    let mut doc = good.clone();
    doc.payment.due = doc.lines[0].total;
    doc.payment.upi_link = Some("x".repeat(4_000));
    assert!(matches!(invoice(&doc), Err(PdfError::Internal(_))));
    assert!(!format!("{good:?} {:?}", good.buyer).contains("Asha"));
}

#[test]
fn what_does_not_fit_is_cut_and_not_overprinted() {
    let mut l = line(
        &"बहुत लंबा नाम और very long name ".repeat(60),
        "62044290",
        99_999,
        9_999_999,
        500,
        false,
    );
    l.mrp = Some(Paise::MAX_AMOUNT);
    let mut doc = document(vec![l.clone(), l], "29");
    doc.buyer.address = vec!["A-very-long-word-without-any-space-".repeat(30); 40];
    doc.supplier.name = "A supplier with a name that does not end ".repeat(10);
    let pdf = invoice(&doc).unwrap();
    keep("cut.pdf", &pdf);
    assert!(text_of(&pdf).contains('…'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_text_makes_an_invoice(name in ".{0,120}", party in "\\PC{0,80}", lines in 1..30_usize) {
        let mut doc = document(vec![line(&name, "6204", 1, 899, 500, false); lines], "29");
        doc.buyer.name.clone_from(&party);
        doc.buyer.address = vec![party, name];
        let pdf = invoice(&doc).unwrap();
        prop_assert!(pdf.starts_with(b"%PDF-"));
    }
}
