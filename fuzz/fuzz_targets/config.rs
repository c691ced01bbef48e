//! Any text as a configuration: it is one, or each problem is a sentence on one line that names the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::config::read_text;

fuzz_target!(|text: &str| {
    // A time zone database may be any folder, and reading folders is not what is tried here.
    if text.contains("zoneinfo") {
        return;
    }
    if let Err(error) = read_text(text) {
        assert!(!error.problems().is_empty());
        for problem in error.problems() {
            let told = problem.to_string();
            assert!(told.starts_with("reveille.toml") && !told.contains('\n'), "{told}");
        }
    }
});
