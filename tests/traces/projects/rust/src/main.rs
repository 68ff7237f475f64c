fn main() {
    let pid = unsafe { libc::getpid() };
    assert!(pid > 0);
    println!("{}", demo::text(42));
}
