//! Sleeping until an instant of the wall clock. A monotonic timer would be late after a suspend and wrong after the
//! clock was set; this one wakes up for both.

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use crate::time::UtcMillis;

    /// A timer on the wall clock, which also ends when that clock is set.
    #[derive(Debug)]
    pub struct WallTimer {
        fd: AsyncFd<OwnedFd>,
    }

    impl WallTimer {
        /// # Errors
        /// When the kernel has no timer left.
        pub fn new() -> io::Result<WallTimer> {
            let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            #[allow(
                deprecated,
                reason = "its replacement is unsafe for the sake of types that may close their descriptor; this one owns it"
            )]
            let fd = AsyncFd::new(fd)?;
            Ok(WallTimer { fd })
        }

        /// Returns at the instant `at`, at once when it has passed, or when the clock is set: ask again what is due.
        /// Without an instant it returns only when the clock is set.
        pub async fn until(&self, at: Option<UtcMillis>) {
            let at = at.unwrap_or(UtcMillis::MAX);
            // Zero would disarm the timer; an instant before 1970 has passed as well one nanosecond later.
            let seconds = at.0.div_euclid(1_000).max(0);
            let nanoseconds = at.0.rem_euclid(1_000) * 1_000_000 + i64::from(seconds == 0);
            let value = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
            let timer = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
            if let Err(error) = timerfd_settime(&self.fd, flags, &timer) {
                tracing::warn!(timer.error = %error, "the wall clock's timer cannot be set; reading the clock again in a second");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                return;
            }
            while let Ok(mut ready) = self.fd.readable().await {
                match rustix::io::read(&self.fd, &mut [0_u8; 8]) {
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    // It ended, or was cancelled because the clock was set.
                    _ => return,
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::WallTimer;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    use jiff::SignedDuration;

    use crate::clock::Clock;
    use crate::time::{UtcMillis, non_negative};

    /// The longest sleep: so late can a set clock or a resume be noticed.
    const LONGEST: SignedDuration = SignedDuration::from_secs(30);

    /// A timer made of short sleeps, where the system has none on the wall clock.
    #[derive(Debug)]
    pub struct WallTimer {}

    impl WallTimer {
        /// # Errors
        /// None.
        pub fn new() -> io::Result<WallTimer> {
            Ok(WallTimer {})
        }

        /// Returns at the instant `at`, or earlier: ask again what is due.
        pub async fn until(&self, at: Option<UtcMillis>) {
            let rest = at.unwrap_or(UtcMillis::MAX).duration_since(Clock::System.now());
            tokio::time::sleep(non_negative(rest.min(LONGEST))).await;
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::WallTimer;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::clock::Clock;
    use crate::time::UtcMillis;

    #[tokio::test]
    async fn it_ends_at_its_instant_and_at_once_for_one_that_has_passed() {
        let timer = WallTimer::new().unwrap();
        let at = Clock::System.now().saturating_add(SignedDuration::from_millis(30));
        timer.until(Some(at)).await;
        assert!(Clock::System.now() >= at, "woke too early");
        for passed in [UtcMillis(0), UtcMillis::MIN, Clock::System.now()] {
            timer.until(Some(passed)).await;
        }
    }

    #[tokio::test]
    async fn a_new_instant_replaces_the_old() {
        let timer = WallTimer::new().unwrap();
        let long = Clock::System.now().saturating_add(SignedDuration::from_hours(1));
        tokio::select! {
            biased;
            () = timer.until(Some(long)) => panic!("an hour cannot have passed"),
            () = tokio::task::yield_now() => {}
        }
        timer.until(Some(Clock::System.now().saturating_add(SignedDuration::from_millis(5)))).await;
    }
}
