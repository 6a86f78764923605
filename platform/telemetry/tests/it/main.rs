//! Logs, metrics and request ids through the public interface.

use std::sync::Arc;
use std::time::Duration;

use mela_base::{Env, ErrorKind, ManualClock, Phone, Timestamp};
use mela_telemetry::{
    Metrics, Outcome, PersonalData, accept_request_id, personal_data_in, request_id, test_capture,
};

#[test]
fn request_ids() {
    let env = Env::test(Arc::new(ManualClock::new(Timestamp::from_unix_s(1_790_000_000))), 1);
    let id = request_id(&env);
    assert!(id.starts_with("req_") && id.len() == 30);
    assert_ne!(id, request_id(&env));
    assert_eq!(accept_request_id(&id).as_deref(), Some(&*id));
    for bad in [
        "",
        "short",
        &"x".repeat(65),
        "has space in it",
        "9876543210",
        "new\nline-12345",
        "é23456789",
    ] {
        assert!(accept_request_id(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn the_four_signals_of_an_operation() {
    let metrics = Metrics::default();
    let op = metrics.operation("orders.place");
    op.start().end(Outcome::Ok);
    metrics.operation("orders.place").start().end(Outcome::Error(ErrorKind::Conflict));
    drop(op.start());
    let running = op.start();
    let text = metrics.render();
    for line in [
        "# TYPE mela_requests_total counter",
        "mela_requests_total{operation=\"orders.place\",outcome=\"ok\"} 1",
        "mela_requests_total{operation=\"orders.place\",outcome=\"conflict\"} 1",
        "mela_requests_total{operation=\"orders.place\",outcome=\"dropped\"} 1",
        "# TYPE mela_request_seconds histogram",
        "mela_request_seconds_bucket{operation=\"orders.place\",le=\"+Inf\"} 3",
        "mela_request_seconds_count{operation=\"orders.place\"} 3",
        "mela_requests_running{operation=\"orders.place\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    running.end(Outcome::Ok);
    assert!(metrics.render().contains("mela_requests_running{operation=\"orders.place\"} 0"));
    assert_eq!(op.count(Outcome::Ok), 2);
}

#[test]
fn the_text_format() {
    let metrics = Metrics::default();
    metrics.counter("mela_things_total", "Things.", &[("kind", "a\"b\\c\nd")]).add(3);
    metrics.gauge("mela_level", "Level.", &[]).set(-2);
    metrics.sampled("mela_queue", "Queue.", &[("part", "db")], || 1.5);
    let h = metrics.histogram("mela_job_seconds", "Jobs.", &[]);
    for us in [0, 100, 101, 2_500, 1_000_000, 60_000_000] {
        h.observe(Duration::from_micros(us));
    }
    assert_eq!(h.count(), 6);
    let text = metrics.render();
    let ours = text.lines().filter(|l| !l.contains("process_")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(ours);
}

#[test]
fn the_list_of_metrics_can_be_kept() {
    let metrics = Metrics::default();
    metrics.operation("a.b");
    metrics.gauge("mela_level", "Level.", &[]);
    let names = metrics.names();
    for name in [
        "mela_requests_total counter",
        "mela_request_seconds histogram",
        "mela_requests_running gauge",
        "mela_level gauge",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
}

#[test]
fn labels_cannot_fill_the_memory() {
    let metrics = Metrics::default();
    for i in 0..3 * Metrics::MAX_SERIES {
        metrics.operation(&format!("made.up{i}")).start().end(Outcome::Ok);
    }
    let text = metrics.render();
    let lines = text.lines().filter(|l| l.starts_with("mela_requests_total{")).count();
    assert_eq!(lines, Metrics::MAX_SERIES + 1);
    let other = format!("operation=\"other\",outcome=\"ok\"}} {}", 2 * Metrics::MAX_SERIES);
    assert!(text.contains(&other));
}

#[test]
fn counting_from_many_threads_loses_nothing() {
    let metrics = Metrics::default();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let op = metrics.operation("x.y");
                (0..10_000).for_each(|_| op.start().end(Outcome::Ok));
            });
        }
    });
    assert_eq!(metrics.operation("x.y").count(Outcome::Ok), 40_000);
}

#[tokio::test]
async fn the_event_loop_is_watched() {
    let metrics = Metrics::default();
    let watch = tokio::spawn(metrics.clone().watch_event_loop());
    let seen = async {
        while metrics.histogram("mela_event_loop_delay_seconds", "", &[]).count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
    watch.abort();
}

#[test]
fn captured_lines_show_what_leaks_and_masked_types_do_not() {
    let capture = test_capture();
    let phone = Phone::parse("98765 43210").unwrap();
    tracing::info!(phone = %phone, who = ?phone, request_id = "req_1", "masked line");
    let lines = capture.lines();
    let line = lines.iter().find(|l| l.contains("masked line")).unwrap();
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["fields"]["phone"], "+91******3210");
    assert_eq!(personal_data_in(line), None, "{line}");
    tracing::debug!(phone = phone.e164(), "leaking line");
    let (kind, line) = capture.personal_data().unwrap();
    assert!(kind == PersonalData::Mobile && line.contains("leaking line"));
}
