//! The feed against a real mosquitto: order, nothing lost, and refusals in words.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use feed_support::{Authority, Broker, Desk, Gate, Listener, Subscriber, config, mosquitto_here, wait_for};
use gateway::state::outbox::Kind;

mod feed_support;

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_order_and_then_leave_the_queue() {
    let Some(()) = mosquitto_here() else { return };
    let ca = Authority::new();
    let broker = Broker::start(&ca, &ca, Listener::default());
    let sub = Subscriber::start(broker.plain);
    sub.subscribed(&broker).await;
    let desk = Desk::new();
    for n in 0..300 {
        desk.push(Kind::Alarm, &format!("alarm/pump-3/{n}"), n);
    }
    let feed = desk.feed(config(&broker, broker.tls, Some(&ca)));
    wait_for("300 messages", || sub.heard("alarm/").len() == 300).await;
    let heard = sub.heard("alarm/");
    let numbers: Vec<u64> = heard.iter().map(|m| m.sequence.unwrap()).collect();
    assert_eq!(numbers, (1..=300).collect::<Vec<_>>(), "in order, once, numbered by row");
    wait_for("an empty queue", || desk.queued() == 0).await;
    assert_eq!(desk.told(), vec![Ok(())]);

    // One at a time, as alarms come: from the bell to the subscriber.
    let mut took: Vec<Duration> = Vec::new();
    for n in 300..500 {
        let began = Instant::now();
        desk.push(Kind::Alarm, &format!("alarm/pump-3/{n}"), n);
        while sub.heard_last_topic() != Some(format!("headgate/cell-4/alarm/pump-3/{n}")) {
            assert!(began.elapsed() < Duration::from_secs(5), "message {n} did not come");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        took.push(began.elapsed());
    }
    took.sort();
    println!(
        "queue to subscriber, 200 messages: p50 {:?} p99 {:?} max {:?}",
        took[100], took[197], took[199]
    );

    // Alarms, the state of the gate and of the connection are there for whoever asks later; verdicts are not.
    desk.push(Kind::Verdict, "verdict/pump-3", 1);
    desk.push(Kind::Status, "status/gate", 1);
    desk.push(Kind::Status, "status/gate", 2);
    wait_for("an empty queue", || desk.queued() == 0).await;
    let late = Subscriber::start(broker.plain);
    wait_for("retained messages", || late.heard("status/").len() == 2 && late.heard("alarm/").len() >= 200)
        .await;
    assert!(late.heard("verdict/").is_empty(), "an event is not retained");
    let retained: BTreeMap<String, String> =
        late.heard("status/").into_iter().map(|m| (m.topic, m.payload)).collect();
    assert_eq!(retained["headgate/cell-4/status/connection"], r#"{"online":true}"#);
    assert_eq!(retained["headgate/cell-4/status/gate"], r#"{"n":2}"#);

    feed.stop().await;
    wait_for("the last will", || {
        late.heard("status/connection").last().is_some_and(|m| m.payload == r#"{"online":false}"#)
    })
    .await;
    assert_eq!(desk.told(), vec![Ok(())]);
}

/// The subscriber is a witness only while it is connected, so the feed is let through to a restarted
/// broker only after the subscriber.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_is_killed_three_times() {
    let Some(()) = mosquitto_here() else { return };
    const MESSAGES: u64 = 500;
    let ca = Authority::new();
    let mut broker = Broker::start(&ca, &ca, Listener::default());
    let sub = Subscriber::start(broker.plain);
    sub.subscribed(&broker).await;
    let gate = Arc::new(Gate::default());
    let port = gate.to(broker.tls).await;
    let desk = Desk::new();
    let feed = desk.feed(config(&broker, port, Some(&ca)));

    let producer = tokio::spawn({
        let desk = desk.clone();
        async move {
            for n in 0..MESSAGES {
                desk.push(Kind::Alarm, &format!("alarm/pump-3/{n}"), n);
                if n % 5 == 4 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    });
    for kill in 1..=3 {
        wait_for("messages to flow", || sub.heard("alarm/").len() as u64 >= kill * MESSAGES / 4).await;
        gate.shut.store(true, Ordering::SeqCst);
        if kill == 2 {
            // Messages arrive and their acknowledgements do not: they must come a second time.
            gate.deaf.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        broker.kill();
        wait_for("the loss to be told", || desk.told().iter().filter(|t| t.is_err()).count() as u64 == kill)
            .await;
        broker.restart();
        sub.subscribed(&broker).await;
        gate.shut.store(false, Ordering::SeqCst);
        gate.deaf.store(false, Ordering::SeqCst);
        wait_for("the broker to be back", || desk.told().last() == Some(&Ok(()))).await;
    }
    producer.await.unwrap();
    wait_for("an empty queue", || desk.queued() == 0).await;
    let received = broker.received();

    let expected: BTreeSet<String> =
        (0..MESSAGES).map(|n| format!("headgate/cell-4/alarm/pump-3/{n}")).collect();
    let at_broker: BTreeSet<String> = received.iter().filter(|t| t.contains("/alarm/")).cloned().collect();
    let missing: Vec<&String> = expected.difference(&at_broker).collect();
    assert!(missing.is_empty(), "never reached the broker: {missing:?}");
    wait_for("every message to be heard", || {
        sub.heard("alarm/").iter().map(|m| m.topic.clone()).collect::<BTreeSet<_>>() == expected
    })
    .await;

    // First arrivals are in order, and every copy of a message has the same number.
    let heard = sub.heard("alarm/");
    let mut firsts: Vec<u64> = Vec::new();
    let mut number_of: BTreeMap<String, u64> = BTreeMap::new();
    for message in &heard {
        let sequence = message.sequence.unwrap();
        match number_of.insert(message.topic.clone(), sequence) {
            Some(before) => assert_eq!(before, sequence, "{}", message.topic),
            None => firsts.push(sequence),
        }
    }
    assert!(firsts.is_sorted(), "{firsts:?}");
    let distinct: BTreeSet<u64> = number_of.values().copied().collect();
    assert_eq!(distinct.len() as u64, MESSAGES, "different messages have different numbers");
    let told = desk.told();
    assert!(heard.len() as u64 >= MESSAGES + 5, "{} copies", heard.len());
    println!(
        "3 kills, {MESSAGES} messages: lost 0, heard twice {}, told {told:?}",
        heard.len() as u64 - MESSAGES
    );
    assert_eq!(
        told.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true, false, true, false, true]
    );
    feed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_at_the_start_is_told_once_and_found_when_it_comes() {
    let Some(()) = mosquitto_here() else { return };
    let ca = Authority::new();
    let mut broker = Broker::start(&ca, &ca, Listener::default());
    broker.kill();
    let desk = Desk::new();
    desk.push(Kind::Alarm, "alarm/pump-3/HG-6001", 1);
    let feed = desk.feed(config(&broker, broker.tls, Some(&ca)));
    tokio::time::sleep(Duration::from_millis(1500)).await; // several tries
    let told = desk.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].as_ref().unwrap_err().contains("cannot be reached"), "{told:?}");
    assert_eq!(desk.queued(), 1);
    broker.restart();
    wait_for("an empty queue", || desk.queued() == 0).await;
    wait_for("the good news", || desk.told().last() == Some(&Ok(()))).await;
    assert_eq!(desk.told().len(), 2);
    assert!(broker.received().iter().any(|t| t == "headgate/cell-4/alarm/pump-3/HG-6001"));
    feed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_in_words() {
    let Some(()) = mosquitto_here() else { return };
    let (ca, other) = (Authority::new(), Authority::new());
    let good = Listener::default;
    // What is wrong, the broker, whose certificate we trust, who signed ours, the words.
    type Row<'a> = (&'a str, Listener, &'a Authority, Option<&'a Authority>, &'a str);
    let rows: [Row<'_>; 7] = [
        ("another authority", good(), &other, Some(&ca), "no authority in"),
        ("only TLS 1.2", Listener { newest: "TLSv1.2", ..good() }, &ca, Some(&ca), "does not speak TLS 1.3"),
        ("expired", Listener { years: (2020, 2021), ..good() }, &ca, Some(&ca), "expired"),
        ("of the future", Listener { years: (2090, 2095), ..good() }, &ca, Some(&ca), "valid only in"),
        ("another name", Listener { host: "elsewhere", ..good() }, &ca, Some(&ca), "for another name"),
        ("ours is foreign", good(), &ca, Some(&other), "does not accept the certificate"),
        ("we have none", good(), &ca, None, "wants a client certificate"),
    ];
    for (what, listener, trusted, signer, words) in rows {
        let broker = Broker::start(&ca, trusted, listener);
        let desk = Desk::new();
        desk.push(Kind::Alarm, "alarm/pump-3/HG-6001", 1);
        let feed = desk.feed(config(&broker, broker.tls, signer));
        wait_for(what, || !desk.told().is_empty()).await;
        tokio::time::sleep(Duration::from_millis(700)).await; // more tries
        let told = desk.told();
        println!("{what}: {told:?}");
        assert_eq!(told.len(), 1, "{what}: {told:?}");
        assert!(told[0].as_ref().is_err_and(|text| text.contains(words)), "{what}: {told:?}");
        assert_eq!((desk.queued(), broker.received().len()), (1, 0), "{what}");
        feed.stop().await;
    }
    // The other way round: TLS towards a port that speaks none.
    let broker = Broker::start(&ca, &ca, good());
    let desk = Desk::new();
    let feed = desk.feed(config(&broker, broker.plain, Some(&ca)));
    wait_for("words", || !desk.told().is_empty()).await;
    println!("plain port: {:?}", desk.told());
    assert!(desk.told()[0].as_ref().is_err_and(|text| text.contains("check port and scheme")));
    feed.stop().await;
}
