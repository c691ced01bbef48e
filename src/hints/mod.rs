//! Hints: that something at a source may have changed. A hint is a name and no data: whatever it says, the source is
//! only synced sooner than it would be. It knows no source, and not where hints come from.
//!
//! * [`HintRegistry`] knows the sources that run, by name, and passes hints on to them.
//! * `receiver` is the other end, which the task of a source has: it joins hints, and holds them back.

mod error;
mod receiver;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

pub use error::HintError;
pub use receiver::{HintReceiver, SyncSummary, Wake};

/// A hint may name all users of a source at once no more often than this.
const MANY_EVERY: Duration = Duration::from_secs(10);
/// Segments of a path in which a user is looked for.
const SEGMENTS: usize = 64;

/// What a hint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintTarget<'a> {
    /// The name of a source, or of one that is made for each of several users.
    pub source: &'a str,
    /// A user of it, or a path in it that contains the user's home, decoded; none: all.
    pub path: Option<&'a str>,
}

/// The sources that run, which hints can name. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct HintRegistry(Arc<Mutex<Registered>>);

#[derive(Debug, Default)]
struct Registered {
    /// By name.
    sources: BTreeMap<String, RegisteredSource>,
    /// The names of the sources of a user, by the user's name in lower case and without its domain.
    users: HashMap<String, BTreeSet<String>>,
    /// When a hint has last named all users of a source, by its name.
    many: HashMap<String, Instant>,
}

#[derive(Debug)]
struct RegisteredSource {
    /// userId, if the source has one user.
    user: Option<String>,
    receiver: HintReceiver,
}

impl HintRegistry {
    fn registered(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on hints can name the source `name`, and `user` if it is to be synced for hints that name that user;
    /// the receiver that is returned gets them.
    pub fn register(&self, name: &str, user: Option<&str>) -> HintReceiver {
        let receiver = HintReceiver::default();
        let source = RegisteredSource { user: user.map(str::to_owned), receiver: receiver.clone() };
        let mut registered = self.registered();
        registered.remove(name);
        if let Some(user) = user {
            registered.users.entry(UserName::of(user).local).or_default().insert(name.to_owned());
        }
        registered.sources.insert(name.to_owned(), source);
        receiver
    }

    /// From now on no hint can name the source `name`.
    pub fn unregister(&self, name: &str) {
        self.registered().remove(name);
    }

    /// Passes a hint on to the sources that it names. Returns how many those are.
    ///
    /// # Errors
    /// [`HintError`] when it names none, or too many came; those sources are synced for it all the same, later.
    pub fn hint(&self, target: HintTarget<'_>) -> Result<usize, HintError> {
        let mut registered = self.registered();
        let (named, is_all) = registered.named(target);
        if named.is_empty() {
            return Err(HintError::Unknown);
        }
        if is_all {
            let now = Instant::now();
            let held = registered.many_held_until(target.source, now);
            named.iter().for_each(|(_, receiver)| match held {
                Some(until) => receiver.hint_at(until),
                None => receiver.hint(),
            });
            let retry_after = held.map(|until| until.saturating_duration_since(now));
            return retry_after.map_or(Ok(named.len()), |retry_after| Err(HintError::TooMany { retry_after }));
        }
        let now = Instant::now();
        let allowed: Vec<_> = named.iter().map(|(_, receiver)| receiver.counted_hint(now)).collect();
        allowed.into_iter().collect::<Result<Vec<()>, HintError>>().map(|all| all.len())
    }

    /// Passes a hint on to the sources of `user`, whose name may have a domain or lack it, as that of the source may:
    /// `mary` and `mary@example.org` are taken for the same. Returns how many sources those are.
    pub fn hint_user(&self, user: &str) -> usize {
        let registered = self.registered();
        let user = UserName::of(user);
        let names = registered.users.get(&user.local).into_iter().flatten();
        let sources = names.filter_map(|name| registered.sources.get(name));
        let is_theirs =
            |source: &&RegisteredSource| source.user.as_deref().is_some_and(|other| user.may_be(&UserName::of(other)));
        sources.filter(is_theirs).map(|source| source.receiver.hint()).count()
    }

    /// Has the sources that `target` names synced now, at the wish of an administrator. Returns the name of each, with
    /// what tells how its sync went; that fails if the source is stopped. Empty: none is named.
    pub fn request(&self, target: HintTarget<'_>) -> Vec<(String, oneshot::Receiver<SyncSummary>)> {
        let (named, _) = self.registered().named(target);
        named.into_iter().map(|(name, receiver)| (name, receiver.request())).collect()
    }

    /// Has all sources synced now, at the wish of an administrator.
    pub fn request_all(&self) {
        self.registered().sources.values().for_each(|source| source.receiver.request_unanswered());
    }
}

/// The name of a user, in lower case.
#[derive(Debug)]
struct UserName {
    local: String,
    domain: Option<String>,
}

impl UserName {
    fn of(name: &str) -> UserName {
        let name = name.to_lowercase();
        match name.rsplit_once('@') {
            Some((local, domain)) => UserName { local: local.to_owned(), domain: Some(domain.to_owned()) },
            None => UserName { local: name, domain: None },
        }
    }

    /// Whether both may be names of one user.
    fn may_be(&self, other: &UserName) -> bool {
        let is_one_domain = match (&self.domain, &other.domain) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.local == other.local && is_one_domain
    }
}

impl Registered {
    fn remove(&mut self, name: &str) {
        let removed = self.sources.remove(name);
        let Some(user) = removed.and_then(|source| source.user) else { return };
        let local = UserName::of(&user).local;
        if let Some(names) = self.users.get_mut(&local) {
            names.remove(name);
            if names.is_empty() {
                self.users.remove(&local);
            }
        }
    }

