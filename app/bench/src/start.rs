//! How long a start and an import take, and what an idle server holds in memory.

use std::path::Path;
use std::time::Duration;

use crate::goods::write_catalogue;
use crate::report::{Figure, Report};
use crate::server::Place;
use crate::{BenchError, Common, Engine, FIRST};

/// Runs the start benchmark on one engine: the median of five starts.
pub(crate) async fn start(common: &Common, engine: Engine) -> Result<Vec<Figure>, BenchError> {
    let mut report = Report::new(common.json, "start", engine.name());
    let place = Place::new(engine)?;
    let products = common.products.unwrap_or(2_000);
    write_catalogue(&place.dir.join("goods"), products)?;
    place.import(&place.dir.join("goods"), "1").await?;
    report.say(format_args!("{products} products"));
    let roles = common.roles("web,checkout,play,worker");
    // The first one makes what an import may have left to make.
    let (server, first) = place.serve(roles, &common.settings(), FIRST).await?;
    report.figure("first_start_ms", first.as_secs_f64() * 1_000.0)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.stop().await?;
    let mut times = Vec::new();
    for n in 0..5 {
        let (server, took) = place.serve(roles, &common.settings(), FIRST).await?;
        times.push(took.as_secs_f64() * 1_000.0);
        if n == 4 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            report.figure("rss_mib", server.rss_mib()?)?;
        }
        server.stop().await?;
    }
    times.sort_by(f64::total_cmp);
    report.figure("start_ms", times[2])?;
    report.figure("start_max_ms", times[4])?;
    let binary = std::env::current_exe().and_then(std::fs::metadata).map_err(BenchError::new)?;
    report.figure("binary_mib", binary.len() as f64 / f64::from(1 << 20))?;
    Ok(report.end())
}

/// Runs the import benchmark on one engine, without pictures: rows of all files per second, from
/// exec to exit, into an empty shop and once more with nothing to change.
pub(crate) async fn import(
    common: &Common,
    engine: Engine,
    catalog: Option<&Path>,
    rate: &str,
) -> Result<Vec<Figure>, BenchError> {
    let mut report = Report::new(common.json, "import", engine.name());
    let place = Place::new(engine)?;
    let (folder, rows) = match catalog {
        Some(folder) => (folder.to_owned(), count_rows(folder)?),
        None => {
            let folder = place.dir.join("goods");
            let rows = write_catalogue(&folder, common.products.unwrap_or(4_000))?;
            (folder, rows)
        }
    };
    report.say(format_args!("{rows} rows"));
    let first = place.import(&folder, rate).await?;
    report.figure("rows", rows as f64)?;
    report.figure("rows_per_second", rows as f64 / first.as_secs_f64())?;
    let again = place.import(&folder, rate).await?;
    report.figure("rows_per_second_again", rows as f64 / again.as_secs_f64())?;
    Ok(report.end())
}

/// Records of all CSV files of a folder: lines that begin outside of quotes, without the headers.
fn count_rows(folder: &Path) -> Result<u64, BenchError> {
    let mut rows = 0;
    for entry in std::fs::read_dir(folder).map_err(BenchError::new)? {
        let path = entry.map_err(BenchError::new)?.path();
        if path.extension().is_some_and(|e| e == "csv") {
            rows += records(&std::fs::read(path).map_err(BenchError::new)?).saturating_sub(1);
        }
    }
    if rows == 0 {
        let folder = folder.display();
        return Err(BenchError::new(format_args!("{folder} holds no CSV file with rows")));
    }
    Ok(rows)
}

fn records(csv: &[u8]) -> u64 {
    let (mut rows, mut quoted, mut empty) = (0, false, true);
    for byte in csv {
        quoted ^= *byte == b'"';
        match byte {
            b'\n' if !quoted => {
                rows += u64::from(!empty);
                empty = true;
            }
            b'\r' => {}
            _ => empty = false,
        }
    }
    rows + u64::from(!empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_as_csv_counts_them() {
        assert_eq!(records(b"a,b\n1,\"x\ny\"\n\n2,z"), 3);
        assert_eq!(records(b""), 0);
        assert_eq!(records(b"a\r\n\r\n"), 1);
    }
}
