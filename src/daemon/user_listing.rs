//! Asks servers for their users, for the sources that are one for each of these, and notes what they say.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::sync_schedule::login_wait;
use crate::config::{Config, LimitsConfig, ServerUsers, UserListing};
use crate::http::Hosts;
use crate::source::caldav::{CaldavError, ListedUsers, UserLister};

/// How long a command that asks once waits for lists of users.
const FIRST_LISTS: Duration = Duration::from_secs(60);
/// After a list that failed, the next try comes after this, if the interval is not shorter.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Asks all servers of `config` for their users, once, and notes what they say in its `server_users`. It shares no
/// access tokens with what follows, which asks for its own with the refresh token that is in the file by then.
pub async fn list_users(config: &Config) {
    let hosts = Hosts::new(config.limits.max_requests_per_host);
    let mut asking = JoinSet::new();
    for listing in config.listings.clone() {
        let (limits, hosts, noted) = (config.limits, hosts.clone(), config.server_users.clone());
        asking.spawn(async move {
            let listed = async { UserLister::new(&listing, &limits, &hosts)?.list().await };
            let listed = match timeout(FIRST_LISTS, listed).await {
                Ok(listed) => listed.map_err(|error| error.to_string()),
                Err(_) => Err(format!("the server did not list its users within {} s", FIRST_LISTS.as_secs())),
            };
            noted.note(&listing.source, listed.map(|listed| listed.users));
        });
    }
    while asking.join_next().await.is_some() {}
}

/// Asks the servers of `config` for their users again and again, as long as what is returned is there.
pub(super) fn follow(config: &Config, hosts: &Hosts) -> JoinSet<()> {
    let mut following = JoinSet::new();
    for listing in config.listings.clone() {
        let following_one = follow_one(listing, config.limits, hosts.clone(), config.server_users.clone());
        following.spawn(following_one);
    }
    following
}

async fn follow_one(listing: UserListing, limits: LimitsConfig, hosts: Hosts, noted: ServerUsers) {
    let lister = match UserLister::new(&listing, &limits, &hosts) {
        Ok(lister) => lister,
        Err(error) => {
            noted.note(&listing.source, Err(error.to_string()));
            return;
        }
    };
    let (mut refused, mut left_out) = (0_u32, 0);
    loop {
        let listed = lister.list().await;
        let is_refused = matches!(listed, Err(CaldavError::Unauthorized { .. } | CaldavError::TokenRefused(_)));
        let wait = match &listed {
            Ok(_) => listing.interval,
            // A server that asks not to wait at all is not asked without a pause.
            Err(error) => error.retry_after().unwrap_or_default().max(RETRY_AFTER.min(listing.interval)),
        };
        if let Ok(ListedUsers { left_out: now, .. }) = &listed
            && *now != left_out
        {
            left_out = *now;
            tracing::warn!(
                source.name = listing.source,
                principals.left_out = left_out,
                "the server lists principals whose names cannot be users here"
            );
        }
        noted.note(&listing.source, listed.map(|listed| listed.users).map_err(|error| error.to_string()));
        if is_refused {
            refused = refused.saturating_add(1);
            tokio::select! {
                () = sleep(login_wait(refused)) => {}
                () = lister.changes() => {}
            }
        } else {
            refused = 0;
            sleep(wait).await;
        }
    }
}