    /// The sources that `target` names; whether it means all users of one.
    fn named(&self, target: HintTarget<'_>) -> (Vec<(String, HintReceiver)>, bool) {
        let one = |name: &str| Some((name.to_owned(), self.sources.get(name)?.receiver.clone()));
        if let Some(named) = one(target.source) {
            return (vec![named], false);
        }
        let stem = format!("{}:", target.source);
        match target.path {
            Some(path) => {
                let segments = path.split('/').filter(|segment| !segment.is_empty()).take(SEGMENTS);
                let mut named: Vec<_> = segments.filter_map(|segment| one(&format!("{stem}{segment}"))).collect();
                named.sort_by(|(a, _), (b, _)| a.cmp(b));
                named.dedup_by(|(a, _), (b, _)| a == b);
                (named, false)
            }
            None => {
                let of_stem = self.sources.range(stem.clone()..).take_while(|(name, _)| name.starts_with(&stem));
                (of_stem.map(|(name, source)| (name.clone(), source.receiver.clone())).collect(), true)
            }
        }
    }

    /// Until when a hint that names all users of `source` and comes at `now` is held; none: it is passed on at once.
    fn many_held_until(&mut self, source: &str, now: Instant) -> Option<Instant> {
        let until = self.many.get(source).map(|last| *last + MANY_EVERY).filter(|until| *until > now);
        if until.is_none() {
            self.many.insert(source.to_owned(), now);
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn target<'a>(source: &'a str, path: Option<&'a str>) -> HintTarget<'a> {
        HintTarget { source, path }
    }

    /// Which of the sources has got a hint since this was asked last.
    fn hinted(receivers: &[(&'static str, HintReceiver)]) -> Vec<&'static str> {
        receivers.iter().filter(|(_, receiver)| receiver.take().is_hinted).map(|(name, _)| *name).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_reaches_those_that_it_names() {
        let registry = HintRegistry::default();
        let names = ["all:bob", "all:mary", "all:mary@example.org", "allow", "mary"];
        let receivers = names.map(|name| (name, registry.register(name, name.split(':').nth(1))));
        let woken = |source, path| {
            let count = registry.hint(target(source, path)).unwrap_or_default();
            let names = hinted(&receivers);
            assert_eq!(names.len(), count);
            names
        };
        assert_eq!(woken("mary", None), ["mary"]);
        assert_eq!(woken("mary", Some("work/a.ics")), ["mary"], "a path lies within a source that has a name");
        assert_eq!(woken("all", Some("bob")), ["all:bob"]);
        assert_eq!(woken("all", Some("/dav/calendars/mary@example.org/work/a.ics")), ["all:mary@example.org"]);
        assert_eq!(woken("all", Some("/dav/mary/from-bob/")), ["all:mary"]);
        assert_eq!(woken("all", Some("/dav/marya/")), [""; 0]);
        assert_eq!(woken("al", None), [""; 0]);
        assert_eq!(woken("all", None), ["all:bob", "all:mary", "all:mary@example.org"]);
        let of_user = |user| {
            let count = registry.hint_user(user);
            let names = hinted(&receivers);
            assert_eq!(names.len(), count);
            names
        };
        assert_eq!(of_user("mary"), ["all:mary", "all:mary@example.org"]);
        assert_eq!(of_user("Mary@Example.org"), ["all:mary", "all:mary@example.org"]);
        assert_eq!(of_user("mary@example.com"), ["all:mary"]);
        assert_eq!(of_user("bob@example.org"), ["all:bob"]);
        assert_eq!(of_user("ann"), [""; 0]);
        registry.unregister("all:bob");
        assert_eq!(of_user("bob"), [""; 0]);
        registry.unregister("all:mary");
        assert_eq!(of_user("mary"), ["all:mary@example.org"]);
        assert_eq!(registry.hint(target("all", Some("bob"))), Err(HintError::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn many_hints_are_too_many_and_none_is_lost() {
        let registry = HintRegistry::default();
        let receivers = [("all:mary", registry.register("all:mary", None))];
        let [(_, mary)] = &receivers;
        let began = Instant::now();
        assert_eq!(registry.hint(target("all", None)), Ok(1));
        hinted(&receivers);
        let HintError::TooMany { retry_after } = registry.hint(target("all", None)).unwrap_err() else { panic!() };
        assert_eq!(retry_after, MANY_EVERY);
        // It comes when the time is over, once.
        mary.due(began, true).await;
        assert_eq!((began.elapsed(), hinted(&receivers)), (MANY_EVERY, vec!["all:mary"]));
        assert_eq!(registry.hint(target("all", None)), Ok(1));
        hinted(&receivers);
        // One that names the user does not wait for it, nor does a request.
        assert!(registry.hint(target("all", None)).is_err());
        registry.hint(target("all", Some("mary"))).unwrap();
        mary.due(began, true).await;
        assert_eq!((began.elapsed(), hinted(&receivers)), (MANY_EVERY, vec!["all:mary"]));
        assert!(registry.hint(target("all", None)).is_err());
        registry.request_all();
        mary.due(began, true).await;
        assert_eq!((began.elapsed(), hinted(&receivers)), (MANY_EVERY, vec!["all:mary"]));
        tokio::time::advance(MANY_EVERY).await;
        let one = || registry.hint(target("all", Some("mary")));
        let accepted = (0..1_000).filter(|_| one().is_ok()).count();
        assert_eq!(accepted, 20);
        hinted(&receivers);
        assert!(one().is_err());
        assert_eq!(hinted(&receivers), ["all:mary"], "it is joined all the same");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(one(), Ok(1));
    }
}
