//! The `reveille` program: see [`reveille::cli`].

/// glibc's allocator has an arena for each thread and gives little back: a daemon beside hostile accounts took twice
/// the memory with it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    reveille::cli::main()
}
