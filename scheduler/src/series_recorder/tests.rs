use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use series::Point;
use testing::DEADLINE;

use super::*;

fn pulse(accepted: u64, live: u64) -> Pulse {
    let totals = |accepted| Totals { accepted, hashes: accepted.into(), ..Totals::default() };
    Pulse { hashrate: 5e6, workers: 3, accounted: totals(accepted), live: totals(live), blocks: 0 }
}

/// A recorder on a folder, and what it has warned of.
fn recorder(folder: &Path) -> (Recorder, Arc<Mutex<Vec<String>>>) {
    let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
    let warned = Arc::clone(&warnings);
    let warn = move |text| warned.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    let series = SeriesHandle::default();
    let (file, _) = FileWriter::open(folder, &series, warn);
    (Recorder::new(series, file), warnings)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the folder has these points of the step.
fn wait_for(folder: &Path, step: Step, expected: &[Point]) {
    let points = || recorder(folder).0.series.with(|series| series.points(step));
    wait_until("the points are on disk", || points() == expected);
}

#[test]
fn minutes_and_quarters_survive_a_restart_and_later_samples_join_them() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, _) = recorder(folder.path());
    (0..20).for_each(|n| first.record(9000 + 10 * n, &pulse(n, 2 * n)));
    let [minutes, quarters] = STORED.map(|step| first.series.with(|series| series.points(step)));
    assert_eq!((minutes.len(), quarters.len()), (4, 1));
    drop(first);
    wait_for(folder.path(), Step::Minute, &minutes);
    wait_for(folder.path(), Step::QuarterHour, &quarters);
    let (mut second, _) = recorder(folder.path());
    second.record(9195, &pulse(100, 0));
    second.record(9199, &pulse(101, 0));
    let last = second.series.with(|series| series.last(Step::QuarterHour)).unwrap().1;
    assert_eq!((last.samples, last.counters.accepted), (22, 19 * 3 + 1));
    assert!(second.series.with(|series| series.points(Step::TenSeconds)).len() == 1);
}

#[test]
fn a_clock_that_is_set_back_takes_what_is_to_come_from_the_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = recorder(folder.path());
    [9000, 9060, 9120, 99_000, 9065, 9130].into_iter().for_each(|time| recorder.record(time, &pulse(1, 0)));
    let minutes = recorder.series.with(|series| series.points(Step::Minute));
    assert_eq!(minutes.iter().map(|point| point.at).collect::<Vec<_>>(), [9060, 9120]);
    drop(recorder);
    wait_for(folder.path(), Step::Minute, &minutes);
}

#[test]
fn a_folder_that_is_not_there_yet_is_not_created_and_written_later() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("state");
    let (mut recorder, _) = recorder(&folder);
    [0, 60, 120].into_iter().for_each(|time| recorder.record(time, &pulse(1, 0)));
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    recorder.record(180, &pulse(1, 0));
    let minutes = recorder.series.with(|series| series.points(Step::Minute));
    assert_eq!(minutes.len(), 4);
    wait_for(&folder, Step::Minute, &minutes);
}

#[test]
fn a_disk_that_fails_is_warned_of_once_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way: PathBuf = folder.path().join("series.sqlite");
    fs::create_dir(&in_the_way).unwrap();
    let (mut recorder, warnings) = recorder(folder.path());
    (0..5).for_each(|minute| recorder.record(60 * minute, &pulse(1, 0)));
    wait_until("it is warned of", || !warnings.lock().unwrap().is_empty());
    fs::remove_dir(&in_the_way).unwrap();
    recorder.record(300, &pulse(1, 0));
    let minutes = recorder.series.with(|series| series.points(Step::Minute));
    wait_for(folder.path(), Step::Minute, &minutes);
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("not kept on disk") && warnings[0].contains("series.sqlite"),
        "{warnings:?}"
    );
}

#[test]
fn a_file_that_is_no_series_is_left_alone() {
    for content in ["Dear diary, ".repeat(200), String::new()] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series.sqlite");
        fs::write(&path, &content).unwrap();
        let (mut recorder, warnings) = recorder(folder.path());
        [0, 60, 120].into_iter().for_each(|time| recorder.record(time, &pulse(1, 0)));
        if content.is_empty() {
            // An empty file is an empty database.
            let minutes = recorder.series.with(|series| series.points(Step::Minute));
            drop(recorder);
            wait_for(folder.path(), Step::Minute, &minutes);
        } else {
            drop(recorder);
            wait_until("both are warned of", || warnings.lock().unwrap().len() == 2);
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }
}

#[test]
fn a_newer_format_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("series.sqlite")).unwrap();
    database.execute_batch("PRAGMA user_version = 7").unwrap();
    let (mut recorder, warnings) = recorder(folder.path());
    [0, 60].into_iter().for_each(|time| recorder.record(time, &pulse(1, 0)));
    wait_until("both are warned of", || warnings.lock().unwrap().len() == 2);
    assert!(warnings.lock().unwrap()[0].contains("format 7"));
    assert!(!database.table_exists(None, "point").unwrap());
}

#[test]
fn counters_do_not_fall_when_a_worker_ends_and_begin_anew_with_a_framework() {
    let mut counted = Counted::default();
    let mut accepted = |accounted, live| counted.counters(&pulse(accounted, live)).accepted;
    assert_eq!([accepted(0, 4), accepted(3, 0), accepted(5, 1), accepted(7, 0)], [4, 4, 6, 7]);
    assert_eq!([accepted(0, 0), accepted(2, 0)], [0, 2], "the ledger is empty");
}
