//! What is kept of the metrics, step by step.

use super::{shown::Shown, *};

/// A minute's beginning.
const START: i64 = 1_769_860_800;

fn at(seconds: i64) -> Reading {
    let moment = Micros((START + seconds) * 1_000_000);
    Reading { wall: moment, steady: moment }
}

/// What is shown of a metric since `since` seconds, at `now` seconds.
fn shown(recorder: &Recorder, name: &str, since: i64, now: i64, step: u64) -> Vec<Shown> {
    let wanted = Wanted { metric: metric(name).unwrap(), labels: Vec::new(), limit: 10 };
    let step = Some(Duration::from_secs(step));
    let window = Window::of(at(since).wall, step, at(now).wall).unwrap();
    recorder.shown(&wanted, window, |_| true).0
}

fn values(recorder: &Recorder, name: &str, since: i64, now: i64, step: u64) -> Vec<Option<f32>> {
    let mut shown = shown(recorder, name, since, now, step);
    assert_eq!(shown.len(), 1, "{shown:?}");
    shown.remove(0).values
}

fn appended(total: u32) -> String {
    format!("milkrun_events_appended_total{{topic=\"a\"}} {total}\n")
}

#[test]
fn a_counter_is_a_rate_and_a_missed_look_is_a_gap() {
    let mut recorder = Recorder::default();
    for (seconds, total) in [(0, 5), (10, 5), (20, 105), (25, 900), (40, 125), (50, 25)] {
        recorder.step(at(seconds), &appended(total));
    }
    let rates = values(&recorder, "milkrun_events_appended_total", 0, 50, 10);
    // Of the first look there is no rate; the look at 25 s was of a slot that had its value, and what
    // fell has begun anew.
    assert_eq!(rates, [None, Some(0.0), Some(10.0), None, Some(1.0), Some(2.5)]);
}

#[test]
fn a_counter_that_is_new_was_at_zero_while_somebody_looked() {
    let mut recorder = Recorder::default();
    recorder.step(at(0), "");
    recorder.step(at(10), "");
    recorder.step(at(20), &appended(20));
    let rates = values(&recorder, "events_appended", -10, 20, 10);
    assert_eq!(rates, [None, None, Some(0.0), Some(2.0)]);
}

#[test]
fn minutes_are_means_and_of_latencies_quantiles_of_their_own() {
    let mut recorder = Recorder::default();
    let name = "milkrun_delivery_seconds";
    for look in 0..=12_i64 {
        // In the first minute everything takes 0.01 s at most, in the second 100 times as long.
        let (soon, all) = (look.min(6) * 10, look * 10);
        let text = format!(
            "milkrun_subscription_owed{{subscription=\"b\"}} {look}\n\
             {name}_bucket{{le=\"0.01\",subscription=\"b\"}} {soon}\n\
             {name}_bucket{{le=\"1.0\",subscription=\"b\"}} {all}\n\
             {name}_bucket{{le=\"+Inf\",subscription=\"b\"}} {all}\n"
        );
        recorder.step(at(look * 10), &text);
    }
    let owed = "milkrun_subscription_owed";
    assert_eq!(values(&recorder, owed, 0, 120, 60), [Some(2.5), Some(8.5)]);
    assert_eq!(values(&recorder, owed, 0, 120, 120), [Some(5.5)]);
    let latencies = shown(&recorder, name, 0, 120, 60);
    let labels: Vec<_> = latencies.iter().map(|one| one.labels[0].1.as_str()).collect();
    assert_eq!(labels, ["0.5", "0.95", "0.99"]);
    let median = &latencies[0].values;
    assert!(median[0].unwrap() < 0.011 && median[1].unwrap() > 0.3, "{median:?}");
}

#[test]
fn what_finds_no_room_is_counted_and_what_ended_makes_room() {
    let mut recorder = Recorder::holding(2);
    let heads = |topics: &[&str]| -> String {
        let line = |topic: &&str| format!("milkrun_topic_head{{topic=\"{topic}\"}} 1");
        topics.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    recorder.step(at(0), &heads(&["a", "b", "c"]));
    assert_eq!((recorder.missing(), recorder.kept.len()), (1, 2));
    for look in 1..=13 {
        recorder.step(at(look * 10), &heads(&["b", "c"]));
    }
    assert_eq!(recorder.missing(), 0);
    let topics: Vec<_> = recorder.kept.keys().map(|(_, labels)| labels[0].1.as_str()).collect();
    assert_eq!(topics, ["b", "c"]);
}

#[test]
fn a_wall_that_is_set_back_begins_anew() {
    let mut recorder = Recorder::default();
    recorder.step(at(3_600), &appended(5));
    recorder.step(at(3_610), &appended(15));
    recorder.step(at(0), &appended(20));
    let wanted =
        Wanted { metric: metric("events_appended").unwrap(), labels: Vec::new(), limit: 9 };
    let window = Window::of(at(0).wall, None, at(3_600).wall).unwrap();
    assert_eq!(recorder.shown(&wanted, window, |_| true).0, []);
}

#[test]
fn a_window_says_what_is_wrong_with_a_step() {
    let window = |since: i64, step: u64| {
        Window::of(at(-since).wall, Some(Duration::from_secs(step)), at(0).wall)
    };
    assert_eq!(window(3_600, 10).unwrap().length(), 360);
    assert_eq!(window(86_400, 300).unwrap().length(), 288);
    assert_eq!(window(999_999, 60).unwrap().length(), 1_440, "a day is kept");
    for (since, step) in [(60, 5), (60, 15), (60, 7_200), (60, 0), (7_200, 10)] {
        window(since, step).unwrap_err();
    }
}

#[test]
fn looking_costs_a_hundredth_of_the_time_at_most() {
    let wait = |now, took| pause(at(now).wall, Duration::from_millis(took)).as_secs();
    assert_eq!((wait(0, 0), wait(9, 0), wait(3, 50)), (10, 1, 7));
    assert_eq!(wait(0, 1_000), 110);
}
