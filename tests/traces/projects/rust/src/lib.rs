//! Text of numbers, with a dependency.
pub fn text(number: u64) -> String {
    itoa::Buffer::new().format(number).to_owned()
}
