//! What the simulation of sources that lie found, once more and shortly.

use super::super::event::{Alarm, Event, Place, Trigger};
use super::super::{folder, template};
use super::world::World;
use crate::chance::Chance;
use crate::liar::lies::{Kind, Lie};

/// 2026-03-10 10:00:00 UTC.
const NOW: i64 = 1_773_136_800_000;
const DAY: i64 = 86_400_000;

/// A world with a calendar of mary's that was synced, and one event in it, whose alarm fires tomorrow.
async fn world(ledger: &std::path::Path) -> World {
    let mut world = World::new(Chance::new(1), NOW, ledger, NOW + 30 * DAY, false);
    let place = ("mary".to_owned(), "work".to_owned());
    world.server().skew = 0;
    for (user, ..) in super::SOURCES {
        world.server().make(user, "work", None, NOW);
    }
    world.model.made(&place, NOW);
    put(&mut world, "One");
    world.start().await.unwrap();
    world.advance(NOW + 20_000).await.unwrap();
    world
}

fn put(world: &mut World, summary: &str) {
    let (place, now) = (("mary".to_owned(), "work".to_owned()), world.now());
    let alarm = Alarm { action: "display", trigger: Trigger::Seconds(0), repeat: None };
    let event = Event {
        uid: "e1@example.org".to_owned(),
        summary: summary.to_owned(),
        place: Place::Utc,
        start: (NOW + DAY) / 1_000,
        all_day: false,
        rule: None,
        left_out: Vec::new(),
        overrides: Vec::new(),
        alarms: vec![alarm],
    };
    world.server().put("mary", "work", "e1.ics", &event.text(), now);
    world.model.put(&place, "e1.ics", (&event.uid, vec![(NOW + DAY, "display")]), (now, now));
}

fn lie(world: &mut World, kind: Kind) {
    let (user, calendar, from) = ("mary".to_owned(), Some("work".to_owned()), world.now());
    world.server().lies.push(Lie { user, calendar, from, until: i64::MAX, kind, all: true });
}

#[tokio::test]
async fn an_old_text_under_a_new_entity_tag_is_asked_for_again() {
    let folder = folder();
    let mut world = world(&template_in(folder.path()).await).await;
    lie(&mut world, Kind::Stale);
    put(&mut world, "Two");
    world.advance(world.now() + 60_000).await.unwrap();
    world.sync().await.unwrap();
    world.server().lies.clear();
    // It compares what the ledger has with the store.
    world.sync().await.unwrap();
    assert!(world.figures.compared > 0);
    world.end().await;
}

/// An empty ledger below `folder`.
async fn template_in(folder: &std::path::Path) -> std::path::PathBuf {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || template(&folder)).await.unwrap()
}
