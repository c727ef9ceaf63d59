//! Who was forgotten stays forgotten, whatever is projected at that moment and whatever is projected again.

use projector::Config;
use schemas::{SealedEvent, SubjectId};
use store::{ViewsDb, ViewsRole};

use crate::history::{history, tenants, text};
use crate::rig::{Rig, shown, until};

const PEOPLE: u8 = 40;
const FORGOTTEN: u8 = 15;
const EACH: u64 = 60;

const fn person(n: u8) -> SubjectId {
    SubjectId::from_bytes([n; 16])
}

/// Everybody's messages, one after the other.
fn events() -> Vec<SealedEvent> {
    let all = 0..EACH * u64::from(PEOPLE);
    all.map(|number| text(number, u8::try_from(number % u64::from(PEOPLE)).unwrap())).collect()
}

async fn rows_of(keeper: &ViewsDb, people: std::ops::Range<u8>) -> Vec<u64> {
    let mut rows = Vec::new();
    for n in people {
        rows.push(keeper.rows_of(&tenants()[0], person(n)).await.unwrap());
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_races_with_projecting_and_nobody_is_written_again() {
    let rig = Rig::start().await;
    let keeper = ViewsDb::connect(&rig.url, ViewsRole::Keeper, 4).await.unwrap();
    let projector = rig.project(Config::default()).await;
    let rows = async |n: u8| keeper.rows_of(&tenants()[0], person(n)).await.unwrap();
    // Everybody writes and writes.
    let writing = async {
        for (round, events) in (1..).zip(events().chunks(usize::from(PEOPLE))) {
            rig.events(events).await;
            until("the last one is shown", async || rows(PEOPLE - 1).await > round).await;
        }
    };
    let forgetting = async {
        let mut removed = Vec::new();
        for n in 0..FORGOTTEN {
            // The first one before they have written anything.
            until("some of them", async || rows(n).await >= 3 * u64::from(n)).await;
            removed.push(keeper.forget(&tenants()[0], person(n)).await.unwrap());
        }
        removed
    };
    let ((), removed) = tokio::join!(writing, forgetting);
    rig.caught_up().await;
    assert_eq!(rows_of(&keeper, 0..FORGOTTEN).await, vec![0; usize::from(FORGOTTEN)]);
    // A conversation and its messages; nobody else lost a row.
    let whole = vec![EACH + 1; usize::from(PEOPLE - FORGOTTEN)];
    assert_eq!(rows_of(&keeper, FORGOTTEN..PEOPLE).await, whole);
    assert!(removed.iter().any(|rows| (1..EACH).contains(rows)), "never in the middle: {removed:?}");
    projector.stop().await;

    // All of it once more, from the start: the log still has it.
    rig.ask("DELETE FROM projection_offset");
    let projector = rig.project(Config::default()).await;
    rig.caught_up().await;
    assert_eq!(rows_of(&keeper, 0..FORGOTTEN).await, vec![0; usize::from(FORGOTTEN)]);
    assert_eq!(rows_of(&keeper, FORGOTTEN..PEOPLE).await, whole);
    let shown = shown(&rig.url).await;
    assert_eq!(shown.len(), usize::from(PEOPLE - FORGOTTEN));
    println!(
        "promise=forgotten-replayed people={PEOPLE} forgotten={FORGOTTEN} removed={} recovered=0",
        removed.iter().sum::<u64>()
    );
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_of_somebody_forgotten_makes_no_row_of_theirs() {
    let rig = Rig::start().await;
    let keeper = ViewsDb::connect(&rig.url, ViewsRole::Keeper, 2).await.unwrap();
    let events = history(7, 600);
    rig.events(&events).await;
    let projector = rig.project(Config::default()).await;
    rig.caught_up().await;
    // One of two who write alone, and one of a group of three.
    let forgotten = [person(1), person(11)];
    for whom in forgotten {
        assert!(keeper.forget(&tenants()[0], whom).await.unwrap() > 0);
    }
    rig.events(&events).await;
    rig.caught_up().await;
    for whom in forgotten {
        assert_eq!(keeper.rows_of(&tenants()[0], whom).await.unwrap(), 0);
        assert!(keeper.rows_of(&tenants()[1], whom).await.unwrap() > 0, "another tenant's person");
    }
    assert!(keeper.rows_of(&tenants()[0], person(12)).await.unwrap() > 0, "the group goes on");
    projector.stop().await;
}
