//! Who reads what: the groups of the one process, with the hand-over that Kafka's cooperative groups have.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::log::Shared;
use crate::{Topic, TopicPartition};

/// How long a member may take to finish the work of a partition it has to give up.
const HAND_OVER: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Groups(Mutex<HashMap<String, Arc<Group>>>);

pub(super) struct Group {
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    owners: BTreeMap<TopicPartition, u64>,
    /// Partitions whose owner was asked to give them up.
    leaving: HashSet<TopicPartition>,
    next_member: u64,
}

struct Member {
    id: u64,
    name: String,
    topics: Vec<Topic>,
    tell: mpsc::UnboundedSender<Told>,
}

/// What a member is told by its group.
pub(super) enum Told {
    Assign(Vec<TopicPartition>),
    Revoke {
        partitions: Vec<TopicPartition>,
        release: oneshot::Sender<()>,
    },
    /// Another member took this one's name.
    Replaced,
}

impl Groups {
    /// The group of that name. Called on a runtime.
    pub(super) fn group(&self, name: &str) -> Arc<Group> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Group { runtime: Handle::current(), state: Mutex::default() });
        groups.entry(name.to_owned()).or_insert_with(made).clone()
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins; a member of the same name is replaced, as a restarted static member replaces its former self.
    pub(super) fn join(
        self: &Arc<Self>,
        shared: &Weak<Shared>,
        name: &str,
        topics: Vec<Topic>,
    ) -> (u64, mpsc::UnboundedReceiver<Told>) {
        let (tell, told) = mpsc::unbounded_channel();
        let id = {
            let mut state = self.lock();
            if let Some(at) = state.members.iter().position(|member| member.name == name) {
                let former = state.members.remove(at);
                state.owners.retain(|_, owner| *owner != former.id);
                let _ = former.tell.send(Told::Replaced);
            }
            let id = state.next_member;
            state.next_member += 1;
            state.members.push(Member { id, name: name.to_owned(), topics, tell });
            id
        };
        self.rebalance(shared);
        (id, told)
    }

    pub(super) fn leave(self: &Arc<Self>, shared: &Weak<Shared>, id: u64) {
        {
            let mut state = self.lock();
            state.members.retain(|member| member.id != id);
            state.owners.retain(|_, owner| *owner != id);
        }
        self.rebalance(shared);
    }

    pub(super) fn owns(&self, id: u64, at: &TopicPartition) -> bool {
        self.lock().owners.get(at) == Some(&id)
    }

    /// Hands free partitions out, and asks for those that belong elsewhere.
    fn rebalance(self: &Arc<Self>, shared: &Weak<Shared>) {
        let Some(log) = shared.upgrade() else { return };
        let mut state = self.lock();
        let wanted = state.wanted(&log);
        let mut assign: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        let mut revoke: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        for (at, member) in wanted {
            match state.owners.get(&at).copied() {
                None => {
                    state.owners.insert(at.clone(), member);
                    assign.entry(member).or_default().push(at);
                }
                Some(owner) if owner != member && state.leaving.insert(at.clone()) => {
                    revoke.entry(owner).or_default().push(at);
                }
                Some(_) => {}
            }
        }
        for (member, partitions) in assign {
            state.tell(member, Told::Assign(partitions));
        }
        for (member, partitions) in revoke {
            let (release, released) = oneshot::channel();
            state.tell(member, Told::Revoke { partitions: partitions.clone(), release });
            let (group, shared) = (self.clone(), shared.clone());
            self.runtime.spawn(async move {
                // Dropped or out of time: either way the partition goes on.
                let _ = tokio::time::timeout(HAND_OVER, released).await;
                {
                    let mut state = group.lock();
                    for at in &partitions {
                        state.leaving.remove(at);
                        if state.owners.get(at) == Some(&member) {
                            state.owners.remove(at);
                        }
                    }
                }
                group.rebalance(&shared);
            });
        }
    }
}

impl State {
    fn tell(&self, id: u64, what: Told) {
        if let Some(member) = self.members.iter().find(|member| member.id == id) {
            // A member that is closing does not listen; it leaves in a moment.
            let _ = member.tell.send(what);
        }
    }

    /// An even share of each topic for each of its members, moving as little as possible.
    fn wanted(&self, log: &Shared) -> BTreeMap<TopicPartition, u64> {
        let topics: HashSet<&Topic> = self.members.iter().flat_map(|member| &member.topics).collect();
        let mut wanted = BTreeMap::new();
        for topic in topics {
            let Some(facts) = log.topic(topic) else { continue };
            let members: Vec<u64> = self
                .members
                .iter()
                .filter(|member| member.topics.contains(topic))
                .map(|member| member.id)
                .collect();
            let count = facts.partitions.len();
            let share = count / members.len().max(1);
            let mut larger = count % members.len().max(1);
            let mut load: BTreeMap<u64, usize> = members.iter().map(|member| (*member, 0)).collect();
            let mut free = Vec::new();
            for partition in 0..facts.facts.partitions {
                let at = TopicPartition::new(topic, partition);
                let kept = self.owners.get(&at).and_then(|owner| Some((*owner, load.get_mut(owner)?)));
                match kept {
                    Some((owner, has)) if *has < share || (*has == share && larger > 0) => {
                        larger -= usize::from(*has == share);
                        *has += 1;
                        wanted.insert(at, owner);
                    }
                    _ => free.push(at),
                }
            }
            for at in free {
                if let Some((member, has)) = load.iter_mut().min_by_key(|(_, has)| **has) {
                    *has += 1;
                    wanted.insert(at, *member);
                }
            }
        }
        wanted
    }
}
